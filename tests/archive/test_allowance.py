"""The limits of one service, driven by a clock of the test's own."""

import heapq

import numpy as np
import pytest

from larun.archive.allowance import Allowance, Limits, Verdict

GO, PROBE, YIELD, GRANTED, OUTAGE = Verdict.GO, Verdict.PROBE, Verdict.YIELD, Verdict.GRANTED, Verdict.OUTAGE
LIMITS = Limits(
    connections=2, requests_per_s=1000.0, outage_failures=3, patience_s=100.0, pause_s=1.0, longest_pause_s=8.0
)


def limits(**changes) -> Limits:
    return Limits(**{name: getattr(LIMITS, name) for name in LIMITS.__slots__} | changes)


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
    assert allowance.state == "out"
    allowance.succeeded(1)
    assert verdicts(allowance, 1.0) == {2: GO}
    assert allowance.state == "serving"
    fail(allowance, 1, 2.0, times=2)
    assert ask(allowance, 1, 2.0) is GO, "failures are counted anew"


def test_a_success_between_failures_keeps_it_going():
    allowance = Allowance(LIMITS)
    opened(allowance, 1)
    for _ in range(20):
        fail(allowance, 1, 0.0, times=2)
        allowance.succeeded(1)
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
    while allowance.state == "out":
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
    allowance.succeeded(3)
    assert ask(allowance, 3, 1.0) is GO


def test_a_given_up_service_is_asked_anew_by_a_run_of_its_own():
    allowance = Allowance(limits(patience_s=0.0, pause_s=60.0))
    opened(allowance, 1)
    fail(allowance, 1, 0.0, times=3, retry_after_s=500.0)
    assert not allowance.deserted
    allowance.leave(1, 0.0)
    assert allowance.deserted
    assert allowance.state == "given up"
    allowance.forget()
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
    assert "left alone for 20 s" in allowance.reason


def test_what_happened_is_counted():
    allowance = Allowance(limits(requests_per_s=10.0))
    opened(allowance, 1)
    assert ask(allowance, 1, 0.0) is GO
    assert ask(allowance, 1, 0.0) is None
    assert verdicts(allowance, 1.0) == {1: GO}
    fail(allowance, 1, 1.0)
    totals = allowance.totals
    assert (totals.requests, totals.failures, totals.waits) == (2, 1, 1)


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
                allowance.succeeded(permit)
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
