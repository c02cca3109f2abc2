"""Command `train`: every option wins over the settings file."""

from __future__ import annotations

from typing import Annotated

import typer

from larun.cli import preflight
from larun.cli.console import ConfigOption, JsonOption, RootOption, VerboseOption, given, print_json
from larun.cli.run import running_flows


def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Labelled light curves: simulated, archives, or a folder (a bank, or labels.csv)."),
    ] = None,
    planets: Annotated[
        int | None,
        typer.Option("--planets", min=0, help="Stars with planets, at most; stars come from the archives then."),
    ] = None,
    non_planets: Annotated[
        int | None, typer.Option("--non-planets", min=0, help="Other stars from archives and store, at most.")
    ] = None,
    use_cache: Annotated[
        bool | None, typer.Option("--use-cache/--no-use-cache", help="Use what was fetched before and ask nobody.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the bundle.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="Its version; by default the next number.")] = None,
    architecture: Annotated[
        str | None,
        typer.Option("--architecture", help="Network: spectral_cnn, spectral_cnn_plain, wavenet, perceptron."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=0, help="Passes over the training views; 0 only prepares them.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Views per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Learning rate at its peak.")] = None,
    augment: Annotated[
        bool | None, typer.Option("--augment/--no-augment", help="Vary the training views, see [augmentation].")
    ] = None,
    class_weights: Annotated[
        str | None, typer.Option("--class-weights", help="none, sqrt or balanced: how much rare classes count.")
    ] = None,
    teacher: Annotated[
        list[str] | None, typer.Option("--teacher", help="Bundle that teaches beside the labels; may be repeated.")
    ] = None,
    kfold: Annotated[
        int | None, typer.Option("--kfold", min=0, help="Also cross-validate with so many folds of stars, 3 or more.")
    ] = None,
    tune: Annotated[
        int | None, typer.Option("--tune", min=0, help="First search for better settings in so many trials.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", help="Write the bundle also to this folder or s3:// address.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.")] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train the network and write a model bundle.

    A training that was stopped goes on from its last epoch when the same command is given again.
    """
    options = given(context, config, root, verbose)
    if data is None and (planets is not None or non_planets is not None or use_cache):
        data = "archives"
    chosen = {
        "model": {"name": name, "version": version, "architecture": architecture},
        "dataset": {"data": data, "planets": planets, "non_planets": non_planets, "use_cache": use_cache},
        "training": {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "class_weights": class_weights,
            "teachers": teacher or None,
            "kfold": kfold,
            "tune": tune,
            "output": output,
            "seed": seed,
        },
        "augmentation": {"enabled": augment},
    }
    preflight.check_train(options.settings(**chosen))
    with running_flows(options) as run:
        result = run("train", overrides=options.overrides(**chosen))
    if json:
        print_json(result)
        return
    if result["bundle"] is None:
        typer.echo(_prepared(result["views"]))
        return
    typer.echo(f"bundle {result['bundle']} is in {result['folder']}")


def _prepared(views: dict[str, dict[str, int]]) -> str:
    """How many views of each class a training would have, and from what."""
    from larun.schema import CLASSES

    lines = ["the light curves are prepared; with --epochs 1 or more a network is trained on these views:"]
    for name in CLASSES:
        counts = {source: of_class[name] for source, of_class in views.items() if of_class[name]}
        lines.append(f"{name:<20} {sum(counts.values()):>6}" + "".join(f"  {s} {n}" for s, n in counts.items()))
    return "\n".join(lines)
