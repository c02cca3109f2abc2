"""The cadences that all stars of a sector share, frozen from a few of its products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from larun.archive.protocol import Archive
from larun.errors import InputError, ProductUnreachable
from larun.lightcurve import CadenceGrid, LightCurve
from larun.paths import Product
from larun.plan import PlannedTarget
from larun.schema import Status
from larun.survey.obtain import obtain
from larun.units import SECONDS_PER_DAY

REFERENCES = 8
"""Products whose cadences make the sector's grid; more where its targets lie on more CCDs."""

MAX_GRID_CADENCES = 400_000
"""A sector of 20-second cadences has 120,000; more means cadence numbers of another kind."""

MAX_STEP_ERROR = 0.1
"""Largest error of a time step of a reference, as a share of it; the missions' own are below 0.0002."""

_MOST_CCDS = 16
"""CCDs of TESS; of the 84 channels of Kepler no one needs a reference of its own, its cadences are one clock's."""

_REFERENCE_ATTEMPTS = 48


def find_references(
    archives: Sequence[Archive], product: Product, targets: tuple[PlannedTarget, ...]
) -> list[LightCurve]:
    """Decode products of targets from every CCD and from all over the plan; failures are passed over.

    Raises
    ------
    InputError
        None of the products tried is usable; says what each said.
    ProductUnreachable
        None is, but some may be later.
    ArchiveError
        No archive serves.
    """
    found: list[LightCurve] = []
    said: list[str] = []
    transient = False
    wanted = max(REFERENCES, min(_MOST_CCDS, len(_by_ccd(targets))))
    for target in _spread(targets, wanted):
        obtained = obtain(archives, product, target)
        if obtained.checked is None:
            transient = transient or obtained.status == Status.UNREACHABLE
            said.append(f"{target.product}: {obtained.reason}")
        elif fault := _irregularity(obtained.checked):
            said.append(f"{target.product}: {fault}")
        else:
            found.append(obtained.checked)
        if len(found) == wanted:
            break
    if not found:
        text = f"the cadences of {product} cannot be known, no product of {len(said)} tried is usable: "
        raise (ProductUnreachable if transient else InputError)(text + "; ".join(said))
    return found


def _irregularity(curve: LightCurve) -> str:
    """What is wrong with the times of a light curve; empty where they follow its cadence numbers.

    Not every pipeline's files carry checksums, so damage may pass for a time.
    """
    order = np.argsort(curve.cadence_no, kind="stable")
    order = order[np.isfinite(curve.time[order])]
    if len(order) < 2:
        return "fewer than 2 cadences have a time"
    steps = np.diff(curve.cadence_no[order].astype(np.int64)) * curve.cadence_s / SECONDS_PER_DAY
    off = np.abs(np.diff(spacecraft_time(curve)[order]) / steps - 1) > MAX_STEP_ERROR
    if not off.any():
        return ""
    return f"its times do not follow its cadence numbers, first after cadence {curve.cadence_no[order[off.argmax()]]}"


def _by_ccd(targets: tuple[PlannedTarget, ...]) -> dict[tuple[int, int], list[int]]:
    """Rows of the plan of every camera and CCD."""
    rows: dict[tuple[int, int], list[int]] = {}
    for row, target in enumerate(targets):
        rows.setdefault((target.star.camera, target.star.ccd), []).append(row)
    return rows


def _spread(targets: tuple[PlannedTarget, ...], wanted: int) -> list[PlannedTarget]:
    """Targets to try in turn: one of every CCD, an even sample of the plan, then others in their places."""
    n = len(targets)
    ccds = list(_by_ccd(targets).values())
    middles = [rows[len(rows) // 2] for rows in ccds] if 1 < len(ccds) <= _MOST_CCDS else []
    even = np.linspace(0, n - 1, min(n, wanted)).astype(int).tolist()
    stride = max(1, n // (_REFERENCE_ATTEMPTS - wanted))
    order = dict.fromkeys([*middles, *even, *range(stride // 2, n, stride), *range(n)])
    return [targets[row] for row in list(order)[:_REFERENCE_ATTEMPTS]]


def spacecraft_time(curve: LightCurve) -> np.ndarray:
    """Spacecraft time of a light curve, (cadence,) float64, days; NaN where its product has no time.

    A product without a barycentric correction (QLP, TASOC, eleanor-lite) gives its own barycentric time instead.
    """
    if np.isfinite(curve.time_correction).any():
        return curve.time - curve.time_correction.astype(np.float64)
    return curve.time


def freeze_grid(references: Sequence[LightCurve]) -> CadenceGrid:
    """Cadence grid that spans all references.

    Parameters
    ----------
    references : sequence of LightCurve
        Decoded products of one sector. Where several have a time for a cadence, the first one's counts.

    Returns
    -------
    CadenceGrid
        Every cadence number from the smallest to the largest. Cadences for which no reference has a time get it
        by linear interpolation in cadence number, and by the mean cadence before the first and after the last.
        Of products without a barycentric correction the grid is the barycentric time of the first (others are
        shifted to it), and a target's stored correction is what remains to its own.

    Raises
    ------
    InputError
        No reference has two cadences with a time, the numbers span too many cadences, or the time does not
        increase with them.
    """
    numbers = np.concatenate([curve.cadence_no for curve in references]).astype(np.int64)
    first, last = int(numbers.min()), int(numbers.max())
    if last - first + 1 > MAX_GRID_CADENCES:
        raise InputError(
            f"the cadence numbers run from {first} to {last}, more than a sector can have ({MAX_GRID_CADENCES})"
        )
    time = np.full(last - first + 1, np.nan)
    for curve in references:
        rows = curve.cadence_no.astype(np.int64) - first
        own = spacecraft_time(curve)
        if not np.isfinite(curve.time_correction).any():
            own = own - _offset(own, time[rows])
        use = np.isnan(time[rows]) & np.isfinite(own)
        time[rows[use]] = own[use]
    known = np.flatnonzero(np.isfinite(time))
    if len(known) < 2:
        raise InputError(f"{len(known)} cadences of the references have a time, at least 2 are needed")
    if (np.diff(time[known]) <= 0).any():
        raise InputError("the time of the references does not increase with the cadence number")
    rows = np.arange(len(time))
    step = (time[known[-1]] - time[known[0]]) / (known[-1] - known[0])
    filled = np.interp(rows, known, time[known])
    filled[: known[0]] = time[known[0]] + step * (rows[: known[0]] - known[0])
    filled[known[-1] + 1 :] = time[known[-1]] + step * (rows[known[-1] + 1 :] - known[-1])
    return CadenceGrid(first, filled)


def _offset(own: np.ndarray, known: np.ndarray) -> float:
    """Median difference of two times where both are known; 0 where they share no cadence."""
    difference = (own - known)[np.isfinite(own) & np.isfinite(known)]
    return float(np.median(difference)) if len(difference) else 0.0
