"""A folder of submissions: a mark sheet each, and one table of all marks.

What was marked already, with the same checks, assignment and limits, is not marked again.
"""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from asd_book.grading import Limits, Mark, Sheet, cells_of, grade, points_of
from asdlib.errors import AsdError
from asdlib.files import atomic_write


def digest(submission: Path, book: Path, assignment: Path | None, limits: Limits) -> str:
    """Of everything that decides about the marks of one submission."""
    found = hashlib.sha256(json.dumps(asdict(limits)).encode())
    for path in [submission, *([assignment] if assignment else []), *sorted((book / "checks").glob("*.py"))]:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def grade_all(
    submissions: Path,
    book: Path,
    out: Path,
    *,
    assignment: Path | None = None,
    limits: Limits = Limits(),
    tell: Callable[[str], object] = print,
) -> Path:
    """Mark every notebook below ``submissions``; the table ``marks.csv`` in ``out``.

    A name is the notebook's path below ``submissions``. Raises :class:`AsdError` where there
    is none.
    """
    paths = sorted(path for path in submissions.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    if not paths:
        raise AsdError(f"there is no notebook in {submissions}: give a folder of .ipynb files")
    sheets = []
    for number, path in enumerate(paths, 1):
        name = path.relative_to(submissions).with_suffix("").as_posix()
        kept = out / f"{name.replace('/', '__')}.json"
        key = digest(path, book, assignment, limits)
        sheet = found_again(kept, key)
        if sheet is None:
            sheet = marked(path, name, book, assignment, limits)
            with atomic_write(kept) as temporary:
                temporary.write_text(json.dumps({"key": key, "sheet": sheet.as_json()}), encoding="utf-8")
            with atomic_write(kept.with_suffix(".md")) as temporary:
                temporary.write_text(sheet.as_markdown(), encoding="utf-8")
        sheets.append(sheet)
        tell(f"{number} of {len(paths)}: {name}: {sheet.points:g} of {sheet.of:g}")
    table = out / "marks.csv"
    with atomic_write(table) as temporary:
        write(sheets, temporary)
    return table


def marked(path: Path, name: str, book: Path, assignment: Path | None, limits: Limits) -> Sheet:
    """The sheet of one submission, an empty one where it cannot be read."""
    worth = points_of(assignment) if assignment else {}
    try:
        _ = cells_of(path) if assignment else points_of(path)
    except AsdError as error:
        return Sheet(name, [Mark(exercise, of) for exercise, of in worth.items()], [str(error)])
    return replace(grade(path, book, assignment=assignment, limits=limits), name=name)


def found_again(kept: Path, key: str) -> Sheet | None:
    """The sheet in the file ``kept``, if it was made of the same things."""
    try:
        content = json.loads(kept.read_text(encoding="utf-8"))
        return Sheet.from_json(content["sheet"]) if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(sheets: list[Sheet], path: Path) -> None:
    """A row a submission: name, points, of, seconds, the points of each exercise, notes."""
    exercises = list(dict.fromkeys(mark.exercise for sheet in sheets for mark in sheet.marks))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "points", "of", "seconds", *exercises, "notes"])
        for sheet in sheets:
            points = {mark.exercise: f"{mark.points:g}" for mark in sheet.marks}
            row = [sheet.name, f"{sheet.points:g}", f"{sheet.of:g}", f"{sheet.seconds:g}"]
            writer.writerow([*row, *(points.get(exercise, "") for exercise in exercises), "; ".join(sheet.notes)])
