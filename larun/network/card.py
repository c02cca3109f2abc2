"""The model card, written from a bundle's manifest and from nothing else."""

from __future__ import annotations

from typing import Any

from larun.network.labelled import TEST, TRAIN, VALIDATION
from larun.schema import CLASSES

_SOURCES = {
    "real": "observed light curves with the labels of their collection",
    "hybrid": "shapes injected into observed light curves",
    "simulated": "simulated light curves",
}


def model_card(manifest: dict[str, Any]) -> str:
    """Describe a bundle in Markdown: what it was trained on, what it scores, what it cannot be trusted for."""
    lines = [
        f"# {manifest['name']} {manifest['version']}",
        "",
        (
            "Six-class network for the best transit-like event of a light curve, INT8, "
            f"{manifest['float_vs_int8']['int8_bytes']:,} bytes, {manifest['architecture']['parameters']:,} parameters "
            f"(`{manifest['architecture']['name']}`). Input: the 1024 samples of `larun.views`. Output: "
            f"{', '.join(CLASSES)}."
        ),
        "",
        "## Training",
        "",
        *_training(manifest),
        "",
        "## Scores on held-out stars",
        "",
        (
            "INT8 network, calibrated; no star of these views was trained on or used to calibrate. Brackets are 95 % "
            "intervals from a bootstrap over stars."
        ),
        "",
        *_overview(manifest["metrics"]),
    ]
    for source in sorted(manifest["metrics"]):
        lines += ["", f"### {source.capitalize()}: {_SOURCES.get(source, 'all sources together')}", ""]
        lines += _classes(manifest["metrics"][source])
        lines += ["", "Rows true, columns predicted:", "", *_confusion(manifest["metrics"][source]["confusion"])]
    if "collections" in manifest:
        lines += ["", "## By collection and shape", "", *_collections(manifest["collections"])]
        lines += ["", "## Plots", "", *_plots()]
    if "kfold" in manifest:
        lines += ["", "## Cross-validation", "", *_folds(manifest["kfold"])]
    lines += ["", "## Float against INT8", "", *_quantisation(manifest), "", "## Limits", "", *_limits(manifest)]
    return "\n".join(lines) + "\n"


def _augmentation(settings: dict[str, Any]) -> str:
    """Variations that are on, and how far they go."""
    if not settings["enabled"]:
        return "no augmentation"
    (low, high), (least, most) = settings["scale"], settings["depth"]
    return (
        f"augmentation: noise {settings['noise']:g}, shift {settings['shift']:g}, scale {low:g} to {high:g}, depth "
        f"{least:g} to {most:g}, dropout {settings['dropout']:g}, mixup {settings['mixup']:g}"
        f"{', mirrored' if settings['mirror'] else ''}"
    )


def _start(manifest: dict[str, Any]) -> str:
    """Where the weights came from, if not from a random draw and labels alone."""
    start = manifest["started_from"]
    said = f"Training went on from the weights of {start['bundle']} (`{start['digest'][:16]}`). " if start else ""
    teachers = ", ".join(f"{t['bundle']} (`{t['digest'][:16]}`)" for t in manifest.get("teachers", ()))
    return said + (f"Taught by {teachers} beside the labels. " if teachers else "")


def _refit(done: dict[str, Any], settings: dict[str, Any]) -> str:
    """What was trained once more, if anything was."""
    if not settings.get("refit"):
        return ""
    return (
        f" Then a new network was trained for {done['best_epoch']} epochs on the stars of training and validation "
        "together: that one is shipped, calibrated by what the first said of the validation stars."
    )


def _training(manifest: dict[str, Any]) -> list[str]:
    t, data = manifest["settings"]["training"], manifest["data"]
    done = manifest["training"]
    stars = ", ".join(f"{data['stars'][side]} {side}" for side in (TRAIN, VALIDATION, TEST))
    lines = [
        (
            f"{done['epochs_run']} of {t['epochs']} epochs, the weights of epoch {done['best_epoch']} (chosen by "
            f"{done['chosen_by']}), batch {t['batch_size']}, learning rate "
            f"{t['learning_rate']:g} ({t['schedule']}), class weights {t['class_weights']}, seed {t['seed']}, "
            f"{_augmentation(manifest['settings']['augmentation'])}.{_refit(done, t)} Every view comes from the event "
            "that the survey's own search found in the light curve. Planets, binaries and anomalies whose event is "
            "not their own signal were left out, so the scores say nothing about signals that the search misses."
        ),
        "",
        (
            f"{_start(manifest)}Split by star: {stars}. Data digest `{data['digest'][:16]}`, "
            f"search settings `{manifest['search_digest'][:16]}`."
        ),
        "",
        "| views | " + " | ".join(CLASSES) + " |",
        "|---|" + "---|" * len(CLASSES),
    ]
    for side in (TRAIN, VALIDATION, TEST):
        lines += [
            f"| {side}, {source} | " + " | ".join(str(counts[name]) for name in CLASSES) + " |"
            for source, counts in sorted(data["views"][side].items())
        ]
    lines += _pretraining(done.get("pretraining"))
    lines += _tuning(manifest)
    if data["held_out_stars"]:
        lines += ["", "Only scored, by decision rather than by lot: " + ", ".join(data["held_out_stars"]) + "."]
    return lines


def _collections(rows: list[dict[str, Any]]) -> list[str]:
    """Confusion of each collection of real light curves, and of each injected or simulated shape."""
    lines = [
        "Real light curves by the collection that labels them, the others by shape; how many views were called what.",
        "",
        "| source | collection or shape | class | views | stars | recall | " + " | ".join(CLASSES) + " |",
        "|---|---|---|---|---|---|" + "---|" * len(CLASSES),
    ]
    for row in rows:
        cells = (row["source"], row["kind"], row["class"], row["views"], row["stars"], f"{row['recall']:.2f}")
        lines.append("| " + " | ".join(map(str, (*cells, *row["predicted"]))) + " |")
    return lines


