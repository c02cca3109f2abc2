"""Heads beside the classes: scores of hand-made marks, windows whose marks lie on their dips, and what is learnt."""

import keras
import numpy as np
import pytest

from larun.config import Settings
from larun.errors import ConfigurationError, InputError
from larun.network import heads
from larun.network.architectures import build
from larun.network.bank import Curve
from larun.network.marked import OFF_CENTRE, marked_windows
from larun.network.pretraining import Quiet, quiet_curves, teach
from larun.network.recipe import require_network

TINY = {"residual": 6, "skip": 6, "blocks": 1, "depth": 3}


def masks(*runs):
    out = np.zeros((len(runs), 1024), bool)
    for row, stretches in zip(out, runs, strict=True):
        for first, last in stretches:
            row[first:last] = True
    return out


def test_scores_of_a_worked_example():
    true = masks([(100, 200), (500, 600)], [(10, 20)], [])
    said = masks([(150, 200), (520, 700)], [], [(0, 50)])
    scores = heads.localisation_scores(said, true)
    # Samples: 50 + 80 in both; 100 + 200 + 10 + 50 in either. The first event is found (50 of 100), the second is
    # not (80 of 200).
    assert scores["iou"] == pytest.approx(130 / 360, abs=1e-5)
    assert (scores["events"], scores["marked"], scores["found"]) == (3, 3, 1)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.33333, 0.33333, 0.33333)


def test_stretches_at_the_ends_count():
    assert heads.stretches(masks([(0, 3), (1020, 1024)])[0]) == [(0, 3), (1020, 1024)]
    assert heads.stretches(np.zeros(1024, bool)) == []


def quiet(star, seed):
    time = 1325 + np.arange(0, 26, 1 / 144)
    flux = 1 + 3e-4 * np.random.default_rng(seed).standard_normal(len(time))
    return Curve(star, 0, "made", time, flux.astype(np.float32))


def taught_on(**training):
    return Settings(training={"pretrain_epochs": 1, "pretrain_on": "transits", "seed": 3} | training).training


def test_marks_lie_on_the_injected_dips():
    marked = marked_windows([quiet(f"s{i}", i) for i in range(12)], taught_on())
    assert set(marked.star) <= {f"s{i}" for i in range(12)}
    assert 0.003 < marked.mask.mean() < 0.3
    assert marked.samples[marked.mask].mean() < marked.samples[~marked.mask].mean() - 0.1
    again = marked_windows([quiet(f"s{i}", i) for i in range(12)], taught_on())
    assert np.array_equal(again.samples, marked.samples)
    assert len(marked_windows([], taught_on())) == 0


def test_depth_and_period_are_known_where_a_transit_shows_and_nowhere_else():
    marked = marked_windows([quiet(f"s{i}", i) for i in range(30)], taught_on())
    shows = marked.mask.any(axis=1)
    assert 0 < shows.sum() < len(marked)
    assert np.array_equal(np.isfinite(marked.depth), shows)
    assert np.array_equal(np.isfinite(marked.period), shows)
    # Windows of 6 d and two or more transits: the distance between the first two is the period.
    for mask, period in zip(marked.mask, marked.period, strict=True):
        middles = [0.5 * (first + last) * 6.0 / 1024 for first, last in heads.stretches(mask)]
        if len(middles) > 2:
            assert middles[2] - middles[1] == pytest.approx(10**period, abs=0.02)
    # In units of the noise, 3e-4, the deepest samples of most windows are as deep as is said.
    deep = shows & (marked.depth > 3.3) & (marked.depth < 5)
    lowest = np.sinh(-marked.samples.min(axis=1) * np.arcsinh(1000)) * 3e-4 * 1e6
    assert deep.sum() > 10
    assert np.median(np.abs(np.log10(lowest[deep]) - marked.depth[deep])) < 0.15


def test_windows_around_events_hold_one_away_from_the_edge():
    curves = [quiet(f"s{i}", i) for i in range(30)]
    around = marked_windows(curves, taught_on(pretrain_cut="events", pretrain_window_d=2.0))
    sliding = marked_windows(curves, taught_on(pretrain_window_d=2.0))
    injected = set(around.star[around.mask.any(axis=1)])
    shown = around.mask[np.isin(around.star, list(injected))]
    assert shown.any(axis=1).all(), "every window of a star with transits shows one"
    assert sliding.mask.any(axis=1).mean() < around.mask.any(axis=1).mean() - 0.1
    edge = int((0.5 - OFF_CENTRE) * 1024) - 1
    assert shown[:, edge:-edge].any(axis=1).all()


