"""Vetting tests that need all events of a sector at once."""

from __future__ import annotations

import numpy as np

from larun.config import VetSettings
from larun.units import HOURS_PER_DAY

PILE_UP_PERIOD = 0.01
"""Relative difference of periods within a pile-up."""


def pile_up(events: np.ndarray, settings: VetSettings) -> np.ndarray:
    """Events whose epoch and period recur over a whole sector, which the spacecraft makes and not the stars.

    Parameters
    ----------
    events : (star,) structured
        Best events of all stars of a sector.
    settings : VetSettings
        `pile_up_stars` is used.

    Returns
    -------
    (star,) bool
        Whether at least so many stars, this one counted, share the epoch of the first transit within half of
        this duration and the period within 1 %.
    """
    period, t0 = events["period_d"], events["t0_btjd"]
    reach = 0.5 * events["duration_h"].astype(np.float64) / HOURS_PER_DAY
    known = np.flatnonzero(np.isfinite(period) & np.isfinite(t0) & np.isfinite(reach))
    order = known[np.argsort(t0[known], kind="stable")]
    epochs, periods = t0[order], period[order]
    first = np.searchsorted(epochs, epochs - reach[order])
    last = np.searchsorted(epochs, epochs + reach[order], side="right")
    piled = np.zeros(len(events), bool)
    for i, (low, high) in enumerate(zip(first, last, strict=True)):
        if high - low >= settings.pile_up_stars:
            alike = np.abs(periods[low:high] / periods[i] - 1) < PILE_UP_PERIOD
            piled[order[i]] = alike.sum() >= settings.pile_up_stars
    return piled
