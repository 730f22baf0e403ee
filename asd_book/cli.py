"""The command ``asd-book``."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from asd_book import cartridge, qti21
from asd_book.grading import Limits, book_folder, grade
from asd_book.many import grade_all
from asd_book.packages import pack
from asd_book.questions import chapters, questions_of, tasks_of
from asdlib.errors import AsdError

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def about() -> None:
    """For teachers who use the book."""


@app.command("grade")
def grade_command(
    submission: Annotated[Path, typer.Argument(help="A notebook, or a folder of notebooks.")],
    book: Annotated[
        Path, typer.Option(help="Folder of the chapters, which holds checks/ (default: found near here).")
    ] = Path(),
    assignment: Annotated[
        Path | None,
        typer.Option(help="The notebook as it was handed out: what there is to be had (default: what is handed in)."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the mark sheets.")] = Path("marks"),
    seconds: Annotated[float, typer.Option(min=1, help="For one cell.")] = 60.0,
    whole: Annotated[float, typer.Option(min=1, help="Seconds for one notebook.")] = 600.0,
    memory: Annotated[int, typer.Option(min=500, help="MB for one notebook.")] = 6000,
) -> None:
    """Run the book's checks on notebooks that were handed in, and write mark sheets.

    Each runs in a process of its own, with a limit of time and memory; a cell that takes more
    loses its marks, and nothing else. This is NO SANDBOX: a notebook can do whatever you can
    do. Run it in a container without a network for people whom you do not know.
    """
    limits = Limits(seconds, whole, memory)
    folder = book_folder(book)
    out.mkdir(parents=True, exist_ok=True)
    if submission.is_dir():
        table = grade_all(submission, folder, out, assignment=assignment, limits=limits, tell=typer.echo)
        typer.echo(f"all marks: {table}")
        return
    sheet = grade(submission, folder, assignment=assignment, limits=limits)
    page = out / f"{sheet.name}.md"
    page.write_text(sheet.as_markdown(), encoding="utf-8")
    typer.echo(sheet.as_markdown())


@app.command()
def lms(
    top: Annotated[Path, typer.Option(help="Top of the book's repository, with its built editions.")] = Path(),
    out: Annotated[Path, typer.Option(help="Folder for the packages.")] = Path("lms"),
) -> None:
    """Write packages for a learning platform: QTI 2.1, QTI 1.2 and a Common Cartridge.

    The first two hold the questions and exercises, the third the student's edition with them
    beside each chapter. They know which option is right: they are for your platform, not for
    your students.
    """
    parts = chapters(top)
    titles = {name: title for name, (_, title) in parts.items()}
    asked = [question for name in parts for question in questions_of(top, name)]
    tasks = [task for name in parts for task in tasks_of(top, name)]
    out.mkdir(parents=True, exist_ok=True)
    made: dict[str, Mapping[str, bytes | Path]] = {
        "qti21": qti21.package(titles, asked, tasks),
        "qti12": cartridge.questions_only(titles, asked, tasks),
        "cartridge": cartridge.with_the_book(top / "_build" / "student" / "html", parts, asked, tasks),
    }
    for kind, files in made.items():
        target = out / f"odd-sound-out-{kind}.{'imscc' if kind == 'cartridge' else 'zip'}"
        pack(files, target)
        typer.echo(f"{target}: {len(asked)} questions, {len(tasks)} exercises, {len(files)} files")


def main() -> None:
    """Run ``asd-book``: exit code 0, or 2 for bad input with one sentence on standard error."""
    logging.basicConfig(format="%(message)s")
    try:
        app()
    except AsdError as error:
        print(f"asd-book: {error}", file=sys.stderr)
        sys.exit(2)
