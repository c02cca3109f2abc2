"""`larun examine` of stars that no store holds, from an archive on loopback."""

import json

import pytest
from typer.testing import CliRunner

from larun.cli import app
from tests.loopback import Faults, Library, Loopback


@pytest.fixture(scope="module")
def examine(tmp_path_factory):
    """Run `larun examine`; yields it and the archive."""
    folder = tmp_path_factory.mktemp("examine")
    with Loopback(Library.kepler(cadences=600)) as server:
        archives = server.overrides()["archives"] | {"attempts": 2, "backoff_s": 0.01, "patience_s": 1.0}
        config = folder / "larun.toml"
        config.write_text("[archives]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in archives.items()))

        def run(*arguments):
            options = ("--config", str(config), "--root", str(folder / "root"), "--json")
            return CliRunner().invoke(app, ["examine", *arguments, *options])

        yield run, server


def test_a_star_by_name(examine):
    run, _ = examine
    result = run("Kepler-10", "--archive", "lightkurve", "--sector", "2")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert (answer["target"], answer["n_cadences"], answer["status"]) == ("KIC 11904151", 597, "searched")


def test_what_cannot_be_had_is_told(examine):
    run, server = examine
    for arguments, reason in (
        (("Kepler-10",), "--archive lightkurve"),
        (("KIC 11904151",), "--archive lightkurve"),
        (("TIC 999", "--archive", "mast"), "neither the store nor MAST"),
        (("Planet Nine", "--archive", "lightkurve"), "Planet Nine"),
        (("TIC 1", "--archive", "simulated"), "lightkurve, mast, cloud"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert reason in result.stderr.splitlines()[-1], arguments
        assert "Traceback" not in result.stderr
        assert all(json.loads(line)["status"] != "searched" for line in result.stdout.splitlines())
    server.set_faults(Faults(always={"invoke": "html"}))
    try:
        result = run("KIC 11904151", "--archive", "lightkurve")
    finally:
        server.set_faults(Faults())
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, "unreachable")
