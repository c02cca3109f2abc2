import numpy as np
import pytest

from larun.config import SearchSettings
from larun.search.prepare import CLIP_SIGMA, bad_bits, clip, relative_flux

SETTINGS = SearchSettings()
TIMES = 1325 + np.arange(2000) / 48


def test_relative_flux_has_median_one_and_hides_bad_cadences(make_shard):
    rng = np.random.default_rng(0)
    flux = rng.normal(5000, 10, (2, 301))
    flux[0, 5] = np.nan
    quality = np.zeros(flux.shape, np.int32)
    quality[0, 7] = 128  # manual exclude, a bad bit of TESS
    quality[0, 8] = 1 << 18  # no bad bit
    quality[1, 9] = -1  # not delivered
    relative, reasons, _ = relative_flux(make_shard(flux, quality=quality), SETTINGS)
    assert reasons == ("", "")
    assert np.flatnonzero(np.isnan(relative[0])).tolist() == [5, 7]
    assert np.flatnonzero(np.isnan(relative[1])).tolist() == [9]
    assert np.nanmedian(relative[1]) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(
        relative[0, 10:], flux[0, 10:] / np.nanmedian(flux[0, ~np.isin(range(301), [7])]), rtol=1e-4
    )


def test_bits_of_the_mission_or_of_the_settings():
    assert bad_bits("tess", "spoc", SETTINGS) == bad_bits("tess", "", SETTINGS) == 17087
    assert bad_bits("", "csv", SETTINGS) == 0
    assert bad_bits("kepler", "kepler", SearchSettings(quality_mask=3)) == 3


def test_bits_of_tasoc_mean_something_else():
    """Bits 8, 16 and 32 say that a jump was corrected: the flux is good. 128 says that it is interpolated."""
    mask = bad_bits("tess", "tasoc", SETTINGS)
    assert [bit for bit in (1, 2, 4, 8, 16, 32, 64, 128) if mask & bit] == [1, 2, 4, 128]


@pytest.mark.parametrize(
    ("flux", "words"),
    [
        (np.full(300, np.nan), "no good cadence"),
        (np.r_[np.arange(50.0), np.full(250, np.nan)], "50 good cadences"),
        (np.full(300, 7.0), "constant flux 7"),
        (np.linspace(-3, -1, 300), "is not positive"),
        (np.r_[np.full(150, 0.0), np.full(149, 1.0), -1.0], "median flux 0"),
    ],
)
def test_says_why_a_star_cannot_be_searched(make_shard, flux, words):
    relative, (reason,), _ = relative_flux(make_shard(flux), SETTINGS)
    assert words in reason
    assert relative.shape == (1, 300)


def test_flux_far_below_zero_is_no_light_and_a_total_eclipse_is(make_shard):
    rng = np.random.default_rng(4)
    noise = np.array([[0.01], [0.01], [0.1], [0.01]])
    flux = 1 + noise * rng.normal(0, 1, (4, 1000))
    eclipsed = slice(300, 330)
    flux[:3, eclipsed] -= 1.0  # total: no light is left, and noise goes below zero
    flux[1, eclipsed] -= 0.05  # and the light of neighbours was overestimated
    flux[0, [500, 501]] = -0.5, -26.0
    flux[2, 500:503] = -0.3, -0.45, -0.9  # at 0.1 of noise 0.5 is the limit
    flux[3, 700:] = np.nan
    relative, _, n_negative = relative_flux(make_shard(1000 * flux), SETTINGS)
    assert n_negative.tolist() == [2, 0, 1, 0]
    gone = np.isnan(relative) & ~np.isnan(flux)
    assert np.argwhere(gone).tolist() == [[0, 500], [0, 501], [2, 502]]
    np.testing.assert_allclose(relative[~gone], (flux / np.nanmedian(flux, axis=1)[:, None])[~gone], rtol=1e-3)


def test_clips_flares_and_never_dips():
    rng = np.random.default_rng(3)
    flux = (1 + rng.normal(0, 1e-3, (1, 2000))).astype(np.float32)
    flux[0, 100] = 1.05
    flux[0, 200:203] = 0.9
    flux[0, 300] = 0.9
    kept = flux.copy()
    sigma = clip(kept, TIMES[:2000], isolated_dips=False)
    assert sigma[0] == pytest.approx(1e-3, rel=0.1)
    assert np.isnan(kept[0, 100])
    assert np.isfinite(kept[0, 200:203]).all()
    assert np.isfinite(kept[0, 300])
    assert (flux[0, np.isnan(kept[0])] > 1 + 0.9 * CLIP_SIGMA * 1e-3).all()
    clip(flux, TIMES[:2000], isolated_dips=True)
    assert np.isfinite(flux[0, 200:203]).all()
    assert np.isnan(flux[0, 300])


def test_a_single_low_cadence_is_left_out_where_no_other_is_half_as_low():
    rng = np.random.default_rng(0)
    wild = (1 + rng.normal(0, 1e-3, (3, 500))).astype(np.float32)
    wild[0, 250] = 0.9
    # One more may be the other transit of a planet; two are a signal.
    wild[1, [100, 300, 400]] = 0.9, 0.94, 0.93
    wild[2, [250, 251]] = 0.9
    clip(wild, TIMES[:500], isolated_dips=False)
    assert np.flatnonzero(wild[0] < 0.95).tolist() == []
    assert np.flatnonzero(wild[1] < 0.95).tolist() == [100, 300, 400]
    assert np.flatnonzero(wild[2] < 0.95).tolist() == [250, 251]


def test_only_what_jumps_is_restless():
    rng = np.random.default_rng(1)
    time = 1325 + np.arange(0, 10, 1 / 48)
    flux = (1 + rng.normal(0, 1e-4, (4, len(time)))).astype(np.float32)
    wild = (time >= 1330) & (time < 1331)
    flux[0, wild] += rng.normal(0, 5e-3, wild.sum()).astype(np.float32)
    # Deep eclipses of 3 h and of 9 h, and a fast, strong, smooth wave.
    flux[1] -= np.clip(0.3 * (1 - np.abs((time - 1325.3 + 0.4) % 0.8 - 0.4) / 0.06), 0, 0.2).astype(np.float32)
    flux[2] += (0.01 * np.sin(2 * np.pi * time / 0.5)).astype(np.float32)
    flux[3] -= np.clip(0.3 * (1 - np.abs((time - 1325.3 + 1.4) % 2.8 - 1.4) / 0.19), 0, None).astype(np.float32)
    clip(flux, time, isolated_dips=False)
    assert np.isnan(flux[0, wild]).all()
    assert np.isfinite(flux[0, ~wild]).mean() > 0.99
    # Bright outliers are clipped wherever they are.
    assert np.isfinite(flux[1:]).mean() > 0.995
    assert np.isfinite(flux[1, np.abs((time - 1325.3 + 0.4) % 0.8 - 0.4) < 0.06]).all()
    assert np.isfinite(flux[3, np.abs((time - 1325.3 + 1.4) % 2.8 - 1.4) < 0.19]).all()
