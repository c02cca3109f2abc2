"""Event files, read back by TensorBoard itself."""

import pytest

from larun.network.logbook import LOG_FILE, event_file

HISTORY = [{"loss": 1.5, "val_ap": 0.25}, {"loss": 0.5, "val_ap": 0.75}] * 100


def test_tensorboard_reads_every_epoch(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = tmp_path / LOG_FILE
    path.parent.mkdir()
    path.write_bytes(event_file(HISTORY))
    events = accumulator.EventAccumulator(str(path.parent), size_guidance={"scalars": 0})
    events.Reload()
    assert events.Tags()["scalars"] == ["loss", "val_ap"]
    assert [(e.step, e.value) for e in events.Scalars("val_ap")] == [
        (epoch, scores["val_ap"]) for epoch, scores in enumerate(HISTORY, 1)
    ]


def test_equal_trainings_give_equal_files():
    assert event_file(HISTORY) == event_file([dict(reversed(scores.items())) for scores in HISTORY])
