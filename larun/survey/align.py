"""One light curve put on the cadence grid of its sector, if it is worth it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from larun.archive.decode import increasing
from larun.errors import ProductCorrupt, ProductRejected
from larun.lightcurve import LightCurve, Star
from larun.plan import Plan
from larun.schema import FLUX_ARRAYS

MAX_CORRECTION_D = 0.015
"""Largest difference between a product's time and the grid's, days. Light crosses 1 au in 0.0058 d, and up to
this value float32 holds the difference to better than 0.05 ms."""

MAX_OUTSIDE = 0.005
"""Largest share of a product's cadences that may lie outside the sector's grid and be left out. Pipelines of the
full frames begin and end some CCDs a few cadences apart from the others."""

_COLUMNS = ("time_correction", "flux", "flux_err", "background", "centroid_col", "centroid_row", "quality")
_FILL = {array.name: array.fill for array in FLUX_ARRAYS}


@dataclass(frozen=True, slots=True)
class Aligned:
    """A light curve that is accepted, and where its cadences lie on the grid.

    Parameters
    ----------
    star : Star
        What its header says about the target.
    rows : slice or (cadence,) array of int
        Rows of the grid.
    columns : dict
        (cadence,) values by name, in the order of `rows`.
    n_good : int
        Cadences with finite flux and no rejected quality bit.
    n_outside : int
        Cadences outside the grid, which are left out.
    """

    star: Star
    rows: slice | np.ndarray
    columns: dict[str, np.ndarray]
    n_good: int
    n_outside: int

    def copy_to(self, columns: dict[str, np.ndarray], row: int) -> None:
        """Write the light curve into row `row` of (star, cadence) arrays; cadences that it lacks get the fill value."""
        for name, values in self.columns.items():
            if len(values) == columns[name].shape[1]:
                columns[name][row] = values
                continue
            line = columns[name][row]
            if isinstance(self.rows, slice):
                line[: self.rows.start] = _FILL[name]
                line[self.rows.stop :] = _FILL[name]
            else:
                line.fill(_FILL[name])
            line[self.rows] = values


def leave_blank(columns: dict[str, np.ndarray], row: int) -> None:
    """Write the fill value into row `row` of (star, cadence) arrays, as of a target without a light curve."""
    for name, fill in _FILL.items():
        columns[name][row] = fill


def align(curve: LightCurve, plan: Plan) -> Aligned:
    """Place one light curve on the grid of a plan and count its good cadences.

    Parameters
    ----------
    curve : LightCurve
        Verified product.
    plan : Plan
        Its grid and rules.

    Raises
    ------
    ProductRejected
        Too many cadences outside the sector's grid, or too few good ones.
    ProductCorrupt
        Cadence numbers occur twice, the time is not the sector's, or the kind is not the plan's.
    """
    _require_kind(curve, plan)
    values = {name: getattr(curve, name) for name in _COLUMNS}
    time, rows = curve.time, _run(curve, plan)
    if rows is None:
        rows, inside = _scattered(curve, plan)
        time = time[inside]
        values = {name: column[inside] for name, column in values.items()}
    correction = np.empty(len(time), np.float32)
    grid_time, flux, quality = plan.grid.time[rows], values["flux"], values["quality"]
    n_off, n_finite, n_good = _compare(time, grid_time, correction, flux, quality, plan.quality_mask)
    if n_off:
        first_off = np.argmax(np.abs(correction) > np.float32(MAX_CORRECTION_D))
        raise ProductCorrupt(
            f"at {n_off} cadences its time differs from the sector's by more than {MAX_CORRECTION_D} d, "
            f"at cadence {plan.grid.cadence_no[rows][first_off]} by {correction[first_off]:.5f} d"
        )
    values["time_correction"] = correction
    if n_good < plan.min_good_cadences:
        raise ProductRejected(_too_few(n_finite, n_good, len(time), plan))
    return Aligned(curve.star, rows, values, n_good, len(curve) - len(time))


@njit(cache=True, nogil=True)
def _compare(time, grid_time, correction, flux, quality, mask):
    """Write (cadence,) times less the grid's, and count.

    Returns
    -------
    n_off : int
        Differences that are too large. One that is not known (NaN) is not.
    n_finite, n_good : int
        Cadences with finite flux, and those of them without a quality bit of `mask`.
    """
    most = np.float32(MAX_CORRECTION_D)
    n_off = n_finite = n_good = 0
    for i in range(time.shape[0]):
        correction[i] = time[i] - grid_time[i]
        n_off += abs(correction[i]) > most
    for i in range(flux.shape[0]):
        finite = np.isfinite(flux[i])
        n_finite += finite
        n_good += finite & ((quality[i] & mask) == 0)
    return n_off, n_finite, n_good


def _run(curve: LightCurve, plan: Plan) -> slice | None:
    """Rows of the grid where the cadences are one run of it, as nearly always: a slice is copied ten times faster."""
    numbers = curve.cadence_no
    first = int(numbers[0]) - plan.grid.first
    last = first + len(numbers)
    if first < 0 or last > len(plan.grid.time) or int(numbers[-1]) - int(numbers[0]) != len(numbers) - 1:
        return None
    if not increasing(numbers):
        return None
    return slice(first, last)


def _scattered(curve: LightCurve, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the grid of the cadences that lie on it, and which cadences those are, (cadence,) bool."""
    rows = curve.cadence_no.astype(np.int64) - plan.grid.first
    if len(np.unique(rows)) != len(rows):
        raise ProductCorrupt(f"{len(rows) - len(np.unique(rows))} cadence numbers occur twice")
    inside = (rows >= 0) & (rows < len(plan.grid.time))
    n_outside = len(rows) - int(np.count_nonzero(inside))
    if n_outside > MAX_OUTSIDE * len(rows):
        last = plan.grid.first + len(plan.grid.time) - 1
        raise ProductRejected(
            f"off the sector's grid: {n_outside} of {len(rows)} cadence numbers lie outside "
            f"{plan.grid.first}..{last}, the first is {curve.cadence_no[np.argmin(inside)]}"
        )
    return rows[inside], inside


def _too_few(n_finite: int, n_good: int, n_cadences: int, plan: Plan) -> str:
    if not n_finite:
        return f"no finite flux in {n_cadences} cadences"
    return f"{n_good} good cadences of {n_cadences}, at least {plan.min_good_cadences} are needed"


def _require_kind(curve: LightCurve, plan: Plan) -> None:
    for name in ("time_format", "flux_unit"):
        if getattr(curve, name) != getattr(plan, name):
            raise ProductCorrupt(f"{name} {getattr(plan, name)} was expected and {getattr(curve, name)} came")
    if curve.simulated != plan.product.simulated:
        raise ProductCorrupt(
            f"the product says simulated={curve.simulated}, {plan.product} holds simulated={plan.product.simulated}"
        )
