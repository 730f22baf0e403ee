"""Judges and questions of the chapter left_running."""

import numpy as np

from checks import Hint, Question, number, shaped


def hysteresis(answer) -> None:
    """``with_hysteresis(scores, threshold, clear)`` -> (n,) of True and False."""
    rng = np.random.default_rng(4)
    for threshold, clear in ((4.5, 4.0), (2.0, 2.0), (0.5, -1.0)):
        scores = (
            np.round(rng.normal(3, 2, 200) * 2) / 2
        )  # some are equal to a level
        got = shaped(answer(scores.copy(), threshold, clear), (200,))
        on, expected = False, []
        for score in scores:
            on = score > clear if on else score > threshold
            expected.append(on)
        expected = np.array(expected)
        if np.array_equal(got.astype(bool), expected):
            continue
        if np.array_equal(got.astype(bool), scores > threshold):
            raise Hint(
                "That is the simple rule: nothing is remembered between two scores."
            )
        if np.array_equal(got.astype(bool), scores > clear):
            raise Hint(
                "That alarm begins at the lower level: it should begin at the threshold, and end at clear."
            )
        first = int(np.argmax(got.astype(bool) != expected))
        raise Hint(
            f"With threshold {threshold:g} and clear {clear:g}, score {first} is {scores[first]:g}, after {scores[max(first - 1, 0)]:g}, "
            f"and there should be {'an' if expected[first] else 'no'} alarm: above begins, at or below ends."
        )


def permutation(answer) -> None:
    """``p_of_days(before, now)`` -> p of whole days changing sides."""
    rng = np.random.default_rng(9)

    def days(count, level=0.0, mood=1.0):
        return [
            level + mood * rng.normal() + rng.normal(size=12)
            for _ in range(count)
        ]

    few = (
        [np.full(4, 0.0), np.full(4, 0.1), np.full(4, 0.2)],
        [np.full(4, 5.0), np.full(4, 5.1), np.full(4, 5.2)],
    )
    p = number(answer(*few), "p")
    if p < 0.05:
        raise Hint(
            "Three days against three can change sides in twenty ways, two of which are as extreme as the true one: p is about "
            "0.1. Yours is smaller: shuffle whole days, and count the true assignment as a round."
        )
    if not 0.07 < p < 0.14:
        raise Hint(
            f"Of three low days and three high ones, p is about 0.1, yours is {p:.3f}: count the rounds in which the absolute "
            "difference is as large as the true one, or larger."
        )
    alike = [number(answer(days(8), days(8))) for _ in range(20)]
    if np.mean(np.array(alike) < 0.05) > 0.3:
        raise Hint(
            "Of days that only have moods, yours calls many changed: whole days change sides, not single scores."
        )
    moved = number(answer(days(8, mood=0.1), days(8, level=2.0, mood=0.1)))
    if moved > 0.02:
        raise Hint(
            f"Eight days moved by two deviations should be told from eight others; your p is {moved:.2f}."
        )


QUESTIONS = {
    "hold": Question(
        "A valve is loud for one second a minute, and its fault can be heard in that second only. Windows are one second long. "
        "What does --for 10 do?",
        {
            "It makes the alarm ten seconds late": "It would, if the score stayed above; ten windows in a row do not.",
            "It misses the fault": "One odd window is followed by fifty-nine ordinary ones: it is never above for ten seconds. "
            "Take longer windows, or a second for --for.",
            "Nothing: the threshold decides": "The threshold decides what is odd, --for how long it has to be.",
            "It halves the false alarms": "It reduces them, by how much has to be counted, and with them the true ones.",
        },
        seal=46844757,
    ),
    "keeper": Question(
        "asd watch says that a pump has changed, and the mechanic finds nothing. What now?",
        {
            "Choose the threshold again from last week's recordings": "Somebody has looked: what is heard now is the healthy "
            "pump of now. Keep the old recordings, and write down who looked.",
            "Train the network again": "It still tells machines apart; only what is usual has moved.",
            "Call it changed less often: --rate 0.001": "That makes the test deaf, and the threshold's promise still does not hold.",
            "Nothing: no fault, no change": "The promised rate of false alarms belongs to a machine that sounded otherwise.",
        },
        seal=461208549,
    ),
    "silence": Question(
        "On Monday the dashboard is green. It has been green since Thursday. What do you ask first?",
        {
            "Whether the threshold is too high": "Later. A threshold that is too high lets scores through; are there any?",
            "When the last window came": "A pipe that broke on Thursday leaves the last state where it was. What does not come any "
            "more must be an alarm of its own.",
            "Whether the network should be trained longer": "A network that hears nothing is not helped by training.",
            "Nothing: green is good": "Green is good where it is new.",
        },
        seal=2130283057,
    ),
}
