"""What the search measured of an event, and what its light curve looks like at large, as numbers for the network.

Every quantity is scaled to [-1, 1] and clipped there: linearly, or by its logarithm, between two limits. One that is
not known is 0, in the middle. None of them tells brightness, cadence, camera or time, by which a network could learn
where a light curve comes from instead of what it shows.
"""

from __future__ import annotations

import numpy as np

from larun.schema import VIEW_DEFINITION
from larun.units import HOURS_PER_DAY

PERCENTILES = (2, 5, 16, 84, 95, 98)
"""Of the bins of the sector view."""

LOGARITHMIC: dict[str, tuple[float, float]] = {
    "period": (0.4, 20.0),
    "duration": (0.6, 24.0),
    "duty_cycle": (0.005, 0.2),
    "density_duration": (0.5, 10.0),
    "depth": (50.0, 5e5),
    "snr": (3.0, 1e3),
    "snr_per_transit": (0.5, 300.0),
    "sde": (2.0, 50.0),
    "n_transits": (1.0, 60.0),
    "odd_even": (0.3, 100.0),
    "odd_even_epoch": (0.3, 100.0),
    "secondary_over_snr": (0.02, 2.0),
    "tertiary_over_snr": (0.02, 2.0),
    "positive_over_snr": (0.02, 2.0),
    "phase_scatter": (0.5, 50.0),
    "depth_over_scatter": (0.02, 200.0),
    "depth_over_red_noise": (0.5, 500.0),
    "red_noise_over_scatter": (0.02, 5.0),
    "variability_period": (0.03, 30.0),
    "variability_over_scatter": (0.05, 200.0),
    "variability_over_depth": (0.02, 100.0),
    "variability_fap": (0.1, 5000.0),
    "bins_spread": (0.05, 500.0),
    "bins_deviation": (0.05, 500.0),
    "bins_tails": (1.0, 30.0),
    "bins_step": (0.05, 500.0),
    "bins_largest_steps": (0.5, 500.0),
    "bins_4_spread": (0.05, 500.0),
    "bins_4_step": (0.05, 500.0),
    "bins_4_largest_step": (0.5, 500.0),
    "bins_16_spread": (0.05, 500.0),
    "bins_16_step": (0.05, 500.0),
    "bins_16_largest_step": (0.5, 500.0),
    "brightest_pair": (1.0, 1e3),
    "faintest_pair": (1.0, 1e3),
    "bright_pairs": (1e-5, 0.1),
    "faint_pairs": (1e-5, 0.1),
    "brightest_three": (1.0, 300.0),
    "faintest_three": (1.0, 300.0),
    "half_hour_power": (0.003, 1.0),
    "half_hour_excess": (0.7, 30.0),
}
"""Limits of the quantities that span orders of magnitude."""

LINEAR: dict[str, tuple[float, float]] = {
    "single": (0.0, 1.0),
    "detection": (0.0, 1.0),
    "secondary_over_depth": (0.0, 1.0),
    "secondary_off_opposition": (0.0, 0.5),
    "shape": (0.0, 1.0),
    "single_event_fraction": (0.0, 1.0),
    "gap_fraction": (0.0, 1.0),
    "phase_coverage": (0.0, 1.0),
    "variability_power": (0.0, 1.0),
    "rotation": (0.0, 1.0),
    "pulsation": (0.0, 1.0),
    "n_waves": (0.0, 8.0),
    "harmonic": (-1.0, 1.0),
    "beside_gaps": (0.0, 1.0),
    "strongest_from_gap": (0.0, 6.0),
    "bins_autocorrelation": (-1.0, 1.0),
    "bins_8_autocorrelation": (-1.0, 1.0),
    **{f"bins_percentile_{q}": (-1.0, 1.0) for q in PERCENTILES},
}
"""Limits of the others."""

UNFOLDED = (
    *("brightest_pair", "faintest_pair", "bright_pairs", "faint_pairs", "brightest_three", "faintest_three"),
    *("half_hour_power", "half_hour_excess", "beside_gaps", "strongest_from_gap"),
)
"""What `larun.unfolded` measures."""

NAMES = (*LOGARITHMIC, *LINEAR)

HARMONIC_WIDTH = 0.02
"""Octaves around a power of two of the variability's period within which a period counts as one of its harmonics."""

_LEAST = 1e-9


