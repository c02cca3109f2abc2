"""Unmodified clients against the archive on loopback: lightkurve, astroquery, s3fs, and real recorded replies."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
import s3fs
from astropy.io import fits

from tests.loopback import Faults, Library, Loopback

ROOT = Path(__file__).parents[1]


def run(server, folder: Path, *arguments: str) -> str:
    """Output of a Python process that knows no other archive."""
    environment = {**os.environ, **server.astroquery_environment(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Library:
    tiny = Library.tiny([11, 12, 13])
    pool = tmp_path_factory.mktemp("pool")
    return (
        tiny
        + tiny.under("tess-spoc", 1800.0)
        + tiny.under("spoc", 20.0)
        + Library.mission(2, distinct=2, days=1.5, folder=pool)
        + Library.kepler()
    )


@pytest.fixture(scope="module")
def talk(library, tmp_path_factory):
    """What the clients said, the server's log, and the folder of their downloads."""
    folder = tmp_path_factory.mktemp("client")
    script = {"Mast.Caom.Filtered": ["executing", "executing"]}
    with Loopback(library, Faults(script=script)) as server:
        said = json.loads(run(server, folder, "-m", "tests.loopback_clients", str(folder)).splitlines()[-1])
        return said, server.requests(), folder


def test_searches_find_what_the_library_holds(talk, library):
    said, _, _ = talk
    found = {name: said["searched"][name]["rows"] for name in said["searched"]}
    assert [row[:3] for row in found["TIC 11"]] == [
        ["hlsp_tess-spoc_tess_phot_0000000000000011-s0001_tess_v1_lc.fits", "TESS-SPOC", 1800.0],
        ["tess2018206045859-s0001-0000000000000011-0120-a_fast-lc.fits", "SPOC", 20.0],
        ["tess2018206045859-s0001-0000000000000011-0120-s_lc.fits", "SPOC", 120.0],
    ]
    assert found["Kepler-10"] == found["KIC 11904151"]
    assert [row[3] for row in found["Kepler-10"]] == [f"Kepler Quarter 0{quarter}" for quarter in (0, 1, 2)]
    assert found["K2-3"] == found["EPIC 201367065"] == [["ktwo201367065-c01_llc.fits", "K2", 1800.0, "K2 Campaign 01"]]
    assert len(found["TIC 100000001"]) == 1
    assert said["unknown"] == 0


@pytest.mark.parametrize("name", ["TIC 11", "TIC 100000001", "Kepler-10", "EPIC 201367065"])
def test_downloaded_arrays_are_those_of_the_file(talk, library, name):
    answer = talk[0]["searched"][name]
    held = library.by_name[answer["first"]]
    rows = fits.open(io.BytesIO(library.content(held)))["LIGHTCURVE"].data
    rows = rows[np.isfinite(rows["TIME"])]
    quality = "QUALITY" if held.mission == "tess" else "SAP_QUALITY"
    names = ("TIME", "PDCSAP_FLUX", "PDCSAP_FLUX_ERR", quality, "CADENCENO", "MOM_CENTR1")
    assert answer["format"] == ("btjd" if held.mission == "tess" else "bkjd")
    assert len(rows) > 30
    for column, theirs in zip(answer["arrays"].values(), names, strict=True):
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(column), "<f8"), rows[theirs].astype("f8"))


def test_queries_and_downloads_of_astroquery(talk, library):
    said, _, folder = talk
    stems = [f"tess2018206045859-s0001-{tic:016d}-0120-s" for tic in (11, 12)]
    assert said["pair"] == [["11", stems[0]], ["12", stems[1]]]
    sizes = {name: int(size) for name, size in said["products"]}
    assert sizes[f"{stems[1]}_lc.fits"] == len(library.content(f"{stems[1]}_lc.fits"))
    assert [name for name in sizes if name.endswith("lc.fits")] == [f"{stem}_lc.fits" for stem in stems]
    assert said["download"] == "COMPLETE"
    assert (folder / "direct.fits").read_bytes() == library.content(f"{stems[0]}_lc.fits")
    assert (said["count"], said["paged"]) == (5, 5)
    assert said["like"] == [["11"]]
    assert said["cone"] == [["kplr011904151"]]
    assert said["tic"] == [["11", "9.011", "5800.0", "1.0"], ["12", "9.012", "5800.0", "1.0"]]


def test_clients_talk_to_nobody_else_and_the_log_says_how(talk):
    _, log, _ = talk
    assert {request["face"] for request in log} == {"columnsconfig", "invoke", "mast", "resolver"}
    assert {request["host"] for request in log} == {"", "mastresolver.stsci.edu"}
    first = [request for request in log if request["service"] == "Mast.Caom.Filtered"][:3]
    assert [request["fault"] for request in first] == ["executing", "executing", ""]
    files = [(r["method"], r["status"]) for r in log if r["name"] == "kplr011904151-2009131105131_llc.fits"]
    assert files == [("HEAD", 200), ("GET", 200)]
    assert len({request["connection"] for request in log}) < len(log)


def test_foreign_hosts_are_out_of_reach(library, monkeypatch):
    with Loopback(library) as server:
        for name, value in server.astroquery_environment(server.log_file.parent / "home").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(requests.exceptions.ProxyError, match="403 Forbidden"):
            requests.get("https://mast.stsci.edu", timeout=9)
        assert [(r["face"], r["host"]) for r in server.requests()] == [("connect", "mast.stsci.edu:443")]


def test_recorded_replies_are_replayed(real_data, library, tmp_path):
    folder = real_data / "mast_recorded_responses" / "mast" / "tests" / "data"
    recorded = {
        "Mast.Caom.Filtered": folder / "advSearch.json",
        "Mast.Caom.Products": folder / "products.json",
        "columnsconfig": folder / "columnsconfig.json",
        "resolver": folder / "resolver.json",
    }
    code = (
        "from astroquery.mast import Observations as o; import json\n"
        "found = o.query_criteria(proposal_pi='Osten*')\n"
        "place = o.resolve_object('TIC 307210830')\n"
        "print(json.dumps([list(found['obs_id']), len(o.get_product_list('2003738726')), place.ra.deg]))"
    )
    with Loopback(library, recorded=recorded) as server:
        names, count, ra = json.loads(run(server, tmp_path, "-c", code).splitlines()[-1])
    assert names == ["O6AU01MSQ", "O6AU01MTQ", "O6AU01MUQ"]
    assert count == len(json.loads((folder / "products.json").read_text())["data"])
    assert abs(ra - 124.5317563) < 1e-6


def test_s3fs_reads_and_lists_the_bucket(library):
    with Loopback(library) as server:
        options = {"endpoint_url": server.url, "region_name": "us-east-1"}
        bucket = s3fs.S3FileSystem(anon=True, client_kwargs=options, use_listings_cache=False, skip_instance_cache=True)
        held = library.held[1]
        assert bucket.cat_file(f"stpubdata/{held.key}") == library.content(held)
        assert bucket.cat_file(f"stpubdata/{held.key}", start=100, end=260) == library.content(held)[100:260]
        assert bucket.ls("stpubdata/tess/public/tid") == ["stpubdata/tess/public/tid/s0001"]
        names = bucket.find("stpubdata/tess/public/tid/s0001")
        assert names == sorted(f"stpubdata/{item.key}" for item in library.held if item.author == "spoc")
        with pytest.raises(FileNotFoundError):
            bucket.cat_file(f"stpubdata/{held.key}x")
        with pytest.raises(PermissionError):
            bucket.ls("private")
