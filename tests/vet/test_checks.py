import numpy as np
import pytest
from scipy.stats import norm

from larun.config import VetSettings
from larun.schema import EventFlag, empty_events
from larun.vet import CHECKS, SECTOR_CHECKS, density_solar, flag, verdicts

SETTINGS = VetSettings()


def clean_event():
    """A hot Jupiter of a Sun-like star as the search would describe it."""
    event = empty_events(1)
    values = {
        "period_d": 3.3, "t0_btjd": 1326.0, "duration_h": 2.7, "depth_ppm": 9000, "depth_err_ppm": 90, "snr": 100,
        "sde": 20, "n_transits": 8, "odd_even_sigma": 0.8, "odd_even_epoch_sigma": 0.5, "depth_chi2": 1.2,
        "secondary_depth_ppm": 60, "secondary_snr": 2.5, "secondary_phase": 0.4, "secondary_share": 0.2,
        "tertiary_snr": 2.1, "positive_snr": 2.2, "phase_scatter": 1.05, "shape": 0.7, "single_event_fraction": 0.14,
        "sinusoid_ratio": 0.1, "gap_fraction": 0.1, "dump_fraction": 0.125, "centroid_offset_pix": 0.1,
        "centroid_sigma": 2.0, "phase_coverage": 1.0, "scatter_ppm": 500, "red_noise_ppm": 60, "n_good": 17000,
    }  # fmt: skip
    for name, value in values.items():
        event[name] = value
    return event


BAD = [
    (EventFlag.FEW_TRANSITS, {"n_transits": 1}),
    (EventFlag.LOW_COVERAGE, {"phase_coverage": 0.2}),
    (EventFlag.ODD_EVEN, {"odd_even_sigma": 6.0}),
    (EventFlag.ODD_EVEN_EPOCH, {"odd_even_epoch_sigma": 9.0}),
    (EventFlag.SECONDARY, {"secondary_snr": 20.0, "secondary_depth_ppm": 3000}),
    (EventFlag.TOO_DEEP, {"depth_ppm": 60_000}),
    (EventFlag.V_SHAPE, {"shape": 0.1}),
    (EventFlag.NOT_UNIQUE, {"positive_snr": 98.0}),
    (EventFlag.INCONSISTENT, {"depth_chi2": 900.0}),
    (EventFlag.SINGLE_DOMINATES, {"single_event_fraction": 0.9}),
    (EventFlag.NEAR_GAP, {"gap_fraction": 0.8}),
    (EventFlag.NEAR_DUMP, {"dump_fraction": 0.75}),
    (EventFlag.SINUSOID, {"sinusoid_ratio": 1.5}),
    (EventFlag.LONG_DURATION, {"duration_h": 7.0}),
    (EventFlag.PERIOD_ALIAS, {"period_d": 13.69, "duration_h": 4.0}),
    (EventFlag.CENTROID_SHIFT, {"centroid_sigma": 12.0, "centroid_offset_pix": 0.9}),
]
SECTOR_WIDE = {check.flag for check in SECTOR_CHECKS}
A_KIND = {EventFlag.SINGLE_TRANSIT}
"""Says what an event is; nothing that is measured sets it."""


def flagged(radius=1.0, logg=4.438, **changes) -> EventFlag:
    """Flags of the clean event with some values changed."""
    event = clean_event()
    for name, value in changes.items():
        event[name] = value
    return EventFlag(int(flag(event, radius=[radius], logg=[logg], settings=SETTINGS)[0]))


def test_every_flag_has_a_test_and_every_test_a_case():
    assert {check.flag for check in CHECKS} == {case[0] for case in BAD} == set(EventFlag) - SECTOR_WIDE - A_KIND


def test_every_threshold_is_a_setting_with_a_paper():
    assert all(check.threshold in VetSettings.model_fields for check in CHECKS)
    assert all(any(digit.isdigit() for digit in check.paper) for check in CHECKS)


def test_a_clean_planet_has_no_flag():
    assert flag(clean_event(), radius=[1.0], logg=[4.438], settings=SETTINGS).tolist() == [0]


@pytest.mark.parametrize(("expected", "change"), BAD, ids=lambda case: getattr(case, "name", ""))
def test_each_fault_sets_its_own_flag(expected, change):
    event = clean_event()
    for name, value in change.items():
        event[name] = value
    bits = flag(event, radius=[1.0], logg=[4.438], settings=SETTINGS)
    assert bits.dtype == np.uint32
    assert EventFlag(int(bits[0])) == expected


def test_a_record_is_flagged_like_a_table():
    event = clean_event()
    event["shape"] = 0.0
    assert int(flag(event[0], radius=1.0, logg=4.4, settings=SETTINGS)) == EventFlag.V_SHAPE


def test_what_is_not_known_sets_no_flag():
    event = clean_event()
    known = {"period_d", "t0_btjd", "duration_h", "depth_ppm", "snr", "sde", "n_transits", "n_good", "flags"}
    for name in set(event.dtype.names) - known:
        if event.dtype[name].kind == "f":
            event[name] = np.nan
    event["duration_h"] = 30
    assert flag(event, settings=SETTINGS).tolist() == [0]
    assert flag(event, radius=[np.nan], logg=[4.4], settings=SETTINGS).tolist() == [0]
    assert flag(empty_events(2), settings=SETTINGS).tolist() == [0, 0]


