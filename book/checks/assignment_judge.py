"""What the assignment "Judge" asks."""

import numpy as np
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from checks import Hint, number, shaped


def _machines(seed=11):
    """Truth and scores of five machines of two types, some scores alike."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shift in (
        ("fan/id_00", 1.5),
        ("fan/id_02", 0.3),
        ("fan/id_04", 0.8),
        ("pump/id_00", 2.0),
        ("pump/id_02", -0.2),
    ):
        truth = np.repeat([0, 1], [30, 20])
        found[name] = truth, np.round(rng.normal(size=50) + shift * truth, 1)
    return found


def auc_and_mauc(function):
    machines = _machines()
    aucs = {name: roc_auc_score(*pair) for name, pair in machines.items()}
    kinds = {
        kind: [auc for name, auc in aucs.items() if name.startswith(kind)]
        for kind in ("fan", "pump")
    }
    want = np.array(
        [
            np.mean([np.mean(x) for x in kinds.values()]),
            np.mean([min(x) for x in kinds.values()]),
        ]
    )
    got = shaped(function(dict(machines)), (2,)).astype(float)
    if np.allclose(got, want):
        return
    if np.allclose(got, 100 * want):
        raise Hint("Fractions, please, not per cent.")
    if np.isclose(got[0], np.mean(list(aucs.values()))):
        raise Hint(
            "That is the mean over the machines: average within each type first, then over the types."
        )
    if np.isclose(got[1], min(aucs.values())):
        raise Hint(
            "That is the worst machine of all: take the worst of each type, and average these."
        )
    strict = {
        name: np.mean(scores[truth == 1][:, None] > scores[truth == 0])
        for name, (truth, scores) in machines.items()
    }
    if np.isclose(
        got[0],
        np.mean(
            [
                np.mean([strict[n] for n in strict if n.startswith(k)])
                for k in kinds
            ]
        ),
    ):
        raise Hint(
            "Where the scores of a pair are alike, it counts one half."
        )
    raise Hint(f"The first should be {want[0]:.4f} and is {got[0]:.4f}.")


def partial_auc(function):
    truth, scores = _machines(12)["fan/id_00"]
    for most in (0.1, 0.25):
        want = roc_auc_score(truth, scores, max_fpr=most)
        got = number(function(truth.copy(), scores.copy(), most))
        if np.isclose(got, want):
            continue
        least, area = most**2 / 2, None
        area = (want * 2 - 1) * (most - least) + least
        if np.isclose(got, area):
            raise Hint(
                "That is the bare area: bring it to the scale from 1/2 (guessing) to 1 (perfect)."
            )
        if np.isclose(got, area / most):
            raise Hint(
                "Divided by the largest area it has no fixed value for guessing: McClish's form has 1/2."
            )
        raise Hint(
            f"Up to a rate of {most:g} it should be {want:.4f} and is {got:.4f}. Is the last piece cut at the rate?"
        )


def clips_for_a_promise(function):
    for rate, sure in ((0.05, 0.95), (0.01, 0.9), (0.1, 0.99)):
        want = int(np.ceil(np.log(1 - sure) / np.log(1 - rate)))
        got = number(function(rate, sure))
        if got == want:
            continue
        if np.isclose(got, np.log(1 - sure) / np.log(1 - rate)):
            raise Hint("There is no half a clip: round up.")
        if got == np.ceil(1 / rate) - 1:
            raise Hint(
                "So many keep the promise on average. How many keep it with the probability that was asked for?"
            )
        raise Hint(
            f"For a rate of {rate:g} and {sure:g} it should be {want} and is {got:g}."
        )


def paired(function):
    rng = np.random.default_rng(13)
    first = rng.normal(0.85, 0.03, 5)
    second = first + rng.normal(0.01, 0.004, 5)
    gains = second - first
    half = t.ppf(0.975, 4) * gains.std(ddof=1) / np.sqrt(5)
    want = np.array([gains.mean() - half, gains.mean() + half])
    got = shaped(function(first.copy(), second.copy()), (2,)).astype(float)
    if np.allclose(got, want):
        return
    if np.allclose(got[::-1], -want):
        raise Hint("It is the second minus the first.")
    if np.allclose(
        got,
        gains.mean()
        + np.array([-1, 1]) * t.ppf(0.975, 4) * gains.std() / np.sqrt(5),
    ):
        raise Hint("The standard deviation of a sample divides by n − 1.")
    if np.allclose(
        got,
        gains.mean()
        + np.array([-1, 1]) * 1.959964 * gains.std(ddof=1) / np.sqrt(5),
        rtol=1e-3,
    ):
        raise Hint(
            "With five seeds the factor is that of Student's t with four degrees of freedom, not 1.96."
        )
    apart = np.sqrt(first.var(ddof=1) / 5 + second.var(ddof=1) / 5)
    if np.isclose(got[1] - got[0], 2 * t.ppf(0.975, 8) * apart, rtol=0.05):
        raise Hint("The seeds are paired: take the differences first.")
    raise Hint(
        f"It should be from {want[0]:.4f} to {want[1]:.4f}, and is from {got[0]:.4f} to {got[1]:.4f}."
    )
