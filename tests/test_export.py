"""Tables and light curves written for other tools, read back by those tools."""

import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from swept_sector import ABSENT, PLANETS, ingest, settings_of, write_products
from tiny_sector import PRODUCT, columns_of

from larun.archive import files
from larun.archive.folder import FolderArchive
from larun.config import Settings
from larun.errors import InputError, NotInStore
from larun.export import export_candidates, export_light_curve
from larun.objects import Root
from larun.paths import Product
from larun.schema import CANDIDATE_COLUMNS, EventFlag
from larun.store.tables import make_table
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

with warnings.catch_warnings():
    # lightkurve warns, where oktopus is not installed, of a module that nothing here uses.
    warnings.simplefilter("ignore")
    import lightkurve

FLAGS = int(EventFlag.ODD_EVEN | EventFlag.V_SHAPE)


def candidates(n: int = 2) -> pa.Table:
    """Candidates of Kepler, so that there are nulls, worst first; the second best has no known magnitude."""
    rows = []
    for rank in range(n, 0, -1):
        row = {c.name: {"str": c.name, "bool": True}.get(c.dtype, rank) for c in CANDIDATE_COLUMNS}
        rows.append(row | {"tic": None, "flags": FLAGS, "depth_ppm": 100.5 * rank, "period_d": rank + 1 / 3})
    if rows:
        rows[0]["tmag"] = float("nan")
    return make_table({c.name: [row[c.name] for row in rows] for c in CANDIDATE_COLUMNS}, CANDIDATE_COLUMNS)


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".ecsv", "ascii.ecsv"), (".fits", "fits"), (".vot", "votable"), (".XML", "votable")]
)
def test_astropy_reads_candidates_with_units_and_meanings(suffix, kind, tmp_path):
    path = export_candidates(candidates(), tmp_path / f"c{suffix}")
    table = Table.read(path, format=kind)
    assert table.colnames == [c.name for c in CANDIDATE_COLUMNS]
    assert list(table["rank"]) == [1, 2]
    np.testing.assert_array_equal(table["period_d"], [1 + 1 / 3, 2 + 1 / 3])
    assert str(table["period_d"].unit) == "d"
    assert str(table["radius"].unit) == "solRad"
    assert table["sde"].unit is None
    assert [str(f) for f in table["flags"]] == ["odd_even v_shape"] * 2
    assert list(table["simulated"]) == [True, True]
    assert np.ma.getmaskarray(table["tic"]).all()
    assert np.isnan(np.ma.getdata(table["tmag"])[1]) or np.ma.getmaskarray(table["tmag"])[1]
    assert "mean depth" in table["depth_ppm"].description
    if kind == "votable":
        assert table["depth_ppm"].description.endswith("ppm")
    else:
        assert table["depth_ppm"].unit.to("") == pytest.approx(1e-6)


def test_pandas_reads_csv(tmp_path):
    frame = pd.read_csv(export_candidates(candidates(), tmp_path / "c.csv"), float_precision="round_trip")
    assert list(frame.columns) == [c.name for c in CANDIDATE_COLUMNS]
    assert frame["period_d"].tolist() == [1 + 1 / 3, 2 + 1 / 3]
    assert frame["tic"].isna().all()
    assert frame["tmag"].isna().tolist() == [False, True]
    assert frame["simulated"].dtype == bool


def test_parquet_is_as_it_is_stored(tmp_path):
    path = export_candidates(candidates(), tmp_path / "c.parquet")
    stored = candidates().sort_by("rank")
    assert pq.read_schema(path).equals(stored.schema, check_metadata=True)
    assert pq.read_table(path).drop("tmag").equals(stored.drop("tmag"))
    assert pq.read_schema(path).field("depth_ppm").metadata[b"unit"] == b"ppm"
    assert pd.read_parquet(path)["rank"].tolist() == [1, 2]


