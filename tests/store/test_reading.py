"""Reading a store: sectors, shards, xarray, and light curves equal to those of lightkurve."""

from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from tiny_sector import N_CADENCES, PRODUCT, SETTINGS, columns_of, file_name, product_bytes, write_folder

from larun.archive.folder import FolderArchive
from larun.config import IngestSettings
from larun.errors import NotInStore, StoreError
from larun.ledger import read_record
from larun.lightcurve import Star
from larun.objects import Root
from larun.paths import Product
from larun.plan import load_plan
from larun.schema import FLUX_ARRAYS, SECTOR_ARRAYS
from larun.store.reading import ShardReader, find_target, light_curve, open_sector, products, read_rows, read_shard
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest

TICS = range(41, 47)


def ingest(root, archive, product=PRODUCT, settings=SETTINGS):
    plan = start_ingest(root, [archive], product, settings)
    ingest_shards(IngestWork.of(root, [archive], plan, range(plan.n_shards), settings))
    return plan


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = tmp_path_factory.mktemp("reading")
    files = write_folder(place / "files", TICS)
    (files / file_name(44)).write_bytes(product_bytes(44, columns_of(44, nan=True)))
    root = Root(str(place / "root"))
    ingest(root, FolderArchive(files))
    return root


def test_products_are_found_in_the_store_alone(root, tmp_path):
    assert products(root) == products(root, "tess") == products(root, sector=1) == [PRODUCT]
    assert products(root, "kepler") == products(root, "tess", 2) == []
    assert products(Root(str(tmp_path / "absent"))) == []


def test_folders_that_are_no_sector_are_passed_over(tmp_path):
    for name in ("tess/s0001/spoc-120s.zarr", "tess/s0001/what.zarr", "mars/s0001/spoc-120s.zarr", "tess/s0001/notes"):
        (tmp_path / "lightcurves" / name).mkdir(parents=True)
    assert products(Root(str(tmp_path))) == []


@pytest.mark.parametrize("how", ["open_sector", "xarray.open_zarr"])
def test_dataset(root, how):
    """Warnings are errors here, so that none is shown to a reader."""
    dataset = open_sector(root, PRODUCT) if how == "open_sector" else xarray.open_zarr(root.url_of(PRODUCT.zarr))
    assert dict(dataset.sizes) == {"target": 6, "cadence": N_CADENCES}
    assert set(dataset.coords) == {a.name for a in SECTOR_ARRAYS if len(a.dims) == 1}
    assert set(dataset.data_vars) == {a.name for a in FLUX_ARRAYS}
    for array in SECTOR_ARRAYS:
        assert dataset[array.name].dims == array.dims
        assert dataset[array.name].dtype == np.dtype(array.dtype), array.name
    assert dataset.time.attrs["units"] == "d"
    assert dataset.flux.attrs["units"] == "electron/s"
    row = dataset.target_id.values.tolist().index(42)
    np.testing.assert_array_equal(dataset.flux[row].values, columns_of(42)["PDCSAP_FLUX"])


def test_an_absent_sector_says_what_there_is(root, tmp_path):
    for call in (open_sector, lambda root, product: light_curve(root, product, 1)):
        with pytest.raises(NotInStore, match="holds tess/s0001/spoc-120s; fill it with `larun ingest`"):
            call(root, Product("tess", 3, "spoc", 120))
    with pytest.raises(NotInStore, match="holds nothing"):
        open_sector(Root(str(tmp_path)), PRODUCT)


def test_shards(root):
    plan = load_plan(root, PRODUCT)
    shards = [read_shard(root, plan, index) for index in range(plan.n_shards)]
    assert [len(shard) for shard, _ in shards] == [4, 2]
    stars = [star for shard, _ in shards for star in shard.stars]
    assert [s.target_id for s in stars] == [t.star.target_id for t in plan.targets]
    status = dict(zip((s.target_id for s in stars), np.concatenate([codes for _, codes in shards]), strict=True))
    assert status == {tic: 5 if tic == 44 else 1 for tic in TICS}
    shard = shards[0][0]
    assert (shard.mission, shard.sector, shard.cadence_s, shard.time_format) == ("tess", 1, 120.0, "btjd")
    np.testing.assert_array_equal(shard.time, plan.grid.time)
    np.testing.assert_array_equal(shard.cadence_no, plan.grid.cadence_no)
    for row, star in enumerate(shard.stars):
        expected = columns_of(star.target_id)
        if star.target_id == 44:
            assert np.isnan(shard.flux[row]).all()
            continue
        np.testing.assert_array_equal(shard.flux[row], expected["PDCSAP_FLUX"])
        np.testing.assert_array_equal(shard.quality[row], expected["QUALITY"])
        facts = Star(star.target_id, 80.0 + star.target_id / 100, -60.0, star.tmag, 5800.0, star.logg, 1.0, 4, 2)
        assert star == facts
        assert star.tmag == pytest.approx(9.0 + star.target_id / 1000, abs=1e-6)
        assert star.logg == pytest.approx(4.4, abs=1e-6)


