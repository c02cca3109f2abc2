"""A training set from catalogues, archives and store: fetched once from the archive on loopback, then from the root."""

import numpy as np
import pytest

from larun.catalogue.sources import CATALOGUES
from larun.config import Settings, load
from larun.errors import InputError
from larun.objects import Root
from larun.schema import CLASSES, KNOWN_COLUMNS
from larun.survey import snapshots
from larun.survey.assemble import assemble
from tests.loopback import Library, Loopback

PLANETS = (
    # Kepler-10 b and K2-3 b as tests/loopback/kepler.py makes them; BKJD + 2454833 - 2457000.
    ("Kepler-10 b", 377780790, 0.8374907, 131.575 - 2167.0, 1.8),
    ("K2-3 b", 173103335, 10.05449, 1980.418 - 2167.0, 2.5),
)


def import_planets(root):
    columns = {column.name: [None] * len(PLANETS) for column in KNOWN_COLUMNS}
    for name, values in zip(
        ("object", "tic", "period_d", "t0_btjd", "duration_h"), zip(*PLANETS, strict=True), strict=True
    ):
        columns[name] = list(values)
    columns["ra"] = columns["dec"] = [10.0, 20.0]
    columns["disposition"] = ["CP", "CP"]
    snapshots.save(
        root, "planets", CATALOGUES["planets"], columns, {"query": "", "url": "", "date": snapshots.current_time()}
    )


@pytest.fixture(scope="module")
def archive():
    with Loopback(Library.kepler(cadences=1200)) as server:
        yield server


def settings_for(archive, root, **dataset):
    values = archive.overrides()
    values["archives"] |= {"attempts": 2, "backoff_s": 0.01, "patience_s": 1.0}
    values["catalogues"] |= {"use": ("planets",)}
    chosen = {"data": "archives", "missions": ("kepler", "k2"), "planets": 5, "non_planets": 5} | dataset
    return load(root=str(root), dataset=chosen, **values)


def test_planets_are_fetched_once_and_then_come_from_the_root(archive, tmp_path, caplog):
    root = Root(str(tmp_path))
    import_planets(root)
    done = []
    curves = assemble(settings_for(archive, tmp_path), lambda *said: done.append(said))
    assert done[-1] == (2, 2)
    assert "no variable and no quiet star is trained on; ingest one" in caplog.text
    assert {curve.star for curve in curves} == {"TIC 377780790", "TIC 173103335"}
    assert all(CLASSES[curve.label] == "planetary_transit" for curve in curves)
    assert len([curve for curve in curves if curve.star == "TIC 377780790"]) == 2, "the two newest of three quarters"
    (k2,) = (curve for curve in curves if curve.star == "TIC 173103335")
    (known,) = k2.ephemerides
    assert known.t0 == pytest.approx(1980.418)
    near = np.abs((k2.time - known.t0 + 0.5 * known.period_d) % known.period_d - 0.5 * known.period_d) < 0.04
    assert near.sum() >= 3
    assert np.mean(k2.flux[near]) == pytest.approx(1 - 1.1e-3, abs=2e-4)
    assert np.median(k2.flux) == pytest.approx(1.0, abs=1e-6)

    asked = len(archive.requests())
    again = assemble(settings_for(archive, tmp_path), lambda *_: None)
    cached = assemble(settings_for(archive, tmp_path, use_cache=True), lambda *_: None)
    assert len(archive.requests()) == asked
    for others in (again, cached):
        assert all(
            a.star == b.star and np.array_equal(a.flux, b.flux) and np.array_equal(a.time, b.time)
            for a, b in zip(curves, others, strict=True)
        )


def test_nobody_is_asked_where_only_the_cache_may_be_used(archive, tmp_path):
    import_planets(Root(str(tmp_path)))
    asked = len(archive.requests())
    with pytest.raises(InputError, match=r"none of 2 labelled stars .*use_cache lets nobody be asked"):
        assemble(settings_for(archive, tmp_path, use_cache=True), lambda *_: None)
    assert len(archive.requests()) == asked


def test_without_catalogues_it_says_what_to_do(tmp_path):
    settings = Settings(root=str(tmp_path), dataset={"data": "archives", "use_cache": True})
    with pytest.raises(InputError, match="larun catalogues update"):
        assemble(settings, lambda *_: None)
