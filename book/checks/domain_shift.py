"""What the chapter "When the world changes" asks."""

import numpy as np

from asdlib.evaluation import auc
from checks import Hint, Question, number

QUESTIONS = {
    "which": Question(
        "In which of the three recordings is the fan broken?",
        {
            "In the first": "Nothing is wrong there: it is the recording that the two others are to be held against.",
            "In the second": "It sounds unlike the first, but the fan is healthy. What changed is everything around it.",
            "In the third": "One of its blades is bent there, and all else is as in the first. The second is another world.",
        },
        seal=853198141,
    ),
    "order": Question(
        "Which of these do you expect to score lowest, that is, to look healthiest to the detector?",
        {
            "Healthy recordings of the source": "Most of what the detector knows is like them.",
            "Healthy recordings of the target": "They are healthy, but the detector knows only five that are like them.",
            "Faulty recordings of the source": "They are near to many known recordings, and yet further away than healthy ones of the source.",
        },
        seal=1860255589,
    ),
    "price": Question(
        "A detector multiplies every score of the target domain by the same number below 1. Which of these cannot change?",
        {
            "The AUC of the target's healthy recordings against the target's faults": "All of these scores are multiplied alike, and so their order stays.",
            "The source AUC, as the challenge counts it": "The target's faults are in it, too, and they come down.",
            "The target AUC, as the challenge counts it": "The target's healthy recordings come down and the source's faults do not: it rises.",
        },
        seal=4094441029,
    ),
    "harmonic": Question(
        "Two detectors have these source and target AUCs: one 90 % and 50 %, the other 70 % and 70 %. Which has the better harmonic mean?",
        {
            "The first": "Its harmonic mean is 2 / (1/0.9 + 1/0.5), about 64 %.",
            "The second": "70 % against about 64 %: the mean is drawn to the smaller number.",
            "They are equal": "Their arithmetic means are. The harmonic mean is drawn to the smaller number.",
        },
        seal=481994749,
    ),
}


def domain_auc(function):
    """``function(truth, domain, scores, which)``: healthy ones of a domain against the faults of both."""
    rng = np.random.default_rng(3)
    for count in (40, 90):
        truth = rng.permutation(np.arange(count) % 2)
        domain = rng.choice(["source", "target"], count)
        scores = (
            rng.normal(size=count).round(1) + truth + (domain == "target")
        )
        for which in ("source", "target"):
            got = number(
                function(truth.copy(), domain.copy(), scores.copy(), which)
            )
            rows = (truth == 1) | (domain == which)
            want = auc(truth[rows], scores[rows])
            own = domain == which
            if abs(got - want) < 1e-9:
                continue
            if abs(got - auc(truth[own], scores[own])) < 1e-9:
                raise Hint(
                    "That is the AUC within the domain. The faulty recordings of the other domain count as well."
                )
            if abs(got - auc(truth, scores)) < 1e-9:
                raise Hint(
                    "That is the AUC over all recordings. Healthy ones of the other domain do not count."
                )
            rows = (truth == 0) | (domain == which)
            if abs(got - auc(truth[rows], scores[rows])) < 1e-9:
                raise Hint(
                    "It is the other way round: the healthy ones are of one domain, the faulty ones of both."
                )
            raise Hint(
                f"For the {which} domain of {count} recordings it should be {want:.4f}, not {got:.4f}."
            )


