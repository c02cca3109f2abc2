"""The search for settings, with a training whose best settings are known."""

import numpy as np

from larun.config import Settings
from larun.network.optimise import State
from larun.network.tune import tune


def scripted(settings, after):
    """Best at a learning rate of 1e-3, a batch of 32 and no mixup."""
    lost = abs(np.log10(settings.training.learning_rate) + 3) + 0.3 * settings.augmentation.mixup
    lost += 0.2 * (settings.training.batch_size != 32)
    state = State()
    for epoch in range(1, settings.training.epochs + 1):
        state.epoch = state.best_epoch = epoch
        state.history.append({"val_ap": (1 - 0.5 * lost) * epoch / settings.training.epochs})
        after(state)
    return state


def test_better_settings_are_found_within_the_bound():
    settings = Settings(training={"epochs": 6, "learning_rate": 9e-3, "batch_size": 48, "seed": 3})
    best, record = tune(settings, 15, scripted)
    assert record["trials"] == 15
    assert record["first_validation_ap"] == round(1 - 0.5 * (abs(np.log10(9e-3) + 3) + 0.2), 5)
    assert record["best_validation_ap"] > record["first_validation_ap"] + 0.2
    assert best.training.batch_size == record["best"]["training.batch_size"]
    assert record["best_validation_ap"] == round(scripted(best, lambda state: None).history[-1]["val_ap"], 5)
    assert tune(settings, 15, scripted)[1] == record
    assert best.search == settings.search
