"""Use a detector: score recordings of any length and live streams, choose a threshold, write a report, export to ONNX."""

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from asdlib.commands import (
    Cache,
    Channel,
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

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Recordings of one machine.")
]
Machine = Annotated[
    str, typer.Option(help="Which machine they are of, as TYPE/ID, e.g. fan/id_00.")
]
Scorer = Annotated[ScorerName, typer.Option(help="What the score is; see the book.")]
Limit = Annotated[
    float | None,
    typer.Option(
        "--threshold", help="Alarm above this score (default: the run's threshold)."
    ),
]


@app.command()
def score(
    files: Files,
    run: Run,
    machine: Machine,
    scorer: Scorer = "softmax",
    every: Annotated[
        float | None,
        typer.Option(help="Long recordings: a score every so many seconds."),
    ] = None,
    threshold: Limit = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="With --every: folder for FILE.csv with all the scores."),
    ] = None,
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    as_json: Json = False,
) -> None:
    """Score recordings of one machine; larger is more anomalous."""
    from asdlib.use.detector import Detector

    detector = Detector.load(run)
    detector.label(machine)
    limit = _limit(run, machine, scorer, threshold)
    reading = reading_of(detector, channel, resample)
    if csv is not None and len({path.stem for path in files}) < len(files):
        raise AsdError(
            f"two recordings of one name would share a file in {csv}: rename one, or call asd score once for each"
        )
    if every is not None:
        _score_along(
            files,
            detector,
            machine,
            scorer,
            every,
            limit,
            csv,
            reading,
            device,
            as_json,
        )
        return
    if csv is not None:
        raise AsdError("--csv is for scores along a recording: add --every SECONDS")
    scores = detector.scores(
        _embeddings(files, detector, machine, reading, device), machine, scorer
    )
    rows = [
        {
            "file": str(path),
            "score": float(value),
            "training_share": detector.training_share(value, machine, scorer),
        }
        | ({} if limit is None else {"alarm": bool(value > limit)})
        for path, value in zip(files, scores, strict=True)
    ]
    if as_json:
        print(
            json.dumps(
                {
                    "machine": machine,
                    "scorer": scorer,
                    "threshold": limit,
                    "scores": rows,
                },
                indent=1,
            )
        )
        return
    print_table(
        f"{machine}, scorer {scorer}"
        + ("" if limit is None else f", threshold {limit:.4f}"),
        (
            "file",
            "score",
            "above this share of the training clips",
            *([] if limit is None else ["alarm"]),
        ),
        [
            (row["file"], f"{row['score']:.4f}", f"{row['training_share']:.0%}")
            + (() if limit is None else ("ALARM" if row["alarm"] else "no",))
            for row in rows
        ],
    )
    print(
        "The network knows its training clips: new clips of a healthy machine score above most of them, too."
    )


def _score_along(
    files, detector, machine, scorer, every, limit, csv, reading, device, as_json
) -> None:
    import numpy as np

    from asdlib.progress import progress_bar
    from asdlib.use.stream import score as score_along

    out = []
    for path in files:
        with progress_bar() as on_step:
            options = {
                "every": every,
                "scorer": scorer,
                "reading": reading,
                "device": device,
                "on_step": on_step,
            }
            track = score_along(path, run=detector, machine=machine, **options)
        if csv is not None:
            try:
                csv.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise AsdError(
                    f"cannot make the folder {csv} ({error.strerror}): choose another place"
                ) from error
            track.write_csv(csv / f"{path.stem}.csv")
        segments = [] if limit is None else track.segments(limit)
        values = [
            None if np.isnan(value) else value for value in track.score
        ]  # JSON has no NaN
        out.append(
            {
                "file": str(path),
                "seconds": track.seconds,
                "start": track.start,
                "score": values,
            }
        )
        out[-1]["segments"] = [vars(segment) for segment in segments]
        if as_json:
            continue
        start, highest = track.highest
        print(
            f"{path}: {len(track.start)} windows of {track.seconds:g} s; highest score {highest:.4f} at {start:.1f} s"
        )
        if limit is not None:
            print_table(
                f"above the threshold {limit:.4f}",
                ("from (s)", "to (s)", "highest score"),
                [(f"{s.start:.1f}", f"{s.end:.1f}", f"{s.peak:.4f}") for s in segments],
            )
    if as_json:
        content = {
            "machine": machine,
            "scorer": scorer,
            "threshold": limit,
            "tracks": out,
        }
        print(json.dumps(content, indent=1))


