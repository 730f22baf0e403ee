"""Has the machine, or the room, changed since the threshold was chosen?

What a detector calls healthy is how a machine sounded then. A new filter, another
microphone, winter: scores creep, and the promised false-alarm rate no longer holds.
Recent clips are held against a reference of healthy ones, by their scores and by their
embeddings. What has changed, and whether it is bad, no such test can say.

The reference must be clips that the network has *not* learned from, such as those that
a threshold was chosen by. It knows its training clips: they score lower, and lie closer
together, than any new clip of the same machine, and every day would look like a change.

Two samples differ by their energy distance,

.. math:: 2 E|X - Y| - E|X - X'| - E|Y - Y'|,

which is 0 for equal distributions only (Székely and Rizzo 2013). How large it would be
by chance is seen where the clips change sides at random (Phipson and Smyth 2010), and
Holm (1979) allows for two looks, at scores and at embeddings.

Clips recorded in a row are alike. As if they were independent, an ordinary day would
look like a change; so whole *blocks* change sides, recordings or days, in which all
that belongs together stays together.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.chance import holm
from asdlib.judge.threshold import SAME

PERMUTATIONS = 1999
LEAST_RATE = 0.005  # that so many permutations can tell
ROUNDING = 1e-9  # of a distance, in which the order of a sum matters


@dataclass(frozen=True)
class Sample:
    """Clips of one machine: ``embeddings`` (N, dim), ``scores`` (N,), ``blocks`` (N,).

    Clips of equal ``blocks`` belong together; None: each is one of its own.
    """

    embeddings: np.ndarray
    scores: np.ndarray
    blocks: Sequence[Hashable] | None = None

    def numbers(self) -> np.ndarray:
        """Which block each clip belongs to, counted from 0: (N,).

        Raises :class:`AsdError` where the three do not go together, or hold what is no
        number.
        """
        shapes = np.shape(self.embeddings), np.shape(self.scores)
        n = len(self.scores) if self.blocks is None else len(self.blocks)
        if len(shapes[0]) != 2 or shapes[1] != (shapes[0][0],) or n != shapes[1][0]:
            raise AsdError(
                f"embeddings of shape {shapes[0]}, scores of shape {shapes[1]} and "
                f"{n} blocks: give one of each for every clip"
            )
        if not (np.isfinite(self.embeddings).all() and np.isfinite(self.scores).all()):
            raise AsdError("some embeddings or scores are no numbers: remove the clips")
        if self.blocks is None:
            return np.arange(n)
        places = {block: i for i, block in enumerate(dict.fromkeys(self.blocks))}
        return np.array([places[block] for block in self.blocks])


@dataclass(frozen=True)
class Drift:
    """Whether recent clips have ``changed``, at a false-alarm ``rate`` (0 to 1).

    That is how often it is said of a machine that has not. ``p_scores`` and
    ``p_embeddings`` are adjusted for being two. A recent clip scores ``higher`` than
    one of the reference with this chance (0 to 1, ties counting half). ``clips`` and
    ``blocks`` are how many there were: of the reference, and recent.
    """

    changed: bool
    rate: float
    p_scores: float
    p_embeddings: float
    higher: float
    clips: tuple[int, int]
    blocks: tuple[int, int]


def drift(
    reference: Sample, recent: Sample, *, rate: float = 0.01, seed: int = 0
) -> Drift:
    """Are the ``recent`` clips of a machine other than those of its ``reference``?

    Embeddings (N, dim) are compared with each dimension scaled by its deviation over
    all clips, scores (N,) by their ranks. Of 40 clips and 20 recent ones that do not
    depend on each other, scores moved by one standard deviation are called changed four
    times in five, by half of one once in five.

    Raises :class:`AsdError` for a rate below 0.005 or from 1 on, samples that do not
    fit together, and too few blocks to tell.

    >>> x = np.random.default_rng(0).normal(size=(60, 4))
    >>> before, now, louder = [Sample(y, y[:, 0]) for y in (x[:30], x[30:], x[30:] + 1)]
    >>> drift(before, now).changed, drift(before, louder).changed
    (False, True)
    """
    from scipy.stats import rankdata

    if not LEAST_RATE <= rate < 1:
        raise AsdError(
            f"a false-alarm rate of {rate:g} makes no sense: choose one from "
            f"{LEAST_RATE:g} up to 1, for example 0.01"
        )
    one, other = reference.numbers(), recent.numbers()
    counts = (len(np.unique(one)), len(np.unique(other)))
    _check_enough(counts, rate)
    if reference.embeddings.shape[1] != recent.embeddings.shape[1]:
        raise AsdError(
            f"embeddings of {reference.embeddings.shape[1]} and of "
            f"{recent.embeddings.shape[1]} numbers: give those of one detector"
        )
    blocks = np.concatenate([one, other + counts[0]])
    embeddings = np.concatenate([reference.embeddings, recent.embeddings]).astype(float)
    spread, largest = embeddings.std(axis=0), np.abs(embeddings).max(axis=0)
    # What differs by rounding only is left out, not made large.
    spread[spread <= SAME * largest] = np.inf
    ranks = rankdata(np.concatenate([reference.scores, recent.scores]))
    rows = (ranks[:, None], embeddings / spread)
    of_scores, of_rows = holm([energy_p(x, blocks, counts[0], seed=seed) for x in rows])
    n, m = len(one), len(other)
    # Mann and Whitney's, from the sum of the ranks.
    higher = (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)
    changed = min(of_scores, of_rows) <= rate
    return Drift(changed, rate, of_scores, of_rows, float(higher), (n, m), counts)


def _check_enough(counts: tuple[int, int], rate: float) -> None:
    """Could so many blocks ever be called changed?"""
    ways = math.comb(sum(counts), counts[0])
    # Of equal numbers, the sides may be exchanged, and nothing is another.
    ways = ways // 2 if counts[0] == counts[1] else ways
    if not all(counts) or ways < 2 / rate:
        raise AsdError(
            f"{counts[0]} and {counts[1]} blocks can change sides in {ways} ways, and "
            f"{math.ceil(2 / rate)} are needed for a false-alarm rate of {rate:g}: "
            "give more recordings, or more days"
        )


def energy_p(
    rows: np.ndarray, blocks: np.ndarray, first: int, *, seed: int = 0
) -> float:
    """How often chance alone makes two samples differ as much: their p value.

    ``rows`` (N, dim) belong to ``blocks`` (N,), numbered from 0, of which the ``first``
    ones are one sample, the others the other. The blocks change sides
    :data:`PERMUTATIONS` times. Memory grows with N².

    >>> rows = np.array([[0.0], [0.1], [0.2], [5.0], [5.1]])
    >>> 0.08 < energy_p(rows, np.arange(5), 3) < 0.12  # the most extreme of ten ways
    True
    """
    from scipy.spatial.distance import cdist

    count = int(blocks.max()) + 1
    member = (blocks[:, None] == np.arange(count)).astype(float)
    apart = member.T @ cdist(rows, rows) @ member  # sums, from block to block
    sizes, own = member.sum(axis=0), np.arange(count) < first
    sides = np.tile(own, (PERMUTATIONS + 1, 1))
    sides[1:] = np.random.default_rng(seed).permuted(sides[1:], axis=1)
    x, y = sides.astype(float), (~sides).astype(float)
    n, m = x @ sizes, y @ sizes
    between = ((x @ apart) * y).sum(axis=1)
    within = ((x @ apart) * x).sum(axis=1) / n**2 + ((y @ apart) * y).sum(axis=1) / m**2
    energy = 2 * between / (n * m) - within
    return float(np.mean(energy >= energy[0] - ROUNDING * abs(energy[0])))
