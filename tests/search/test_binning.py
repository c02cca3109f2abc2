import numpy as np

from larun.search.binning import bin_series, even_out


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


def test_evened_weights():
    full, none = 5, 0
    weight = np.array([[none, 5, 4, none, 3, 2, 5, none, none, none, 5, none]], np.float32)
    mean = np.where(weight > 0, np.arange(12), 0).astype(np.float32)
    level = np.sum(mean * weight) / np.sum(weight)
    evened, weights = even_out(mean, weight)
    assert weights[0].tolist() == [none, full, full, full, full, full, full, none, none, none, full, none]
    np.testing.assert_allclose(evened[0], [0, 1, 2, level, 4, level, 6, 0, 0, 0, 10, 0], rtol=1e-6)
    assert weight[0, 3] == 0
    blank = np.zeros((1, 4), np.float32)
    assert not even_out(blank, blank)[1].any()
