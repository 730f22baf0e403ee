"""From embeddings to anomaly scores: larger, the more anomalous a clip is.

A scorer of embeddings is an entry of :data:`EMBEDDING_SCORERS`:
``(known (N, d), asked (M, d)) -> (M,)``, where ``known`` are normal clips of the same
machine. One more entry is all that a new scorer takes. What it finds out about the
known clips alone can be found out once, for many calls: :data:`FITS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.blocks import Distances, in_blocks, nearest

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
Fitted = Callable[[np.ndarray], np.ndarray]  # asked (M, d) → scores (M,)
LEAST = 1e-6  # variance of an embedding of length 1, in every direction
# Rows (N, ...), and the name of the machine of each (N,).
Rows = tuple[np.ndarray, np.ndarray]


def by_machine(function: Scorer, known: Rows, asked: Rows) -> np.ndarray:
    """``function(known rows, asked rows)`` for each machine on its own: scores (M,).

    ``known`` and ``asked`` are pairs of rows (N, ...) or (M, ...) and as many machine
    names. Raises :class:`AsdError` where their lengths differ, or where a machine that
    is asked about has no known clip.

    >>> nearest = lambda known, asked: np.abs(asked[:, None] - known).min(axis=1)
    >>> machines = np.array(["fan/id_00", "fan/id_02"])
    >>> known, asked = np.array([0.0, 5.0]), np.array([1.0, 1.0])
    >>> by_machine(nearest, (known, machines), (asked, machines))
    array([1., 4.])
    """
    for rows, machines in (known, asked):
        if len(rows) != len(machines):
            raise AsdError(
                f"{len(rows)} rows and {len(machines)} machine names: "
                "give one name for each clip"
            )
    own, machines = np.asarray(known[1]), np.asarray(asked[1])
    scores = np.empty(len(machines))
    for machine in np.unique(machines):
        if not (own == machine).any():
            raise AsdError(
                f"no training clip of {machine}: "
                "give normal clips of every machine that is to be scored"
            )
        here = machines == machine
        scores[here] = function(known[0][own == machine], asked[0][here])
    return scores


def softmax_score(logits: np.ndarray, label: int) -> np.ndarray:
    """-log p(own machine ID), from ``logits`` (N, classes): (N,) scores > 0.

    Written as log(1 + Σ exp(other - own)): a log-softmax would round the many
    probabilities near 1 to exactly 1, and their scores to ties at 0.

    >>> softmax_score(np.array([[0.0, 0.0], [50.0, 0.0]]), 0)
    array([6.93147181e-01, 1.92874985e-22])
    """
    logits = np.asarray(logits, dtype=np.float64)
    own, others = logits[:, label], np.delete(logits, label, axis=1)
    return np.logaddexp(0, np.logaddexp.reduce(others, axis=1) - own)


def knn_score(
    known: np.ndarray, asked: np.ndarray, *, neighbours: int = 2
) -> np.ndarray:
    """Mean cosine distance of each of ``asked`` (M, d) to its nearest ``neighbours``.

    These are sought in ``known`` (N, d), which may be fewer. Scores (M,) in 0..2.

    >>> known = np.array([[2.0, 0.0], [3.0, 0.0]])
    >>> knn_score(known, np.array([[5.0, 0.0], [0.0, 1.0]]))
    array([0., 1.])
    """
    return fit_knn(known, neighbours=neighbours)(asked)


def fit_knn(known: np.ndarray, *, neighbours: int = 2) -> Fitted:
    """:func:`knn_score` for many calls: fitted to ``known`` (N, d) once."""
    far = cosine_distances(known)

    def score(asked: np.ndarray) -> np.ndarray:
        return nearest(far(asked), neighbours).mean(axis=1).clip(min=0)

    return partial(in_blocks, score, width=len(known))


def cosine_distances(known: np.ndarray) -> Distances:
    """What gives the cosine distances (M, N) of rows (M, d) to ``known`` (N, d)."""
    turned = unit(known).T

    def far(rows: np.ndarray) -> np.ndarray:
        along = unit(rows) @ turned
        return np.subtract(1, along, out=along)

    return far


def mahalanobis_score(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance of ``asked`` (M, d) to the mean of ``known`` (N, d).

    Rows are brought to unit length first; scores (M,) ≥ 0. The covariance is shrunk as
    Ledoit and Wolf (2004) say, because a machine may have fewer clips than dimensions,
    and by no less than 1/N, because their estimate takes two or three clips for the
    whole truth. One clip has no spread at all.
    """
    return fit_mahalanobis(known)(asked)


