"""Stars by name, repair, a bucket that refuses us, and secrets: commands against archives and roots on loopback."""

import json
import logging

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from tiny_sector import PRODUCT, tree
from typer.testing import CliRunner

from larun import ledger
from larun.cli import app
from larun.config import load
from larun.objects import Root
from larun.paths import Product
from larun.store.reading import light_curve, products
from tests.loopback import Faults, Library, Loopback

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("prefect_server")]

TICS = range(101, 109)
SECRET = "Zq7-not-to-be-seen-anywhere"
SECTIONS = {
    "ingest": {"shard_targets": 4, "chunk_targets": 2, "min_good_cadences": 10, "fetch_threads": 2},
    "run": {"cluster": "moon"},
    "archives": {"attempts": 3, "backoff_s": 0.05, "max_backoff_s": 0.1},
}


@pytest.fixture(scope="module")
def archive():
    with Loopback(Library.tiny(TICS) + Library.tiny([201, 202], sector=2) + Library.kepler()) as server:
        yield server


@pytest.fixture
def write_config(archive, running_cluster, tmp_path):
    """Write settings for the command line; a healthy archive to begin with."""
    archive.set_faults(Faults())

    def write(top="", **archives):
        sections = json.loads(json.dumps(SECTIONS))
        sections["run"]["cluster"] = running_cluster
        sections["archives"] |= archive.overrides()["archives"] | archives
        lines = [top or f'root = "{tmp_path / "root"}"']
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        path = tmp_path / "larun.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_stars_by_name_become_one_product_per_quarter_and_campaign(archive, write_config, tmp_path):
    config = write_config()
    stars = tmp_path / "stars.txt"
    stars.write_text("# two planet hosts\nKepler-10\n")
    command = ["ingest", "--targets", stars, "--target", "EPIC 201367065", "--config", config, "--json"]
    result = run(*command)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["products"]
    root = Root(load(config).root)
    held = products(root)
    assert sorted(one["product"] for one in told) == sorted(map(str, held))
    assert Product("k2", 1, "k2", 1765) in held
    assert {p.sector for p in held if p.mission == "kepler"} == {0, 1, 2}
    assert all(one["status"]["stored"] == one["targets"] == 1 for one in told)
    curve = light_curve(root, Product("kepler", 1, "kepler", 1765), 11904151)
    assert curve.meta["TARGETID"] == 11904151
    assert len(curve) > 300

    before, asked = tree(tmp_path / "root" / "lightcurves"), len(archive.requests("mast"))
    assert run(*command).exit_code == 0
    assert tree(tmp_path / "root" / "lightcurves") == before
    assert len(archive.requests("mast")) == asked

    other = run("ingest", "--target", "KIC 11904152", "--sector", 1, "--mission", "kepler", "--config", config)
    assert other.exit_code == 1
    assert "MAST has no light curves" in other.stderr


def test_one_quarter_of_which_nothing_can_be_stored_keeps_no_other_away(archive, write_config, tmp_path):
    """As quarter 0, which is shorter than the fewest cadences that are searched."""
    q0, q1, q2 = (f"kplr011904151-{stamp}_llc.fits" for stamp in ("2009131105131", "2009166043257", "2009259160929"))
    config = write_config()
    archive.set_faults(Faults(always={q0: "short-table"}))
    result = run("ingest", "--target", "Kepler-10", "--config", config)
    assert result.exit_code == 0, result.output
    lines = sorted(result.stdout.splitlines())
    assert lines[0].startswith("kepler/q00/kepler-1765s: none of the 1 targets")
    assert "cadences" in lines[0]
    assert [line.partition(":")[0] for line in lines[1:]] == ["kepler/q01/kepler-1765s", "kepler/q02/kepler-1765s"]
    assert all("1 stored" in line for line in lines[1:])

    other = write_config(top=f'root = "{tmp_path / "other"}"')
    archive.set_faults(Faults(always={q0: "short-table", q1: "truncated", q2: "404"}))
    command = ["ingest", "--target", "Kepler-10", "--config", other]
    nothing = run(*command)
    assert nothing.exit_code == 1
    assert nothing.stdout == ""
    assert nothing.stderr.splitlines()[-1].startswith("larun: nothing could be stored: ")
    assert all(f"kepler/q0{quarter}/kepler-1765s: " in nothing.stderr for quarter in range(3))


def test_named_stars_are_repaired_like_whole_sectors(archive, write_config):
    config = write_config()
    first = ["ingest", "--target", "TIC 101", "--target", "TIC 102", "--sector", 1, "--config", config, "--json"]
    archive.set_faults(Faults(always={101: "503"}, retry_after_s=0.0))
    assert json.loads(run(*first).stdout)["products"][0]["status"]["unreachable"] == 1
    archive.set_faults(Faults())
    assert "larun ingest --repair --sector 1`" in run("status", "--config", config).stdout
    repaired = run("ingest", "--repair", "--sector", 1, "--config", config, "--json")
    assert repaired.exit_code == 0, repaired.output
    told = json.loads(repaired.stdout)
    assert (told["status"]["stored"], told["archives"]["lightkurve"]["targets"]) == (2, 2)


def test_a_tic_that_does_not_exist(write_config, tmp_path):
    config = write_config()
    result = run("ingest", "--target", "TIC 999999999", "--config", config)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "TIC 999999999" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "root" / "lightcurves").exists()


