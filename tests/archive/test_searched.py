"""Light curves by search: any star of TESS, Kepler and K2, through astroquery with our connections below it."""

import dataclasses
import io
import itertools
import pickle
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xxhash
from astropy.io import fits
from tiny_sector import PRODUCT, SETTINGS, file_name

import larun.config
from larun import ledger
from larun.archive import portal
from larun.archive.budget_server import BudgetServer
from larun.archive.searched import LightkurveArchive
from larun.archive.stars import WantedStar, parse_stars
from larun.config import ArchiveSettings
from larun.errors import ArchiveOutage, ArchiveRefused, InputError, ProductAbsent, ProductUnreachable
from larun.lightcurve import Star
from larun.objects import Root
from larun.paths import Product
from larun.plan import PlannedTarget
from larun.store.reading import read_shard
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.obtain import obtain
from tests.loopback import Fault, Faults, Library, Loopback, kepler

TICS = tuple(range(11, 31))
Q2 = Product("kepler", 2, "kepler", 1765)
QUICK = {"backoff_s": 0.01, "max_backoff_s": 0.05, "read_timeout_s": 2.0, "patience_s": 5.0, "attempts": 4}


_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server():
    tess_spoc = Library.tiny(TICS[:2]).under("tess-spoc", 1800.0)
    library = Library.kepler() + in_two_parts() + Library.tiny(TICS) + Library.tiny(TICS[:3], sector=2) + tess_spoc
    library += near_one_place()
    with Loopback(library) as server:
        yield server


@pytest.fixture
def settings(server):
    """Settings that lead to the archive on loopback, whose faults end with the test."""
    overrides = server.overrides()
    # Settings of one kind share the budget of a process, and so what they know of an outage.
    overrides["archives"] |= QUICK | {"patience_s": QUICK["patience_s"] + next(_NUMBERS) / 1000}
    yield larun.config.load(**overrides)
    server.set_faults(Faults())


@pytest.fixture
def archive(settings):
    archive = LightkurveArchive(settings.archives)
    yield archive
    archive.close()


def in_two_parts():
    """K2-3 as if it had been observed again, in the second part of campaign 10."""
    held = Library.kepler().held[-1]
    star = kepler.TARGETS[-1]
    data = kepler.product_bytes(star, 102, 2500.0, 120000, 300)
    name = held.name.replace("-c01_", "-c102_")
    return Library((dataclasses.replace(held, name=name, sector=10, content=data, size=len(data)),))


def near_one_place():
    """Three stars 3, 8 and 11 arcsec north of the place named Trio, and one 11 arcsec north of Lonely."""
    north = {41: ("Trio", 8), 42: ("Trio", 3), 43: ("Trio", 11), 44: ("Lonely", 11)}
    names = {"Trio": (10.0, 60.0), "Lonely": (20.0, 60.0)}
    held = []
    for item in Library.tiny(north).held:
        name, arcsec = north[item.target_id]
        held.append(dataclasses.replace(item, ra=names[name][0], dec=names[name][1] + arcsec / 3600))
    return Library(tuple(held), names)


def planned(tic):
    return PlannedTarget(Star(tic), file_name(tic))


def since(server, before, face=""):
    return server.requests(face)[before:]


def test_segments_of_stars_given_in_every_way(archive):
    stars = parse_stars(["EPIC 201367065", "Kepler-10", "TIC 11", "12", "TIC 30"])
    segments = archive.segments(stars)
    assert [str(product) for product in segments] == [
        "k2/c102/k2-1765s", "k2/c01/k2-1765s",
        "kepler/q02/kepler-1765s", "kepler/q01/kepler-1765s", "kepler/q00/kepler-1765s",
        "tess/s0002/spoc-120s", "tess/s0001/spoc-120s",
    ]  # fmt: skip
    assert segments[Q2] == (WantedStar("Kepler-10", "kepler", 11904151),)
    assert [star.number for star in segments[PRODUCT]] == [11, 12, 30]
    assert [star.number for star in segments[Product("tess", 2, "spoc", 120)]] == [11, 12]
    assert segments == archive.segments(tuple(stars))


def test_segments_can_be_narrowed(archive):
    both = parse_stars(["TIC 11", "KIC 11904151"])
    assert list(archive.segments(both, sector=2)) == [Q2, Product("tess", 2, "spoc", 120)]
    assert list(archive.segments(parse_stars(["Kepler-10"]), mission="kepler", sector=2)) == [Q2]
    assert list(archive.segments(both[:1], author="tess-spoc")) == [Product("tess", 1, "tess-spoc", 1800)]
    with pytest.raises(InputError, match=r"20 s.*TIC 11"):
        archive.segments(both[:1], cadence_s=20)
    with pytest.raises(InputError, match="no targets of kepler"):
        archive.segments(both, mission="kepler")
    with pytest.raises(InputError, match="no pipeline 'nobody'"):
        archive.segments(both, author="nobody")


