"""Score sound as it comes in, for as long as it comes."""

import io
import json
import math
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

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

if TYPE_CHECKING:
    from asdlib.use.alarms import Alarms
    from asdlib.use.incoming import Incoming
    from asdlib.use.sources import Part


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
    source: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Instead of standard input, anything that ffmpeg opens: a file, "
            "alsa:hw:0, rtsp://... or http://...",
        ),
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of a live source that is gone, tries in a row (default: for ever).",
        ),
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

    With --source, a live source that is gone is opened again, with a line on standard
    error and, with --json, one in which event is gap, with time, machine, from and to
    (when the sound ended and came back), version and run; start goes on by the clock.
    """
    from asdlib.sound.computed import tell_rates
    from asdlib.use.alarms import Alarms
    from asdlib.use.detector import Detector
    from asdlib.use.incoming import nothing_in, pieces
    from asdlib.use.sources import is_live
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
    if source is None and retries is not None:
        raise AsdError("--retries is for a live source: add --source WHAT")
    lines = _Lines(
        machine,
        scorer,
        None if limit is None else Alarms(limit, clear=clear, seconds=seconds),
        as_json,
        {"version": __version__, "run": detector.config.mark},
    )
    network, some = detector.config.features.sample_rate, False
    with _until_stopped(), closing(_heard(source, retries)) as heard:
        for part in heard:
            rate = _rate_of(part.incoming, sample_rate, channel)
            if rate is not None and part.lost is None:
                tell_rates(Counter([rate]), network, detector.config.rates)
            scored = StreamScorer(
                detector,
                machine,
                every=every,
                scorer=scorer,
                sample_rate=rate,
                device=device,
            )
            if part.lost is not None:
                lines.gap(part.lost, part.began, part.gap)
            for samples in pieces(part.sound, part.incoming, channel or 0):
                some = True
                lines.heard(len(samples) / (rate or network))
                lines.tell(scored.push(samples))
            if not some:
                raise nothing_in()
            if source is None or not is_live(source):
                lines.tell(scored.finish(short=detector.config.reading.short))


def _heard(source: str | None, retries: int | None) -> "Generator[Part, None, None]":
    """What comes in: the parts of ``source``, or else standard input."""
    from asdlib.use.incoming import nothing_in, recognised
    from asdlib.use.sources import Part, parts

    if source is not None:
        yield from parts(source, retries=retries)
        return
    if sys.stdin is None:  # it was closed
        raise nothing_in()
    sound = cast(io.BufferedReader, sys.stdin.buffer)
    yield Part(recognised(sound), sound, datetime.now(UTC))


def _rate_of(
    incoming: "Incoming", given: int | None, channel: int | None
) -> int | None:
    """The sample rate in Hz, of what has the channel that was asked for."""
    rate, channels = incoming.rate, incoming.channels
    if rate is not None and given not in (None, rate):
        raise AsdError(
            f"the WAV that came in has {rate} Hz, not {given} Hz: leave --rate out"
        )
    if channels > 1 and channel is None:
        raise AsdError(
            f"the WAV that came in has {channels} channels: choose one with "
            f"--channel 0 to {channels - 1}"
        )
    if channel is not None and channel >= channels:
        raise AsdError(f"what came in has {channels} channels: leave --channel out")
    return given if rate is None else rate


@dataclass
class _Lines:
    """What is printed: a line for each window, and, of JSON, one for each gap."""

    machine: str
    scorer: str
    alarms: "Alarms | None"
    as_json: bool
    made_by: dict[str, Any]
    begun: float = 0.0  # where the part that is heard begins, in seconds
    here: float = 0.0  # seconds that have been heard of it

    def heard(self, seconds: float) -> None:
        """So many seconds more."""
        self.here += seconds

    def gap(self, lost: datetime, began: datetime, seconds: float) -> None:
        """Nothing was heard from one moment to the other, for so many seconds."""
        self.begun += self.here + seconds
        self.here = 0.0
        if self.alarms is not None:
            self.alarms.pause()
        if self.as_json:
            row = {"event": "gap", "time": _utc(began), "machine": self.machine}
            row |= {"from": _utc(lost), "to": _utc(began)}
            print(json.dumps(row | self.made_by), flush=True)

    def tell(self, windows: list[tuple[float, float]]) -> None:
        """(start, score) of each, as complete as they are now."""
        from asdlib.show.numbers import told_apart

        now, alarms = _utc(datetime.now(UTC)), self.alarms
        limit = None if alarms is None else alarms.threshold
        for in_part, score in windows:
            start, silent = round(self.begun + in_part, 6), math.isnan(score)
            alarm = None if alarms is None else alarms.take(start, score)
            if self.as_json:
                row = {"time": now, "start": start, "machine": self.machine}
                row |= {"scorer": self.scorer, "score": None if silent else score}
                since = None if alarms is None else alarms.since
                row |= {"threshold": limit, "alarm": alarm, "since": since}
                print(json.dumps(row | {"silent": silent} | self.made_by), flush=True)
                continue
            (number,), _ = told_apart([score], limit)
            mark = " ALARM" if alarm else ""
            print(f"{start:.3f} {'silent' if silent else number}{mark}", flush=True)


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Ctrl-C, and SIGTERM, end what is inside: so does whoever is left running."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _utc(moment: datetime) -> str:
    """As ISO 8601 with milliseconds, such as 2026-01-31T23:59:59.000Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
