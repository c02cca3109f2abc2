"""Settings from defaults, TOML, environment and arguments."""

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from larun import config
from larun.config import IngestSettings, SearchSettings, Settings, load
from larun.config.listing import default_toml
from larun.config.settings import ENVIRONMENT_PREFIX, known_keys
from larun.errors import ConfigurationError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.delenv(name)


def write(tmp_path, text):
    path = tmp_path / "larun.toml"
    path.write_text(text)
    return path


def test_defaults():
    settings = load()
    assert settings.root == "survey"
    assert settings.ingest.shard_targets == 256
    assert settings.ingest.chunk_targets == 16


def test_arguments_go_before_environment_before_file(tmp_path, monkeypatch):
    path = write(tmp_path, 'root = "file"\n[ingest]\nshard_targets = 1\nchunk_targets = 1\nfetch_threads = 1\n')
    monkeypatch.setenv("LARUN_INGEST__SHARD_TARGETS", "2")
    monkeypatch.setenv("LARUN_INGEST__CHUNK_TARGETS", "2")
    settings = load(path, ingest={"shard_targets": 3})
    assert settings.root == "file"
    assert settings.ingest.shard_targets == 3
    assert settings.ingest.chunk_targets == 2
    assert settings.ingest.fetch_threads == 1


def test_file_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LARUN_CONFIG", str(write(tmp_path, 'root = "elsewhere"\n')))
    assert load().root == "elsewhere"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[serch]\nwindow_d = 1.0\n", r"serch is no setting; did you mean search\?"),
        ("[search]\nwindow = 1.0\n", r"search\.window is no setting; did you mean search\.window_d\?"),
        ("[search]\nwindow_d = -1.0\n", r"search\.window_d: .*greater than 0.*got -1"),
        ("[search]\nquality_mask = 2147483648\n", r"search\.quality_mask: .*less than 2147483648"),
        ("[ingest]\nshard_targets = 'many'\n", r"ingest\.shard_targets: .*integer.*'many'"),
        ("[search\n", "is not valid TOML"),
    ],
)
def test_wrong_files_are_explained(tmp_path, text, word):
    with pytest.raises(ConfigurationError, match=word):
        load(write(tmp_path, text))


def test_unreadable_files_are_explained(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read the configuration"):
        load(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"root = '\xe9'")
    with pytest.raises(ConfigurationError, match="not text in UTF-8"):
        load(tmp_path / "latin.toml")


def test_unknown_variables_are_refused(monkeypatch):
    monkeypatch.setenv("LARUN_SEARCH__WINDOWD", "1")
    with pytest.raises(ConfigurationError, match="LARUN_SEARCH__WINDOWD is no setting; did you mean LARUN_SEARCH__WIN"):
        load()


def test_access_options_come_from_the_environment_and_are_not_shown(monkeypatch):
    monkeypatch.setenv("LARUN_STORAGE_OPTIONS", '{"secret": "hidden"}')
    settings = load()
    assert settings.storage_options == {"secret": "hidden"}
    assert "hidden" not in repr(settings)


def test_wrong_access_options_are_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv("LARUN_STORAGE_OPTIONS", "hidden")
    with pytest.raises(ConfigurationError, match=r"storage_options.*JSON") as caught:
        load()
    assert "hidden" not in str(caught.value)
    monkeypatch.delenv("LARUN_STORAGE_OPTIONS")
    with pytest.raises(ConfigurationError, match=r"storage_options: .*dictionary") as caught:
        load(storage_options="hidden")
    assert "hidden" not in str(caught.value)


def test_lists_in_the_environment_are_json(monkeypatch):
    monkeypatch.setenv("LARUN_DATASET__HOLD_OUT", '["TIC 1", "TIC 2"]')
    assert load().dataset.hold_out == ("TIC 1", "TIC 2")
    monkeypatch.setenv("LARUN_DATASET__HOLD_OUT", "[TIC 1")
    with pytest.raises(ConfigurationError, match="LARUN_DATASET__HOLD_OUT should be JSON"):
        load()


def test_default_file_is_the_checked_in_one_and_says_the_defaults(tmp_path):
    checked_in = Path(__file__).parents[1] / "data" / "larun.toml"
    assert checked_in.read_text(encoding="utf-8") == default_toml(), "run `make schema`"
    assert load(checked_in) == load()


GUIDE = """
model: {name: exo, version: "1.0", input_size: 1024, num_classes: 6}
training: {epochs: 50, batch_size: 32, learning_rate: 0.001, early_stopping: true, patience: 10}
augmentation: {noise: 0.01, shift: 0.1, scale: [0.9, 1.1], dropout: 0.05, depth: [0.8, 1.2], mixup: 0.2}
"""


def test_the_guides_training_file_is_read_as_yaml_and_as_toml(tmp_path):
    (tmp_path / "guide.yaml").write_text(GUIDE)
    settings = load(tmp_path / "guide.yaml")
    assert (settings.model.name, settings.model.version) == ("exo", "1.0")
    assert (settings.training.epochs, settings.training.patience) == (50, 10)
    assert settings.augmentation.depth == (0.8, 1.2)
    sections = {name: getattr(settings, name).model_dump(mode="json") for name in ("model", "training", "augmentation")}
    lines = [
        line
        for name, values in sections.items()
        for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()))
    ]
    (tmp_path / "guide.toml").write_text("\n".join(lines))
    assert load(tmp_path / "guide.toml") == settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: [", "not valid YAML"),
        ("- 1", "holds a list"),
        ("training: {epoch: 3}", r"training\.epoch is no setting; did you mean training\.epochs"),
        ("model: {input_size: 2048}", r"model\.input_size: .*1024"),
        ("augmentation: {scale: [1.1, 1.2]}", "lower end of 0 to 1"),
        ("model: {name: ../up}", r"model\.name"),
    ],
)
def test_what_is_wrong_in_a_yaml_file_is_named(tmp_path, text, said):
    (tmp_path / "settings.yml").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        load(tmp_path / "settings.yml")


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        load().ingest.shard_targets = 1


def test_every_setting_is_described():
    for name in known_keys():
        section, _, key = name.partition(".")
        fields = config.Settings.model_fields
        field = fields[section].annotation.model_fields[key] if key else fields[section]
        assert field.description, name


def test_digest_follows_the_values():
    assert config.digest(SearchSettings()) == config.digest(SearchSettings())
    assert config.digest(SearchSettings()) != config.digest(SearchSettings(window_d=1.1))
    assert config.digest(SearchSettings(), IngestSettings()) != config.digest(SearchSettings())
    assert len(config.digest(SearchSettings())) == 64


def test_a_refit_needs_a_schedule_that_asks_for_no_validation():
    assert Settings(training={"refit": True, "epochs": 7}).training.epochs_in_all == 14
    assert Settings(training={"epochs": 7}).training.epochs_in_all == 7
    with pytest.raises(ConfigurationError, match="plateau; choose the schedule cosine or constant"):
        load(None, training={"refit": True, "schedule": "plateau"})