def test_rows_in_any_order(root):
    whole, _ = read_rows(root, PRODUCT, slice(0, 6))
    some, status = read_rows(root, PRODUCT, np.array([4, 0]))
    assert [s.target_id for s in some.stars] == [whole.stars[4].target_id, whole.stars[0].target_id]
    np.testing.assert_array_equal(some.flux, whole.flux[[4, 0]])
    assert len(status) == 2


def test_a_star_that_is_not_there_says_why(root):
    assert find_target(root, PRODUCT, 41) in range(6)
    with pytest.raises(NotInStore, match=r"TIC 7 is not among.*larun status"):
        light_curve(root, PRODUCT, 7)
    with pytest.raises(NotInStore, match=r"TIC 44, its status is rejected.*records"):
        light_curve(root, PRODUCT, 44)


def copy_of(root, tmp_path) -> Root:
    import shutil

    shutil.copytree(root.url, tmp_path / "copy")
    return Root(str(tmp_path / "copy"))


def test_lost_data_are_noticed(root, tmp_path):
    copy = copy_of(root, tmp_path)
    plan = load_plan(copy, PRODUCT)
    for name in ("flux", "quality"):
        copy.delete(f"{PRODUCT.zarr}/{name}/c/0/0")
    with pytest.raises(StoreError, match=r"are gone.*ingest again"):
        read_shard(copy, plan, 0)
    read_shard(copy, plan, 1)


@pytest.mark.parametrize("name", ["time_correction", "flux"])
def test_lost_times_and_fluxes_of_one_star_are_noticed(root, tmp_path, name):
    """Without its correction a star would silently get the time of the spacecraft."""
    copy = copy_of(root, tmp_path)
    copy.delete(f"{PRODUCT.zarr}/{name}/c/0/0")
    with pytest.raises(StoreError, match="are gone"):
        light_curve(copy, PRODUCT, 41)


@pytest.mark.parametrize("name", ["time", "cadence_no"])
def test_lost_cadences_are_noticed(root, tmp_path, name):
    copy = copy_of(root, tmp_path)
    copy.delete(f"{PRODUCT.zarr}/{name}/c/0")
    with pytest.raises(StoreError, match=f"^{name} of shard 0 .* not what was written"):
        read_shard(copy, load_plan(copy, PRODUCT), 0)


def test_data_are_those_of_the_record(root, tmp_path):
    copy = copy_of(root, tmp_path)
    plan = load_plan(copy, PRODUCT)
    hashes = read_record(copy, plan, 0).hashes
    read_shard(copy, plan, 0, hashes)
    for name in ("background/c/0/0", "tmag/c/0"):
        copy.delete(f"{PRODUCT.zarr}/{name}")
    with pytest.raises(StoreError, match=r"^background, tmag of shard 0 .*records/000000\.json and ingest again"):
        read_shard(copy, plan, 0, hashes)
    read_shard(copy, plan, 1, read_record(copy, plan, 1).hashes)


def test_some_stars_of_a_shard_without_what_is_not_wanted(root, tmp_path):
    copy = copy_of(root, tmp_path)
    plan = load_plan(copy, PRODUCT)
    hashes = read_record(copy, plan, 0).hashes
    whole, codes = read_shard(copy, plan, 0, hashes)
    for name in ("flux_err", "background"):
        copy.delete(f"{PRODUCT.zarr}/{name}/c/0/0")
    rows = np.array([3, 0])
    some, status = ShardReader.of(copy, plan).read(0, hashes, rows, ("flux_err", "background"))
    assert some.stars == (whole.stars[3], whole.stars[0])
    for name in ("flux", "quality", "time_correction", "centroid_col", "centroid_row"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[rows])
    np.testing.assert_array_equal(status, codes[rows])
    np.testing.assert_array_equal(some.time, whole.time)
    for shard in (some, some.take([1])):
        assert shard.background.shape == shard.flux.shape
        assert np.isnan(shard.background).all()
        assert not any(shard.flux_err.strides), "takes no memory"
    with pytest.raises(StoreError, match=r"^flux_err of shard 0"):
        ShardReader.of(copy, plan).read(0, hashes, rows, ("background",))


