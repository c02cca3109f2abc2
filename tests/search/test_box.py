import numpy as np
import pytest
from astropy.timeseries import BoxLeastSquares

from larun.search.box import best_box, bin_series, spectra
from larun.search.grid import Grid

BIN_D = 0.02
WIDTHS = (3, 5, 9)


def grid_on(counts, period=None):
    """Grid of boxes at every phase; by default phase bins are `BIN_D` long."""
    counts = np.asarray(counts, np.int32)
    width = np.tile(np.array(WIDTHS, np.int32), (len(counts), 1))
    return Grid(1 / (counts * BIN_D if period is None else period), counts, width, np.ones_like(width))


def astropy_snr(time, mean, weight, period, n_bins):
    """Best of all boxes by astropy, folded from the middle of the time stamps."""
    used = weight > 0
    middle = 0.5 * (time[0] + time[-1])
    # astropy folds from the first time stamp: give it one of no weight, whole periods before the middle.
    first = middle - np.ceil((middle - time[0]) / period) * period
    t, y = np.r_[first, time[used]], np.r_[1.0, mean[used]]
    search = BoxLeastSquares(t, y, dy=1 / np.sqrt(np.r_[1e-12, weight[used]]))
    bin_d = period / (n_bins + 1e-7)
    # astropy wraps boxes around the period only up to its shortest duration: one search per duration.
    return max(
        search.power([period], width * bin_d, objective="snr", oversample=width, method="fast").depth_snr[0]
        for width in WIDTHS
    )


def random_stars(seed, n_stars):
    """Uneven times with a gap, transits, and weights: all the same, or scattered, and one star with a long gap."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 27, 900))
    time = time[(time < 10) | (time > 12)]
    mean = rng.normal(1, 1e-3, (n_stars, len(time))).astype(np.float32)
    mean[:, np.abs(time % 3.3 - 1) < 0.05] -= 1e-3
    weight = np.full(mean.shape, 5, np.float32)
    if seed % 2:
        weight = rng.integers(0, 6, mean.shape).astype(np.float32)
        mean[-1] += 0.02 * np.sin(time)
    if seed % 3 == 2:
        weight *= 60
    weight[0, : len(time) // 3] = 0
    return rng, time, mean, weight


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_stars", [1, 19])
def test_same_statistic_as_astropy(seed, n_stars):
    """At periods far apart, each of which is folded anew."""
    rng, time, mean, weight = random_stars(seed, n_stars)
    for n_bins in rng.integers(40, 600, 8):
        grid = grid_on([n_bins])
        period = grid.period_d[0]
        # At the end of the cycle astropy tries boxes that are one bin short; with these bins empty they are whole.
        bin_of = ((time - 0.5 * (time[0] + time[-1])) / period % 1 * n_bins).astype(int)
        shown = np.where(np.isin(bin_of, WIDTHS), np.float32(0), weight)
        ours = spectra(time, mean, shown, np.ones(n_stars), grid)[:, 0]
        theirs = [astropy_snr(time, mean[star], shown[star], period, n_bins) for star in range(n_stars)]
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize("drift_bins", [0.2, 1.5, 3.0, 9.0])
def test_same_statistic_as_astropy_at_neighbouring_periods(drift_bins):
    """The fold is carried from one period to the next, or made anew where too much moves."""
    rng, time, mean, weight = random_stars(int(10 * drift_bins), 18)
    n_bins = 150
    frequency = 1 / 3.0 - np.arange(70) * drift_bins / (n_bins * (time[-1] - time[0]))
    mean[:], weight[:] = mean[:1], weight[-1:]
    weight[np.arange(18), rng.integers(0, len(time), 18)] = 0
    ours = spectra(time, mean, weight, np.ones(18), grid_on(np.full(70, n_bins), 1 / frequency))
    for p in (1, 31, 32, 69):
        alone = spectra(time, mean, weight, np.ones(18), grid_on([n_bins], 1 / frequency[p : p + 1]))
        np.testing.assert_allclose(ours[:, p], alone[:, 0], rtol=1e-6)


def test_too_fine_a_grid_is_refused():
    nothing = np.zeros((1, 3), np.float32)
    with pytest.raises(ValueError, match="phase bins"):
        spectra(np.arange(3.0), nothing, nothing, np.ones(1), grid_on([10_000]))


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
    grid = grid_on(np.arange(60, 200, 7))
    sigma = np.full(70, 1e-3)
    together = spectra(time, mean, weight, sigma, grid)
    for star in (0, 33, 69):
        alone = spectra(time, mean[star : star + 1], weight[star : star + 1], sigma[:1], grid)
        np.testing.assert_array_equal(together[star], alone[0])


def test_empty_and_noiseless_stars_score_zero():
    time = np.arange(0, 20, 0.02)
    mean = np.zeros((2, len(time)), np.float32)
    weight = np.stack([np.zeros(len(time)), np.ones(len(time))]).astype(np.float32)
    assert (spectra(time, mean, weight, np.array([np.nan, 0.0]), grid_on([60, 90])) == 0).all()
    assert (spectra(time, mean[:1], weight[:1], np.array([1.0]), grid_on([60, 90])) == 0).all()


def test_best_box_finds_epoch_and_duration():
    time = np.arange(0, 20, 0.01)
    flux = -1.0 * (np.abs((time - 1.23 + 1) % 2 - 1) < 0.05)
    values = (flux - flux.mean()).astype(np.float32)
    for function in (best_box, best_box.py_func):
        t0, duration = function(time, values, np.ones_like(values), 2.0, 200, np.array([5, 0, 10, 20]))
        assert t0 == pytest.approx(1.23, abs=0.011)
        assert duration == pytest.approx(0.1)


def test_best_box_of_nothing_is_nan():
    assert np.isnan(best_box(np.arange(5.0), np.zeros(5, np.float32), np.ones(5, np.float32), 2.0, 9, np.array([2]))[0])


def test_bins_hold_means_and_counts():
    time = np.arange(20) * 2 / 1440
    flux = np.arange(20, dtype=np.float32)[None].copy()
    flux[0, [1, 10, 11, 12, 13, 14]] = np.nan
    centre, mean, weight = bin_series(flux, time, 10 / 1440)
    np.testing.assert_allclose(centre * 1440, [4, 14, 24, 34])
    np.testing.assert_allclose(mean[0], [2.25, 7, 0, 17])
    assert weight[0].tolist() == [4, 5, 0, 5]
    _, mean, weight = bin_series(flux, time, 0.0)
    assert weight[0].sum() == 14
