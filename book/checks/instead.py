"""What the chapter "What would you install instead?" asks."""

import numpy as np
from scipy.stats import norm

from checks import Hint, Question, shaped

QUESTIONS = {
    "scale": Question(
        "A scale is fitted to the scores of the training recordings, as the network sees them. What happens to the sum with plain scores?",
        {
            "nothing: a scale does not change any order": "Within one score, true. In a sum it decides how much each score counts.",
            "every new recording surprises the network, healthy or not, and its part drowns the plain one": "What it has learned lies too close together, so anything new is far out on that scale.",
            "the plain part drowns that of the network": "The other way round: on too narrow a scale the network's surprises are too large.",
        },
        seal=914229573,
    ),
    "keep": Question(
        "In the rehearsal a detector is a little better without one of its parts, by less than what other recordings would change. What is best?",
        {
            "leave the part out: better is better": "By so little it may have been the luck of the recordings; real faults are of other kinds than rehearsed ones.",
            "keep the part": "A part that does no clear harm may hear faults that were not rehearsed.",
            "look which is better on the test recordings": "That would be peeking: then it is no longer a test.",
        },
        seal=2325103257,
    ),
}


def far(function):
    rng = np.random.default_rng(8)
    known = rng.normal(size=(12, 90)) * rng.uniform(0.2, 2, 90) + 3
    asked = rng.normal(size=(7, 90)) * 2 + 3
    rest = 0.3
    got = shaped(function(known.copy(), asked.copy(), rest), (7,))
    off = asked - known.mean(axis=0)
    centred = known - known.mean(axis=0)
    covariance = centred.T @ centred / len(known)
    want = np.einsum(
        "id,id->i",
        off,
        np.linalg.solve(covariance + rest * np.eye(90), off.T).T,
    )
    _, s, axes = np.linalg.svd(centred, full_matrices=False)
    along = (off @ axes.T) ** 2
    inside = (along / (s**2 / len(known) + rest)).sum(axis=1)
    if np.allclose(got, inside):
        raise Hint(
            "You count what lies along the axes of the clips. Most of an unusual clip may lie at right angles to them all: the rest of its squared length, divided by `rest`."
        )
    if np.allclose(got, np.sqrt(want)):
        raise Hint("That is the distance; return its square.")
    if np.allclose(got, (off**2).sum(axis=1) / rest):
        raise Hint(
            "You divide everything by `rest`. Along the axes of the clips there is more variance: s² / N more."
        )
    without_n = (along / (s**2 + rest)).sum(axis=1) + (
        (off**2).sum(axis=1) - along.sum(axis=1)
    ) / rest
    if np.allclose(got, without_n):
        raise Hint(
            "The squares of the singular values are sums over the clips; the variance is their mean. Divide by N."
        )
    across = (off**2).sum(axis=1) - along.sum(axis=1)
    if np.allclose(
        got, (along / (s**2 / 11 + rest)).sum(axis=1) + across / rest
    ):
        raise Hint("You divide by N − 1; divide the squares by N.")
    if not np.allclose(got, want):
        raise Hint(
            f"The first distance should be {want[0]:.3f} and is {got[0]:.3f}. Is the mean of `known` taken away from both?"
        )
    wide = rng.normal(size=(2, 200_000))
    try:
        far_off = shaped(function(wide, wide[:1] + 1, rest), (1,))
    except MemoryError:
        raise Hint(
            "With 200,000 numbers a clip you ask for a matrix of 200,000 × 200,000: work along the axes of the clips instead."
        ) from None
    half = (wide[0] - wide[1]) / 2
    off, axis = wide[0] + 1 - wide.mean(axis=0), half / np.linalg.norm(half)
    along = (off @ axis) ** 2
    right = along / (half @ half + rest) + (off @ off - along) / rest
    if not np.isclose(far_off[0], right):
        raise Hint("For clips of 200,000 numbers the distance is not right.")


def on_scale(function):
    rng = np.random.default_rng(9)
    usual = np.exp(rng.normal(1, 0.3, 40))
    new = np.array([np.exp(1.0), usual.max() * 1.1, 20.0, 1e9])
    got = shaped(function(usual.copy(), new.copy()), (4,))
    logs = np.log(usual)
    z = (np.log(new) - logs.mean()) / logs.std(ddof=1)
    want = -norm.logsf(z)
    if not np.isfinite(got).all():
        raise Hint(
            "Far above all usual scores the chance is 0 in floating point and its logarithm infinite: let `logsf` compute the logarithm itself."
        )
    if np.allclose(got, -want):
        raise Hint("Minus the logarithm: the rarer, the larger.")
    if np.allclose(
        got, -norm.logsf((new - usual.mean()) / usual.std(ddof=1))
    ):
        raise Hint(
            "Take the logarithm of the scores first, of both `usual` and `new`."
        )
    if np.allclose(got, -norm.logcdf(z)):
        raise Hint(
            "That is the chance of a score at most as high; what is asked is one at least as high."
        )
    if np.allclose(
        got, -norm.logsf((np.log(new) - logs.mean()) / logs.std())
    ):
        raise Hint("Divide by N − 1 in the standard deviation: `ddof=1`.")
    if not np.allclose(got, want):
        raise Hint(
            f"The second surprise should be {want[1]:.4f} and is {got[1]:.4f}."
        )
