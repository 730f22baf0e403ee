"""Has a machine changed? The promised false-alarm rate is kept where nothing has, and a change is seen."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from asdlib.drift import PERMUTATIONS, Sample, drift, energy_p
from asdlib.errors import AsdError


def distance(x, y):
    """The energy distance of two samples, pair by pair."""

    def mean(a, b):
        return sum(np.linalg.norm(p - q) for p in a for q in b) / (len(a) * len(b))

    return 2 * mean(x, y) - mean(x, x) - mean(y, y)


def near(p):
    """As near as so many permutations come to ``p``."""
    return pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / PERMUTATIONS))


@pytest.mark.parametrize("seed", range(3))
def test_of_numbers_it_is_scipys_permutation_test_of_the_energy_distance(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=6), rng.normal(1, size=5)
    how = {"alternative": "greater", "n_resamples": np.inf}  # all of them
    exact = stats.permutation_test((x, y), stats.energy_distance, **how).pvalue
    assert energy_p(np.concatenate([x, y])[:, None], np.arange(11), 6) == near(exact)


@pytest.mark.parametrize("seed", range(3))
def test_of_rows_in_blocks_it_is_what_all_ways_of_changing_sides_give(seed):
    rng = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(8), [1, 4, 2, 2, 1, 3, 2, 5])
    rows = rng.normal(size=(20, 3)) + rng.normal(size=(8, 3))[blocks]
    ways = [np.isin(blocks, chosen) for chosen in combinations(range(8), 3)]
    found = np.array([distance(rows[own], rows[~own]) for own in ways])  # the first way is the one that there was
    assert energy_p(rows, blocks, 3) == near(np.mean(found >= found[0] - 1e-12))


def days(rng, count, each, between=0.0, shift=0.0):
    """``count`` days of ``each`` clips, whose embeddings, and the score in them, wander ``between`` the days."""
    x = rng.normal(size=(count * each, 5)) + np.repeat(between * rng.normal(size=(count, 5)), each, axis=0) + shift
    return Sample(x, np.exp(x[:, 0]), np.repeat(np.arange(count), each).tolist())


def alarms(seeds, **how):
    """In how many simulations the days after are called changed, and the p values of the scores' test alone."""
    count, ps = 0, []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        one, other = days(rng, 12, 4, between=1.0), days(rng, 8, 4, between=1.0)
        if not how.get("blocks", True):
            one, other = Sample(one.embeddings, one.scores), Sample(other.embeddings, other.scores)
        count += drift(one, other, rate=0.05, seed=seed).changed
        if len(ps) < 200:
            rows = np.concatenate([one.embeddings, other.embeddings])
            ps.append(energy_p(rows, np.concatenate([one.numbers(), 12 + other.numbers()]), 12, seed=seed))
    return count, ps


def test_of_machines_that_have_not_changed_no_more_are_called_changed_than_promised():
    count, ps = alarms(300)
    # Twice 2.5 % where the looks were independent, once where they were one.
    assert stats.binom.ppf(0.001, 300, 0.025) <= count <= stats.binom.ppf(0.999, 300, 0.05)
    assert stats.kstest(ps, "uniform").pvalue > 0.001


def test_clips_of_one_day_are_no_independent_clips():
    """As if they were, an ordinary day is a change: why there are blocks."""
    assert alarms(20, blocks=False)[0] > 20 * 0.3


@pytest.mark.parametrize("what", ["embeddings", "scores", "spread"])
def test_a_change_is_seen_in_either(what):
    """In 30 simulations: a shift by one deviation, or embeddings that spread twice as wide."""
    seen = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y, s, t = rng.normal(size=(40, 5)), rng.normal(size=(30, 5)), rng.normal(size=40), rng.normal(size=30)
        y, t = {"spread": 2 * y, "embeddings": y + 1}.get(what, y), t + (what == "scores")
        found = drift(Sample(x, s), Sample(y, t), seed=seed)
        seen += found.changed
        assert found.higher == pytest.approx(stats.mannwhitneyu(t, s).statistic / 1200)
    assert seen >= 25


def test_units_do_not_matter_and_what_differs_by_rounding_does_no_harm():
    rng = np.random.default_rng(0)
    one, other = days(rng, 12, 3), days(rng, 8, 3, shift=0.4)
    units = np.array([1, 1e3, 1e-3, 1, 7])

    def scaled(sample):
        constant = np.full((len(sample.scores), 1), 3 + 1e-7 * len(sample.scores))  # in other batches, another last digit
        return Sample(np.hstack([sample.embeddings * units, constant]), np.log(sample.scores), sample.blocks)

    found, again = drift(one, other), drift(scaled(one), scaled(other))
    assert 0.002 < found.p_embeddings < 0.9  # and no trivial one
    assert found == again
    assert (found.clips, found.blocks) == ((36, 24), (12, 8))


NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "other", "rate", "said"),
    [
        ((20, 3), (20, 3), 0.001, "a false-alarm rate of 0.001 makes no sense"),
        ((20, 3), (20, 3), 1, "a false-alarm rate of 1 makes no sense"),
        ((20, 3), (20, 3), NAN, "a false-alarm rate of nan makes no sense"),
        ((20, 3), (1, 3), 0.01, "20 and 1 blocks can change sides in 21 ways, and 200 are needed"),
        ((5, 3), (5, 3), 0.01, "5 and 5 blocks can change sides in 126 ways"),
        ((500, 3), (0, 3), 0.01, "500 and 0 blocks"),
        ((20, 3), (20, 4), 0.01, "embeddings of 3 and of 4 numbers: give those of one detector"),
    ],
)
def test_what_cannot_be_told_is_refused(one, other, rate, said):
    samples = [Sample(np.random.default_rng(0).normal(size=shape), np.arange(shape[0])) for shape in (one, other)]
    with pytest.raises(AsdError, match=said):
        drift(*samples, rate=rate)


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (Sample(np.zeros((3, 2)), np.zeros(4)), r"embeddings of shape \(3, 2\), scores of shape \(4,\)"),
        (Sample(np.zeros(3), np.zeros(3)), r"embeddings of shape \(3,\)"),
        (Sample(np.zeros((3, 2)), np.zeros(3), ["a"]), "1 blocks: give one of each for every clip"),
        (Sample(np.full((3, 2), NAN), np.zeros(3)), "are no numbers"),
        (Sample(np.zeros((3, 2)), np.full(3, np.inf)), "are no numbers"),
    ],
)
def test_samples_that_make_no_sense_are_refused(sample, said):
    with pytest.raises(AsdError, match=said):
        sample.numbers()
