"""One light curve put on the cadence grid of its sector, if it is worth it."""

from __future__ import annotations

import numpy as np

from larun.errors import InputError, ProductCorrupt, ProductRejected
from larun.lightcurve import LightCurve
from larun.plan import Plan

MAX_CORRECTION_D = 0.015
"""Largest difference between a product's time and the grid's, days. Light crosses 1 au in 0.0058 d, and up to
this value float32 holds the difference to better than 0.05 ms."""


def place(curve: LightCurve, plan: Plan, columns: dict[str, np.ndarray], row: int) -> int:
    """Put one light curve into row `row` of a shard's arrays and count its good cadences.

    Parameters
    ----------
    curve : LightCurve
        Verified product.
    plan : Plan
        Its grid and rules.
    columns : dict
        (star, cadence) arrays by name, filled with the schema's fill values; only `row` is changed, and only
        where the light curve is accepted.
    row : int
        The star's row in the shard.

    Returns
    -------
    int
        Cadences with finite flux and no rejected quality bit.

    Raises
    ------
    ProductRejected
        Cadences outside the sector's grid, or too few good ones.
    ProductCorrupt
        Cadence numbers occur twice, the time is not the sector's, or the kind is not the plan's.
    """
    _require_kind(curve, plan)
    try:
        rows = plan.grid.rows(curve.cadence_no)
    except InputError as error:
        if len(np.unique(curve.cadence_no)) != len(curve):
            raise ProductCorrupt(str(error)) from error
        raise ProductRejected(f"off the sector's grid: {error}") from error
    correction = curve.time - plan.grid.time[rows]
    off = np.abs(correction) > MAX_CORRECTION_D
    if off.any():
        raise ProductCorrupt(
            f"at {off.sum()} cadences its time differs from the sector's by more than {MAX_CORRECTION_D} d, "
            f"at cadence {curve.cadence_no[off.argmax()]} by {correction[off.argmax()]:.5f} d"
        )
    finite = np.isfinite(curve.flux)
    n_good = int((finite & ((curve.quality & plan.quality_mask) == 0)).sum())
    if n_good < plan.min_good_cadences:
        raise ProductRejected(_too_few(finite, n_good, plan))
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
        # A run of cadences, as nearly every product is, is copied ten times faster than scattered rows.
        rows = slice(rows[0], rows[-1] + 1)
    columns["time_correction"][row, rows] = correction
    for name in ("flux", "flux_err", "background", "centroid_col", "centroid_row", "quality"):
        columns[name][row, rows] = getattr(curve, name)
    return n_good


def _too_few(finite: np.ndarray, n_good: int, plan: Plan) -> str:
    if not finite.any():
        return f"no finite flux in {len(finite)} cadences"
    return f"{n_good} good cadences of {len(finite)}, at least {plan.min_good_cadences} are needed"


def _require_kind(curve: LightCurve, plan: Plan) -> None:
    for name in ("time_format", "flux_unit"):
        if getattr(curve, name) != getattr(plan, name):
            raise ProductCorrupt(f"{name} {getattr(plan, name)} was expected and {getattr(curve, name)} came")
    if curve.simulated != plan.product.simulated:
        raise ProductCorrupt(
            f"the product says simulated={curve.simulated}, {plan.product} holds simulated={plan.product.simulated}"
        )
