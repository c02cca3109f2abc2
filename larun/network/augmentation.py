"""Augmentation of training views on the device, with `keras.ops`, reproducible from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from larun.config import AugmentationSettings
from larun.schema import VIEW_DEFINITION, VIEW_LENGTH

WINDOW = (("window", VIEW_LENGTH),)
"""Parts of a vector that is one stretch of light curve, see `larun.windows`."""


class Augmentation(keras.layers.Layer):
    """Vary views while training; does nothing otherwise.

    An epoch found by search is never off by more than a share of the duration, so local views are shifted by that;
    the global view, in which the transit is one of many bins, is not shifted. Measured quantities get noise alone.

    Parameters
    ----------
    settings : AugmentationSettings
        How far.
    seed : int
        Seed of all draws.
    parts : sequence of (str, int)
        Names and lengths of what a vector is a strip of: the views, or one `WINDOW`.
    """

    def __init__(
        self,
        settings: AugmentationSettings,
        seed: int,
        parts: Sequence[tuple[str, int]] = tuple(VIEW_DEFINITION["views"]),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.settings = settings
        self.seed_generator = keras.random.SeedGenerator(seed)
        start, length, in_depth, partner, shift, numbers = _layout(parts)
        self._start, self._length = start, length
        self._place = np.arange(VIEW_LENGTH) - start
        self._in_depth, self._partner = in_depth, partner
        self._shift = shift
        self._series = 1.0 - numbers
        self._noise = settings.noise * self._series + settings.measured_noise * numbers

    def call(self, views, training=False):
        """Views of the same shape, (n, 1024)."""
        if not training:
            return views
        n = ops.shape(views)[0]
        s = self.settings
        views = ops.take_along_axis(views, self._indices(n), axis=1)
        views = views * (1.0 + self._series * (self._between(n, *s.scale) - 1.0))
        depth = self._between(n, *s.depth)
        views = views * (1.0 + self._in_depth * (depth - 1.0))
        views = views + keras.random.normal(ops.shape(views), 0.0, 1.0, seed=self.seed_generator) * self._noise
        keep = keras.random.uniform(ops.shape(views), seed=self.seed_generator) >= s.dropout * self._series
        return ops.clip(views * ops.cast(keep, views.dtype), -1.0, 1.0)

    def _between(self, n, low: float, high: float):
        return keras.random.uniform((n, 1), low, high, seed=self.seed_generator)

    def _indices(self, n):
        """Which sample each sample is taken from, (n, 1024) int32: mirrored, odd and even swapped, shifted."""
        shift = ops.round(self._between(n, -1.0, 1.0) * (self.settings.shift * self._shift))
        place = ops.cast(self._place, "float32") + shift
        start = ops.cast(self._start, "float32")
        if self.settings.mirror:
            mirrored = ops.cast(self._between(n, 0.0, 1.0) < 0.5, "float32")
            mirrored = mirrored * self._series
            place = place * (1.0 - mirrored) + (self._length - 1.0 - place) * mirrored
            swapped = ops.cast(self._between(n, 0.0, 1.0) < 0.5, "float32")
            start = start * (1.0 - swapped) + ops.cast(self._partner, "float32") * swapped
        return ops.cast(start + ops.clip(place, 0.0, self._length - 1.0), "int32")


class Mixup(keras.layers.Layer):
    """Mix every view with another of its batch, and their targets in the same shares (Zhang et al. 2018).

    Parameters
    ----------
    alpha : float
        The share of the first is drawn from Beta(alpha, alpha), for every pair anew.
    seed : int
        Seed of all draws.
    """

    def __init__(self, alpha: float, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, views, targets, training=False):
        """Views (n, 1024) and targets (n, 6), of the same shapes."""
        if not training:
            return views, targets
        n = ops.shape(views)[0]
        # Sorting random numbers is a permutation that every backend draws alike.
        other = ops.argsort(keras.random.uniform((n,), seed=self.seed_generator))
        share = keras.random.beta((n, 1), self.alpha, self.alpha, seed=self.seed_generator)
        # A gamma variate of a small shape may underflow to 0 / 0.
        share = ops.where(ops.isnan(share), ops.ones_like(share), share)

        def mixed(values):
            return share * values + (1.0 - share) * ops.take(values, other, axis=0)

        return mixed(views), mixed(targets)


def _layout(parts: Sequence[tuple[str, int]]):
    """Start, length, whether in depth units, start of the swap partner, unit of shift, whether measured, per sample."""
    start, length, in_depth, partner, shift, numbers = (np.zeros(VIEW_LENGTH, np.float32) for _ in range(6))
    starts, at = {}, 0
    for name, n in parts:
        starts[name] = at
        at += n
    swap = {"odd": "even", "even": "odd"}
    durations = 2.0 * VIEW_DEFINITION["half_width_durations"]
    for name, n in parts:
        view = slice(starts[name], starts[name] + n)
        start[view], length[view] = starts[name], n
        in_depth[view] = name not in ("depth", "sector", "window", "measured")
        partner[view] = starts[swap.get(name, name)]
        numbers[view] = name == "measured"
        shift[view] = {"sector": n, "window": n, "global": 0.0, "measured": 0.0}.get(name, n / durations)
    return start, length, in_depth, partner, shift, numbers
