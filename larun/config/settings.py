"""All settings as one frozen model, read from TOML or YAML and ``LARUN_*`` environment variables.

Precedence, highest first: arguments of `load`, environment (``LARUN_SEARCH__WINDOW_D=1.2``), the file,
the defaults. Unknown keys are refused with the nearest known name.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from larun.config.sections import (
    ArchiveSettings,
    AugmentationSettings,
    CatalogueSettings,
    DatasetSettings,
    IngestSettings,
    ModelSettings,
    NightlySettings,
    RunSettings,
    SearchSettings,
    Section,
    SimulateSettings,
    SweepSettings,
    TrainingSettings,
    VetSettings,
)
from larun.errors import ConfigurationError

ENVIRONMENT_PREFIX = "LARUN_"
_NOT_SETTINGS = {"LARUN_CONFIG"}
"""Variables with the prefix that are not settings: the file to read."""


class Settings(BaseSettings):
    """All settings of larun."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__"
    )

    root: str = Field("survey", description="survey root: a local folder or s3://bucket/prefix")
    storage_options: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description="fsspec options of the root, e.g. endpoint_url; never recorded",
    )
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    archives: ArchiveSettings = Field(default_factory=ArchiveSettings)
    catalogues: CatalogueSettings = Field(default_factory=CatalogueSettings)
    nightly: NightlySettings = Field(default_factory=NightlySettings)
    simulate: SimulateSettings = Field(default_factory=SimulateSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    vet: VetSettings = Field(default_factory=VetSettings)
    sweep: SweepSettings = Field(default_factory=SweepSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    dataset: DatasetSettings = Field(default_factory=DatasetSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    augmentation: AugmentationSettings = Field(default_factory=AugmentationSettings)
    run: RunSettings = Field(default_factory=RunSettings)


def digest(*sections: BaseModel) -> str:
    """Hexadecimal SHA-256 over the values of the given sections, 64 characters."""
    values = [section.model_dump(mode="json") for section in sections]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def load(path: str | Path | None = None, **overrides: Any) -> Settings:
    """Read the settings.

    Parameters
    ----------
    path : path, optional
        TOML file, or YAML where its name ends in .yaml or .yml; by default the one that ``LARUN_CONFIG`` names,
        else none.
    **overrides
        Values that win over file and environment; nested sections as dictionaries.

    Returns
    -------
    Settings
        Frozen.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or a key or value is wrong; names the key and the nearest known one.
    """
    path = path or os.environ.get("LARUN_CONFIG")
    values = _read_file(Path(path)) if path else {}
    _refuse_unknown_variables()
    values = _merge(values, _environment(), overrides)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, str(path) if path else "settings")) from error
    except SettingsError as error:
        raise ConfigurationError(f"environment: {error}; lists and tables are written as JSON") from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not text in UTF-8: {error}") from error
    if path.suffix in {".yaml", ".yml"}:
        return _parse_yaml(path, text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error


def _parse_yaml(path: Path, text: str) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values or {}, dict):
        raise ConfigurationError(f"{path} should hold sections of settings, it holds a {type(values).__name__}")
    return values or {}


def _environment() -> dict[str, Any]:
    """Values of the environment as nested dictionaries; the model converts the text."""
    values: dict[str, Any] = {}
    for name, text in os.environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _NOT_SETTINGS:
            continue
        *sections, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = _json_or_text(name, text)
    return values


def _json_or_text(name: str, text: str) -> Any:
    """Value of a variable; lists and tables are JSON, what else there is the model converts."""
    try:
        return json.loads(text) if text.lstrip().startswith(("[", "{")) else text
    except ValueError as error:
        raise ConfigurationError(f"the environment variable {name} should be JSON and is not: {error}") from error


def _refuse_unknown_variables() -> None:
    known = {f"{ENVIRONMENT_PREFIX}{key.upper()}" for key in known_keys("__")} | _NOT_SETTINGS
    for name in os.environ:
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            raise ConfigurationError(f"the environment variable {name} is no setting{_nearest(name, known)}")


def known_keys(separator: str = ".") -> list[str]:
    """Names of all settings, such as ``search.window_d``."""
    keys: list[str] = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys += [f"{name}{separator}{key}" for key in section.model_fields]
        else:
            keys.append(name)
    return keys


def _merge(*layers: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = _merge(merged[key], value)
            else:
                merged[key] = value
    return merged


def _nearest(name: str, known) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _explain(error: ValidationError, source: str) -> str:
    lines = []
    known = known_keys() + list(Settings.model_fields)
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"{key} is no setting{_nearest(key, known)}")
        else:
            shown = "" if key.startswith("storage_options") else f", got {item['input']!r}"
            lines.append(f"{key}: {item['msg']}{shown}")
    return f"{source}: " + "; ".join(lines)
