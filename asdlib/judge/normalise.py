"""Distances in units of what is usual there, by training clips only.

Where a machine runs under two conditions, clips of the one may lie close together and
those of the other, of which few are known, far apart: a distance that is much here is
nothing there, and one threshold serves the one or the other. Two remedies: by how far
apart the training clips around a clip are (*local density normalisation*), and by the
scores of each domain's own training clips.

:func:`knn_local` and :func:`knn_local_difference` are scorers of embeddings, so
``EMBEDDING_SCORERS["knn-local"] = knn_local`` offers one in every run.
"""

from functools import partial

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.blocks import Distances, in_blocks, spread_around
from asdlib.judge.scorers import FITS, Fitted, Scorer, cosine_distances, cross_scores

NEIGHBOURS = 4  # training clips that tell how far apart clips are there
LEAST = 1e-9  # distance to those clips, where some are there twice


def knn_local(
    known: np.ndarray, asked: np.ndarray, *, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Cosine distance in units of how far apart training clips are there: (M,) ≥ 0.

    min over y of D(x, y) / mean over k ≤ K of D(y, y_k), for each x of ``asked`` (M,
    d); y are the ``known`` clips (N, d), y_k the K = ``neighbours`` nearest of the
    others to y. Wilkinghoff, Yang, Ebbers, Germain, Wichern and Le Roux, "Keeping the
    balance" (ICASSP 2025) and "Local density-based anomaly score normalization for
    domain generalization" (2025). One known clip has no others: its plain distance.
    """
    return fit_knn_local(known, neighbours=neighbours)(asked)


def fit_knn_local(known: np.ndarray, *, neighbours: int = NEIGHBOURS) -> Fitted:
    """:func:`knn_local` for many calls: fitted to ``known`` (N, d) once."""
    return fit_ratio(_cosine(known), known, neighbours=neighbours)


def knn_local_difference(
    known: np.ndarray, asked: np.ndarray, *, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """As :func:`knn_local`, minus in the place of divided by: (M,), may be below 0.

    min over y of D(x, y) - mean over k ≤ K of D(y, y_k): the same papers' other form.
    """
    return fit_knn_local_difference(known, neighbours=neighbours)(asked)


def fit_knn_local_difference(
    known: np.ndarray, *, neighbours: int = NEIGHBOURS
) -> Fitted:
    """:func:`knn_local_difference` for many calls: fitted to ``known`` (N, d) once."""
    far = _cosine(known)
    spread = _spread(far, known, neighbours)

    def score(asked: np.ndarray) -> np.ndarray:
        return (far(asked) - spread).min(axis=1)

    return partial(in_blocks, score, width=len(known))


def fit_ratio(far: Distances, known: np.ndarray, *, neighbours: int) -> Fitted:
    """:func:`local_ratio` for many calls: fitted to ``known`` (N, d) once.

    ``far`` gives the distances of rows to ``known``. Raises :class:`AsdError` for no
    neighbour.
    """
    if len(known) < 2:
        return lambda asked: far(asked)[:, 0]
    spread = _spread(far, known, neighbours).clip(min=LEAST)

    def score(asked: np.ndarray) -> np.ndarray:
        return (far(asked) / spread).min(axis=1)

    return partial(in_blocks, score, width=len(known))


def local_ratio(
    far: np.ndarray, between: np.ndarray, *, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """The ratios of :func:`knn_local` for any distances: (M,) ≥ 0, finite.

    ``far`` (M, N) are those of asked clips to known ones, ``between`` (N, N) those of
    known ones to each other.
    """
    if len(between) < 2:
        return far[:, 0]
    spread = local_spread(between, neighbours=neighbours)
    return (far / spread.clip(min=LEAST)).min(axis=1)


def local_spread(between: np.ndarray, *, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Mean distance of each of N clips to the ``neighbours`` nearest others: (N,).

    ``between`` (N, N) are the distances. Fewer others than that are all that count, and
    a clip alone has 0. Raises :class:`AsdError` for no neighbour.

    >>> between = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 3.0], [4.0, 3.0, 0.0]])
    >>> local_spread(between, neighbours=1)
    array([1., 1., 3.])
    """
    places = np.arange(len(between))
    return _spread(lambda rows: between[rows].astype(np.float64), places, neighbours)


def _spread(far: Distances, known: np.ndarray, neighbours: int) -> np.ndarray:
    """:func:`asdlib.judge.blocks.spread_around`, of one neighbour at least: (N,)."""
    if neighbours < 1:
        raise AsdError(f"{neighbours} neighbours tell nothing: choose 1 or more")
    return spread_around(far, known, neighbours)


def _cosine(known: np.ndarray) -> Distances:
    far = cosine_distances(known)
    return lambda rows: far(rows).clip(min=0)


def by_domain(
    scorer: Scorer, known: np.ndarray, domains: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """How surprising clips are to the domain that they surprise least: (M,).

    min over the domains of (s(x) - mean) / deviation: s(x) is what ``scorer`` says of
    each x of ``asked`` (M, d) by the ``known`` clips (N, d) of one of the ``domains``
    (N,), any names; mean and standard deviation are those of these clips' own scores,
    each by the others (leave one out). Which domain x is of need not be known. Raises
    :class:`AsdError` for a domain with a single clip, and for other names than one a
    clip.

    >>> nearest = lambda known, asked: np.abs(asked - known.T).min(axis=1)
    >>> known = np.array([[0.0], [1.0], [3.0], [100.0], [110.0], [130.0]])
    >>> domains = np.repeat(["source", "target"], 3)
    >>> by_domain(nearest, known, domains, np.array([[7.0], [95.0]])).round(2)
    array([ 5.66, -1.77])
    """
    domains = np.asarray(domains)
    if domains.shape != (len(known),):
        raise AsdError(
            f"{len(known)} clips and domains of shape {domains.shape}: "
            "name one for each clip"
        )
    found = []
    for domain in np.unique(domains):
        own = known[domains == domain]
        if len(own) < 2:
            raise AsdError(
                f"a single training clip of the domain {domain}: give two or more, or "
                "score without domains"
            )
        usual = cross_scores(scorer, own, folds=len(own))
        spread = max(float(usual.std()), LEAST)
        found.append((scorer(own, asked) - usual.mean()) / spread)
    return np.min(found, axis=0)


FITS.update({knn_local: fit_knn_local, knn_local_difference: fit_knn_local_difference})
