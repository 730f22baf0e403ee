"""Distances to many known clips, of a few clips at a time.

All of them at once are a matrix of (clips that are asked about, known clips): a machine
with 100,000 training clips would need many gigabytes of memory to say which two lie
nearest. Each clip is judged on its own, so a block of rows, made, used and forgotten,
gives the same scores.
"""

from collections.abc import Callable

import numpy as np

NUMBERS = 2**20  # of a block: 8 MB, a few times over while it is used

Distances = Callable[[np.ndarray], np.ndarray]  # rows (M, d) → a new matrix (M, N)


def in_blocks(
    function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, *, width: int
) -> np.ndarray:
    """``function`` of ``rows`` (M, ...), as many at a time as memory allows: (M,).

    It makes a matrix (n, ``width``) of n rows, and gives one number of each (n,).

    >>> in_blocks(lambda rows: rows.sum(axis=1), np.ones((3, 2)), width=2**20)
    array([2., 2., 2.])
    """
    step = max(1, NUMBERS // max(1, width))
    found = np.empty(len(rows))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        found[block] = function(rows[block])
    return found


def nearest(far: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` least of each row of ``far`` (M, N), sorted; all where N is less.

    The result is (M, count) or (M, N). What is in a row of ``far`` changes its order.

    >>> nearest(np.array([[4.0, 1.0, 3.0, 2.0]]), 2)
    array([[1., 2.]])
    """
    count = min(count, far.shape[1])
    far.partition(count - 1, axis=1)
    return np.sort(far[:, :count], axis=1)


def spread_around(far: Distances, known: np.ndarray, count: int) -> np.ndarray:
    """Mean distance of each of ``known`` (N, d) to the ``count`` nearest others: (N,).

    ``far`` gives the distances of rows to all of ``known``. Fewer others than that are
    all that count, and a clip alone has 0.
    """
    if len(known) < 2:
        return np.zeros(len(known))
    count = min(count, len(known) - 1)

    def spread(places: np.ndarray) -> np.ndarray:
        others = far(known[places])
        own = np.arange(len(places)), places
        others[own] = np.inf  # a clip is no neighbour of its own
        return nearest(others, count).mean(axis=1)

    return in_blocks(spread, np.arange(len(known)), width=len(known))
