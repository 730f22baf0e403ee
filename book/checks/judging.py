"""Questions and judges of the chapter ``judging``."""

import numpy as np

from asdlib.evaluation import auc
from checks import Hint, Question

QUESTIONS = {
    "accuracy": Question(
        "In a factory one recording in 200 is faulty. A detector there gives the right answer for 99.5 % of the recordings. "
        "What do you know about it?",
        {
            "It finds nearly all faults": "A detector that never raises an alarm is right 99.5 % of the time there, and "
            "finds none.",
            "It raises few false alarms, and may find no fault at all": "All its errors together are 0.5 % of the recordings, "
            "and the missed faults alone could be all of them.",
            "Nothing at all": "Something is known: false alarms and missed faults together are 0.5 % of the recordings.",
        },
        seal=2134988501,
    ),
    "monotone": Question(
        "All scores of a detector are positive. You replace each by its logarithm. What happens to its AUC?",
        {
            "It stays as it is": "The logarithm keeps the order of any two numbers, and the AUC knows nothing but the order.",
            "It gets smaller, because the logarithm brings large scores together": "How far two scores are apart does not "
            "matter: look at the tiles again.",
            "That depends on the threshold": "No threshold is needed to compute an AUC: it is made of all of them.",
        },
        seal=2158913221,
    ),
    "pooled": Question(
        "A detector has an AUC of 90 % on each of four pumps. One ROC curve over all recordings of the four gives 70 %. "
        "What has most likely happened?",
        {
            "The detector fails on one of the pumps": "It has 90 % on each of them; the mean over the IDs would show a "
            "failure on one.",
            "The four pumps have scores of different levels": "Most pooled pairs compare two pumps, and then the level "
            "decides instead of the fault.",
            "There were too few recordings": "Four times as many recordings are in the pooled curve: it is less shaky than "
            "each of the four.",
        },
        seal=2403335877,
    ),
    "choosing": Question(
        "You have trained 20 versions of a network, and one has the best AUC on the test clips. How do you get an honest "
        "number for it?",
        {
            "Give its bootstrap interval on the test clips": "The bootstrap redraws the very clips by which it won, and "
            "cannot know that it was the best of 20.",
            "Judge it on labelled clips that had no part in the choice": "Fresh clips do not know which version you hoped "
            "for; that is what makes them fair.",
            "Train it again with the same seed": "The same seed gives the same network, and the same clips the same number.",
        },
        seal=2973693157,
    ),
}


def pairs(function):
    """``function(truth, scores)`` is the AUC by pairs, ties half."""
    rng = np.random.default_rng(1)
    cases = [
        (
            np.array([0, 0, 0, 1, 1, 1]),
            np.array([0.2, 0.5, 0.6, 0.4, 0.7, 0.9]),
        )
    ]
    for healthy, faulty, levels in ((7, 5, 0), (12, 30, 4), (9, 9, 1)):
        truth = rng.permutation([0] * healthy + [1] * faulty)
        n = healthy + faulty
        cases.append(
            (
                truth,
                rng.integers(0, levels, n).astype(float)
                if levels
                else rng.normal(size=n),
            )
        )
    for number, (truth, scores) in enumerate(cases):
        want, got = auc(truth, scores), function(truth.copy(), scores.copy())
        if got is None or got is ...:
            raise Hint(
                "Your function returns nothing: let it return one number."
            )
        if np.ndim(got) != 0:
            raise Hint(
                f"Your function returns something of shape {np.shape(got)}: return one number, the mean over all pairs."
            )
        if abs(got - want) < 1e-9:
            continue
        if abs(got - (1 - want)) < 1e-9:
            raise Hint(
                "It is the wrong way round: count the pairs in which the faulty recording scores above the healthy one."
            )
        faulty, healthy = scores[truth == 1], scores[truth == 0]
        higher, equal = (
            (faulty[:, None] > healthy).mean(),
            (faulty[:, None] == healthy).mean(),
        )
        if number and equal and abs(got - higher) < 1e-9:
            raise Hint(
                "Without ties it fits. Pairs of equal scores count half; you count them as 0."
            )
        if number and equal and abs(got - higher - equal) < 1e-9:
            raise Hint(
                "Without ties it fits. Pairs of equal scores count half; you count them in full."
            )
        if got > 1:
            raise Hint(
                f"You return {got:g}: divide by the number of pairs, healthy recordings times faulty ones."
            )
        n = len(truth)
        if abs(got * n * n - want * len(faulty) * len(healthy)) < 1e-6:
            raise Hint(
                "You divide by all pairs of recordings: only pairs of a faulty and a healthy one count."
            )
        raise Hint(
            f"With truth {truth.tolist()} and scores {np.round(scores, 2).tolist()} it should be {want:.4f}, not {got:.4f}."
        )


def threshold(function):
    """``function(healthy, rate)`` is the lowest score with at most ``rate`` of ``healthy`` above it."""
    rng = np.random.default_rng(2)
    cases = [
        (rng.normal(size=n), rate)
        for n, rate in (
            (20, 0.05),
            (30, 0.05),
            (60, 0.1),
            (7, 0.05),
            (33, 0.2),
        )
    ]
    cases.append((rng.integers(0, 6, 50).astype(float), 0.1))
    for healthy, rate in cases:
        got = function(healthy.copy(), rate)
        if got is None or got is ...:
            raise Hint(
                "Your function returns nothing: let it return one number, the threshold."
            )
        if np.ndim(got) != 0:
            raise Hint(
                f"Your function returns something of shape {np.shape(got)}: return one number, the threshold."
            )
        n, above = len(healthy), int((healthy > got).sum())
        if above > rate * n + 1e-9:
            extra = (
                " Equal scores lie above the threshold together or not at all."
                if len(set(healthy)) < n
                else ""
            )
            raise Hint(
                f"With {n} scores and a rate of {rate}, {above} lie above your threshold: {above / n:.1%}.{extra}"
            )
        want = np.sort(healthy)[::-1][int(rate * n + 1e-9)]
        if above < (healthy > want).sum():
            raise Hint(
                f"With {n} scores and a rate of {rate}, {int((healthy > want).sum())} may lie above, and you allow {above}: "
                "a lower threshold would find more faults."
            )
        if got < want:
            raise Hint(
                "Give the lowest of the healthy scores themselves, not a number below it."
            )
