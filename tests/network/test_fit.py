"""Training end to end on views that a network can learn in a few steps."""

import numpy as np
import pytest

from larun.bundles import FLOAT_FILE, H5_FILE, INT8_FILE, KERAS_FILE, load_bundle, save_bundle
from larun.config import Settings
from larun.errors import ConfigurationError, InputError
from larun.network import fit as fitting
from larun.network.labelled import labelled
from larun.objects import Root


def test_a_bundle_scores_on_stars_it_was_not_trained_on(bundle, data):
    manifest = bundle.manifest
    assert manifest["metrics"]["all"]["accuracy"]["value"] > 0.9
    assert set(manifest["metrics"]) == {"all", "real", "hybrid"}
    views = manifest["data"]["views"]
    assert sum(sum(c.values()) for side in views.values() for c in side.values()) == len(data)
    assert sum(manifest["data"]["stars"].values()) == len(np.unique(data.star))
    assert manifest["training"]["epochs_run"] == 4
    assert manifest["data"]["digest"] == data.digest
    assert manifest["float_vs_int8"]["agreement"] > 0.95


def test_a_class_without_views_is_named(data, small_settings):
    with pytest.raises(InputError, match=r"train side .* eclipsing_binary"):
        fitting.fit(small_settings, data.take(data.label != 3), "0001", lambda done: None)


def test_rare_classes_weigh_more_but_not_as_much_as_large_ones_together():
    label = np.array([0] * 64 + [1] * 16 + [2] * 4)
    weights = fitting.class_weights(label)
    assert weights[1] / weights[0] == pytest.approx(2.0)
    assert weights[2] / weights[0] == pytest.approx(4.0)
    assert weights[3] == 0
    assert np.mean(weights[label]) == pytest.approx(1.0)


def test_train_writes_the_next_version_and_two_trainings_with_one_seed_agree(
    bundle, data, small_settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(fitting, "training_views", lambda settings, report: data)
    settings = small_settings.model_copy(update={"root": str(tmp_path)})
    root = Root(str(tmp_path))
    root.write("models/small/0004/model.keras", b"a writer that was killed")
    done = []
    assert fitting.train(settings, done.append) == "small/0005"
    assert done == [1, 2, 3, 4, 4]
    again = load_bundle("small", root)
    assert again.version == "0005"
    for name in (KERAS_FILE, H5_FILE, FLOAT_FILE, INT8_FILE):
        assert again.files[name] == bundle.files[name], name
    assert again.manifest["metrics"] == bundle.manifest["metrics"]


def test_nothing_to_train_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"train\.epochs is 0"):
        fitting.train(Settings(root=str(tmp_path), train={"epochs": 0}))


def test_too_few_views_on_a_side_are_refused(data, small_settings):
    one_star = labelled(
        data.views,
        {"label": data.label, "star": ["one"] * len(data), "source": data.source, "kind": data.kind},
        {},
    )
    with pytest.raises(InputError, match="has fewer than"):
        fitting.fit(small_settings, one_star, "0001", lambda done: None)


def test_training_goes_on_from_the_weights_of_a_bundle(bundle, data, small_settings):
    still = small_settings.model_copy(
        update={"train": small_settings.train.model_copy(update={"epochs": 1, "learning_rate": 1e-12})}
    )
    went_on = fitting.fit(still, data, "0002", lambda done: None, start=bundle)
    assert went_on.manifest["started_from"] == {"bundle": "small/0001", "digest": bundle.digest}
    assert went_on.manifest["metrics"]["all"]["accuracy"]["value"] > 0.8  # six classes; batch norms still move
    assert "went on from the weights of small/0001" in went_on.files["model_card.md"].decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 2}, r"train\.seed is 2 and was 1"),
        ({"test_fraction": 0.3}, r"train\.test_fraction is 0\.3"),
        ({"hold_out": ("TIC 1",)}, "TIC 1, which small/0001 may have been trained on"),
    ],
)
def test_a_start_that_saw_the_held_out_stars_is_refused(bundle, small_settings, tmp_path, change, said):
    save_bundle(bundle, Root(str(tmp_path)), "models/small/0001")
    train = small_settings.train.model_copy(update={"start_from": "small/0001"} | change)
    with pytest.raises(ConfigurationError, match=said):
        fitting.train(small_settings.model_copy(update={"root": str(tmp_path), "train": train}))