@app.command()
def stream(
    run: Run,
    machine: Machine,
    scorer: Scorer = "softmax",
    every: Annotated[
        float | None,
        typer.Option(help="A score every so many seconds (default: a clip's length)."),
    ] = None,
    threshold: Limit = None,
    rate: Annotated[
        int | None,
        typer.Option(min=1, help="Sample rate of the stream (default: the run's)."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Score sound as it comes in: raw 16-bit mono samples on standard input, a line "start score" for each window.

    For example: arecord -q -t raw -f S16_LE -r 16000 | asd stream --run RUN --machine fan/id_00
    """
    import numpy as np

    from asdlib.use.detector import Detector
    from asdlib.use.stream import StreamScorer

    detector = Detector.load(run)
    limit = _limit(run, machine, scorer, threshold)
    scored = StreamScorer(
        detector, machine, every=every, scorer=scorer, sample_rate=rate, device=device
    )

    def tell(windows):
        for start, value in windows:
            alarm = " ALARM" if limit is not None and value > limit else ""
            print(
                f"{start:.3f} "
                + ("silent" if np.isnan(value) else f"{value:.6g}{alarm}"),
                flush=True,
            )

    odd = b""
    while piece := sys.stdin.buffer.read1(2**16):
        piece = odd + piece
        whole = len(piece) // 2 * 2
        odd = piece[whole:]
        tell(scored.push(np.frombuffer(piece[:whole], "<i2").astype(np.int16)))
    tell(scored.finish(short=detector.config.reading.short))


@app.command()
def threshold(
    files: Files,
    run: Run,
    machine: Machine,
    scorer: Scorer = "softmax",
    rate: Annotated[
        float, typer.Option(help="Share of healthy clips that may raise an alarm.")
    ] = 0.05,
    method: Annotated[
        Literal["quantile", "gamma"],
        typer.Option(help="quantile assumes least, gamma needs fewer clips."),
    ] = "quantile",
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    as_json: Json = False,
) -> None:
    """Choose an alarm threshold from healthy recordings that were not trained on, and keep it in the run."""
    from dataclasses import asdict

    from asdlib.judge.threshold import choose_threshold, refuse_known
    from asdlib.use.detector import Detector
    from asdlib.use.thresholds import keep_threshold

    detector = Detector.load(run)
    detector.label(machine)
    embeddings = _embeddings(
        files, detector, machine, reading_of(detector, channel, resample), device
    )
    refuse_known(detector.bank, embeddings, list(map(str, files)))
    found = choose_threshold(
        detector.scores(embeddings, machine, scorer), rate=rate, method=method
    )
    keep_threshold(run, machine, scorer, found)
    if as_json:
        print(
            json.dumps({"machine": machine, "scorer": scorer} | asdict(found), indent=1)
        )
        return
    print(
        f"{machine}, scorer {scorer}: alarm above {found.value:.4f} ({found.method}, {found.clips} healthy clips)"
    )
    print(
        f"expected false alarms: {found.expected:.1%} of healthy clips of the same kind; for this machine, "
        f"between {found.low:.1%} and {found.high:.1%} (95 % interval)"
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
    scorer: Scorer = "softmax",
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    cache: Cache = None,
) -> None:
    """Write a page with scores, alarms, pictures and players that opens in any browser, offline."""
    from asdlib.progress import progress_bar
    from asdlib.sound.data import scan
    from asdlib.use.detector import Detector
    from asdlib.use.report import write_report
    from asdlib.use.thresholds import read_thresholds

    detector = Detector.load(run)
    clips = [
        clip
        for clip in scan(data)
        if clip.split == "test" and clip.machine in detector.config.machines
    ]
    if not clips:
        raise AsdError(
            f"{data} has no test clip of a machine that this run knows: choose other data or another run"
        )
    limits = {
        m: by[scorer].value for m, by in read_thresholds(run).items() if scorer in by
    }
    with progress_bar() as on_step:
        options = {
            "scorer": scorer,
            "reading": reading_of(detector, channel, resample),
            "device": device,
            "cache": cache,
        }
        alarms = write_report(out, clips, detector, limits, on_step=on_step, **options)
    print(f"wrote {out}: {len(clips)} recordings, {alarms} alarms")


@app.command()
def export(
    run: Run, out: Annotated[Path, typer.Option(help="ONNX file to write.")]
) -> None:
    """Write the detector as one ONNX file, front end included, for onnxruntime in any language."""
    from asdlib.use.export import export as export_to

    export_to(run, out)
    print(f"wrote {out}: waveform (clips, samples) in, score (clips, machines) out")


def _limit(run: Path, machine: str, scorer: str, given: float | None) -> float | None:
    """The threshold that was given, or else the one that is kept in the run."""
    from asdlib.use.thresholds import read_thresholds

    if given is not None:
        if not math.isfinite(given):
            raise AsdError(f"a threshold of {given} makes no sense: choose a number")
        return given
    kept = read_thresholds(run).get(machine, {}).get(scorer)
    return None if kept is None else kept.value


def _embeddings(files, detector, machine: str, reading, device: str):
    from asdlib.learn.embedding import embed
    from asdlib.progress import progress_bar
    from asdlib.sound.cache import features_now
    from asdlib.sound.data import Clip

    machine_type, machine_id = machine.split("/")
    clips = [Clip(path, machine_type, machine_id, "test", "unknown") for path in files]
    with progress_bar() as on_step:
        arrays = features_now(
            clips, detector.config.features, options=reading, on_step=on_step
        )
        return embed(
            detector.model.embed, arrays.inputs, device=device, on_step=on_step
        )
