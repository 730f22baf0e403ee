"""Judge with a detector: choose a threshold, write a report, export to ONNX."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asdlib.commands import (
    Cache,
    Channel,
    Device,
    Files,
    Json,
    Layout,
    Machine,
    Partial,
    Resample,
    Run,
    ScorerName,
    Words,
    app,
    clips_of,
    embeddings_of,
    end_with,
    found_in,
    one_of,
    reading_of,
    recordings_in,
)
from asdlib.errors import AsdError

if TYPE_CHECKING:
    import numpy as np

    from asdlib.sound.data import Clip


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
    partial: Partial = False,
    as_json: Json = False,
) -> None:
    """Choose an alarm threshold from healthy recordings, and keep it in the run.

    They must be recordings that were not trained on. Long ones are cut into clips.
    """
    from dataclasses import asdict

    from asdlib.judge.threshold import choose_threshold, refuse_known
    from asdlib.show.numbers import told_apart
    from asdlib.sound.stretches import cut_long, look_into
    from asdlib.use.detector import Detector
    from asdlib.use.thresholds import keep_threshold

    detector = Detector.load(run)
    scorer = detector.scorer(scorer)
    detector.label(machine)
    reading = reading_of(detector, channel, resample, partial)
    clips, features = clips_of(machine, recordings_in(files)), detector.config.features
    looks, _ = look_into(clips, sample_rate=features.sample_rate, options=reading)
    clips, _ = cut_long(clips, looks, features.seconds, reading)
    embeddings = embeddings_of(clips, detector, reading, device)
    refuse_known(detector.bank, embeddings, [clip.called for clip in clips])
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
    partial: Partial = False,
    cache: Cache = None,
    layout: Layout = None,
    words: Words = None,
) -> None:
    """Write a page with scores, alarms, pictures and players.

    It opens in any browser, offline.
    """
    from asdlib.progress import progress_bar
    from asdlib.use.detector import Detector
    from asdlib.use.report import write_report
    from asdlib.use.thresholds import read_thresholds

    detector = Detector.load(run)
    scorer = detector.scorer(scorer)
    known = detector.config.machines
    tests = [clip for clip in found_in(data, layout, words) if clip.split == "test"]
    clips = [clip for clip in tests if clip.machine in known]
    if not clips:
        raise AsdError(
            f"{data} has no test clip of a machine that this run knows: choose other "
            "data or another run"
        )
    kept = read_thresholds(run)
    limits = {name: by[scorer].value for name, by in kept.items() if scorer in by}
    reading = reading_of(detector, channel, resample, partial)
    bad: dict[Clip, AsdError] = {}
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
            bad=bad,
            on_step=on_step,
        )
    print(f"wrote {out}: {len(clips) - len(bad)} recordings, {alarms} alarms")
    end_with(bad, len(clips))


@app.command()
def export(
    run: Run,
    out: Annotated[Path | None, typer.Option(help="ONNX file to write.")] = None,
    web: Annotated[
        Path | None, typer.Option(help="Script for a page to write, OUT.js.")
    ] = None,
    scorer: ScorerName = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="With --out: the network in 8 bits, in the ranges that the training "
            "clips in this folder show.",
        ),
    ] = None,
) -> None:
    """Write the detector as one ONNX file, for onnxruntime in any language.

    Or as one plain script for a page, which needs no server and no library. The front
    end is included in both.
    """
    if out is None and web is None:
        raise AsdError("nothing to write: give --out FILE.onnx, or --web FILE.js")
    if out is None and (scorer, int8) != (None, None):
        raise AsdError("--scorer and --int8 are for ONNX: give --out FILE.onnx, too")
    if out is not None:
        from asdlib.use.export import export as export_to

        waveforms = None if int8 is None else _waveforms_of(run, int8)
        export_to(run, out, scorer=scorer, int8=waveforms)
        size = out.stat().st_size / 1e6
        print(
            f"wrote {out}: {size:.2f} MB, waveform (clips, samples) in, score (clips, "
            "machines) out"
        )
    if web is not None:
        from asdlib.use.web import write_web

        write_web(run, web)
        size = web.stat().st_size / 1e6
        print(f"wrote {web}: {size:.2f} MB, open it in a page; its first lines say how")


def _waveforms_of(run: Path, data: Path) -> "np.ndarray":
    """The training clips in a folder, of the machines that a run knows."""
    from asdlib.sound.cache import features_of
    from asdlib.use.run import read_config

    config = read_config(run)
    found = found_in(data, None, None)
    clips = [c for c in found if c.split == "train" and c.machine in config.machines]
    if not clips:
        raise AsdError(
            f"{data} has no training clips of the machines of {run}: give the folder "
            "that it was trained on"
        )
    return features_of(clips, config.features, options=config.reading).inputs[0]
