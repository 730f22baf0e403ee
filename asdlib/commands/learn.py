"""Train a detector."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asdlib.commands import (
    Cache,
    Channel,
    Device,
    Layout,
    Partial,
    Resample,
    Words,
    app,
    found_in,
    one_of,
    print_table,
)
from asdlib.commands.settings import config_of, method_named, seconds_in, settings
from asdlib.errors import AsdError

if TYPE_CHECKING:
    from asdlib.judge.rehearsal import Rehearsal

Preset = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET",
        parser=one_of("asdlib.use.config:PRESETS"),
        help="best: plain detectors and a network on whole clips. book: the paper's "
        "two stages, 2 s clips, small network, minutes on a laptop. paper: for a GPU. "
        "(default: that of --config, else best)",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        parser=method_named,
        help="ensemble, as --preset best; clp-scf, the paper's alone, as --preset "
        "book; or another of asd methods.",
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        parser=method_named,
        help="Whose network is in the ensemble beside the plain detectors (default: "
        "sub-cluster).",
    ),
]
Short = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        parser=one_of("asdlib.sound.computed:SHORT"),
        help="What to do with clips that are too short: repeat or refuse.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="BITS",
        parser=one_of("asdlib.learn.training:PRECISIONS"),
        help="32, or bf16, which takes less memory and, where the processor knows it, "
        "less time: another arithmetic, three digits.",
    ),
]


@app.command()
def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Folder of recordings, in any layout that is known, or a list of "
            "clips (.csv, .json); asd info DATA says what is found.",
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run directory to fill.")
    ] = None,
    method: Method = None,
    preset: Preset = None,
    network: Network = None,
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
        float | None,
        typer.Option(
            help="How much of a clip the network sees at a time (default: 2; of paper "
            "10, and it hears no more of a clip than that)."
        ),
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
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=seconds_in,
            help="As many epochs as fit into so much time, on this machine: 90s, 5m, "
            "2h (default: the preset's epochs).",
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
    partial: Partial = False,
    cache: Cache = None,
    layout: Layout = None,
    words: Words = None,
) -> None:
    """Train a detector on the normal training clips of DATA.

    On several GPUs, or in several processes: torchrun --nproc-per-node=N -m -- asdlib
    train ...
    """
    from asdlib.processes import is_first
    from asdlib.progress import progress_bar
    from asdlib.use.train import train as train_detector

    if budget is not None and epochs is not None:
        raise AsdError("--budget and --epochs both say how long: leave one out")
    chosen = settings(
        config_of(method, preset, network),
        config,
        no_pretrain=no_pretrain,
        features={"seconds": seconds, "sample_rate": sample_rate},
        stage={"epochs": epochs, "accumulation_steps": accumulation_steps},
        reading={
            "channel": channel,
            "resample": resample or None,
            "short": short,
            "partial": partial or None,
        },
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
                found_in(data, layout, words),
                run,
                chosen,
                budget=budget,
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
    if detector.rehearsal is not None:
        tell_rehearsal(detector.rehearsal)
    print(f"next: asd evaluate {data} --run {run}")


def tell_rehearsal(found: "Rehearsal") -> None:
    """Print what was chosen, and by what."""
    if not found.auc:
        print("no rehearsal: no machine of a type with two or more could be spared")
        return
    print(
        f"rehearsal, {found.healthy} healthy clips and {found.faults} mixtures of them "
        f"with {', '.join(found.strangers)}, which were left out:"
    )
    told = [(name, f"{100 * value:.1f}") for name, value in found.auc.items()]
    print_table("AUC of the rehearsal (%)", ("by", "AUC"), told)
    print(
        f"kept: {', '.join(found.kept)}; {100 * found.gain:+.1f} points beside plain "
        f"detectors alone ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    )
