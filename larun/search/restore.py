"""Strong events again, with their transits hidden from the trend that eats into them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from larun.config import SearchSettings
from larun.lanes import LANES
from larun.search.events import MASKED_DETECTION, Best, Flux, in_transits
from larun.search.measure import measure
from larun.search.refine import Box, refine
from larun.units import HOURS_PER_DAY

LONG_DETECTION, LONG_WINDOWS = 0.55, 1 / 6
"""Detection score of an event that is strong enough if it is longer than such a share of the window: the shoulders that
the trend makes beside it cost it score."""

MOST_SINUSOID = 0.5
"""Events of which a sinusoid explains a larger share of what the box does are left alone."""


def restore_transits(stars: Flux, first: Iterable[Best], settings: SearchSettings) -> list[Best]:
    """Flatten strong events again without their transits, and measure them again.

    A sliding trend takes 5 % of the depth of a transit of 2 h and half of one of 13 h. Events that are not strong are
    left alone: hiding a dip of noise from the trend makes it deeper too. For the same reason the detection score stays
    that of the search.

    Parameters
    ----------
    stars : Flux
        Its flux and scatter are replaced where an event is.
    first : iterable of Best
        From `larun.search.events.best_events`.
    settings : SearchSettings
        As for the search.

    Returns
    -------
    (star,) list of Best
        The same with the events of strong stars measured again, unless that does not make them stronger; and with what
        `Flux.point` fills in.
    """
    restored = list(first)
    # Of a wave every trough would be hidden.
    strong = [
        star
        for star, best in enumerate(restored)
        if _worth_it(best, settings) and best.event["sinusoid_ratio"] < MOST_SINUSOID
    ]
    for some in range(0, len(strong), LANES):
        batch = strong[some : some + LANES]
        times = [stars.time(star) for star in batch]
        hidden = np.stack([in_transits(time, restored[star].event) for star, time in zip(batch, times, strict=True)])
        longest_d = [float(restored[star].event["duration_h"]) / HOURS_PER_DAY for star in batch]
        fluxes, sigmas = stars.around(batch, hidden, longest_d, settings)
        for star, *again in zip(batch, times, fluxes, sigmas, strict=True):
            restored[star] = _again(stars, star, restored[star], *again, settings)
    for star, best in enumerate(restored):
        if best.event is not None:
            stars.point(star, stars.time(star), best.event)
    return restored


def _worth_it(best: Best, settings: SearchSettings) -> bool:
    """Whether an event is strong, at its length."""
    if best.strong(MASKED_DETECTION):
        return True
    long_h = LONG_WINDOWS * settings.window_d * HOURS_PER_DAY
    return best.strong(LONG_DETECTION) and bool(best.event["duration_h"] > long_h)


def _again(
    stars: Flux, star: int, best: Best, time: np.ndarray, flux: np.ndarray, sigma: float, settings: SearchSettings
) -> Best:
    """Measure the event of one star in another flux, and replace its own; the same where it does not get stronger."""
    data = stars.gathered(time, flux, sigma)
    if data is None:
        return best
    duration_d = float(best.event["duration_h"]) / HOURS_PER_DAY
    start = Box(float(best.event["period_d"]), float(best.event["t0_btjd"]), duration_d, 0.0, float(best.event["sde"]))
    box = refine(data, [start], settings)
    if box is None:
        return best
    event = measure(data, box, len(data.time))
    if not event["snr"] >= best.event["snr"]:
        return best
    event["detection"] = best.event["detection"]
    stars.flux[star], stars.sigma[star] = flux, sigma
    return replace(best, event=event)
