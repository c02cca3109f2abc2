"""The limits of one service, driven by a clock of the test's own."""

import heapq
from dataclasses import replace

import numpy as np
import pytest

from larun.archive.allowance import Allowance, Limits, Verdict
from larun.archive.breaker import Tolerance

GO, PROBE, YIELD, GRANTED, OUTAGE = Verdict.GO, Verdict.PROBE, Verdict.YIELD, Verdict.GRANTED, Verdict.OUTAGE
TOLERANCE = Tolerance(outage_failures=3, patience_s=100.0, pause_s=1.0, longest_pause_s=8.0)
LIMITS = Limits(connections=2, requests_per_s=1000.0, tolerance=TOLERANCE)


def limits(connections: int = 2, requests_per_s: float = 1000.0, **tolerance: float) -> Limits:
    return Limits(connections, requests_per_s, replace(TOLERANCE, **tolerance))


def verdicts(allowance: Allowance, now: float) -> dict[int, Verdict]:
    return {decision.permit: decision.verdict for decision in allowance.decide(now)}


def opened(allowance: Allowance, *permits: int, worker: str = "w", now: float = 0.0) -> None:
    for permit in permits:
        allowance.enter(permit, worker)
    assert verdicts(allowance, now) == dict.fromkeys(permits, GRANTED)


def ask(allowance: Allowance, permit: int, now: float) -> Verdict | None:
    allowance.ask(permit)
    return verdicts(allowance, now).get(permit)


def fail(allowance: Allowance, permit: int, now: float, times: int = 1, **more) -> None:
    for _ in range(times):
        allowance.failed(permit, now, "it broke", **more)


def test_no_more_permits_than_connections_and_first_come_first_served():
    allowance = Allowance(LIMITS)
    for permit in (1, 2, 3, 4):
        allowance.enter(permit, "w")
    assert verdicts(allowance, 0.0) == {1: GRANTED, 2: GRANTED}
    allowance.leave(2, 0.0)
    assert verdicts(allowance, 0.0) == {3: GRANTED}


def test_a_permit_rests_before_it_is_granted_again():
    allowance = Allowance(limits(connections=1))
    opened(allowance, 1)
    allowance.enter(2, "w")
    allowance.leave(1, 10.0, rest_s=0.5)
    assert verdicts(allowance, 10.0) == {}
    assert allowance.wake(10.0) == 10.5
    assert verdicts(allowance, 10.5) == {2: GRANTED}


def test_who_holds_fewer_goes_first():
    allowance = Allowance(limits(connections=3))
    opened(allowance, 1, 2, 3, worker="rich")
    allowance.enter(4, "rich")
    allowance.enter(5, "poor")
    allowance.leave(1, 0.0)
    assert verdicts(allowance, 0.0) == {5: GRANTED}


def test_a_worker_with_many_yields_to_one_with_none_and_only_as_often_as_needed():
    allowance = Allowance(limits(connections=4))
    opened(allowance, 1, 2, 3, 4, worker="rich")
    allowance.enter(5, "poor")
    assert verdicts(allowance, 0.0) == {}
    assert ask(allowance, 1, 0.0) is YIELD
    assert ask(allowance, 2, 0.0) is GO
    allowance.leave(1, 0.0)
    assert verdicts(allowance, 0.0) == {5: GRANTED}
    allowance.enter(6, "poor")
    assert ask(allowance, 3, 0.0) is YIELD
    allowance.leave(3, 0.0)
    assert verdicts(allowance, 0.0) == {6: GRANTED}
    allowance.enter(7, "poor")
    assert ask(allowance, 4, 0.0) is GO, "two and two is fair"


def test_requests_pass_a_token_bucket():
    allowance = Allowance(limits(connections=1, requests_per_s=10.0))
    opened(allowance, 1)
    assert ask(allowance, 1, 0.0) is GO, "after a lull one request of a tenth of a second may pass"
    assert ask(allowance, 1, 0.0) is None
    assert allowance.wake(0.0) == pytest.approx(0.1)
    assert verdicts(allowance, 0.1) == {1: GO}


def test_failures_in_a_row_leave_one_probe_at_a_time_with_growing_pauses():
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    fail(allowance, 1, 10.0, times=2)
    assert ask(allowance, 1, 10.0) is GO
    fail(allowance, 1, 10.0)
    assert (ask(allowance, 1, 10.0), ask(allowance, 2, 10.9)) == (None, None)
    now, pauses = 10.0, []
    for _ in range(5):
        due = allowance.wake(now)
        pauses.append(due - now)
        (permit,) = (p for p, verdict in verdicts(allowance, due).items() if verdict is PROBE)
        assert allowance.wake(due) is None, "the others wait for the probe"
        allowance.failed(permit, due, "still out")
        allowance.ask(permit)
        now = due
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0]


