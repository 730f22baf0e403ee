"""From embeddings to anomaly scores. A score is larger the more anomalous a clip is.

A scorer of embeddings is an entry of :data:`EMBEDDING_SCORERS`: ``(known (N, d), asked (M, d)) -> (M,)``, where ``known`` are
normal clips of the same machine. One more entry is all that a new scorer takes.
"""

from collections.abc import Callable

import numpy as np

from asdlib.errors import AsdError

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
Rows = tuple[
    np.ndarray, np.ndarray
]  # rows (N, ...), and the name of the machine of each (N,)


def by_machine(function: Scorer, known: Rows, asked: Rows) -> np.ndarray:
    """``function(known rows, asked rows)`` for each machine on its own: the scores (M,) of all that is ``asked``.

    ``known`` and ``asked`` are pairs of rows and machine names. Raises :class:`AsdError` where their lengths differ, or where
    a machine that is asked about has no known clip.

    >>> nearest = lambda known, asked: np.abs(asked[:, None] - known).min(axis=1)
    >>> by_machine(nearest, (np.array([0.0, 5.0]), ["a/1", "a/2"]), (np.array([1.0, 1.0]), ["a/1", "a/2"]))
    array([1., 4.])
    """
    for rows, machines in (known, asked):
        if len(rows) != len(machines):
            raise AsdError(
                f"{len(rows)} rows and {len(machines)} machine names: give one name for each clip"
            )
    own, machines = np.asarray(known[1]), np.asarray(asked[1])
    scores = np.empty(len(machines))
    for machine in np.unique(machines):
        if not (own == machine).any():
            raise AsdError(
                f"no training clip of {machine}: give normal clips of every machine that is to be scored"
            )
        here = machines == machine
        scores[here] = function(known[0][own == machine], asked[0][here])
    return scores


def softmax_score(logits: np.ndarray, label: int) -> np.ndarray:
    """-log p(own machine ID), from ``logits`` (N, classes): (N,) scores > 0.

    Written as log(1 + Σ exp(other - own)): a log-softmax would round the many probabilities near 1 to exactly 1, and their
    scores to ties at 0.
    """
    logits = np.asarray(logits, dtype=np.float64)
    own, others = logits[:, label], np.delete(logits, label, axis=1)
    return np.logaddexp(0, np.logaddexp.reduce(others, axis=1) - own)


def knn_score(
    train: np.ndarray, test: np.ndarray, *, neighbours: int = 2
) -> np.ndarray:
    """Mean cosine distance of each of ``test`` (N, D) to its nearest ``neighbours`` in ``train`` (M, D): (N,) in 0..2."""
    distance = 1 - _unit(test) @ _unit(train).T
    nearest = np.sort(distance, axis=1)[
        :, :neighbours
    ]  # all there are, where train is shorter
    return nearest.mean(axis=1).clip(min=0)


def mahalanobis_score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance to the mean of ``train``, both of unit length: (N,) scores ≥ 0.

    The covariance is shrunk as Ledoit and Wolf (2004) say, because a machine may have fewer clips than dimensions, and by
    no less than 1/M, because their estimate takes two or three clips for the whole truth. One clip has no spread at all.
    """
    from sklearn.covariance import (
        empirical_covariance,
        ledoit_wolf_shrinkage,
        shrunk_covariance,
    )

    train, test = _unit(train), _unit(test)
    covariance = 1e-6 * np.eye(train.shape[1])
    if len(train) > 1:
        covariance += shrunk_covariance(
            empirical_covariance(train),
            max(ledoit_wolf_shrinkage(train), 1 / len(train)),
        )
    off = test - train.mean(axis=0)
    return np.sum(off * np.linalg.solve(covariance, off.T).T, axis=1)


def gmm_score(
    train: np.ndarray, test: np.ndarray, *, components: int = 2
) -> np.ndarray:
    """-log density under a Gaussian mixture with diagonal covariances fitted to ``train``, both of unit length: (N,)."""
    from sklearn.mixture import GaussianMixture

    # The floor under the variances keeps a handful of clips from looking like a density without width.
    mixture = GaussianMixture(
        min(components, len(train)),
        covariance_type="diag",
        reg_covar=1e-4,
        random_state=0,
    )
    rows = _unit(
        train if len(train) > 1 else np.repeat(train, 2, axis=0)
    )  # scikit-learn wants two rows at least
    return -mixture.fit(rows).score_samples(_unit(test))


def _unit(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True).clip(min=1e-12)


EMBEDDING_SCORERS: dict[str, Scorer] = {
    "knn": knn_score,
    "mahalanobis": mahalanobis_score,
    "gmm": gmm_score,
}
# "softmax" keeps ArcFace's margin on the clip's own ID, as the paper's code does; "softmax-plain" scores without it.
SOFTMAX_SCORERS = ("softmax", "softmax-plain")


def scorer_names() -> tuple[str, ...]:
    """Every scorer that there is, the likelihoods first."""
    return (*SOFTMAX_SCORERS, *EMBEDDING_SCORERS)


SCORERS = scorer_names()


def distance_scores(known: Rows, asked: Rows) -> dict[str, np.ndarray]:
    """Scores (M,) of ``asked`` by every scorer of embeddings, each clip against the ``known`` ones of its machine."""
    return {
        name: by_machine(function, known, asked)
        for name, function in EMBEDDING_SCORERS.items()
    }


def cross_scores(
    function: Scorer, embeddings: np.ndarray, *, folds: int = 5
) -> np.ndarray:
    """Scores (N,) of a machine's own training clips (N, d), each against those of the other folds.

    No clip is its own neighbour. Two clips at least.
    """
    fold = np.arange(len(embeddings)) % min(folds, len(embeddings))
    scores = np.empty(len(embeddings))
    for i in np.unique(fold):
        scores[fold == i] = function(embeddings[fold != i], embeddings[fold == i])
    return scores
