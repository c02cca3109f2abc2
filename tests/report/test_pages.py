"""Pages of a swept sector: complete, self-contained, the same bytes each time."""

import html.parser
import re
import shutil
import time
from pathlib import Path

import pytest
from swept_sector import PLANETS, Judge, ingest, judge_bundle, settings_of, sweep, write_products
from tiny_sector import PRODUCT, tree

from larun.bundles import save_bundle
from larun.config import Settings, VetSettings
from larun.errors import NotInStore
from larun.objects import Root
from larun.paths import Product
from larun.report import pages as pages_module
from larun.report import write_report
from larun.survey.archives import open_archives
from larun.survey.ingest import IngestWork, ingest_shards, start_ingest
from larun.survey.published import published_candidates
from larun.survey.sweep import SweepWork, finish_sweep, pending_groups, start_sweep, sweep_shards
from larun.vet import CHECKS, SECTOR_CHECKS


class Page(html.parser.HTMLParser):
    """Text, links and figures of a page; refuses tags that are not closed."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, path: Path):
        super().__init__()
        self.open, self.links, self.text, self.tags = [], [], [], set()
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def survey(place: Path, **sections) -> tuple[Root, Settings]:
    settings = settings_of(str(place / "root"), **sections)
    root = Root(settings.root)
    ingest(root, write_products(place / "files"), settings)
    sweep(root, settings)
    return root, settings


@pytest.fixture(scope="module", autouse=True)
def judge():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("larun.survey.sweep.Classifier", Judge)
        yield


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return survey(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def pages(swept):
    """Folder of the pages."""
    return Path(write_report(*swept)).parent


def test_sector_page_lists_every_candidate(swept, pages):
    page = Page(pages / "index.html")
    rows = published_candidates(swept[0]).to_pylist()
    assert "TESS s0001: 2 candidates" in page.words
    assert "8 targets 5 searched" in page.words
    for row in rows:
        assert row["target"] in page.words
        assert f"{row['period_d']:.5f}" in page.words
    assert page.links == ["candidate-0001.html", "candidate-0002.html"]
    assert "Simulated" not in page.words
    for column in ("run", "plan_digest", "bundle_digest", "config_digest"):
        assert rows[0][column] in page.words


def test_candidate_pages_show_event_probabilities_and_provenance(swept, pages):
    for row in published_candidates(swept[0]).to_pylist():
        page = Page(pages / f"candidate-{row['rank']:04d}.html")
        assert row["target"] in page.words
        assert f"{row['period_d']:.5f} d period" in page.words
        assert f"{row['p_planetary_transit']:.3f}" in page.words
        assert row["plan_digest"] in page.words
        assert "not known" not in page.words.split("radius")[0]
        assert (pages / f"candidate-{row['rank']:04d}.png").read_bytes().startswith(b"\x89PNG")


def test_every_vetting_test_is_on_the_page_with_number_threshold_and_paper(swept, pages):
    row = published_candidates(swept[0]).to_pylist()[0]
    words = Page(pages / "candidate-0001.html").words.split("Vetting")[1].split("All that is known")[0]
    for check in (*CHECKS, *SECTOR_CHECKS):
        assert f"{check.flag.name.lower().replace('_', ' ')} " in words
        assert check.paper in words
    radius = (row["depth_ppm"] * 1e-6) ** 0.5 * 9.731
    assert f"too deep passed {radius:.3g} R_Jup > 2 " in words
    assert "too deep nothing to judge" not in words, "of a star whose radius is known the depth alone is no question"
    assert f"few transits passed {row['n_transits']} < 2 " in words
    assert "centroid shift nothing to judge > 0.3 " in words
    assert "flagged if" in words
    assert "repeat those of" not in words


def test_flagged_tests_come_first_by_the_thresholds_of_the_sweep(tmp_path):
    root, settings = survey(tmp_path, vet={"max_planet_radius_jupiter": 0.2})
    changed = settings.model_copy(update={"vet": VetSettings()})
    words = Page(Path(write_report(root, changed)).parent / "candidate-0001.html").words
    assert "after too deep flagged 0." in words
    assert "R_Jup > 0.2 " in words


def test_a_page_names_the_star_whose_signal_is_repeated():
    copy = {"parent": "TIC 7", "parent_arcsec": 42.0, "parent_how": "near"}
    assert pages_module._parent(copy) == {"name": "TIC 7", "arcsec": 42.0, "how": "near"}
    assert pages_module._parent({"parent": None}) is None


def test_pages_have_colours_for_light_and_dark_screens(pages):
    style = (pages / "index.html").read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    light, dark = style.split("@media (prefers-color-scheme: dark)")[0], style.split("prefers-color-scheme: dark")[1]
    names = set(re.findall(r"(--[a-z-]+):", light))
    assert names == set(re.findall(r"(--[a-z-]+):", dark)), "each colour has its counterpart"
    assert set(re.findall(r"var\((--[a-z-]+)\)", style)) <= names


def test_pages_are_static_with_relative_links_that_lead_somewhere(pages):
    for path in pages.glob("*.html"):
        page = Page(path)
        assert not page.tags & {"script", "link", "iframe", "base"}
        assert all((pages / link).is_file() and "/" not in link for link in page.links), path
    first, second = Page(pages / "candidate-0001.html"), Page(pages / "candidate-0002.html")
    assert first.links == ["index.html", "candidate-0002.html", "candidate-0001.png"]
    assert second.links == ["index.html", "candidate-0001.html", "candidate-0002.png"]


def test_written_again_they_are_the_same_bytes(swept, pages):
    before = tree(pages)
    assert Path(write_report(*swept, product=PRODUCT)).parent == pages
    assert tree(pages) == before


@pytest.mark.usefixtures("pages")
def test_a_candidate_takes_less_than_a_second_and_a_half(swept):
    """Once everything is imported."""
    start = time.process_time()
    write_report(*swept)
    assert (time.process_time() - start) / len(PLANETS) < 1.5


def test_only_the_best_have_pages(swept, tmp_path):
    shutil.copytree(swept[0].url, tmp_path / "root")
    root, steps = Root(str(tmp_path / "root")), []
    shutil.rmtree(tmp_path / "root" / "reports", ignore_errors=True)
    url = write_report(root, swept[1], limit=1, progress=lambda done, total: steps.append((done, total)))
    folder = Path(url).parent
    assert sorted(path.name for path in folder.iterdir()) == ["candidate-0001.html", "candidate-0001.png", "index.html"]
    page = Page(folder / "index.html")
    assert page.links == ["candidate-0001.html"]
    assert "The best 1 have a page of their own" in page.words
    assert Page(folder / "candidate-0001.html").links == ["index.html", "candidate-0001.png"]
    assert steps == [(0, 1), (1, 1)]


def test_a_sector_without_candidates(tmp_path):
    root, settings = survey(tmp_path, sweep={"min_snr": 1e6, "bundle": "judge/1"})
    page = Page(Path(write_report(root, settings)))
    assert "0 candidates" in page.words
    assert "No event of this sector passed the thresholds" in page.words
    assert page.links == []


def test_nothing_published(tmp_path):
    with pytest.raises(NotInStore, match="larun sweep"):
        write_report(Root(str(tmp_path)), Settings())


def test_a_simulated_sector_says_so_on_every_page(tmp_path):
    settings = Settings(
        simulate={"stars": 3, "days": 6.0, "cadence_s": 600, "planet_fraction": 1.0, "variable_fraction": 0.0,
                  "binary_fraction": 0.0, "artefact_fraction": 0.0, "anomaly_fraction": 0.0},
        ingest={"min_good_cadences": 50},
        sweep={"min_snr": 0.0, "min_sde": 0.0, "min_detection": 0.0, "bundle": "judge/1"},
        root=str(tmp_path),
    )  # fmt: skip
    root, product = Root(settings.root), Product("tess", 1, "simulated", 600)
    save_bundle(judge_bundle(), root, "models/judge/1")
    archive = open_archives("simulated", settings)[0]
    plan = start_ingest(root, [archive], product, settings.ingest)
    ingest_shards(IngestWork.of(root, [archive], plan, [0], settings.ingest))
    run = start_sweep(root, product, settings)
    for group in pending_groups(root, run, 1):
        sweep_shards(SweepWork(root, run, group, settings))
    finish_sweep(root, run, settings)
    folder = Path(write_report(root, settings, limit=1)).parent
    for name in ("index.html", "candidate-0001.html"):
        assert "Simulated data." in Page(folder / name).words
