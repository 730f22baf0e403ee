"""Questions and judges of the chapter ``name_it``."""

import numpy as np

from checks import Hint, Question, number, shaped

QUESTIONS = {
    "half": Question(
        "A mixture is asked for 2/3 of a and 1/3 of b, with s = 30 and no margin. By how much must its cosine to a's centre be "
        "above that to b's?",
        {
            "By 1/3: two thirds minus one third": "These are probabilities. The ratio of two probabilities of a softmax is the "
            "exponential of the difference of their logits.",
            "By 0.69": "The logits must differ by log 2 = 0.69. A logit is 30 times a cosine.",
            "By 0.023": "log 2 / 30. Near a right angle that is little more than one degree.",
            "As much as possible": "For a single clip, yes. Here being sure of a is punished by the term that asks for b.",
        },
        seal=2384033445,
    ),
    "axis": Question(
        "With one axis w a class, for which embeddings is the logit of AdaProj largest?",
        {
            "For x = w only, as with a centre": "So it would be with a cosine. What is the projection of −w onto the line through w?",
            "For x = w and for x = −w": "The projection of both is the point itself, and the logit is |cos|: a line has no "
            "direction. (So one axis is not the same as one centre.)",
            "For all x at right angles to w": "Their shadow on the line is nothing.",
        },
        seal=2363560413,
    ),
    "alone": Question(
        "You have recordings of one single machine and of nothing else. Which method of this chapter can be trained?",
        {
            "Noisy-ArcMix: it mixes clips": "It would mix clips of one machine, and there is only one name to ask for.",
            "Serial-OE: it asks about the type": "Its outliers are clips of other types, of which you have none.",
            "Sub-cluster AdaCos: it has 16 centres": "All sixteen would be centres of the one class, so the probability is 1 before anything "
            "is learned.",
            "AADCL: it names disguises": "Its classes are made from the clips themselves.",
        },
        seal=1372926853,
    ),
}

SCALE, MARGIN = 30.0, 0.7


def _loss(angles, margin_on, name):
    """The cross-entropy of ``name`` with the margin on one class."""
    harder = np.array(angles, float)
    if margin_on is not None:
        harder[margin_on] += MARGIN
    logits = SCALE * np.cos(harder)
    return np.logaddexp.reduce(logits) - logits[name]


def noisy(function):
    """``function(angles, a, b, share)``: the loss of Noisy-ArcMix of one mixture."""
    rng = np.random.default_rng(5)
    for count, share in ((2, 0.5), (5, 0.8), (23, 0.25), (4, 1.0)):
        angles = rng.uniform(0.2, 2.2, count)
        a, b = rng.choice(count, 2, replace=False).tolist()
        got = number(function(angles.copy(), a, b, share), "the loss")
        rest = 1 - share
        want = share * _loss(angles, a, a) + rest * _loss(angles, a, b)
        mistakes = {
            share * _loss(angles, a, a)
            + rest
            * _loss(
                angles, b, b
            ): "That is ArcMix: in the term that asks for b, too, the "
            "margin stays on a.",
            share * _loss(angles, None, a)
            + rest
            * _loss(
                angles, None, b
            ): "There is no margin in it: add 0.7 to the angle to a.",
            share * _loss(angles, a, a)
            + rest
            * _loss(
                angles, None, b
            ): "In the second term the margin is missing: it is on a "
            "there as well.",
            rest * _loss(angles, a, a)
            + share
            * _loss(
                angles, a, b
            ): "The shares are the wrong way round: `share` belongs to a.",
            want
            / SCALE: "Divide nothing by the scale: the loss is of the logits.",
            -want: "The loss is minus the logarithm of a probability.",
        }
        if not np.isfinite(got):
            raise Hint(
                "Your loss is not finite: take the logarithm of a sum of exponentials by np.logaddexp.reduce."
            )
        if np.isclose(got, want, rtol=1e-6):
            continue
        for wrong, words in mistakes.items():
            if np.isclose(got, wrong, rtol=1e-6):
                raise Hint(words)
        raise Hint(
            f"With angles {angles.round(2).tolist()}, a = {a}, b = {b} and λ = {share} the loss should be {want:.4f}; yours is {got:.4f}."
        )


