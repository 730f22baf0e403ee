"""Kernels that are forks of one warm process: they are as others are, and end as others do."""

import os
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

TOP = Path(__file__).parents[2]
sys.path[:0] = [str(TOP / "book" / "_ext")]

import warm  # noqa: E402


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """What the cells of a notebook print, run by ``execute(cells, variable="x")`` in a folder of its own."""

    def call(*cells, **options):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}, **options)
        client.execute()
        return ["".join(out.get("text", "") + " ".join(out.get("data", ())) for out in cell.outputs) for cell in notebook.cells]

    with warm.warm_kernels({**os.environ, "A_VARIABLE": "set"}) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield call


ABOUT = """
import os, sys
print(os.getppid(), os.getpid(), os.getcwd(), os.environ["A_VARIABLE"], "torch" in sys.modules, __name__)
"""


def test_kernels_have_one_parent_and_a_folder_names_and_variables_of_their_own(execute, tmp_path, monkeypatch):
    monkeypatch.setenv("A_VARIABLE", "another")
    (one,), (other, left) = execute(ABOUT), execute(ABOUT + "\nx = 1", "print(x)")
    (parent, pid, *rest), (same_parent, other_pid, *other_rest) = one.split(), other.split()
    assert (parent, left) == (same_parent, "1\n")
    assert len({parent, pid, other_pid, str(os.getpid())}) == 4
    assert rest[:4] == other_rest[:4] == [str(tmp_path), "another", "True", "__main__"]


def test_figures_are_shown(execute):
    (shown,) = execute("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert "image/png" in shown


def ended(pid):
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.1)
    return False


def test_an_error_is_an_error_and_nothing_is_left_behind(execute, tmp_path):
    (said,) = execute(ABOUT)
    assert ended(said.split()[1])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute("1 / 0")
    with pytest.raises(CellTimeoutError):
        execute("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)", timeout=2)
    assert ended((tmp_path / "pid").read_text())
