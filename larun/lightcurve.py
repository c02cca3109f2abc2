"""Light curves as arrays: one star, and all stars of a shard on one cadence grid."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numba import njit

from larun.errors import InputError
from larun.finite import end_of_run, start_of_run

QUALITY_MASKS = {"tess": 17087, "kepler": 1130799, "k2": 1130799}
"""Quality bits that make a cadence bad: lightkurve's ``default`` bitmask of each mission."""

AUTHOR_QUALITY_MASKS = {"tasoc": 1 | 2 | 4 | 128}
"""The same for pipelines whose bits are not the mission's. TASOC: flagged in the pixels, excluded by hand, removed
by sigma clipping, interpolated; its other bits say that a jump was corrected (`corrections/quality.py` of TASOC)."""


def bad_quality_bits(mission: str, author: str = "") -> int:
    """Quality bits that make a cadence of a product bad; 0 for a mission whose bits are not known."""
    return AUTHOR_QUALITY_MASKS.get(author, QUALITY_MASKS.get(mission, 0))


@dataclass(frozen=True, slots=True)
class Star:
    """What a product's header says about its target; NaN or 0 where it says nothing.

    Parameters
    ----------
    target_id : int
        TIC, KIC or EPIC number; -1 where not known.
    ra, dec : float
        Position, ICRS, degrees.
    tmag : float
        TESS (or Kepler) magnitude.
    teff, logg, radius : float
        Kelvin, dex(cm/s2), solar radii.
    camera, ccd : int
        1 to 4; 0 where not known.
    """

    target_id: int = -1
    ra: float = np.nan
    dec: float = np.nan
    tmag: float = np.nan
    teff: float = np.nan
    logg: float = np.nan
    radius: float = np.nan
    camera: int = 0
    ccd: int = 0


@dataclass(frozen=True)
class LightCurve:
    """One light curve as its product holds it: nothing removed, nothing scaled.

    Parameters
    ----------
    star : Star
        The target.
    mission : str
        ``tess``, ``kepler``, ``k2``, or empty where not known.
    sector : int
        Sector, quarter or campaign; -1 where not known.
    author : str
        Pipeline in lower case, see `larun.paths.Product`; ``csv`` or ``npz`` for such files.
    cadence_s : float
        Time between cadences, seconds.
    time_format : str
        ``btjd`` or ``bkjd`` (TDB).
    flux_unit : str
        ``electron/s``, or ``relative`` where the median is 1.
    cadence_no : (cadence,) int32
        Cadence numbers of the mission; counted from 0 where the product has none.
    time : (cadence,) float64
        Barycentric mid-cadence time, days, in `time_format`; NaN where missing.
    time_correction : (cadence,) float32
        Barycentric minus spacecraft time, days; NaN where the product has none.
    flux, flux_err, background : (cadence,) float32
        In `flux_unit`; NaN where missing.
    centroid_col, centroid_row : (cadence,) float32
        Pixels; NaN where missing.
    quality : (cadence,) int32
        Quality bits of the mission.
    source : str
        Where it came from: file name or URL.
    simulated : bool
        Whether the header says that the data are simulated.
    """

    star: Star
    mission: str
    sector: int
    author: str
    cadence_s: float
    time_format: str
    flux_unit: str
    cadence_no: np.ndarray
    time: np.ndarray
    time_correction: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    background: np.ndarray
    centroid_col: np.ndarray
    centroid_row: np.ndarray
    quality: np.ndarray
    source: str = ""
    simulated: bool = False

    def __post_init__(self):
        n = len(self.time)
        for name in ("cadence_no", "time_correction", "flux", "flux_err", "background", "centroid_col",
                     "centroid_row", "quality"):  # fmt: skip
            if getattr(self, name).shape != (n,):
                raise InputError(f"{name} has shape {getattr(self, name).shape}, expected ({n},)")

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class Shard:
    """Light curves of several stars on one cadence grid, as the store holds them.

    Parameters
    ----------
    stars : (star,) tuple of Star
        The targets.
    time : (cadence,) float64
        Mid-cadence time at the spacecraft, days, TDB, in `time_format`; finite and increasing.
    cadence_no : (cadence,) int32
        Cadence numbers, increasing.
    time_correction : (star, cadence) float32
        Barycentric minus `time`, days; NaN where not known.
    flux, flux_err, background, centroid_col, centroid_row : (star, cadence) float32
        NaN where missing.
    quality : (star, cadence) int32
        Quality bits; -1 where no cadence was delivered.
    mission : str
        ``tess``, ``kepler``, ``k2``, or empty.
    sector : int
        Sector, quarter or campaign.
    cadence_s : float
        Time between cadences, seconds.
    time_format : str
        ``btjd`` or ``bkjd``.
    author : str
        Pipeline in lower case, which decides what the quality bits mean; empty where not known.
    """

    stars: tuple[Star, ...]
    time: np.ndarray
    cadence_no: np.ndarray
    time_correction: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    background: np.ndarray
    centroid_col: np.ndarray
    centroid_row: np.ndarray
    quality: np.ndarray
    mission: str = "tess"
    sector: int = -1
    cadence_s: float = 120.0
    time_format: str = "btjd"
    author: str = ""

    def __len__(self) -> int:
        return len(self.stars)

    def barycentric_time(self, star: int) -> np.ndarray:
        """Barycentric time of one star, (cadence,) float64; the shard's own time where not known."""
        return barycentric_time(self.time, self.time_correction[star])

    def take(self, rows) -> Shard:
        """Shard of the given stars, in the given order; this one where these are all of its stars."""
        rows = np.asarray(rows)
        if np.array_equal(rows, np.arange(len(self))):
            return self
        changes = {
            f.name: _rows_of(getattr(self, f.name), rows)
            for f in fields(self)
            if isinstance(getattr(self, f.name), np.ndarray) and getattr(self, f.name).ndim == 2
        }
        values = {f.name: getattr(self, f.name) for f in fields(self)} | changes
        values["stars"] = tuple(self.stars[i] for i in rows)
        return Shard(**values)


