"""Many methods on the same clips: against scikit-learn, SciPy, Demšar's tables and cases worked out by hand."""

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, spearmanr
from sklearn.metrics import roc_auc_score

from asdlib.errors import AsdError
from asdlib.ranks import agreement, auc_draws, differences, holm, interval, nemenyi_distance, ranking, two_sided


def clips(seed=0, *, machines=("fan/0", "fan/1", "pump/0"), each=30):
    """Truth and machines of test clips, and scores by methods of known strength, each with three seeds."""
    rng = np.random.default_rng(seed)
    names = np.repeat(machines, 2 * each)
    truth = np.tile(np.repeat([0, 1], each), len(machines))
    common = rng.normal(size=len(truth))

    def scored(strength):
        return np.stack([strength * truth + common + 0.3 * rng.normal(size=len(truth)) for _ in range(3)])

    return truth, names, {"weak": scored(0.2), "good": scored(1.0), "twin": scored(1.0)}


def test_the_mean_of_the_draws_is_the_mean_auc_over_the_types_and_their_spread_that_of_a_plain_bootstrap():
    truth, machines, scores = clips()
    draws = auc_draws(truth, machines, scores, resamples=2000)

    def mean_auc(rows, score):
        by = {m: roc_auc_score(truth[rows][machines[rows] == m], score[rows][machines[rows] == m]) for m in np.unique(machines)}
        return (0.5 * (by["fan/0"] + by["fan/1"]) + by["pump/0"]) / 2

    everything = np.arange(len(truth))
    expected = np.mean([mean_auc(everything, row) for row in scores["good"]])
    assert draws["good"].mean() == pytest.approx(expected, abs=0.005)
    rng, plain = np.random.default_rng(1), []
    groups = [np.flatnonzero((machines == m) & (truth == t)) for m in np.unique(machines) for t in (0, 1)]
    for _ in range(400):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        seeds = rng.integers(3, size=3)
        plain.append(np.mean([mean_auc(rows, scores["good"][i]) for i in seeds]))
    assert draws["good"].std() == pytest.approx(np.std(plain), rel=0.15)


def test_ties_count_half_and_what_is_alike_in_all_clips_is_a_half():
    truth, machines, _ = clips()
    draws = auc_draws(truth, machines, {"constant": np.zeros((2, len(truth)))}, resamples=50)
    np.testing.assert_allclose(draws["constant"], 0.5)


def test_differences_are_paired_and_a_twin_cannot_be_told_apart():
    truth, machines, scores = clips()
    draws = auc_draws(truth, machines, scores)
    found = differences(draws, "good")
    assert set(found) == {"weak", "twin"}
    assert found["weak"].high < 0
    assert found["weak"].p < 0.05
    assert found["twin"].low < 0 < found["twin"].high
    assert found["twin"].p > 0.2
    # The same clips for both: far narrower than if each were drawn on its own.
    apart = np.hypot(draws["good"].std(), draws["twin"].std())
    assert (draws["good"] - draws["twin"]).std() < 0.7 * apart
    # Two differences: the surer one needs 97.5 %, and an interval of its own is wider than one alone.
    low, high = interval(draws["weak"] - draws["good"])
    assert found["weak"].low < low
    assert found["weak"].high > high
    with pytest.raises(AsdError, match="no scores of magic to hold the others against: choose one of weak, good, twin"):
        differences(draws, "magic")


def test_holm_by_hand():
    # 3 · 0.01, then 2 · 0.03, and what follows is never below what came before it
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    assert two_sided(np.array([-1.0, 1.0, 1.0, 1.0])) == pytest.approx(2 * 2 / 5)
    assert two_sided(np.zeros(10)) == 1.0


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)])
def test_the_critical_values_are_those_of_demsars_table_5(methods, q):
    distance = nemenyi_distance(methods, 1)
    assert distance / np.sqrt(methods * (methods + 1) / 6) == pytest.approx(q, abs=1e-3)


def test_ranks_are_those_of_friedman_with_ties_shared():
    rng = np.random.default_rng(0)
    areas = {"a": rng.uniform(0.7, 0.9, 12), "b": rng.uniform(0.6, 0.8, 12), "c": rng.uniform(0.5, 0.7, 12)}
    found = ranking(areas)
    assert found.p == pytest.approx(friedmanchisquare(*areas.values()).pvalue)
    assert found.ranks["a"] < found.ranks["b"] < found.ranks["c"]
    assert sum(found.ranks.values()) == pytest.approx(6)
    tied = ranking({"a": np.array([0.9, 0.8]), "b": np.array([0.9, 0.7]), "c": np.array([0.1, 0.9])})
    assert tied.ranks == {"a": 1.75, "b": 2.25, "c": 2.0}
    assert tied.alike == [("a", "c", "b")]
    assert ranking({name: np.full(4, 0.5) for name in "abc"}).p == 1.0


def test_groups_that_cannot_be_told_apart_are_as_large_as_can_be():
    areas = {name: np.linspace(0.9, 0.8, 40) - 0.05 * i for i, name in enumerate("abcdefgh")}
    found = ranking(areas)  # mean ranks 1 to 8, exactly
    near = int(found.distance)
    assert 0 < near < 4
    assert found.alike[0] == tuple("abcdefgh"[: near + 1])
    assert len(found.alike) == 8 - near


@pytest.mark.parametrize("areas", [{}, {"a": np.ones(5), "b": np.ones(5)}, {name: np.ones(1) for name in "abc"}])
def test_what_cannot_be_ranked_is_refused(areas):
    with pytest.raises(AsdError, match="cannot be ranked: give three methods and two machines or more"):
        ranking(areas)


def test_agreement_is_spearmans_rank_correlation_and_its_interval_holds_it():
    rng = np.random.default_rng(2)
    one = rng.normal(size=14)
    other = np.round(one + rng.normal(size=14), 1)  # with ties
    found = agreement(one, other)
    assert found.rho == pytest.approx(spearmanr(one, other).statistic)
    assert -1 <= found.low < found.rho < found.high <= 1
    assert found.count == 14
    assert agreement(one, np.exp(one)).low == pytest.approx(1)
    assert agreement(one, -one).rho == -1
    bad = r"2 methods have no two orders to compare: give three or more"
    with pytest.raises(AsdError, match=bad):
        agreement([0.1, 0.2], [0.1, 0.2])
    with pytest.raises(AsdError, match="figures that differ"):
        agreement([0.1, 0.1, 0.1], [0.1, 0.2, 0.3])


def test_clips_of_one_kind_are_refused():
    with pytest.raises(AsdError, match="no machine has normal and anomalous clips"):
        auc_draws(np.zeros(4), np.repeat("fan/0", 4), {"a": np.ones((1, 4))})
