"""The training code under JAX, as a GPU machine has it: its weights are the network's under TensorFlow too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from larun.network.architectures import build

DRIVER = Path(__file__).with_name("backend_step.py")


def test_a_small_step_under_jax(tmp_path):
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, DRIVER, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["backend"] == "jax"
    assert np.isfinite(said["losses"] + said["contrast"]).all()
    assert said["losses"][1] < said["losses"][0]
    assert said["teacher_kept"]
    with np.load(tmp_path / "logits.npz") as file:
        views, logits = file["views"], file["logits"]
    network = build("spectral_cnn_plain")
    network.load_weights(tmp_path / "step.weights.h5")
    assert keras.ops.convert_to_numpy(network(views)) == pytest.approx(logits, abs=1e-3)
