"""The example notebook, executed by a kernel against a server: every cell runs, and a plot comes out."""

import base64
import struct

import nbclient
import nbformat
import pytest

from server import ROOT

NOTEBOOK = ROOT / "examples/notebook/quickstart.ipynb"
CELL_SECONDS_MAX = 120


@pytest.fixture
def execute(open_server, tmp_path, monkeypatch):
    monkeypatch.setenv("FJORD_URL", open_server.uri)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    # Neither the configuration nor the caches of whoever runs the tests.
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def run():
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        client = nbclient.NotebookClient(
            notebook, timeout=CELL_SECONDS_MAX, resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute()
        return [output for cell in notebook.cells for output in cell.get("outputs", [])]

    return run


def pictures(outputs):
    return [base64.b64decode(o["data"]["image/png"]) for o in outputs if "image/png" in o.get("data", {})]


def test_the_notebook_runs_twice_and_plots(execute):
    for _ in range(2):
        outputs = execute()
        [picture] = pictures(outputs)
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", picture[16:24])
        assert width > 300 and height > 150 and len(picture) > 10_000
        text = "".join(o.get("text", "") for o in outputs)
        assert "4248 rows" in text


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
