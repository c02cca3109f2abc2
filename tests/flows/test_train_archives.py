"""`larun train --data archives`: stars of catalogues, from the archive on loopback, the store, and what was kept."""

import dataclasses
import json

import numpy as np
import pytest
from tiny_sector import columns_of, correction, product_bytes
from typer.testing import CliRunner

from larun.cli import app
from larun.config import load
from larun.network.dataset import training_views
from larun.network.labelled import HYBRID, REAL, SIMULATED
from larun.schema import CLASSES
from larun.survey.assemble import assemble
from tests.loopback import Library, Loopback
from tests.loopback.tap import sample

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect_server")]

CADENCES = 11_520
"""Sixteen days; shorter light curves teach nothing."""
PLANET, BINARY, VARIABLE, CANDIDATE = 21, 22, 23, 28
"""TOI-100 of tests/loopback/tap.py, confirmed; its eclipsing binary; its RR Lyrae star; a candidate that is added."""


def dips(time, period_d, t0, duration_h, depth):
    phase = (time - t0 + 0.5 * period_d) % period_d - 0.5 * period_d
    return 1.0 - depth * (np.abs(phase) < duration_h / 48)


def light_curve(held):
    """The product of a star of the tiny sector, sixteen days long, with what the catalogues say of it."""
    columns = columns_of(held.target_id, CADENCES)
    drift = columns["TIMECORR"] - correction(held.target_id, 1)  # of the tiny sector, too fast for so many days
    columns["TIME"] -= drift
    columns["TIMECORR"] -= drift
    time, flux = columns["TIME"], columns["PDCSAP_FLUX"].astype(float)
    if held.target_id == PLANET:
        flux *= dips(time, 0.9, 1325.7, 2.4, 4e-3)
    elif held.target_id == BINARY:
        flux *= dips(time, 2.6, 1325.7, 4.0, 0.2) * dips(time, 2.6, 1327.0, 4.0, 0.1)
    elif held.target_id == VARIABLE:
        flux *= 1.0 + 0.01 * np.sin(2 * np.pi * time / 0.55)
    columns["PDCSAP_FLUX"] = flux.astype("f4")
    data = product_bytes(held.target_id, columns)
    return dataclasses.replace(held, content=data, size=len(data), stop_mjd=held.start_mjd + CADENCES / 720)


@pytest.fixture(scope="module")
def archive():
    tables = sample()
    tables.tables["pscomppars"].append(
        {"pl_name": "Kepler-10 b", "tic_id": "TIC 377780790", "ra": 285.679, "dec": 50.241, "pl_orbper": 0.8374907,
         "pl_orbpererr1": 1e-6, "pl_tranmid": 2454833 + 131.575, "pl_trandur": 1.8, "pl_trandep": 0.0152}
    )  # fmt: skip
    tables.tables["toi"].append(
        tables.tables["toi"][0] | {"toi": 102.01, "tid": CANDIDATE, "ra": 80.28, "tfopwg_disp": "PC"}
    )
    tess = Library(tuple(light_curve(held) for held in Library.tiny(range(21, 29)).held))
    with Loopback(tess + Library.kepler(900), tables=tables) as server:
        yield server


@pytest.fixture
def config(archive, running_cluster, tmp_path):
    values = archive.overrides()
    values["archives"] |= {"attempts": 2, "backoff_s": 0.05, "order": ["cloud"]}
    values["ingest"] = {"shard_targets": 4, "chunk_targets": 2}
    values["run"] = {"cluster": running_cluster}
    values["dataset"] = {"missions": ["tess", "kepler"], "stars": 12, "injections": 8}
    lines = [f'root = "{tmp_path / "root"}"']
    for name, section in values.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    path = tmp_path / "larun.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_stars_of_every_kind_are_labelled_fetched_once_and_prepared(archive, config, tmp_path):
    refused = run("train", "--use-cache", "--epochs", 0, "--config", config)
    assert refused.exit_code == 1
    assert "no star of the catalogues" in refused.stderr
    assert not archive.requests(), "with --use-cache nobody is asked"

    assert run("ingest", "--sector", 1, "--config", config).exit_code == 0
    asked = ["train", "--planets", 10, "--non-planets", 10, "--epochs", 0, "--config", config]
    prepared = run(*asked)
    assert prepared.exit_code == 0, prepared.output
    assert "the light curves are prepared" in prepared.stdout
    assert not (tmp_path / "root" / "models").exists()

    archive.kill()
    try:
        again = run(*asked, "--use-cache", "--json")
        assert again.exit_code == 0, again.output
        answer = json.loads(again.stdout)
        assert answer["bundle"] is None
        planets = answer["views"]["real"]["planetary_transit"]
        assert planets > 0
        assert f"real {planets}" in next(
            line for line in prepared.stdout.splitlines() if line.startswith("planetary_transit")
        )
        settings = load(config, dataset={"data": "archives", "planets": 10, "non_planets": 10, "use_cache": True})
        curves = assemble(settings, lambda *_: None)
        few = assemble(
            settings.model_copy(
                update={"dataset": settings.dataset.model_copy(update={"planets": 1, "non_planets": 2})}
            ),
            lambda *_: None,
        )
    finally:
        archive.start()
    assert {curve.star: CLASSES[curve.label] for curve in curves} == {
        "TIC 21": "planetary_transit",
        "TIC 377780790": "planetary_transit",
        "TIC 22": "eclipsing_binary",
        "TIC 23": "stellar_signal",
        **{f"TIC {quiet}": "noise" for quiet in range(24, 28)},
    }, "of a candidate nobody knows what it is"
    assert sorted(CLASSES[label] == "planetary_transit" for label in {c.star: c.label for c in few}.values()) == [
        False, False, True,
    ]  # fmt: skip

    data = training_views(settings, lambda *_: None, curves)
    real = data.take(data.source == REAL)
    assert {"TIC 21", "TIC 22", "TIC 23"} < set(real.star), "the search finds what the catalogues say"
    assert {CLASSES[k] for k in real.label} == {"planetary_transit", "eclipsing_binary", "stellar_signal", "noise"}
    assert set(data.star[data.source == HYBRID]) <= {f"TIC {n}" for n in range(23, 28)}, "shapes go into quiet stars"
    assert (data.source == SIMULATED).any()
