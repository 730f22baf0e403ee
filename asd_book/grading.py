"""Mark a submitted notebook: the book's own checks on it, in a process of its own.

Every cell is run in order, in one fresh process. A cell that does not end in time, needs too
much memory or ends the process costs its own marks: the notebook is run again without it.

Where the system allows it, the process sees no other process and no network. All the same
this is no sandbox. A submission can read and delete what the user can who marks it, and a
hostile one can forge its marks; run it in a container (see ``course/``).
"""

import html
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from asdlib.errors import AsdError

CHECK = re.compile(r"""\bcheck\(\s*["']([a-z_]+\.[a-z_0-9]+)["']""")
# What an honest solution has no use for: somebody should look.
STRANGE = re.compile(
    r"\bchecks\.|sys\.modules|\b(?:gc|ctypes|inspect|subprocess|socket|resource|signal)\b"
    r"|os\.(?:_exit|kill|fork|system|write|popen)|__import__|data-passed|\bHint\b"
)


@dataclass(frozen=True)
class Limits:
    """What a submission may take: seconds a cell and in all, and megabytes of memory."""

    cell: float = 60.0
    whole: float = 600.0
    memory: int = 6000


@dataclass(frozen=True)
class Mark:
    """What one exercise is worth (``of``), what it got, and what the check said."""

    exercise: str
    of: float
    points: float = 0.0
    words: str = "not answered"


@dataclass(frozen=True)
class Sheet:
    """The marks of one submission; ``notes`` are for whoever looks through it."""

    name: str
    marks: list[Mark]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def points(self) -> float:
        """The sum."""
        return sum(mark.points for mark in self.marks)

    @property
    def of(self) -> float:
        """The most that can be had."""
        return sum(mark.of for mark in self.marks)

    def as_json(self) -> str:
        """For a file; :meth:`from_json` is the inverse."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Sheet":
        """A sheet from a file."""
        values = json.loads(text)
        return cls(**values | {"marks": [Mark(**mark) for mark in values["marks"]]})

    def as_markdown(self) -> str:
        """For people."""
        rows = [f"| {m.exercise} | {m.points:g} | {m.of:g} | {m.words} |" for m in self.marks]
        notes = [f"* {note}" for note in self.notes] or ["* none"]
        return "\n".join(
            [
                f"# {self.name}: {self.points:g} of {self.of:g}",
                "",
                "| exercise | points | of | the check said |",
                "|---|---|---|---|",
                *rows,
                "",
                "Notes",
                "",
                *notes,
                "",
                f"Marked in {self.seconds:.0f} s. Passed checks say that somebody has practised, no more.",
                "",
            ]
        )


def cells_of(notebook: Path) -> list[dict]:
    """The cells of a notebook. Raises :class:`AsdError` where it is none."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            cell["cell_type"], "".join(cell["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AsdError(f"{notebook} cannot be read as a notebook ({error}): hand in an .ipynb file") from error
    return cells


def points_of(notebook: Path) -> dict[str, float]:
    """What each exercise of a notebook is worth: 1, or as its cell says.

    A cell says so in its metadata, as ``{"asd": {"points": 3}}`` or, as nbgrader has it,
    ``{"nbgrader": {"points": 3}}``. Raises :class:`AsdError` where there is no exercise.
    """
    worth: dict[str, float] = {}
    for cell in cells_of(notebook):
        if cell["cell_type"] != "code" or "solution" in cell.get("metadata", {}).get("tags", []):
            continue
        about = cell.get("metadata", {})
        points = about.get("asd", about.get("nbgrader", {})).get("points", 1)
        for exercise in CHECK.findall("".join(cell["source"])):
            worth.setdefault(exercise, float(points))
    if not worth:
        raise AsdError(f'{notebook} has no exercise, which is a cell that calls check("chapter.name", ...)')
    return worth


def book_folder(start: Path) -> Path:
    """The folder of the book's ``checks``: ``start`` itself, or near it.

    Raises :class:`AsdError` where there is none.
    """
    for folder in (start, start / "book", start / "notebooks", *start.parents):
        if (folder / "checks" / "__init__.py").is_file():
            return folder.resolve()
        if (folder / "book" / "checks" / "__init__.py").is_file():
            return (folder / "book").resolve()
    raise AsdError(f"no folder with the book's checks at {start}: name that of the chapters, which holds checks/")