def measured(events: np.ndarray, sector: np.ndarray, unfolded: np.ndarray) -> np.ndarray:
    """Quantities of events, in the order of `NAMES`.

    Parameters
    ----------
    events : (n,) structured
        Records of `larun.schema.event_dtype`.
    sector : (n, bins) float32
        Sector view of each, see `larun.views`.
    unfolded : (n, 10) float
        The quantities `UNFOLDED` of each; NaN where not known.

    Returns
    -------
    (n, quantities) float32
        Within [-1, 1].
    """
    values = _of_events(events) | _of_sector(sector) | dict(zip(UNFOLDED, unfolded.T, strict=True))
    out = np.zeros((len(events), len(NAMES)), np.float32)
    for column, name in enumerate(NAMES):
        low, high = LOGARITHMIC[name] if name in LOGARITHMIC else LINEAR[name]
        value = np.clip(np.asarray(values[name], np.float64), low, high)
        if name in LOGARITHMIC:
            low, high, value = np.log(low), np.log(high), np.log(value)
        out[:, column] = np.nan_to_num(2.0 * (value - low) / (high - low) - 1.0, nan=0.0)
    return out


def _of_events(events: np.ndarray) -> dict[str, np.ndarray]:
    """What the search says of each event; NaN where it says nothing."""
    e = {name: events[name].astype(np.float64) for name in events.dtype.names}
    period, duration_h = e["period_d"], e["duration_h"]
    depth, snr, scatter, red = (
        np.maximum(e[name], _LEAST) for name in ("depth_ppm", "snr", "scatter_ppm", "red_noise_ppm")
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        octaves = np.log2(period / e["variability_period_d"])
        return {
            "single": np.isnan(period) & np.isfinite(e["t0_btjd"]),
            "period": period,
            "duration": duration_h,
            "duty_cycle": duration_h / HOURS_PER_DAY / period,
            "density_duration": duration_h / np.cbrt(period),
            "depth": depth,
            "snr": snr,
            "snr_per_transit": snr / np.sqrt(np.maximum(e["n_transits"], 1.0)),
            "n_transits": np.maximum(e["n_transits"], 1.0),
            "odd_even": np.abs(e["odd_even_sigma"]),
            "odd_even_epoch": np.abs(e["odd_even_epoch_sigma"]),
            "secondary_over_depth": e["secondary_depth_ppm"] / depth,
            "secondary_off_opposition": np.abs(e["secondary_phase"] - 0.5),
            "secondary_over_snr": e["secondary_snr"] / snr,
            "tertiary_over_snr": e["tertiary_snr"] / snr,
            "positive_over_snr": e["positive_snr"] / snr,
            "depth_over_scatter": depth / scatter,
            "depth_over_red_noise": depth / red,
            "red_noise_over_scatter": red / scatter,
            "variability_period": e["variability_period_d"],
            "variability_over_scatter": e["variability_amplitude_ppm"] / scatter,
            "variability_over_depth": e["variability_amplitude_ppm"] / depth,
            "variability_fap": -e["variability_log_fap"],
            "rotation": e["variability_kind"] == 1,
            "pulsation": e["variability_kind"] == 2,
            "harmonic": np.exp(-np.square((octaves - np.round(octaves)) / HARMONIC_WIDTH)),
        } | {name: e[name] for name in NAMES if name in e}


def _of_sector(sector: np.ndarray) -> dict[str, np.ndarray]:
    """Spread, steps and correlation of the undetrended light curve, from its sector view, in units of its noise."""
    x = np.sinh(sector.astype(np.float64) * np.arcsinh(VIEW_DEFINITION["compression"]))
    step = np.abs(np.diff(x, axis=1))
    spread, deviation = _spread(x), x.std(axis=1)
    values = {
        "bins_spread": spread,
        "bins_deviation": deviation,
        "bins_tails": deviation / np.maximum(spread, 1e-3),
        "bins_step": np.median(step, axis=1),
        "bins_largest_steps": np.percentile(step, 99, axis=1),
        "bins_autocorrelation": _correlation(sector, 1),
        "bins_8_autocorrelation": _correlation(sector, 8),
    }
    for width in (4, 16):
        mean = x[:, : x.shape[1] // width * width].reshape(len(x), -1, width).mean(axis=2)
        step = np.abs(np.diff(mean, axis=1))
        values[f"bins_{width}_spread"] = _spread(mean)
        values[f"bins_{width}_step"] = np.median(step, axis=1)
        values[f"bins_{width}_largest_step"] = step.max(axis=1)
    for q, row in zip(PERCENTILES, np.percentile(sector, PERCENTILES, axis=1), strict=True):
        values[f"bins_percentile_{q}"] = row
    return values


def _spread(values: np.ndarray) -> np.ndarray:
    """Median absolute deviation of each row."""
    return np.median(np.abs(values - np.median(values, axis=1, keepdims=True)), axis=1)


def _correlation(values: np.ndarray, lag: int) -> np.ndarray:
    """Correlation of each row with itself some bins later; 0 for a constant one."""
    first, second = (
        part - part.mean(axis=1, keepdims=True) for part in (values[:, :-lag].astype(np.float64), values[:, lag:])
    )
    size = np.sqrt(np.square(first).sum(axis=1) * np.square(second).sum(axis=1))
    return (first * second).sum(axis=1) / np.maximum(size, _LEAST)
