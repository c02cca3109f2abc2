"""Every real file reads as `lightkurve.read` reads it, value for value; the exceptions are asserted one by one."""

import warnings

import numpy as np
import pytest

from larun.archive.decode import decode

COUNT_OF_FILES = 39


@pytest.fixture(scope="module")
def reference(real_data):
    """(path, our curve, lightkurve's curve without any row removed for quality) of every file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of optional packages; reading below must not warn
        import lightkurve
        from lightkurve.io.generic import read_generic_lightcurve

    def read(path, author):
        if author == "k2sc":  # lightkurve knows the kind by name and cannot read it: its generic reader can
            return read_generic_lightcurve(
                str(path), flux_column="flux", flux_err_column="error", cadenceno_column="cadence",
                centroid_col_column="x", centroid_row_column="y", time_format="bkjd",
            )  # fmt: skip
        options = {} if author == "tasoc" else {"quality_bitmask": "none"}
        return lightkurve.read(str(path), **options)

    pairs = []
    for path in sorted((real_data / "fits").glob("*.fits")):
        curve = decode(path.read_bytes(), path.name)
        pairs.append((path, curve, read(path, curve.author)))
    assert len(pairs) == COUNT_OF_FILES
    return pairs


def plain(column) -> np.ndarray:
    """Values of an astropy column without unit and mask, NaN where masked."""
    values = getattr(column, "unmasked", column)
    values = np.asarray(getattr(values, "value", values))
    mask = np.asarray(getattr(column, "mask", False))
    return np.where(mask, np.nan, values) if values.dtype.kind == "f" else values


def same(ours, theirs, name, path):
    np.testing.assert_array_equal(ours, theirs, err_msg=f"{name} of {path.name}")


def test_rows_are_those_of_lightkurve_and_those_without_a_time(reference):
    for path, curve, lc in reference:
        kept = np.isfinite(curve.time)
        assert kept.sum() == len(lc), path.name
        assert not np.isfinite(curve.flux[~kept]).any(), path.name
        assert np.isnan(curve.time_correction[~kept]).all(), path.name


def test_time_is_exact_with_format_and_scale(reference):
    for path, curve, lc in reference:
        assert (lc.time.format, lc.time.scale) == (curve.time_format, "tdb"), path.name
        same(curve.time[np.isfinite(curve.time)], lc.time.value, "time", path)


def test_flux_and_error_are_exact(reference):
    for path, curve, lc in reference:
        kept = np.isfinite(curve.time)
        flux, error = plain(lc.flux), plain(lc.flux_err)
        if curve.author == "tasoc":  # delivered in ppm around 0, kept relative around 1
            assert str(lc.flux.unit) == "ppm"
            flux, error = 1 + 1e-6 * flux, 1e-6 * error
        if curve.author in {"tasoc", "k2sc"}:  # delivered in double precision
            assert flux.dtype == np.dtype("f8")
            flux, error = flux.astype(np.float32), error.astype(np.float32)
        same(curve.flux[kept], flux, "flux", path)
        same(curve.flux_err[kept], error, "flux_err", path)


def test_units_are_those_of_lightkurve(reference):
    expected = {"qlp": ("", "relative"), "tasoc": ("ppm", "relative"), "k2sc": ("", "electron/s")}
    for path, curve, lc in reference:
        theirs, ours = expected.get(curve.author, ("electron / s", "electron/s"))
        assert str(lc.flux.unit) == theirs, path.name
        assert curve.flux_unit == ours, path.name
        if ours == "relative":
            assert np.nanmedian(curve.flux) == pytest.approx(1, abs=1e-3)


def test_cadence_numbers_and_quality_are_exact(reference):
    for path, curve, lc in reference:
        kept = np.isfinite(curve.time)
        same(curve.cadence_no[kept], plain(lc["cadenceno"]), "cadenceno", path)
        same(curve.quality[kept], plain(lc["quality"]), "quality", path)


def test_centroids_corrections_and_background_are_exact(reference):
    for path, curve, lc in reference:
        kept = np.isfinite(curve.time)
        columns, rows = ("sap_x", "sap_y") if curve.author == "qlp" else ("centroid_col", "centroid_row")
        same(curve.centroid_col[kept], plain(lc[columns]).astype(np.float32), columns, path)
        same(curve.centroid_row[kept], plain(lc[rows]).astype(np.float32), rows, path)
        correction = {"eleanor-lite": "barycorr", "qlp": None, "k2sc": None}.get(curve.author, "timecorr")
        if correction is None:
            assert np.isnan(curve.time_correction).all()
        else:
            same(curve.time_correction[kept], plain(lc[correction]), correction, path)
        if curve.author in {"spoc", "tess-spoc", "kepler", "k2"}:
            same(curve.background[kept], plain(lc["sap_bkg"]), "sap_bkg", path)
        else:  # in another unit than the flux, or in none that the file names
            assert np.isnan(curve.background).all()


def test_targets_and_sectors_are_those_of_lightkurve(reference):
    keys = {"kepler": "QUARTER", "k2": "CAMPAIGN", "tess": "SECTOR"}
    for path, curve, lc in reference:
        target = lc.meta.get("TARGETID", lc.meta.get("KEPLERID"))
        assert curve.star.target_id == target, path.name
        assert curve.sector == lc.meta[keys[curve.mission]], path.name
        assert curve.star.ra == lc.meta["RA_OBJ"], path.name
        assert not curve.simulated


def test_authors_are_those_of_lightkurve(reference):
    for path, curve, lc in reference:
        theirs = lc.meta.get("AUTHOR", "k2sc").lower().removeprefix("gsfc-")
        assert theirs == {"k2": "kepler"}.get(curve.author, curve.author), path.name