def test_a_root_with_named_stars_takes_no_whole_sector(write_config):
    config = write_config()
    assert run("ingest", "--target", "TIC 101", "--config", config).exit_code == 0
    whole = run("ingest", "--sector", 1, "--config", config)
    assert whole.exit_code == 1
    assert "stars that were named one by one" in whole.stderr
    others = run("ingest", "--target", "TIC 102", "--config", config)
    assert others.exit_code == 1
    assert "give another root for these stars" in others.stderr


def test_repair_asks_only_for_what_is_unreachable_or_corrupt(archive, write_config, tmp_path):
    config = write_config(order=["cloud"])
    archive.set_faults(Faults(always={103: "503", 106: "truncated", 108: "404"}, retry_after_s=0.0))
    first = run("ingest", "--sector", 1, "--config", config, "--json")
    assert first.exit_code == 0, first.output
    status = json.loads(first.stdout)["status"]
    assert (status["stored"], status["unreachable"] + status["corrupt"], status["absent"]) == (5, 2, 1)
    shown = run("status", "--config", config)
    assert "`larun ingest --repair --sector 1` asks again for 2 targets" in shown.stdout
    told = json.loads(run("status", "--config", config, "--json").stdout)
    (sector,) = told["sectors"]
    assert sum(reason["targets"] for reason in sector["reasons"]) == 3
    assert {reason["example"]["target"] for reason in sector["reasons"]} == {"TIC 103", "TIC 106", "TIC 108"}

    archive.set_faults(Faults(always={108: "404"}))
    done = len(archive.requests("cloud"))
    repaired = run("ingest", "--repair", "--sector", 1, "--config", config, "--json")
    assert repaired.exit_code == 0, repaired.output
    status = json.loads(repaired.stdout)["status"]
    assert (status["stored"], status["absent"]) == (7, 1)
    assert sorted(request["target"] for request in archive.requests("cloud")[done:]) == [103, 106]

    again = len(archive.requests())
    assert run("ingest", "--repair", "--sector", 1, "--config", config).exit_code == 0
    assert len(archive.requests()) == again
    undisturbed = write_config(top=f'root = "{tmp_path / "other"}"', order=["cloud"])
    assert run("ingest", "--sector", 1, "--config", undisturbed).exit_code == 0
    assert tree(tmp_path / "root" / "lightcurves") == tree(tmp_path / "other" / "lightcurves")


def test_a_bucket_that_refuses_its_objects_ends_the_run_and_loses_nothing(archive, write_config, tmp_path):
    config = write_config(order=["cloud"])
    archive.set_faults(Faults(always={"cloud": "403"}))
    refused = run("ingest", "--sector", 1, "--config", config)
    assert refused.exit_code == 1
    assert "403" in refused.stderr.splitlines()[-1]
    archive.set_faults(Faults())
    assert run("ingest", "--sector", 1, "--config", config).exit_code == 0
    assert ledger.counts(Root(load(config).root), PRODUCT).by_status["stored"] == len(TICS)


@pytest.fixture(scope="module")
def private_bucket():
    """An S3 server that checks credentials, with an empty bucket; yields its address and a valid pair."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    somebody = {"aws_access_key_id": "somebody", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    iam = boto3.client("iam", endpoint_url=url, **somebody)
    iam.create_user(UserName="larun")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName="larun", PolicyName="all", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName="larun")["AccessKey"]
    boto3.client("s3", endpoint_url=url, **somebody).create_bucket(Bucket="private")
    httpx.post(f"{url}/moto-api/reset-auth", content="0")
    yield url, key["AccessKeyId"], key["SecretAccessKey"]
    httpx.post(f"{url}/moto-api/reset-auth", content="inf")
    server.stop()


def bucket_root(url, key, secret):
    options = f'{{key = "{key}", secret = "{secret}", endpoint_url = "{url}"}}'
    return f'root = "s3://private/survey"\nstorage_options = {options}'


def test_wrong_credentials_of_a_private_bucket(private_bucket, write_config, archive):
    url, key, _ = private_bucket
    config = write_config(top=bucket_root(url, key, SECRET))
    asked = len(archive.requests("cloud"))
    for command in (["ingest", "--sector", 1], ["nightly"], ["status"]):
        result = run(*command, "--config", config)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert "s3://private/survey" in result.stderr.splitlines()[-1]
        assert SECRET not in result.output
    assert len(archive.requests("cloud")) == asked


def test_secrets_are_written_nowhere(private_bucket, write_config, prefect_server, caplog):
    url, key, secret = private_bucket
    config = write_config(top=bucket_root(url, key, secret))
    caplog.set_level("DEBUG", "larun")
    said = [run("-v", "ingest", "--sector", 2, "--config", config, "--json")]
    assert said[0].exit_code == 0, said[0].output
    said += [run("status", "--config", config, "--json"), run("-v", "sweep", "--sector", 9, "--config", config)]
    root = Root("s3://private/survey", load(config).storage_options)
    stored = [root.filesystem.cat_file(name) for name in root.filesystem.find(root.base)]
    assert len(stored) > 40
    seen = []
    for kind in ("flow_runs", "task_runs", "artifacts", "logs", "flow_run_states", "task_run_states", "variables"):
        reply = httpx.post(f"{prefect_server.api_url}/{kind}/filter", json={}, timeout=30)
        if reply.status_code == 200:
            seen.append(reply.content)
    assert len(seen) >= 4
    written = [*stored, *seen, caplog.text.encode(), *(result.output.encode() for result in said)]
    assert not [text for text in written if secret.encode() in text or key.encode() in text]
