"""Archives by name, and the list of a sector's targets from the first that can give it."""

import pytest
from scripted import Scripted, planned
from tiny_sector import PRODUCT, SETTINGS, write_folder

from larun.archive.folder import FolderArchive
from larun.archive.protocol import Archive
from larun.config import Settings
from larun.errors import ArchiveOutage, ArchiveRefused, InputError, PlanMismatch
from larun.objects import Root
from larun.paths import Product
from larun.plan import load_plan
from larun.survey.archives import list_targets, open_archives
from larun.survey.ingest import start_ingest
from larun.survey.offered import offered_product


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "files", (11, 12, 13))


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (None, ["cloud", "mast"]),
        ("mast", ["mast"]),
        ("mast,cloud", ["mast", "cloud"]),
        (" lightkurve , mast", ["lightkurve", "mast"]),
        ("simulated", ["simulated"]),
    ],
)
def test_archives_by_name_in_their_order(spec, names):
    found = open_archives(spec, Settings(), "")
    assert [archive.name for archive in found] == names
    assert all(isinstance(archive, Archive) for archive in found)


def test_the_order_is_a_setting():
    assert [a.name for a in open_archives(None, Settings(archives={"order": ["mast"]}))] == ["mast"]


def test_a_folder_may_be_one_of_several(folder):
    cache, mast = open_archives(f"folder:{folder},mast", Settings())
    assert (cache.name, cache.path, mast.name) == ("folder", folder, "mast")


@pytest.mark.parametrize("spec", ["cloudy", "folder", "folder:", "simulated:x", "", "mast,", "mast,s3"])
def test_unknown_archives_are_refused_with_those_there_are(spec):
    with pytest.raises(InputError, match="cloud, mast, lightkurve, folder:PATH, simulated"):
        open_archives(spec, Settings())


def test_an_archive_that_is_named_twice_is_refused():
    with pytest.raises(InputError, match="mast is named twice in 'mast,cloud,mast'"):
        open_archives("mast,cloud,mast", Settings())


class Silent(Scripted):
    """An archive that cannot give a list."""

    def __init__(self, name, error):
        super().__init__(name)
        self.error = error

    def targets(self, product):
        raise self.error


OUT, REFUSED = ArchiveOutage("maintenance"), ArchiveRefused("a proxy asks for a password")
NOTHING = InputError("there is no sector 999; the latest is 96")


@pytest.mark.parametrize("error", [OUT, REFUSED, NOTHING])
def test_the_list_comes_from_the_first_that_can_give_it(error):
    found, archive = list_targets([Silent("cloud", error), Scripted("mast", tics=(11, 12))], PRODUCT)
    assert archive == "mast"
    assert found.targets == (planned(11), planned(12))


@pytest.mark.parametrize(
    ("errors", "kind", "words"),
    [
        ([OUT], ArchiveOutage, ["maintenance"]),
        ([NOTHING], InputError, ["the latest is 96"]),
        ([OUT, NOTHING], ArchiveOutage, ["cloud: maintenance", "mast: there is no sector 999"]),
        ([REFUSED, OUT], ArchiveOutage, ["cloud: a proxy", "mast: maintenance"]),
        ([REFUSED, NOTHING], ArchiveRefused, ["password"]),
        ([NOTHING, NOTHING], InputError, ["cloud: ", "mast: "]),
    ],
)
def test_where_nobody_gives_a_list(errors, kind, words):
    archives = [Silent(name, error) for name, error in zip(("cloud", "mast"), errors, strict=False)]
    with pytest.raises(kind) as caught:
        list_targets(archives, PRODUCT)
    assert type(caught.value) is kind
    assert all(word in str(caught.value) for word in words)


def test_an_empty_list_is_no_list():
    with pytest.raises(InputError, match="mast holds nothing of tess/s0001/spoc-120s"):
        list_targets([Scripted("mast")], PRODUCT)


def test_beside_an_archive_of_the_mission_a_folder_does_not_say_what_a_sector_is(folder):
    """A folder in front is a place to take products from; what it lacks comes from the archive."""
    archives = [FolderArchive(folder), Scripted("mast", tics=(11, 12, 13, 14))]
    found, archive = list_targets(archives, PRODUCT)
    assert (len(found), archive) == (4, "mast")
    with pytest.raises(ArchiveOutage):
        list_targets([FolderArchive(folder), Silent("mast", OUT)], PRODUCT)
    assert list_targets([FolderArchive(folder)], PRODUCT)[1] == "folder"


def test_the_plan_says_where_its_list_came_from(tmp_path):
    root = Root(str(tmp_path))
    start_ingest(root, [Silent("cloud", OUT), Scripted("mast", tics=(11, 12))], PRODUCT, SETTINGS)
    saved = root.read_json(PRODUCT.plan_json)
    assert saved["target_list"] == {
        "archive": "mast", "source": "https://mast.example/list.sh", "sha256": "ab" * 32,
    }  # fmt: skip
    assert load_plan(root, PRODUCT).target_list.archive == "mast"


def test_a_list_of_the_network_is_read_once(tmp_path):
    """A resumed ingest needs no list, and a list that has changed meanwhile changes nothing."""
    root = Root(str(tmp_path))
    plan = start_ingest(root, [Scripted("mast", tics=(11, 12))], PRODUCT, SETTINGS)
    for archive in (Silent("mast", OUT), Scripted("cloud", tics=(11, 12, 13))):
        assert start_ingest(root, [archive], PRODUCT, SETTINGS).digest == plan.digest
    with pytest.raises(PlanMismatch, match="min_good_cadences"):
        start_ingest(root, [Silent("mast", OUT)], PRODUCT, SETTINGS.model_copy(update={"min_good_cadences": 11}))


def test_a_folder_is_compared_with_the_plan(tmp_path, folder):
    root = Root(str(tmp_path / "root"))
    start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS)
    write_folder(folder, [14])
    with pytest.raises(PlanMismatch, match="1 targets are new"):
        start_ingest(root, [FolderArchive(folder)], PRODUCT, SETTINGS)


def test_the_product_that_is_meant(folder):
    settings = Settings()
    usual = Product("tess", 1, "spoc", 120)
    assert offered_product([FolderArchive(folder)], settings, "tess", 1, None, None) == usual
    assert offered_product([Scripted("mast")], settings, "tess", 5, None, None) == Product("tess", 5, "spoc", 120)
    assert offered_product([FolderArchive(folder), Scripted("mast")], settings, "tess", 5, "qlp", 600) == Product(
        "tess", 5, "qlp", 600
    )
    # Full-frame images came every 30 min to sector 26, every 10 min to 55, then every 200 s.
    for author, sector, cadence_s in (
        ("qlp", 2, 1800),
        ("tess-spoc", 26, 1800),
        ("qlp", 27, 600),
        ("tess-spoc", 56, 200),
    ):
        offered = offered_product([Scripted("mast")], settings, "tess", sector, author, None)
        assert offered == Product("tess", sector, author, cadence_s)
    simulated = open_archives("simulated", settings)
    assert offered_product(simulated, settings, "tess", 3, None, None) == Product("tess", 3, "simulated", 120)