def test_json_is_the_listing(tmp_path):
    rows = json.loads(export_candidates(candidates(), tmp_path / "c.json").read_text())
    assert [row["rank"] for row in rows] == [1, 2]
    assert rows[0]["flags"] == ["odd_even", "v_shape"]
    assert rows[1]["tmag"] is None


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "vot", "fits", "parquet", "json"])
def test_no_candidates_is_an_empty_table(suffix, tmp_path):
    path = export_candidates(candidates(0), tmp_path / f"c.{suffix}")
    if suffix == "json":
        assert json.loads(path.read_text()) == []
    elif suffix == "parquet":
        assert pq.read_table(path).shape == (0, len(CANDIDATE_COLUMNS))
    else:
        table = Table.read(path, format={"vot": "votable", "ecsv": "ascii.ecsv"}.get(suffix, suffix))
        assert (len(table), len(table.colnames)) == (0, len(CANDIDATE_COLUMNS))


def test_a_file_of_the_name_is_replaced(tmp_path):
    for suffix in ("csv", "ecsv", "vot", "fits", "parquet", "json"):
        path = tmp_path / f"c.{suffix}"
        path.write_text("old")
        export_candidates(candidates(), path)
        assert path.stat().st_size > 100


def test_candidates_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"'c\.doc': the name must end in one of \.csv, .*\.json"):
        export_candidates(candidates(), tmp_path / "c.doc")
    (tmp_path / "file").write_text("")
    for suffix in ("csv", "ecsv", "vot", "fits", "parquet", "json"):
        for folder in ("nowhere", "file"):
            with pytest.raises(InputError, match="cannot write"):
                export_candidates(candidates(), tmp_path / folder / f"c.{suffix}")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = tmp_path_factory.mktemp("exported")
    root = Root(str(place / "root"))
    ingest(root, write_products(place / "files"), settings_of(root.url))
    return root


def put_in(root: Root, archive, product: Product, settings: Settings) -> None:
    plan = start_ingest(root, [archive], product, settings.ingest)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings.ingest))


