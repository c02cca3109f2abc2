"""The training code under JAX, as a GPU machine has it: its weights are the network's under TensorFlow too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from pretend import PLAIN
from wavenet_steps import step_losses

from larun.bundles import load_bundle
from larun.config import Settings
from larun.errors import ConfigurationError, StoreError
from larun.network import fit as fitting
from larun.network.architectures import build
from larun.network.checkpoint import Checkpoints
from larun.network.optimise import Judged, Samples, State, Training, hard_targets
from larun.network.recipe import require_network
from larun.network.restore import load_network
from larun.objects import Root

DRIVER = Path(__file__).with_name("jax_driver.py")


@pytest.fixture(scope="module")
def under_jax(tmp_path_factory):
    """What the driver said, and its folder."""
    folder = tmp_path_factory.mktemp("jax")
    # Most of the time goes into compiling, and what little is computed need not be quick.
    quickly_compiled = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": quickly_compiled}
    command = [sys.executable, DRIVER, folder]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads((folder / "said.json").read_text())
    assert (said["backend"], keras.backend.backend()) == ("jax", "tensorflow")
    return said, folder


@pytest.mark.usefixtures("few_draws")
def test_a_training_under_jax_is_exported_under_tensorflow(under_jax, data, monkeypatch):
    said, folder = under_jax
    place = folder / "root"
    assert said["training"].startswith(f"RunFailed: the network is trained and kept in {place}")
    assert "KERAS_BACKEND=tensorflow, and it writes the bundle" in said["training"]
    root = Root(str(place))
    assert not root.list("models")
    (left,) = root.list("training")
    with np.load(place / left / "network.npz") as file:
        best = [file[f"best_{i}"] for i in range(sum(name.startswith("best_") for name in file.files))]
    monkeypatch.setattr(fitting, "training_views", lambda *_: data)
    epochs = []
    spec = fitting.train(Settings(root=str(place), **PLAIN), epochs.append)
    assert epochs == [3], "nothing is trained again"
    bundle = load_bundle(spec, root)
    assert bundle.manifest["training"]["backend"] == "jax"
    assert bundle.manifest["training"]["epochs_run"] == 3
    weights = load_network(bundle).get_weights()
    assert len(weights) == len(best)
    assert all(np.array_equal(a, b) for a, b in zip(weights, best, strict=True))
    assert not root.list("training")


def test_what_jax_left_unfinished_tensorflow_does_not_go_on_with(data, tmp_path):
    settings = Settings(training={"epochs": 2}, augmentation={"enabled": False})
    few, ones = data.take(np.arange(12)), np.ones(6, np.float32)

    def training():
        samples, judged = Samples(few.views, hard_targets(few.label, ones)), Judged(few.views, few.label, ones)
        network = build("spectral_cnn_plain")
        return Training(network, samples, judged, settings.training, settings.augmentation)

    def checkpoints(backend):
        return Checkpoints(Root(str(tmp_path)), {"data": "0", "software": {"keras": "3", "backend": backend}})

    there, here = training(), training()
    there.state = State(epoch=1, best_epoch=1, best_weights=there.network.get_weights(), backend="jax")
    checkpoints("jax").save("network", there)
    with pytest.raises(StoreError, match=r"begun with Keras on jax, not finished: .*KERAS_BACKEND=jax"):
        checkpoints("tensorflow").load("network", here)
    there.state.epoch = 2
    checkpoints("jax").save("network", there)
    checkpoints("tensorflow").load("network", here)
    here.run(lambda state: pytest.fail("it is over"))
    for ours, theirs in zip(here.network.get_weights(), there.network.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_settings_are_not_searched_where_nothing_can_be_exported(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ConfigurationError, match="searches with KERAS_BACKEND=tensorflow alone"):
        require_network(Settings(training={"tune": 2}))


def test_a_small_step_under_jax(under_jax):
    said, folder = under_jax[0]["step"], under_jax[1]
    assert np.isfinite(said["losses"] + said["contrast"]).all()
    assert said["losses"][1] < said["losses"][0]
    assert said["teacher_kept"]
    with np.load(folder / "logits.npz") as file:
        views, logits = file["views"], file["logits"]
    network = build("spectral_cnn_plain")
    network.load_weights(folder / "step.weights.h5")
    assert keras.ops.convert_to_numpy(network(views)) == pytest.approx(logits, abs=1e-3)


def test_a_step_of_the_wavenet_is_the_same_under_tensorflow_and_jax(under_jax):
    losses = under_jax[0]["wavenet"]
    assert losses == pytest.approx(step_losses(), rel=1e-4)
    assert losses[2] < losses[0]