def test_probes_take_turns():
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    fail(allowance, 1, 0.0, times=3)
    allowance.ask(1)
    allowance.ask(2)
    assert verdicts(allowance, 1.0) == {1: PROBE}
    fail(allowance, 1, 1.0)
    allowance.ask(1)
    assert verdicts(allowance, 3.0) == {2: PROBE}


def test_one_success_ends_it():
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    fail(allowance, 1, 0.0, times=3)
    allowance.ask(1)
    allowance.ask(2)
    assert verdicts(allowance, 1.0) == {1: PROBE}
    assert allowance.breaker.state == "out"
    allowance.succeeded(1, 1.0)
    assert verdicts(allowance, 1.0) == {2: GO}
    assert allowance.breaker.state == "serving"
    fail(allowance, 1, 2.0, times=2)
    assert ask(allowance, 1, 2.0) is GO, "failures are counted anew"


def test_a_success_between_failures_keeps_it_going():
    allowance = Allowance(LIMITS)
    opened(allowance, 1)
    for _ in range(20):
        fail(allowance, 1, 0.0, times=2)
        allowance.succeeded(1, 0.0)
    assert ask(allowance, 1, 0.0) is GO


def test_a_probe_that_dies_is_another_ones():
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    fail(allowance, 1, 0.0, times=3)
    allowance.ask(1)
    allowance.ask(2)
    assert verdicts(allowance, 1.0) == {1: PROBE}
    allowance.leave(1, 5.0)
    assert verdicts(allowance, 5.0) == {2: PROBE}


def test_patience_ends_with_a_last_probe():
    allowance = Allowance(limits(patience_s=10.0))
    opened(allowance, 1, 2)
    fail(allowance, 1, 0.0, times=3)
    allowance.ask(1)
    allowance.ask(2)
    allowance.enter(3, "w")
    now = 0.0
    while allowance.breaker.state == "out":
        now = allowance.wake(now)
        decided = verdicts(allowance, now)
        assert set(decided.values()) == {PROBE}
        (permit,) = decided
        fail(allowance, permit, now)
        allowance.ask(permit)
    assert now == 10.0
    decided = {d.permit: d for d in allowance.decide(now)}
    assert {permit: d.verdict for permit, d in decided.items()} == {1: OUTAGE, 2: OUTAGE, 3: OUTAGE}
    assert "none served for 10 s" in decided[2].reason
    assert "it broke" in decided[2].reason


def test_a_given_up_service_is_probed_again_and_may_come_back():
    allowance = Allowance(limits(patience_s=0.0))
    opened(allowance, 1)
    fail(allowance, 1, 0.0, times=3)
    assert ask(allowance, 1, 0.0) is OUTAGE
    allowance.leave(1, 0.0)
    allowance.enter(2, "w")
    assert verdicts(allowance, 0.5) == {2: OUTAGE}
    allowance.leave(2, 0.5)
    allowance.enter(3, "w")
    assert verdicts(allowance, 1.0) == {3: GRANTED}
    assert ask(allowance, 3, 1.0) is PROBE
    allowance.succeeded(3, 1.0)
    assert ask(allowance, 3, 1.0) is GO


def test_a_given_up_service_is_asked_anew_by_a_run_of_its_own():
    allowance = Allowance(limits(patience_s=0.0, pause_s=60.0))
    opened(allowance, 1)
    fail(allowance, 1, 0.0, times=3, retry_after_s=500.0)
    assert not allowance.deserted
    allowance.leave(1, 0.0)
    assert allowance.deserted
    assert allowance.breaker.state == "given up"
    allowance.breaker.forget()
    opened(allowance, 2, now=1.0)
    assert ask(allowance, 2, 1.0) is GO


def test_retry_after_pauses_everybody():
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    fail(allowance, 1, 10.0, retry_after_s=30.0)
    assert ask(allowance, 2, 11.0) is None
    assert allowance.wake(11.0) == 40.0
    assert verdicts(allowance, 39.9) == {}
    assert verdicts(allowance, 40.0) == {2: GO}


def test_retry_after_beyond_patience_is_an_outage():
    allowance = Allowance(LIMITS)
    opened(allowance, 1)
    fail(allowance, 1, 0.0, retry_after_s=90.0)
    allowance.ask(1)
    assert verdicts(allowance, 90.0) == {1: GO}
    fail(allowance, 1, 90.0, retry_after_s=20.0)
    assert ask(allowance, 1, 90.0) is OUTAGE
    assert "left alone for 20 s" in allowance.breaker.reason


def test_what_happened_is_counted():
    allowance = Allowance(limits(requests_per_s=10.0))
    opened(allowance, 1)
    assert ask(allowance, 1, 0.0) is GO
    assert ask(allowance, 1, 0.0) is None
    assert verdicts(allowance, 1.0) == {1: GO}
    fail(allowance, 1, 1.0)
    totals = allowance.totals
    assert (totals.requests, totals.failures, totals.waits) == (2, 1, 1)