def test_a_single_transit_without_a_period_has_few_transits_and_no_other_flag():
    said = flagged(period_d=np.nan, n_transits=1, single_event_fraction=1.0, phase_coverage=np.nan, depth_chi2=np.nan,
                   tertiary_snr=np.nan, positive_snr=np.nan, phase_scatter=np.nan)  # fmt: skip
    assert said == EventFlag.FEW_TRANSITS


def test_an_occultation_of_a_hot_planet_is_no_binary():
    assert not flagged(secondary_snr=12, secondary_depth_ppm=400)


def test_a_dip_of_one_orbit_alone_is_no_secondary():
    assert not flagged(secondary_snr=12, secondary_depth_ppm=4000, secondary_share=0.95)


def test_a_depth_is_judged_by_the_size_of_its_star():
    # Depth 1 % of the Sun is a disc of 0.1 solar radii, 0.973 of Jupiter's.
    assert not flagged(depth_ppm=10_000)
    assert flagged(depth_ppm=10_000, radius=2.2, logg=4.0) == EventFlag.TOO_DEEP
    assert not flagged(depth_ppm=70_000, radius=0.5, logg=4.7)
    assert flagged(depth_ppm=70_000, radius=np.nan) == EventFlag.TOO_DEEP
    assert not flagged(depth_ppm=40_000, radius=np.nan)
    (radius,) = (v for v in verdicts(clean_event()[0], radius=1.0, settings=SETTINGS) if v.check.unit == "R_Jup")
    assert radius.value == pytest.approx(np.sqrt(0.009) * 9.731, rel=1e-4)
    assert (radius.limit, radius.raised) == (2.0, False)


def test_a_weak_event_has_no_shape():
    assert not flagged(shape=0.0, snr=10)


def test_a_difference_of_a_per_cent_is_no_other_eclipse():
    # 20 sigma of an SNR of 4000: 1 % of the depth.
    assert not flagged(odd_even_sigma=20, snr=4000)
    assert flagged(odd_even_sigma=20, snr=400) == EventFlag.ODD_EVEN


def test_single_odd_and_even_transits_count_half():
    assert not flagged(odd_even_sigma=6.0, n_transits=3)
    assert flagged(odd_even_sigma=9.0, n_transits=3) == EventFlag.ODD_EVEN


def test_uniqueness_by_the_false_alarm_thresholds_of_thompson_2018():
    duration, period = 2.4, 4.0
    # One in 20,000 stars of 40 independent phases each: 1.25e-6, two-sided; and one phase in 40.
    fa1, fa2 = norm.isf(1.25e-6 / 2), norm.isf(0.025 / 2)
    common = {"duration_h": duration, "period_d": period}
    for snr, scatter, rival in ((8.0, 1.3, 2.0), (8.0, 1.0, 7.0), (30.0, 1.0, 2.0)):
        expected = min(snr / scatter - fa1, snr - rival - fa2)
        said = bool(flagged(snr=snr, phase_scatter=scatter, tertiary_snr=rival, **common) & EventFlag.NOT_UNIQUE)
        assert said == (expected < 0)
        event = clean_event()[0]
        for name, value in (common | {"snr": snr, "phase_scatter": scatter, "tertiary_snr": rival}).items():
            event[name] = value
        (margin,) = (v for v in verdicts(event, settings=SETTINGS) if v.check.flag == EventFlag.NOT_UNIQUE)
        assert margin.value == pytest.approx(min(expected, snr - 2.2 - fa2), abs=1e-5)


def test_scatter_that_noise_explains_is_consistent():
    # Chi-square of 2.6 over 7 degrees of freedom: one in a hundred.
    assert not flagged(snr=7.5, depth_chi2=2.6)
    # Real scatter of a strong signal: 100 / sqrt(50) is still 14.
    assert not flagged(snr=100, depth_chi2=50)
    assert flagged(snr=20, depth_chi2=50) == EventFlag.INCONSISTENT


def test_a_neighbour_in_the_aperture_pulls_the_centroid_of_a_planet_a_little():
    assert not flagged(centroid_sigma=8, centroid_offset_pix=0.35)
    assert not flagged(centroid_sigma=4, centroid_offset_pix=5)
    assert flagged(centroid_sigma=6, centroid_offset_pix=5) == EventFlag.CENTROID_SHIFT


def test_verdicts_say_what_the_flags_say():
    for expected, changes in BAD:
        event = clean_event()
        for name, value in changes.items():
            event[name] = value
        said = verdicts(event[0], radius=1.0, logg=4.438, settings=SETTINGS)
        assert [verdict.check for verdict in said] == list(CHECKS)
        assert {verdict.check.flag for verdict in said if verdict.raised} == {expected}


def test_density_of_known_stars():
    # Sun; Proxima Centauri: 0.154 R_sun, 0.122 M_sun, logg 5.15.
    density = density_solar([1.0, 0.154, 0.0], [4.438, 5.15, 4.4])
    assert density[0] == pytest.approx(1)
    assert density[1] == pytest.approx(0.122 / 0.154**3, rel=0.05)
    assert np.isnan(density[2])
