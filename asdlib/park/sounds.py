"""Building blocks of a machine's sound: rotation, impacts, resonances, flow noise, room and microphone.

Every function works on arrays of ``n`` samples at ``rate`` samples per second and draws only from the generator that
it is given, so that the same numbers always make the same sound. Nothing here knows what a fan is; that is
:mod:`asdlib.park.machine_types`.
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import lfilter

SPEED_OF_DRIFT = 1.5  # Hz; real motors wander slowly, not from sample to sample


def drift(rng, n, rate, *, depth):
    """A slow random track around 1 with relative standard deviation ``depth``, shape (n,): speed and load wander."""
    knots = rng.standard_normal(max(4, int(np.ceil(n / rate * SPEED_OF_DRIFT)) + 3))
    return 1 + depth * np.interp(
        np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots
    )


def turns(speed, rate):
    """The number of turns made so far, shape (n,), for a ``speed`` track in turns per second."""
    return np.cumsum(speed) / rate


def harmonics(cycles, levels, rng):
    """A periodic sound: the k-th of ``levels`` is the amplitude of the k-th harmonic of the ``cycles`` track."""
    starts = rng.uniform(0, 2 * np.pi, len(levels))
    return sum(
        level * np.sin(2 * np.pi * k * cycles + start)
        for k, (level, start) in enumerate(zip(levels, starts, strict=True), 1)
    )


def rolloff(level, ratio, count):
    """Harmonic levels that fall by the factor ``ratio`` from each to the next: an instrument's or a gear's timbre."""
    return level * ratio ** np.arange(count)


def _filtered(x, response):
    """``x`` through the frequency ``response(f)``, zero-padded so that the end does not wrap round into the start."""
    n = len(x)
    size = next_fast_len(n + 4096, real=True)
    return irfft(rfft(x, size) * response(size), size)[:n]


def tilted_noise(rng, n, rate, *, slope):
    """Noise of unit RMS whose spectrum falls by ``slope`` dB per octave above 100 Hz: turbulence, friction, air."""

    def response(size):
        octaves = np.log2(np.maximum(rfftfreq(size, 1 / rate), 100.0) / 100.0)
        return 10 ** (-slope * octaves / 20)

    x = _filtered(rng.standard_normal(n), response)
    return x / np.sqrt(np.mean(x**2))


def band_noise(rng, n, rate, *, centre, width):
    """Noise of unit RMS around ``centre`` Hz, ``width`` octaves wide (standard deviation of a Gaussian band)."""

    def response(size):
        octaves = np.log2(np.maximum(rfftfreq(size, 1 / rate), 1.0) / centre)
        return np.exp(-0.5 * (octaves / width) ** 2)

    x = _filtered(rng.standard_normal(n), response)
    return x / np.sqrt(np.mean(x**2))


def body(x, rate, *, resonances, sharpness, mix):
    """Sound that leaves through a vibrating body: ``x`` plus ``mix`` times its resonances (Hz) of Q ``sharpness``."""

    def response(size):
        f = rfftfreq(size, 1 / rate)
        ring = sum(
            1 / (1 - (f / f0) ** 2 + 1j * f / (f0 * sharpness)) for f0 in resonances
        )
        return 1 + mix * 1j * f / np.mean(resonances) * ring / sharpness

    return _filtered(x, response)


def impact_train(n, rate, times, strengths):
    """Unit impulses at ``times`` (seconds) with ``strengths``, each spread over the two samples it falls between."""
    x = np.zeros(n + 2)
    position = np.asarray(times) * rate
    inside = (position >= 0) & (position < n)
    position, strengths = (
        position[inside],
        np.broadcast_to(strengths, inside.shape)[inside],
    )
    first = position.astype(int)
    share = position - first
    np.add.at(x, first, strengths * (1 - share))
    np.add.at(x, first + 1, strengths * share)
    return x[:n]


def ring(train, rate, *, frequency, decay):
    """Struck metal: each impulse of ``train`` rings at ``frequency`` Hz and dies by 1/e in ``decay`` seconds."""
    radius, angle = np.exp(-1 / (decay * rate)), 2 * np.pi * frequency / rate
    return lfilter([np.sin(angle)], [1, -2 * radius * np.cos(angle), radius**2], train)


def every_cycle(cycles, rate, *, per_cycle, rng, jitter=0.0):
    """Times (seconds) at which the ``cycles`` track passes each 1/``per_cycle`` of a turn; ``jitter`` in turns."""
    count = cycles[-1] * per_cycle
    marks = (np.arange(int(count) + 1) + rng.uniform()) / per_cycle
    marks = marks + jitter * rng.standard_normal(len(marks))
    return (
        np.interp(
            marks[(marks > 0) & (marks < cycles[-1])], cycles, np.arange(len(cycles))
        )
        / rate
    )


def poisson_times(rng, seconds, *, per_second):
    """Random instants, ``per_second`` on average: bubbles, sparks, rattles."""
    return rng.uniform(0, seconds, rng.poisson(per_second * seconds))


def room(x, rate, rng, *, decay, wet):
    """``x`` in a room: direct sound plus ``wet`` times a noise tail that falls by 60 dB in ``decay`` seconds."""
    length = max(1, int(decay * rate))
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail *= wet / np.sqrt(np.sum(tail**2))
    size = next_fast_len(len(x) + length, real=True)
    return x + irfft(rfft(x, size) * rfft(tail, size), size)[: len(x)]


def microphone(x, rate, *, slope, gain):
    """A microphone's colour: a tilt of ``slope`` dB per octave around 1 kHz, then ``gain`` dB."""

    def response(size):
        octaves = np.log2(np.maximum(rfftfreq(size, 1 / rate), 60.0) / 1000.0)
        return 10 ** ((slope * octaves + gain) / 20)

    return _filtered(x, response)
