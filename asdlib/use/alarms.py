"""Alarms that do not flutter: one that begins late, and ends late.

A score that wanders about its threshold would raise an alarm and take it back every few
seconds. Two remedies, as in every thermostat: the score must stay above for a while
before there is an alarm, and must come down further, for as long, before it is over.
"""

import math

from asdlib.errors import AsdError
from asdlib.use.track import ROUNDING


class Alarms:
    """Whether there is an alarm, window by window.

    One begins when the scores have been above ``threshold`` for so many ``seconds``,
    and ends when they have been at or below ``clear`` (None: the threshold) for as
    long; between the two levels nothing changes. 0 seconds are at once.

    Silence neither begins an alarm nor ends one, and its time does not count: what was
    heard before and after it belongs together.

    Raises :class:`AsdError` for levels and times that make no sense.

    >>> alarms = Alarms(5.0, clear=3.0, seconds=2.0)
    >>> scores = [6, 4, 6, 7, 8, 4, 2, 4, 2, 1, 0]
    >>> "".join("-!"[alarms.take(float(i), x)] for i, x in enumerate(scores))
    '----!!!!!!-'
    """

    def __init__(
        self, threshold: float, *, clear: float | None = None, seconds: float = 0.0
    ):
        clear = threshold if clear is None else clear
        if not math.isfinite(threshold):
            raise AsdError(
                f"a threshold of {threshold} makes no sense: choose a number"
            )
        if not -math.inf < clear <= threshold:
            raise AsdError(
                f"an alarm above {threshold:g} cannot end at {clear:g}: choose a level "
                "at or below the threshold"
            )
        if not 0 <= seconds < math.inf:
            raise AsdError(
                f"an alarm after {seconds:g} s makes no sense: choose 0 or more"
            )
        self.threshold, self.clear, self.seconds = threshold, clear, seconds
        self.since: float | None = None
        """Where the alarm that is on began, in seconds: its first window's start."""
        self._first: float | None = None  # where the scores went to the other side
        self._held = 0.0  # seconds that they have stayed there
        self._last: float | None = None  # the window before, if it was heard

    def take(self, start: float, score: float) -> bool:
        """Is there an alarm now? Of the window from ``start`` (s) with this ``score``.

        Windows come in their order; the score of a silent one is NaN.
        """
        if math.isnan(score):
            self.pause()
            return self.since is not None
        on = self.since is not None
        if score <= self.clear if on else score > self.threshold:
            if self._first is None:
                self._first, self._held = start, 0.0
            elif self._last is not None:
                self._held += start - self._last
            if self._held >= self.seconds - ROUNDING:
                self.since, self._first = None if on else self._first, None
        else:
            self._first = None
        self._last = start
        return self.since is not None

    def pause(self) -> None:
        """Nothing is heard from here to the next window, and that time does not count.

        It is called for a gap in the sound; a silent window does the same.
        """
        self._last = None
