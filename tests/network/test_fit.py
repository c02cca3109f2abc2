"""Training end to end on views that a network can learn in a few steps."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from larun.bundles import FLOAT_FILE, H5_FILE, INT8_FILE, KERAS_FILE, load_bundle, save_bundle
from larun.config import Settings
from larun.errors import ConfigurationError, InputError
from larun.network import fit as fitting
from larun.network.card import model_card
from larun.network.evaluate import fit_calibration
from larun.network.infer import Interpreter
from larun.network.labelled import SPLIT_FILE, TEST, TRAIN, VALIDATION, labelled, read_split
from larun.network.logbook import LOG_FILE
from larun.network.recipe import load_teachers
from larun.network.run import Run
from larun.objects import Root

pytestmark = pytest.mark.usefixtures("few_draws")

KILL_DRIVER = Path(__file__).with_name("kill_driver.py")


def changed(settings, **sections):
    """Settings with some values of some sections replaced."""
    replaced = {name: getattr(settings, name).model_copy(update=values) for name, values in sections.items()}
    return settings.model_copy(update=replaced)


def test_a_bundle_scores_on_stars_it_was_not_trained_on(bundle, data):
    manifest = bundle.manifest
    assert manifest["metrics"]["all"]["accuracy"]["value"] > 0.9
    assert set(manifest["metrics"]) == {"all", "real", "hybrid"}
    views = manifest["data"]["views"]
    assert sum(sum(c.values()) for side in views.values() for c in side.values()) == len(data)
    assert sum(manifest["data"]["stars"].values()) == len(np.unique(data.star))
    assert manifest["training"]["epochs_run"] == 10
    assert manifest["data"]["digest"] == data.digest
    assert manifest["float_vs_int8"]["agreement"] > 0.95


def test_a_refit_learns_from_the_validation_stars_too(bundle, data, small_settings, monkeypatch):
    learnt, exported, told, train = [], [], [], Run.train

    def noting(self, views, validation, after, stage="", epochs=None):
        learnt.append((stage, set(views.star), validation is None, epochs))
        return train(self, views, validation, after, stage, epochs)

    def export(network, seen, seed):
        exported.append((network, set(seen.star)))
        return bundle.files if len(exported) == 1 else {INT8_FILE: b"the second"}

    monkeypatch.setattr(Run, "train", noting)
    monkeypatch.setattr(fitting, "_exported", export)
    settings = changed(small_settings, training={"refit": True, "epochs": 2})
    parts, run = fitting.split(settings, data), Run(settings)
    state, files, calibration = fitting.trained(run, parts, told.append)
    known, validation = set(parts[TRAIN].star), parts[VALIDATION]
    everything = known | set(validation.star)
    assert learnt == [("network", known, False, None), ("refit", everything, True, state.best_epoch)]
    (first, of_first), (second, of_second) = exported
    assert (of_first, of_second) == (known, everything)
    assert files == {INT8_FILE: b"the second"}
    assert second is run.network is not first
    assert calibration == fit_calibration(Interpreter(bundle.int8_model).logits(validation.views), validation.label)
    assert told == [1, 2, 2, *range(3, 3 + state.best_epoch), 4]


def test_the_card_says_that_a_network_was_trained_again(bundle):
    manifest = bundle.manifest
    training = manifest["settings"]["training"] | {"refit": True}
    again = manifest | {"settings": manifest["settings"] | {"training": training}}
    best = manifest["training"]["best_epoch"]
    assert f"was trained for {best} epochs on the stars of training and validation together" in model_card(again)
    assert "validation together" not in model_card(manifest)


def test_the_card_shows_the_plots_and_every_collection(bundle):
    card = bundle.files["model_card.md"].decode()
    plots = [name for name in bundle.files if name.startswith("plots/")]
    assert len(plots) == 4
    assert all(f"({name})" in card for name in plots)
    rows = bundle.manifest["collections"]
    assert sum(row["views"] for row in rows) == bundle.manifest["metrics"]["all"]["views"]
    confusion = np.sum([row["predicted"] for row in rows if row["class"] == "noise"], axis=0)
    assert confusion.tolist() == bundle.manifest["metrics"]["all"]["confusion"][0]
    assert "| real | pretend | planetary_transit |" in card


def test_the_bundle_says_on_which_side_every_star_is(bundle, data, small_settings):
    side = read_split(bundle.files[SPLIT_FILE])
    assert set(side) == set(data.star)
    parts = fitting.split(small_settings, data)
    assert {star for star, name in side.items() if name == TEST} == set(parts[TEST].star)
    assert not {star for star, name in side.items() if name == TRAIN} & set(parts[TEST].star)


def test_a_class_without_views_is_named(data, small_settings):
    with pytest.raises(InputError, match=r"train side .* eclipsing_binary"):
        fitting.fit(small_settings, data.take(data.label != 3), "0001", lambda done: None)


def test_a_killed_training_goes_on_and_ends_as_one_that_was_not_killed(
    bundle, data, small_settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(fitting, "training_views", lambda *_: data)
    settings = small_settings.model_copy(update={"root": str(tmp_path)})
    root = Root(str(tmp_path))
    root.write("models/small/0004/model.keras", b"a writer that was killed")
    killed = subprocess.run([sys.executable, KILL_DRIVER, str(tmp_path)], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(root.list("training")) == 1
    done = []
    assert fitting.train(settings, done.append) == "small/0005"
    assert done == [*range(5, 11), 10], "it should go on after epoch 4, in which the first process died"
    assert not root.list("training")
    again = load_bundle("small", root)
    assert again.version == "0005"
    for name in (KERAS_FILE, H5_FILE, FLOAT_FILE, INT8_FILE):
        assert again.files[name] == bundle.files[name], name
    assert again.manifest["metrics"] == bundle.manifest["metrics"]
    assert again.files[LOG_FILE] == bundle.files[LOG_FILE]
    assert again.manifest["training"] == bundle.manifest["training"]


def test_views_are_prepared_and_counted_and_nothing_is_written(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fitting, "training_views", lambda settings, *_: asked.append(settings) or data)
    counts = fitting.prepare(Settings(root=str(tmp_path)))
    assert len(asked) == 1
    assert sum(sum(classes.values()) for classes in counts.values()) == len(data)
    assert {name: counts[name]["eclipsing_binary"] for name in counts} == {
        name: np.sum((data.source == name) & (data.label == 3)) for name in np.unique(data.source)
    }
    assert not list(tmp_path.rglob("*"))


def test_too_few_views_on_a_side_are_refused(data, small_settings):
    one_star = labelled(
        data.views,
        {"label": data.label, "star": ["one"] * len(data), "source": data.source, "kind": data.kind},
        {},
    )
    with pytest.raises(InputError, match="has fewer than"):
        fitting.fit(small_settings, one_star, "0001", lambda done: None)


def test_training_goes_on_from_the_weights_of_a_bundle(bundle, data, small_settings):
    still = changed(small_settings, training={"epochs": 1, "learning_rate": 1e-12})
    went_on = fitting.fit(still, data, "0002", lambda done: None, start=bundle)
    assert went_on.manifest["started_from"] == {"bundle": "small/0001", "digest": bundle.digest}
    assert went_on.manifest["metrics"]["all"]["accuracy"]["value"] > 0.8  # six classes; batch norms still move
    assert "went on from the weights of small/0001" in went_on.files["model_card.md"].decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training": {"seed": 2}}, r"training\.seed is 2 and was 1"),
        ({"dataset": {"test_fraction": 0.3}}, r"dataset\.test_fraction is 0\.3"),
        (
            {"dataset": {"hold_out": ("TIC 1",)}},
            "TIC 1, which small/0001, from which training is to start, may have been trained on",
        ),
        ({"training": {"teachers": ("small/0001",), "start_from": "", "seed": 3}}, "small/0001, which is to teach"),
        ({"model": {"architecture": "spectral_cnn_plain"}}, r"architecture is spectral_cnn_plain\. Make them the same"),
    ],
)
def test_a_start_that_saw_the_held_out_stars_is_refused(bundle, small_settings, tmp_path, change, said):
    save_bundle(bundle, Root(str(tmp_path)), "models/small/0001")
    settings = changed(small_settings, training={"start_from": "small/0001"}).model_copy(update={"root": str(tmp_path)})
    with pytest.raises(ConfigurationError, match=said):
        fitting.train(changed(settings, **change))


def test_the_bundle_is_written_to_a_folder_too_and_over_nothing_else(data, small_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "training_views", lambda *_: data)
    settings = changed(
        small_settings,
        training={"output": str(tmp_path / "out"), "epochs": 1},
        model={"version": "trial", "architecture": "perceptron"},
    ).model_copy(update={"root": str(tmp_path / "root")})
    assert fitting.train(settings) == "small/trial"
    assert load_bundle(str(tmp_path / "out")) == load_bundle("small/trial", Root(settings.root))
    with pytest.raises(ConfigurationError, match="holds a bundle small/trial"):
        fitting.train(settings)
    with pytest.raises(ConfigurationError, match="something that is no bundle"):
        fitting.train(changed(settings, training={"output": str(tmp_path)}, model={"version": ""}))


@pytest.mark.timeout(600)
def test_settings_are_searched_stars_cross_validated_and_a_teacher_named(data, small_settings, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "training_views", lambda *_: data)
    modes = {"epochs": 2, "tune": 2, "kfold": 3, "pretrain_epochs": 1}
    settings = changed(small_settings, model={"architecture": "perceptron"}, training=modes)
    settings = settings.model_copy(update={"root": str(tmp_path)})
    spec = fitting.train(settings)
    bundle = load_bundle(spec, Root(str(tmp_path)))
    manifest = bundle.manifest
    assert manifest["tuning"]["trials"] == 2
    assert manifest["asked"]["training"]["batch_size"] == 32
    assert manifest["settings"]["training"]["batch_size"] == manifest["tuning"]["best"]["training.batch_size"]
    assert manifest["kfold"]["metrics"]["all"]["stars"] == sum(manifest["kfold"]["stars"])
    assert manifest["kfold"]["metrics"]["all"]["stars"] == len(set(data.star)) - manifest["data"]["stars"]["test"]
    assert manifest["training"]["pretraining"]["on"] == "views"
    card = bundle.files["model_card.md"].decode()
    for said in ("## Cross-validation", "Settings found in 2 trials", "Pre-trained on views"):
        assert said in card
    assert not Root(str(tmp_path)).list("training")

    taught = changed(settings, training={"teachers": (spec,)})
    (teacher,) = load_teachers(taught, Root(str(tmp_path)))
    assert teacher == bundle
    assert f"Taught by {spec}" in model_card(manifest | {"teachers": [{"bundle": spec, "digest": bundle.digest}]})
