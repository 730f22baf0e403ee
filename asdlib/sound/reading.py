"""The sound of a recording: one channel, in ±1, at one rate, or the reason why not."""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from asdlib.errors import AsdError

# Decoders of compressed sound overshoot ±1 a little; beyond this it is in another unit.
FULL_SCALE = 1.5
# Written by programs that stream a WAV and never come back to fill in its size.
UNKNOWN_SIZE = 0xFFFFFFFF


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong inside is said in a sentence about ``path``."""
    try:
        yield
    except OSError as error:
        raise AsdError(
            f"cannot read {path} ({error.strerror}): check the file and its permissions"
        ) from error
    except soundfile.LibsndfileError as error:
        raise AsdError(
            f"{path} is not a readable recording ({error.error_string.rstrip('.')}): "
            "remove or replace it"
        ) from error


@contextmanager
def opened(
    path: str | Path,
    *,
    sample_rate: int = 16000,
    channel: int | None = None,
    resample: bool = False,
) -> Iterator[soundfile.SoundFile]:
    """A recording that may be read, as an open file.

    A file at another rate is an error unless ``resample``; one with several channels is
    an error unless ``channel`` (0-based) picks one. Raises :class:`AsdError` for these,
    and for what is missing or damaged.
    """
    path = Path(path)
    with _readable(path):
        _check_complete(path)
        file = soundfile.SoundFile(path)
    with file:
        if file.frames == 0:
            raise AsdError(f"{path} has no samples: remove it or record it again")
        if file.samplerate != sample_rate and not resample:
            raise AsdError(
                f"{path} is sampled at {file.samplerate} Hz instead of {sample_rate} "
                "Hz: pass --resample, or convert it"
            )
        if file.channels > 1 and channel is None:
            raise AsdError(
                f"{path} has {file.channels} channels: "
                f"choose one with --channel 0 to {file.channels - 1}"
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
    with _readable(Path(path)):
        x = file.read(frames, dtype=dtype, always_2d=True)[:, channel or 0]
    return in_range(x, str(path))


def in_range(x: np.ndarray, name: str) -> np.ndarray:
    """int16 or float samples (...) as float32 in ±1, of the same shape.

    Raises :class:`AsdError`, which speaks of ``name``, for samples that are not finite,
    or far beyond ±1.

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
    seconds: float | None = None,
) -> np.ndarray:
    """One recording as mono float32 in ±1, shape (samples,).

    With ``seconds``, no more than so much from its beginning.

    A file at another rate is an error unless ``resample``; one with several channels is
    an error unless ``channel`` (0-based) picks one. Raises :class:`AsdError` for what
    is not a readable, complete, non-silent recording.
    """
    with opened(
        path, sample_rate=sample_rate, channel=channel, resample=resample
    ) as file:
        rate = file.samplerate
        frames = -1 if seconds is None else math.ceil(seconds * rate)
        x = samples_of(file, path, channel, frames=frames)
    if np.ptp(x) == 0:
        raise AsdError(
            f"{path} is silent (every sample is {x[0]:g}): "
            "check the microphone, or remove the clip"
        )
    if rate != sample_rate:
        import soxr

        x = soxr.resample(x, rate, sample_rate).astype(np.float32)
    return x


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
        raise AsdError(
            f"{len(x)} of {samples} samples: "
            "record longer clips, or let short clips be repeated (--short repeat)"
        )
    fit = "cropped" if len(x) > samples else "repeated" if len(x) < samples else "exact"
    return np.resize(x, samples), fit


def _check_complete(path: Path) -> None:
    """Refuse what is missing, is no WAV at all, or says that it is longer than it is.

    libsndfile reads what there is, silently.
    """
    if not path.is_file():
        raise AsdError(f"no file {path}: check the name")
    with open(path, "rb") as file:
        head = file.read(12)
    if not head:
        raise AsdError(f"{path} is an empty file (0 bytes): remove it or copy it again")
    if path.suffix.lower() != ".wav":
        return  # other formats carry their own checks
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:12] != b"WAVE":
        raise AsdError(
            f"{path} is not a WAV file, whatever its name says: remove or convert it"
        )
    if head[:4] == b"RIFF":
        (size,) = struct.unpack("<I", head[4:8])
        if size != UNKNOWN_SIZE and size > path.stat().st_size - 8:
            raise AsdError(
                f"{path} is truncated ({path.stat().st_size} of {size + 8} bytes): "
                "copy or download it again"
            )