def test_a_star_and_its_name_are_one_target(archive):
    (star,) = archive.resolve(parse_stars(["KIC 11904151", "kepler-10"]))
    assert star.text == "KIC 11904151"


def test_a_name_is_the_nearest_target_at_its_position(archive):
    (star,) = archive.resolve(parse_stars(["trio"]))
    assert star == WantedStar("trio", "tess", 42)
    with pytest.raises(InputError, match="Lonely"):
        archive.resolve(parse_stars(["Lonely"]))
    with pytest.raises(InputError, match="target of k2 named Trio"):
        archive.resolve(parse_stars(["Trio"]), mission="k2")


def test_stars_that_do_not_exist(archive, caplog):
    stars = parse_stars(["TIC 11", "TIC 999"])
    assert [star.number for star in archive.segments(stars)[PRODUCT]] == [11, 999]
    assert "TIC 999" in caplog.text
    with pytest.raises(InputError, match="TIC 999"):
        archive.segments(stars[1:])
    with pytest.raises(InputError, match="Planet Nine"):
        archive.segments(parse_stars(["TIC 11", "Planet Nine"]))
    with pytest.raises(InputError, match=r"none of this pipeline|has no light curve"):
        LightkurveArchive(archive._settings, "", stars[1:]).targets(PRODUCT)
    with pytest.raises(InputError, match="resolve them first"):
        LightkurveArchive(archive._settings, "", parse_stars(["Kepler-10"]))


def test_a_sector_is_listed_as_mast_lists_it(archive, settings, monkeypatch, server):
    monkeypatch.setattr(portal, "BATCH", 6)
    before = len(server.requests())
    ours = archive.targets(PRODUCT)
    services = [request["service"] or request["face"] for request in since(server, before)]
    assert services.count("Mast.Caom.Filtered") == 1
    assert services.count("Mast.Caom.Products") == 4
    assert len(services) == 7
    (mast,) = open_archives("mast", settings)
    assert ours.targets == mast.targets(PRODUCT).targets
    mast.close()
    assert len(ours) == len(TICS) + 4
    assert len(ours.sha256) == 64
    assert [target.star.target_id for target in archive.targets(Q2)] == [11904151]
    with pytest.raises(InputError, match="s0099"):
        archive.targets(Product("tess", 99, "spoc", 120))


def test_named_stars_go_into_the_store(archive, settings, server, tmp_path):
    """Kepler-10, EPIC 201367065 and KIC 11904151, every segment of theirs."""
    root = Root(str(tmp_path / "root"))
    rules = SETTINGS.model_copy(update={"min_good_cadences": 100})
    stars = parse_stars(["Kepler-10", "EPIC 201367065", "TIC 12", "TIC 999"])
    for product, its in archive.segments(stars).items():
        archives = [LightkurveArchive(settings.archives, "", its)]
        if product.mission == "tess":
            rules = SETTINGS
        plan = start_ingest(root, archives, product, rules)
        ingest_shards(IngestWork.of(root, archives, plan, range(plan.n_shards), rules))
        archives[0].close()
        shard, _ = read_shard(root, plan, 0)
        known = {o.target_id: o for r in ledger.records(root, product) for o in r.outcomes}
        assert [known[star.number].status for star in its] == ["absent" if s.number == 999 else "stored" for s in its]
        for row, target in enumerate(plan.targets):
            if known[target.star.target_id].status != "stored":
                assert "TIC 999" in known[999].reason
                continue
            with fits.open(io.BytesIO(server.library.content(target.product))) as hdus:
                table, header = hdus[1].data, hdus[0].header
                np.testing.assert_array_equal(shard.flux[row], np.asarray(table["PDCSAP_FLUX"], "f4"))
                timed = np.isfinite(table["TIME"])
                time = shard.time + shard.time_correction[row].astype("f8")
                np.testing.assert_allclose(time[timed], table["TIME"][timed], rtol=0, atol=2e-9)
                number = header["TICID"] if product.mission == "tess" else header["KEPLERID"]
            assert number == target.star.target_id == shard.stars[row].target_id
    assert sorted(str(p.relative_to(tmp_path / "root")) for p in tmp_path.glob("root/lightcurves/*/*/*.zarr")) == [
        "lightcurves/k2/c01/k2-1765s.zarr",
        "lightcurves/k2/c102/k2-1765s.zarr",
        "lightcurves/kepler/q00/kepler-1765s.zarr",
        "lightcurves/kepler/q01/kepler-1765s.zarr",
        "lightcurves/kepler/q02/kepler-1765s.zarr",
        "lightcurves/tess/s0001/spoc-120s.zarr",
        "lightcurves/tess/s0002/spoc-120s.zarr",
    ]