def test_a_store_out_of_reach_is_not_called_damaged(root, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    plan = load_plan(root, PRODUCT)
    monkeypatch.setattr("zarr.storage.LocalStore.get", refuse)
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.cat_file", refuse)
    for call in (lambda: read_rows(root, PRODUCT, slice(0, 1)), lambda: read_shard(root, plan, 0)):
        with pytest.raises(StoreError, match=r"cannot read .*: Permission denied") as caught:
            call()
        assert "elete" not in str(caught.value)


@pytest.mark.parametrize("name", ["flux/c/0/0", "ra/c/0"])
@pytest.mark.parametrize("damage", [lambda data: b"\xff" * len(data), lambda data: data[:-1], lambda data: b""])
def test_damaged_data_are_noticed(root, tmp_path, name, damage):
    copy = copy_of(root, tmp_path)
    path = Path(copy.full(f"{PRODUCT.zarr}/{name}"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match="damaged"):
        read_shard(copy, load_plan(copy, PRODUCT), 0)


def test_another_value_of_the_same_shard_is_noticed(root, tmp_path):
    """A whole object with its checksums in order, but not the one of the record: as a careless editor leaves it."""
    copy = copy_of(root, tmp_path)
    plan = load_plan(copy, PRODUCT)
    hashes = read_record(copy, plan, 0).hashes
    for name in ("flux", "tmag"):
        array = zarr.open_group(copy.full(PRODUCT.zarr), mode="r+")[name]
        array[1] = array[1] + 1
    read_shard(copy, plan, 0)
    with pytest.raises(StoreError, match=r"^flux, tmag of shard 0 .* not what was written"):
        read_shard(copy, plan, 0, hashes)


REAL = (
    (Product("tess", 1, "spoc", 120), 38846515, "tess2018206045859-s0001-0000000038846515-0120-s_lc.fits"),
    (Product("kepler", 3, "kepler", 1765), 11446443, None),
    (Product("tess", 2, "qlp", 1800), 38846515, "hlsp_qlp_tess_ffi_s0002-0000000038846515_tess_v01_llc.fits"),
    (Product("k2", 3, "k2", 1765), 206103150, "ktwo206103150-c03_llc.fits"),
)


@pytest.fixture(scope="module")
def lightkurve():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("lightkurve")


@pytest.mark.parametrize(("product", "target", "name"), REAL, ids=str)
def test_light_curve_is_that_of_lightkurve(real_data, tmp_path, lightkurve, product, target, name):
    archive = FolderArchive(str(real_data / "fits"))
    names = {t.star.target_id: t.product for t in archive.targets(product)}
    if target not in names:
        target = min(names)
    root = Root(str(tmp_path))
    ingest(root, archive, product, IngestSettings(min_good_cadences=100))
    ours = light_curve(root, product, target)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = lightkurve.read(real_data / "fits" / names[target], quality_bitmask="none")
    assert type(ours) is type(theirs)
    assert len(ours) == len(theirs)
    assert (ours.time.format, ours.time.scale) == (theirs.time.format, theirs.time.scale)
    assert np.abs(ours.time.value - theirs.time.value).max() * 86400 < 5e-5
    np.testing.assert_array_equal(ours["quality"], theirs["quality"])
    np.testing.assert_array_equal(ours["cadenceno"], theirs["cadenceno"])
    for column in ("flux", "flux_err"):
        expected = np.ma.filled(np.ma.asarray(theirs[column].value), np.nan).astype("f4")
        np.testing.assert_array_equal(np.asarray(ours[column].value), expected, err_msg=column)
        assert ours[column].unit == theirs[column].unit
    for column in ("centroid_col", "centroid_row"):
        if column in theirs.colnames:
            expected = np.ma.filled(np.ma.asarray(theirs[column].value), np.nan).astype("f4")
            np.testing.assert_array_equal(ours[column].value, expected)
    assert ours.meta["TARGETID"] == theirs.meta["TARGETID"] == target
    assert ours.meta["SIMULATED"] is False
    segment = {"tess": "SECTOR", "kepler": "QUARTER", "k2": "CAMPAIGN"}[product.mission]
    assert ours.meta[segment] == product.sector


def test_light_curve_is_ready_for_lightkurve(root, lightkurve):
    curve = light_curve(root, PRODUCT, 41)
    assert isinstance(curve, lightkurve.TessLightCurve)
    assert (curve.meta["TICID"], curve.meta["SECTOR"], curve.meta["LABEL"]) == (41, 1, "TIC 41")
    # The three cadences of the gap have no time.
    assert len(curve) == N_CADENCES - 3
    assert curve.time.format == "btjd"
    assert len(curve.remove_nans()) == N_CADENCES - 3
    assert curve.normalize().flux.unit == ""
