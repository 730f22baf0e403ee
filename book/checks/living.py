"""What the chapter "The living detector" asks."""

import math

import numpy as np

from checks import Hint, Question, number, shaped

QUESTIONS = {
    "first": Question(
        "You turn a fault up, from none to one twice as bad as a clear one. What will the score do?",
        {
            "It rises, and a worse fault always scores higher": "So one would hope. Try imbalance on fan 04, slowly, to the end.",
            "It rises, but with some faults it falls again": "Try imbalance on fan 04: the highest score is not at the end.",
            "It jumps when the fault begins, and stays": "Try clogging: it creeps up.",
        },
        seal=2231308101,
    ),
    "world": Question(
        "The fan is healthy all the time. What do you expect to raise the most alarms?",
        {
            "Running 10 % faster or slower": "Look at the table: it depends on the fan, but it is not the most.",
            "A hall as loud as the machine": "What the detector knows of the machine is then half covered by what it does not know.",
            "A microphone with another tilt": "Look at the table: of all that is turned there, this does little.",
        },
        seal=1055919437,
    ),
    "strange": Question(
        "Real machines, enrolled by healthy recordings in a network that was trained on the simulated park. How does it do?",
        {
            "Better than plain levels of the bands": "It has learned what tells these 23 machines apart. Nothing made it learn about others.",
            "Worse than plain levels, but better than before its training": "So one might hope. Look at the second row.",
            "Worse than plain levels, and no better than before its training": "What it has learned is to tell the park's machines apart, and to overlook everything else.",
        },
        seal=387515973,
    ),
}


def mildest(function):
    """``function(severities, scores, threshold)``: from where on at least half of the recordings raise the alarm."""
    severities = np.array([0.5, 1.0, 1.5, 2.0])
    cases = [
        ([[0, 0, 0], [0, 2, 2], [2, 2, 2], [2, 2, 0]], 1.0),
        ([[0, 0, 2], [2, 2, 0], [0, 0, 0], [0, 0, 2]], 1.0),
        ([[0, 0, 0], [0, 0, 2], [0, 0, 0], [1, 0, 2]], 1.0),
        ([[0, 0, 0, 0], [0, 0, 0, 5], [4, 4, 0, 0], [4, 4, 4, 4]], 3.0),
    ]
    for scores, threshold in cases:
        scores = np.array(scores, dtype=float)
        share = (scores > threshold).mean(axis=1)
        caught = severities[share >= 0.5]
        want = caught[0] if len(caught) else None
        got = function(severities.copy(), scores.copy(), threshold)
        if want is None:
            if got is not None:
                raise Hint("Where no severity is caught, return None.")
            continue
        if got is None:
            raise Hint(
                f"At severity {want} {share[severities == want][0]:.0%} raise the alarm: that is at least half."
            )
        if abs(number(got) - want) > 1e-9:
            if got in severities and share[severities == got][0] < 0.5:
                raise Hint(
                    f"At severity {got} only {share[severities == got][0]:.0%} of the recordings raise the alarm."
                )
            raise Hint(
                f"The mildest severity that is caught is {want}, not {got}; a worse one may be missed again."
            )


def silent_at(function):
    """``function(depth, factor)``: the severity at which the depth reaches 1."""
    for depth, factor in ((0.25, 2.0), (0.33, 2.4), (0.9, 3.0), (0.5, 1.5)):
        got = number(function(depth, factor))
        want = math.log(1 / depth) / math.log(factor)
        if abs(got - want) < 1e-6:
            continue
        if abs(got - 1 / (depth * factor)) < 1e-6:
            raise Hint(
                "The depth grows by the factor to the power of the severity, not by severity times the factor."
            )
        if abs(got + want) < 1e-6:
            raise Hint(
                "The sign is wrong: a depth below 1 needs a positive severity."
            )
        raise Hint(
            f"With depth {depth} and factor {factor}, {depth} · {factor} ** {want:.3f} = 1; you have {got:.3f}."
        )


def in_16_bits(function):
    """``function(x)``: the nearest numbers with 10 bits behind the first."""
    rng = np.random.default_rng(5)
    x = np.append(
        rng.normal(0, 30, 500), [1.0, -0.5, 2049.0, 2051.0, 0.1, -77.7]
    )
    got, want = (
        shaped(function(x.copy()), x.shape),
        x.astype(np.float16).astype(float),
    )
    wrong = np.flatnonzero(got != want)
    if not len(wrong):
        return
    first = wrong[0]
    halfway = np.isin(x[wrong], [2049.0, 2051.0]).all()
    if halfway:
        raise Hint(
            "Only numbers in the middle between two are wrong: of these the even multiple of the step is taken, as np.round does."
        )
    if (got[x < 0] == -want[x < 0]).all():
        raise Hint("Negative numbers have lost their sign.")
    raise Hint(
        f"{x[first]:.6g} becomes {want[first]:.6g} in 16 bits, not {got[first]:.6g}: the step is 2 to the power of (exponent - 10)."
    )
