import numpy as np
import pytest

from larun.config import VetSettings
from larun.schema import EventFlag, empty_events
from larun.vet import TESTS, density_solar, flag, pile_up

SETTINGS = VetSettings()


def clean_event():
    """A hot Jupiter of a Sun-like star as the search would describe it."""
    event = empty_events(1)
    values = {
        "period_d": 3.3, "t0_btjd": 1326.0, "duration_h": 2.7, "depth_ppm": 9000, "depth_err_ppm": 90, "snr": 100,
        "sde": 20, "n_transits": 8, "odd_even_sigma": 0.8, "secondary_depth_ppm": 60, "secondary_snr": 2.5,
        "secondary_phase": 0.4, "shape": 0.7, "single_event_fraction": 0.14, "sinusoid_ratio": 0.1,
        "gap_fraction": 0.1, "phase_coverage": 1.0, "scatter_ppm": 500, "red_noise_ppm": 60, "n_good": 17000,
    }  # fmt: skip
    for name, value in values.items():
        event[name] = value
    return event


BAD = [
    (EventFlag.FEW_TRANSITS, {"n_transits": 1}),
    (EventFlag.LOW_COVERAGE, {"phase_coverage": 0.2}),
    (EventFlag.ODD_EVEN, {"odd_even_sigma": 6.0}),
    (EventFlag.SECONDARY, {"secondary_snr": 20.0, "secondary_depth_ppm": 3000}),
    (EventFlag.TOO_DEEP, {"depth_ppm": 200_000}),
    (EventFlag.V_SHAPE, {"shape": 0.1}),
    (EventFlag.SINGLE_DOMINATES, {"single_event_fraction": 0.9}),
    (EventFlag.NEAR_GAP, {"gap_fraction": 0.8}),
    (EventFlag.SINUSOID, {"sinusoid_ratio": 1.5}),
    (EventFlag.LONG_DURATION, {"duration_h": 11.0}),
    (EventFlag.PERIOD_ALIAS, {"period_d": 13.69, "duration_h": 4.0}),
]


def test_every_test_has_a_case_and_every_flag_a_test():
    assert [case[0] for case in BAD] == [test[0] for test in TESTS]
    assert {test[0] for test in TESTS} | {EventFlag.EPOCH_PILE_UP} == set(EventFlag)


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
    for name in ("odd_even_sigma", "secondary_snr", "shape", "sinusoid_ratio"):
        event[name] = np.nan
    event["duration_h"] = 30
    assert flag(event, settings=SETTINGS).tolist() == [0]
    assert flag(event, radius=[np.nan], logg=[4.4], settings=SETTINGS).tolist() == [0]
    assert flag(empty_events(2), settings=SETTINGS).tolist() == [0, 0]


def test_an_occultation_of_a_hot_planet_is_no_binary():
    event = clean_event()
    event["secondary_snr"], event["secondary_depth_ppm"] = 12, 400
    assert flag(event, settings=SETTINGS).tolist() == [0]


def test_density_of_known_stars():
    # Sun; Proxima Centauri: 0.154 R_sun, 0.122 M_sun, logg 5.15.
    density = density_solar([1.0, 0.154, 0.0], [4.438, 5.15, 4.4])
    assert density[0] == pytest.approx(1)
    assert density[1] == pytest.approx(0.122 / 0.154**3, rel=0.05)
    assert np.isnan(density[2])


def test_pile_up_needs_the_same_epoch_and_period():
    events = np.concatenate([clean_event()] * 30)
    rng = np.random.default_rng(0)
    events["t0_btjd"] = 1325 + rng.permutation(30) * 0.3
    events["period_d"] = 2 + rng.permutation(30) * 0.3
    events["t0_btjd"][:6] = 1340.0 + rng.uniform(-0.02, 0.02, 6)
    events["period_d"][:6] = 5.0 + rng.uniform(-0.01, 0.01, 6)
    events["t0_btjd"][6:12] = 1341.0
    events["period_d"][12] = np.nan
    assert np.flatnonzero(pile_up(events, SETTINGS)).tolist() == [0, 1, 2, 3, 4, 5]
    assert not pile_up(events, VetSettings(pile_up_stars=7)).any()
    assert not pile_up(empty_events(0), SETTINGS).any()
