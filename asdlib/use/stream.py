"""Scores along a recording of any length, or a live stream: chunks in, scores out.

A window as long as the clips that the network was trained on slides along the sound;
every ``every`` seconds there is a score. What is kept between two chunks is shorter
than one window and one chunk, so memory does not grow with time. A file is scored by
pushing its blocks through the same class, so file and stream give the same numbers.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from asdlib.device import find_device
from asdlib.errors import AsdError
from asdlib.learn.embedding import on_device, ready
from asdlib.progress import OnStep, silent
from asdlib.sound.computed import ReadOptions, clip_of, tell_rates
from asdlib.sound.reading import (
    check_whole,
    in_range,
    opened,
    samples_of,
    to_length,
)
from asdlib.use.detector import Detector
from asdlib.use.track import Track

AT_ONCE = 32  # windows; bounds the memory, however large a chunk is
BLOCK = 10.0  # seconds of a file that are read at once


class StreamScorer:
    """Scores of one machine's sound as it comes in.

    :meth:`push` chunks of any size, and :meth:`finish` at the end of the sound. A
    window is scored as soon as its last sample is there.

    ``every`` is the time between two scores in seconds, at most a window; a window
    itself when it is None. ``sample_rate`` (Hz) is that of the chunks: another one than
    the detector's is converted; None is the detector's. Raises :class:`AsdError` for an
    unknown machine, scorer or device, and for times and rates that make no sense.
    """

    def __init__(
        self,
        detector: Detector,
        machine: str,
        *,
        every: float | None = None,
        scorer: str | None = None,
        sample_rate: int | None = None,
        device: str = "auto",
    ):
        self.config = detector.config.features
        self.seconds = self.config.samples / self.config.sample_rate
        every = self.seconds if every is None else every
        self._hop = round(every * self.config.sample_rate) if np.isfinite(every) else 0
        if not 1 <= self._hop <= self.config.samples:
            raise AsdError(
                f"a score every {every:g} s makes no sense: choose a time above 0 and "
                f"up to {self.seconds:g} s"
            )
        self._scores = partial(detector.scores, machine=machine, scorer=scorer)
        # An unknown name is refused now, not in the first window.
        self._scores(detector.bank[:1])
        self._device = find_device(device)
        self._embed = ready(detector.model.embed, self._device)
        self._resampler = None
        if sample_rate is not None and not 1 <= sample_rate < 2**31:
            raise AsdError(
                f"a sample rate of {sample_rate} Hz makes no sense: choose that of the "
                "sound"
            )
        if sample_rate not in (None, self.config.sample_rate):
            import soxr

            self._resampler = soxr.ResampleStream(
                sample_rate, self.config.sample_rate, 1, dtype="float32"
            )
        self._begin()

    def _begin(self) -> None:
        # At least what the next window, or one that ends now, begins with.
        self._kept = np.zeros(0, dtype=np.float32)
        self._first = 0  # the place of its first sample in the stream
        self._next = 0  # the place of the next window
        self._scored = 0  # up to here there are scores

    def push(self, chunk: np.ndarray) -> list[tuple[float, float]]:
        """(start in seconds, score) of every window that ``chunk`` completes.

        ``chunk`` (samples,) is float in ±1, or int16. Raises :class:`AsdError` for
        anything else, and where the network gives no numbers.
        """
        chunk = _checked(chunk)
        if self._resampler is not None:
            chunk = self._resampler.resample_chunk(chunk)
        return self._take(chunk)

    def finish(self, *, short: str = "repeat") -> list[tuple[float, float]]:
        """The end of the sound.

        What is missing up to its last sample, in one more window that ends there:
        (start in seconds, score), or nothing. A sound shorter than a window is
        repeated, or, with ``short="refuse"``, an :class:`AsdError`. Afterwards another
        sound may begin.
        """
        try:
            out = []
            if self._resampler is not None:
                nothing = np.zeros(0, dtype=np.float32)
                out = self._take(self._resampler.resample_chunk(nothing, last=True))
            end, samples = self._first + len(self._kept), self.config.samples
            if end > self._scored:
                start = max(0, end - samples)
                rest = self._kept[start - self._first :]
                window, _ = to_length(rest, samples, short=short)
                out += self._score([start], [window])
            return out
        finally:
            if self._resampler is not None:
                self._resampler.clear()
            self._begin()

    def _take(self, chunk: np.ndarray) -> list[tuple[float, float]]:
        samples, x = self.config.samples, np.concatenate([self._kept, chunk])
        end = self._first + len(x)
        places = range(self._next, end - samples + 1, self._hop)
        out = []
        for i in range(0, len(places), AT_ONCE):
            group = places[i : i + AT_ONCE]
            windows = [x[place - self._first :][:samples] for place in group]
            out += self._score(group, windows)
        self._next += len(places) * self._hop
        forgotten = max(0, min(self._next, end - samples) - self._first)
        self._kept = x[forgotten:].copy()  # a view would keep all of x
        self._first += forgotten
        return out

    def _score(
        self, places: Sequence[int], windows: list[np.ndarray]
    ) -> list[tuple[float, float]]:
        """(start in seconds, score) of the ``windows`` (samples,) at ``places``."""
        scores = np.full(len(places), np.nan)
        clips = [clip_of(window, self.config) for window in windows]
        heard = [i for i, (wave, _) in enumerate(clips) if np.ptp(wave)]
        if heard:
            arrays = tuple(np.stack([clips[i][k] for i in heard]) for k in (0, 1))
            inputs = on_device(arrays, np.arange(len(heard)), self._device)
            scores[heard] = self._scores(self._embed(*inputs).numpy())
            if not np.isfinite(scores[heard]).all():
                raise AsdError(
                    "the network gives scores that are not numbers: its weights are "
                    "damaged, train again"
                )
        self._scored = places[-1] + self.config.samples
        starts = [place / self.config.sample_rate for place in places]
        return list(zip(starts, scores.tolist(), strict=True))


def _checked(chunk: np.ndarray) -> np.ndarray:
    """A chunk as float32 in ±1."""
    if hasattr(chunk, "detach"):  # a tensor, on any device
        chunk = chunk.detach().cpu()
    chunk = np.asarray(chunk)
    chunk = chunk.astype(chunk.dtype.newbyteorder("="), copy=False)
    if chunk.ndim != 1:
        raise AsdError(
            f"a chunk of shape {chunk.shape}: give one channel, shape (samples,)"
        )
    if chunk.dtype != np.int16 and chunk.dtype.kind != "f":
        raise AsdError(f"a chunk of {chunk.dtype} samples: give floats in ±1, or int16")
    return in_range(chunk, "a chunk")


def score(
    path: str | Path,
    *,
    run: "str | Path | Detector",
    machine: str,
    every: float | None = None,
    scorer: str | None = None,
    reading: ReadOptions | None = None,
    device: str = "auto",
    on_step: OnStep = silent,
) -> Track:
    """Scores along the recording ``path`` of ``machine``, of any length.

    One every ``every`` seconds (None: a clip's length). ``run`` is a run directory or a
    loaded :class:`Detector`. The file is read in blocks: an hour takes no more memory
    than a minute. ``reading`` is as in training where it is None. Raises
    :class:`AsdError` as :func:`asdlib.sound.reading.read`, :meth:`Detector.load` and
    :class:`StreamScorer` do.
    """
    detector = run if isinstance(run, Detector) else Detector.load(run)
    reading = reading or detector.config.reading
    with opened(
        path,
        sample_rate=detector.config.features.sample_rate,
        channel=reading.channel,
        resample=reading.resample,
        partial=reading.partial,
    ) as file:
        tell_rates(
            Counter([file.samplerate]),
            detector.config.features.sample_rate,
            detector.config.rates,
        )
        stream = StreamScorer(
            detector,
            machine,
            every=every,
            scorer=scorer,
            sample_rate=file.samplerate,
            device=device,
        )
        track = Track(stream.seconds)
        block, got = round(BLOCK * file.samplerate), 0
        while len(x := samples_of(file, path, reading.channel, frames=block)):
            track.extend(stream.push(x))
            got += len(x)
            on_step("score", got, max(got, file.frames))
        check_whole(file, path, got, partial=reading.partial)
    try:
        track.extend(stream.finish(short=reading.short))
    except AsdError as error:
        raise AsdError(f"{path}: {error}") from error
    if not track.score:
        raise AsdError(
            f"{path} has no samples that can be read: remove it or record it again"
        )
    if np.isnan(track.score).all():
        raise AsdError(f"{path} is silent: check the microphone, or remove it")
    return track
