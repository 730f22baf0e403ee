"""The sound of a recording: one channel, in ±1, at one rate, or the reason why not."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from asdlib.errors import AsdError, spelled
from asdlib.sound.opening import LAST, readable, sound_file
from asdlib.sound.whole import refuse

# Recorders of floats keep what is beyond ±1, and so do we; but beyond this it is in
# another unit, such as the steps of 16 bits (±32768).
FULL_SCALE = 100.0
BLOCK = 2**20  # samples that are skipped at once where a file cannot seek


class SilentError(AsdError):
    """Every sample of a recording, or of the part that was asked for, is the same."""


@contextmanager
def opened(
    path: str | Path,
    *,
    sample_rate: int = 16000,
    channel: int | None = None,
    resample: bool = False,
    partial: bool = False,
) -> Iterator[soundfile.SoundFile]:
    """A recording that may be read, as an open file.

    A file at another rate is an error unless ``resample``; one with several channels is
    an error unless ``channel`` (0-based) picks one; one that was cut off is an error
    unless ``partial``. Raises :class:`AsdError` for these, and for what is missing or
    damaged.
    """
    path = Path(path)
    with sound_file(path, partial=partial) as file:
        if file.frames == 0:
            raise AsdError(f"{path} has no samples: remove it or record it again")
        if file.samplerate != sample_rate and not resample:
            raise AsdError(
                f"{path} is sampled at {file.samplerate} Hz instead of {sample_rate} "
                f"Hz: pass {spelled('resample=True', '--resample')}, or convert it"
            )
        if file.channels > 1 and channel is None:
            raise AsdError(
                f"{path} has {file.channels} channels: "
                f"choose one with {spelled('channel=0', '--channel 0')} to "
                f"{file.channels - 1}"
            )
        if channel is not None and not 0 <= channel < file.channels:
            raise AsdError(
                f"{path} has no channel {channel}: choose 0 to {file.channels - 1}"
            )
        yield file


def samples_of(
    file: soundfile.SoundFile,
    path: str | Path,
    channel: int | None,
    *,
    frames: int = -1,
) -> np.ndarray:
    """The next ``frames`` samples (all: -1) of one channel of an open file.

    (samples,) float32 in ±1, checked to be such as by :func:`in_range`; channel None is
    the first. Raises :class:`AsdError` for what cannot be read.
    """
    # Decoding to int16 is three times as fast.
    dtype = "int16" if file.subtype == "PCM_16" else "float32"
    # A file that cannot seek does not know how much of it is left.
    frames = file.frames if frames < 0 else min(frames, file.frames)
    with readable(Path(path)):
        x = file.read(frames, dtype=dtype, always_2d=True)[:, channel or 0]
    return in_range(x, str(path))


def in_range(x: np.ndarray, name: str) -> np.ndarray:
    """int16 or float samples (...) as float32 in ±1, of the same shape.

    Floats beyond ±1 stay what they are. Raises :class:`AsdError`, which speaks of
    ``name``, for samples that are not finite, or in another unit.

    >>> in_range(np.array([-32768, 0, 16384], np.int16), "a.wav")
    array([-1. ,  0. ,  0.5], dtype=float32)
    """
    x = (
        x.astype(np.float32) / 2**15
        if x.dtype == np.int16
        else x.astype(np.float32, copy=False)
    )
    if not np.isfinite(x).all():
        raise AsdError(
            f"{name} contains samples that are not numbers (NaN or infinity): "
            "record or convert it again"
        )
    if len(x) and np.abs(x).max() > FULL_SCALE:
        raise AsdError(
            f"{name} reaches ±{np.abs(x).max():g}, far beyond full scale (±1): "
            "scale it, all clips alike"
        )
    return x


def read(
    path: str | Path,
    *,
    sample_rate: int = 16000,
    channel: int | None = None,
    resample: bool = False,
    partial: bool = False,
    seconds: float | None = None,
    start: float = 0.0,
) -> np.ndarray:
    """One recording as mono float32 in ±1, shape (samples,).

    From ``start`` seconds on, and with ``seconds`` no more than so much of it; floats
    beyond ±1 stay what they are.

    A file at another rate is an error unless ``resample``; one with several channels is
    an error unless ``channel`` (0-based) picks one. Raises :class:`AsdError` for what
    is not a readable, non-silent recording, and where not all of it is there, unless
    ``partial``.
    """
    x, rate = as_recorded(
        path,
        sample_rate=sample_rate,
        channel=channel,
        resample=resample,
        partial=partial,
        seconds=seconds,
        start=start,
    )
    return at_rate(x, rate, sample_rate)


def at_rate(x: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples (n,) at ``rate`` as (m,) float32 at another one, in Hz."""
    if rate == wanted:
        return x
    import soxr

    return soxr.resample(x, rate, wanted).astype(np.float32)


