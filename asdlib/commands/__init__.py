"""The commands of ``asd``, by what they are for; here what they share.

What follows a command's name is imported inside it, so that `asd --help` and
`asd simulate` do not wait for torch. What an option may be is looked up in the package
when it is given: no list is kept here.
"""

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asdlib.sound.cache import ReadOptions
    from asdlib.use.detector import Detector

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Anomalous sound detection: train on normal clips of many machines, score new "
    "clips.\n\n"
    "Start with: asd simulate park; asd train park --run run; asd evaluate park --run "
    "run",
)


def one_of(place: str) -> Callable[[str], str]:
    """A parser of options that lets through what is in the list at ``place``.

    ``place`` is "<module>:<name>" of a list, a mapping, or a function that gives one.
    """
    module, _, name = place.partition(":")

    def parse(value: str) -> str:
        found = getattr(import_module(module), name)
        choices = list(found() if callable(found) else found)
        if value not in choices:
            names = ", ".join(map(str, choices))
            raise typer.BadParameter(f"{value!r} is not one of {names}")
        return value

    return parse


Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Folder with <type>/{train,test}/*.wav, as in DCASE 2020 Task 2.",
    ),
]
Run = Annotated[Path, typer.Option("--run", help="Run directory.")]
ScorerName = Annotated[
    str,
    typer.Option(
        metavar="SCORER",
        parser=one_of("asdlib.judge.scorers:scorer_names"),
        help="What the score is: softmax, the paper's; a distance between embeddings, "
        "such as mahalanobis; or another one, see the book.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        parser=one_of("asdlib.device:DEVICES"),
        help="Where to compute: auto takes a GPU where there is one; cpu, cuda, mps.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON for a script instead of tables.")
]
Channel = Annotated[
    int | None, typer.Option(min=0, help="Channel of multi-channel clips, from 0.")
]
Resample = Annotated[
    bool, typer.Option("--resample", help="Convert clips of other sample rates.")
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of the feature cache (default: see asd cache)."),
]


def reading_of(
    detector: "Detector", channel: int | None, resample: bool
) -> "ReadOptions":
    """How the clips to be scored are read.

    As the training clips were, unless this command says otherwise.
    """
    from dataclasses import replace

    trained = detector.config.reading
    return replace(
        trained,
        channel=trained.channel if channel is None else channel,
        resample=resample or trained.resample,
    )


def print_table(
    title: str, columns: tuple[str, ...], rows: Iterable[Iterable[str]]
) -> None:
    """Print a table; in a pipe, no line of it is broken."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=None if sys.stdout.isatty() else 500).print(table)
