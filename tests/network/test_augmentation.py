"""Augmentation and mixup: reproducibility, and what each variation changes."""

import keras
import numpy as np
import pytest

from larun.config import AugmentationSettings
from larun.network.augmentation import Augmentation, Mixup
from larun.views import view_slices

STILL = AugmentationSettings(noise=0, measured_noise=0, shift=0, scale=(1, 1), depth=(1, 1), dropout=0, mirror=False)


def varied(views, seed=1, **changes):
    layer = Augmentation(STILL.model_copy(update=changes), seed)
    return keras.ops.convert_to_numpy(layer(views, training=True))


@pytest.fixture
def views():
    return np.random.default_rng(0).uniform(-0.8, 0.8, (200, 1024)).astype(np.float32)


def test_nothing_happens_out_of_training(views):
    assert np.array_equal(keras.ops.convert_to_numpy(Augmentation(AugmentationSettings(), 1)(views)), views)


def test_nothing_happens_without_variations(views):
    assert np.array_equal(varied(views), views)


def test_a_seed_repeats_itself(views):
    full = dict(AugmentationSettings())
    assert np.array_equal(varied(views, 5, **full), varied(views, 5, **full))
    assert not np.array_equal(varied(views, 5, **full), varied(views, 6, **full))


def test_noise_has_the_asked_size(views):
    series, numbers = slice(0, view_slices()["measured"].start), view_slices()["measured"]
    added = varied(views, noise=0.01, measured_noise=0.03) - views
    assert added[:, series].std() == pytest.approx(0.01, rel=0.02)
    assert added[:, numbers].std() == pytest.approx(0.03, rel=0.03)


def test_dropout_zeroes_the_asked_share(views):
    series = slice(0, view_slices()["measured"].start)
    assert np.mean(varied(views, dropout=0.05)[:, series] == 0) == pytest.approx(0.05, abs=0.003)


def test_measured_quantities_get_noise_alone(views):
    numbers = view_slices()["measured"]
    out = varied(views, shift=0.1, scale=(0.9, 1.1), depth=(0.8, 1.2), dropout=0.05, mirror=True)
    assert np.array_equal(out[:, numbers], views[:, numbers])


def test_depth_scales_only_views_in_units_of_the_depth(views):
    out, places = varied(views, depth=(0.8, 1.2)), view_slices()
    for name in ("depth", "sector"):
        assert np.array_equal(out[:, places[name]], views[:, places[name]])
    ratio = out[:, places["odd"]] / views[:, places["odd"]]
    assert ratio.std(axis=1) == pytest.approx(0.0, abs=1e-3)
    factors = ratio.mean(axis=1)
    assert 0.7999 < factors.min() < 0.85
    assert 1.15 < factors.max() < 1.2001


def test_scale_changes_every_sample_of_a_view_alike(views):
    factors = (varied(views, scale=(0.9, 1.1)) / views)[:, : view_slices()["measured"].start]
    assert factors.std(axis=1) == pytest.approx(0.0, abs=1e-5)
    assert factors.min() >= 0.8999
    assert factors.max() <= 1.1001
    assert np.ptp(factors) > 0.15


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


def mixed(views, targets, seed=1, alpha=0.2):
    return [keras.ops.convert_to_numpy(part) for part in Mixup(alpha, seed)(views, targets, training=True)]


def test_mixup_mixes_views_and_targets_in_the_same_shares(views):
    targets = np.eye(len(views), dtype=np.float32)
    out, shares = mixed(views, targets)
    assert shares.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert (np.count_nonzero(shares, axis=1) <= 2).all()
    assert out == pytest.approx(shares @ views, abs=1e-5)
    # Each view is the partner of exactly one other: the columns hold one whole view each.
    own = np.diag(shares)
    assert (shares.sum(axis=0) - own).max() <= 1.0


def test_mixup_draws_from_the_beta_distribution(views):
    targets = np.eye(len(views), dtype=np.float32)
    own = np.concatenate([np.diag(mixed(views, targets, seed)[1]) for seed in range(20)])
    # Beta(0.2, 0.2): mean 1/2, variance 1 / (4 (2 alpha + 1)).
    assert own.mean() == pytest.approx(0.5, abs=0.03)
    assert own.var() == pytest.approx(1 / (4 * 1.4), abs=0.02)


def test_mixup_repeats_itself_and_rests_outside_of_training(views):
    targets = np.eye(6, dtype=np.float32)[np.arange(len(views)) % 6]
    first, again, other = mixed(views, targets, 5), mixed(views, targets, 5), mixed(views, targets, 6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    still = [keras.ops.convert_to_numpy(part) for part in Mixup(0.2, 5)(views, targets)]
    assert np.array_equal(still[0], views)
    assert np.array_equal(still[1], targets)
