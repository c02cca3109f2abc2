"""From relative flux to flux that can be searched, with what was seen of the star's own variability on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larun.config import SearchSettings
from larun.search.detrend import detrend
from larun.search.prepare import clip
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
        See `larun.search.variability.variability`.
    """

    flux: np.ndarray
    sigma: np.ndarray
    variability: dict[str, np.ndarray]


def flatten(relative: np.ndarray, time: np.ndarray, cadence_d: float, settings: SearchSettings) -> Flat:
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
        `window_d` and `min_duration_h` are used.
    """
    flux = detrend(relative, time, settings.window_d)
    isolated = settings.min_duration_h / HOURS_PER_DAY >= ISOLATED_CADENCES * cadence_d
    sigma = clip(flux, isolated_dips=isolated)
    return Flat(flux, sigma, variability(relative, flux, time, cadence_d))
