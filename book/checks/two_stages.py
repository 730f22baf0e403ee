"""Checks of the chapter "The two stages together"."""

import numpy as np
from scipy.stats import rankdata

from checks import Hint, Question


def paired(answer):
    rng = np.random.default_rng(0)
    for n in (3, 5):
        ours, theirs = rng.normal(80, 2, n), rng.normal(76, 2, n)
        got = answer(list(ours), list(theirs))
        if got is None or got is ...:
            raise Hint(
                "The function returns nothing yet: end it with return."
            )
        mean, error = got
        difference = ours - theirs
        if np.isclose(mean, -difference.mean()):
            raise Hint("The sign is turned around: ours minus theirs.")
        if not np.isclose(mean, difference.mean()):
            raise Hint("The first number is the mean of the differences.")
        if np.isclose(error, difference.std(ddof=1)):
            raise Hint(
                "That is the spread of the differences; their mean is surer than one of them: divide by the root of n."
            )
        if np.isclose(error, difference.std() / np.sqrt(n)):
            raise Hint("Divide the squares by n - 1, not by n: ddof=1.")
        if not np.isclose(error, difference.std(ddof=1) / np.sqrt(n)):
            raise Hint(
                "The mean is right; look at the standard error again: is it that of the differences, seed by seed?"
            )


def vote(answer):
    rng = np.random.default_rng(0)
    cases = [(rng.normal(size=8), rng.exponential(size=8)) for _ in range(3)]
    cases.append(
        (np.array([1.0, 1.0, 2.0, 0.0]), np.array([5.0, 7.0, 7.0, 7.0]))
    )
    for first, second in cases:
        got = answer(first, second)
        if got is None or got is ...:
            raise Hint(
                "The function returns nothing yet: end it with return."
            )
        got = np.asarray(got, dtype=float)
        right = (rankdata(first) + rankdata(second)) / 2
        if got.shape != right.shape:
            raise Hint("Return one number for each recording.")
        if np.allclose(got, (first + second) / 2):
            raise Hint(
                "That averages the scores, whose scales differ: average their ranks."
            )
        if np.allclose(got, 2 * right):
            raise Hint("Almost: the mean of two ranks, not their sum.")
        if np.allclose(got + 1, right):
            raise Hint("Almost: the lowest has rank 1, not 0.")
        if not np.allclose(got, right):
            raise Hint(
                "Equal scores share the mean of their ranks: scipy.stats.rankdata does that."
            )


QUESTIONS = {
    "score": Question(
        "A recording of fan 04 is so odd that the network takes it for no machine in particular. What is its score?",
        {
            "Low, for no other machine is likely either": "The probabilities add up to 1: what fan 04 loses, the others share.",
            "High, for fan 04 gets about one part in 23 of the probability, or less": "One part in 23 is a surprise of log 23, about 3. The margin makes it far more: at a right angle to all 23 directions the score is 28.",
            "Undefined, for the network knows healthy machines only": "It gives probabilities for every recording, whatever it is of.",
        },
        seal=115031685,
    ),
    "missed": Question(
        "A fault is missed although you can hear it. Which explanation fits the training task best?",
        {
            "The threshold was set too high": "An AUC knows no threshold.",
            "The network was never shown that fault": "It was never shown any fault, and finds others.",
            "Where the fault shows, the healthy machines do not differ, so the network never had to listen there": "What tells no machine from another is free to be ignored.",
        },
        seal=591584181,
    ),
}