def again(allowance: Allowance, permit: int, now: float, fruitless_s: float) -> Verdict | None:
    allowance.ask_again(permit, now, fruitless_s)
    return verdicts(allowance, now).get(permit)


def test_a_request_in_vain_is_to_blame_where_others_were_served_meanwhile():
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    fail(allowance, 1, 10.0, times=2)
    allowance.succeeded(2, 12.0)
    assert again(allowance, 1, 20.0, fruitless_s=10.0) is Verdict.ENOUGH
    assert allowance.breaker.state == "serving"


def test_where_nobody_was_served_meanwhile_the_service_is_in_doubt_until_a_probe_tells():
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    allowance.succeeded(2, 9.0)
    fail(allowance, 1, 10.0)
    assert again(allowance, 1, 20.0, fruitless_s=10.0) is PROBE
    assert ask(allowance, 2, 20.0) is None
    allowance.succeeded(1, 20.5)
    assert verdicts(allowance, 20.5) == {2: GO}
    assert again(allowance, 1, 20.5, fruitless_s=10.5) is Verdict.ENOUGH


def test_a_service_in_doubt_that_stays_away_is_given_up_when_patience_ends():
    allowance = Allowance(limits(patience_s=10.0))
    opened(allowance, 1)
    fail(allowance, 1, 0.0)
    allowance.ask_again(1, 5.0, 5.0)
    now, probes = 5.0, []
    while allowance.breaker.state == "out":
        now = allowance.wake(now)
        assert verdicts(allowance, now) == {1: PROBE}
        probes.append(now)
        allowance.failed(1, now, "it broke")
        allowance.ask(1)
    assert probes == [5.0, 6.0, 8.0, 12.0, 15.0]
    assert verdicts(allowance, now) == {1: OUTAGE}


def test_success_that_is_told_late_ends_no_outage_and_clears_no_service():
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    fail(allowance, 1, 10.0, times=3)
    allowance.succeeded(2, 9.9)
    assert allowance.breaker.state == "out"
    allowance = Allowance(LIMITS)
    opened(allowance, 1, 2)
    fail(allowance, 1, 10.0)
    allowance.succeeded(2, 9.9)
    assert again(allowance, 1, 11.0, fruitless_s=1.0) is PROBE


def test_the_rule_for_requests_in_vain_dies_with_its_permit():
    allowance = Allowance(LIMITS)
    opened(allowance, 1)
    allowance.succeeded(1, 5.0)
    allowance.ask_again(1, 6.0, 2.0)
    assert allowance.leave(1, 6.0)
    assert allowance.decide(6.0) == []


@pytest.mark.parametrize("seed", range(25))
def test_no_target_is_blamed_for_an_outage_however_few_ask(seed):
    """Workers with few attempts, one broken target, and a service that is away for much longer than they last."""
    rng = np.random.default_rng(seed)
    n_workers, attempts, broken = int(rng.integers(1, 4)), int(rng.integers(1, 5)), 3
    allowance = Allowance(limits(connections=3, outage_failures=int(rng.integers(2, 40)), patience_s=1e9))
    away = (1.0, 1.0 + float(rng.uniform(0, 200)))
    todo = list(range(8, -1, -1))
    outcome: dict[int, str] = {}
    events: list[tuple[float, int]] = []
    state: dict[int, dict] = {}
    now = 0.0
    for worker in range(n_workers):
        allowance.enter(worker, "w")

    def take(worker):
        if not todo:
            allowance.leave(worker, now)
            return
        state[worker] = {"target": todo.pop(), "n": 0, "first": None, "probing": False}
        allowance.ask(worker)

    while len(outcome) < 9:
        for decision in allowance.decide(now):
            worker, its = decision.permit, state.get(decision.permit)
            if decision.verdict is GRANTED:
                take(worker)
            elif decision.verdict is Verdict.ENOUGH:
                outcome[its["target"]] = "blamed"
                take(worker)
            else:
                its["probing"] = decision.verdict is PROBE
                its["n"] = 0 if its["n"] >= attempts and not its["probing"] else its["n"]
                heapq.heappush(events, (now + float(rng.exponential(0.3)), worker))
        wake = allowance.wake(now)
        if events and (wake is None or events[0][0] <= wake):
            now, worker = heapq.heappop(events)
            its = state[worker]
            is_away = away[0] < now < away[1]
            if its["probing"]:
                (allowance.failed(worker, now, "no") if is_away else allowance.succeeded(worker, now))
                its["n"] = 0 if is_away else its["n"]
            elif is_away or its["target"] == broken:
                allowance.failed(worker, now, "no")
                its["n"], its["first"] = its["n"] + 1, now if its["first"] is None else its["first"]
            else:
                allowance.succeeded(worker, now)
                outcome[its["target"]] = "served"
                take(worker)
                continue
            if its["n"] >= attempts:
                allowance.ask_again(worker, now, now - its["first"])
            else:
                allowance.ask(worker)
        elif len(outcome) < 9:
            assert wake is not None, "somebody waits and nothing will happen"
            now = max(now, wake)
    assert outcome == {target: "blamed" if target == broken else "served" for target in range(9)}


