"""A decision threshold from healthy clips that the network has not learned from,
and what may be expected of it.

A clip raises an alarm when its score is *above* the threshold. Faulty clips are not
needed, and not used: a threshold is chosen by the share of healthy clips that it lets
alarm, the false-alarm rate. Two ways to get there: the k-th highest of n calibration
scores, which assumes nothing but that new healthy clips are like those (Wilks 1941), or
a gamma distribution fitted to the scores, as in the baseline of DCASE 2020 Task 2,
which asks for less data and is wrong where the scores have another shape.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from asdlib.errors import AsdError

Method = Literal["quantile", "gamma"]
METHODS: tuple[str, ...] = get_args(Method)
REFITS = 1000  # of the gamma distribution, for the interval
LARGEST_SHAPE = 1e8  # of a gamma distribution that is fitted
INTERVAL = (0.025, 0.975)  # the quantiles between which 95 % lies
SAME = 1e-4  # of the largest number: one clip, embedded in batches of different sizes


@dataclass(frozen=True)
class Threshold:
    """``value``, and the false-alarm rate (0 to 1) that is ``expected`` of it.

    It is expected on new healthy clips of the same kind. For a single machine the true
    rate lies between ``low`` and ``high`` in 95 % of all calibrations. ``clips`` is the
    number of calibration clips.
    """

    value: float
    method: str
    clips: int
    expected: float
    low: float
    high: float


def choose_threshold(
    scores: ArrayLike, *, rate: float = 0.05, method: str = "quantile"
) -> Threshold:
    """The threshold for a false-alarm rate of at most about ``rate`` (0 to 1).

    ``scores`` (N,) are those of healthy calibration clips. Raises :class:`AsdError` for
    a false-alarm rate outside 0..1, scores that are not finite, too few of them for the
    rate ("quantile"), or scores that no gamma distribution can have ("gamma").

    >>> found = choose_threshold(range(1, 100), rate=0.05)
    >>> found.value, found.expected  # 96 to 99 are above it: 5 of the 100 gaps
    (95.0, 0.05)
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not 0 < rate < 1:
        raise AsdError(
            f"a false-alarm rate of {rate:g} makes no sense: "
            "choose one between 0 and 1, for example 0.05"
        )
    if scores.ndim != 1 or not len(scores):
        raise AsdError(
            f"calibration scores of shape {scores.shape}: "
            "give one score for each of some healthy clips"
        )
    if not np.isfinite(scores).all():
        raise AsdError(
            f"{np.sum(~np.isfinite(scores))} of {len(scores)} calibration scores "
            "are not finite: remove those clips"
        )
    if method not in METHODS:
        choices = ", ".join(get_args(Method))
        raise AsdError(f"no method {method!r}: choose one of {choices}")
    return (_by_quantile if method == "quantile" else _by_gamma)(scores, rate)


def _by_quantile(scores: np.ndarray, rate: float) -> Threshold:
    """The k-th highest score.

    A new score is equally likely to fall into each of the n + 1 gaps, so k of them are
    alarms.
    """
    from scipy.stats import beta

    n = len(scores)
    # The small number: 0.05 · 20 is 1, whatever its last bit says.
    k = min(n, math.floor(rate * (n + 1) + 1e-9))
    if k < 1:
        least = math.ceil(1000 / (n + 1)) / 1000
        raise AsdError(
            f"{n} calibration clips cannot promise a false-alarm rate of {rate:g}: "
            f"record {math.ceil(1 / rate) - 1} or more, "
            f"choose a rate of at least {least:g}, or the method gamma"
        )
    value = float(np.sort(scores)[n - k])
    low, high = map(float, beta.ppf(INTERVAL, k, n + 1 - k))
    return Threshold(value, "quantile", n, k / (n + 1), low, high)


