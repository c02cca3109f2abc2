"""What comes with larun, wherever it is installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

DATA_FOLDER = next(
    folder for folder in (_PACKAGE / "_data", _PACKAGE.parent / "data") if folder.is_dir() or folder.name == "data"
)
"""Default bundle and configuration: inside an installed wheel, or beside the package in a checkout."""

CLUSTER_FOLDER = next(
    folder
    for folder in (_PACKAGE / "_data" / "clusters", _PACKAGE.parent / "deployments" / "clusters")
    if folder.is_dir() or folder.parent.name == "deployments"
)
"""Cluster files that come with larun."""
