"""Building blocks of a machine's sound: rotation, impacts, resonances, flow noise, room
and microphone.

Every function works on arrays of ``n`` samples at ``sample_rate`` samples per second
and draws only from the generator that it is given, so that the same numbers always make
the same sound. Nothing here knows what a fan is; that is
:mod:`asdlib.park.machine_types`.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import lfilter

SPEED_OF_DRIFT = 1.5  # Hz; real motors wander slowly, not from sample to sample


def drift(rng: Generator, n: int, sample_rate: int, *, depth: float) -> np.ndarray:
    """A slow random track (n,) around 1 with relative standard deviation ``depth``.

    Speed and load wander like that.
    """
    count = max(4, int(np.ceil(n / sample_rate * SPEED_OF_DRIFT)) + 3)
    knots = rng.standard_normal(count)
    places = np.linspace(0, len(knots) - 1, n)
    return 1 + depth * np.interp(places, np.arange(len(knots)), knots)


def turns(speed: np.ndarray, sample_rate: int) -> np.ndarray:
    """The turns made so far (n,), for a ``speed`` track (n,) in turns per second.

    >>> turns(np.array([8000.0, 8000.0, 16000.0]), 16000)
    array([0.5, 1. , 2. ])
    """
    return np.cumsum(speed) / sample_rate


def harmonics(cycles: np.ndarray, levels: ArrayLike, rng: Generator) -> np.ndarray:
    """A periodic sound (n,): harmonics of the ``cycles`` track (n,), in turns.

    The k-th of ``levels`` is the amplitude of the k-th harmonic; phases are random.
    """
    levels = np.asarray(levels)
    starts = rng.uniform(0, 2 * np.pi, len(levels))
    parts = [
        level * np.sin(2 * np.pi * k * cycles + start)
        for k, (level, start) in enumerate(zip(levels, starts, strict=True), 1)
    ]
    return np.asarray(sum(parts))


def rolloff(level: float, ratio: float, count: int) -> np.ndarray:
    """Levels (count,) of harmonics, each ``ratio`` times the one before it.

    An instrument's timbre, or a gear's.

    >>> rolloff(1.0, 0.5, 3)
    array([1.  , 0.5 , 0.25])
    """
    return level * ratio ** np.arange(count)


def _filtered(x: np.ndarray, response: Callable[[int], np.ndarray]) -> np.ndarray:
    """``x`` (n,) through the response that ``response(transform size)`` gives.

    Zero-padded, so that the end does not wrap round into the start.
    """
    n = len(x)
    size = next_fast_len(n + 4096, real=True)
    return irfft(rfft(x, size) * response(size), size)[:n]


def tilted_noise(
    rng: Generator, n: int, sample_rate: int, *, slope: float
) -> np.ndarray:
    """Noise (n,) of unit RMS that falls by ``slope`` dB per octave above 100 Hz.

    Turbulence, friction, air.
    """

    def response(size: int) -> np.ndarray:
        frequency = rfftfreq(size, 1 / sample_rate)
        octaves = np.log2(np.maximum(frequency, 100.0) / 100.0)
        return 10 ** (-slope * octaves / 20)

    x = _filtered(rng.standard_normal(n), response)
    return x / np.sqrt(np.mean(x**2))


def band_noise(
    rng: Generator, n: int, sample_rate: int, *, centre: float, width: float
) -> np.ndarray:
    """Noise (n,) of unit RMS in a Gaussian band around ``centre`` Hz.

    ``width`` is the band's standard deviation in octaves.
    """

    def response(size: int) -> np.ndarray:
        frequency = rfftfreq(size, 1 / sample_rate)
        octaves = np.log2(np.maximum(frequency, 1.0) / centre)
        return np.exp(-0.5 * (octaves / width) ** 2)

    x = _filtered(rng.standard_normal(n), response)
    return x / np.sqrt(np.mean(x**2))


def body(
    x: np.ndarray,
    sample_rate: int,
    *,
    resonances: tuple[float, ...],
    sharpness: float,
    mix: float,
) -> np.ndarray:
    """Sound (n,) that leaves through a vibrating body.

    It is ``x`` (n,) plus ``mix`` times its ``resonances`` (Hz) of Q ``sharpness``.
    """

    def response(size: int) -> np.ndarray:
        f = rfftfreq(size, 1 / sample_rate)
        ring = sum(
            1 / (1 - (f / f0) ** 2 + 1j * f / (f0 * sharpness)) for f0 in resonances
        )
        return 1 + mix * 1j * f / np.mean(resonances) * ring / sharpness

    return _filtered(x, response)


def impact_train(
    n: int, sample_rate: int, times: ArrayLike, strengths: ArrayLike
) -> np.ndarray:
    """Impulses (n,) at ``times`` (seconds) with ``strengths``, one each or one for all.

    Each is spread over the two samples that it falls between.

    >>> impact_train(4, 2, [0.0, 0.75], 1.0)
    array([1. , 0.5, 0.5, 0. ])
    """
    x = np.zeros(n + 2)
    position = np.asarray(times) * sample_rate
    inside = (position >= 0) & (position < n)
    strengths = np.broadcast_to(strengths, inside.shape)[inside]
    position = position[inside]
    first = position.astype(int)
    share = position - first
    np.add.at(x, first, strengths * (1 - share))
    np.add.at(x, first + 1, strengths * share)
    return x[:n]


def ring(
    train: np.ndarray, sample_rate: int, *, frequency: float, decay: float
) -> np.ndarray:
    """Struck metal (n,): each impulse of ``train`` (n,) rings at ``frequency`` Hz.

    It dies by 1/e in ``decay`` seconds.
    """
    radius = np.exp(-1 / (decay * sample_rate))
    angle = 2 * np.pi * frequency / sample_rate
    return lfilter([np.sin(angle)], [1, -2 * radius * np.cos(angle), radius**2], train)


def every_cycle(
    cycles: np.ndarray,
    sample_rate: int,
    *,
    per_cycle: float,
    rng: Generator,
    jitter: float = 0.0,
) -> np.ndarray:
    """Times (seconds) at which the ``cycles`` track (n,) passes each 1/``per_cycle``.

    ``cycles`` is in turns and starts at 0, and so is the standard deviation ``jitter``.
    """
    count = cycles[-1] * per_cycle
    marks = (np.arange(int(count) + 1) + rng.uniform()) / per_cycle
    marks = marks + jitter * rng.standard_normal(len(marks))
    marks = marks[(marks > 0) & (marks < cycles[-1])]
    return np.interp(marks, cycles, np.arange(len(cycles))) / sample_rate


def poisson_times(rng: Generator, seconds: float, *, per_second: float) -> np.ndarray:
    """Random instants (n,) in 0..``seconds``, ``per_second`` on average.

    Bubbles, sparks, rattles.
    """
    return rng.uniform(0, seconds, rng.poisson(per_second * seconds))


def room(
    x: np.ndarray, sample_rate: int, rng: Generator, *, decay: float, wet: float
) -> np.ndarray:
    """``x`` (n,) in a room: direct sound plus ``wet`` times a noise tail.

    The tail falls by 60 dB in ``decay`` seconds.
    """
    length = max(1, int(decay * sample_rate))
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail *= wet / np.sqrt(np.sum(tail**2))
    size = next_fast_len(len(x) + length, real=True)
    return x + irfft(rfft(x, size) * rfft(tail, size), size)[: len(x)]


def microphone(
    x: np.ndarray, sample_rate: int, *, slope: float, gain: float
) -> np.ndarray:
    """``x`` (n,) with a microphone's colour.

    A tilt of ``slope`` dB per octave around 1 kHz, then ``gain`` dB.
    """

    def response(size: int) -> np.ndarray:
        frequency = rfftfreq(size, 1 / sample_rate)
        octaves = np.log2(np.maximum(frequency, 60.0) / 1000.0)
        return 10 ** ((slope * octaves + gain) / 20)

    return _filtered(x, response)
