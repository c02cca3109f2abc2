"""Plots of a bundle, as PNG bytes; equal figures give equal bytes."""

from __future__ import annotations

import io

import numpy as np

from larun.network.curves import precision_recall, reliability, roc
from larun.network.labelled import LabelledViews
from larun.schema import CLASSES
from larun.views import view_slices

COLOURS = ("#6b7f93", "#c2410c", "#1d6fb8", "#0f766e", "#a16207", "#7c3aed")
INK = "#1b2733"
EXAMPLES = 2
"""Light curves of each class that are shown."""
SHOWN_VIEWS = ("sector", "global", "depth")


def plot_files(probabilities: np.ndarray, views: LabelledViews) -> dict[str, bytes]:
    """All plots of the held-out views, by their names in the bundle."""
    return {
        "plots/roc.png": roc_plot(probabilities, views.label),
        "plots/precision_recall.png": precision_recall_plot(probabilities, views.label),
        "plots/reliability.png": reliability_plot(probabilities, views.label),
        "plots/examples.png": examples_plot(probabilities, views),
    }


def roc_plot(probabilities: np.ndarray, label: np.ndarray) -> bytes:
    """True against false positive rate of every class that occurs, the others being its negatives."""
    figure, axes = _figure()
    for k in _judged(label):
        axes.plot(*roc(probabilities[:, k], label == k), color=COLOURS[k], label=CLASSES[k])
    axes.plot([0, 1], [0, 1], color=INK, lw=0.7, ls=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
    _legend(axes, "lower right")
    return _png(figure)


def precision_recall_plot(probabilities: np.ndarray, label: np.ndarray) -> bytes:
    """Precision against recall of every class that occurs."""
    figure, axes = _figure()
    for k in _judged(label):
        recall, precision = precision_recall(probabilities[:, k], label == k)
        axes.step(recall, precision, where="post", color=COLOURS[k], label=CLASSES[k])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    _legend(axes, "lower left")
    return _png(figure)


def reliability_plot(probabilities: np.ndarray, label: np.ndarray) -> bytes:
    """Share of right classes against confidence, and below how many views there are of each."""
    figure, (axes, below) = _figure(rows=2)
    bins = reliability(probabilities, label)
    filled = bins.count > 0
    axes.plot([0, 1], [0, 1], color=INK, lw=0.7, ls=":")
    axes.plot(bins.confidence[filled], bins.accuracy[filled], "o-", color=COLOURS[2])
    axes.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    below.bar(bins.middle, bins.count, width=0.9 / len(bins.count), color=COLOURS[0])
    below.set(xlabel="probability of the class that was given", ylabel="views", xlim=(0, 1), yscale="log")
    return _png(figure)


def examples_plot(probabilities: np.ndarray, views: LabelledViews) -> bytes:
    """Some held-out light curves of each class, with what the network says of them.

    Of each class the first that is right with the median confidence, and the one that is most surely wrong, so that
    its failures are shown beside its successes; where none is wrong, another right one.
    """
    rows = example_rows(probabilities, views.label)
    figure, panels = _figure(len(rows), len(SHOWN_VIEWS), (9.0, 1.15 * len(rows) + 0.4), squeeze=False)
    places = view_slices()
    for line, row in zip(panels, rows, strict=True):
        true, said = int(views.label[row]), int(probabilities[row].argmax())
        for axes, name in zip(line, SHOWN_VIEWS, strict=True):
            axes.plot(views.views[row, places[name]], ".", ms=1.6, color=COLOURS[said])
            axes.set(xticks=[], yticks=[], ylim=(-1.05, 1.05))
        verdict = "" if said == true else f", is {CLASSES[true]}"
        line[0].set_title(
            f"{views.star[row]} ({views.source[row]}): {CLASSES[said]} {probabilities[row, said]:.2f}{verdict}",
            fontsize=7, loc="left", color=INK if said == true else COLOURS[1], pad=2,
        )  # fmt: skip
    for axes, name in zip(panels[-1], SHOWN_VIEWS, strict=True):
        axes.set_xlabel({"sector": "light curve", "global": "folded", "depth": "around the event"}[name], fontsize=7)
    return _png(figure)


def example_rows(probabilities: np.ndarray, label: np.ndarray) -> list[int]:
    """Rows of `examples_plot`, by class."""
    chosen: list[int] = []
    said, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    for k in np.unique(label):
        right, wrong = np.flatnonzero((label == k) & (said == k)), np.flatnonzero((label == k) & (said != k))
        typical = right[np.argsort(confidence[right], kind="stable")][len(right) // 2 :][:EXAMPLES]
        surest = wrong[np.argsort(-confidence[wrong], kind="stable")]
        chosen += [*typical[:1], *surest[:1], *typical[1:], *surest[1:]][:EXAMPLES]
    return [int(row) for row in chosen]


def _judged(label: np.ndarray) -> list[int]:
    """Classes with views of their own and of others."""
    return [k for k in range(len(CLASSES)) if 0 < np.sum(label == k) < len(label)]


def _legend(axes, place: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=place, frameon=False)


def _figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (5.0, 4.2), squeeze: bool = True):
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    ratios = {"height_ratios": [3, 1]} if rows == 2 and columns == 1 else {}
    return figure, figure.subplots(rows, columns, squeeze=squeeze, gridspec_kw=ratios)


def _png(figure) -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100, metadata={"Software": None})
    return written.getvalue()
