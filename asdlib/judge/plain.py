"""Plain detectors: how far a clip is from the healthy ones of its machine, in numbers
that nobody had to train.

A plain scorer is an entry of :data:`PLAIN_SCORERS`, called as those of embeddings are:
``(known (N, d), asked (M, d)) -> (M,)``. It first brings every number to mean 0 and
variance 1 over the machine's healthy clips. What is solved is solved in the space of
the clips, so d may be far larger than N. Two others, :func:`sub_bands` and
:func:`ridged_mahalanobis`, take the numbers as they are given.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from asdlib.judge.blocks import in_blocks, nearest
from asdlib.judge.normalise import fit_ratio
from asdlib.judge.scorers import (
    FITS,
    Distance,
    Fitted,
    Scorer,
    euclidean_distances,
    fit_distance,
)

LEAST = 0.1  # spread of a number, in shares of the median one: few clips may agree
NEIGHBOURS = 2
AROUND = 4  # clips that tell how far apart clips are where a clip is
RIDGE = 1e-3  # variance
OUTSIDE = 0.1  # share of the healthy clips that the one-class machine may leave out


def standardised(known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``known`` (N, d) and ``asked`` (M, d) with mean 0 and variance 1 over ``known``.

    No number counts for more than ten times the median one, however little it varies.

    >>> known = np.array([[0.0, 5.0], [2.0, 5.0]])
    >>> standardised(known, np.array([[3.0, 5.0]]))[1]
    array([[2., 0.]])
    """
    scale = standard(known)
    return scale(known), scale(asked)


@dataclass(frozen=True)
class Standard:
    """Rows (M, d) minus ``mean`` (d,), in units of ``spread`` (d,)."""

    mean: np.ndarray
    spread: np.ndarray

    def __call__(self, asked: np.ndarray) -> np.ndarray:
        return (np.asarray(asked, np.float64) - self.mean) / self.spread


def standard(known: np.ndarray) -> Standard:
    """What :func:`standardised` does to rows (M, d), from ``known`` (N, d)."""
    known = np.asarray(known, np.float64)
    mean, spread = known.mean(axis=0), known.std(axis=0)
    varying = spread[spread > 0]
    least = LEAST * np.median(varying) if varying.size else 1.0
    return Standard(mean, np.maximum(spread, least))


