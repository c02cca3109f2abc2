"""From relative flux to flux that can be searched, with what was seen of the star's own variability on the way."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from larun.config import SearchSettings
from larun.finite import finite_anywhere
from larun.lanes import LANES
from larun.search.cotrend import cotrend
from larun.search.detrend import GAP_D, detrend
from larun.search.prepare import clip
from larun.search.prewhiten import LESS, transit_cadences, transit_scatter, without_waves
from larun.search.variability import variability
from larun.units import HOURS_PER_DAY

ISOLATED_CADENCES = 6
"""Single low cadences are outliers where the shortest trial transit spans at least so many cadences."""

WINDOW_OF_HIDDEN = 3.0
"""The window is at least so many times as long as what is hidden from it."""

PAUSE_D = 5.0
LONGEST_PIECE_D = 45.0
"""Stars change, and systematics do: pieces with a longer pause between them, and pieces longer than that where they
have a gap, are flattened one by one."""


@dataclass(frozen=True)
class Flat:
    """Flux of several stars that can be searched.

    Parameters
    ----------
    flux : (star, cadence) float32
        Around 1, NaN where masked or clipped.
    sigma : (star,) float64
        Robust scatter per cadence, before clipping.
    variability : dict of str to (star,) array
        See `larun.search.variability.variability`, of the longest piece; and `n_waves`, most waves that were taken
        out of a piece before the trend.
    calm : (star, cadence) float32
        Flux before the trend was taken out, over the star's waves where they were; NaN where masked.
    shared : (star, cadence) float32 or None
        Systematics that were subtracted after the trend.
    """

    flux: np.ndarray
    sigma: np.ndarray
    variability: dict[str, np.ndarray]
    calm: np.ndarray
    shared: np.ndarray | None = None


def flatten(
    relative: np.ndarray, time: np.ndarray, cadence_d: float, settings: SearchSettings, group: np.ndarray | None = None
) -> Flat:
    """Take out of the flux what is no transit, piece by piece of the time series.

    Parameters
    ----------
    relative : (star, cadence) float32
        Around 1, NaN where masked.
    time : (cadence,) float64
        Days, increasing.
    cadence_d : float
        Time between cadences, days.
    settings : SearchSettings
        `window_d`, `cotrend`, `prewhiten` and `min_duration_h` are used.
    group : (star,) int, optional
        Stars with the same positive number share systematics, see `larun.search.cotrend.groups_of`.
    """
    parts = pieces(time, finite_anywhere(relative))
    flats = [_flatten(relative[:, part], time[part], cadence_d, settings, group) for part in parts]
    if len(flats) == 1:
        return flats[0]
    longest = np.argmax([part.stop - part.start for part in parts])
    seen = flats[longest].variability
    seen["n_waves"] = np.max([flat.variability["n_waves"] for flat in flats], axis=0)
    sigma = np.array([flat.sigma for flat in flats])
    counts = np.array([np.isfinite(flat.flux).sum(axis=1) for flat in flats])
    share = np.where(np.isfinite(sigma), counts, 0)
    sigma = np.sqrt(np.sum(share * np.nan_to_num(sigma) ** 2, axis=0) / np.maximum(share.sum(axis=0), 1))
    flux, calm = (np.concatenate([getattr(flat, name) for flat in flats], axis=1) for name in ("flux", "calm"))
    shared = None if flats[0].shared is None else np.concatenate([flat.shared for flat in flats], axis=1)
    return Flat(flux, sigma, seen, calm, shared)


def flatten_around(
    flat: Flat, rows: np.ndarray, hidden: np.ndarray, time: np.ndarray, cadence_d: float, longest_d: np.ndarray,
    settings: SearchSettings,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Flatten some stars again with cadences that have no say in their trends.

    Parameters
    ----------
    flat : Flat
        From `flatten`.
    rows : (star,) int
        The stars.
    hidden : (star, cadence) bool
        Cadences of their transits.
    time : (cadence,) float64
        Days, increasing.
    cadence_d : float
        Time between cadences, days.
    longest_d : (star,) float
        Longest run of hidden ones, days.
    settings : SearchSettings
        `window_d` and `min_duration_h` are used.

    Returns
    -------
    flux : (star, cadence) float32
        Around 1, NaN where masked or clipped.
    sigma : (star,) float64
        Robust scatter per cadence.
    """
    flux = np.empty((len(rows), len(time)), np.float32)
    window_d = np.maximum(settings.window_d, WINDOW_OF_HIDDEN * np.asarray(longest_d))
    for window in np.unique(window_d):
        own = np.flatnonzero(window_d == window)
        flux[own] = detrend(flat.calm[rows[own]], time, float(window), hidden[own])
    if flat.shared is not None:
        flux -= flat.shared[rows]
    return flux, clip(flux, time, isolated_dips=_isolated(cadence_d, settings))


def _isolated(cadence_d: float, settings: SearchSettings) -> bool:
    """Whether a single low cadence is an outlier."""
    return settings.min_duration_h / HOURS_PER_DAY >= ISOLATED_CADENCES * cadence_d


def pieces(time: np.ndarray, observed: np.ndarray) -> list[slice]:
    """Cut a time series at its longest gap until no piece is longer than a sector or two, or pauses for days.

    Parameters
    ----------
    time : (cadence,) float64
        Days, increasing.
    observed : (cadence,) bool
        Cadences with flux; gaps are between these.

    Returns
    -------
    list of slice
        In order, of all cadences; one for a single sector.
    """
    rows = np.flatnonzero(observed)

    def cut(first: int, stop: int) -> list[int]:
        steps = np.diff(time[rows[first:stop]])
        widest = steps.max(initial=0.0)
        too_long = steps.sum() > LONGEST_PIECE_D
        if widest <= (GAP_D if too_long else PAUSE_D):
            return []
        middle = first + int(np.argmax(steps)) + 1
        return [*cut(first, middle), int(rows[middle]), *cut(middle, stop)]

    edges = [0, *cut(0, len(rows)), len(time)]
    return [slice(*edge) for edge in itertools.pairwise(edges)]


def _flatten(
    relative: np.ndarray, time: np.ndarray, cadence_d: float, settings: SearchSettings, group: np.ndarray | None
) -> Flat:
    """Flatten one piece."""
    isolated, base = _isolated(cadence_d, settings), relative
    flux = detrend(relative, time, settings.window_d)
    shared = None
    if settings.cotrend and group is not None and (group > 0).any():
        shared = cotrend(flux, time, cadence_d, group)
        flux -= shared
    sigma = clip(flux, time, isolated_dips=isolated)
    seen = variability(relative, flux, time, cadence_d)
    seen["n_waves"] = np.zeros(len(relative), np.uint8)
    if settings.prewhiten:
        cadences = transit_cadences(cadence_d)
        wavy = without_waves(relative, flux, seen, sigma, time, cadence_d, settings.window_d)
        # Sixteen at a time, as many as share the passes of a trend.
        while some := list(itertools.islice(wavy, LANES)):
            rows = [row for row, *_ in some]
            flats = detrend(np.stack([calm for _, calm, _ in some]), time, settings.window_d)
            if shared is not None:
                flats -= shared[rows]
            scatters = clip(flats, time, isolated_dips=isolated)
            for (row, calm, n_waves), flat, scatter in zip(some, flats, scatters, strict=True):
                if transit_scatter(flat, cadences) < LESS * transit_scatter(flux[row], cadences):
                    base = relative.copy() if base is relative else base
                    flux[row], sigma[row], seen["n_waves"][row], base[row] = flat, scatter, n_waves, calm
    return Flat(flux, sigma, seen, base, shared)
