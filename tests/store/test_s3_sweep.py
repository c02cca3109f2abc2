"""The sweep on S3, through a server on loopback: the same tables as in a local folder."""

from swept_sector import PLANETS, Judge, ingest, settings_of, sweep, write_products

from larun import paths
from larun.objects import Root
from larun.survey.published import published_candidates


def test_sweep_on_s3_is_that_of_a_folder_byte_for_byte(s3_options, tmp_path, monkeypatch):
    monkeypatch.setattr("larun.survey.sweep.Classifier", Judge)
    roots = Root(str(tmp_path / "root")), Root("s3://survey/swept", s3_options)
    summaries = []
    for root in roots:
        settings = settings_of(root.url, ingest={"shard_targets": 8, "chunk_targets": 8})
        settings = settings.model_copy(update={"storage_options": root.storage_options})
        ingest(root, write_products(tmp_path / "files"), settings)
        summaries.append(sweep(root, settings))
    local, remote = roots
    assert summaries[0] == summaries[1]
    tables = [name for kind in ("detections", "candidates") for name in local.list(summaries[0][kind])]
    assert len(tables) == 2
    for name in (*tables, paths.PUBLISHED):
        assert local.read(name) == remote.read(name)
    assert sorted(row["tic"] for row in published_candidates(remote).to_pylist()) == sorted(PLANETS)
    (snapshot,) = remote.list("runs/mission=tess/sector=1")
    assert s3_options["endpoint_url"].encode() not in remote.read(snapshot), "access options are not recorded"
