"""The commands of ``asd``, by what they are for; here what they share.

What follows a command's name is imported inside it, so that `asd --help` and
`asd simulate` do not wait for torch. What an option may be is looked up in the package
when it is given: no list is kept here.
"""

import math
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asdlib.errors import AsdError

if TYPE_CHECKING:
    import numpy as np

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
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Recordings of one machine.")
]
Machine = Annotated[
    str, typer.Option(help="Which machine they are of, as TYPE/ID, e.g. fan/id_00.")
]
Run = Annotated[Path, typer.Option("--run", help="Run directory.")]
ScorerName = Annotated[
    str | None,
    typer.Option(
        metavar="SCORER",
        help="What the score is: of an ensemble fused (default), plain, or one of its "
        "parts; of clp-scf softmax (default), the paper's, or a distance between "
        "embeddings, such as mahalanobis; see the book.",
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


def limit_of(run: Path, machine: str, scorer: str, given: float | None) -> float | None:
    """The threshold that was given, or else the one that is kept in the run.

    Raises :class:`AsdError` for one that is given and is no number.
    """
    from asdlib.use.thresholds import read_thresholds

    if given is not None:
        if not math.isfinite(given):
            raise AsdError(f"a threshold of {given} makes no sense: choose a number")
        return given
    kept = read_thresholds(run).get(machine, {}).get(scorer)
    return None if kept is None else kept.value


def embeddings_of(
    files: list[Path],
    detector: "Detector",
    machine: str,
    reading: "ReadOptions",
    device: str,
) -> "np.ndarray":
    """The embeddings (N, dim) of recordings of one machine."""
    from asdlib.learn.embedding import embed
    from asdlib.progress import progress_bar
    from asdlib.sound.cache import features_now
    from asdlib.sound.data import Clip

    name = machine.split("/")
    clips = [Clip(path, name[0], name[1], "test", "unknown") for path in files]
    with progress_bar() as on_step:
        features = detector.config.features
        arrays = features_now(clips, features, options=reading, on_step=on_step)
        function, inputs = detector.model.embed, arrays.inputs
        return embed(function, inputs, device=device, on_step=on_step)


def print_table(
    title: str, columns: tuple[str, ...], rows: Iterable[Iterable[str]]
) -> None:
    """Print a table; in a pipe, no line of it is broken."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cell(text: str, style: str = "") -> Text:
        """As it will be printed, so that the widths of columns are right."""
        encoding = sys.stdout.encoding or "utf-8"
        shown = text.encode(encoding, "backslashreplace").decode(encoding)
        return Text(shown, style)

    table = Table(title=cell(title, "table.title"), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    Console(width=None if sys.stdout.isatty() else 500).print(table)
