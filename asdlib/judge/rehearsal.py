"""Which ways of scoring earn their place, judged by a rehearsal.

The faults of a rehearsal are made of healthy clips (:mod:`asdlib.sound.rehearsal`), so
whatever is chosen here is chosen without a look at a real fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asdlib.judge.metrics import auc

RESAMPLES = 200  # of the clips, for intervals


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal has found.

    How many ``healthy`` clips and rehearsed ``faults`` there were, and the AUC, mean
    over the machine types, by each part alone, by "plain", all the parts that nobody
    trained, by "all" and by the ``kept`` ones. ``gain`` is by how much the kept ones
    are ahead of the plain ones, from ``low`` to ``high`` in 95 % of the resamples of
    the clips. Of none where no machine could be spared.
    """

    strangers: tuple[str, ...] = ()
    healthy: int = 0
    faults: int = 0
    auc: dict[str, float] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Play:
    """The surprises (M,) of each part at the clips of a rehearsal, and the truth (M,).

    ``types`` (M,) are machine types, ``sources`` (M,) say which healthy clip each was
    made of: where that is drawn again, all that was made of it is.
    """

    found: dict[str, np.ndarray]
    truth: np.ndarray
    types: np.ndarray
    sources: np.ndarray

    def auc(self, parts: Sequence[str], rows: np.ndarray | None = None) -> float:
        """The AUC of the mean surprise of some parts, mean over the machine types.

        Of some rows (n,), which may be there twice, or of all.
        """
        rows = np.arange(len(self.truth)) if rows is None else rows
        score = np.mean([self.found[part][rows] for part in parts], axis=0)
        truth, types = self.truth[rows], self.types[rows]
        return float(
            np.mean(
                [auc(truth[types == t], score[types == t]) for t in np.unique(types)]
            )
        )

    def gains(self, parts: Sequence[str], others: Sequence[str]) -> np.ndarray:
        """By how much ``parts`` are ahead of ``others`` in each of many resamples."""
        rng, gains = np.random.default_rng(0), []
        made = [np.flatnonzero(self.sources == i) for i in np.unique(self.sources)]
        of_type = [self.types[rows[0]] for rows in made]
        groups = [np.flatnonzero(np.array(of_type) == t) for t in np.unique(of_type)]
        for _ in range(RESAMPLES):
            drawn = np.concatenate([rng.choice(group, len(group)) for group in groups])
            rows = np.concatenate([made[i] for i in drawn])
            gains.append(self.auc(parts, rows) - self.auc(others, rows))
        return np.array(gains)

    def worth_keeping(self) -> tuple[str, ...]:
        """The parts that are left when those have gone that do harm, worst first.

        A part does harm where without it the AUC is higher by more than that gain's
        standard deviation over the resamples.
        """
        kept = tuple(self.found)
        while len(kept) > 1:
            fewer = [tuple(p for p in kept if p != part) for part in kept]
            best = max(fewer, key=self.auc)
            gain = self.auc(best) - self.auc(kept)
            if gain <= self.gains(best, kept).std():
                break
            kept = best
        return kept