def test_fits_of_tess_is_what_lightkurve_and_larun_read(root, tmp_path):
    path = export_light_curve(root, 24, tmp_path / "lc.fits")
    source = columns_of(24, 2880)
    timed = np.isfinite(source["TIME"])
    curve = lightkurve.read(path, quality_bitmask="none")
    assert isinstance(curve, lightkurve.TessLightCurve)
    assert (curve.time.format, curve.time.scale) == ("btjd", "tdb")
    np.testing.assert_allclose(curve.time.value, source["TIME"][timed], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(curve.flux.value, source["PDCSAP_FLUX"][timed])
    assert str(curve.flux.unit) in ("electron / s", "electron/s")
    assert (curve.targetid, curve.sector, curve.camera, curve.ccd) == (24, 1, 4, 2)
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["SIMDATA"] is False
        assert hdus[0].header["TESSMAG"] == pytest.approx(9.024)
        assert hdus[0].header["AUTHOR"] == "SPOC"
        np.testing.assert_array_equal(hdus[1].data["QUALITY"], source["QUALITY"][timed])
        np.testing.assert_allclose(hdus[1].data["TIMECORR"], source["TIMECORR"][timed], rtol=0, atol=1e-9)
    ours = files.read(path)
    assert (ours.star.target_id, ours.sector, ours.time_format) == (24, 1, "btjd")
    np.testing.assert_array_equal(ours.flux, source["PDCSAP_FLUX"][timed])
    np.testing.assert_array_equal(ours.background, source["SAP_BKG"][timed])


def test_text_formats_of_a_light_curve(root, tmp_path):
    source = columns_of(24, 2880)
    timed = np.isfinite(source["TIME"])
    frame = pd.read_csv(export_light_curve(root, 24, tmp_path / "lc.csv"))
    np.testing.assert_allclose(frame["time"], source["TIME"][timed], rtol=0, atol=1e-9)
    np.testing.assert_allclose(frame["flux"], source["PDCSAP_FLUX"][timed], rtol=1e-6)
    assert "simulated" not in frame
    table = Table.read(export_light_curve(root, 24, tmp_path / "lc.ecsv"))
    assert isinstance(table["time"], Time)
    assert (table["time"].format, table["time"].scale) == ("btjd", "tdb")
    assert str(table["flux"].unit) == "electron / s"
    assert files.read(tmp_path / "lc.csv").time_format == "btjd"


@pytest.mark.parametrize(
    ("number", "product", "column"),
    [
        (11446443, Product("kepler", 2, "kepler", 1765), "PDCSAP_FLUX"),
        (206103150, Product("k2", 3, "k2", 1765), "PDCSAP_FLUX"),
        (211099743, Product("k2", 4, "k2sc", 1765), "FLUX"),
    ],
)
def test_fits_of_kepler_and_k2(real_data, tmp_path, number, product, column):
    root = Root(str(tmp_path / "root"))
    put_in(root, FolderArchive(str(real_data / "fits")), product, Settings())
    path = export_light_curve(root, number, tmp_path / "lc.fits")
    curve = lightkurve.read(path, quality_bitmask="none")
    assert isinstance(curve, lightkurve.KeplerLightCurve)
    assert (curve.time.format, curve.meta["KEPLERID"]) == ("bkjd", number)
    (name,) = (real_data / "fits").glob(f"*{number}*.fits")
    with fits.open(name) as hdus:
        data, channel = hdus[1].data, hdus[0].header["CHANNEL"]
        timed = np.isfinite(data["TIME"])
        time, flux = data["TIME"][timed], data[column][timed]
    assert curve.channel == channel
    np.testing.assert_allclose(curve.time.value, time, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(np.ma.filled(curve.flux.value, np.nan), flux.astype("f4"))


def test_a_simulated_light_curve_says_so(tmp_path):
    settings = Settings(
        simulate={"stars": 1, "days": 3.0, "cadence_s": 600}, ingest={"min_good_cadences": 50}, root=str(tmp_path / "r")
    )
    root, product = Root(settings.root), Product("tess", 1, "simulated", 600)
    archive = open_archives("simulated", settings)[0]
    put_in(root, archive, product, settings)
    (number,) = (t.star.target_id for t in archive.targets(product))
    with fits.open(export_light_curve(root, number, tmp_path / "lc.fits")) as hdus:
        assert hdus[0].header["SIMDATA"] is True
    assert files.read(tmp_path / "lc.fits").simulated
    assert pd.read_csv(export_light_curve(root, number, tmp_path / "lc.csv"))["simulated"].all()
    assert Table.read(export_light_curve(root, number, tmp_path / "lc.ecsv")).meta["SIMULATED"] is True


def test_light_curves_that_cannot_be_written(root, tmp_path):
    with pytest.raises(InputError, match=r"must end in one of \.csv, \.ecsv, \.fits"):
        export_light_curve(root, 24, tmp_path / "lc.parquet")
    for suffix in ("csv", "ecsv", "fits"):
        with pytest.raises(InputError, match="cannot write"):
            export_light_curve(root, 24, tmp_path / "nowhere" / f"lc.{suffix}")
    for number in (ABSENT, 5):
        with pytest.raises(NotInStore, match=rf"holds no light curve of {number} \(looked in: tess/s0001/spoc-120s\)"):
            export_light_curve(root, number, tmp_path / "lc.fits")
    with pytest.raises(NotInStore, match=r"it holds tess/s0001/spoc-120s"):
        export_light_curve(root, 24, tmp_path / "lc.fits", sector=9)
    assert list(tmp_path.iterdir()) == []


def test_one_of_several_light_curves_must_be_chosen(tmp_path):
    root = Root(str(tmp_path / "root"))
    ingest(root, write_products(tmp_path / "files"), settings_of(root.url))
    other = Product("tess", 1, "qlp", 600)
    shutil.copytree(tmp_path / "root" / PRODUCT.zarr, tmp_path / "root" / other.zarr)
    number = next(iter(PLANETS))
    with pytest.raises(InputError, match="choose one with --mission, --sector and --author"):
        export_light_curve(root, number, tmp_path / "lc.fits", sector=1)
    path = export_light_curve(root, number, tmp_path / "lc.fits", sector=1, mission="tess", author="qlp")
    with fits.open(path) as hdus:
        assert "FLUX" in hdus[1].columns.names
