"""lightkurve and astroquery, unmodified and in a process of their own, give the arrays that our archives give."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import unmodified_client
import xxhash

import larun.config
from larun.archive.decode import decode
from larun.archive.holdings import PROVENANCES
from larun.archive.names import parse
from larun.archive.searched import LightkurveArchive
from larun.archive.stars import parse_stars
from larun.lightcurve import Star
from larun.plan import PlannedTarget
from larun.survey.archives import open_archives
from larun.survey.obtain import obtain
from tests.loopback import Faults, Library, Loopback

pytestmark = pytest.mark.timeout(300)

MADE = tuple(100_000_001 + 13 * i for i in range(6))
BIT_FLIP, OTHER_STAR, HTML = MADE[3:]
FAULTS = {BIT_FLIP: "bit-flip", OTHER_STAR: "other-star", HTML: "html"}
"""Of the made stars those that arrive damaged, at every request of the unmodified clients."""

NAMED = {"Kepler-10": 3, "KIC 11904151": 3, "EPIC 201367065": 1}
"""Stars of Kepler and K2, and how many light curves each has."""

REAL = {"TIC 38846515": ({"sector": [1, 2]}, 4), "KIC 11442793": ({}, 3), "EPIC 206103150": ({}, 1)}
"""Stars of the real files, what is searched for, and how many files there are."""

MANY = 55
"""TIC number of a star with several sectors, pipelines and cadences, which is searched for and not downloaded."""

REAL_DATA = Path(__file__).parents[3] / "shared" / "data" / "fits"


def with_many_light_curves():
    slow, later = Library.tiny([MANY, MANY + 1]), Library.tiny([MANY], sector=28)
    fast_name = later.held[0].name.replace("-s_lc", "-a_fast-lc")
    fast = Library((dataclasses.replace(later.held[0], name=fast_name, exposure_s=20.0),))
    return slow + later + fast + slow.under("tess-spoc", 1800.0) + slow.under("qlp", 1800.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    library = Library.mission(n=len(MADE), distinct=2, folder=tmp_path_factory.mktemp("pool"), days=2.0)
    library += Library.kepler() + with_many_light_curves()
    if REAL_DATA.is_dir():
        library += Library.folder(REAL_DATA)
    with Loopback(library, Faults(always={f"mast:{tic}": fault for tic, fault in FAULTS.items()})) as server:
        yield server


@pytest.fixture(scope="module")
def theirs(server, tmp_path_factory):
    """What the unmodified clients got: arrays by ``target/file/column``, and hashes by file."""
    folder = tmp_path_factory.mktemp("unmodified")
    stars = {star: {} for star in (*NAMED, *(f"TIC {tic}" for tic in MADE))}
    if REAL_DATA.is_dir():
        stars |= {star: criteria for star, (criteria, _) in REAL.items()}
    job = {
        "folder": str(folder / "downloads"),
        "search": list(stars.items()),
        "list": [f"TIC {MANY}"],
        "query": [
            {"target_name": [str(tic) for tic in MADE[:3]], "provenance_name": "SPOC", "sequence_number": 1},
            {"target_name": ["kplr011904151", "ktwo201367065"], "project": ["Kepler", "K2"]},
        ],
    }
    (folder / "job.json").write_text(json.dumps(job))
    variables = server.astroquery_environment(folder / "client")
    ran = subprocess.run(
        [sys.executable, unmodified_client.__file__, folder / "job.json", folder / "result.npz"],
        env=os.environ | variables, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    with np.load(folder / "result.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files}
    server.set_faults(Faults())
    assert not server.requests("connect"), "a host that is not on loopback was asked"
    return found


@pytest.fixture(scope="module")
def settings(server):
    return larun.config.load(**server.overrides())


def arrays_of(theirs, star):
    """lightkurve's arrays of a star: file -> column -> values."""
    found = {}
    for name, values in theirs.items():
        if name.startswith(f"{star}/"):
            _, file, column = name.split("/")
            found.setdefault(file, {})[column] = values
    return found


def same(curve, lightkurve):
    """Whether a curve has every value that lightkurve gives; it leaves out rows without a time."""
    kept = np.isfinite(curve.time)
    assert {"flux", "flux_err", "cadence_no", "quality"} < set(lightkurve)
    for column in set(lightkurve) - {"xxh128"}:
        values = lightkurve[column]
        ours = getattr(curve, column)[kept]
        # Centroids are delivered in double precision and kept in single.
        if not np.array_equal(ours, values.astype(ours.dtype), equal_nan=ours.dtype.kind == "f"):
            return False
    return True


def obtained(archive, settings, product, name, tic):
    (opened,) = open_archives(archive, settings)
    try:
        return obtain([opened], product, PlannedTarget(Star(tic), name))
    finally:
        opened.close()


def product_and_target(name):
    official = parse(name)
    return official.product, official.target_id


