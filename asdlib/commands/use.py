"""Use a detector: score recordings and streams, thresholds, reports, ONNX."""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    one_of,
    print_table,
    reading_of,
)
from asdlib.errors import AsdError

if TYPE_CHECKING:
    import numpy as np

    from asdlib.sound.cache import ReadOptions
    from asdlib.use.detector import Detector

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Recordings of one machine.")
]
Machine = Annotated[
    str, typer.Option(help="Which machine they are of, as TYPE/ID, e.g. fan/id_00.")
]
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
    scorer: ScorerName = "softmax",
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
            f"two recordings of one name would share a file in {csv}: rename one, or "
            "call asd score once for each"
        )
    if csv is not None and every is None:
        raise AsdError("--csv is for scores along a recording: add --every SECONDS")
    about = {"machine": machine, "scorer": scorer, "threshold": limit}
    if every is not None:
        how = {"every": every, "reading": reading, "device": device}
        tracks = _tracks(files, detector, machine, scorer, limit, csv, as_json, how)
        if as_json:
            print(json.dumps(about | {"tracks": tracks}, indent=1))
        return
    embeddings = _embeddings(files, detector, machine, reading, device)
    rows = []
    for path, value in zip(
        files, detector.scores(embeddings, machine, scorer), strict=True
    ):
        share = detector.training_share(value, machine, scorer)
        row = {"file": str(path), "score": float(value), "training_share": share}
        rows.append(row | ({} if limit is None else {"alarm": bool(value > limit)}))
    if as_json:
        print(json.dumps(about | {"scores": rows}, indent=1))
        return
    columns = ("file", "score", "above this share of the training clips")
    told = [
        (row["file"], f"{row['score']:.4f}", f"{row['training_share']:.0%}")
        for row in rows
    ]
    title = f"{machine}, scorer {scorer}"
    if limit is None:
        print_table(title, columns, told)
    else:
        title += f", threshold {limit:.4f}"
        alarms = [("ALARM" if row["alarm"] else "no",) for row in rows]
        judged = [row + alarm for row, alarm in zip(told, alarms, strict=True)]
        print_table(title, (*columns, "alarm"), judged)
    print(
        "The network knows its training clips: new clips of a healthy machine score "
        "above most of them, too."
    )


def _tracks(
    files: list[Path],
    detector: "Detector",
    machine: str,
    scorer: str,
    limit: float | None,
    csv: Path | None,
    as_json: bool,
    how: dict[str, Any],
) -> list[dict[str, Any]]:
    """Score along each of ``files``, and tell the user unless it is to be JSON."""
    import numpy as np

    from asdlib.progress import progress_bar
    from asdlib.use.stream import score as score_along

    out = []
    for path in files:
        with progress_bar() as on_step:
            options = {"run": detector, "machine": machine, "scorer": scorer, **how}
            track = score_along(path, on_step=on_step, **options)
        if csv is not None:
            try:
                csv.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise AsdError(
                    f"cannot make the folder {csv} ({error.strerror}): choose another "
                    "place"
                ) from error
            track.write_csv(csv / f"{path.stem}.csv")
        segments = [] if limit is None else track.segments(limit)
        # JSON has no NaN.
        values = [None if np.isnan(value) else value for value in track.score]
        found = {"file": str(path), "seconds": track.seconds, "start": track.start}
        found |= {"score": values, "segments": [vars(segment) for segment in segments]}
        out.append(found)
        if as_json:
            continue
        start, highest = track.highest
        print(
            f"{path}: {len(track.start)} windows of {track.seconds:g} s; highest score "
            f"{highest:.4f} at {start:.1f} s"
        )
        if limit is not None:
            print_table(
                f"above the threshold {limit:.4f}",
                ("from (s)", "to (s)", "highest score"),
                [(f"{s.start:.1f}", f"{s.end:.1f}", f"{s.peak:.4f}") for s in segments],
            )
    return out


