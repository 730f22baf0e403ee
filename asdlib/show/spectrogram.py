"""What every spectrogram looks like, in a picture and in the script of a page.

The one place that says so: the window, the colours and the 80 dB that they span. Where
several clips are shown together, the loudest spot of them all is the top of the scale,
so that a louder clip looks louder. The script gets these facts as :func:`look`; it
draws the same pieces of a clip with the same colours.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np

WINDOW = 512  # samples, Hann
HOP = 128  # samples
RANGE = 80  # dB from the darkest colour to the brightest
FLOOR = 1e-7  # of full scale; added, so that silence has a level: -140 dB
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
        "colours": table.tobytes().hex(),
    }
