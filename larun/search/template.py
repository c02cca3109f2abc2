"""Matched filter of limb-darkened transits on the cells of `larun.search.cells`.

A transit is approximated by three boxes stacked on one another, so that its filter costs three box sums and needs no
fold. The stacks correlate to better than 0.99 with transits computed with batman (Kreidberg 2015, PASP 127, 1161); a
single box reaches 0.99 for a central transit and 0.96 for a grazing one. That the shape of a real transit finds more
planets than a box is the idea of TLS (Hippke & Heller 2019, A&A 623, A39).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from larun.search.cells import box_sums

LIMB_DARKENING = (0.27, 0.27)
"""Quadratic coefficients of a Sun-like star in the TESS band (Claret 2017, A&A 600, A30: 5777 K, log g 4.4)."""

SHAPES = ((0.0, 0.05), (0.8, 0.05), (0.93, 0.1))
"""Impact parameter and radius ratio of the templates: central, inclined, grazing."""

HALF_WIDTHS = np.array([[0.3555, 0.4592, 0.4821], [0.3221, 0.4114, 0.4611], [0.2048, 0.3184, 0.4208]])
"""Half widths of the stacked boxes, in full durations (first to last contact), per shape."""

DEPTHS = np.array([[0.9667, 0.7909, 0.3978], [0.9636, 0.7885, 0.3925], [0.9301, 0.6424, 0.3175]])
"""Mean depth of the transit inside the first box and in the rings around it, in its greatest depth, per shape."""

STRETCHES = 0.85, 0.92, 1.0, 1.09, 1.18
"""Trial durations around that of the best box."""


@njit(cache=True, nogil=True)
def template_power(sums, period, middle, duration):
    """Gain in chi-square of the best template near a box; times in cells.

    Returns
    -------
    power : float
        Zero where none dims.
    shape : int
        Index into `SHAPES`.
    full_duration : float
        First to last contact, cells.
    """
    total = sums[-1, 0]
    best, best_shape, best_duration = 0.0, 0, duration
    n = np.empty(3)
    s = np.empty(3)
    for shape in range(len(HALF_WIDTHS)):
        # The best box covers what dims by more than about half.
        centre = 0.5 * duration / HALF_WIDTHS[shape, 1]
        for stretch in STRETCHES:
            full = min(centre * stretch, period)
            for ring in range(3):
                n[ring], s[ring] = box_sums(sums, period, middle, 2.0 * HALF_WIDTHS[shape, ring] * full)
            inside_n = norm = product = 0.0
            for ring in range(3):
                depth = DEPTHS[shape, ring]
                own_n = n[ring] - (n[ring - 1] if ring else 0.0)
                own_s = s[ring] - (s[ring - 1] if ring else 0.0)
                inside_n += depth * own_n
                norm += depth * depth * own_n
                product += depth * own_s
            variance = norm - inside_n * inside_n / total
            if product < 0 and variance > 1e-6:
                power = product * product / variance
                if power > best:
                    best, best_shape, best_duration = power, shape, full
    return best, best_shape, best_duration