@app.command()
def stream(
    run: Run,
    machine: Machine,
    scorer: ScorerName = "softmax",
    every: Annotated[
        float | None,
        typer.Option(help="A score every so many seconds (default: a clip's length)."),
    ] = None,
    threshold: Limit = None,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            "--sample-rate", "--rate", min=1, help="Of the stream (default: the run's)."
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Score sound as it comes in.

    Raw 16-bit mono samples on standard input, a line "start score" for each window, for
    example: arecord -q -t raw -f S16_LE -r 16000 | asd stream --run RUN --machine
    fan/id_00
    """
    import numpy as np

    from asdlib.use.detector import Detector
    from asdlib.use.stream import StreamScorer

    detector = Detector.load(run)
    limit = _limit(run, machine, scorer, threshold)
    how = {"every": every, "sample_rate": sample_rate, "device": device}
    scored = StreamScorer(detector, machine, scorer=scorer, **how)

    def tell(windows: list[tuple[float, float]]) -> None:
        for start, value in windows:
            alarm = " ALARM" if limit is not None and value > limit else ""
            text = "silent" if np.isnan(value) else f"{value:.6g}{alarm}"
            print(f"{start:.3f} {text}", flush=True)

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
    scorer: ScorerName = "softmax",
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
    from asdlib.use.detector import Detector
    from asdlib.use.thresholds import keep_threshold

    detector = Detector.load(run)
    detector.label(machine)
    reading = reading_of(detector, channel, resample)
    embeddings = _embeddings(files, detector, machine, reading, device)
    refuse_known(detector.bank, embeddings, list(map(str, files)))
    scores = detector.scores(embeddings, machine, scorer)
    found = choose_threshold(scores, rate=rate, method=method)
    keep_threshold(run, machine, scorer, found)
    if as_json:
        about = {"machine": machine, "scorer": scorer}
        print(json.dumps(about | asdict(found), indent=1))
        return
    print(
        f"{machine}, scorer {scorer}: alarm above {found.value:.4f} ({found.method}, "
        f"{found.clips} healthy clips)"
    )
    print(
        f"expected false alarms: {found.expected:.1%} of healthy clips of the same kind; "
        f"for this machine, between {found.low:.1%} and {found.high:.1%} (95 % interval)"
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
    scorer: ScorerName = "softmax",
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    cache: Cache = None,
) -> None:
    """Write a page with scores, alarms, pictures and players.

    It opens in any browser, offline.
    """
    from asdlib.progress import progress_bar
    from asdlib.sound.data import scan
    from asdlib.use.detector import Detector
    from asdlib.use.report import write_report
    from asdlib.use.thresholds import read_thresholds

    detector = Detector.load(run)
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
        options = {"device": device, "cache": cache, "on_step": on_step}
        options |= {"scorer": scorer, "reading": reading}
        alarms = write_report(out, clips, detector, limits, **options)
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


def _limit(run: Path, machine: str, scorer: str, given: float | None) -> float | None:
    """The threshold that was given, or else the one that is kept in the run."""
    from asdlib.use.thresholds import read_thresholds

    if given is not None:
        if not math.isfinite(given):
            raise AsdError(f"a threshold of {given} makes no sense: choose a number")
        return given
    kept = read_thresholds(run).get(machine, {}).get(scorer)
    return None if kept is None else kept.value


def _embeddings(
    files: list[Path],
    detector: "Detector",
    machine: str,
    reading: "ReadOptions",
    device: str,
) -> "np.ndarray":
    from asdlib.learn.embedding import embed
    from asdlib.progress import progress_bar
    from asdlib.sound.cache import features_now
    from asdlib.sound.data import Clip

    name = machine.split("/")
    clips = [Clip(path, name[0], name[1], "test", "unknown") for path in files]
    with progress_bar() as on_step:
        options = {"options": reading, "on_step": on_step}
        arrays = features_now(clips, detector.config.features, **options)
        function, inputs = detector.model.embed, arrays.inputs
        return embed(function, inputs, device=device, on_step=on_step)
