"""Scores of different kinds on one scale, by healthy clips only, so that they add up.

A distance of 0.1 may be much for one scorer and nothing for another. What can be
compared is how surprising a score is among those of healthy clips: the sum of such
surprises, -log p, is an old way to join tests (Fisher 1932).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from asdlib.errors import AsdError

TINY = 1e-12  # the smallest score that has a logarithm here
LEAST = 1e-3  # spread of the logarithms, however alike the healthy scores are


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

    usual, new = np.asarray(usual, float), np.asarray(new, float)
    for scores in (usual, new):
        if not np.isfinite(scores).all() or (scores < 0).any():
            raise AsdError(
                "only finite scores from 0 on can be brought to one scale: "
                "leave the scorer out that gives others"
            )
    if usual.ndim != 1 or len(usual) < 2:
        raise AsdError(
            f"{usual.size} healthy clip has no spread that scores could be held "
            "against: give two or more"
        )
    known, asked = np.log(usual + TINY), np.log(new + TINY)
    spread = max(float(known.std(ddof=1)), LEAST) * np.sqrt(1 + 1 / len(known))
    return -t.logsf((asked - known.mean()) / spread, len(known) - 1)


def fused(parts: Iterable[tuple[ArrayLike, ArrayLike]]) -> np.ndarray:
    """The mean :func:`surprise` (M,) over ``parts``, pairs of usual and new scores.

    Each part has its own usual scores (n,) and those of the same M new clips. Raises
    as :func:`surprise`.
    """
    return np.mean([surprise(usual, new) for usual, new in parts], axis=0)
