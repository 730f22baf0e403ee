"""Train a detector, and evaluate it on labelled clips."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from asdlib.commands import (
    Cache,
    Channel,
    Data,
    Device,
    Json,
    Resample,
    Run,
    ScorerName,
    app,
    print_table,
    reading_of,
)
from asdlib.errors import AsdError


@app.command()
def train(
    data: Data,
    run: Run,
    preset: Annotated[
        Literal["book", "paper"],
        typer.Option(
            help="book: 2 s clips, small network, minutes on a laptop. paper: for a GPU."
        ),
    ] = "book",
    no_pretrain: Annotated[
        bool,
        typer.Option("--no-pretrain", help="Single-stage method: leave out stage 1."),
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(help="Clip length (default: the preset's).")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of each stage (default: the preset's); few clips need more.",
        ),
    ] = None,
    parts: Annotated[
        int,
        typer.Option(
            min=1, help="Compute each batch in so many parts, in less memory."
        ),
    ] = 1,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Of initial weights, order of clips and held-out clips."
        ),
    ] = 0,
    device: Device = "auto",
    precision: Annotated[
        Literal["32", "bf16"],
        typer.Option(help="bf16 is faster where the processor knows it."),
    ] = "32",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
    skip_single: Annotated[
        bool,
        typer.Option(
            "--skip-single", help="Leave out machines with a single training clip."
        ),
    ] = False,
    channel: Channel = None,
    resample: Resample = False,
    short: Annotated[
        Literal["repeat", "refuse"],
        typer.Option(help="What to do with clips that are too short."),
    ] = "repeat",
    cache: Cache = None,
) -> None:
    """Train both stages on the normal training clips of DATA.

    On several GPUs, or in several processes: torchrun --nproc-per-node=N -m -- asdlib train ...
    """
    from dataclasses import replace

    from asdlib.processes import is_first
    from asdlib.progress import progress_bar
    from asdlib.sound.cache import ReadOptions
    from asdlib.sound.data import scan
    from asdlib.use.detector import train as train_detector
    from asdlib.use.run import PRESETS

    config = PRESETS[preset]
    if seconds is not None:
        config = replace(config, features=replace(config.features, seconds=seconds))
    if epochs is not None:
        config = replace(
            config,
            pretrain=config.pretrain.of(epochs),
            finetune=config.finetune.of(epochs),
        )
    stages = {
        name: replace(getattr(config, name), parts=parts)
        for name in ("pretrain", "finetune")
    }
    config = replace(config, **stages)
    if no_pretrain:
        config = replace(config, pretrain=None)
    config = replace(
        config,
        seed=seed,
        precision=precision,
        reading=ReadOptions(channel, resample, short),
    )
    clips = scan(data)
    try:
        with progress_bar() as on_step:
            options = {
                "resume": resume,
                "skip_single": skip_single,
                "device": device,
                "cache": cache,
            }
            detector = train_detector(clips, run, config, on_step=on_step, **options)
    except KeyboardInterrupt:
        print(
            "\nstopped; the last finished epoch is kept: repeat the command with --resume to go on",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    if not is_first():
        return
    print(
        f"trained on {len(detector.bank)} clips of {len(detector.config.machines)} machines"
    )
    print(f"next: asd evaluate {data} --run {run}")


@app.command()
def evaluate(
    data: Data,
    run: Run,
    scorer: Annotated[
        ScorerName,
        typer.Option(help="Scorer of the per-type table, the CSV files and the JSON."),
    ] = "softmax",
    csv: Annotated[
        Path | None,
        typer.Option(help="Folder for anomaly_score_<type>_id_<nn>.csv files."),
    ] = None,
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Score the test clips of DATA; AUC, pAUC and mAUC where normal and anomalous ones are known."""
    from asdlib.judge.metrics import machine_table, type_table, write_challenge_csv
    from asdlib.judge.scorers import scorer_names
    from asdlib.progress import progress_bar
    from asdlib.sound.data import scan
    from asdlib.use.detector import Detector

    detector = Detector.load(run)
    clips = [clip for clip in scan(data) if clip.split == "test"]
    unknown = sorted({clip.machine for clip in clips} - set(detector.config.machines))
    clips = [clip for clip in clips if clip.machine not in unknown]
    if not clips:
        known = ", ".join(detector.config.machines)
        raise AsdError(
            f"{data} has no test clip of a machine that this run knows ({known}): choose other data or another run"
        )
    with progress_bar() as on_step:
        reading = reading_of(detector, channel, resample)
        table = detector.score_clips(
            clips, reading=reading, device=device, cache=cache, on_step=on_step
        )
        results = {
            name: machine_table(
                table.assign(score=table[name]),
                resamples=1000 if name == scorer else 0,
                on_step=on_step,
            )
            for name in scorer_names()
        }
    paths = write_challenge_csv(table.assign(score=table[scorer]), csv) if csv else []
    if as_json:
        machines = results[scorer].to_dict(orient="index")
        types = type_table(results[scorer]).to_dict(orient="index") if machines else {}
        print(
            json.dumps(
                {
                    "scorer": scorer,
                    "machines": machines,
                    "types": types,
                    "not_in_run": unknown,
                },
                indent=1,
            )
        )
        return
    if unknown:
        print(f"left out, not in this run: {', '.join(unknown)}")
    print(f"{len(table)} test clips of {table.machine.nunique()} machines")
    if len(results[scorer]):
        _print_results(results, scorer)
    one_sided = sorted(set(table.machine) - set(results[scorer].index))
    if one_sided:
        print(
            f"no AUC, normal and anomalous clips are not both known: {', '.join(one_sided)}"
        )
    if paths:
        print(f"wrote {len(paths)} CSV files to {csv}")


def _print_results(results, scorer: str) -> None:
    from asdlib.judge.metrics import type_table

    percent = "{:.2f}".format
    print_table(
        f"per machine, scorer {scorer} (%)",
        ("machine", "clips", "AUC", "95 % interval", "pAUC"),
        [
            (
                m,
                str(int(r.clips)),
                percent(100 * r.auc),
                f"{100 * r.auc_low:.1f}-{100 * r.auc_high:.1f}",
                percent(100 * r.pauc),
            )
            for m, r in results[scorer].iterrows()
        ],
    )
    print_table(
        f"per machine type, scorer {scorer} (%)",
        ("type", "AUC", "pAUC", "mAUC"),
        [
            (t, *(percent(100 * v) for v in row))
            for t, row in type_table(results[scorer]).iterrows()
        ],
    )
    print_table(
        "average over the types, every scorer (%)",
        ("scorer", "AUC", "pAUC", "mAUC"),
        [
            (name, *(percent(100 * v) for v in type_table(table).loc["average"]))
            for name, table in results.items()
        ],
    )