def scale_for(function):
    """``function(classes, angle, p)``: the scale that gives ``p`` at ``angle``."""
    for classes, degrees, p in ((23, 45, 0.5), (41, 30, 0.9), (5, 60, 0.2)):
        angle = np.radians(degrees)
        got = number(function(classes, angle, p), "the scale")
        odds, others = np.log(p / (1 - p)), np.log(classes - 1)
        want = (odds + others) / np.cos(angle)
        if np.isclose(got, want, rtol=1e-6):
            continue
        if np.isclose(got, (odds + np.log(classes)) / np.cos(angle)):
            raise Hint("The others are C − 1, not C.")
        if np.isclose(got, (odds + others) * np.cos(angle)):
            raise Hint(
                "You multiply by the cosine: s cos θ is the logit, so divide by it."
            )
        if np.isclose(got, (np.log(p) + others) / np.cos(angle)):
            raise Hint(
                "The own class stands in the denominator, too: it is p / (1 − p) that counts."
            )
        if np.isclose(got, others / np.cos(angle)):
            raise Hint("That is right for p = ½ only. Where does p come in?")
        at = f"{classes} classes, {degrees}° and p = {p}"
        raise Hint(
            f"For {at} the scale should be {want:.3f}; yours is {got:.3f}. The other cosines are 0, and so are their logits."
        )


def saved(function):
    """``function(a, b, k)``: weights of a common convolution over those of a separable one."""
    for a, b, k in ((16, 64, 3), (2, 16, 3), (1, 128, 25), (8, 8, 1)):
        got = number(function(a, b, k), "how many times as many")
        separable = k * k * a + a * b
        want = k * k * a * b / separable
        if np.isclose(got, want, rtol=1e-6):
            continue
        if np.isclose(got, 1 / want):
            raise Hint(
                "The other way round: the common one over the separable one."
            )
        if np.isclose(got, separable):
            raise Hint(
                "These are the weights of the separable one. How many times as many has the common one?"
            )
        if np.isclose(got, k * k * a * b / (k * k * a * b + a * b)):
            raise Hint(
                "The first of the two layers convolves each of the a channels with cells of its own: k² a weights, and no b in it."
            )
        if np.isclose(got, k * a * b / (k * a + a * b)):
            raise Hint("A kernel of k × k cells has k² of them.")
        raise Hint(
            f"From {a} to {b} channels with {k} × {k} cells it should be {want:.3f}; yours is {got:.3f}."
        )


def pull(function):
    """``function(z, alpha, beta)``: the gradient of an outlier's loss of type."""
    rng = np.random.default_rng(3)
    for dim, alpha, beta in ((2, 1.0, 0.0), (6, 2.0, -1.0), (128, 0.5, 3.0)):
        z = rng.normal(size=dim)
        got = shaped(function(z.copy(), alpha, beta), (dim,)).astype(float)
        p = 1 / (1 + np.exp(-(alpha * (z @ z) / dim + beta)))
        want = 2 * alpha / dim * p * z
        if np.allclose(got, want, rtol=1e-6):
            continue
        mistakes = {
            "Against the gradient is where the training goes. The gradient itself points away from the origin.": -want,
            "That is of -log p, the loss of an own clip. For an outlier it is -log(1 - p).": want
            * (p - 1)
            / p,
            "Where has the derivative of |z|² / d gone? It is 2 z / d, with α in front.": p
            * z,
            "The derivative of |z|² is 2 z, not z.": want / 2,
            "|z|² is divided by d, and so is its derivative.": want * dim,
            "With 1 - p you have the derivative of p's logarithm; of -log(1 - σ(u)) it is σ(u).": want
            * (1 - p)
            / p,
        }
        for words, wrong in mistakes.items():
            if np.allclose(got, wrong, rtol=1e-6):
                raise Hint(words)
        raise Hint(
            f"For z of {dim} numbers, α = {alpha} and β = {beta} the first number should be {want[0]:.4f}; yours is {got[0]:.4f}."
        )
