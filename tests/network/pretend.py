"""Settings of small trainings, and views that any network can tell apart."""

import numpy as np

from larun.network.labelled import labelled
from larun.schema import CLASSES, VIEW_LENGTH
from larun.views import view_slices

SMALL = {
    "model": {"name": "small"},
    "dataset": {"validation_fraction": 0.2, "test_fraction": 0.2},
    "training": {"epochs": 10, "batch_size": 32},
}

PLAIN = (
    SMALL
    | {"model": {"name": "plain", "architecture": "spectral_cnn_plain"}}
    | {"training": {"epochs": 3, "batch_size": 32, "learning_rate": 0.01}}
)
"""Quicker, and learns less."""


def pretend_views(n, seed=0):
    """Views with one plain mark per class, so that a network can tell them apart after few steps."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % len(CLASSES)
    views = 0.05 * rng.standard_normal((n, VIEW_LENGTH))
    places = view_slices()
    marks = {
        1: [("sector", np.sin(np.linspace(0, 30, 256)), 0.6)],
        2: [("odd", -1.0, 0.5), ("even", -1.0, 0.5)],
        3: [("odd", -1.0, 0.8), ("even", -1.0, 0.3), ("secondary", -1.0, 0.5)],
        4: [("sector", np.linspace(-1, 1, 256), 0.9)],
        5: [("global", -1.0, 0.9)],
    }
    for k, shapes in marks.items():
        for name, shape, size in shapes:
            place = places[name]
            width = place.stop - place.start
            middle = np.abs(np.arange(width) - width / 2) < width / 8
            views[label == k, place] += size * (shape if np.ndim(shape) else shape * middle)
        views[label == k, places["measured"]] += 0.5 * np.sin(k * np.arange(64))
    return np.clip(views, -1, 1).astype(np.float32), label


def pretend_data(n=360, seed=0):
    views, label = pretend_views(n, seed)
    columns = {
        "label": label,
        "star": [f"star {i // 2}" for i in range(n)],
        "source": ["real" if i % 3 else "hybrid" for i in range(n)],
        "kind": ["pretend"] * n,
    }
    return labelled(views, columns, {"real noise": n})