def as_recorded(
    path: str | Path,
    *,
    sample_rate: int = 16000,
    channel: int | None = None,
    resample: bool = False,
    partial: bool = False,
    seconds: float | None = None,
    start: float = 0.0,
) -> tuple[np.ndarray, int]:
    """As :func:`read`, (samples,) at the recording's own rate, and that, in Hz.

    Raises :class:`AsdError` as it does.
    """
    with opened(
        path,
        sample_rate=sample_rate,
        channel=channel,
        resample=resample,
        partial=partial,
    ) as file:
        rate = file.samplerate
        first = round(start * rate)
        _skip(file, path, first)
        wanted = -1 if seconds is None else math.ceil(seconds * rate)
        x = samples_of(file, path, channel, frames=wanted)
        check_whole(file, path, first + len(x), wanted=first + wanted, partial=partial)
    if not len(x):
        raise AsdError(f"{path} has no samples that can be read: record it again")
    if np.ptp(x) == 0:
        raise SilentError(
            f"{path} is silent (every sample is {x[0]:g}): "
            "check the microphone, or remove the clip"
        )
    return x, rate


def _skip(file: soundfile.SoundFile, path: str | Path, frames: int) -> None:
    """Go on by so many ``frames``; raises :class:`AsdError` where there are none."""
    if frames >= file.frames:
        raise AsdError(
            f"{path} ends after {file.frames / file.samplerate:g} s: there is no clip "
            f"from {frames / file.samplerate:g} s on"
        )
    with readable(Path(path)):
        if frames and file.seekable():
            file.seek(frames)
        while not file.seekable() and frames:
            skipped = len(file.read(min(frames, BLOCK)))
            frames -= skipped
            if not skipped:
                break


def check_whole(
    file: soundfile.SoundFile,
    path: str | Path,
    got: int,
    *,
    wanted: int = -1,
    partial: bool = False,
) -> None:
    """Was everything read that the header of an open file counts, up to ``wanted``?

    ``got`` samples were. Raises :class:`AsdError` where not, unless ``partial``.
    """
    there = min(file.frames, wanted) if wanted >= 0 else file.frames
    if got < there - LAST.get(file.format, 1) + 1:
        refuse(Path(path), f"{got} of {there} samples can be read", partial)


def to_length(
    x: np.ndarray, samples: int, *, short: str = "repeat"
) -> tuple[np.ndarray, str]:
    """``x`` (n,) as (samples,), and what that took.

    "exact", "cropped" or "repeated": a longer clip is cut to its beginning. A shorter
    one is repeated from its beginning, or, with ``short="refuse"``, raises
    :class:`AsdError`.

    >>> to_length(np.array([1, 2, 3]), 5)
    (array([1, 2, 3, 1, 2]), 'repeated')
    """
    if len(x) < samples and short == "refuse":
        how = spelled("short='repeat'", "--short repeat")
        raise AsdError(
            f"{len(x)} of {samples} samples: "
            f"record longer clips, or let short clips be repeated ({how})"
        )
    fit = "cropped" if len(x) > samples else "repeated" if len(x) < samples else "exact"
    return np.resize(x, samples), fit
