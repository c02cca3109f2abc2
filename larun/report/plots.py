"""Plots of one candidate, as PNG bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from larun.units import HOURS_PER_DAY, PPM, from_mid_transit_d

INK, POINTS, ACCENT, SECOND = "#1b2733", "#9fb3c8", "#c2410c", "#1d6fb8"

BIN_H = 0.5
"""Bin of the medians over the light curves, hours."""


@dataclass(frozen=True)
class EventCurve:
    """A light curve around its event, ready to plot.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric time, BTJD.
    relative, detrended : (cadence,) float32
        Flux over its median, before and after detrending; NaN where masked.
    period_d, t0, duration_h, depth_ppm : float
        The event.
    secondary_phase : float
        Phase of the deepest other dip, 0 to 1; 0.5 where none was measured.
    """

    time: np.ndarray
    relative: np.ndarray
    detrended: np.ndarray
    period_d: float
    t0: float
    duration_h: float
    depth_ppm: float
    secondary_phase: float = 0.5

    def phase_h(self, period_d: float | None = None, t0: float | None = None) -> np.ndarray:
        """Hours from the nearest mid-time, (cadence,)."""
        return from_mid_transit_d(self.time, period_d or self.period_d, self.t0 if t0 is None else t0) * HOURS_PER_DAY


def bin_median(x: np.ndarray, y: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Median of `y` in bins of `width` along `x`; bins without a finite value are left out."""
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    index = np.floor(x / width).astype(np.int64)
    order = np.argsort(index, kind="stable")
    index, y = index[order], y[order]
    numbers, first = np.unique(index, return_index=True)
    medians = np.array([np.median(part) for part in np.split(y, first[1:])]) if len(numbers) else np.empty(0)
    return (numbers + 0.5) * width, medians


