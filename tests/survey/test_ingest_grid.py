"""The cadence grid of a sector, and light curves put on it."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_sector import plan_of

from larun.errors import InputError, ProductCorrupt, ProductRejected
from larun.lightcurve import LightCurve, Star
from larun.schema import FLUX_ARRAYS
from larun.survey.align import align
from larun.survey.grid import freeze_grid, spacecraft_time

STEP = 120 / 86400


def curve(cadence_no, time, correction=None, **changes):
    """Light curve with the given numbers, barycentric times and corrections; flux is the cadence number."""
    cadence_no = np.asarray(cadence_no, np.int32)
    n = len(cadence_no)
    nan = np.full(n, np.nan, np.float32)
    values = {
        "star": Star(1), "mission": "tess", "sector": 1, "author": "spoc", "cadence_s": 120.0, "time_format": "btjd",
        "flux_unit": "electron/s", "cadence_no": cadence_no, "time": np.asarray(time, np.float64),
        "time_correction": nan if correction is None else np.full(n, correction, np.float32),
        "flux": cadence_no.astype(np.float32), "flux_err": nan, "background": nan, "centroid_col": nan,
        "centroid_row": nan, "quality": np.zeros(n, np.int32),
    }  # fmt: skip
    return LightCurve(**values | changes)


def test_references_complement_one_another_and_gaps_are_bridged():
    exact = 1000 + np.arange(12) * STEP
    early = curve([3, 4, 5, 6], exact[[3, 4, 5, 6]] + 0.004, 0.004)
    early.time[1] = np.nan
    late = curve([8, 9], exact[[8, 9]] - 0.002, -0.002)
    silent = curve([1, 11], [np.nan, np.nan], 0.004)
    grid = freeze_grid([early, late, silent])
    assert grid.first == 1
    np.testing.assert_allclose(grid.time, exact[1:], rtol=0, atol=1e-8)


def test_products_without_a_correction_share_the_first_ones_time():
    exact = 1000 + np.arange(10) * STEP
    first, second = curve(range(6), exact[:6]), curve(range(2, 10), exact[2:] + 0.003)
    grid = freeze_grid([first, second])
    np.testing.assert_allclose(grid.time, exact, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(spacecraft_time(first), first.time)
    apart = freeze_grid([curve([0, 1], exact[:2]), curve([8, 9], exact[8:])])
    np.testing.assert_allclose(apart.time, exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("references", "word"),
    [
        ([curve([0, 500_000], [1.0, 2.0])], "from 0 to 500000, more than a sector can have"),
        ([curve([0, 1], [np.nan, 2.0])], "1 cadences of the references have a time"),
        ([curve([0, 1], [2.0, 1.0])], "does not increase"),
    ],
)
def test_references_that_make_no_grid(references, word):
    with pytest.raises(InputError, match=word):
        freeze_grid(references)


@pytest.fixture
def plan():
    return plan_of(2, min_good_cadences=3, quality_mask=8)


@pytest.fixture
def columns(plan):
    return {a.name: np.full((2, len(plan.grid.time)), a.fill, a.dtype) for a in FLUX_ARRAYS}


def place(light_curve, plan, columns, row):
    """Align and copy, as ingest does; cadences that count."""
    aligned = align(light_curve, plan)
    aligned.copy_to(columns, row)
    return aligned.n_good


def on_grid(plan, rows, **changes):
    return curve(plan.grid.first + np.asarray(rows), plan.grid.time[rows] + 0.001, 0.001, **changes)


def test_rows_go_to_their_cadences_in_any_order(plan, columns):
    rows = [7, 2, 40, 3]
    assert place(on_grid(plan, rows), plan, columns, 1) == 4
    expected = np.full(len(plan.grid.time), np.nan, np.float32)
    expected[rows] = plan.grid.first + np.array(rows)
    np.testing.assert_array_equal(columns["flux"][1], expected)
    assert (columns["quality"][1] == np.where(np.isfinite(expected), 0, -1)).all()
    np.testing.assert_allclose(columns["time_correction"][1, rows], 0.001, atol=1e-9)
    assert np.isnan(columns["flux"][0]).all()


def test_good_cadences_have_flux_and_no_rejected_bit(plan, columns):
    flux = np.array([1, np.nan, 1, 1, 1, 1], np.float32)
    quality = np.array([0, 0, 8, 4, 12, 0], np.int32)
    assert place(on_grid(plan, range(6), flux=flux, quality=quality), plan, columns, 0) == 3
    quality[5] = 8
    with pytest.raises(ProductRejected, match="2 good cadences of 6, at least 3 are needed"):
        place(on_grid(plan, range(6), flux=flux, quality=quality), plan, columns, 1)
    assert np.isnan(columns["flux"][1]).all()


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"time_format": "bkjd"}, ProductCorrupt, "time_format btjd was expected and bkjd came"),
        ({"flux_unit": "relative"}, ProductCorrupt, "flux_unit electron/s was expected and relative came"),
        ({"simulated": True}, ProductCorrupt, "simulated=True"),
    ],
)
def test_another_kind_is_refused(plan, columns, changes, error, word):
    with pytest.raises(error, match=word):
        place(on_grid(plan, range(6), **changes), plan, columns, 0)


def test_cadences_that_do_not_fit_are_refused(plan, columns):
    good = on_grid(plan, range(6))
    with pytest.raises(ProductRejected, match="off the sector's grid: 6 of 6 cadence numbers lie outside"):
        place(replace(good, cadence_no=good.cadence_no + 1000), plan, columns, 0)
    twice = good.cadence_no.copy()
    twice[1] = twice[0]
    with pytest.raises(ProductCorrupt, match="occur twice"):
        place(replace(good, cadence_no=twice), plan, columns, 0)
    with pytest.raises(ProductCorrupt, match=r"at 6 cadences its time differs .* by 0\.02100 d"):
        place(replace(good, time=good.time + 0.02), plan, columns, 0)
    assert np.isnan(columns["flux"]).all()
