"""Alarms that do not flutter: what one pass decides, window by window, is what a slow look at all of the past says."""

from itertools import pairwise

import numpy as np
import pytest

from asdlib.errors import AsdError
from asdlib.stream import Alarms

NAN = float("nan")


def looked_up(starts, scores, threshold, clear, seconds):
    """(alarm, since) of every window, each by going back from it as far as the scores are on the other side."""
    told, on, since = [], False, None
    for i, score in enumerate(scores):
        if np.isnan(score):
            told.append((on, since))
            continue
        there = []  # the windows, up to this one, that speak for a change
        for j in range(i, -1, -1):
            if np.isnan(scores[j]):
                continue
            if not (scores[j] <= clear if on else scores[j] > threshold):
                break
            there.insert(0, j)
        heard = sum(starts[b] - starts[a] for a, b in pairwise(there) if b == a + 1)
        if there and heard >= seconds:
            on = not on
            since = starts[there[0]] if on else None
        told.append((on, since))
    return told


@pytest.mark.parametrize("seed", range(5))
def test_one_pass_tells_what_a_look_at_all_of_the_past_tells(seed):
    rng = np.random.default_rng(seed)
    for _ in range(60):
        every, n = rng.choice([0.25, 1.0]), rng.integers(60)
        scores = np.where(rng.random(n) < 0.1, NAN, rng.integers(0, 7, n))
        threshold, below, seconds = rng.integers([0, 0, 0], [7, 7, 6]).tolist()
        alarms = Alarms(threshold, clear=threshold - below, seconds=seconds)
        starts = every * np.arange(n)
        told = [(alarms.take(*window), alarms.since) for window in zip(starts, scores, strict=True)]
        assert told == looked_up(starts, scores, threshold, threshold - below, seconds)


def states(scores, every=1.0, **how):
    alarms = Alarms(5.0, **how)
    return "".join("-!"[alarms.take(every * i, score)] for i, score in enumerate(scores))


def test_by_hand():
    assert states([5, 6, 5, 6]) == "-!-!"  # at the threshold is not above it
    assert states([6, 5, 4, 6], clear=4.0) == "!!-!"
    assert states([6, 6, 6, 1, 1, 1], seconds=2) == "--!!!-"
    assert states([6, NAN, NAN, NAN, 6, 6, 6], seconds=2) == "-----" + "-!"  # what was silent was not above
    assert states([6, NAN, 1], seconds=0) == "!!-"
    assert states([6, 1, 6, 6, 6], seconds=2) == "----!"  # from the start again
    assert states([6] * 5, every=0.1, seconds=0.3) == "---!!"  # 0.1 + 0.1 + 0.1 as it is meant


def test_time_in_a_gap_does_not_count_and_what_was_on_stays_on():
    alarms = Alarms(5.0, seconds=2)
    assert not any(alarms.take(t, 6.0) for t in (0.0, 1.0))
    alarms.pause()
    assert not alarms.take(3600.0, 6.0)
    assert alarms.take(3601.0, 6.0)
    assert alarms.since == 0.0
    alarms.pause()
    assert not any(not alarms.take(t, 1.0) for t in (7200.0, 7201.0))
    assert not alarms.take(7202.0, 1.0)
    assert alarms.since is None


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"threshold": NAN}, "a threshold of nan makes no sense"),
        ({"threshold": float("inf")}, "a threshold of inf makes no sense"),
        ({"clear": 5.5}, "an alarm above 5 cannot end at 5.5"),
        ({"clear": NAN}, "cannot end at nan"),
        ({"clear": -float("inf")}, "cannot end at -inf"),
        ({"seconds": -1}, "an alarm after -1 s makes no sense"),
        ({"seconds": NAN}, "an alarm after nan s makes no sense"),
        ({"seconds": float("inf")}, "an alarm after inf s makes no sense"),
    ],
)
def test_levels_and_times_that_make_no_sense_are_refused(how, said):
    with pytest.raises(AsdError, match=said):
        Alarms(**{"threshold": 5.0} | how)
