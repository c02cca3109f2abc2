"""Rules of the layout, held by tests: layers, quick start of the command line, no print outside it."""

import ast
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
HEAVY = ("numba", "tensorflow", "keras", "lightkurve", "astropy", "prefect", "dask", "distributed", "matplotlib")
HELP_LIMIT_S = 1.0


def script(name: str) -> str:
    """Console script of the environment that runs the tests."""
    return str(Path(sys.executable).with_name(name))


def test_layers_hold():
    ended = subprocess.run(
        [script("lint-imports"), "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"Contracts: \d+ kept, 0 broken", ended.stdout)


def sources() -> list[Path]:
    return sorted(path for package in ("larun", "flows", "tasks") for path in (PROJECT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_nothing_prints_but_the_command_line(path):
    if path.is_relative_to(PROJECT / "larun" / "cli"):
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [node.lineno for node in calls if getattr(node.func, "id", None) == "print"]


def test_help_answers_at_once():
    """Seconds of the processor, which are those of the clock on a machine that does nothing else."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([script("larun"), "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    taken = []
    while len(taken) < 3 or (min(taken) >= HELP_LIMIT_S and len(taken) < 6):
        taken.append(seconds())
    assert min(taken) < HELP_LIMIT_S


def test_the_command_line_loads_nothing_heavy():
    code = "import json, sys, larun.cli; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(json.loads(ended.stdout)) & {*HEAVY, "numpy", "pyarrow", "pydantic"}


def test_files_of_tests_have_names_of_their_own():
    """pytest imports them by their bare names: of two with the same one only the first can be collected."""
    names = [path.name for path in (PROJECT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
