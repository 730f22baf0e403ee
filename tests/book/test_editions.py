"""What stays of a chapter in each edition, what its exercises proved, and its slides."""

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "book" / "_ext"))

import overview
from build import methods_reference
from editions import exercises, for_edition, toc_for_edition, unproven
from slides import slides

from asdlib import methods


def cell(kind, source, *tags, html=None, png=None, **metadata):
    made = {"cell_type": kind, "source": source.splitlines(keepends=True), "metadata": {"tags": list(tags), **metadata}}
    if kind == "code":
        made["outputs"] = [{"data": {"text/html": html}}] if html else [{"data": {"image/png": png}}] if png else []
    return made


def verdict(name, passed):
    return f'<div data-exercise="{name}" data-passed="{str(passed).lower()}">words</div>'


ABOUT = {"figure": {"caption": "A *fan*, see {cite:p}`x`"}, "image": {"alt": 'alt "quoted"'}}
NOTEBOOK = {
    "cells": [
        cell("markdown", "# Fans & co"),
        cell("markdown", "**After this chapter you can** hear a fan.\n\n**You need** ears."),
        cell("code", "plot()", "slide", png="AAAA", mystnb=ABOUT),
        cell("code", "def f(): ...", "starter", html=verdict("fans.f", False)),
        cell("markdown", "```{solution-start} exercise-f\n:class: dropdown\n```", "solution"),
        cell("code", "def f(): return 42", "solution", html=verdict("fans.f", True)),
        cell("markdown", "```{solution-end}\n```", "solution"),
        cell("markdown", "five minutes", "teacher"),
        cell("code", 'ask("fans.q")', html="<form></form>"),
    ]
}


def texts(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"]]


def test_the_student_gets_no_solution_and_no_teachers_note():
    student = "\n".join(texts(for_edition(NOTEBOOK, "student")))
    assert "42" not in student
    assert "solution" not in student
    assert "five minutes" not in student
    assert "def f(): ..." in student


def test_the_reader_gets_folded_solutions_and_the_teacher_open_ones():
    reader, teacher = ("\n".join(texts(for_edition(NOTEBOOK, edition))) for edition in ("reader", "teacher"))
    assert "return 42" in reader
    assert "return 42" in teacher
    assert ":class: dropdown" in reader
    assert ":class: dropdown" not in teacher
    assert "five minutes" not in reader
    assert "five minutes" in teacher


def test_the_notebook_itself_is_left_as_it_is():
    before = texts(NOTEBOOK)
    for edition in ("reader", "student", "teacher"):
        for_edition(NOTEBOOK, edition)
    assert texts(NOTEBOOK) == before
    assert all("remove-input" not in c["metadata"]["tags"] for c in NOTEBOOK["cells"])


def test_of_a_question_the_page_shows_the_form_only():
    assert "remove-input" in for_edition(NOTEBOOK, "reader")["cells"][-1]["metadata"]["tags"]


def test_the_teachers_page_is_in_the_teachers_contents_only():
    toc = {"root": "book/intro", "parts": [{"chapters": [{"file": "book/listen"}, {"file": "book/teacher"}]}]}
    rows = {edition: toc_for_edition(toc, edition)["parts"][0]["chapters"] for edition in ("reader", "student", "teacher")}
    assert rows["reader"] == rows["student"] == [{"file": "book/listen"}]
    assert {"file": "book/teacher"} in rows["teacher"]


def test_an_exercise_is_proved_by_a_failing_starter_and_a_passing_solution():
    assert exercises(NOTEBOOK) == {"fans.f": {"starter failed", "solution passed"}}
    assert unproven(NOTEBOOK) == []


@pytest.mark.parametrize(("index", "passed"), [(3, True), (5, False)])
def test_a_passing_starter_or_a_failing_solution_is_told(index, passed):
    cells = [dict(c) for c in NOTEBOOK["cells"]]
    cells[index]["outputs"] = [{"data": {"text/html": verdict("fans.f", passed)}}]
    assert unproven({"cells": cells}) == ["fans.f"]


@pytest.mark.parametrize("index", [3, 5])
def test_an_exercise_without_a_starter_or_a_solution_is_told(index):
    cells = [c for i, c in enumerate(NOTEBOOK["cells"]) if i != index]
    assert unproven({"cells": cells}) == ["fans.f"]


def test_slides_show_title_goal_and_the_tagged_figures():
    page = slides(NOTEBOOK, "The book")
    assert page.count("<section>") == 2
    assert "Fans &amp; co" in page
    assert "hear a fan." in page
    assert "ears" not in page
    assert 'alt="alt &quot;quoted&quot;" src="data:image/png;base64,AAAA"' in page
    assert "A fan, see" in page
    assert "{cite" not in page


def made(kind, source, tags=(), outputs=()):
    return {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}, "outputs": list(outputs)}


def test_slides_come_with_what_to_say():
    """The prose before and after the cell in the chapter, with the chapter's numbers, and nothing that is not prose."""
    number = {"metadata": {"scrapbook": {"name": "the gain"}}, "data": {"application/papermill.record/text/plain": "5.46"}}
    cells = [
        made("markdown", "# Fans"),
        made(
            "markdown",
            "## Ask\n\nA first thing.\n\nHow much is\n$\\cos\\theta$ in [](other)?\n\n```python\nno = 1\n```\n\n* no",
        ),
        made("code", "plot()", ["slide"], [{"data": {"image/png": "AAAA"}}, {"data": {"text/html": "<table></table>"}}]),
        made("code", "glue()", ["remove-cell"], [number]),
        made("markdown", "not to be told", ["teacher"]),
        made(
            "markdown", "It is {glue:text}`the\ngain:.1f` points ([](elsewhere)), as was said {cite:p}`x2020`.\n\nA last thing."
        ),
    ]
    page = slides({"cells": cells}, "The book", {"other": "Fans & co"})
    first, picture, table = page.split("<section>")[1:]
    note = '<div class="told" role="note" aria-label="What to say">'
    assert note not in first + picture
    said = re.search(f"{note}(.*)</div></section>", table)[1]
    assert said == "<p>How much is cosθ in “Fans &amp; co”?</p><p>It is 5.5 points, as was said.</p>"


def test_the_overview_takes_two_minutes_at_the_pace_of_a_lecture():
    assert sum(seconds for seconds, *_ in overview.DECK) == 120
    for seconds, heading, shown, told in overview.DECK:
        assert 100 < 60 * len(told.split()) / seconds < 180, heading  # words a minute
        if isinstance(shown, tuple):
            notebook = json.loads((Path(__file__).parents[2] / "book" / f"{shown[0]}.ipynb").read_text())
            assert overview.cell_of(notebook, *shown)["metadata"]["mystnb"]["figure"]["name"] == shown[1]
    with pytest.raises(LookupError, match=r"^fans\.ipynb has no figure named fig-none: overview\.py shows it$"):
        overview.cell_of(NOTEBOOK, "fans", "fig-none")


def test_a_method_is_in_the_reference_with_its_file_and_nothing_else(tmp_path, monkeypatch):
    before = methods_reference()
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    source = (Path(__file__).parents[2] / "asdlib" / "methods" / "autoencoder.py").read_text()
    (tmp_path / "a_rival.py").write_text(f"{source}\n\nNAME, PAPER = 'A rival', 'Somebody 2030'\n")
    after = methods_reference()
    assert "## A rival: `asdlib.methods.a_rival`\n\nSomebody 2030. Reads sound and spectra." in after
    assert ".. automodule:: asdlib.methods.a_rival" in after
    assert set(before.splitlines()) < set(after.splitlines())
