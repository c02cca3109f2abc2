"""Names below the root."""

import pytest

from larun import paths
from larun.errors import InputError
from larun.paths import Product

SPOC = Product("tess", 1, "spoc", 120)


@pytest.mark.parametrize(
    ("product", "zarr", "catalogue"),
    [
        (SPOC, "lightcurves/tess/s0001/spoc-120s.zarr", "TIC"),
        (Product("tess", 56, "tess-spoc", 200), "lightcurves/tess/s0056/tess-spoc-200s.zarr", "TIC"),
        (Product("kepler", 3, "kepler", 1765), "lightcurves/kepler/q03/kepler-1765s.zarr", "KIC"),
        (Product("k2", 4, "k2sc", 1765), "lightcurves/k2/c04/k2sc-1765s.zarr", "EPIC"),
    ],
)
def test_product_is_told_by_its_path(product, zarr, catalogue):
    assert product.zarr == zarr
    assert Product.from_zarr_path(zarr) == product
    assert Product.from_zarr_path(f"{zarr}/") == product
    assert product.catalogue == catalogue


def test_names_of_a_sector():
    assert SPOC.record(7) == "lightcurves/tess/s0001/spoc-120s.zarr/records/000007.json"
    assert SPOC.plan_json == "lightcurves/tess/s0001/spoc-120s.zarr/plan.json"
    assert SPOC.plan_table == "lightcurves/tess/s0001/spoc-120s.zarr/plan.parquet"
    assert SPOC.quarantine == "lightcurves/tess/s0001/spoc-120s.quarantine"
    assert not SPOC.simulated
    assert Product("tess", 1, "simulated", 120).simulated


def test_names_of_a_run():
    folder = "detections/mission=tess/sector=1/run=r1"
    assert paths.run_folder("detections", SPOC, "r1") == folder
    assert paths.part("detections", SPOC, "r1", 3) == f"{folder}/part-00003.parquet"
    assert paths.run_settings(SPOC, "r1") == "runs/mission=tess/sector=1/run=r1.json"
    assert paths.report_folder(SPOC, "r1") == "reports/tess/s0001/r1"
    assert paths.bundle("spectral-cnn", "1") == "models/spectral-cnn/1"


def test_unknown_missions_are_refused():
    with pytest.raises(InputError, match="tess, kepler, k2, not 'corot'"):
        Product("corot", 1, "x", 32)


@pytest.mark.parametrize(
    ("sector", "author", "cadence_s", "word"),
    [
        (-1, "spoc", 120, "sector -1"),
        (1, "../x", 120, "not '../x'"),
        (1, "SPOC", 120, "lower-case"),
        (1, "spoc", 0, "0 s"),
    ],
)
def test_names_that_cannot_be_are_refused(sector, author, cadence_s, word):
    with pytest.raises(InputError, match=word):
        Product("tess", sector, author, cadence_s)


@pytest.mark.parametrize("sector", [0, 99, 123456])
def test_any_sector_number_survives(sector):
    product = Product("tess", sector, "spoc", 120)
    assert Product.from_zarr_path(product.zarr) == product


@pytest.mark.parametrize(
    ("name", "star"),
    [
        ("TIC 261136679", ("tess", 261136679)),
        ("kic11904151", ("kepler", 11904151)),
        (" EPIC-201367065 ", ("k2", 201367065)),
        ("261136679", None),
        ("HD 39091", None),
        ("TIC 12.fits", None),
    ],
)
def test_names_of_stars(name, star):
    assert paths.parse_star(name) == star
