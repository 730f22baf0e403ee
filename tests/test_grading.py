"""``asd-book grade``: honest, wrong, broken, endless and hostile submissions, one and many."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asd_book import grading
from asd_book.grading import Limits, book_folder, grade, points_of
from asd_book.many import grade_all
from asdlib.errors import AsdError

TOP = Path(__file__).parents[1]
LIMITS = Limits(cell=3, whole=60, memory=3000)
TOY = """
from checks import Hint, number

def double(function):
    if number(function(4)) != 8:
        raise Hint("Twice 4 is 8.")

def seven(answer):
    if answer != 7:
        raise Hint("It is <seven> & no other.")
"""
START = "from checks import check"
DOUBLE = 'def double(x):\n    return 2 * x\n\ncheck("toy.double", double)'
SEVEN = 'check("toy.seven", 7)'


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book with one chapter, "toy", and the real book's way of checking."""
    folder = tmp_path_factory.mktemp("top") / "book"
    (folder / "checks").mkdir(parents=True)
    shutil.copy2(TOP / "book" / "checks" / "__init__.py", folder / "checks")
    (folder / "checks" / "toy.py").write_text(TOY)
    return folder


def notebook(path: Path, *sources: str, **about) -> Path:
    """A notebook of these code cells; ``about`` is the metadata of all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"cell_type": "code", "metadata": about, "source": [source], "outputs": []} for source in sources]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def of(sheet):
    return {mark.exercise: mark.points for mark in sheet.marks}


def test_an_honest_submission_gets_what_its_checks_say(book, tmp_path):
    handed_out = notebook(tmp_path / "task.ipynb", START, 'check("toy.double", double)', 'check("toy.seven", answer)')
    sheet = grade(
        notebook(tmp_path / "anna.ipynb", START, DOUBLE, 'check("toy.seven", 8)'), book, assignment=handed_out, limits=LIMITS
    )
    assert of(sheet) == {"toy.double": 1, "toy.seven": 0}
    assert [mark.words for mark in sheet.marks] == ["Right.", "Not yet. It is <seven> & no other."]
    assert (sheet.points, sheet.of, sheet.notes) == (1, 2, [])
    assert "# anna: 1 of 2" in sheet.as_markdown()


def test_what_was_not_answered_gets_nothing_and_the_last_answer_counts(book, tmp_path):
    handed_out = notebook(tmp_path / "task.ipynb", 'check("toy.double", double)', 'check("toy.seven", answer)')
    late = notebook(tmp_path / "late.ipynb", START, 'check("toy.seven", 6)', SEVEN)
    sheet = grade(late, book, assignment=handed_out, limits=LIMITS)
    assert of(sheet) == {"toy.double": 0, "toy.seven": 1}
    assert sheet.marks[0].words == "not answered"


@pytest.mark.parametrize("about", [{"asd": {"points": 3}}, {"nbgrader": {"grade": True, "points": 3}}])
def test_a_cell_says_what_it_is_worth_as_nbgrader_has_it_too(book, tmp_path, about):
    path = notebook(tmp_path / "task.ipynb", f"{START}\n{DOUBLE}", **about)
    assert points_of(path) == {"toy.double": 3}
    assert grade(path, book, limits=LIMITS).points == 3


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("while True:\n    pass", "it was stopped after 3 s"),
        ("import time\ntry:\n    time.sleep(100)\nexcept BaseException:\n    time.sleep(100)", "it was stopped after 3 s"),
        ("import os\nos._exit(0)", "it ended the process, by itself or for want of memory"),
        ("import ctypes\nctypes.string_at(0)", "it ended the process, by itself or for want of memory"),
        ("x = bytearray(10**10)", "MemoryError: "),
        ("def f(:", "SyntaxError: "),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("print('x' * 10**8)", None),
    ],
    ids=["endless", "deaf", "exits", "crashes", "memory", "syntax", "quits", "talks"],
)
def test_a_bad_cell_costs_its_own_marks_and_no_others(book, tmp_path, bad, told):
    sheet = grade(notebook(tmp_path / "bad.ipynb", START, DOUBLE, bad, SEVEN), book, limits=LIMITS)
    assert of(sheet) == {"toy.double": 1, "toy.seven": 1}
    assert [note for note in sheet.notes if note.startswith(f"cell 2: {told}")] == [
        note for note in sheet.notes if "have a look" not in note
    ]
    assert bool(told) == any(note.startswith("cell 2: ") for note in sheet.notes)


def test_several_bad_cells_cost_theirs_and_the_time_for_all_is_kept(book, tmp_path):
    endless = 'while True:\n    pass\ncheck("toy.double", None)'
    path = notebook(tmp_path / "bad.ipynb", START, endless, "import os; os._exit(1)", SEVEN)
    assert of(grade(path, book, limits=LIMITS)) == {"toy.double": 0, "toy.seven": 1}
    over = grade(path, book, limits=Limits(cell=3, whole=2, memory=3000))
    assert over.points == 0
    assert "the 2 s for the whole notebook were over" in over.notes


@pytest.mark.skipif(not grading.apart(), reason="unshare is not allowed here")
def test_a_submission_does_not_see_the_grader_and_leaves_nothing_behind(book, tmp_path):
    kills = (
        "import os, signal\n[os.kill(int(p), 9) for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]"
    )
    asks = "import socket\nsocket.create_connection(('127.0.0.1', 1), timeout=1)"
    stays = "import subprocess\nsubprocess.Popen(['sleep', '98765'], start_new_session=True)"
    sheet = grade(notebook(tmp_path / "hostile.ipynb", START, kills, asks, stays, SEVEN), book, limits=LIMITS)
    assert of(sheet) == {"toy.seven": 1}
    assert any(note.startswith("cell 2: OSError") for note in sheet.notes)
    assert sum("have a look" in note for note in sheet.notes) == 3
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 98765" not in running


def test_a_folder_becomes_one_table_and_is_taken_up_where_it_was_left(book, tmp_path, monkeypatch):
    handed_in, out = tmp_path / "in", tmp_path / "out"
    task = notebook(tmp_path / "task.ipynb", START, DOUBLE, SEVEN)
    notebook(handed_in / "anna" / "task.ipynb", START, DOUBLE, SEVEN)
    notebook(handed_in / "ben" / "task.ipynb", START, SEVEN)
    (handed_in / "carl.ipynb").write_text("{")
    told: list[str] = []

    def mark():
        return grade_all(handed_in, book, out, assignment=task, limits=LIMITS, tell=told.append)

    out.mkdir()
    table = mark()
    rows = list(csv.DictReader(table.open()))
    assert [(r["name"], r["points"], r["of"], r["toy.double"]) for r in rows] == [
        ("anna/task", "2", "2", "1"),
        ("ben/task", "1", "2", "0"),
        ("carl", "0", "2", "0"),
    ]
    assert "cannot be read as a notebook" in rows[2]["notes"]
    assert told[-1] == "3 of 3: carl: 0 of 2"
    first = table.read_text()
    with monkeypatch.context() as patch:
        patch.setattr("asd_book.many.grade", lambda *_, **__: pytest.fail("marked again"))
        assert mark().read_text() == first
    notebook(handed_in / "ben" / "task.ipynb", START, DOUBLE, SEVEN)
    assert "ben/task,2,2" in mark().read_text()


def test_the_real_books_solutions_pass(tmp_path):
    cells = json.loads((TOP / "book" / "judging.ipynb").read_text())["cells"]
    solved = ["".join(c["source"]) for c in cells if "solution" in c["metadata"].get("tags", []) and c["cell_type"] == "code"]
    path = notebook(tmp_path / "solved.ipynb", "import numpy as np\nfrom checks import check", *solved[:2])
    book, limits = book_folder(TOP), Limits(cell=60, whole=300)
    sheet = grade(path, book, assignment=TOP / "book" / "judging.ipynb", limits=limits)
    assert of(sheet) == {"judging.pairs": 1, "judging.threshold": 1}
    untouched = grade(TOP / "book" / "listen.ipynb", book, limits=Limits(cell=60, whole=3))
    assert untouched.points == 0


def test_where_nothing_can_be_run_nobody_gets_no_marks(book, tmp_path, monkeypatch):
    path = notebook(tmp_path / "in" / "anna.ipynb", START, SEVEN)
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    with pytest.raises(AsdError, match="no notebook can be run here"):
        grade(path, book, limits=LIMITS)
    with pytest.raises(AsdError, match="no notebook can be run here"):
        grade_all(tmp_path / "in", book, tmp_path / "out", limits=LIMITS)


def test_bad_input_is_one_sentence_and_exit_code_2(book, tmp_path):
    command = [sys.executable, "-c", "from asd_book.cli import main; main()", "grade"]

    def asd_book(*words):
        done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stderr

    none = notebook(tmp_path / "none.ipynb", "x = 1")
    assert asd_book(none, "--book", book) == (
        2,
        f'asd-book: {none} has no exercise, which is a cell that calls check("chapter.name", ...)\n',
    )
    (tmp_path / "empty").mkdir()
    code, error = asd_book(tmp_path / "empty", "--book", book)
    assert (code, error.count("\n")) == (2, 1)
    assert "there is no notebook in" in error
    code, error = asd_book(none)
    assert code == 2
    assert "no folder with the book's checks" in error
    with pytest.raises(AsdError, match="cannot be read as a notebook"):
        grade(tmp_path / "missing.ipynb", book)
