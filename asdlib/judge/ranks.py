"""Many methods on the same clips: which differences are more than chance?

Two kinds of chance are kept in view. Other test clips would give other AUCs: clips are
drawn again, the same ones for every method, so that differences are paired. And other
seeds would give other networks: of each method the seeds are drawn again, too. Whoever
looks at many differences finds some: Holm (1979) says how much surer each must be. Over
machines, the methods are ranked (Friedman 1937, Nemenyi 1963; Demšar, JMLR 2006).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asdlib.errors import AsdError

RESAMPLES = 10_000  # of the clips: Holm's step asks for the thousandth part
OF_METHODS = 1000  # resamples of the methods
LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """By how much one method's mean AUC is above another's, in fractions.

    From ``low`` to ``high`` in 95 % of the resamples, at the level that Holm's step
    asks for; ``p`` is adjusted for as many differences as were looked at.
    """

    mean: float
    low: float
    high: float
    p: float


def auc_draws(
    truth: np.ndarray,
    machines: np.ndarray,
    scores: Mapping[str, np.ndarray],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The mean AUC over the machine types in each resample: (resamples,) by method.

    ``truth`` (M,) is 1 for anomalous clips and 0 for healthy ones, ``machines`` (M,)
    are names ``type/id``, ``scores`` of each method (S, M), one row a seed. In every
    resample the healthy and the anomalous clips of each machine are drawn again, the
    same for every method, and the seeds of each method. Raises :class:`AsdError` where
    no machine has clips of both kinds.
    """
    rng = np.random.default_rng(seed)
    both = [m for m in np.unique(machines) if len(np.unique(truth[machines == m])) == 2]
    if not both:
        raise AsdError("no machine has normal and anomalous clips: give labels of both")
    types = [name.split("/")[0] for name in both]
    weight = np.array([1 / types.count(t) for t in types]) / len(set(types))
    of_machine = {name: np.zeros((resamples, len(x))) for name, x in scores.items()}
    for machine, share in zip(both, weight, strict=True):
        here = machines == machine
        bad, good = (
            np.flatnonzero(here & (truth == 1)),
            np.flatnonzero(here & (truth == 0)),
        )
        drawn = [
            rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), resamples)
            / len(rows)
            for rows in (bad, good)
        ]
        for name, rows in scores.items():
            for i, row in enumerate(rows):
                above = (np.sign(row[bad][:, None] - row[good]) + 1) / 2
                areas = np.einsum("rb,rb->r", drawn[0] @ above, drawn[1])
                of_machine[name][:, i] += share * areas
    found = {}
    for name, areas in of_machine.items():
        seeds = rng.integers(areas.shape[1], size=areas.shape)
        found[name] = np.take_along_axis(areas, seeds, axis=1).mean(axis=1)
    return found


def interval(draws: np.ndarray, *, level: float = LEVEL) -> tuple[float, float]:
    """The middle ``level`` of ``draws`` (R,).

    >>> interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def differences(draws: Mapping[str, np.ndarray], against: str) -> dict[str, Difference]:
    """By how much each method is ahead of ``against``, by :func:`auc_draws` (R,) each.

    Raises :class:`AsdError` where ``against`` is not among them.
    """
    if against not in draws:
        raise AsdError(
            f"no scores of {against} to hold the others against: "
            f"choose one of {', '.join(draws)}"
        )
    gains = {name: x - draws[against] for name, x in draws.items() if name != against}
    raw = [two_sided(gain) for gain in gains.values()]
    adjusted, order = holm(raw), np.argsort(raw, kind="stable").tolist()
    steps = [len(raw) - order.index(i) for i in range(len(raw))]
    return {
        name: Difference(
            float(gain.mean()), *interval(gain, level=1 - (1 - LEVEL) / step), p=p
        )
        for (name, gain), step, p in zip(gains.items(), steps, adjusted, strict=True)
    }


def two_sided(gains: np.ndarray) -> float:
    """How often chance alone would be as far from 0 as ``gains`` (R,) are: above 0.

    >>> print(f"{two_sided(np.ones(999)):.3f}")
    0.002
    """
    below, above = np.sum(gains <= 0), np.sum(gains >= 0)
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(gains) + 1)))


def holm(p: Sequence[float]) -> list[float]:
    """P values (n,) adjusted for looking at n differences: Holm's step-down.

    >>> [round(x, 3) for x in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    steps = np.arange(len(p), 0, -1) * np.asarray(p, float)[order]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


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


# ------------------------------------------------------------------------------- ranks


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
    return Agreement(round(rho, 12), *interval(np.array(draws)), pair.shape[1])


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
