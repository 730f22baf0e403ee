"""A memory bank with fewer clips, which still lies all over where the many lay.

A neighbour is sought among all known clips, so time and memory grow with them. Two ways
to leave some out: by *k-centre* each clip that goes has one that stays as near as it
can be, so rare conditions keep theirs; *k-means* keeps more where clips are dense.
Either makes the distances to what is left larger, so thresholds are chosen anew; and
what scores by how all clips spread (a covariance, a mixture) is another scorer then.
"""

from typing import Literal, get_args

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.scorers import euclidean_distances

Thinning = Literal["k-centre", "k-means"]
METHODS: tuple[str, ...] = get_args(Thinning)


def thinned(
    rows: np.ndarray, keep: int, method: str = "k-centre", *, seed: int = 0
) -> np.ndarray:
    """The places of the ``keep`` clips that stay, of ``rows`` (N, d): sorted (keep,).

    Clips are near by Euclidean distance: bring rows to unit length first where they are
    scored by the cosine. All places where there are no more; with "k-means", fewer
    where clips are alike to the last bit. ``seed`` is that of k-means. Raises
    :class:`AsdError` for fewer than one clip to keep, for no method, and for rows that
    are not finite.

    >>> thinned(np.array([[0.0], [0.1], [0.2], [9.0]]), 2)
    array([2, 3])
    """
    rows = np.asarray(rows, np.float64)
    if keep < 1:
        raise AsdError(f"a bank of {keep} clips knows nothing: keep 1 or more")
    if method not in METHODS:
        raise AsdError(f"no method {method!r}: choose one of {', '.join(METHODS)}")
    if not np.isfinite(rows).all():
        raise AsdError("rows that are not finite have no neighbours: leave them out")
    if keep >= len(rows):
        return np.arange(len(rows))
    return np.sort(
        _centres(rows, keep) if method == "k-centre" else _means(rows, keep, seed)
    )


def _centres(rows: np.ndarray, keep: int) -> np.ndarray:
    """Greedily, the clip that is farthest from those chosen: (keep,).

    The largest distance of a clip to the nearest that is kept is at most twice as large
    as with the best choice (Gonzalez 1985). The first is the one nearest to the mean.
    """
    far = euclidean_distances(rows)
    chosen = [int(far(rows.mean(axis=0, keepdims=True)).argmin())]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < keep:
        nearest = np.minimum(nearest, far(rows[chosen[-1:]])[0])
        nearest[chosen[-1]] = -1  # not again, even where all others are like it
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def _means(rows: np.ndarray, keep: int, seed: int) -> np.ndarray:
    """Of each cluster the clip that is nearest to its mean: (keep,), or fewer."""
    from sklearn.cluster import KMeans

    found = KMeans(keep, n_init=1, random_state=seed).fit(rows)
    off = np.linalg.norm(rows - found.cluster_centers_[found.labels_], axis=1)
    order = np.lexsort((off, found.labels_))
    _, first = np.unique(found.labels_[order], return_index=True)
    return order[first]
