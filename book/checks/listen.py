"""Checks of the chapter "Listen first"."""

import numpy as np

from checks import Hint, Question


def band_level(answer):
    rng = np.random.default_rng(0)
    time = np.arange(32000) / 16000
    for inside, outside, expected in ((1, 1, 0), (1, 10, -20), (3, 1, 9.54)):
        x = inside * np.sin(2 * np.pi * 3000 * time) + outside * np.sin(
            2 * np.pi * 500 * time
        )
        got = answer(x + 1e-6 * rng.standard_normal(len(time)))
        if got is None or got is ...:
            raise Hint(
                "The function returns nothing yet: end it with return."
            )
        if np.ndim(got):
            raise Hint("Return one number: sum the energy over frequencies.")
        if not np.isfinite(got):
            raise Hint("That is not a finite number: is the band empty?")
        if expected and abs(got - 0.5 * expected) < 0.1:
            raise Hint(
                "Half of what is asked: energy is the square of the amplitude."
            )
        if expected and abs(got + expected) < 0.1:
            raise Hint("The ratio is upside down: band over rest.")
        if abs(got - expected) > 0.1:
            raise Hint(
                f"A tone at 3 kHz {inside}/{outside} as strong as one at 500 Hz "
                f"gives {got:.2f} dB instead of {expected:.2f}: look at the limits of "
                "the band, and that the rest leaves the band out."
            )


QUESTIONS = {
    "why_healthy": Question(
        "Why does a detector learn from healthy recordings only?",
        {
            "Because healthy machines are louder": "Loudness depends on where the microphone stands.",
            "Because faults are rare, and the next one may be of a kind never heard before": "Health can be recorded every day; faults cannot be ordered.",
            "Because faulty recordings are too noisy to learn from": "Their noise is the same factory's noise.",
            "Because a network cannot learn two classes": "It could, if there were enough examples of both, and tomorrow's faults among them.",
        },
        seal=1313460697,
    ),
    "nuisance": Question(
        "Which of these differences between two recordings of one fan says something about its health?",
        {
            "The second is 4 dB louder": "The microphone may stand nearer: that is nuisance.",
            "The second has more hum of the hall in it": "The hall is not the fan.",
            "The second was made at a slightly higher speed": "Speed follows the load of the day: nuisance, within limits.",
            "In the second the bearing knocks harder, beyond what this fan ever did": "It is a change of the machine itself, and out of its own range.",
        },
        seal=415267797,
    ),
}
