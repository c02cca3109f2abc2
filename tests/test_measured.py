"""Measured quantities: known values land where their limits say, and unknown ones in the middle."""

import numpy as np
import pytest

from larun import measured as m
from larun.schema import VIEW_DEFINITION, empty_events


def quantities(sector=None, **values):
    events = empty_events(1)
    for name, value in values.items():
        events[name] = value
    view = np.zeros((1, 256), np.float32) if sector is None else sector[np.newaxis].astype(np.float32)
    return dict(zip(m.NAMES, m.measured(events, view, np.zeros((1, len(m.UNFOLDED))))[0], strict=True))


def test_they_fill_their_part_of_the_vector():
    assert len(m.NAMES) == dict(VIEW_DEFINITION["views"])["measured"]
    assert not set(m.LOGARITHMIC) & set(m.LINEAR)


@pytest.mark.parametrize(
    ("column", "name", "limits"),
    [("snr", "snr", (3.0, 1e3)), ("period_d", "period", (0.4, 20.0)), ("depth_ppm", "depth", (50.0, 5e5))],
)
def test_logarithms_span_their_limits(column, name, limits):
    low, high = limits
    for value, expected in ((low, -1), (np.sqrt(low * high), 0), (high, 1), (0.1 * low, -1), (10 * high, 1)):
        assert quantities(**{column: value})[name] == pytest.approx(expected, abs=1e-6)


def test_shares_span_theirs_and_what_is_unknown_is_in_the_middle():
    assert quantities(shape=0.75)["shape"] == pytest.approx(0.5)
    assert quantities(shape=np.nan)["shape"] == 0
    assert quantities(secondary_phase=0.25)["secondary_off_opposition"] == pytest.approx(0.0)


def test_ratios_are_taken_of_what_the_event_holds():
    got = quantities(snr=20.0, secondary_snr=0.4, depth_ppm=2000.0, scatter_ppm=1000.0, n_transits=4)
    # 0.02 is the lower limit; 2 lies half-way between 0.02 and 200; 20 / sqrt(4) is log-linear within 0.5 and 300.
    assert got["secondary_over_snr"] == pytest.approx(-1.0)
    assert got["depth_over_scatter"] == pytest.approx(0.0, abs=1e-6)
    assert got["snr_per_transit"] == pytest.approx(2 * np.log(10 / 0.5) / np.log(300 / 0.5) - 1, abs=1e-6)


def test_a_single_transit_is_marked_and_has_no_period():
    single = quantities(t0_btjd=1330.0, duration_h=3.0)
    assert single["single"] == 1
    assert single["period"] == 0
    assert quantities(t0_btjd=1330.0, period_d=3.0)["single"] == -1


def test_a_period_that_is_the_variability_s_is_its_harmonic():
    for ratio, expected in ((1.0, 1.0), (2.0, 1.0), (0.25, 1.0), (1.5, 0.0)):
        assert quantities(period_d=3.0 * ratio, variability_period_d=3.0)["harmonic"] == pytest.approx(expected)


def test_the_sector_is_measured_in_units_of_its_noise():
    sigma = np.random.default_rng(0).standard_normal(256)
    got = quantities(np.arcsinh(sigma) / np.arcsinh(1e3))
    spread = np.median(np.abs(sigma - np.median(sigma)))
    assert got["bins_spread"] == pytest.approx(2 * np.log(spread / 0.05) / np.log(500 / 0.05) - 1, abs=1e-4)
    assert got["bins_deviation"] == pytest.approx(2 * np.log(sigma.std() / 0.05) / np.log(500 / 0.05) - 1, abs=1e-4)
    assert abs(got["bins_autocorrelation"]) < 0.2
    slow = quantities(np.arcsinh(100 * np.sin(np.arange(256) / 20)) / np.arcsinh(1e3))
    assert slow["bins_autocorrelation"] > 0.95
    assert slow["bins_16_step"] > got["bins_16_step"]


def test_every_quantity_is_finite_and_within_one_whatever_comes():
    rng = np.random.default_rng(1)
    events = empty_events(50)
    for name in events.dtype.names:
        wild = 10.0 ** rng.uniform(-4, 4, 50) * rng.choice([-1, 1], 50)
        wild[rng.random(50) < 0.2] = np.nan if events.dtype[name].kind == "f" else 0
        events[name] = wild if events.dtype[name].kind == "f" else np.abs(wild).astype(int) % 100
    values = m.measured(
        events, rng.uniform(-1, 1, (50, 256)).astype(np.float32), rng.exponential(1, (50, len(m.UNFOLDED)))
    )
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 1
