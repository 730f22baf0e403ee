"""What every spectrogram looks like, in a picture and in the script of a page.

The one place that says so: the window, the colours and the 80 dB that they span. Where
several clips are shown together, the loudest spot of them all is the top of the scale,
so that a louder clip looks louder. The script gets these facts as :func:`look`; it
draws the same pieces of a clip with the same colours, and says the same of it in words
(:func:`in_words`) to whoever does not see it.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np

WINDOW = 512  # samples, Hann
HOP = 128  # samples
RANGE = 80  # dB from the darkest colour to the brightest
FLOOR = 1e-7  # of full scale; added, so that silence has a level: -140 dB
STANDS_OUT = 10  # times the mean of the spectrum
STEADY = 6  # dB; a level that changes by less is called steady
SILENT = -120  # dB; below it there is nothing to describe
COLOURS = "magma"  # as matplotlib calls them: equal steps in dB look equal, in grey too


def decibels(x: np.ndarray) -> np.ndarray:
    """Levels of the clip ``x`` (samples,) in dB of full scale: (257, frames).

    Frame k is centred on sample ``128 * k``; beyond the ends of the clip is silence. A
    sine of amplitude 1 has -6 dB.

    >>> tone = np.sin(2 * np.pi * 1000 / 16000 * np.arange(16000))
    >>> levels = decibels(tone)
    >>> levels.shape, round(float(levels[32, 60]), 1)  # 32 · 16000 / 512 is 1000 Hz
    ((257, 126), -6.0)
    """
    from scipy.signal import stft

    whole = np.pad(x, (0, max(0, WINDOW - len(x))))
    magnitude = np.abs(stft(whole, nperseg=WINDOW, noverlap=WINDOW - HOP)[2])
    return 20 * np.log10(magnitude[:, : len(x) // HOP + 1] + FLOOR)


def top_of(waveforms: Iterable[np.ndarray]) -> float:
    """The level, in dB, of the loudest spot of one or more ``waveforms`` (samples,)."""
    return max(float(decibels(x).max()) for x in waveforms)


def in_words(x: np.ndarray, sample_rate: int) -> str:
    """What the spectrogram of the clip ``x`` (samples,) shows, for who cannot see it.

    Where its power lies along the frequencies, and how its level goes over time: its
    swing, in dB, is that between its 5th and its 95th percentile, and it rises where
    it passes from the lower third of that to the upper one.

    >>> time = np.arange(16000) / 16000
    >>> in_words(np.sin(2 * np.pi * 1000 * time) * (time % 0.25 < 0.1), 16000)
    'Strongest at 1.0 kHz; half of its power lies below 1.0 kHz, nine tenths below 1.0 \
kHz. Its level swings by 112 dB and rises 3 times.'
    """
    power = 10 ** (decibels(x) / 10)
    if 10 * np.log10(power.max()) < SILENT:
        return "Silence."
    spectrum = power.mean(axis=1)
    share = spectrum.cumsum() / spectrum.sum()
    places = [spectrum.argmax(), *np.searchsorted(share, [0.5, 0.9])]
    most, half, nearly = (_hertz(k * sample_rate / WINDOW) for k in places)
    level = 10 * np.log10(power.sum(axis=0))
    low, high = np.sort(level)[[int(0.05 * len(level)), int(0.95 * len(level))]]
    swing = high - low
    below = f"half of its power lies below {half}, nine tenths below {nearly}"
    goes = "is steady"
    if swing >= STEADY:
        third = np.digitize(level, [low + swing / 3, high - swing / 3])
        kept = third[third != 1]  # what is between leaves it where it was
        rises = int((np.diff(kept) > 0).sum())
        often = {0: "never rises", 1: "rises once"}.get(rises, f"rises {rises} times")
        goes = f"swings by {swing:.0f} dB and {often}"
    stands_out = spectrum.max() >= STANDS_OUT * spectrum.mean()
    first = f"Strongest at {most}" if stands_out else "No frequency stands out"
    return f"{first}; {below}. Its level {goes}."


def _hertz(frequency: float) -> str:
    tens = 10 * int(frequency / 10 + 0.5)
    return f"{tens} Hz" if tens < 1000 else f"{frequency / 1000:.1f} kHz"


@cache
def look() -> dict[str, float | str]:
    """The facts above for the script; ``colours`` are 256 of six hexadecimal digits."""
    from matplotlib import colormaps

    table = colormaps[COLOURS](np.arange(256), bytes=True)[:, :3]
    return {
        "window": WINDOW,
        "hop": HOP,
        "range": RANGE,
        "floor": FLOOR,
        "out": STANDS_OUT,
        "steady": STEADY,
        "silent": SILENT,
        "colours": table.tobytes().hex(),
    }