def thresholds(function):
    """``function(scores, conditions, rate)``: a threshold for each condition, None where recordings are too few."""
    rng = np.random.default_rng(4)
    for counts, rate in (
        ({"A": 19, "B": 5, "C": 40}, 0.05),
        ({"A": 18, "hall": 99}, 0.05),
        ({"slow": 9, "fast": 30, "idle": 1}, 0.1),
    ):
        names = rng.permutation(
            np.repeat(list(counts), list(counts.values()))
        )
        scores = rng.normal(size=len(names)) + 5 * (names == max(counts))
        got = function(scores.copy(), names.copy(), rate)
        if not isinstance(got, dict):
            raise Hint(
                "Return a dictionary from the name of each condition to its threshold."
            )
        if set(map(str, got)) != set(counts):
            raise Hint(
                f"The conditions are {', '.join(sorted(counts))}; your dictionary has {', '.join(sorted(map(str, got)))}."
            )
        got = {str(name): value for name, value in got.items()}
        for name, n in counts.items():
            own = np.sort(scores[names == name])
            k = int(rate * (n + 1) + 1e-9)
            if k == 0:
                if got[name] is not None:
                    raise Hint(
                        f"With {n} recordings even the highest score promises no rate below 1/{n + 1}, and {rate} was asked for: None."
                    )
                continue
            if got[name] is None:
                raise Hint(
                    f"{n} recordings are enough for a rate of {rate}: k = {k}, since {k}/{n + 1} does not exceed it."
                )
            value = number(got[name], name)
            everybody = np.sort(scores)[-int(rate * (len(scores) + 1) + 1e-9)]
            if abs(value - everybody) < 1e-12 and value != own[-k]:
                raise Hint(
                    "That is one threshold for all. Take the scores of each condition alone."
                )
            if abs(value - own[-k]) > 1e-12:
                raise Hint(
                    f"Of {n} scores at a rate of {rate} it is the {k}. highest, {own[-k]:.4f}; yours is {value:.4f}."
                )


def moved(function):
    """``function(known, of_known, asked, of_asked)``: each condition's rows minus the mean of its known rows."""
    rng = np.random.default_rng(5)
    names = np.array(["cabin", "hall", "yard"])
    of_known, of_asked = names[rng.integers(0, 2, 20)], names[[0, 1, 2] * 5]
    of_known[0] = "hall"
    known = rng.normal(size=(20, 4)) + 10 * (of_known == "hall")[:, None]
    asked = rng.normal(size=(15, 4)) + 10 * (of_asked == "hall")[:, None]
    arguments = known.copy(), of_known.copy(), asked.copy(), of_asked.copy()
    got = function(*arguments)
    if not isinstance(got, tuple) or len(got) != 2:
        raise Hint("Return two arrays: the known rows and the asked rows.")
    if not np.array_equal(arguments[0], known) or not np.array_equal(
        arguments[2], asked
    ):
        raise Hint(
            "Your function changes the arrays that it was given: work on copies."
        )
    means = {
        name: known[of_known == name].mean(axis=0)
        for name in np.unique(of_known)
    }
    nothing = np.full(4, np.nan)
    want = [
        np.array(
            [
                row - means.get(name, nothing)
                for row, name in zip(rows, of, strict=True)
            ]
        )
        for rows, of in ((known, of_known), (asked, of_asked))
    ]
    k, a = (np.asarray(x, float) for x in got)
    if k.shape != (20, 4) or a.shape != (15, 4):
        raise Hint(
            f"The shapes should stay (20, 4) and (15, 4); yours are {k.shape} and {a.shape}."
        )
    if not np.allclose(k, want[0]):
        raise Hint(
            "The known rows of each condition should have the mean 0: subtract the mean of that condition, over rows only."
        )
    unknown = of_asked == "yard"
    if not np.isnan(a[unknown]).all():
        raise Hint(
            "Of the condition 'yard' nothing is known: its rows are to become nan."
        )
    by_own = [asked[of_asked == name].mean(axis=0) for name in of_asked]
    if np.allclose(a[~unknown], (asked - by_own)[~unknown]):
        raise Hint(
            "The asked rows are moved by their own mean: if all of them are faulty, you make them look healthy. Take that of the known rows."
        )
    if not np.allclose(a[~unknown], want[1][~unknown]):
        raise Hint(
            "The asked rows should be moved by the mean of the known rows of their own condition."
        )