def _plots() -> list[str]:
    return [
        "![ROC](plots/roc.png) ![Precision and recall](plots/precision_recall.png)",
        "",
        "![Reliability](plots/reliability.png)",
        "",
        "Held-out light curves, two of each class, one of them wrong where there is such, coloured by the class given:",
        "",
        "![Examples](plots/examples.png)",
    ]


def _folds(kfold: dict[str, Any]) -> list[str]:
    stars = ", ".join(map(str, kfold["stars"]))
    lines = [
        (
            f"{kfold['folds']} networks of the same settings, each scored on the stars of a fold ({stars}) that "
            "neither trained it nor chose its epoch nor calibrated it; float weights. The held-out stars above are in "
            "none."
        ),
        "",
        *_overview(kfold["metrics"]),
    ]
    for source, scores in sorted(kfold["metrics"].items()):
        if source != "all":
            lines += ["", f"{source.capitalize()}:", "", *_classes(scores)]
    return lines


def _pretraining(done: dict[str, Any] | None) -> list[str]:
    if not done:
        return []
    losses = done["losses"]
    said = (
        f"Pre-trained on {done['on']}, {done['examples']} of them, in {len(losses)} epochs; loss {losses[0]:.3f} to "
        f"{losses[-1]:.3f}."
    )
    scores = done.get("localisation")
    if scores:
        said += (
            f" Transits marked in {scores['windows']} windows of held-out stars: intersection over union "
            f"{scores['iou']:.3f}; of {scores['events']} events {scores['found']} found, event precision "
            f"{scores['precision']:.3f}, recall {scores['recall']:.3f}, F1 {scores['f1']:.3f}."
        )
    for name in ("depth", "period"):
        errors = done.get(name)
        if errors and errors["windows"]:
            said += (
                f" The {name} in {errors['windows']} windows is {errors['error_dex']:.3f} dex off (median), and the "
                f"best constant {errors['spread_dex']:.3f} dex."
            )
    return ["", said]


def _tuning(manifest: dict[str, Any]) -> list[str]:
    tuning = manifest.get("tuning")
    if not tuning:
        return []
    best = ", ".join(f"{name} {_short(value)}" for name, value in sorted(tuning["best"].items()))
    return [
        "",
        (
            f"Settings found in {tuning['trials']} trials ({tuning['pruned']} broken off): {best}. Validation mean "
            f"average precision {tuning['first_validation_ap']:.4f} before, {tuning['best_validation_ap']:.4f} after."
        ),
    ]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _overview(metrics: dict[str, Any]) -> list[str]:
    names = ("accuracy", "macro_f1", "brier", "ece")
    lines = ["| source | views | stars | " + " | ".join(names) + " |", "|---|---|---|" + "---|" * len(names)]
    for source, scores in sorted(metrics.items()):
        figures = " | ".join(_figure(scores[name]) for name in names)
        lines.append(f"| {source} | {scores['views']} | {scores['stars']} | {figures} |")
    return lines


def _classes(scores: dict[str, Any]) -> list[str]:
    names = ("precision", "recall", "f1", "average_precision", "auc")
    lines = ["| class | views | stars | " + " | ".join(names) + " |", "|---|---|---|" + "---|" * len(names)]
    for name in CLASSES:
        figures = scores["classes"][name]
        cells = (str(figures["views"]), str(figures["stars"]), *(_figure(figures[n]) for n in names))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _confusion(counts: list[list[int]]) -> list[str]:
    lines = ["| | " + " | ".join(CLASSES) + " |", "|---|" + "---|" * len(CLASSES)]
    return lines + [
        f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in zip(CLASSES, counts, strict=True)
    ]


def _quantisation(manifest: dict[str, Any]) -> list[str]:
    c = manifest["float_vs_int8"]
    return [
        (
            f"On the {c['views']} held-out views: the same class for {100 * c['agreement']:.1f} %, smallest rank "
            f"correlation of the six logits {c['rank_correlation']:.4f}, mean average precision "
            f"{c['mean_ap_float']:.4f} float and {c['mean_ap_int8']:.4f} INT8, {c['distinct_levels']} distinct output "
            f"levels, {c['float_bytes']:,} bytes float and {c['int8_bytes']:,} INT8. Calibration after quantisation: "
            f"temperature {manifest['calibration']['temperature']:.3f}."
        )
    ]


def _limits(manifest: dict[str, Any]) -> list[str]:
    """What follows from the data that a network was trained on."""
    real = manifest["metrics"].get("real")
    lines = []
    if real is None:
        lines.append("- No real light curve was held out to score it: the figures say nothing about real stars.")
    else:
        few = [f"{name} ({n})" for name in CLASSES if (n := real["classes"][name]["stars"]) < 30]
        if few:
            lines.append(
                f"- Real held-out stars are too few (under 30) to judge {', '.join(few)}: only injected or simulated "
                "examples speak for them, and those share their shapes with the training."
            )
    lines += [
        (
            "- Real noise and instrument artefacts of full-frame images are labelled by rule from the data themselves; "
            "scores on them are optimistic."
        ),
        "- Unknown anomalies are all injected or simulated, of a few kinds of dips; others were never seen.",
        (
            "- Probabilities are calibrated for the mix of classes of the validation stars, not for a sector, where "
            "planets are far rarer."
        ),
        "- A blended binary without a visible secondary and with a flat bottom looks like a planet, and is called one.",
    ]
    return lines


def _figure(value: dict[str, float] | None) -> str:
    return "-" if value is None else f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
