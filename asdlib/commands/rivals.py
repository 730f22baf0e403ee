"""Hold methods against each other, on recordings or on ready spectra, without a run."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from asdlib.commands import (
    Cache,
    Device,
    Json,
    Layout,
    Words,
    app,
    print_table,
)
from asdlib.commands.settings import method_named, seconds_in, spelled
from asdlib.errors import AsdError

ALL = "all"


def method_or_all(text: str) -> str:
    """As :func:`method_named`, or :data:`ALL`."""
    return text if text == ALL else method_named(text)


@app.command()
def compare(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of recordings, a list of clips, or an .npz file of spectra.",
        ),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "--methods",
            metavar="METHOD",
            parser=method_or_all,
            help="May be repeated; all: every one of asd methods that reads DATA "
            "(default: nearest, which takes seconds).",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds each method is trained with.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    epochs: Annotated[
        int,
        typer.Option(min=1, help="Of each method, in all; few clips make more."),
    ] = 12,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=seconds_in,
            help="Compare a second time, with as many epochs of each method as fit "
            "into so much time of a core: 90s, 5m, 2h.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for results and the page; the same command goes on with what "
            "is missing there (default: nothing is kept).",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            parser=method_named,
            help="Whom the others are held against (default: the first method).",
        ),
    ] = None,
    rehearse: Annotated[
        int,
        typer.Option(
            metavar="SEEDS",
            min=0,
            help="Train each method once more, with so many of the seeds, for a "
            "rehearsal without a look at the test clips, and say whether that finds "
            "the better methods.",
        ),
    ] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time (default: one a core).")
    ] = None,
    device: Device = "cpu",
    cache: Cache = None,
    layout: Layout = None,
    words: Words = None,
    as_json: Json = False,
) -> None:
    """Train methods with several seeds and hold them against each other on test clips.

    Spectra are an .npz file of arrays train, train_machine, test, test_machine and
    test_is_anomaly.
    """
    from tempfile import TemporaryDirectory

    import numpy as np

    from asdlib import methods
    from asdlib.progress import progress_bar
    from asdlib.show.board import heard
    from asdlib.use import comparing, leaderboard
    from asdlib.use.board_page import write_page
    from asdlib.use.jobs import parts_of

    plan = comparing.new_plan(
        data,
        epochs=epochs,
        seconds=budget,
        layout=layout,
        words=words,
        device=device,
        cache=cache,
    )
    known, asked, labels, files = parts_of(plan)
    leaderboard.table_of(np.zeros(len(labels)), asked.machines, labels)  # or refuse
    kind = methods.kind_of(known)
    names = list(dict.fromkeys(method or ["nearest"]))
    if ALL in names:
        names = methods.every_name()
    absent = {name: why for name in names if (why := methods.cannot_read(name, kind))}
    names = [name for name in names if name not in absent]
    if not names:
        name, why = next(iter(absent.items()))
        raise AsdError(f"{spelled(name)} {why}: choose another method for these {kind}")
    with TemporaryDirectory() as temporary, progress_bar() as on_step:
        folder = out or Path(temporary)
        jobs = comparing.compare(
            plan,
            folder,
            names,
            range(seed, seed + seeds),
            rehearse=rehearse,
            workers=workers,
            on_step=on_step,
        )
        found = leaderboard.leaderboard(
            plan, folder, jobs, asked.machines, labels, against=against
        )
        found["absent"] = absent
        if out is not None:
            leaderboard.write(found, out)
            clips = heard(found, asked, labels, files)
            rate = asked.features.sample_rate if asked.features else 16000
            write_page(found, clips, out / "index.html", sample_rate=rate)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(f"{len(known)} training clips and {len(asked)} test clips")
    tell(found)
    if out is not None:
        print(f"the page, to sort and to hear: {out / 'index.html'}")


def tell(found: "dict[str, Any]") -> None:
    """Print a leaderboard: a table for each budget."""

    def percent(pair: list[float]) -> str:
        return f"{100 * pair[0]:.2f}" + f" ± {100 * pair[1]:.2f}" * (pair[1] > 0)

    titles = {
        "examples": f"{found['epochs']} epochs or as few clips need",
        "seconds": f"{found['seconds'] or 0:g} s of a core",
    }
    for budget in dict.fromkeys(row["budget"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["budget"] == budget]
        print_table(
            f"average over the types (%), {len(found['seeds'])} seeds, "
            f"{titles[budget]}",
            ("method", "scorer", "AUC", "95 %", "pAUC", "mAUC", "CPU s", "parameters"),
            [
                (
                    spelled(row["method"]),
                    row["scorer"],
                    percent(row["auc"]),
                    " to ".join(f"{100 * x:.1f}" for x in row["interval"]),
                    percent(row["pauc"]),
                    percent(row["mauc"]),
                    f"{row['costs']['train']:.0f}",
                    f"{row['costs']['parameters']:,.0f}",
                )
                for row in rows
                if "error" not in row
            ],
        )
        for row in rows:
            if "error" in row:
                print(f"{spelled(row['method'])}: n/a: {row['error']}")
    for name, why in found.get("absent", {}).items():
        print(f"{spelled(name)}: n/a: {why}")
    played = [row for row in found["rows"] if "rehearsal" in row]
    if played:
        played.sort(key=lambda row: -row["rehearsal"][0])
        print_table(
            "the rehearsal: AUC of strange machines in healthy training clips (%)",
            ("method", "rehearsal", "test clips"),
            [
                (spelled(row["method"]), *map(percent, (row["rehearsal"], row["auc"])))
                for row in played
            ],
        )
    if found["trust"]:
        trust = found["trust"]
        print(
            f"rank correlation of the two over {trust['count']} methods: "
            f"{trust['rho']:.2f} (95 %: {trust['low']:.2f} to {trust['high']:.2f})"
        )


@app.command(name="methods")
def list_methods(as_json: Json = False) -> None:
    """The methods that there are: the idea, where it is from, what it takes.

    Each can be trained (asd train DATA --method NAME --run RUN) and compared.
    """
    from asdlib import methods

    found = {name: methods.detector(name) for name in methods.every_name()}
    if as_json:
        about = [
            {
                "method": spelled(name),
                "name": method.NAME,
                "idea": method.IDEA,
                "paper": method.PAPER,
                "inputs": list(method.INPUTS),
                "scorers": list(method.SCORERS),
                "epochs": method.BUDGET.epochs,
                "seconds": method.COST,
            }
            for name, method in found.items()
        ]
        print(json.dumps(about, indent=1))
        return
    print_table(
        "methods; seconds of a core to train on 1,380 clips of 2 s",
        ("method", "idea", "paper", "reads", "seconds"),
        [
            (
                spelled(name),
                method.IDEA,
                method.PAPER,
                " and ".join(method.INPUTS),
                f"{method.COST:.0f}",
            )
            for name, method in found.items()
        ],
    )