@pytest.mark.parametrize("archive", ["mast", "cloud", "lightkurve"])
def test_every_archive_gives_the_arrays_of_unmodified_lightkurve(archive, theirs, server, settings):
    for tic in MADE[:3]:
        ((name, lightkurve),) = arrays_of(theirs, f"TIC {tic}").items()
        product, number = product_and_target(name)
        came = obtained(archive, settings, product, name, number)
        assert (came.status, came.archive, number) == ("stored", archive, tic)
        assert same(came.checked, lightkurve), name
        assert (
            len(came.checked.time) == 1440 == np.isfinite(came.checked.time).sum() + np.isnan(came.checked.time).sum()
        )
        # astroquery alone downloads the same bytes
        assert str(theirs[name]) == came.xxh128


@pytest.mark.parametrize(("star", "count"), NAMED.items())
def test_stars_by_name_are_those_of_unmodified_lightkurve(star, count, theirs, settings):
    lightkurve = arrays_of(theirs, star)
    assert len(lightkurve) == count
    archive = LightkurveArchive(settings.archives)
    stars = archive.resolve(parse_stars([star]))
    held = archive.light_curves(stars)
    assert {one.name for one in held} == set(lightkurve)
    for one in held:
        came = obtain([archive], one.product, one.target)
        assert same(came.checked, lightkurve[one.name]), one.name
        assert came.xxh128 == str(theirs[one.name])
        assert came.checked.time_format == "bkjd"
    archive.close()


def test_a_search_finds_the_rows_of_unmodified_lightkurve(theirs, settings):
    """Author, sector, exposure time and file name of each, for a star that has many; all authors and each alone."""
    rows = json.loads(str(theirs[f"rows of TIC {MANY}"]))
    archive = LightkurveArchive(settings.archives)
    stars = archive.resolve(parse_stars([f"TIC {MANY}"]))
    ours = [one for author in ("spoc", "tess-spoc", "qlp") for one in archive.light_curves(stars, author=author)]
    archive.close()
    found = [
        [PROVENANCES[one.product.author], float(one.product.sector), float(one.product.cadence_s), one.name]
        for one in ours
    ]
    assert len(rows) == 5
    assert sorted(found) == sorted(rows)


@pytest.mark.parametrize("star", REAL)
def test_real_stars_are_those_of_unmodified_lightkurve(star, theirs, real_data, settings):
    """Every pipeline that lightkurve finds by itself; QLP has its centroids under other names."""
    archive = LightkurveArchive(settings.archives)
    stars = archive.resolve(parse_stars([star]))
    compared = 0
    for author in {"TIC": ("spoc", "tess-spoc", "qlp"), "KIC": ("kepler",), "EPI": ("k2",)}[star[:3]]:
        for one in archive.light_curves(stars, author=author):
            lightkurve = arrays_of(theirs, star).get(one.name)
            if lightkurve is None:
                assert one.product.sector > 2
                continue
            if author == "qlp":
                lightkurve = {n: v for n, v in lightkurve.items() if not n.startswith(("centroid", "background"))}
            came = obtain([archive], one.product, one.target)
            assert same(came.checked, lightkurve), one.name
            assert came.xxh128 == xxhash.xxh3_128_hexdigest((real_data / "fits" / one.name).read_bytes())
            compared += 1
    archive.close()
    assert compared == REAL[star][1]


def test_damage_that_unmodified_lightkurve_passes_on_is_found_here(theirs, server, settings):
    """A control of the comparison above, and the reason why files are verified."""
    names = {tic: name for tic in FAULTS for name in arrays_of(theirs, f"TIC {tic}")}
    lightkurve = {tic: arrays_of(theirs, f"TIC {tic}")[name] for tic, name in names.items()}
    sound = {tic: server.library.content(name) for tic, name in names.items()}
    assert [tic for tic in FAULTS if "error" in lightkurve[tic]] == [HTML]
    assert str(lightkurve[BIT_FLIP]["xxh128"]) != xxhash.xxh3_128_hexdigest(sound[BIT_FLIP])
    assert not same(decode(sound[OTHER_STAR]), lightkurve[OTHER_STAR])

    reasons = {BIT_FLIP: "hecksum", OTHER_STAR: "another product: TIC", HTML: "FITS"}
    server.set_faults(Faults(always={f"mast:{tic}": fault for tic, fault in FAULTS.items()}))
    for tic, name in names.items():
        came = obtained("lightkurve", settings, product_and_target(name)[0], name, tic)
        assert (came.status, came.checked) == ("corrupt", None)
        assert reasons[tic] in came.reason
    server.set_faults(Faults(script={f"mast:{tic}": [fault] for tic, fault in FAULTS.items()}))
    for tic, name in names.items():
        came = obtained("lightkurve", settings, product_and_target(name)[0], name, tic)
        assert (came.status, came.xxh128) == ("stored", xxhash.xxh3_128_hexdigest(sound[tic]))
    server.set_faults(Faults())
