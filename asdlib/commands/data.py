"""Clips: simulate them, download them, count them. And what is in a run directory."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asdlib.commands import Json, Layout, Words, app, one_of, print_table

if TYPE_CHECKING:
    from asdlib.sound.data import Clip


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
    layout: Annotated[
        str,
        typer.Option(
            metavar="LAYOUT",
            parser=one_of("asdlib.sound.download:published"),
            help="Which collection, e.g. dcase2020 to dcase2026, mimii, toyadmos.",
        ),
    ] = "dcase2020",
    part: Annotated[
        str | None,
        typer.Option(
            help="Of a challenge dev: development set; add: additional training; "
            "eval: evaluation set. Of mimii 6_dB, 0_dB or -6_dB. (default: the first)",
        ),
    ] = None,
    machine: Annotated[
        list[str] | None,
        typer.Option(help="Machine type, e.g. fan; may be repeated (default: all)."),
    ] = None,
) -> None:
    """Download real recordings from Zenodo, checked and unpacked.

    Without --layout those of DCASE 2020 Task 2, under CC BY-NC-SA 4.0, about 1-2 GB a
    machine type; each collection has terms of its own.
    """
    from asdlib.progress import progress_bar
    from asdlib.sound import download as zenodo
    from asdlib.sound.layouts import LAYOUTS

    with progress_bar() as on_step:
        folders = zenodo.download(
            out,
            layout=layout,
            part=part,
            machine_types=machine or None,
            on_step=on_step,
        )
    row = LAYOUTS[layout]
    print("\n".join(str(folder) for folder in folders))
    print(f"{row.name}; licence: {row.licence}; to be cited: {row.citation}")


@app.command()
def info(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A data folder, a list of clips (.csv, .json) or a run directory.",
        ),
    ],
    layout: Layout = None,
    words: Words = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Listen to all samples, not to headers alone."),
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(help="Write the clips as a list, to edit and to give as DATA."),
    ] = None,
    as_json: Json = False,
    files: Annotated[
        bool,
        typer.Option(
            "--files", help="In JSON, too: rates, channels, lengths and findings."
        ),
    ] = False,
) -> None:
    """What is in a data folder (clips) or a run directory (settings, losses).

    Of clips: which layout they follow, how many there are, what was passed over and
    why, and what is inside the files.
    """
    if _is_run(folder):
        _info_run(folder, as_json)
        return
    import logging

    from asdlib.progress import progress_bar
    from asdlib.sound.inside import by_machine, findings, look_inside
    from asdlib.sound.layouts import words_in
    from asdlib.sound.manifest import write_manifest
    from asdlib.sound.scan import survey

    found = survey(folder, layout, words_in(words) if words else None)
    with progress_bar() as on_step:
        looks = look_inside(found.clips, deep=deep, on_step=on_step)
    inside = by_machine(found.clips, looks)
    machines = _counts(found.clips)
    remarks = [*found.remarks(), *findings(found.clips, looks, inside)]
    if csv is not None:
        write_manifest(csv, found.clips)
    if as_json:
        for line in remarks:
            logging.getLogger("asdlib").warning("%s", line)
        if files:
            machines = {
                name: {**n, "files": inside[name]} for name, n in machines.items()
            }
        print(json.dumps(machines, indent=1))
        return
    _print_machines(str(folder), machines, inside)
    for name, count in found.layouts.items():
        print(f"{name}: {count} clips")
    for line in remarks:
        print(_shown(line))
    if found.others:
        print(f"other files: {_shown(found.endings)}")
    if csv is not None:
        print(f"wrote {csv}; next: asd train {csv} --run RUN")


KINDS = ("train normal", "test normal", "test anomaly", "test unknown")


def _counts(clips: "list[Clip]") -> dict[str, dict[str, Any]]:
    """How many clips of each kind and, where they are known, domain a machine has."""
    counts = Counter((clip.machine, f"{clip.split} {clip.label}") for clip in clips)
    domains = Counter(
        (clip.machine, f"{clip.split} {clip.domain}")
        for clip in clips
        if clip.domain != "unknown"
    )
    found: dict[str, dict[str, Any]] = {}
    for name in sorted({clip.machine for clip in clips}):
        found[name] = {kind: counts[name, kind] for kind in KINDS}
        own = {what: n for (machine, what), n in domains.items() if machine == name}
        if own:
            found[name]["domains"] = dict(sorted(own.items()))
    return found


def _print_machines(
    title: str, machines: dict[str, dict[str, Any]], inside: dict[str, dict[str, Any]]
) -> None:
    rows = []
    for name, about in machines.items():
        counts = [str(about[kind]) for kind in KINDS]
        domains = ", ".join(
            f"{n} {what}" for what, n in about.get("domains", {}).items()
        )
        rates, channels = (
            "/".join(inside[name][what]) for what in ("sample rates", "channels")
        )
        length = "-".join(f"{x:g}" for x in dict.fromkeys(inside[name]["seconds"]))
        rows.append([name, *counts, domains, rates, channels, length])
    columns: tuple[str, ...] = ("machine", *KINDS, "domains", "Hz", "channels", "s")
    if not any("domains" in about for about in machines.values()):
        kept = [i for i, name in enumerate(columns) if name != "domains"]
        columns = tuple(columns[i] for i in kept)
        rows = [[row[i] for i in kept] for row in rows]
    print_table(_shown(title), columns, rows)


def _shown(text: str) -> str:
    """A name that is no UTF-8 can be printed with its bytes written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_run(folder: Path) -> bool:
    """Is it a run directory? A folder of recordings may have a config.json, too."""
    if not (folder / "config.json").exists():
        return False
    ours = ("log.csv", "pretrained.safetensors", "weights.safetensors", "scores.json")
    return any((folder / name).exists() for name in ours) or not any(
        place.is_dir() for place in folder.iterdir()
    )


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
