"""The assignments, handed in well, untouched and in the usual wrong ways; and what the course's pages point to."""

import json
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from asd_book.grading import Limits, grade, points_of

TOP = Path(__file__).parents[1]
BOOK, COURSE = TOP / "book", TOP / "course"
ASSIGNMENTS = sorted((COURSE / "assignments").glob("*.ipynb"))
LIMITS = Limits(cell=60, whole=300, memory=8000)
WORTH = {"judge": 10, "build": 12, "investigate": 6}


def student(path: Path, tmp_path: Path, change=lambda source: source, *, solved: bool) -> Path:
    """A submission of the assignment: with its solutions in the place of the starters, or without them."""
    notebook = json.loads(path.read_text())
    unwanted = "starter" if solved else "solution"
    cells = [cell for cell in notebook["cells"] if unwanted not in cell["metadata"].get("tags", [])]
    for cell in cells:
        cell["source"] = change("".join(cell["source"]))
    target = tmp_path / path.name
    target.write_text(json.dumps(notebook | {"cells": cells}))
    return target


@pytest.mark.parametrize("path", ASSIGNMENTS, ids=lambda path: path.stem)
def test_solved_well_it_gets_everything_and_untouched_nothing(path, tmp_path):
    assert sum(points_of(path).values()) == WORTH[path.stem]
    well = grade(student(path, tmp_path, solved=True), BOOK, assignment=path, limits=LIMITS)
    assert (well.points, well.notes) == (WORTH[path.stem], [])
    untouched = grade(student(path, tmp_path, solved=False), BOOK, assignment=path, limits=LIMITS)
    assert untouched.points == 0
    assert all(mark.words.startswith("Not yet. ") for mark in untouched.marks)


WRONG = [
    ("judge", "(gap > 0) + 0.5 * (gap == 0)", "gap > 0", "it counts one half"),
    ("judge", "[np.mean(means), np.mean(worst)]", "[np.mean(means), np.min(worst)]", "take the worst of each type"),
    ("judge", "(1 + (area - least) / (most - least)) / 2", "area / most", "has no fixed value for guessing"),
    ("judge", "(1 + (area - least) / (most - least)) / 2", "area", "the bare area"),
    ("judge", "np.ceil(np.log(1 - sure) / np.log(1 - rate))", "np.ceil(1 / rate) - 1", "on average"),
    ("judge", "gains.std(ddof=1)", "gains.std()", "divides by n − 1"),
    ("judge", "t.ppf(0.975, len(gains) - 1)", "1.959964", "not 1.96"),
    ("build", "turned[beyond] = own[beyond] - margin * np.sin(margin)", "pass", "the cosine rises again"),
    ("build", "return scale * logits", "return logits", "The scale is missing"),
    ("build", ".masked_fill(itself, -torch.inf)", "", "not compared with itself"),
    ("build", "    top = logits.max(axis=1, keepdims=True)", "    top = np.zeros((len(logits), 1))", "work with logarithms"),
    ("build", "[:, :2].mean(axis=1)", "[:, 0]", "the mean of the two nearest"),
    ("build", "(1 - asked @ known.T) / 2", "1 - asked @ known.T", "(1 − cos) / 2"),
    ("investigate", "because", "and", "An expectation has a reason"),
    ("investigate", '"low": -0.021', '"low": -0.021 * -1', "from the lower to the higher end"),
    ("investigate", '"high": -0.007', '"high": 0.007', "Zero lies in the interval"),
    ("investigate", "0.861, 0.872, 0.858", "86.1, 87.2, 85.8", "AUCs as fractions"),
]


@pytest.mark.parametrize("name", WORTH)
def test_the_usual_mistakes_cost_their_own_points_and_are_told(name, tmp_path):
    path = COURSE / "assignments" / f"{name}.ipynb"
    for number, (of, right, wrong, hint) in enumerate(WRONG):
        if of != name:
            continue
        place = tmp_path / str(number)
        place.mkdir()
        assert right in path.read_text().replace('\\"', '"')
        changed = student(path, place, lambda source, a=right, b=wrong: source.replace(a, b), solved=True)
        sheet = grade(changed, BOOK, assignment=path, limits=LIMITS)
        missed = [mark for mark in sheet.marks if not mark.points]
        assert len(missed) == 1, (right, sheet.marks)
        assert hint in missed[0].words


def test_what_is_handed_out_has_no_solution_and_takes_no_place_of_anything(tmp_path):
    path, target = ASSIGNMENTS[0], tmp_path / "out.ipynb"
    command = [sys.executable, COURSE / "hand_out.py", path, target]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert "_solved" in path.read_text()
    assert "_solved" not in target.read_text()
    assert points_of(target) == points_of(path)
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (1, f"{target} is there already, and is left as it is: name another file\n")


def test_a_student_at_the_hub_has_a_copy_of_the_chapters_and_keeps_it(tmp_path, monkeypatch):
    config, spawner = MagicMock(), MagicMock(environment={})
    spawner.user.name = "anna"
    monkeypatch.setenv("ASD_CLASS", str(tmp_path))
    monkeypatch.setenv("ASD_PASSWORD", "odd-sound-out")
    path = COURSE / "jupyterhub_config.py"
    exec(compile(path.read_text(), path, "exec"), {"get_config": lambda: config, "__file__": str(path)})
    hook = config.Spawner.pre_spawn_hook
    hook(spawner)
    own = tmp_path / "anna" / "notebooks"
    assert spawner.notebook_dir == str(own)
    assert spawner.environment["ASDLIB_DATA"] == str(tmp_path / "data")
    assert {path.name for path in BOOK.glob("*.ipynb")} <= {path.name for path in own.iterdir()}
    assert (own.parent / "data" / "results").is_dir()
    (own / "listen.ipynb").write_text("anna's work")
    hook(spawner)
    assert (own / "listen.ipynb").read_text() == "anna's work"


def test_the_pages_of_the_course_point_to_what_there_is():
    pages = sorted(COURSE.glob("*.md"))
    assert pages
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists() or (BOOK / f"{target}.ipynb").exists(), (page.name, target)
