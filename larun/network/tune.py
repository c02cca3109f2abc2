"""Search for hyper-parameters: a bounded number of trials, judged by the validation stars."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from larun.config import Settings
from larun.network.optimise import State

log = logging.getLogger(__name__)

Trial = Callable[[Settings, Callable[[State], None]], State]
"""Trains with some settings, calling back after every epoch."""


def tune(settings: Settings, trials: int, train: Trial) -> tuple[Settings, dict[str, Any]]:
    """Try settings (tree-structured Parzen estimator, median pruning) and return the best.

    Parameters
    ----------
    settings : Settings
        Where the search starts; what it does not vary stays.
    trials : int
        Trainings, at most; the first has the given settings.
    train : callable
        One training.

    Returns
    -------
    settings : Settings
        With the values of the best trial.
    record : dict
        ``trials``, ``pruned``, ``best`` (values), ``best_validation_ap``, ``first_validation_ap``.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        def after(state: State) -> None:
            trial.report(state.history[-1]["val_ap"], state.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        state = train(changed(settings, _suggest(trial, settings)), after)
        best = state.history[state.best_epoch - 1]["val_ap"]
        log.info("trial %d: %s, validation AP %.4f", trial.number, trial.params, best)
        return best

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=settings.training.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=settings.training.epochs // 3),
    )
    study.enqueue_trial(_current(settings), skip_if_exists=True)
    study.optimize(objective, n_trials=trials)
    record = {
        "trials": len(study.trials),
        "pruned": sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials),
        "best": study.best_params,
        "best_validation_ap": round(study.best_value, 5),
        "first_validation_ap": round(study.trials[0].value, 5),
    }
    return changed(settings, study.best_params), record


def changed(settings: Settings, values: dict[str, Any]) -> Settings:
    """Settings with some values replaced, by names such as ``training.batch_size``."""
    for name, value in values.items():
        section, key = name.split(".")
        settings = settings.model_copy(update={section: getattr(settings, section).model_copy(update={key: value})})
    return settings


def _suggest(trial: Any, settings: Settings) -> dict[str, Any]:
    """Values of one trial; every range holds what the settings say."""

    def number(name: str, low: float, high: float, log_scale: bool = False) -> float:
        at = current[name]
        return trial.suggest_float(name, min(low, at), max(high, at), log=log_scale and at > 0)

    def choice(name: str, *values: Any) -> Any:
        return trial.suggest_categorical(name, tuple(dict.fromkeys([*values, current[name]])))

    current = _current(settings)
    return {
        "training.learning_rate": number("training.learning_rate", 3e-4, 1e-2, log_scale=True),
        "training.batch_size": choice("training.batch_size", 32, 64, 128),
        "training.weight_decay": number("training.weight_decay", 1e-5, 1e-2, log_scale=True),
        "training.class_weights": choice("training.class_weights", "none", "sqrt", "balanced"),
        "model.dropout": number("model.dropout", 0.0, 0.5),
        "augmentation.mixup": number("augmentation.mixup", 0.0, 0.4),
    }


def _current(settings: Settings) -> dict[str, Any]:
    names = ("learning_rate", "batch_size", "weight_decay", "class_weights")
    return {f"training.{name}": getattr(settings.training, name) for name in names} | {
        "model.dropout": settings.model.dropout,
        "augmentation.mixup": settings.augmentation.mixup,
    }
