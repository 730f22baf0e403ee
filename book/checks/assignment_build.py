"""What the assignment "Build" asks."""

import numpy as np
import torch
import torch.nn.functional as F

from checks import Hint, number, shaped


def arcface(function):
    rng = np.random.default_rng(21)
    cosines = rng.uniform(-0.95, 0.95, (6, 4))
    labels = np.array([0, 3, 1, 2, 2, 0])
    rows = np.arange(6)
    cosines[0, 0] = -0.9  # θ + m is beyond π
    margin, scale = 0.7, 30.0
    theta = np.arccos(cosines[rows, labels])
    turned = np.where(
        theta + margin <= np.pi,
        np.cos(theta + margin),
        cosines[rows, labels] - margin * np.sin(margin),
    )
    want = cosines.copy()
    want[rows, labels] = turned
    got = shaped(
        function(cosines.copy(), labels.copy(), margin, scale), (6, 4)
    )
    if np.allclose(got, scale * want):
        return
    if np.allclose(got, want):
        raise Hint("The scale is missing.")
    if np.allclose(got, scale * cosines):
        raise Hint(
            "The margin is missing: it is added to the angle of the own class."
        )
    bare = cosines.copy()
    bare[rows, labels] = np.cos(theta + margin)
    if np.allclose(got, scale * bare):
        raise Hint(
            "Where θ + m is larger than π, the cosine rises again: take cos θ − m sin m there."
        )
    minus = cosines.copy()
    minus[rows, labels] -= margin
    if np.allclose(got, scale * minus):
        raise Hint(
            "That takes the margin from the cosine: it is added to the angle."
        )
    raise Hint(
        f"The first logit should be {scale * want[0, 0]:.4f} and is {got[0, 0]:.4f}."
    )


def contrast(function):
    generator = torch.Generator().manual_seed(22)
    z = torch.randn(9, 5, generator=generator)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 3])
    for tau in (0.1, 0.5):
        s = F.normalize(z) @ F.normalize(z).T / tau
        own = torch.eye(9, dtype=bool)
        partner = (labels[:, None] == labels) & ~own
        log_p = s - s.masked_fill(own, -torch.inf).logsumexp(
            dim=1, keepdim=True
        )
        some = partner.any(dim=1)
        each = -(
            log_p.masked_fill(~partner, 0).sum(dim=1)
            / partner.sum(dim=1).clamp(min=1)
        )
        want = float(each[some].mean())
        got = number(function(z.clone(), labels.clone(), tau))
        if np.isclose(got, want, rtol=1e-4):
            continue
        with_self = s - s.logsumexp(dim=1, keepdim=True)
        other = -(
            with_self.masked_fill(~partner, 0).sum(dim=1)
            / partner.sum(dim=1).clamp(min=1)
        )
        if np.isclose(got, float(other[some].mean()), rtol=1e-4):
            raise Hint(
                "A clip is not compared with itself: leave it out of the sum below, too."
            )
        if np.isclose(got, float(each[some].sum()), rtol=1e-4):
            raise Hint("That is the sum over the clips: return the mean.")
        if np.isclose(got, float(each.sum() / 9), rtol=1e-4):
            raise Hint(
                "The clip without a partner counts in the mean: leave it out."
            )
        raise Hint(
            f"At τ = {tau:g} it should be {want:.4f} and is {got:.4f}."
        )


def surprise(function):
    rng = np.random.default_rng(23)
    logits = 4 * rng.normal(size=(5, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    got = shaped(function(logits.copy(), 1), (5,))
    if not np.allclose(got, -np.log(p[:, 1])):
        if np.allclose(got, -np.log(p.max(axis=1))):
            raise Hint(
                "It is the surprise at the machine's *own* name, not at the likeliest."
            )
        if np.allclose(got, p[:, 1]):
            raise Hint(
                "That is the probability: the surprise is minus its logarithm."
            )
        raise Hint(
            f"The first should be {-np.log(p[0, 1]):.4f} and is {got[0]:.4f}."
        )
    with np.errstate(all="ignore"):
        large = np.asarray(function(np.array([[1000.0, 0.0, 0.0]]), 1), float)
    if not np.allclose(large, 1000):
        raise Hint(
            "With a logit of 1,000 it should be 1,000: work with logarithms, not with probabilities."
        )


def neighbours(function):
    rng = np.random.default_rng(24)
    known, asked = rng.normal(size=(8, 6)), rng.normal(size=(4, 6))
    a, k = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (asked, known)
    )
    far = np.sort((1 - a @ k.T) / 2, axis=1)
    got = shaped(function(known.copy(), asked.copy()), (4,))
    want = far[:, :2].mean(axis=1)
    if np.allclose(got, want):
        return
    if np.allclose(got, far[:, 0]):
        raise Hint("That is the nearest: take the mean of the two nearest.")
    if np.allclose(got, 2 * want):
        raise Hint("The distance is (1 − cos) / 2, from 0 to 1.")
    if np.allclose(got, 1 - 2 * want):
        raise Hint(
            "That is a similarity: a distance is larger for what is stranger."
        )
    raise Hint(f"The first should be {want[0]:.4f} and is {got[0]:.4f}.")