def test_a_worker_fetches_by_the_name_alone(archive, server):
    """What is pickled has no connection; SPOC's names say where their files are."""
    copy = pickle.loads(pickle.dumps(archive))
    before = len(server.requests())
    came = copy.fetch(PRODUCT, planned(15))
    assert came.data == server.library.content(file_name(15))
    assert came.source.endswith(f"/api/v0.1/Download/file?uri=mast:TESS/product/{file_name(15)}")
    assert [(r["method"], r["face"]) for r in since(server, before)] == [("GET", "mast")]
    copy.close()


def test_a_worker_searches_once_for_files_whose_place_it_does_not_know(settings, server):
    archive = LightkurveArchive(settings.archives, "", parse_stars(["KIC 11904151"]))
    before = len(server.requests())
    for quarter in (0, 1, 2):
        product = Product("kepler", quarter, "kepler", 1765)
        (target,) = LightkurveArchive(settings.archives, "", archive.stars).targets(product)
        assert pickle.loads(pickle.dumps(archive)).fetch(product, target).data
        assert archive.fetch(product, target).data == server.library.content(target.product)
    ours = [r["service"] for r in since(server, before)].count("Mast.Caom.Filtered")
    assert ours == 3 + 3 + 1
    archive.close()


def test_a_product_without_an_official_name_is_searched_for(archive):
    there = archive.fetch(PRODUCT, PlannedTarget(Star(16), "some/folder/mine.fits"))
    assert there.data[:6] == b"SIMPLE"
    for target in (PlannedTarget(Star(999), "TIC 999"), planned(999)):
        with pytest.raises(ProductAbsent, match="999"):
            archive.fetch(PRODUCT, target)


@pytest.mark.parametrize(
    "fault", ["truncated", "truncated-chunked", "reset", "stall", "500", "502", "504", "empty", "503-date", "redirect"]
)
def test_a_download_that_fails_is_made_again(fault, archive, server):
    server.set_faults(Faults(script={"mast:17": [Fault(fault, 0.2)]}))
    assert archive.fetch(PRODUCT, planned(17)).data == server.library.content(file_name(17))


@pytest.mark.parametrize(
    ("fault", "status"),
    [("truncated-open", "stored"), ("html", "stored"), ("other-star", "stored"), ("duplicate-rows", "stored")],
)
def test_damage_that_passes_is_passed(fault, status, archive, server):
    server.set_faults(Faults(script={"mast:18": [fault]}))
    came = obtain([archive], PRODUCT, planned(18))
    assert (came.status, came.xxh128) == (status, xxhash.xxh3_128_hexdigest(server.library.content(file_name(18))))


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("truncated-open", "corrupt"), ("html", "corrupt"), ("other-star", "corrupt"), ("duplicate-rows", "corrupt"),
        ("reset", "unreachable"), ("502", "unreachable"), ("404", "absent"),
    ],
)  # fmt: skip
def test_damage_that_stays_has_its_true_name(fault, status, archive, server):
    server.set_faults(Faults(always={"mast:19": fault}))
    came = obtain([archive], PRODUCT, planned(19))
    assert (came.status, came.checked) == (status, None)
    assert came.reason


def test_retry_after_is_obeyed(archive, server):
    server.set_faults(Faults(script={"mast:20": [Fault("503", 1.0)]}))
    before = len(server.requests("mast"))
    archive.fetch(PRODUCT, planned(20))
    refused, served = since(server, before, "mast")
    assert served["start"] - refused["end"] >= 0.95


@pytest.mark.parametrize("fault", ["executing", "error", "html", "502", "truncated", "reset"])
def test_a_search_that_fails_is_made_again(fault, archive, server):
    server.set_faults(Faults(script={"Mast.Caom.Filtered": [fault] * 2}))
    assert [p.sector for p in archive.segments(parse_stars(["TIC 11"]))] == [2, 1]


def test_an_unfinished_search_is_not_polled_without_a_pause(archive, server):
    server.set_faults(Faults(script={"Mast.Caom.Filtered": ["executing"] * 5}))
    before = len(server.requests("invoke"))
    archive.segments(parse_stars(["TIC 11"]))
    polls = [r["start"] for r in since(server, before, "invoke") if r["service"] == "Mast.Caom.Filtered"]
    assert len(polls) == 6
    assert np.diff(polls).min() >= QUICK["backoff_s"]


