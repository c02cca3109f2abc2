"""What test_backends.py looks at under JAX, in one process: two epochs with all that runs on the device, steps of the
WaveNet, and a whole training.

`python jax_driver.py FOLDER` writes said.json, weights and logits there; below FOLDER/root lies what the training left.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import keras
import numpy as np
from pretend import PLAIN, pretend_data, pretend_views
from wavenet_steps import step_losses

from larun.config import Settings
from larun.errors import LarunError
from larun.network import fit
from larun.network.architectures import build
from larun.network.contrast import pretrain
from larun.network.optimise import Judged, Samples, Training, class_weights, hard_targets, predict


def small_step(folder: Path) -> dict:
    settings = Settings(training={"epochs": 2, "batch_size": 32, "pretrain_epochs": 1}, augmentation={"mixup": 0.2})
    views, label = pretend_views(64)
    keras.utils.set_random_seed(1)
    teacher, network = build("spectral_cnn_plain"), build("spectral_cnn_plain")
    contrast = pretrain(network, views, settings.training, settings.augmentation)
    weights = class_weights(label, "sqrt")
    training = Training(
        network, Samples(views, hard_targets(label, weights)), Judged(views, label, weights), settings.training,
        settings.augmentation, [teacher],
    )  # fmt: skip
    before = [np.array(w) for w in teacher.get_weights()]
    state = training.run(lambda state: None)
    network.save_weights(folder / "step.weights.h5")
    np.savez(folder / "logits.npz", views=views[:4], logits=predict(network, views[:4]))
    return {
        "contrast": contrast,
        "losses": [scores["loss"] for scores in state.history],
        "teacher_kept": all(np.array_equal(a, b) for a, b in zip(before, teacher.get_weights(), strict=True)),
    }


def whole_training(root: Path) -> str:
    fit.training_views = lambda *_: pretend_data()
    try:
        fit.train(Settings(root=str(root), **PLAIN))
    except LarunError as error:
        return f"{type(error).__name__}: {error}"
    return "it came to its end"


folder = Path(sys.argv[1])
said = {
    "backend": keras.backend.backend(),
    "wavenet": step_losses(),
    "step": small_step(folder),
    "training": whole_training(folder / "root"),
}
(folder / "said.json").write_text(json.dumps(said))
