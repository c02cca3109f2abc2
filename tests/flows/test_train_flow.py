"""The train flow hands out the bundle that the training wrote; the training itself is tested in tests/network."""

import sys
from types import SimpleNamespace

import httpx
import pytest

from flows.progress import listening
from flows.train import train
from larun import paths
from larun.bundles import BUNDLE_FILES, CARD_FILE, save_bundle, seal
from larun.errors import StoreError
from larun.objects import Root

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("prefect_server")]

CARD = "# A small network\n\nTrained on nothing.\n"


def small_training(settings, progress, preparing, curves):
    """Write a bundle as the training does, and tell how far it is."""
    preparing(3, 6)
    preparing(6, 6)
    for done in range(settings.training.epochs):
        progress(done + 1)
    calibration = {"temperature": 1.0, "bias": [0.0] * 6}
    files = dict.fromkeys(BUNDLE_FILES, b"weights") | {CARD_FILE: CARD.encode()}
    bundle = seal(
        {"name": settings.model.name, "version": "0001", "calibration": calibration, "metrics": {"ap": 0.5}}, files
    )
    save_bundle(bundle, Root(settings.root), paths.bundle(bundle.name, bundle.version))
    return f"{bundle.name}/{bundle.version}"


def test_the_bundle_its_card_and_its_progress(monkeypatch, tmp_path, prefect_server):
    monkeypatch.setitem(sys.modules, "larun.network.fit", SimpleNamespace(train=small_training))
    heard = []
    with listening(lambda *said: heard.append(said)):
        result = train(overrides={"root": str(tmp_path), "model": {"name": "small"}, "training": {"epochs": 2}})
    assert result["bundle"] == "small/0001"
    assert result["folder"] == str(tmp_path / "models" / "small" / "0001")
    assert result["metrics"] == {"ap": 0.5}
    assert len(result["digest"]) == 64
    assert heard == [("views", 3, 6), ("views", 6, 6), ("epochs", 1, 2), ("epochs", 2, 2)]
    artifacts = httpx.post(f"{prefect_server.api_url}/artifacts/latest/filter", json={}).json()
    assert CARD in [artifact["data"] for artifact in artifacts]


def test_a_root_that_cannot_be_written_is_said_before_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        train(overrides={"root": str(tmp_path / "file" / "root")})
