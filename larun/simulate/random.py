"""Random streams of the simulation: every number depends on the seed, the sector and what it is drawn for."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream of numbers is for; streams never share numbers."""

    POPULATION = 0
    INSTRUMENT = 1
    CAMERA = 2
    STAR = 3


def generator(seed: int, sector: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """Generator of one stream.

    Parameters
    ----------
    seed, sector : int
        The simulated sector.
    stream : Stream
        What is drawn.
    index : int
        Row of the star, or number of the camera.

    Returns
    -------
    numpy.random.Generator
        PCG64, whose stream NumPy keeps stable between versions and platforms.
    """
    sequence = np.random.SeedSequence([seed, sector], spawn_key=(int(stream), index))
    return np.random.Generator(np.random.PCG64(sequence))
