"""Plots of one candidate, as PNG bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from larun.units import HOURS_PER_DAY

INK, POINTS, ACCENT, SECOND = "#1b2733", "#9fb3c8", "#c2410c", "#1d6fb8"


@dataclass(frozen=True)
class EventCurve:
    """A light curve around its event, ready to plot.

    Parameters
    ----------
    time : (cadence,) float64
        Barycentric time, days.
    relative, detrended : (cadence,) float32
        Flux over its median, before and after detrending; NaN where masked.
    period_d, t0, duration_h, depth_ppm : float
        The event.
    """

    time: np.ndarray
    relative: np.ndarray
    detrended: np.ndarray
    period_d: float
    t0: float
    duration_h: float
    depth_ppm: float

    def phase_h(self, period_d: float | None = None, t0: float | None = None) -> np.ndarray:
        """Hours from the nearest mid-time, (cadence,)."""
        period = period_d or self.period_d
        cycles = (self.time - (self.t0 if t0 is None else t0)) / period
        return (cycles - np.round(cycles)) * period * HOURS_PER_DAY


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


def candidate_figure(curve: EventCurve, title: str, time_format: str = "btjd") -> bytes:
    """Draw the light curve before and after detrending, folded, around the transit, odd/even and secondary."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(4, 3)
    _series(figure.add_subplot(grid[0, :]), curve, curve.relative, "flux / median", time_format)
    _series(figure.add_subplot(grid[1, :]), curve, curve.detrended, "detrended", time_format)
    _folded(figure.add_subplot(grid[2, :]), curve)
    _around(figure.add_subplot(grid[3, 0]), curve)
    _odd_even(figure.add_subplot(grid[3, 1]), curve)
    _half_phase(figure.add_subplot(grid[3, 2]), curve)
    figure.suptitle(title, color=INK, fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _limits(axis, values: np.ndarray, depth_ppm: float = 0.0) -> None:
    """Show all but the wildest points, and always the whole transit."""
    finite = values[np.isfinite(values)]
    if len(finite):
        low, high = np.percentile(finite, [0.2, 99.8])
        low = min(low, 1 - 1.3 * depth_ppm * 1e-6)
        pad = 0.08 * (high - low) + 1e-6
        axis.set_ylim(low - pad, high + pad)


def _dress(axis, xlabel: str, ylabel: str) -> None:
    axis.set_xlabel(xlabel, fontsize=9)
    axis.set_ylabel(ylabel, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.ticklabel_format(useOffset=False)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _series(axis, curve: EventCurve, flux: np.ndarray, ylabel: str, time_format: str) -> None:
    axis.plot(curve.time, flux, ".", ms=1.2, color=POINTS, rasterized=True)
    x, y = bin_median(curve.time, flux, 0.5 / HOURS_PER_DAY)
    axis.plot(x, y, ".", ms=2, color=INK)
    _limits(axis, flux, curve.depth_ppm)
    last = np.nanmax(curve.time)
    first = np.ceil((np.nanmin(curve.time) - curve.t0) / curve.period_d)
    for epoch in curve.t0 + np.arange(first, (last - curve.t0) // curve.period_d + 1) * curve.period_d:
        axis.axvline(epoch, ymax=0.06, color=ACCENT, lw=1.4)
    _dress(axis, f"time [{time_format.upper()}, d]", ylabel)


def _folded(axis, curve: EventCurve) -> None:
    phase = curve.phase_h() / (curve.period_d * HOURS_PER_DAY)
    phase = np.where(phase < -0.25, phase + 1, phase)
    axis.plot(phase, curve.detrended, ".", ms=1.2, color=POINTS, rasterized=True)
    axis.plot(*bin_median(phase, curve.detrended, 1 / 200), ".", ms=3, color=INK)
    _limits(axis, curve.detrended, curve.depth_ppm)
    axis.set_xlim(-0.25, 0.75)
    _dress(axis, f"phase, P = {curve.period_d:.5f} d", "detrended")


def _zoom(axis, curve: EventCurve, hours: np.ndarray, color: str, label: str | None = None, ms: float = 4) -> None:
    near = np.abs(hours) < 3 * curve.duration_h
    if label is None:
        axis.plot(hours[near], curve.detrended[near], ".", ms=1.5, color=POINTS, rasterized=True)
    x, y = bin_median(hours[near], curve.detrended[near], curve.duration_h / 6)
    axis.plot(x, y, "o", ms=ms, color=color, label=label)


def _around(axis, curve: EventCurve) -> None:
    _zoom(axis, curve, curve.phase_h(), INK)
    half, depth = curve.duration_h / 2, curve.depth_ppm * 1e-6
    edge = 3 * curve.duration_h
    axis.plot([-edge, -half, -half, half, half, edge], [1, 1, 1 - depth, 1 - depth, 1, 1], color=ACCENT, lw=1.2)
    near = np.abs(curve.phase_h()) < edge
    _limits(axis, curve.detrended[near], curve.depth_ppm)
    _dress(axis, "hours from mid-transit", "detrended")


def _odd_even(axis, curve: EventCurve) -> None:
    for start, color, label in ((0, ACCENT, "odd"), (1, SECOND, "even")):
        hours = curve.phase_h(2 * curve.period_d, curve.t0 + start * curve.period_d)
        _zoom(axis, curve, hours, color, label)
    axis.axhline(1 - curve.depth_ppm * 1e-6, color=INK, lw=0.8, ls=":")
    axis.legend(fontsize=8, frameon=False)
    _dress(axis, "hours from mid-transit", "odd and even transits")


def _half_phase(axis, curve: EventCurve) -> None:
    _zoom(axis, curve, curve.phase_h(t0=curve.t0 + curve.period_d / 2), INK)
    near = np.abs(curve.phase_h(t0=curve.t0 + curve.period_d / 2)) < 3 * curve.duration_h
    _limits(axis, curve.detrended[near])
    _dress(axis, "hours from phase 0.5", "half a period later")
