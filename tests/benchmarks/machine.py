"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path


def machine() -> dict:
    """Processor, cores, Python and system; says nothing that names a host."""
    model = platform.processor()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def versions(*names: str) -> dict[str, str]:
    """Versions of installed packages."""
    return {name: version(name) for name in names}