def candidate_figure(curve: EventCurve, title: str) -> bytes:
    """Draw the light curve before and after detrending, folded, around the transit, odd/even and secondary.

    Parameters
    ----------
    curve : EventCurve
        The light curve and its event.
    title : str
        Written above all.

    Returns
    -------
    bytes
        PNG of 1180 x 1000 pixels; the same curve gives the same bytes, whatever the person's own matplotlib style.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context("default"):
        figure = Figure(figsize=(11.8, 10.0), dpi=100)
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(
            4,
            3,
            left=0.075,
            right=0.985,
            top=0.955,
            bottom=0.055,
            hspace=0.42,
            wspace=0.3,
            height_ratios=(1, 1, 1, 1.2),
        )
        _series(figure.add_subplot(grid[0, :]), curve, curve.relative, "flux / median")
        _series(figure.add_subplot(grid[1, :]), curve, curve.detrended, "detrended")
        _folded(figure.add_subplot(grid[2, :]), curve)
        _around(figure.add_subplot(grid[3, 0]), curve)
        _odd_even(figure.add_subplot(grid[3, 1]), curve)
        _secondary(figure.add_subplot(grid[3, 2]), curve)
        figure.suptitle(title, color=INK, fontsize=12, y=0.992)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def flux_limits(flux: np.ndarray, lowest: float = 1.0) -> tuple[float, float] | None:
    """Limits of a flux axis that show all but the wildest points, and always `lowest`.

    None where no flux is finite.
    """
    finite = flux[np.isfinite(flux)]
    if not len(finite):
        return None
    low, high = np.percentile(finite, [0.2, 99.8])
    low, high = min(low, lowest), max(high, lowest)
    pad = 0.06 * (high - low) + 1e-6
    return float(low - pad), float(high + pad)


def transit_times(curve: EventCurve) -> np.ndarray:
    """Predicted mid-times between the first and the last cadence that was searched, days."""
    searched = curve.time[np.isfinite(curve.detrended)]
    if not len(searched):
        return np.empty(0)
    first = np.ceil((searched[0] - curve.t0) / curve.period_d)
    last = np.floor((searched[-1] - curve.t0) / curve.period_d)
    return curve.t0 + np.arange(first, last + 1) * curve.period_d


def _bottom(curve: EventCurve) -> float:
    """Flux that every panel with the transit shows: somewhat below its mean depth."""
    return 1 - 1.3 * curve.depth_ppm / PPM


def _dress(axis, xlabel: str, ylabel: str, limits: tuple[float, float] | None) -> None:
    axis.set_xlabel(xlabel, fontsize=9, labelpad=2)
    axis.set_ylabel(ylabel, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.ticklabel_format(useOffset=False, style="plain")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    if limits:
        axis.set_ylim(*limits)


def _series(axis, curve: EventCurve, flux: np.ndarray, ylabel: str) -> None:
    axis.plot(curve.time, flux, ".", ms=1.2, color=POINTS)
    axis.plot(*bin_median(curve.time, flux, BIN_H / HOURS_PER_DAY), ".", ms=2, color=INK)
    for middle in transit_times(curve):
        axis.axvline(middle, ymax=0.05, color=ACCENT, lw=1.6)
    searched = curve.time[np.isfinite(curve.detrended)]
    if len(searched):
        margin = 0.01 * (searched[-1] - searched[0])
        axis.set_xlim(searched[0] - margin, searched[-1] + margin)
    _dress(axis, "BJD - 2457000 [d]", ylabel, flux_limits(flux, _bottom(curve)))


def _folded(axis, curve: EventCurve) -> None:
    phase = curve.phase_h() / (curve.period_d * HOURS_PER_DAY)
    phase = np.where(phase < -0.25, phase + 1, phase)
    duty = curve.duration_h / HOURS_PER_DAY / curve.period_d
    axis.plot(phase, curve.detrended, ".", ms=1.2, color=POINTS)
    axis.plot(*bin_median(phase, curve.detrended, min(1 / 200, duty / 4)), ".", ms=3, color=INK)
    axis.axvspan(-0.5 * duty, 0.5 * duty, color=ACCENT, alpha=0.12, lw=0)
    second = curve.secondary_phase if curve.secondary_phase < 0.75 else curve.secondary_phase - 1
    axis.axvspan(second - 0.5 * duty, second + 0.5 * duty, color=SECOND, alpha=0.12, lw=0)
    axis.set_xlim(-0.25, 0.75)
    _dress(axis, f"phase, period {curve.period_d:.5f} d", "detrended", flux_limits(curve.detrended, _bottom(curve)))


def _zoom(axis, curve: EventCurve, hours: np.ndarray, color: str, label: str | None = None) -> np.ndarray:
    """Points and medians around hour 0 of `hours`; returns which cadences are shown."""
    edge = min(3 * curve.duration_h, 0.5 * curve.period_d * HOURS_PER_DAY)
    near = np.abs(hours) <= edge
    if label is None:
        axis.plot(hours[near], curve.detrended[near], ".", ms=1.5, color=POINTS)
    x, y = bin_median(hours[near], curve.detrended[near], curve.duration_h / 7)
    axis.plot(x, y, "o", ms=4, color=color, label=label)
    axis.set_xlim(-1.03 * edge, 1.03 * edge)
    return near


def _around(axis, curve: EventCurve) -> None:
    near = _zoom(axis, curve, curve.phase_h(), INK)
    half, depth = 0.5 * curve.duration_h, curve.depth_ppm / PPM
    axis.axvspan(-half, half, color=ACCENT, alpha=0.12, lw=0)
    axis.plot([-half, half], [1 - depth, 1 - depth], color=ACCENT, lw=1.4)
    axis.set_title("transit, its duration and mean depth", fontsize=9)
    _dress(axis, "hours from mid-transit", "detrended", flux_limits(curve.detrended[near], _bottom(curve)))


def _odd_even(axis, curve: EventCurve) -> None:
    for start, color, label in ((0, ACCENT, "odd"), (1, SECOND, "even")):
        hours = curve.phase_h(2 * curve.period_d, curve.t0 + start * curve.period_d)
        _zoom(axis, curve, hours, color, label)
    axis.axhline(1 - curve.depth_ppm / PPM, color=INK, lw=0.8, ls=":")
    axis.set_title("odd and even transits", fontsize=9, loc="left")
    axis.legend(fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 0.985), borderaxespad=0)
    _dress(axis, "hours from mid-transit", "detrended, medians", None)


def _secondary(axis, curve: EventCurve) -> None:
    near = _zoom(axis, curve, curve.phase_h(t0=curve.t0 + curve.secondary_phase * curve.period_d), SECOND)
    half = 0.5 * curve.duration_h
    axis.axvspan(-half, half, color=SECOND, alpha=0.12, lw=0)
    axis.set_title(f"deepest other dip, at phase {curve.secondary_phase:.3f}", fontsize=9)
    aside = near & (np.abs(curve.phase_h()) > 0.75 * curve.duration_h)
    _dress(axis, f"hours from phase {curve.secondary_phase:.3f}", "detrended", flux_limits(curve.detrended[aside]))
