"""Score sound as it comes in, for as long as it comes."""

import io
import json
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, cast

import typer

from asdlib import __version__
from asdlib.commands import (
    Channel,
    Device,
    Limit,
    Machine,
    Run,
    ScorerName,
    app,
    limit_of,
)
from asdlib.errors import AsdError


@app.command()
def stream(
    run: Run,
    machine: Machine,
    scorer: ScorerName = None,
    every: Annotated[
        float | None,
        typer.Option(help="A score every so many seconds (default: a clip's length)."),
    ] = None,
    threshold: Limit = None,
    seconds: Annotated[
        float,
        typer.Option(
            "--for",
            help="Alarm once the score has been above for so many seconds, and until "
            "it has been down for as long.",
        ),
    ] = 0.0,
    clear: Annotated[
        float | None,
        typer.Option(help="An alarm ends at this score (default: the threshold)."),
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            "--sample-rate", "--rate", min=1, help="Of the stream (default: the run's)."
        ),
    ] = None,
    channel: Channel = None,
    device: Device = "auto",
    as_json: Annotated[
        bool,
        typer.Option("--json", help="A line of JSON for each window; see above."),
    ] = False,
) -> None:
    """Score sound as it comes in.

    A WAV of 16 bits or raw 16-bit mono samples on standard input, a line "start score"
    for each window, for example: arecord -q -t raw -f S16_LE -r 16000 | asd stream
    --run RUN --machine fan/id_00

    With --json, each line has: time (UTC, when the window was complete), start (s in
    the stream), machine, scorer, score (null: silent), threshold (null: none), alarm
    (null: no threshold), since (where the alarm began, s in the stream; null: no
    alarm), silent, version (of asdlib) and run (its mark).
    """
    import numpy as np

    from asdlib.show.numbers import told_apart
    from asdlib.sound.computed import tell_rates
    from asdlib.use.alarms import Alarms
    from asdlib.use.detector import Detector
    from asdlib.use.incoming import nothing_in, pieces, recognised
    from asdlib.use.stream import StreamScorer

    detector = Detector.load(run)
    scorer = detector.scorer(scorer)
    limit = limit_of(run, machine, scorer, threshold)
    detector.label(machine)
    if limit is None and (seconds or clear is not None):
        raise AsdError(
            f"no threshold has been chosen for {machine}, so there are no alarms for "
            "--for and --clear: asd threshold chooses one, or give --threshold"
        )
    alarms = None if limit is None else Alarms(limit, clear=clear, seconds=seconds)
    if sys.stdin is None:  # it was closed
        raise nothing_in()
    sound = cast(io.BufferedReader, sys.stdin.buffer)
    incoming = recognised(sound)
    if incoming.rate is not None:
        if sample_rate not in (None, incoming.rate):
            raise AsdError(
                f"the WAV that came in has {incoming.rate} Hz, not {sample_rate} Hz: "
                "leave --rate out"
            )
        sample_rate = incoming.rate
    if incoming.channels > 1 and channel is None:
        raise AsdError(
            f"the WAV that came in has {incoming.channels} channels: choose one with "
            f"--channel 0 to {incoming.channels - 1}"
        )
    if channel is not None and channel >= incoming.channels:
        raise AsdError(
            f"what came in has {incoming.channels} channels: leave --channel out"
        )
    if sample_rate is not None:
        network = detector.config.features.sample_rate
        tell_rates(Counter([sample_rate]), network, detector.config.rates)
    scored = StreamScorer(
        detector,
        machine,
        every=every,
        scorer=scorer,
        sample_rate=sample_rate,
        device=device,
    )

    def tell(windows: list[tuple[float, float]]) -> None:
        now = _utc(datetime.now(UTC))
        for start, value in windows:
            alarm = None if alarms is None else alarms.take(start, value)
            silent = bool(np.isnan(value))
            if as_json:
                row = {"time": now, "start": start, "machine": machine}
                row |= {"scorer": scorer, "score": None if silent else value}
                row |= {"threshold": limit, "alarm": alarm}
                since = None if alarms is None else alarms.since
                row |= {"since": since, "silent": silent}
                row |= {"version": __version__, "run": detector.config.mark}
                print(json.dumps(row), flush=True)
                continue
            (number,), _ = told_apart([value], limit)
            text = "silent" if silent else number
            print(f"{start:.3f} {text}{' ALARM' if alarm else ''}", flush=True)

    some = False
    for samples in pieces(sound, incoming, channel or 0):
        some = True
        tell(scored.push(samples))
    if not some:
        raise nothing_in()
    tell(scored.finish(short=detector.config.reading.short))


def _utc(moment: datetime) -> str:
    """As ISO 8601 with milliseconds, such as 2026-01-31T23:59:59.000Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
