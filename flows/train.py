"""Flow `train`: train the network and write a model bundle below the survey root."""

from __future__ import annotations

import functools
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.progress import Progress
from larun.bundles import CARD_FILE, load_bundle
from larun.config import load
from larun.objects import Root
from tasks.train import train_task


@flow(name="train", persist_result=False)
def train(config: str | None = None, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Train the network and write a model bundle below the root.

    Parameters
    ----------
    config : str, optional
        TOML or YAML file with settings, of which `root` says where the bundle goes.
    overrides : dict, optional
        Settings that win over file and environment.

    Returns
    -------
    dict
        `bundle` (name/version), `folder`, `digest`, `metrics`. Where `training.epochs` is 0 these are None, and
        `views` tells how many views were prepared, per source and class.
    """
    settings = load(config, **(overrides or {}))
    root = Root(settings.root, settings.storage_options)
    root.check_writable()
    views = functools.cache(lambda total: Progress("views", total))
    epochs = Progress("epochs", settings.training.epochs_in_all)
    stars = functools.cache(lambda total: Progress("stars", total))
    spec, prepared = train_task(
        settings, epochs, lambda done, total: views(total)(done), lambda done, total: stars(total)(done)
    )
    if spec is None:
        return {"bundle": None, "folder": None, "digest": None, "metrics": {}, "views": prepared}
    bundle = load_bundle(spec, root)
    create_markdown_artifact(bundle.files[CARD_FILE].decode(), key="model-card", description=spec)
    return {
        "bundle": spec,
        "folder": root.url_of(f"models/{spec}"),
        "digest": bundle.digest,
        "metrics": bundle.manifest.get("metrics", {}),
    }
