"""Settings of larun: `load` reads them, `Settings` holds them, `larun.config.sections` says what there is."""

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
from larun.config.settings import Settings, digest, load
from larun.config.shipped import CLUSTER_FOLDER, DATA_FOLDER

__all__ = [
    "CLUSTER_FOLDER",
    "DATA_FOLDER",
    "ArchiveSettings",
    "AugmentationSettings",
    "CatalogueSettings",
    "DatasetSettings",
    "IngestSettings",
    "ModelSettings",
    "NightlySettings",
    "RunSettings",
    "SearchSettings",
    "Section",
    "Settings",
    "SimulateSettings",
    "SweepSettings",
    "TrainingSettings",
    "VetSettings",
    "digest",
    "load",
]
