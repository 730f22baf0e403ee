"""Many methods over the same machines: in which order, and is there any?

Over machines, the methods are ranked (Friedman 1937, Nemenyi 1963; Demšar, JMLR 2006).
Machines count as independent; those of a type, trained together, are less than that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asdlib.errors import AsdError

OF_METHODS = 1000  # resamples of the methods
LEVEL = 0.95


def shares_below(scores: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Which share of the ``healthy`` (N,) bool scores below each clip: (N,), 0 to 1.

    ``scores`` (S, N) are those of one machine's clips, a row a seed; the mean over the
    seeds, ties counting half.

    >>> shares_below(np.array([[1.0, 2.0, 2.0, 3.0]]), np.array([1, 1, 0, 0], bool))
    array([0.25, 0.75, 0.75, 1.  ])
    """
    of_seeds = [
        (np.sign(row[:, None] - row[healthy]) + 1).mean(axis=1) / 2 for row in scores
    ]
    return np.mean(of_seeds, axis=0)


@dataclass(frozen=True)
class Ranking:
    """Mean ``ranks`` of the methods over ``blocks`` machines, 1 the best.

    ``p`` is Friedman's: how likely ranks so far apart are where all are alike. Two mean
    ranks less than ``distance`` apart cannot be told apart (Nemenyi, 5 %).
    """

    ranks: dict[str, float]
    p: float
    distance: float
    blocks: int

    @property
    def alike(self) -> list[tuple[str, ...]]:
        """Groups of methods that cannot be told apart, as large as can be; by rank."""
        names = sorted(self.ranks, key=self.ranks.__getitem__)
        found: list[tuple[str, ...]] = []
        for i, first in enumerate(names):
            near = [
                name
                for name in names[i:]
                if self.ranks[name] - self.ranks[first] < self.distance
            ]
            if len(near) > 1 and not (found and set(near) <= set(found[-1])):
                found.append(tuple(near))
        return found


@dataclass(frozen=True)
class Agreement:
    """Spearman's ``rho`` of two orders of ``count`` methods, 1 where they are the same.

    From ``low`` to ``high`` in 95 % of the resamples of the methods.
    """

    rho: float
    low: float
    high: float
    count: int


def agreement(
    one: Sequence[float], other: Sequence[float], *, seed: int = 0
) -> Agreement:
    """Do two figures (n,) put n methods into the same order?

    Raises :class:`AsdError` for fewer than three methods, or a figure that is the same
    for all.

    >>> agreement([0.5, 0.6, 0.7, 0.9], [0.6, 0.7, 0.8, 0.9]).rho
    1.0
    """
    from scipy.stats import rankdata

    pair = np.array([one, other], float)
    if pair.shape[1] < 3 or (np.ptp(pair, axis=1) == 0).any():
        raise AsdError(
            f"{pair.shape[1]} methods have no two orders to compare: give three or "
            "more, with figures that differ"
        )
    rng, draws = np.random.default_rng(seed), []
    for _ in range(OF_METHODS):
        ranks = rankdata(
            pair[:, rng.integers(pair.shape[1], size=pair.shape[1])], axis=1
        )
        if (np.ptp(ranks, axis=1) > 0).all():
            draws.append(np.corrcoef(ranks)[0, 1])
    rho = float(np.corrcoef(rankdata(pair, axis=1))[0, 1])
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Agreement(round(rho, 12), float(low), float(high), pair.shape[1])


def ranking(areas: Mapping[str, np.ndarray]) -> Ranking:
    """The methods ranked by their AUCs (N,) of N machines, larger being better.

    Ties share their ranks. Raises :class:`AsdError` for fewer than three methods or two
    machines, of which a rank says nothing.
    """
    from scipy.stats import friedmanchisquare, rankdata

    table = np.array(list(areas.values())).T
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3:
        raise AsdError(
            f"{len(areas)} methods on {len(table)} machines cannot be ranked: give "
            "three methods and two machines or more"
        )
    ranks = rankdata(-table, axis=1).mean(axis=0)
    same = bool(np.all(table == table[:, :1]))  # the test has no answer then
    p = 1.0 if same else float(friedmanchisquare(*table.T).pvalue)
    distance = nemenyi_distance(table.shape[1], len(table))
    named = dict(zip(areas, ranks.tolist(), strict=True))
    return Ranking(named, p, distance, len(table))


def nemenyi_distance(methods: int, blocks: int, *, level: float = LEVEL) -> float:
    """How far apart mean ranks over N ``blocks`` must be to be told apart.

    q · sqrt(k(k + 1) / 6N) for k ``methods``, q the quantile of the studentised range
    over √2 (Demšar 2006, eq. 7).

    >>> round(nemenyi_distance(4, 14), 2)  # Demšar's example
    1.25
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(level, methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * blocks)))