def _by_gamma(scores: np.ndarray, rate: float) -> Threshold:
    """The score that a fitted gamma distribution exceeds with probability ``rate``.

    What rate to expect of it is simulated: scores are drawn from the fitted
    distribution, as many as there were, a gamma distribution is fitted to them, and its
    threshold is held against the first one.
    """
    from scipy.stats import gamma

    if len(scores) < 3 or scores.min() <= 0 or np.ptp(scores) < 1e-3 * scores.max():
        raise AsdError(
            f"no gamma distribution fits these {len(scores)} scores (it needs three "
            "clearly different ones, all above 0): "
            "choose the method quantile, or another scorer"
        )

    shape, scale = fit_gamma(scores)
    drawn = np.random.default_rng(0).gamma(shape, scale, (REFITS, len(scores)))
    # Of a wide distribution, some are too small for a number.
    again, wider = fit_gamma(drawn.clip(min=np.finfo(float).tiny))
    rates = gamma.sf(gamma.isf(rate, again, scale=wider), shape, scale=scale)
    value = float(gamma.isf(rate, shape, scale=scale))
    low, high = map(float, np.quantile(rates, INTERVAL))
    return Threshold(value, "gamma", len(scores), float(np.mean(rates)), low, high)


def fit_gamma(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and scale (...) of the likeliest gamma distribution of ``x`` (..., N).

    All of ``x`` are above 0. Shapes go up to 1e8, which is a spread of a ten-thousandth
    of the mean: beyond, rounding is as large as what is fitted, and scipy's quantiles
    may take for ever. Minka (2002).

    >>> shape, scale = fit_gamma(np.array([1.0, 2.0, 4.0]))
    >>> round(float(shape * scale), 6)  # its mean is that of the numbers
    2.333333
    """
    from scipy.special import polygamma, psi

    mean = x.mean(axis=-1)
    s = np.maximum(np.log(mean) - np.log(x).mean(axis=-1), 0.5 / LARGEST_SHAPE)
    shape = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s)
    for _ in range(4):  # Newton's, for log(shape) - psi(shape) = s; two would do
        slope = 1 / shape - polygamma(1, shape)
        shape = shape - (np.log(shape) - psi(shape) - s) / slope
    return shape, mean / shape


def are_known(bank: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Which of the clips with these ``embeddings`` (N, dim) were trained on: (N,) bool.

    ``bank`` (M, dim) are the embeddings of the training clips. Two are the same clip
    where no number differs by more than a ten-thousandth of the largest.

    >>> are_known(np.eye(2), np.array([[0.0, 1.00001], [1.0, 1.0]]))
    array([ True, False])
    """
    same = _same_in(bank)
    return np.array([len(same(e)) > 0 for e in embeddings], dtype=bool)


def _same_in(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What finds the places in ``rows`` (N, dim) of one embedding (dim,)."""
    # Where rows differ most, few are near: only those are compared as a whole.
    at = int(np.argmax(rows.std(axis=0))) if len(rows) else 0
    there = rows[:, at].copy()

    def same(embedding: np.ndarray) -> np.ndarray:
        off = SAME * np.abs(embedding).max()
        places = np.flatnonzero(np.abs(there - embedding[at]) < off)
        return places[np.abs(rows[places] - embedding).max(axis=1) < off]

    return same


def refuse_known(
    bank: np.ndarray, embeddings: np.ndarray, names: Sequence[str]
) -> None:
    """Raise :class:`AsdError` if a clip was trained on, or is there twice.

    By their embeddings: ``bank`` (M, dim) of the training clips, ``embeddings`` (N,
    dim) of the clips called ``names`` (N), as :func:`are_known` compares them.
    """
    known, twins_of = are_known(bank, embeddings), _same_in(embeddings)
    for i, (name, embedding) in enumerate(zip(names, embeddings, strict=True)):
        if known[i]:
            raise AsdError(
                f"{name} was trained on, so its score says nothing about new clips: "
                "calibrate on other recordings"
            )
        first = twins_of(embedding).min(initial=i)
        if first < i:
            raise AsdError(
                f"{name} is the same recording as {names[first]}, "
                "and would count twice: leave one out"
            )
