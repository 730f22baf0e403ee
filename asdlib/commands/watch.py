"""Has a machine, or its room, changed since its threshold was chosen?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asdlib.commands import (
    Channel,
    Device,
    Files,
    Json,
    Machine,
    Partial,
    Resample,
    Run,
    ScorerName,
    app,
    clips_of,
    embeddings_of,
    one_of,
    reading_of,
    recordings_in,
)

if TYPE_CHECKING:
    from asdlib.sound.data import Clip

BLOCKS = ("recording", "folder")


@app.command()
def watch(
    files: Files,
    reference: Annotated[
        list[Path],
        typer.Option(
            help="Healthy recordings that were not trained on, such as those for asd "
            "threshold: a file or a folder; may be repeated."
        ),
    ],
    run: Run,
    machine: Machine,
    scorer: ScorerName = None,
    rate: Annotated[
        float,
        typer.Option(help="How often an unchanged machine may be called changed."),
    ] = 0.01,
    block: Annotated[
        str,
        typer.Option(
            metavar="BLOCK",
            parser=one_of("asdlib.commands.watch:BLOCKS"),
            help="What was recorded in a row, and is alike for that: recording, or "
            "folder (one a day).",
        ),
    ] = "recording",
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    partial: Partial = False,
    as_json: Json = False,
) -> None:
    """Ask whether recent recordings of a machine are like healthy ones of before.

    If not, the machine or the room has changed, and its threshold needs to be chosen
    again. The network knows its training clips, which score lower than any new one:
    they are refused as reference. Recordings of one day are more alike than those of
    two; so that an ordinary day is no change, give a folder a day, and --block folder.
    """
    from dataclasses import asdict

    from asdlib.judge.drift import Sample, drift
    from asdlib.judge.threshold import refuse_known
    from asdlib.sound.stretches import cut_long, look_into
    from asdlib.use.detector import Detector

    detector = Detector.load(run)
    scorer = detector.scorer(scorer)
    detector.label(machine)
    reading = reading_of(detector, channel, resample, partial)
    features = detector.config.features

    def cut(paths: list[Path]) -> "list[Clip]":
        clips = clips_of(machine, recordings_in(paths))
        looks, _ = look_into(clips, sample_rate=features.sample_rate, options=reading)
        return cut_long(clips, looks, features.seconds, reading)[0]

    known, clips = cut(reference), cut(files)
    embeddings = embeddings_of([*known, *clips], detector, reading, device)
    refuse_known(detector.bank, embeddings, [clip.called for clip in [*known, *clips]])
    scores = detector.scores(embeddings, machine, scorer)
    paths = [Path(clip.path) for clip in [*known, *clips]]
    blocks = [path if block == "recording" else path.parent for path in paths]
    n = len(known)
    found = drift(
        Sample(embeddings[:n], scores[:n], blocks[:n]),
        Sample(embeddings[n:], scores[n:], blocks[n:]),
        rate=rate,
    )
    if as_json:
        about = {"machine": machine, "scorer": scorer, "block": block}
        print(json.dumps(about | asdict(found), indent=1))
        return
    counts = [
        f"{clips} clips of {blocks} {block}s"
        for clips, blocks in zip(found.clips, found.blocks, strict=True)
    ]
    print(f"{machine}, scorer {scorer}: {counts[1]}, against {counts[0]}")
    print(
        f"scores: p = {found.p_scores:.4f}; a recent clip scores higher than one of "
        f"the reference with a chance of {found.higher:.0%}"
    )
    print(f"embeddings: p = {found.p_embeddings:.4f}")
    if found.changed:
        print(
            "The machine or the room has changed: see what it is, and calibrate again "
            "(asd threshold), with healthy recordings of now."
        )
    else:
        print(
            f"No change is seen. (Of machines without one, {rate:.1%} are called "
            "changed.)"
        )