def fit_mahalanobis(known: np.ndarray) -> Fitted:
    """:func:`mahalanobis_score` for many calls: fitted to ``known`` (N, d) once."""
    fitted = fit_distance(unit(known), least=LEAST)
    return lambda asked: fitted(unit(asked))


@dataclass(frozen=True)
class Distance:
    """A squared Mahalanobis distance, fitted: rows (M, d) → (M,).

    The covariance around ``mean`` (d,) has the variances ``inside`` (k,) along ``axes``
    (k, d), and ``rest`` in every direction across them.
    """

    mean: np.ndarray
    axes: np.ndarray
    inside: np.ndarray
    rest: float

    def __call__(self, asked: np.ndarray) -> np.ndarray:
        off = asked - self.mean
        along = (off @ self.axes.T) ** 2
        across = np.sum(off**2, axis=1) - along.sum(axis=1)
        return np.sum(along / self.inside, axis=1) + across.clip(min=0) / self.rest


def fit_distance(known: np.ndarray, *, least: float = 1e-9) -> Distance:
    """The shrunk Mahalanobis distance of rows of any length to ``known`` (N, d).

    The covariance has ``least`` more in every direction. It is never made: its inverse
    is known from the N clips, whose number of dimensions d may be far larger.
    """
    mean = known.mean(axis=0)
    centred = known - mean
    # The covariance is axes.T @ diag(variances) @ axes, and 0 across the axes.
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    variances = singular**2 / len(known)
    shrinkage = max(ledoit_wolf_shrinkage(centred), 1 / len(known))
    rest = shrinkage * variances.sum() / known.shape[1] + least
    return Distance(mean, axes, (1 - shrinkage) * variances + rest, rest)


def ledoit_wolf_shrinkage(centred: np.ndarray) -> float:
    """By how much, 0 to 1, to shrink the covariance of ``centred`` (N, d) to a ball.

    Ledoit and Wolf (2004), as scikit-learn computes it, but where there are more
    dimensions than clips from the N × N products of the clips.
    """
    clips, dimensions = centred.shape
    lengths = np.sum(centred**2, axis=1)
    ball = lengths.sum() / (clips * dimensions)  # the variance of a dimension
    small = centred @ centred.T if clips < dimensions else centred.T @ centred
    square = np.sum(small**2) / clips**2  # of either product it is the same
    off_ball = square / dimensions - ball**2
    error = (np.sum(lengths**2) / clips - square) / (dimensions * clips)
    return 0.0 if off_ball <= 0 or error <= 0 else float(min(1.0, error / off_ball))


