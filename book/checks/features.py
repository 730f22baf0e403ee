"""Questions and exercises of the chapter "What the network sees"."""

import numpy as np

from checks import Hint, Question

QUESTIONS = {
    "window": Question(
        "You want to see whether a valve shuts 10 ms later than usual. Which window would you take?",
        {
            "256 samples": "It is 16 ms long, so a click is a thin line, and 10 ms are a visible part of its width.",
            "1,024 samples": "It is 64 ms long: a click fills it wherever it lies, and 10 ms hardly show.",
            "4,096 samples": "It is 256 ms long: opening and shutting of this valve would fall into one window.",
            "It makes no difference if the hop is short enough.": "A short hop moves the window in small steps, but each step "
            "still sees everything that lies within its length.",
        },
        seal=2956975941,
    ),
    "gain": Question(
        "Somebody turns the microphone up: every sample is twice as large. What happens to the log-mel (far above its floor)?",
        {
            "Every number doubles.": "The power does not even double, it is four times as large; and the logarithm turns factors "
            "into sums.",
            "Every number grows by 6 dB.": "Four times the power is 10·log10(4) = 6.02 dB, the same in every band and frame.",
            "Nothing, the spectrogram is normalised.": "Here nothing is normalised, neither the waveform nor the picture.",
            "Loud bands grow more than quiet ones.": "They do in power; in decibels a factor is the same step everywhere.",
        },
        seal=1940001841,
    ),
    "knocks": Question(
        "A worn bearing knocks 60 times a second, and each knock rings for a moment at 3 kHz. Where can the log-mel show it?",
        {
            "As 60 bright stripes a second.": "There are only 31.25 frames a second, and each of them averages over 64 ms.",
            "Nowhere: 60 Hz is too fast.": "The single knocks are lost, but their energy is not.",
            "As more energy in the bands around 3 kHz, steady in time.": "The knocks melt into a glow at the pitch at which they "
            "ring; how many there are and how hard they are cannot be told apart.",
            "In the band around 60 Hz.": "Knocking 60 times a second is not a tone of 60 Hz: the energy is where each knock rings.",
        },
        seal=198500813,
    ),
}


def _mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


def band(answer):
    """Judge of ``band(hertz)``: the number of the mel band whose peak is nearest on the mel scale."""
    if not callable(answer):
        raise Hint(
            "Pass the function itself: check(..., band), without calling it."
        )
    top, rng = _mel(8000.0), np.random.default_rng()
    numbers = [0, 127, 43, *rng.integers(1, 127, 20)]
    # somewhere near the peak of each, so that rounding in between does not matter
    points = [(k + 1 + rng.uniform(-0.3, 0.3)) * top / 129 for k in numbers]
    told = [answer(float(700 * (10 ** (p / 2595) - 1))) for p in points]
    if any(value is None for value in told):
        raise Hint("Your function returns nothing: end it with return.")
    told = np.array([float(np.asarray(value)) for value in told])
    off = told - np.array(numbers)
    if not off.any():
        return
    if (off == 1).all():
        raise Hint(
            "One too many: point 0 is the lower end, 0 Hz, so band 0 peaks at point 1."
        )
    if (told != np.round(told)).any():
        raise Hint("A band is a whole number: round to the nearest.")
    linear = [
        round(129 * 700 * (10 ** (p / 2595) - 1) / 8000) - 1 for p in points
    ]
    if np.abs(told - linear).max() <= 1:
        raise Hint(
            "These bands are equally wide in hertz. Go to mel first, then divide."
        )
    if np.abs(off).max() <= 1:
        raise Hint(
            "Nearly: check the number of steps between 0 and 8,000 Hz (130 points), and round to the nearest, not down."
        )
    raise Hint(
        "Compute mel of the frequency, divide by the step mel(8000) / 129, and find the nearest point."
    )


def tones(answer):
    """Judge of the shortest window that shows 1,000 and 1,040 Hz as two tones."""
    if answer is ... or answer is None:
        raise Hint(
            "Give a number of samples. By the table, how far apart are the frequencies of 512 samples?"
        )
    n = int(answer)
    if n != float(answer) or n < 128 or n & (n - 1):
        raise Hint("Give one of 128, 256, 512, 1024, 2048, ... samples.")
    if n < 1024:
        raise Hint(
            f"With {n} samples there is still one hump: look at the level at 1,000, 1,020 and 1,040 Hz."
        )
    if n > 1024:
        raise Hint(
            "That one shows two tones, but a shorter window does, too."
        )
