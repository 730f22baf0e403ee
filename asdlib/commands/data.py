"""Clips: simulate them, download them, count them. And what is in a run directory."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from asdlib.commands import Json, app, one_of, print_table


@app.command()
def simulate(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="New folder to write the clips to.")
    ],
    preset: Annotated[
        str,
        typer.Option(
            metavar="PRESET",
            parser=one_of("asdlib.park.machines:PARKS"),
            help="tiny: seconds; book: under a minute; long: as book, with clips of "
            "10 s; dcase: the challenge's size; shift: two domains and two "
            "microphones, shift-noise etc.: which differ in one thing alone.",
        ),
    ] = "book",
    seed: Annotated[int, typer.Option(help="Another seed makes other machines.")] = 0,
) -> None:
    """Make a simulated machine park: six machine types, 23 machines, named faults.

    In the presets of two domains they are three types and six machines.
    """
    from asdlib.park import machines
    from asdlib.progress import progress_bar

    with progress_bar() as on_step:
        machines.simulate(out, preset=preset, seed=seed, on_step=on_step)
    pair = isinstance(machines.PARKS[preset], machines.ShiftPreset)
    print(f"wrote {out}; next: asd train {out} --run RUN" + " --channel 0" * pair)


@app.command()
def download(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to download to.")],
    part: Annotated[
        str,
        typer.Option(
            metavar="PART",
            parser=one_of("asdlib.sound.download:PARTS"),
            help="dev: development set; add: additional training; "
            "eval: evaluation set.",
        ),
    ] = "dev",
    machine: Annotated[
        list[str] | None,
        typer.Option(help="Machine type, e.g. fan; may be repeated (default: all)."),
    ] = None,
) -> None:
    """Download real DCASE 2020 Task 2 recordings from Zenodo, checked and unpacked.

    They are under CC BY-NC-SA 4.0; about 1-2 GB a machine type.
    """
    from asdlib.progress import progress_bar
    from asdlib.sound import download as zenodo

    types = machine or None
    with progress_bar() as on_step:
        folders = zenodo.download(out, part=part, machine_types=types, on_step=on_step)
    print("\n".join(str(folder) for folder in folders))


@app.command()
def info(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A data folder or a run directory.")
    ],
    as_json: Json = False,
) -> None:
    """What is in a data folder (clips) or a run directory (settings, losses)."""
    if (folder / "config.json").exists():
        _info_run(folder, as_json)
        return
    from asdlib.sound.scan import scan

    clips = scan(folder)
    counts = Counter((clip.machine, f"{clip.split} {clip.label}") for clip in clips)
    kinds = ("train normal", "test normal", "test anomaly", "test unknown")
    names = sorted({clip.machine for clip in clips})
    machines = {name: {kind: counts[name, kind] for kind in kinds} for name in names}
    if as_json:
        print(json.dumps(machines, indent=1))
        return
    rows = [(machine, *map(str, row.values())) for machine, row in machines.items()]
    print_table(str(folder), ("machine", *kinds), rows)


def _info_run(folder: Path, as_json: bool) -> None:
    from asdlib.learn.checkpoint import read_log
    from asdlib.use.run import read_config

    config, log = read_config(folder).as_dict(), read_log(folder / "log.csv")
    if as_json:
        print(json.dumps({"config": config, "log": log}, indent=1))
        return
    print(json.dumps(config, indent=1))
    if log:
        print_table("log", tuple(log[0]), [map(_cell, row.values()) for row in log])


def _cell(value: float | str | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value or "")