def test_the_trend_of_windows_is_the_one_asked_for():
    curve = quiet("s", 1)
    bent = Curve("s", 0, "made", curve.time, curve.flux * (1 + 0.01 * np.sin(curve.time)).astype(np.float32))
    spread = {
        trend: marked_windows([bent] * 5, taught_on(pretrain_trend=trend, pretrain_window_d=3.0)).samples.std()
        for trend in ("none", "median", "polynomial")
    }
    assert spread["median"] < 0.6 * spread["none"]
    assert spread["polynomial"] < 0.6 * spread["none"]
    assert spread["polynomial"] != spread["median"]


def test_quantities_are_scored_where_they_are_known():
    scores = heads.quantity_scores(np.array([1.0, 2.0, 9.0, 3.5]), np.array([1.5, 2.0, np.nan, 3.0]))
    assert scores == {"windows": 3, "error_dex": 0.5, "spread_dex": 0.5}
    assert heads.quantity_scores(np.ones(2), np.full(2, np.nan))["error_dex"] is None


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
    around = Settings(training={"pretrain_epochs": 1, "pretrain_on": "windows", "pretrain_cut": "events"})
    with pytest.raises(ConfigurationError, match="quiet light curves have no events"):
        quiet_curves(around, curves)


def test_a_network_learns_to_mark_and_measure_and_keeps_what_it_learnt():
    settings = Settings(
        model={"architecture": "wavenet", "options": TINY},
        training={"pretrain_epochs": 12, "pretrain_on": "transits", "learning_rate": 0.02, "batch_size": 16},
    )
    curves = tuple(quiet(f"s{i}", i) for i in range(40))
    keras.utils.set_random_seed(1)
    network = build("wavenet", 0.0, **TINY)
    before = {layer.name: layer.get_weights() for layer in network.layers}
    record = teach(network, settings, np.empty((0, 1024), np.float32), Quiet(curves[:32], curves[32:]))
    assert record["losses"][-1] < 0.8 * record["losses"][0]
    assert record["localisation"]["iou"] > 0.15
    assert record["depth"]["windows"] == record["period"]["windows"] > 5
    assert record["depth"]["error_dex"] < 0.8 * record["depth"]["spread_dex"]
    changed = {n for n, w in before.items() if w and not np.array_equal(w[0], network.get_layer(n).get_weights()[0])}
    assert changed == {n for n, w in before.items() if w} - {"logits"}


def test_raw_windows_teach_without_labels():
    settings = Settings(training={"pretrain_epochs": 3, "pretrain_on": "windows", "batch_size": 16})
    keras.utils.set_random_seed(1)
    network = build("spectral_cnn_plain")
    record = teach(
        network, settings, np.empty((0, 1024), np.float32), Quiet(tuple(quiet(f"s{i}", i) for i in range(8)))
    )
    # 26 d in windows of 6 d, one every 3 d: seven of each curve.
    assert (record["on"], record["examples"]) == ("windows", 8 * 7)
    assert record["losses"][-1] < record["losses"][0]


@pytest.mark.parametrize("on", ["windows", "transits"])
def test_curves_shorter_than_a_window_are_refused(on):
    settings = Settings(
        model={"architecture": "wavenet", "options": TINY},
        training={"pretrain_epochs": 1, "pretrain_on": on, "pretrain_window_d": 60.0},
    )
    with pytest.raises(InputError, match="needs windows of 60 d"):
        teach(build("wavenet", **TINY), settings, np.empty((0, 1024), np.float32), Quiet((quiet("s", 1),)))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"regress": True}, "a bundle has the six classes alone"), ({"layers": 3}, "no option layers")],
)
def test_options_that_no_bundle_can_have_are_refused_before_anything_is_prepared(options, said):
    with pytest.raises(ConfigurationError, match=said):
        require_network(Settings(model={"architecture": "wavenet", "options": options}))
