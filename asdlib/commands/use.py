"""Score recordings, of any length."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asdlib.commands import (
    Channel,
    Device,
    Files,
    Json,
    Limit,
    Machine,
    Partial,
    Resample,
    Run,
    ScorerName,
    app,
    clips_of,
    end_with,
    limit_of,
    print_table,
    reading_of,
    recordings_in,
)
from asdlib.errors import AsdError

if TYPE_CHECKING:
    from asdlib.use.detector import Detector


@app.command()
def score(
    files: Files,
    run: Run,
    machine: Machine,
    scorer: ScorerName = None,
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
    partial: Partial = False,
    as_json: Json = False,
) -> None:
    """Score recordings of one machine; larger is more anomalous."""
    from asdlib.progress import progress_bar
    from asdlib.show.numbers import told_apart
    from asdlib.use.detector import Detector
    from asdlib.use.fitting import FEW
    from asdlib.use.recordings import scored
    from asdlib.use.stream import StreamScorer

    detector = Detector.load(run)
    scorer = detector.scorer(scorer)
    detector.label(machine)
    limit = limit_of(run, machine, scorer, threshold)
    reading = reading_of(detector, channel, resample, partial)
    files = recordings_in(files)
    if csv is not None and len({path.stem for path in files}) < len(files):
        raise AsdError(
            f"two recordings of one name would share a file in {csv}: rename one, or "
            "call asd score once for each"
        )
    if csv is not None and every is None:
        raise AsdError("--csv is for scores along a recording: add --every SECONDS")
    about = {"machine": machine, "scorer": scorer, "threshold": limit}
    how: dict[str, Any] = {"reading": reading, "device": device}
    bad: dict[Any, AsdError] = {}
    if every is not None:
        how["every"] = every
        # What is wrong with all of them is said before the first.
        StreamScorer(detector, machine, every=every, scorer=scorer, device=device)
        tracks = _tracks(
            files, detector, machine, scorer, limit, csv, as_json, how, bad
        )
        if as_json:
            print(json.dumps(about | {"tracks": tracks}, indent=1))
        end_with(bad, len(files))
        return
    clips = clips_of(machine, files)
    with progress_bar() as on_step:
        rows = scored(clips, detector, machine, scorer, bad=bad, on_step=on_step, **how)
    if limit is not None:
        rows = [row | {"alarm": row["score"] > limit} for row in rows]
    if as_json:
        print(json.dumps(about | {"scores": rows}, indent=1))
        end_with(bad, len(files))
        return
    columns = ("file", "score", "above this share of the training clips")
    numbers, limit_text = told_apart([row["score"] for row in rows], limit)
    told = [
        (str(row["file"]), number, f"{row['training_share']:.0%}")
        for row, number in zip(rows, numbers, strict=True)
    ]
    title = f"{machine}, scorer {scorer}"
    if limit is None:
        print_table(title, columns, told)
    else:
        title += f", threshold {limit_text}"
        alarms = [("ALARM" if row["alarm"] else "no",) for row in rows]
        judged = [row + alarm for row, alarm in zip(told, alarms, strict=True)]
        print_table(title, (*columns, "alarm"), judged)
    if detector.parts:
        print(
            "Each training clip was held against the others: a new clip of a healthy "
            "machine lies anywhere among them."
        )
    else:
        print(
            "The network knows its training clips: new clips of a healthy machine "
            "score above most of them, too."
        )
        count = int((detector.bank_labels == detector.label(machine)).sum())
        if count < FEW:
            print(
                f"They are only {count}: the score may be huge, and above all of them, "
                "without a fault, so choose a threshold (asd threshold) before you "
                "judge by it."
            )
    end_with(bad, len(files))


def _tracks(
    files: list[Path],
    detector: "Detector",
    machine: str,
    scorer: str,
    limit: float | None,
    csv: Path | None,
    as_json: bool,
    how: dict[str, Any],
    bad: dict[Any, AsdError],
) -> list[dict[str, Any]]:
    """Score along each of ``files``, and tell the user unless it is to be JSON.

    The files that cannot be scored go to ``bad``.
    """
    import numpy as np

    from asdlib.progress import progress_bar
    from asdlib.show.numbers import told_apart
    from asdlib.use.stream import score as score_along

    out = []
    for path in files:
        options = {"run": detector, "machine": machine, "scorer": scorer, **how}
        try:
            with progress_bar() as on_step:
                track = score_along(path, on_step=on_step, **options)
        except AsdError as error:
            bad[path] = error
            continue
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
        peaks = [segment.peak for segment in segments]
        (number, *numbers), limit_text = told_apart([highest, *peaks], limit)
        print(
            f"{path}: {len(track.start)} windows of {track.seconds:g} s; highest score "
            f"{number} at {start:.1f} s"
        )
        if limit is not None:
            print_table(
                f"above the threshold {limit_text}",
                ("from (s)", "to (s)", "highest score"),
                [
                    (f"{s.start:.1f}", f"{s.end:.1f}", peak)
                    for s, peak in zip(segments, numbers, strict=True)
                ],
            )
    return out