def distances(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Euclidean distances (M, N) of each of ``asked`` (M, d) to each of ``known``.

    >>> distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0]]))
    array([[0., 5.]])
    """
    return euclidean_distances(known)(asked)


def euclidean_distances(known: np.ndarray) -> Distances:
    """:func:`distances` for many calls: what gives those of rows (M, d) to ``known``
    (N, d)."""
    lengths = np.sum(known**2, axis=1)

    def far(rows: np.ndarray) -> np.ndarray:
        squares = np.sum(rows**2, axis=1)[:, None] + lengths
        squares -= 2 * rows @ known.T
        return np.sqrt(squares.clip(min=0, out=squares))

    return far


def gmm_score(
    known: np.ndarray, asked: np.ndarray, *, components: int = 2
) -> np.ndarray:
    """-log density of ``asked`` (M, d) under a Gaussian mixture: (M,) scores.

    The mixture has diagonal covariances and is fitted to ``known`` (N, d); rows are
    brought to unit length first.
    """
    return fit_gmm(known, components=components)(asked)


def fit_gmm(known: np.ndarray, *, components: int = 2) -> Fitted:
    """:func:`gmm_score` for many calls: fitted to ``known`` (N, d) once."""
    from sklearn.mixture import GaussianMixture

    # The floor under the variances keeps a handful of clips from looking like a density
    # without width.
    mixture = GaussianMixture(
        min(components, len(known)),
        covariance_type="diag",
        reg_covar=1e-4,
        random_state=0,
    )
    # scikit-learn wants two rows at least
    rows = known if len(known) > 1 else np.repeat(known, 2, axis=0)
    mixture.fit(unit(rows))
    return lambda asked: -mixture.score_samples(unit(asked))


def unit(x: np.ndarray) -> np.ndarray:
    """Rows (N, d) brought to length 1."""
    x = np.asarray(x, dtype=np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True).clip(min=1e-12)


EMBEDDING_SCORERS: dict[str, Scorer] = {
    "knn": knn_score,
    "mahalanobis": mahalanobis_score,
    "gmm": gmm_score,
}
# Of scorers, embeddings' or others', the forms that look at ``known`` (N, d) once.
FITS: dict[Scorer, Callable[[np.ndarray], Fitted]] = {
    knn_score: fit_knn,
    mahalanobis_score: fit_mahalanobis,
    gmm_score: fit_gmm,
}
# "softmax" keeps ArcFace's margin on the clip's own ID, as the paper's code does;
# "softmax-plain" scores without it.
SOFTMAX_SCORERS = ("softmax", "softmax-plain")


def fitted(scorer: Scorer, known: np.ndarray) -> Fitted:
    """``scorer`` with its ``known`` clips (N, d): asked (M, d) → scores (M,).

    One that is in :data:`FITS` is fitted when it is first asked, and never again.
    """
    if scorer not in FITS:
        return partial(scorer, known)
    once = cache(lambda: FITS[scorer](known))
    return lambda asked: once()(asked)


def scorer_names() -> tuple[str, ...]:
    """Every scorer that there is, the likelihoods first.

    >>> scorer_names()
    ('softmax', 'softmax-plain', 'knn', 'mahalanobis', 'gmm')
    """
    return (*SOFTMAX_SCORERS, *EMBEDDING_SCORERS)


SCORERS = scorer_names()


def distance_scores(known: Rows, asked: Rows) -> dict[str, np.ndarray]:
    """Scores (M,) of ``asked`` by every scorer of embeddings, by the scorer's name.

    Each clip (M, d) is held against the ``known`` ones (N, d) of its machine. Raises as
    :func:`by_machine`.
    """
    return {
        name: by_machine(function, known, asked)
        for name, function in EMBEDDING_SCORERS.items()
    }


def cross_scores(
    function: Scorer, embeddings: np.ndarray, *, folds: int = 5
) -> np.ndarray:
    """Scores (N,) of a machine's own training clips (N, d), by cross-validation.

    Each is scored against those of the other ``folds``: no clip is its own neighbour.
    Clip i is in fold i mod ``folds``. Two clips at least.

    >>> nearest = lambda known, asked: np.abs(asked - known.T).min(axis=1)
    >>> cross_scores(nearest, np.array([[0.0], [1.0], [3.0]]))
    array([1., 1., 2.])
    """
    fold = np.arange(len(embeddings)) % min(folds, len(embeddings))
    scores = np.empty(len(embeddings))
    for i in np.unique(fold):
        scores[fold == i] = function(embeddings[fold != i], embeddings[fold == i])
    return scores
