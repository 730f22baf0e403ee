"""The questions of the book, with the option that is right, and its exercises."""

import importlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from asdlib.errors import AsdError

EXERCISE = re.compile(r"```\{exercise\} (?P<title>[^\n]+)\n:label: (?P<label>[^\n]+)\n(?P<text>.*?)\n```", re.S)


@dataclass(frozen=True)
class Option:
    """One of the answers to a question, and what is said to whoever chooses it."""

    text: str
    said: str
    right: bool


@dataclass(frozen=True)
class Choice:
    """A question of a chapter: exactly one of its options is right."""

    name: str
    chapter: str
    text: str
    options: list[Option]


@dataclass(frozen=True)
class Task:
    """An exercise of a chapter, in the book's Markdown."""

    name: str
    chapter: str
    title: str
    text: str


def chapters(top: Path) -> dict[str, tuple[str, str]]:
    """Names of the chapters in their order, each with its part and its own title.

    ``top`` is where ``_toc.yml`` lies. Raises :class:`AsdError` where it does not.
    """
    import yaml  # comes with jupyter-book: marking notebooks goes without

    try:
        toc = yaml.safe_load((top / "_toc.yml").read_text(encoding="utf-8"))
    except OSError as error:
        raise AsdError(f"{top} has no _toc.yml: name the top of the book's repository") from error
    found = {}
    for part in toc["parts"]:
        for row in part["chapters"]:
            path = top / f"{row['file']}.ipynb"
            if path.exists():
                cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
                title = re.search(r"^# (.+)$", "".join(cells[0]["source"]), re.M)
                found[path.stem] = part["caption"], title[1] if title else path.stem
    return found


def questions_of(top: Path, chapter: str) -> list[Choice]:
    """The questions of a chapter, in the order in which it asks them."""
    folder = str(top / "book")
    sys.path.insert(0, folder)
    try:
        seal = importlib.import_module("checks").seal
        known = importlib.import_module(f"checks.{chapter}").QUESTIONS
    finally:
        sys.path.remove(folder)
    asked = re.findall(rf'ask\(\\?"{chapter}\.(\w+)', (top / "book" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    return [
        Choice(
            name,
            chapter,
            known[name].text,
            [Option(text, said, seal(text) == known[name].seal) for text, said in known[name].options.items()],
        )
        for name in dict.fromkeys(asked)
    ]


def tasks_of(top: Path, chapter: str) -> list[Task]:
    """The exercises of a chapter, in their order."""
    cells = json.loads((top / "book" / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return [Task(found["label"], chapter, found["title"], found["text"].strip()) for found in EXERCISE.finditer(text)]
