"""The commands of ``asd``, by what they are for; here what they share.

What follows a command's name is imported inside it, so that `asd --help` and `asd simulate` do not wait for torch.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Anomalous sound detection: train on normal clips of many machines, score new clips.\n\n"
    "Start with: asd simulate park; asd train park --run run; asd evaluate park --run run",
)

ScorerName = Literal["softmax", "softmax-plain", "knn", "mahalanobis", "gmm"]

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Folder with <type>/{train,test}/*.wav, as in DCASE 2020 Task 2.",
    ),
]
Run = Annotated[Path, typer.Option("--run", help="Run directory.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")
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
    typer.Option(
        help="Folder of the feature cache (default: the user's cache folder)."
    ),
]


def reading_of(detector, channel: int | None, resample: bool):
    """How the clips to be scored are read: as the training clips were, unless this command says otherwise."""
    from dataclasses import replace

    trained = detector.config.reading
    return replace(
        trained,
        channel=trained.channel if channel is None else channel,
        resample=resample or trained.resample,
    )


def print_table(title: str, columns: tuple[str, ...], rows) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=None if sys.stdout.isatty() else 500).print(
        table
    )  # in a pipe, never break a line