@pytest.mark.parametrize("fault", ["html", "error", "502"])
def test_a_search_that_stays_without_a_table_is_an_outage(fault, archive, server):
    server.set_faults(Faults(always={"Mast.Caom.Filtered": fault}))
    for search in (
        lambda: archive.targets(PRODUCT),
        lambda: archive.segments(parse_stars(["TIC 11"])),
    ):
        with pytest.raises(ArchiveOutage, match=r"127\.0\.0\.1"):
            search()
    with pytest.raises((ProductUnreachable, ArchiveOutage)):
        archive.fetch(Q2, PlannedTarget(Star(11904151), "KIC 11904151"))


def test_a_refusal_is_no_outage(archive, server):
    server.set_faults(Faults(always={"invoke": "403", "columnsconfig": "403", "mast:21": "403"}))
    with pytest.raises(ArchiveRefused, match="403"):
        archive.segments(parse_stars(["Kepler-10"]))
    with pytest.raises(ArchiveRefused, match="403"):
        archive.fetch(PRODUCT, planned(21))


def test_an_archive_that_is_gone_is_an_outage(server):
    settings = ArchiveSettings(mast_url="http://127.0.0.1:9", **QUICK | {"patience_s": 0.2, "outage_failures": 2})
    with pytest.raises(ArchiveOutage):
        LightkurveArchive(settings).segments(parse_stars(["TIC 11"]))


def test_nothing_is_left_behind(archive, server, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server.set_faults(Faults(script={"mast:22": ["html", "truncated-open", "bit-flip"]}))
    for _ in range(4):
        archive.fetch(PRODUCT, planned(22))
    with pytest.raises(ProductAbsent):
        archive.fetch(PRODUCT, planned(999))
    assert list(tmp_path.iterdir()) == []


def test_threads_share_one_client_and_leave_standard_output_alone(archive, server):
    before, output = len(server.requests("mast")), sys.stdout
    with ThreadPoolExecutor(8) as pool:
        came = list(pool.map(lambda tic: archive.fetch(PRODUCT, planned(tic)).data, TICS * 2))
    assert came == [server.library.content(file_name(tic)) for tic in TICS * 2]
    asked = since(server, before, "mast")
    assert len(asked) == len(came)
    assert all(later["start"] >= earlier["end"] for earlier, later in itertools.pairwise(asked))
    assert sys.stdout is output
    assert not sys.stdout.closed


def test_other_code_of_the_process_keeps_its_own_client(archive, monkeypatch):
    from astroquery.mast import Observations
    from astroquery.mast.discovery_portal import PortalAPI

    # Other tests of the process ask the loopback archive with astroquery's own client, which keeps what it learnt.
    monkeypatch.setattr(PortalAPI, "_column_configs", {})
    archive.targets(PRODUCT)
    theirs = Observations._portal_api_connection
    ours = archive._portal._mast()._portal_api_connection
    assert "127.0.0.1" not in theirs.MAST_REQUEST_URL + theirs.MAST_DOWNLOAD_URL + theirs.COLUMNS_CONFIG_URL
    assert ours._column_configs
    assert type(theirs) is PortalAPI
    assert not PortalAPI._column_configs
    assert "requests" in type(Observations._session.get_adapter("https://mast.stsci.edu")).__module__


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_the_server_of_the_settings_is_asked(url):
    connection = portal.Portal(ArchiveSettings(mast_url=url))._mast()._portal_api_connection
    assert connection.MAST_REQUEST_URL == "http://127.0.0.1:9/api/v0/invoke"
    assert connection.MAST_DOWNLOAD_URL == "http://127.0.0.1:9/api/v0.1/Download/file"
    assert connection.COLUMNS_CONFIG_URL == "http://127.0.0.1:9/portal/Mashup/Mashup.asmx/columnsconfig"


def test_the_official_server_is_astroquerys_own():
    connection = portal.Portal(ArchiveSettings())._mast()._portal_api_connection
    assert connection.MAST_REQUEST_URL == type(connection).MAST_REQUEST_URL
    assert connection.MAST_REQUEST_URL == "https://mast.stsci.edu/api/v0/invoke"


def test_requests_come_from_the_budget_of_the_run(settings, server):
    before = len(server.requests())
    with BudgetServer(settings.archives) as budget:
        archive = LightkurveArchive(settings.archives, budget.address)
        archive.segments(parse_stars(["Kepler-10"]))
        archive.fetch(PRODUCT, planned(23))
        asked = budget.report()["mast"]["requests"]
        archive.close()
    assert asked == len(since(server, before)) == 8
