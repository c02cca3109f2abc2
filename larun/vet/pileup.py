"""Transits of many stars at once, which the spacecraft makes and not the stars."""

from __future__ import annotations

import numpy as np
from numba import njit

PILE_UP_PERIOD = 0.01
"""Relative difference of periods within a pile-up."""

WINDOW_D = 0.1
"""Transits within half of this of each other are simultaneous: systematics last for hours, and barycentric times of
one moment differ by minutes between stars."""

EXCESS, SIGMA = 3.0, 5.0
"""Events pile up where there are so many times the usual number, so that two of three are not the stars', and so many
standard deviations of a Poisson distribution more."""

MOST_TRANSITS = 12
"""Events with more transits say nothing about a time."""


def same_ephemeris(period_d: np.ndarray, t0_btjd: np.ndarray, reach_d: np.ndarray) -> np.ndarray:
    """Number of other events that share an event's ephemeris, where chance does not bring so many together.

    Parameters
    ----------
    period_d, t0_btjd : (event,) float64
        Period and mid-time of the first transit; NaN where there is none.
    reach_d : (event,) float64
        Largest difference of the mid-times.

    Returns
    -------
    (event,) int64
        Events whose first transit lies within `reach_d` and whose period differs by less than 1 %; 0 unless they
        are far more than events of this period whose first transits lie anywhere in it.
    """
    known = np.flatnonzero(np.isfinite(period_d) & np.isfinite(t0_btjd) & np.isfinite(reach_d))
    order = known[np.argsort(t0_btjd[known], kind="stable")]
    epochs = t0_btjd[order]
    first = np.searchsorted(epochs, epochs - reach_d[order])
    last = np.searchsorted(epochs, epochs + reach_d[order], side="right")
    periods = np.sort(period_d[known])
    own = period_d[order]
    alike = np.searchsorted(periods, own * (1 + PILE_UP_PERIOD)) - np.searchsorted(periods, own * (1 - PILE_UP_PERIOD))
    shared = np.zeros(len(period_d), np.int64)
    others = _alike(own, first, last) - 1
    shared[order] = np.where(_too_many(others, alike * np.minimum(2 * reach_d[order] / own, 1.0)), others, 0)
    return shared


def _too_many(found, usual):
    """Whether a number is far above the usual one, and no fluctuation of it."""
    return found >= np.maximum(EXCESS * usual, usual + SIGMA * np.sqrt(usual))


@njit(cache=True, nogil=True)
def _alike(periods, first, last):
    """Entries from `first` to `last` whose period is like each entry's own, itself counted."""
    alike = np.zeros(len(periods), np.int64)
    for i in range(len(periods)):
        low, high = periods[i] * (1 - PILE_UP_PERIOD), periods[i] * (1 + PILE_UP_PERIOD)
        for k in range(first[i], last[i]):
            alike[i] += low < periods[k] < high
    return alike


def piled_up_share(
    period_d: np.ndarray, t0_btjd: np.ndarray, n_transits: np.ndarray, camera: np.ndarray, least: int
) -> np.ndarray:
    """Share of each event's transits at times when unusually many stars of its camera dim.

    Parameters
    ----------
    period_d, t0_btjd : (event,) float64
        Period, NaN for a single transit, and mid-time of the first transit.
    n_transits : (event,) int
        Transits that were observed.
    camera : (event,) int
        Stars of one camera share their scattered light.
    least : int
        So many others must dim at the same time.

    Returns
    -------
    (event,) float64
        NaN for events of more than 12 transits: chance puts some of them anywhere.

    Notes
    -----
    The usual number is the median over the sector of the transits in a window, empty windows left out. The counting
    of epochs follows the Skye test of Thompson et al. (2018, ApJS 235, 38).
    """
    share = np.full(len(period_d), np.nan)
    known = np.isfinite(t0_btjd) & (n_transits > 0) & (n_transits <= MOST_TRANSITS)
    known &= np.isfinite(period_d) | (n_transits == 1)
    if not known.any():
        return share
    period = np.where(n_transits > 1, period_d, np.inf)
    end = np.max(t0_btjd[known] + (n_transits[known] - 1) * np.nan_to_num(period_d[known]))
    for number in np.unique(camera[known]):
        rows = np.flatnonzero(known & (camera == number))
        count = np.floor(np.maximum(end - t0_btjd[rows], 0) / period[rows]).astype(np.int64) + 1
        owner = np.repeat(np.arange(len(rows)), count)
        cycle = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        times = t0_btjd[rows][owner] + np.where(cycle > 0, cycle * period_d[rows][owner], 0.0)
        piled = _crowded(times, least)
        share[rows] = np.bincount(owner, piled, minlength=len(rows)) / count
    return share


def _crowded(times: np.ndarray, least: int) -> np.ndarray:
    """Whether unusually many of the other times lie within half a window of each."""
    ordered = np.sort(times)
    grid = np.arange(ordered[0], ordered[-1] + WINDOW_D, WINDOW_D)
    counts, _ = np.histogram(ordered, np.append(grid, grid[-1] + WINDOW_D))
    usual = np.median(counts[counts > 0])
    others = _within(ordered, times) - 1
    return (others >= least) & _too_many(others, usual)


def _within(ordered: np.ndarray, times: np.ndarray) -> np.ndarray:
    first = np.searchsorted(ordered, times - 0.5 * WINDOW_D)
    return np.searchsorted(ordered, times + 0.5 * WINDOW_D, side="right") - first