@pytest.mark.parametrize("outage_failures", [2, 3, 12])
def test_broken_targets_that_open_the_breaker_themselves_are_blamed_in_the_end(outage_failures):
    """Three of them and nothing else: each round of attempts ends with the breaker open, and the probe is served."""
    allowance = Allowance(limits(connections=3, outage_failures=outage_failures))
    opened(allowance, 1, 2, 3)
    tried, blamed, now = dict.fromkeys((1, 2, 3), 0), set(), 0.0
    for permit in tried:
        allowance.ask(permit)
    for _ in range(60):
        for permit, verdict in verdicts(allowance, now).items():
            if verdict is Verdict.ENOUGH:
                blamed.add(permit)
                continue
            if verdict is PROBE:
                allowance.succeeded(permit, now)
            else:
                allowance.failed(permit, now, "it broke")
                tried[permit] += 1
            again_or_ask(allowance, permit, now, tried[permit] >= 4)
        now += 0.5
    assert blamed == {1, 2, 3}
    assert max(tried.values()) <= 5


def again_or_ask(allowance: Allowance, permit: int, now: float, is_in_vain: bool) -> None:
    if is_in_vain:
        allowance.ask_again(permit, now, now)
    else:
        allowance.ask(permit)


@pytest.mark.parametrize("seed", range(25))
def test_any_course_of_events_keeps_the_promises(seed):
    """Workers that fetch, fail, wait, die and come back, against a service that is away for a while."""
    rng = np.random.default_rng(seed)
    rules = limits(connections=int(rng.integers(1, 6)), requests_per_s=float(rng.uniform(5, 50)), patience_s=1e9)
    allowance = Allowance(rules)
    away = (rng.uniform(2, 6), rng.uniform(6, 12))
    events: list[tuple[float, int, str, int]] = []
    holders: dict[int, str] = {}
    left: dict[int, int] = {}
    asked: dict[int, float] = {}
    under_way: set[int] = set()
    probing: set[int] = set()
    starts: list[float] = []
    number = 0
    now = 0.0

    def enter(worker: str, n_requests: int) -> None:
        nonlocal number
        number += 1
        holders[number], left[number] = worker, n_requests
        allowance.enter(number, worker)

    for worker in "abcd":
        for _ in range(3):
            enter(worker, int(rng.integers(1, 15)))
    granted: set[int] = set()
    done = 0
    while holders:
        for decision in allowance.decide(now):
            permit = decision.permit
            if decision.verdict is GRANTED:
                granted.add(permit)
                assert len(granted) <= rules.connections
                allowance.ask(permit)
                asked[permit] = now
                heapq.heappush(events, (now, permit, "look", 0))
            elif decision.verdict is YIELD:
                granted.discard(permit)
                under_way.discard(permit)
                allowance.leave(permit, now)
                enter(holders.pop(permit), left.pop(permit))
            else:
                assert permit in granted
                assert not probing, "nobody makes a request while one probes"
                if decision.verdict is PROBE:
                    probing.add(permit)
                else:
                    starts.append(now)
                under_way.add(permit)
                heapq.heappush(events, (now + float(rng.exponential(0.05)), permit, "end", 0))
        wake = allowance.wake(now)
        if events and (wake is None or events[0][0] <= wake):
            now, permit, what, _ = heapq.heappop(events)
            if what != "end" or permit not in under_way:
                continue
            under_way.discard(permit)
            probing.discard(permit)
            if rng.random() < 0.03:
                granted.discard(permit)
                allowance.leave(permit, now, rest_s=0.2)
                enter(holders.pop(permit), left.pop(permit))
                continue
            if away[0] < now < away[1] or rng.random() < 0.2:
                allowance.failed(permit, now, "no", float(rng.uniform(0, 0.3)) if rng.random() < 0.2 else None)
            else:
                allowance.succeeded(permit, now)
                left[permit] -= 1
                done += 1
            if left[permit] == 0:
                granted.discard(permit)
                allowance.leave(permit, now)
                del holders[permit], left[permit]
            else:
                allowance.ask(permit)
        else:
            assert wake is not None, "somebody waits and nothing will happen"
            now = max(now, wake)
    for i, start in enumerate(starts):
        within = sum(1 for other in starts[i:] if other <= start + 1.0)
        assert within <= rules.burst + rules.requests_per_s + 1e-3
    assert done > 0
    assert allowance.open_permits <= rules.connections
