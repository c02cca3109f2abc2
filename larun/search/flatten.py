"""From relative flux to flux that can be searched, with what was seen of the star's own variability on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.config import SearchSettings
from larun.search.cotrend import cotrend
from larun.search.detrend import detrend
from larun.search.prepare import clip
from larun.search.prewhiten import LESS, transit_cadences, transit_scatter, without_waves
from larun.search.variability import variability
from larun.units import HOURS_PER_DAY

ISOLATED_CADENCES = 6
"""Single low cadences are outliers where the shortest trial transit spans at least so many cadences."""


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
        See `larun.search.variability.variability`; and `n_waves`, waves that were taken out before the trend.
    """

    flux: np.ndarray
    sigma: np.ndarray
    variability: dict[str, np.ndarray]


def flatten(
    relative: np.ndarray, time: np.ndarray, cadence_d: float, settings: SearchSettings, group: np.ndarray | None = None
) -> Flat:
    """Take out of the flux what is no transit.

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
    isolated = settings.min_duration_h / HOURS_PER_DAY >= ISOLATED_CADENCES * cadence_d
    flux = detrend(relative, time, settings.window_d)
    shared = None
    if settings.cotrend and group is not None:
        shared = cotrend(flux, time, cadence_d, group)
        flux -= shared
    sigma = clip(flux, isolated_dips=isolated)
    seen = variability(relative, flux, time, cadence_d)
    seen["n_waves"] = np.zeros(len(relative), np.uint8)
    if settings.prewhiten:
        cadences = transit_cadences(cadence_d)
        for row, calm, n_waves in without_waves(relative, flux, seen, sigma, time, cadence_d, settings.window_d):
            flat = detrend(calm[None], time, settings.window_d)
            if shared is not None:
                flat -= shared[row]
            scatter = clip(flat, isolated_dips=isolated)
            if transit_scatter(flat[0], cadences) < LESS * transit_scatter(flux[row], cadences):
                flux[row], sigma[row], seen["n_waves"][row] = flat[0], scatter[0], n_waves
    return Flat(flux, sigma, seen)
