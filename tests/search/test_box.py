import numpy as np
import pytest
from astropy.timeseries import BoxLeastSquares

from larun.search.box import RUN, spectra
from larun.search.grid import Grid

BIN_D = 0.02
WIDTHS = (3, 5, 9)


def grid_on(counts, period=None):
    """Grid of boxes at every phase; by default phase bins are `BIN_D` long."""
    counts = np.asarray(counts, np.int32)
    width = np.tile(np.array(WIDTHS, np.int32), (len(counts), 1))
    return Grid(1 / (counts * BIN_D if period is None else period), counts, width, np.ones_like(width))


def astropy_snr(time, mean, weight, period, n_bins):
    """Best of all boxes by astropy, folded from the first time stamp, which need not be used."""
    used = weight > 0
    t, y = np.r_[time[0], time[used]], np.r_[1.0, mean[used]]
    search = BoxLeastSquares(t, y, dy=1 / np.sqrt(np.r_[1e-12, weight[used]]))
    bin_d = period / (n_bins + 1e-7)
    # astropy wraps boxes around the period only up to its shortest duration: one search per duration.
    return max(
        search.power([period], width * bin_d, objective="snr", oversample=width, method="fast").depth_snr[0]
        for width in WIDTHS
    )


def random_stars(seed, n_stars):
    """Random light curves of one shard: even or uneven times with gaps, and weights that are all the same, the same
    but for cadences that single stars lack, or every star's own."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(300, 1500))
    # Not quite even: a cadence on an edge between two bins may be counted on either side.
    time = np.arange(n) * 27.0 / n + rng.uniform(0, 1e-3, n) if rng.random() < 0.5 else np.sort(rng.uniform(0, 27, n))
    gap = rng.uniform(2, 22)
    time = 1000 + time[(time < gap) | (time > gap + rng.uniform(0, 4))]
    mean = rng.normal(1, 1e-3, (n_stars, len(time))).astype(np.float32)
    mean[:, np.abs(time % rng.uniform(0.6, 8) - 0.3) < 0.05] -= rng.choice([0, 1e-3, 0.3])
    mean[-1] += 0.02 * np.sin(time)
    kind = rng.choice(["same", "some lack", "own"])
    weight = np.full(mean.shape, rng.choice([1, 5, 300]), np.float32)
    if kind == "own":
        weight = rng.integers(0, 6, mean.shape).astype(np.float32) * rng.choice([1, 60])
    elif kind == "some lack":
        lacking = rng.random(mean.shape) < 0.02
        lacking[: n_stars // 2] = False
        weight[lacking] = 0
        weight[-1, : len(time) // 3] = 0
    return rng, time, np.where(weight > 0, mean, np.float32(0)), weight


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("n_stars", [1, 19])
def test_same_statistic_as_astropy(seed, n_stars):
    rng, time, mean, weight = random_stars(seed, n_stars)
    sigma = rng.uniform(0.5, 2, n_stars)
    for n_bins in rng.integers(30, 600, 6):
        grid = grid_on([n_bins])
        period = grid.period_d[0]
        # At the end of the cycle astropy tries boxes that are one bin short; with these bins empty they are whole.
        bin_of = ((time - time[0]) / period % 1 * n_bins).astype(int)
        shown = np.where(np.isin(bin_of, WIDTHS), np.float32(0), weight)
        ours = spectra(time, mean, shown, sigma, grid)[:, 0] * sigma
        theirs = [astropy_snr(time, mean[star], shown[star], period, n_bins) for star in range(n_stars)]
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_a_period_does_not_depend_on_the_others(seed):
    """Lists are made for many periods at once, of any number of bins."""
    rng, time, mean, weight = random_stars(100 + seed, 18)
    counts = rng.integers(20, 300, 2 * RUN + 3)
    grid = grid_on(counts)
    together = spectra(time, mean, weight, np.ones(18), grid)
    for p in (0, 1, RUN - 1, RUN, 2 * RUN + 2):
        np.testing.assert_array_equal(
            together[:, p], spectra(time, mean, weight, np.ones(18), grid_on(counts[[p]]))[:, 0]
        )


def test_repeated_and_crowded_times():
    """As many cadences in a moment as there may be."""
    rng = np.random.default_rng(4)
    time = np.sort(np.r_[np.repeat(np.sort(rng.uniform(0, 20, 200)), 3), 7 + rng.uniform(0, 0.01, 60)])
    mean = rng.normal(1, 1e-3, (1, len(time))).astype(np.float32)
    weight = np.ones(mean.shape, np.float32)
    for n_bins in (77, 160):
        bin_of = (time / (n_bins * BIN_D) % 1 * n_bins + 1e-9).astype(int)
        shown = np.where(np.isin(bin_of, WIDTHS), np.float32(0), weight)
        grid = grid_on([n_bins], np.array([n_bins * BIN_D * 1.00001]))
        ours = spectra(time, mean, shown, np.ones(1), grid)[0, 0]
        assert ours == pytest.approx(astropy_snr(time, mean[0], shown[0], grid.period_d[0], n_bins), rel=1e-3)


@pytest.mark.parametrize("weight", [1, 5, 60])
def test_all_cadences_in_one_box_are_no_dip(weight):
    time = np.r_[np.arange(0, 0.05, 0.001), 20.0]
    mean = np.random.default_rng(2).normal(1, 1e-3, (1, len(time))).astype(np.float32)
    weights = np.full(mean.shape, weight, np.float32)
    weights[0, -1] = 0
    found = spectra(time, mean, weights, np.full(1, 1e-3), grid_on(np.full(40, 100), np.linspace(2, 2.4, 40)))
    # No box of such noise stands out; weights of the boxes are at most a few dozen.
    assert (found < 5 * np.sqrt(weight)).all()


def test_stars_do_not_see_each_other():
    rng = np.random.default_rng(9)
    time = np.arange(0, 20, 0.02)
    mean = rng.normal(1, 1e-3, (70, len(time))).astype(np.float32)
    weight = (rng.random(mean.shape) > 0.02).astype(np.float32)
    weight[20:40] = 1
    grid = grid_on(np.arange(60, 200, 7))
    sigma = np.full(70, 1e-3)
    together = spectra(time, mean, weight, sigma, grid)
    for star in (0, 33, 69):
        alone = spectra(time, mean[star : star + 1], weight[star : star + 1], sigma[:1], grid)
        np.testing.assert_allclose(together[star], alone[0], rtol=1e-6)


def test_empty_and_noiseless_stars_score_zero():
    time = np.arange(0, 20, 0.02)
    mean = np.zeros((2, len(time)), np.float32)
    weight = np.stack([np.zeros(len(time)), np.ones(len(time))]).astype(np.float32)
    assert (spectra(time, mean, weight, np.array([np.nan, 0.0]), grid_on([60, 90])) == 0).all()
    assert (spectra(time, mean[:1], weight[:1], np.array([1.0]), grid_on([60, 90])) == 0).all()
