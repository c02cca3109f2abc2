"""The notebook of the documentation runs from its first cell to its last, on the simulated archive."""

import os
import zipfile
from pathlib import Path

import pytest

from larun.bundles import load_bundle
from larun.objects import Root

NOTEBOOK = Path(__file__).parents[1] / "docs" / "train.ipynb"


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore:.*event loop policy:DeprecationWarning")
def test_the_training_notebook_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    monkeypatch.setenv("NOTEBOOK_ARCHIVE", "simulated")
    monkeypatch.setenv("NOTEBOOK_ROOT", str(tmp_path / "survey"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "the notebook is kept without its outputs"
    client(notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    bundle = load_bundle("notebook", Root(str(tmp_path / "survey")))
    with zipfile.ZipFile(tmp_path / "notebook-bundle.zip") as archive:
        assert set(bundle.files) <= set(archive.namelist())
    said = "".join(o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", []))
    assert f"bundle notebook/{bundle.version}" in said
    assert "held-out views are given the right class" in said