def plain_knn(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Mean Euclidean distance to the two nearest of ``known``, standardised: (M,).

    Per dimension, so that it stays of the order of 1.
    """
    return fit_plain_knn(known)(asked)


def fit_plain_knn(known: np.ndarray) -> Fitted:
    """:func:`plain_knn` for many calls: fitted to ``known`` (N, d) once."""
    scale = standard(known)
    far = euclidean_distances(scale(known))

    def score(asked: np.ndarray) -> np.ndarray:
        near = nearest(far(scale(asked)), NEIGHBOURS)
        return near.mean(axis=1) / np.sqrt(known.shape[1])

    return partial(in_blocks, score, width=len(known))


def plain_local(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Distance to a known clip in units of how far apart clips are there: (M,).

    The least of these ratios over the known clips, by the four clips around each
    (:func:`asdlib.judge.normalise.knn_local`).
    """
    return fit_plain_local(known)(asked)


def fit_plain_local(known: np.ndarray) -> Fitted:
    """:func:`plain_local` for many calls: fitted to ``known`` (N, d) once."""
    scale = standard(known)
    rows = scale(known)
    ratio = fit_ratio(euclidean_distances(rows), rows, neighbours=AROUND)
    size = np.sqrt(rows.shape[1]) if len(rows) < 2 else 1.0  # no ratio, but a distance
    return lambda asked: ratio(scale(asked)) / size


def plain_mahalanobis(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance, per dimension, standardised and shrunk: (M,)."""
    return fit_plain_mahalanobis(known)(asked)


def fit_plain_mahalanobis(known: np.ndarray) -> Fitted:
    """:func:`plain_mahalanobis` for many calls: fitted to ``known`` (N, d) once."""
    scale = standard(known)
    distance = fit_distance(scale(known))
    return lambda asked: distance(scale(asked)) / known.shape[1]


def plain_svm(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """-log of the density that a one-class support vector machine sees: (M,) ≥ 0.

    Schölkopf et al. (2001), with a Gaussian kernel as wide as the healthy clips lie
    apart; the density in shares of the highest that is possible.
    """
    return fit_plain_svm(known)(asked)


def fit_plain_svm(known: np.ndarray) -> Fitted:
    """:func:`plain_svm` for many calls: fitted to ``known`` (N, d) once."""
    from scipy.special import logsumexp
    from sklearn.svm import OneClassSVM

    scale = standard(known)
    gamma = 1 / known.shape[1]  # one clip is one kernel, which libsvm cannot fit
    if len(known) < 2:
        return lambda asked: gamma * np.sum(scale(asked) ** 2, axis=1)
    machine = OneClassSVM(nu=max(OUTSIDE, 1 / len(known)), gamma=gamma)
    machine.fit(scale(known))
    share = machine.dual_coef_[0] / machine.dual_coef_.sum()
    far = euclidean_distances(machine.support_vectors_)

    def score(asked: np.ndarray) -> np.ndarray:
        square = far(scale(asked)) ** 2
        return -logsumexp(-gamma * square, b=share, axis=1)  # far away it is no exact 0

    return partial(in_blocks, score, width=len(share))


def sub_bands(known: np.ndarray, asked: np.ndarray, *, width: int) -> np.ndarray:
    """The mean over sub-bands of how far a clip is from the nearest there: (M,) ≥ 0.

    A sub-band is ``width`` numbers in a row of ``known`` (N, d) and ``asked`` (M, d).
    Each has its own nearest clip, by the Euclidean distance in units of how far apart
    clips are there (:func:`asdlib.judge.normalise.local_ratio`).
    """
    return fit_sub_bands(known, width=width)(asked)


def fit_sub_bands(known: np.ndarray, *, width: int) -> Fitted:
    """:func:`sub_bands` for many calls: fitted to ``known`` (N, d) once."""
    known = np.asarray(known, np.float64)
    bands = [slice(at, at + width) for at in range(0, known.shape[1], width)]
    ratios = []
    for band in bands:
        rows = known[:, band]
        ratios.append(fit_ratio(euclidean_distances(rows), rows, neighbours=AROUND))

    def score(asked: np.ndarray) -> np.ndarray:
        asked = np.asarray(asked, np.float64)
        pairs = zip(ratios, bands, strict=True)
        return np.mean([ratio(asked[:, band]) for ratio, band in pairs], axis=0)

    return score


def ridged_mahalanobis(
    known: np.ndarray, asked: np.ndarray, *, ridge: float = RIDGE
) -> np.ndarray:
    """Squared Mahalanobis distance, of numbers as they are: (M,) ≥ 0.

    The covariance of ``known`` (N, d) has ``ridge`` more in every direction, instead of
    being shrunk: with fewer clips than numbers, what no known clip has counts for much.
    """
    return fit_ridged_mahalanobis(known, ridge=ridge)(asked)


def fit_ridged_mahalanobis(known: np.ndarray, *, ridge: float = RIDGE) -> Fitted:
    """:func:`ridged_mahalanobis` for many calls: fitted to ``known`` (N, d) once."""
    known = np.asarray(known, np.float64)
    mean = known.mean(axis=0)
    _, singular, axes = np.linalg.svd(known - mean, full_matrices=False)
    inside = singular**2 / len(known) + ridge
    distance = Distance(mean, axes, inside, ridge)
    return lambda asked: distance(np.asarray(asked, np.float64))


PLAIN_SCORERS: dict[str, Scorer] = {
    "knn": plain_knn,
    "mahalanobis": plain_mahalanobis,
    "svm": plain_svm,
    "local": plain_local,
}
FITS.update(
    {
        plain_knn: fit_plain_knn,
        plain_mahalanobis: fit_plain_mahalanobis,
        plain_svm: fit_plain_svm,
        plain_local: fit_plain_local,
        ridged_mahalanobis: fit_ridged_mahalanobis,
    }
)
