"""Matching stars with the objects of a catalogue: by TIC number, by position, and by ephemeris.

Proper motion is ignored: catalogue positions are of J2000, J2015.5 or J2016, and a star that moves 1 arcsec a year is
16 arcsec apart between two of them. Such a star is matched by its TIC number where the catalogue has one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RELATIONS = ("same period", "half the period", "twice the period", "another period", "no period known")
"""Relations of the period of an event to that of an object, the closest first."""

SAME, HALF, TWICE, ANOTHER, UNKNOWN = RELATIONS

_RATIOS = {SAME: 1.0, HALF: 0.5, TWICE: 2.0}
_MAX_PHASE_ERROR = 0.1
"""Largest error of a predicted epoch, in periods, with which a phase still says something."""


@dataclass(frozen=True, slots=True)
class Places:
    """Stars, or objects of a catalogue, and where they are.

    Parameters
    ----------
    tic : (n,) int64
        TIC number; -1 where not known.
    ra, dec : (n,) float64, degrees
        Position, ICRS; NaN where not known.
    """

    tic: np.ndarray
    ra: np.ndarray
    dec: np.ndarray

    def directions(self) -> np.ndarray:
        """Unit vectors, (n, 3) float64; NaN where the position is not known."""
        ra, dec = np.radians(self.ra), np.radians(self.dec)
        return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Stars with objects, each pair once, ordered by star and object.

    Parameters
    ----------
    star, obj : (pair,) int64
        Row of the star and of the object.
    by_tic : (pair,) bool
        Whether both have one TIC number; else they are near each other.
    separation_arcsec : (pair,) float64
        Between the two; NaN where a position is not known.
    """

    star: np.ndarray
    obj: np.ndarray
    by_tic: np.ndarray
    separation_arcsec: np.ndarray


def find_pairs(stars: Places, objects: Places, radius_arcsec: float) -> Pairs:
    """Pairs with the same TIC number, and those within a radius.

    Parameters
    ----------
    stars, objects : Places
        What is matched with what.
    radius_arcsec : float
        Largest separation of a pair that has not the same number.

    Returns
    -------
    Pairs
        A pair that has the same number and is near counts as one by number.
    """
    numbered = _same_tic(stars.tic, objects.tic)
    near = _near(stars.directions(), objects.directions(), radius_arcsec)
    both = np.concatenate([numbered, near], axis=1)
    # np.unique keeps the first of equal columns: the one by number.
    (star, obj), first = np.unique(both, axis=1, return_index=True)
    return Pairs(
        star=star,
        obj=obj,
        by_tic=first < numbered.shape[1],
        separation_arcsec=_separation(stars.directions()[star], objects.directions()[obj]),
    )


def _same_tic(stars: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Rows of stars and objects that have one number, (2, pair)."""
    order = np.argsort(objects, kind="stable")
    first = np.searchsorted(objects[order], stars, side="left")
    last = np.searchsorted(objects[order], stars, side="right")
    counts = np.where(stars >= 0, last - first, 0)
    star = np.repeat(np.arange(len(stars)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([star, order[np.repeat(first, counts) + within]])


def _near(stars: np.ndarray, objects: np.ndarray, radius_arcsec: float) -> np.ndarray:
    """Rows of stars and objects within a radius, (2, pair)."""
    from scipy.spatial import cKDTree

    star_rows = np.flatnonzero(np.isfinite(stars).all(axis=1))
    object_rows = np.flatnonzero(np.isfinite(objects).all(axis=1))
    if not len(star_rows) or not len(object_rows):
        return np.empty((2, 0), np.int64)
    chord = 2 * np.sin(0.5 * np.radians(radius_arcsec / 3600.0))
    found = cKDTree(stars[star_rows]).sparse_distance_matrix(
        cKDTree(objects[object_rows]), chord, output_type="coo_matrix"
    )
    return np.stack([star_rows[found.row], object_rows[found.col]])


def _separation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles between unit vectors, arcseconds."""
    chord = np.sqrt(((a - b) ** 2).sum(axis=1))
    return np.degrees(2 * np.arcsin(np.minimum(1.0, 0.5 * chord))) * 3600.0


def compare_periods(period_d: np.ndarray, known_d: np.ndarray, tolerance: float) -> tuple[np.ndarray, list[str]]:
    """Ratio of each event's period to that of the object, and what it means.

    Parameters
    ----------
    period_d, known_d : (pair,) float64, days
        Period of the event and of the object; NaN where not known.
    tolerance : float
        Relative difference up to which a ratio is 1, 1/2 or 2.

    Returns
    -------
    ratio : (pair,) float64
    relation : list of str
        One of `SAME`, `HALF`, `TWICE`, `ANOTHER`, `UNKNOWN`.
    """
    ratio = period_d / known_d
    relation = np.where(np.isfinite(ratio), ANOTHER, UNKNOWN).astype(object)
    for name, expected in _RATIOS.items():
        relation[np.abs(ratio / expected - 1.0) <= tolerance] = name
    return ratio, relation.tolist()


def epoch_phase(t0: np.ndarray, known_t0: np.ndarray, known_d: np.ndarray, known_err_d: np.ndarray) -> np.ndarray:
    """Phase of each event's epoch in the object's period, 0 being the nearest epoch that the object predicts.

    Parameters
    ----------
    t0, known_t0 : (pair,) float64, days
        Epochs of the event and of the object, in one time system; NaN where not known.
    known_d, known_err_d : (pair,) float64, days
        Period of the object and its error.

    Returns
    -------
    (pair,) float64
        -0.5 to 0.5; NaN where an epoch or the period is not known, or where the error of the period, added up over
        the cycles between the two epochs, is not known or exceeds a tenth of the period.
    """
    cycles = (t0 - known_t0) / known_d
    nearest = np.rint(cycles)
    certain = (nearest == 0) | (np.abs(nearest) * known_err_d <= _MAX_PHASE_ERROR * known_d)
    return np.where(certain, cycles - nearest, np.nan)