def grade(submission: Path, book: Path, *, assignment: Path | None = None, limits: Limits = Limits()) -> Sheet:
    """Mark ``submission``, a notebook, by the checks in the folder ``book``.

    What there is to be had is what ``assignment`` asks, the notebook as it was handed out
    (None: what the submission itself holds). Raises :class:`AsdError` for what is no notebook,
    and where none can be run.
    """
    begun = time.monotonic()
    worth = points_of(assignment or submission)
    cells = cells_of(submission)
    notes = [
        f"cell {place} holds {found[0]!r}: have a look"
        for place, cell in enumerate(cells)
        if cell["cell_type"] == "code" and (found := STRANGE.search("".join(cell["source"])))
    ]
    bad: dict[int, str] = {}
    while True:
        left = limits.whole - (time.monotonic() - begun)
        verdicts, errors, stopped = run_once(submission, book, sorted(bad), limits, left)
        if stopped is None:
            break
        place, reason = stopped
        if place is None or left <= 0:
            notes.append(reason)
            break
        bad[place] = reason
    notes += [f"cell {place}: {reason}" for place, reason in sorted((errors | bad).items())]
    marks = []
    for exercise, of in worth.items():
        passed, words = verdicts.get(exercise, (False, "not answered"))
        marks.append(Mark(exercise, of, of if passed else 0.0, words))
    return Sheet(submission.stem, marks, notes, round(time.monotonic() - begun, 1))


Verdicts = dict[str, tuple[bool, str]]
Stopped = tuple[int | None, str] | None


def run_once(
    submission: Path, book: Path, skipped: list[int], limits: Limits, left: float
) -> tuple[Verdicts, dict[int, str], Stopped]:
    """Run the notebook without some cells: verdicts, errors by cell, and what stopped it.

    The last is None where it came to its end, or a cell (None: before the first) and why.
    Raises :class:`AsdError` where not even an empty notebook could be run.
    """
    read, write = os.pipe()
    verdicts: Verdicts = {}
    errors: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as said:
        words = [submission.resolve(), book, write, limits.memory, *skipped]
        process = subprocess.Popen(
            [*apart(), sys.executable, "-m", "asd_book.worker", *map(str, words)],
            cwd=scratch,
            pass_fds=[write],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=os.environ | {"MPLBACKEND": "agg", "IPYTHONDIR": scratch},
            start_new_session=True,
        )
        os.close(write)
        cell: int | None = None
        ready, done, reason = False, False, ""
        end = time.monotonic() + left
        until = [time.monotonic() + max(limits.cell, 60)]  # imports take their time
        try:
            for line in lines_until(read, lambda: min(until[0], end)):
                if line is None:
                    whole = time.monotonic() >= end
                    reason = (
                        f"the {limits.whole:g} s for the whole notebook were over"
                        if whole
                        else f"it was stopped after {limits.cell:g} s"
                    )
                    break
                if "exercise" in line:
                    verdicts[str(line["exercise"])] = (line.get("passed") is True, html.unescape(str(line.get("words"))))
                elif "ready" in line:
                    ready = True
                elif "end" in line:
                    done = True
                elif "error" in line:
                    if line["error"]:
                        errors[int(line["cell"])] = str(line["error"])
                elif "cell" in line:
                    cell = int(line["cell"])
                    until[0] = time.monotonic() + limits.cell
        finally:
            os.close(read)
            end_all(process)
        if not ready and left > 0:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:] or [reason or "it said nothing"]
            raise AsdError(f"no notebook can be run here ({last[0]}): install the book's requirements, and call again")
    if done:
        return verdicts, errors, None
    return verdicts, errors, (cell, reason or "it ended the process, by itself or for want of memory")


@cache
def apart() -> tuple[str, ...]:
    """What puts a command into name spaces of its own, so that it sees no other process and
    no network; nothing where the system does not let us (no Linux, some containers)."""
    words = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "--net")
    try:
        done = subprocess.run([*words, "true"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return words if done.returncode == 0 else ()


def lines_until(number: int, deadline: Callable[[], float]) -> Iterator[dict | None]:
    """The lines of JSON from a file descriptor, to its end; None where the time is over."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(number, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline() - time.monotonic())):
                yield None
                return
            got = os.read(number, 65536)
            if not got:
                return
            *whole, rest = (rest + got).split(b"\n")
            for line in whole:
                try:
                    found = json.loads(line)
                except ValueError:
                    continue  # not of ours
                if isinstance(found, dict):
                    yield found


def end_all(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
