"""The commands of ``asd``, by what they are for; here what they share.

What follows a command's name is imported inside it, so that `asd --help` and
`asd simulate` do not wait for torch. What an option may be is looked up in the package
when it is given: no list is kept here.
"""

import logging
import math
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asdlib.errors import AsdError

if TYPE_CHECKING:
    import numpy as np

    from asdlib.sound.computed import ReadOptions
    from asdlib.sound.data import Clip
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


def print_versions(wanted: bool) -> None:
    """Print what an error report should name, and end."""
    if not wanted:
        return
    for name in ("asdlib", "torch", "torchaudio", "numpy", "scikit-learn"):
        typer.echo(f"{name} {version(name)}")
    typer.echo(f"Python {platform.python_version()} on {platform.platform()}")
    raise typer.Exit


@app.callback()
def whole(
    versions: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=print_versions,
            is_eager=True,
            help="Print the versions of asdlib and of what it stands on.",
        ),
    ] = False,
) -> None:
    """Ask for one of the commands."""


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
        help="Folder of recordings, in any layout that is known, or a list of clips "
        "(.csv, .json); asd info DATA says what is found.",
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(
        metavar="LAYOUT",
        parser=one_of("asdlib.sound.layouts:LAYOUTS"),
        help="How DATA is laid out, e.g. mimii (default: found by itself).",
    ),
]
Words = Annotated[
    str | None,
    typer.Option(help="What names of folders in DATA mean: normal=gut,anomaly=kaputt."),
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE", help="Recordings of one machine, or folders of such."
    ),
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
Limit = Annotated[
    float | None,
    typer.Option(
        "--threshold", help="Alarm above this score (default: the run's threshold)."
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
Partial = Annotated[
    bool,
    typer.Option(
        "--partial", help="Read what there is of recordings that were cut off."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of the feature cache (default: see asd cache)."),
]


def recordings_in(paths: Iterable[Path]) -> list[Path]:
    """The recordings that are named, and those in the folders that are, by name.

    Raises :class:`AsdError` for a folder without any.
    """
    from asdlib.files import files_below
    from asdlib.sound.opening import ENDINGS

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        below = [x for x in files_below(path) if x.suffix.lower() in ENDINGS]
        if not below:
            raise AsdError(f"no recordings in {path}: name files or another folder")
        found += sorted(below)
    return found


def end_with(bad: "Mapping[Clip, AsdError]", count: int) -> None:
    """Say which recordings had to be left out, and end the command with 2."""
    if not bad:
        return
    for error in bad.values():
        print(f"asd: {error}", file=sys.stderr)
    print(f"asd: {len(bad)} of {count} recordings were left out", file=sys.stderr)
    raise typer.Exit(2)


def found_in(data: Path, layout: str | None, words: str | None) -> "list[Clip]":
    """The clips in DATA, as the options of a command say."""
    from asdlib.sound.layouts import words_in
    from asdlib.sound.scan import scan

    return scan(data, layout, words_in(words) if words else None)


def reading_of(
    detector: "Detector", channel: int | None, resample: bool, partial: bool = False
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
        partial=partial or trained.partial,
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


def clips_of(machine: str, files: Iterable[Path]) -> "list[Clip]":
    """Recordings of one machine as clips."""
    from asdlib.sound.data import Clip

    machine_type, machine_id = machine.split("/")
    return [Clip(path, machine_type, machine_id, "test", "unknown") for path in files]


def embeddings_of(
    clips: "list[Clip]",
    detector: "Detector",
    reading: "ReadOptions",
    device: str,
) -> "np.ndarray":
    """The embeddings (N, dim) of clips."""
    import numpy as np

    from asdlib.progress import progress_bar
    from asdlib.use.recordings import embedded

    with progress_bar() as on_step:
        groups = embedded(
            clips, detector, reading=reading, device=device, on_step=on_step
        )
        return np.concatenate([rows for _, rows in groups])


def tell_learned(learned: "list[Clip]", count: int) -> None:
    """Say which of so many test clips the network knows from its training, if any."""
    if learned:
        logging.getLogger("asdlib").warning(
            "%d of %d test clips were trained on, such as %s: their scores say nothing "
            "about new clips, and the numbers are better than they should be",
            len(learned),
            count,
            learned[0].called,
        )


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
