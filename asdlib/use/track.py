"""Scores along a sound, and the stretches above a threshold."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asdlib.files import writable

ROUNDING = 1e-9  # seconds, of a sum of times; far less than a sample


@dataclass(frozen=True)
class Segment:
    """A stretch above a threshold.

    From the ``start`` of its first window to the ``end`` of its last, in seconds, and
    its ``peak``, the highest score.
    """

    start: float
    end: float
    peak: float


@dataclass
class Track:
    """Scores along a sound.

    Window i lasts from ``start[i]`` to ``start[i] + seconds``; a silent window has the
    score NaN. A sound shorter than a window has one, in which it is repeated; that one
    ends after the sound.
    """

    seconds: float
    start: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)

    def extend(self, windows: list[tuple[float, float]]) -> None:
        """Append what :meth:`StreamScorer.push` returned."""
        for start, score in windows:
            self.start.append(start)
            self.score.append(score)

    @property
    def highest(self) -> tuple[float, float]:
        """(start in seconds, score) of the window with the highest score."""
        best = int(np.nanargmax(self.score))
        return self.start[best], self.score[best]

    def segments(self, threshold: float) -> list[Segment]:
        """The stretches above ``threshold``, those that overlap or touch made one.

        >>> track = Track(2.0, start=[0, 1, 2, 6], score=[0.1, 0.8, 0.9, 0.7])
        >>> for segment in track.segments(0.5):
        ...     print(segment)
        Segment(start=1, end=4.0, peak=0.9)
        Segment(start=6, end=8.0, peak=0.7)
        """
        found: list[Segment] = []
        for start, score in zip(self.start, self.score, strict=True):
            if not score > threshold:
                continue
            end = start + self.seconds
            if found and start <= found[-1].end + ROUNDING:
                last = found.pop()
                found.append(Segment(last.start, end, max(score, last.peak)))
            else:
                found.append(Segment(start, end, score))
        return found

    def write_csv(self, path: str | Path) -> None:
        """Write the columns ``start``, ``end`` (seconds) and ``score``.

        A silent window has an empty score. Raises :class:`AsdError` where ``path``
        cannot be written.
        """
        with writable(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("start", "end", "score"))
            for start, score in zip(self.start, self.score, strict=True):
                end = start + self.seconds
                number = "" if np.isnan(score) else repr(float(score))
                writer.writerow((f"{start:.3f}", f"{end:.3f}", number))
