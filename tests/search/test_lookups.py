import numpy as np
import pytest

from larun.lanes import LANES
from larun.search import lookups

N_BINS = np.array([9, 40, 41, 300], np.int32)
PERIOD_D = np.array([0.7, 2.0, 3.1, 11.0])


def uneven_times(seed):
    """Times with a gap and some that are repeated."""
    rng = np.random.default_rng(seed)
    time = np.sort(np.r_[rng.uniform(0, 20, 700), np.repeat(rng.uniform(0, 20, 5), 4)])
    time = time[(time < 8) | (time > 9.5)]
    return time - time[0]


def expected(time, period_d, n_bins):
    """Number of cadences before each edge of each cycle, (group, cycle, edge)."""
    cycles = int(time[-1] / period_d) + 1
    edge = np.arange(-(-n_bins // lookups.AT_ONCE) * lookups.AT_ONCE)
    before = np.searchsorted(time, (np.arange(cycles)[:, None] * n_bins + edge) * (period_d / n_bins))
    return before.reshape(cycles, -1, lookups.AT_ONCE).transpose(1, 0, 2)


@pytest.mark.parametrize("most", [lookups.MOST_KEPT, 700, 1])
def test_running_sums_before_every_edge(monkeypatch, most):
    """All at once or some periods at a time."""
    monkeypatch.setattr(lookups, "MOST_KEPT", most)
    time = uneven_times(1)
    seen = 0
    for part in lookups.lookups(time, 1 / PERIOD_D, N_BINS):
        assert part.first == seen
        for p, (start, cycles) in enumerate(zip(part.start, part.cycles, strict=True), part.first):
            wanted = expected(time, PERIOD_D[p], N_BINS[p])
            assert cycles == wanted.shape[1]
            pairs = part.pairs[start : start + wanted.size // 2]
            found = np.stack([pairs & np.uint64(0xFFFFFFFF), pairs >> np.uint64(32)], axis=-1)
            np.testing.assert_array_equal(found.reshape(wanted.shape), wanted * LANES)
        seen = part.last
    assert seen == len(N_BINS)


def test_the_next_shard_on_the_same_cadences_finds_them_listed():
    time = uneven_times(2)
    (first,) = lookups.lookups(time, 1 / PERIOD_D, N_BINS)
    (again,) = lookups.lookups(time.copy(), 1 / PERIOD_D, N_BINS.copy())
    assert again.pairs is first.pairs
    (other,) = lookups.lookups(time, 1 / PERIOD_D, N_BINS + 1)
    assert other.pairs is not first.pairs
