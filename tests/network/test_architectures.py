"""Networks and augmentation: shapes, reproducibility, and what each variation changes."""

import keras
import numpy as np
import pytest

from larun.network.architectures import build
from larun.network.augmentation import Augment, Augmentation
from larun.views import view_slices

STILL = Augment(noise=0, shift=0, scale=0, depth=0, dropout=0, mirror=False)


@pytest.mark.parametrize("name", ["spectral_cnn", "spectral_cnn_plain"])
def test_views_in_logits_out(name):
    network = build(name)
    out = keras.ops.convert_to_numpy(network(np.zeros((3, 1024), np.float32)))
    assert out.shape == (3, 6)
    assert network.count_params() < 16_000
    stages = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(stages) == (6 if name == "spectral_cnn" else 3)
    assert all(layer.kernel_size[0] == 1 for layer in stages)


def varied(views, seed=1, **changes):
    layer = Augmentation(Augment(**({f: getattr(STILL, f) for f in vars(STILL)} | changes)), seed)
    return keras.ops.convert_to_numpy(layer(views, training=True))


@pytest.fixture
def views():
    return np.random.default_rng(0).uniform(-0.8, 0.8, (200, 1024)).astype(np.float32)


def test_nothing_happens_out_of_training(views):
    assert np.array_equal(keras.ops.convert_to_numpy(Augmentation(Augment(), 1)(views)), views)


def test_nothing_happens_without_variations(views):
    assert np.array_equal(varied(views), views)


def test_a_seed_repeats_itself(views):
    full = {name: getattr(Augment(), name) for name in vars(STILL)}
    assert np.array_equal(varied(views, 5, **full), varied(views, 5, **full))
    assert not np.array_equal(varied(views, 5, **full), varied(views, 6, **full))


def test_noise_has_the_asked_size(views):
    assert (varied(views, noise=0.01) - views).std() == pytest.approx(0.01, rel=0.02)


def test_dropout_zeroes_the_asked_share(views):
    assert np.mean(varied(views, dropout=0.05) == 0) == pytest.approx(0.05, abs=0.003)


def test_depth_scales_only_views_in_units_of_the_depth(views):
    out, places = varied(views, depth=0.2), view_slices()
    for name in ("depth", "sector"):
        assert np.array_equal(out[:, places[name]], views[:, places[name]])
    ratio = out[:, places["odd"]] / views[:, places["odd"]]
    assert ratio.std(axis=1) == pytest.approx(0.0, abs=1e-3)
    inside = np.abs(ratio.mean(axis=1) - 1) <= 0.2001
    assert inside.all()


def test_shifts_stay_within_their_view(views):
    out, places = varied(views, shift=0.1), view_slices()
    assert np.array_equal(out[:, places["global"]], views[:, places["global"]])
    moved = set()
    for row in range(len(views)):
        before, after = views[row, places["odd"]], out[row, places["odd"]]
        shift = next(s for s in range(-3, 4) if np.array_equal(np.roll(before, -s)[4:-4], after[4:-4]))
        moved.add(shift)
    assert {-2, 0, 2} <= moved
    assert np.isin(out[:, places["sector"]], views[:, places["sector"]]).all()


def test_mirrored_or_swapped_and_nothing_else(views):
    out, places = varied(views, mirror=True), view_slices()
    kinds = set()
    for row in range(len(views)):
        odd, even = views[row, places["odd"]], views[row, places["even"]]
        choices = {"same": odd, "mirrored": odd[::-1], "swapped": even, "both": even[::-1]}
        kinds |= {name for name, view in choices.items() if np.array_equal(view, out[row, places["odd"]])}
        sector = views[row, places["sector"]]
        got = out[row, places["sector"]]
        assert np.array_equal(got, sector) or np.array_equal(got, sector[::-1])
    assert kinds == {"same", "mirrored", "swapped", "both"}
