"""Augmentation of training views on the device, with `keras.ops`, reproducible from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from larun.schema import VIEW_DEFINITION, VIEW_LENGTH


@dataclass(frozen=True)
class Augment:
    """How far training views are varied.

    Parameters
    ----------
    noise : float
        Standard deviation of the Gaussian noise that is added.
    shift : float
        Largest shift: of the sector view in lengths, of the local views in durations of the event, since an
        epoch found by search is never off by more.
    scale : float
        Largest relative change of every sample.
    depth : float
        Largest relative change of the views in units of the depth, as by an error of the depth.
    dropout : float
        Share of the samples set to zero.
    mirror : bool
        Reverse time in every view of half of the samples, and swap odd and even in another half.
    """

    noise: float = 0.01
    shift: float = 0.1
    scale: float = 0.1
    depth: float = 0.2
    dropout: float = 0.05
    mirror: bool = True


class Augmentation(keras.layers.Layer):
    """Vary views while training; does nothing otherwise.

    Parameters
    ----------
    settings : Augment
        How far.
    seed : int
        Seed of all draws.
    """

    def __init__(self, settings: Augment, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings
        self.seed_generator = keras.random.SeedGenerator(seed)
        start, length, in_depth, partner, shift = _layout()
        self._start, self._length = start, length
        self._place = np.arange(VIEW_LENGTH) - start
        self._in_depth, self._partner = in_depth, partner
        self._shift = shift

    def call(self, views, training=False):
        """Views of the same shape, (n, 1024)."""
        if not training:
            return views
        n = ops.shape(views)[0]
        s = self.settings
        views = ops.take_along_axis(views, self._indices(n), axis=1)
        views = views * self._between(n, 1.0 - s.scale, 1.0 + s.scale)
        depth = self._between(n, 1.0 - s.depth, 1.0 + s.depth)
        views = views * (1.0 + self._in_depth * (depth - 1.0))
        views = views + keras.random.normal(ops.shape(views), 0.0, 1.0, seed=self.seed_generator) * s.noise
        keep = keras.random.uniform(ops.shape(views), seed=self.seed_generator) >= s.dropout
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
            place = place * (1.0 - mirrored) + (self._length - 1.0 - place) * mirrored
            swapped = ops.cast(self._between(n, 0.0, 1.0) < 0.5, "float32")
            start = start * (1.0 - swapped) + ops.cast(self._partner, "float32") * swapped
        return ops.cast(start + ops.clip(place, 0.0, self._length - 1.0), "int32")


def _layout():
    """Start, length, whether in depth units, start of the swap partner, and unit of shift, per sample."""
    start, length, in_depth, partner, shift = (np.zeros(VIEW_LENGTH, np.float32) for _ in range(5))
    starts, at = {}, 0
    for name, n in VIEW_DEFINITION["views"]:
        starts[name] = at
        at += n
    swap = {"odd": "even", "even": "odd"}
    durations = 2.0 * VIEW_DEFINITION["half_width_durations"]
    for name, n in VIEW_DEFINITION["views"]:
        view = slice(starts[name], starts[name] + n)
        start[view], length[view] = starts[name], n
        in_depth[view] = name not in ("depth", "sector")
        partner[view] = starts[swap.get(name, name)]
        shift[view] = {"sector": n, "global": 0.0}.get(name, n / durations)
    return start, length, in_depth, partner, shift