def _rows_of(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of an array; of one that repeats a value without holding it, such as what was not read, it still does."""
    return values[rows] if any(values.strides) else np.broadcast_to(values[0, 0], (len(rows), values.shape[1]))


@njit(cache=True, nogil=True)
def barycentric_time(time, correction):
    """Times with their corrections; missing ones lie between their neighbours, or are those of the only one.

    Parameters
    ----------
    time : (cadence,) float64
        At the spacecraft, days.
    correction : (cadence,) float32
        Barycentric minus `time`, days; NaN where not known.

    Returns
    -------
    (cadence,) float64
        `time` where no correction is known.
    """
    total = np.empty(len(time))
    for k in range(len(time)):
        total[k] = time[k] + correction[k]
    known = -1
    first = start_of_run(correction, 0)
    while first < len(time):
        after = np.float64(correction[first])
        before = np.float64(correction[known]) if known >= 0 else after
        for i in range(known + 1, first):
            total[i] = time[i] + before + (after - before) / (first - known) * (i - known)
        known = end_of_run(correction, first) - 1
        first = start_of_run(correction, known + 1)
    last = np.float64(correction[known]) if known >= 0 else 0.0
    for i in range(known + 1, len(time)):
        total[i] = time[i] + last
    return total


@dataclass(frozen=True, slots=True)
class CadenceGrid:
    """The cadences that all stars of a sector share.

    Parameters
    ----------
    first : int
        First cadence number.
    time : (cadence,) float64
        Spacecraft time of each cadence from `first` on, one number after the other; finite.
    """

    first: int
    time: np.ndarray = field(repr=False)

    @property
    def cadence_no(self) -> np.ndarray:
        """Cadence numbers, (cadence,) int32."""
        return np.arange(self.first, self.first + len(self.time), dtype=np.int32)


def shard_of(curve: LightCurve) -> Shard:
    """Shard of one star, so that one light curve goes through the code of a whole sector.

    Rows without a time are left out, rows are put in order of time, and of rows with the same time the first
    is kept. Where the product has no barycentric correction, the shard's `time` is the barycentric time.
    """
    correction = curve.time_correction.astype(np.float64)
    spacecraft = curve.time - correction if np.isfinite(correction).any() else curve.time
    rows = np.flatnonzero(np.isfinite(spacecraft))
    _, first = np.unique(spacecraft[rows], return_index=True)
    rows = rows[first]

    def one(values: np.ndarray) -> np.ndarray:
        return values[rows][np.newaxis]

    return Shard(
        stars=(curve.star,),
        time=spacecraft[rows],
        cadence_no=curve.cadence_no[rows],
        time_correction=one(curve.time_correction),
        flux=one(curve.flux),
        flux_err=one(curve.flux_err),
        background=one(curve.background),
        centroid_col=one(curve.centroid_col),
        centroid_row=one(curve.centroid_row),
        quality=one(curve.quality),
        mission=curve.mission,
        sector=curve.sector,
        cadence_s=curve.cadence_s,
        time_format=curve.time_format,
        author=curve.author,
    )
