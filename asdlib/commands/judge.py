"""Judge with a detector: choose a threshold, write a report, export to ONNX."""

import json
from pathlib import Path
from typing import Annotated

import typer

from asdlib.commands import (
    Cache,
    Channel,
    Device,
    Files,
    Json,
    Machine,
    Resample,
    Run,
    ScorerName,
    app,
    embeddings_of,
    one_of,
    reading_of,
)
from asdlib.errors import AsdError


@app.command()
def threshold(
    files: Files,
    run: Run,
    machine: Machine,
    scorer: ScorerName = None,
    rate: Annotated[
        float, typer.Option(help="Share of healthy clips that may raise an alarm.")
    ] = 0.05,
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            parser=one_of("asdlib.judge.threshold:METHODS"),
            help="quantile assumes least, gamma needs fewer clips.",
        ),
    ] = "quantile",
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    as_json: Json = False,
) -> None:
    """Choose an alarm threshold from healthy recordings, and keep it in the run.

    They must be recordings that were not trained on.
    """
    from dataclasses import asdict

    from asdlib.judge.threshold import choose_threshold, refuse_known
    from asdlib.show.numbers import told_apart
    from asdlib.use.detector import Detector
    from asdlib.use.thresholds import keep_threshold

    detector = Detector.load(run)
    scorer = detector.scorer(scorer)
    detector.label(machine)
    reading = reading_of(detector, channel, resample)
    embeddings = embeddings_of(files, detector, machine, reading, device)
    refuse_known(detector.bank, embeddings, list(map(str, files)))
    scores = detector.scores(embeddings, machine, scorer)
    found = choose_threshold(scores, rate=rate, method=method)
    keep_threshold(run, machine, scorer, found)
    if as_json:
        about = {"machine": machine, "scorer": scorer}
        print(json.dumps(about | asdict(found), indent=1))
        return
    _, limit = told_apart(scores.tolist(), found.value)
    print(
        f"{machine}, scorer {scorer}: alarm above {limit} ({found.method}, "
        f"{found.clips} healthy clips)"
    )
    print(
        f"expected false alarms: {found.expected:.1%} of healthy clips of the same "
        f"kind; for this machine, between {found.low:.1%} and {found.high:.1%} "
        "(95 % interval)"
    )
    print(f"kept in {run / 'thresholds.json'}; asd score uses it")


@app.command()
def report(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with recordings to judge, <type>/test/*.wav."
        ),
    ],
    run: Run,
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    scorer: ScorerName = None,
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    cache: Cache = None,
) -> None:
    """Write a page with scores, alarms, pictures and players.

    It opens in any browser, offline.
    """
    from asdlib.progress import progress_bar
    from asdlib.sound.scan import scan
    from asdlib.use.detector import Detector
    from asdlib.use.report import write_report
    from asdlib.use.thresholds import read_thresholds

    detector = Detector.load(run)
    scorer = detector.scorer(scorer)
    known = detector.config.machines
    tests = [clip for clip in scan(data) if clip.split == "test"]
    clips = [clip for clip in tests if clip.machine in known]
    if not clips:
        raise AsdError(
            f"{data} has no test clip of a machine that this run knows: choose other "
            "data or another run"
        )
    kept = read_thresholds(run)
    limits = {name: by[scorer].value for name, by in kept.items() if scorer in by}
    reading = reading_of(detector, channel, resample)
    with progress_bar() as on_step:
        alarms = write_report(
            out,
            clips,
            detector,
            limits,
            scorer=scorer,
            reading=reading,
            device=device,
            cache=cache,
            on_step=on_step,
        )
    print(f"wrote {out}: {len(clips)} recordings, {alarms} alarms")


@app.command()
def export(
    run: Run, out: Annotated[Path, typer.Option(help="ONNX file to write.")]
) -> None:
    """Write the detector as one ONNX file, for onnxruntime in any language.

    The front end is included.
    """
    from asdlib.use.export import export as export_to

    export_to(run, out)
    print(f"wrote {out}: waveform (clips, samples) in, score (clips, machines) out")
