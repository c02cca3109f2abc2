"""Two epochs of training with all that runs on the device, under the backend of KERAS_BACKEND; prints what came of it.

`python backend_step.py FOLDER` writes the weights and the logits of some views there.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import keras
import numpy as np
from pretend import pretend_views

from larun.config import Settings
from larun.network.architectures import build
from larun.network.contrast import pretrain
from larun.network.optimise import Judged, Samples, Training, class_weights, hard_targets, predict

folder = Path(sys.argv[1])
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
said = {
    "backend": keras.backend.backend(),
    "contrast": contrast,
    "losses": [scores["loss"] for scores in state.history],
    "teacher_kept": all(np.array_equal(a, b) for a, b in zip(before, teacher.get_weights(), strict=True)),
}
sys.stdout.write(json.dumps(said))
