"""Scores of different kinds on one scale, by healthy clips only, so that they add up.

A distance of 0.1 may be much for one scorer and nothing for another. What can be
compared is how surprising a score is among those of healthy clips: the sum of such
surprises, -log p, is an old way to join tests (Fisher 1932).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from asdlib.errors import AsdError
from asdlib.judge.scorers import Scorer, cross_scores

TINY = 1e-12  # the smallest score that has a logarithm here
LEAST = 1e-3  # spread of the logarithms, however alike the healthy scores are
WEIGHT = 4  # clips that what holds for all machines counts for, beside a machine's own


def surprise(usual: ArrayLike, new: ArrayLike) -> np.ndarray:
    """How surprising each of ``new`` (M,) is among the ``usual`` scores (n,): (M,) > 0.

    ``usual`` are scores of two or more healthy clips, none of which was known to the
    scorer (:func:`asdlib.judge.scorers.cross_scores`). -log of the chance that another
    healthy clip scores as high, where the logarithms of scores ≥ 0 are normally
    distributed, with a mean and a spread that n clips know only so well: Student's t,
    as of a prediction interval. Unlike a rank it goes on beyond the highest of
    ``usual``, and five clips promise less than fifty. Raises :class:`AsdError` for
    fewer clips than two, and for scores that are negative or not finite.

    >>> surprise([1.0, 2.0, 4.0], [2.0, 8.0]).round(2)  # one in two, in nine
    array([0.69, 2.18])
    """
    from scipy.stats import t

    known, asked = logarithms(usual), logarithms(new)
    if known.ndim != 1 or len(known) < 2:
        raise AsdError(
            f"{known.size} healthy clip has no spread that scores could be held "
            "against: give two or more"
        )
    spread = max(float(known.std(ddof=1)), LEAST) * np.sqrt(1 + 1 / len(known))
    return -t.logsf((asked - known.mean()) / spread, len(known) - 1)


def logarithms(scores: ArrayLike) -> np.ndarray:
    """The logarithms of scores (n,) ≥ 0, which may be 0.

    Raises :class:`AsdError` for scores that are negative or not finite.
    """
    scores = np.asarray(scores, float)
    if not np.isfinite(scores).all() or (scores < 0).any():
        raise AsdError(
            "only finite scores from 0 on can be brought to one scale: "
            "leave the scorer out that gives others"
        )
    return np.log(scores + TINY)


def scales(
    fresh: Sequence[np.ndarray], guesses: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of the log scores of healthy clips, of each of K machines: (K,).

    For a scorer that has learned from clips: ``fresh[k]`` (n,) are log scores of clips
    of machine k that it has not learned from, ``guesses[k]`` the mean log score of
    those that it has. A machine of which few are fresh, or none, is helped out by the
    others: by how much fresh clips score higher than known ones, and how wide they
    spread, there. Raises :class:`AsdError` where no clip at all is fresh.

    >>> mean, spread = scales([np.array([1.0, 1.2]), np.array([])], [0.0, 2.0])
    >>> mean.round(2)  # fresh ones score higher by 1.1
    array([1.1, 3.1])
    """
    pairs = list(zip(fresh, guesses, strict=True))
    if not any(len(scores) for scores in fresh):
        raise AsdError("no healthy clip is left to hold scores against: give more")
    rise = np.mean(np.concatenate([scores - guess for scores, guess in pairs]))
    means = np.array(
        [
            (scores.sum() + WEIGHT * (guess + rise)) / (len(scores) + WEIGHT)
            for scores, guess in pairs
        ]
    )
    off = [(scores - mean) ** 2 for scores, mean in zip(fresh, means, strict=True)]
    common = np.mean(np.concatenate(off))
    own = [(x.sum() + WEIGHT * common) / (len(x) + WEIGHT) for x in off]
    return means, np.sqrt(own).clip(min=LEAST)


def cross_scales(
    scorer: Scorer, x: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`scales` of K machines by their clips ``x`` (N, d), labelled (N,).

    Each held against the others of its machine: for a scorer that has learned from
    none.
    """
    every = [x[labels == label] for label in np.unique(labels)]
    logs = [logarithms(cross_scores(scorer, own)) for own in every]
    return scales(logs, [own.mean() for own in logs])


def known_levels(scorer: Scorer, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean log score (K,) of each machine's clips, held against each other."""
    every = [x[labels == label] for label in np.unique(labels)]
    return np.array([logarithms(cross_scores(scorer, own)).mean() for own in every])


def learned_scales(
    scorer: Scorer,
    x: np.ndarray,
    labels: np.ndarray,
    *,
    learned: np.ndarray,
    asked: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The level of known clips (K,), by how much fresh ones score above it (K,), and
    their spread (K,).

    In log scores, of clips ``x`` (N, d) as a network sees them that has ``learned``
    from some rows and not from those ``asked``. What holds for all machines where it
    has learned from none of one; no rise where nothing is asked.
    """
    fresh, levels = [], []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        known, new = np.intersect1d(own, learned), np.intersect1d(own, asked)
        known = known if len(known) else own
        among = logarithms(cross_scores(scorer, x[known]))
        fresh.append(logarithms(scorer(x[known], x[new])) if len(asked) else among)
        levels.append(among.mean())
    mean, spread = scales(fresh, levels)
    return np.array(levels), mean - np.array(levels), spread


def surprise_at(logs: np.ndarray, mean: ArrayLike, spread: ArrayLike) -> np.ndarray:
    """As :func:`surprise`, of log scores (M,) on a scale that is known: (M,) > 0.

    ``mean`` and ``spread`` are those of healthy clips, numbers or (M,).

    >>> surprise_at(np.array([3.0]), 1.0, 2.0).round(2)  # one in six
    array([1.84])
    """
    from scipy.special import log_ndtr  # scipy.stats would take a second to import

    return -log_ndtr((np.asarray(mean) - logs) / np.asarray(spread))
