"""Many methods on the same clips: which differences are more than chance?

Two kinds of chance are kept in view. Other test clips would give other AUCs: clips are
drawn again, the same ones for every method, so that differences are paired. And other
seeds would give other networks: that chance is estimated from how the seeds differ, and
since there are few of them, by Student's t (Welch 1947). Whoever looks at many
differences finds some: Holm (1979) says how much surer each must be. What is said holds
for these machines and these training clips; others would be a third kind of chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.metrics import MAX_FPR

FIGURES = ("auc", "pauc", "mauc")
RESAMPLES = 2000  # of the clips
LEVEL = 0.95
ROUNDING = 1e-9  # what is nearer than this is the same


@dataclass(frozen=True)
class Areas:
    """A method's figure, as the mean over the machine types, in fractions.

    ``seeds`` (S,) are those of its seeds on all clips; ``draws`` (R,) the mean over the
    seeds with clips drawn again, the same ones of every method.
    """

    seeds: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True)
class Difference:
    """By how much one method's mean AUC is above another's, in fractions.

    ``low`` and ``high`` are such that all differences looked at lie within theirs with
    95 % (Bonferroni). ``p`` is adjusted for as many as were looked at (Holm), so that
    it may be below 0.05 where the interval still reaches over 0.
    """

    mean: float
    low: float
    high: float
    p: float


def areas_of(
    truth: np.ndarray,
    machines: np.ndarray,
    scores: Mapping[str, np.ndarray],
    *,
    figure: str = "auc",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Areas]:
    """A figure of each method, the mean over the machine types, and in each resample.

    ``truth`` (M,) is 1 for anomalous clips and 0 for healthy ones, ``machines`` (M,)
    are names ``type/id``, ``scores`` of each method (S, M), one row a seed. ``figure``
    is one of :data:`FIGURES`: of a type "auc" and "pauc" are the mean over its
    machines, "mauc" is the AUC of the worst of them. In every resample the healthy and
    the anomalous clips of each machine are drawn again, the same for every figure.
    Raises :class:`AsdError` where no machine has clips of both kinds.
    """
    assert figure in FIGURES
    rng = np.random.default_rng(seed)
    both = [m for m in np.unique(machines) if len(np.unique(truth[machines == m])) == 2]
    if not both:
        raise AsdError("no machine has normal and anomalous clips: give labels of both")
    of_types: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in scores}
    for machine in both:
        here = machines == machine
        bad, good = (np.flatnonzero(here & (truth == kind)) for kind in (1, 0))
        weights = [drawn_again(rng, len(rows), resamples) for rows in (bad, good)]
        of_area = partial_areas if figure == "pauc" else whole_areas
        for name, rows in scores.items():
            each = [of_area(row[bad], row[good], *weights) for row in rows]
            kind = machine.split("/")[0]
            of_types[name].setdefault(kind, []).append(np.array(each))
    over = np.min if figure == "mauc" else np.mean
    found = {}
    for name, types in of_types.items():
        table = np.mean([over(own, axis=0) for own in types.values()], axis=0)
        found[name] = Areas(table[:, 0], table[:, 1:].mean(axis=0))
    return found


def whole_areas(
    bad: np.ndarray, good: np.ndarray, of_bad: np.ndarray, of_good: np.ndarray
) -> np.ndarray:
    """The area under the ROC curve of scores (b,) and (g,), by how much each counts.

    ``of_bad`` (R, b) and ``of_good`` (R, g) are the weights in R resamples: (R,).
    """
    above = (np.sign(bad[:, None] - good) + 1) / 2
    return np.einsum("rg,rg->r", of_bad @ above, of_good)


def partial_areas(
    bad: np.ndarray, good: np.ndarray, of_bad: np.ndarray, of_good: np.ndarray
) -> np.ndarray:
    """As :func:`whole_areas`, for at most :data:`MAX_FPR` false alarms: (R,).

    These are the healthy clips with the highest scores that are so many; the area is
    brought to 0.5 for chance and to 1 (McClish 1989). Where a faulty clip ties with the
    last of them, it counts half.
    """
    order = np.argsort(-good, kind="stable")
    sorted_weights = of_good[:, order]
    before = np.cumsum(sorted_weights, axis=1) - sorted_weights
    some = np.clip(MAX_FPR - before, 0, sorted_weights)
    area = whole_areas(bad, good[order], of_bad, some)
    least = MAX_FPR**2 / 2
    return (1 + (area - least) / (MAX_FPR - least)) / 2


def drawn_again(rng: np.random.Generator, count: int, resamples: int) -> np.ndarray:
    """How much each of ``count`` clips counts: (R, count), in the first row all alike.

    R is one more than ``resamples``.
    """
    drawn = rng.multinomial(count, np.full(count, 1 / count), resamples) / count
    return np.concatenate([np.full((1, count), 1 / count), drawn])


def interval(areas: Areas, *, level: float = LEVEL) -> tuple[float, float]:
    """Where the mean AUC of other clips and other seeds lies, with ``level``.

    From 0 to 1 where neither differ: nothing is known of their chance then.

    >>> low, high = interval(Areas(np.array([0.7, 0.8]), np.full(9, 0.75)))
    >>> round(low, 2), round(high, 2)  # of two seeds not much is known
    (0.11, 1.0)
    """
    error, freedom = standard_error(areas.draws, areas.seeds)
    reach = error * quantile(freedom, level) if error else 1.0
    mean = float(areas.seeds.mean())
    return max(0.0, mean - reach), min(1.0, mean + reach)


def differences(areas: Mapping[str, Areas], against: str) -> dict[str, Difference]:
    """By how much each method is ahead of ``against``, by :func:`areas_of`.

    Where each method has one seed, only the chance of other clips is known and counted.
    Raises :class:`AsdError` where ``against`` is not among them.
    """
    if against not in areas:
        raise AsdError(
            f"no scores of {against} to hold the others against: "
            f"choose one of {', '.join(areas)}"
        )
    base = areas[against]
    others = {name: x for name, x in areas.items() if name != against}
    level = 1 - (1 - LEVEL) / max(1, len(others))
    found, raw = {}, []
    for name, own in others.items():
        gain = float(own.seeds.mean() - base.seeds.mean())
        error, freedom = standard_error(own.draws - base.draws, own.seeds, base.seeds)
        raw.append(two_sided(gain, error, freedom))
        reach = error * quantile(freedom, level) if error else 1.0
        found[name] = gain, max(-1.0, gain - reach), min(1.0, gain + reach)
    return {
        name: Difference(*values, p=p)
        for (name, values), p in zip(found.items(), holm(raw), strict=True)
    }


def standard_error(draws: np.ndarray, *seeds: np.ndarray) -> tuple[float, float]:
    """Of a figure with clips drawn again (R,), and of seeds (S,) that differ: its
    standard error, and the degrees of freedom of that (Welch & Satterthwaite).

    >>> error, freedom = standard_error(np.zeros(9), np.array([1.0, 3.0]))
    >>> error, round(freedom, 6)
    (1.0, 1.0)
    """
    some = [x for x in seeds if len(x) > 1]
    parts = [float(np.var(x, ddof=1)) / len(x) for x in some]
    total = float(np.var(draws, ddof=1)) + sum(parts)
    if total < ROUNDING**2:
        return 0.0, np.inf
    unsure = sum(v**2 / (len(x) - 1) for v, x in zip(parts, some, strict=True))
    return total**0.5, total**2 / unsure if unsure else np.inf


def quantile(freedom: float, level: float) -> float:
    """How many standard errors to either side hold ``level`` of all cases."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom))


def two_sided(gain: float, error: float, freedom: float) -> float:
    """How often chance alone would be as far from 0 as ``gain`` is.

    Without any ``error`` nothing is known of chance, and it is 1.

    >>> round(two_sided(-1.96, 1.0, np.inf), 3)
    0.05
    """
    from scipy.stats import t

    return float(2 * t.sf(abs(gain) / error, freedom)) if error else 1.0


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
