"""Localisation: scores of hand-made marks, and windows whose marks lie on their dips."""

import numpy as np
import pytest

from larun.config import Settings
from larun.errors import ConfigurationError
from larun.network import localise
from larun.network.bank import Curve
from larun.network.pretraining import quiet_curves


def masks(*runs):
    out = np.zeros((len(runs), 1024), bool)
    for row, stretches in zip(out, runs, strict=True):
        for first, last in stretches:
            row[first:last] = True
    return out


def test_scores_of_a_worked_example():
    true = masks([(100, 200), (500, 600)], [(10, 20)], [])
    said = masks([(150, 200), (520, 700)], [], [(0, 50)])
    scores = localise.localisation_scores(said, true)
    # Samples: 50 + 80 in both; 100 + 200 + 10 + 50 in either. The first event is found (50 of 100), the second is
    # not (80 of 200).
    assert scores["iou"] == pytest.approx(130 / 360, abs=1e-5)
    assert (scores["events"], scores["marked"], scores["found"]) == (3, 3, 1)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.33333, 0.33333, 0.33333)


def test_stretches_at_the_ends_count():
    assert localise.stretches(masks([(0, 3), (1020, 1024)])[0]) == [(0, 3), (1020, 1024)]
    assert localise.stretches(np.zeros(1024, bool)) == []


def quiet(star, seed):
    time = 1325 + np.arange(0, 26, 1 / 144)
    flux = 1 + 3e-4 * np.random.default_rng(seed).standard_normal(len(time))
    return Curve(star, 0, "made", time, flux.astype(np.float32))


def test_marks_lie_on_the_injected_dips():
    marked = localise.marked_windows([quiet(f"s{i}", i) for i in range(12)], seed=3)
    assert set(marked.star) <= {f"s{i}" for i in range(12)}
    assert 0.003 < marked.mask.mean() < 0.3
    assert marked.samples[marked.mask].mean() < marked.samples[~marked.mask].mean() - 0.1
    again = localise.marked_windows([quiet(f"s{i}", i) for i in range(12)], seed=3)
    assert np.array_equal(again.samples, marked.samples)
    assert len(localise.marked_windows([], seed=3)) == 0


def test_quiet_curves_keep_to_their_side_and_only_wavenet_marks():
    settings = Settings(training={"pretrain_epochs": 1, "pretrain_on": "windows"}, dataset={"data": "archives"})
    curves = [quiet(f"s{i}", i) for i in range(40)]
    found = quiet_curves(settings, curves)
    train, test = {c.star for c in found.train}, {c.star for c in found.test}
    assert train
    assert test
    assert not train & test
    assert quiet_curves(Settings(), curves).train == ()
    marks = Settings(training={"pretrain_epochs": 1, "pretrain_on": "transits"})
    with pytest.raises(ConfigurationError, match=r"needs model\.architecture = wavenet"):
        quiet_curves(marks, curves)


def test_a_network_learns_to_mark_and_keeps_what_it_learnt():
    from larun.network.architectures import build
    from larun.network.pretraining import Quiet, teach

    tiny = {"residual": 6, "skip": 6, "blocks": 1, "depth": 3}
    settings = Settings(
        model={"architecture": "wavenet", "options": tiny},
        training={"pretrain_epochs": 6, "pretrain_on": "transits", "learning_rate": 0.02, "batch_size": 16},
    )
    curves = tuple(quiet(f"s{i}", i) for i in range(30))
    network = build("wavenet", 0.0, **tiny)
    before = {layer.name: layer.get_weights() for layer in network.layers}
    record = teach(network, settings, np.empty((0, 1024), np.float32), Quiet(curves[:24], curves[24:]))
    assert record["losses"][-1] < 0.8 * record["losses"][0]
    assert record["localisation"]["iou"] > 0.15
    changed = {n for n, w in before.items() if w and not np.array_equal(w[0], network.get_layer(n).get_weights()[0])}
    assert changed == {n for n, w in before.items() if w} - {"logits"}
