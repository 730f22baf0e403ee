"""Train a detector, and evaluate it on labelled clips."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    one_of,
    print_table,
    reading_of,
)
from asdlib.errors import AsdError

if TYPE_CHECKING:
    import pandas as pd

    from asdlib.use.config import RunConfig

Preset = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET",
        parser=one_of("asdlib.use.config:PRESETS"),
        help="book: 2 s clips, small network, minutes on a laptop. paper: for a GPU. "
        "(default: that of --config, else book)",
    ),
]
Short = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        parser=one_of("asdlib.sound.cache:SHORT"),
        help="What to do with clips that are too short: repeat or refuse.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="BITS",
        parser=one_of("asdlib.learn.training:PRECISIONS"),
        help="32, or bf16, which takes less memory and is faster for large networks "
        "where the processor knows it.",
    ),
]


@app.command()
def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Folder with <type>/{train,test}/*.wav, as in DCASE 2020 Task 2.",
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run directory to fill.")
    ] = None,
    preset: Preset = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with settings, any part of them; options go before it."
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config", help="Print the settings, for --config, and stop."
        ),
    ] = False,
    no_pretrain: Annotated[
        bool, typer.Option("--no-pretrain", help="Single-stage method: no stage 1.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(help="Clip length (default: the preset's).")
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option(help="Of the clips, in Hz; the mel bands go up to half of it."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of each stage (default: the preset's); few clips need more."
        ),
    ] = None,
    accumulation_steps: Annotated[
        int | None,
        typer.Option(
            "--accumulation-steps",
            "--parts",
            min=1,
            help="Compute each batch in so many parts, in less memory.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of initial weights, order of clips and held-out clips."
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = None,
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
    short: Short = None,
    cache: Cache = None,
) -> None:
    """Train both stages on the normal training clips of DATA.

    On several GPUs, or in several processes: torchrun --nproc-per-node=N -m -- asdlib
    train ...
    """
    from asdlib.processes import is_first
    from asdlib.progress import progress_bar
    from asdlib.sound.data import scan
    from asdlib.use.train import train as train_detector

    chosen = settings(
        preset,
        config,
        no_pretrain=no_pretrain,
        features={"seconds": seconds, "sample_rate": sample_rate},
        stage={"epochs": epochs, "accumulation_steps": accumulation_steps},
        reading={"channel": channel, "resample": resample or None, "short": short},
        run={"seed": seed, "precision": precision},
    )
    if print_config:
        print(json.dumps(chosen.chosen(), indent=1))
        return
    if data is None or run is None:
        missing = "DATA" if data is None else "--run"
        raise AsdError(f"{missing} is missing: asd train DATA --run RUN")
    try:
        with progress_bar() as on_step:
            detector = train_detector(
                scan(data),
                run,
                chosen,
                resume=resume,
                skip_single=skip_single,
                device=device,
                cache=cache,
                on_step=on_step,
            )
    except KeyboardInterrupt:
        print(
            "\nstopped; the last finished epoch is kept: repeat the command with "
            "--resume to go on",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    if not is_first():
        return
    clips, machines = len(detector.bank), len(detector.config.machines)
    print(f"trained on {clips} clips of {machines} machines")
    print(f"next: asd evaluate {data} --run {run}")


def settings(
    preset: str | None,
    file: Path | None,
    *,
    no_pretrain: bool,
    features: dict[str, Any],
    stage: dict[str, Any],
    reading: dict[str, Any],
    run: dict[str, Any],
) -> "RunConfig":
    """The settings of a preset, then those in a file, then those that are not None."""
    from dataclasses import replace

    from asdlib.use.config import PRESETS
    from asdlib.use.run import read_settings

    def given(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value is not None}

    if file is None:
        config = PRESETS[preset or "book"]
    else:
        first = PRESETS[preset or "book"]
        presets = {preset: first} if preset else {"book": first, **PRESETS}
        config = read_settings(file, presets=presets)
    features = given(features)
    if "sample_rate" in features:
        features["f_max"] = features["sample_rate"] / 2
    epochs, steps = stage["epochs"], stage["accumulation_steps"]
    for name in ("pretrain", "finetune"):
        trained = getattr(config, name)
        if trained is None:  # a preset or a file without stage 1
            continue
        if epochs is not None:
            trained = trained.of(epochs)
        if steps is not None:
            trained = replace(trained, accumulation_steps=steps)
        config = replace(config, **{name: trained})
    return replace(
        config,
        features=replace(config.features, **features),
        reading=replace(config.reading, **given(reading)),
        **({"pretrain": None} if no_pretrain else {}),
        **given(run),
    )


@app.command()
def evaluate(
    data: Data,
    run: Run,
    scorer: ScorerName = "softmax",
    csv: Annotated[
        Path | None, typer.Option(help="Folder for anomaly_score_<type>_id_<nn>.csv.")
    ] = None,
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Score the test clips of DATA.

    AUC, pAUC and mAUC are given where normal and anomalous clips are known.
    """
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
            f"{data} has no test clip of a machine that this run knows ({known}): "
            "choose other data or another run"
        )
    with progress_bar() as on_step:
        where = {"device": device, "cache": cache, "on_step": on_step}
        reading = reading_of(detector, channel, resample)
        table = detector.score_clips(clips, reading=reading, **where)
        results = {}
        for name in scorer_names():
            scored, resamples = table.assign(score=table[name]), 1000 * (name == scorer)
            results[name] = machine_table(scored, resamples=resamples, on_step=on_step)
    chosen = table.assign(score=table[scorer])
    paths = write_challenge_csv(chosen, csv) if csv else []
    if as_json:
        machines = results[scorer].to_dict(orient="index")
        types = type_table(results[scorer]).to_dict(orient="index") if machines else {}
        found = {"scorer": scorer, "machines": machines, "types": types}
        print(json.dumps(found | {"not_in_run": unknown}, indent=1))
        return
    if unknown:
        print(f"left out, not in this run: {', '.join(unknown)}")
    print(f"{len(table)} test clips of {table.machine.nunique()} machines")
    if len(results[scorer]):
        _print_results(results, scorer)
    one_sided = sorted(set(table.machine) - set(results[scorer].index))
    if one_sided:
        names = ", ".join(one_sided)
        print(f"no AUC, normal and anomalous clips are not both known: {names}")
    if paths:
        print(f"wrote {len(paths)} CSV files to {csv}")


def _print_results(results: "dict[str, pd.DataFrame]", scorer: str) -> None:
    from asdlib.judge.metrics import type_table

    def percent(*fractions: float) -> tuple[str, ...]:
        return tuple(f"{100 * fraction:.2f}" for fraction in fractions)

    rows = []
    for machine, row in results[scorer].iterrows():
        interval = f"{100 * row.auc_low:.1f}-{100 * row.auc_high:.1f}"
        area, partial = percent(row.auc, row.pauc)
        rows.append((str(machine), str(int(row.clips)), area, interval, partial))
    columns = ("machine", "clips", "AUC", "95 % interval", "pAUC")
    print_table(f"per machine, scorer {scorer} (%)", columns, rows)
    types = type_table(results[scorer])
    print_table(
        f"per machine type, scorer {scorer} (%)",
        ("type", "AUC", "pAUC", "mAUC"),
        [(str(name), *percent(*row)) for name, row in types.iterrows()],
    )
    averages = {name: type_table(t).loc["average"] for name, t in results.items()}
    print_table(
        "average over the types, every scorer (%)",
        ("scorer", "AUC", "pAUC", "mAUC"),
        [(name, *percent(*row)) for name, row in averages.items()],
    )
