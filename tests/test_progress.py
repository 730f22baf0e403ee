"""Progress: a bar in a terminal, and in a notebook one line of text that is written anew."""

import nbclient
import nbformat
import pytest

from asdlib.progress import progress_bar

WORK = """
import sys, time, warnings
from asdlib.progress import progress_bar
with progress_bar() as on_step:
    for k in range(60):
        on_step("read", k + 1, 60); time.sleep(0.005)
    for k in range({count}):
        on_step("train", k + 1, 100); time.sleep(0.005)
        with warnings.catch_warnings(): pass  # as libraries do while they train: forgets which warnings were shown
    {last}
"""
WIDGETS = """
import sys, types
class Output:
    def __init__(self, *_, **__): raise AssertionError("a bar of widgets, which a saved notebook cannot show")
sys.modules["ipywidgets"] = types.SimpleNamespace(Output=Output)
"""


def outputs(*cells):
    """The outputs of the last of some cells, as a saved notebook holds them."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True)
    client.execute()
    return notebook.cells[-1].outputs


@pytest.mark.parametrize("before", ["", WIDGETS], ids=["without ipywidgets", "with ipywidgets"])
def test_in_a_notebook_progress_is_one_line_without_a_warning(before):
    (output,) = outputs(before, WORK.format(count=100, last=""))
    assert output.output_type == "display_data"
    text = output.data["text/plain"]
    assert text.startswith("train ")
    assert "━━ 100/100 0:0" in text
    assert "\n" not in text


def test_work_that_stops_in_a_notebook_shows_where():
    line, error = outputs(WORK.format(count=37, last="raise ValueError('no')"))
    assert " 37/100 " in line.data["text/plain"]
    assert error.ename == "ValueError"


def test_work_without_a_step_shows_nothing_in_a_notebook():
    assert outputs("from asdlib.progress import progress_bar\nwith progress_bar() as on_step: pass") == []


def test_in_a_terminal_it_is_a_bar_on_standard_error(capsys):
    with progress_bar() as on_step:
        for done in range(11):
            on_step("train", done, 10)
    out, err = capsys.readouterr()
    assert out == ""
    assert "train" in err
    assert "10/10" in err


def test_of_several_processes_one_shows_it(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    with progress_bar() as on_step:
        on_step("train", 1, 1)
    assert capsys.readouterr() == ("", "")
