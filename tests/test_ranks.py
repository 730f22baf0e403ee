"""Many methods on the same clips: against scikit-learn, SciPy, Demšar's tables and cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare, spearmanr, t, ttest_ind
from sklearn.metrics import roc_auc_score

from asdlib.chance import Areas, areas_of, differences, holm, interval, quantile, standard_error, two_sided
from asdlib.errors import AsdError
from asdlib.metrics import machine_table, type_table
from asdlib.ranks import agreement, nemenyi_distance, ranking


def clips(seed=0, *, machines=("fan/0", "fan/1", "pump/0"), each=30):
    """Truth and machines of test clips, and scores by methods of known strength, each with three seeds."""
    rng = np.random.default_rng(seed)
    names = np.repeat(machines, 2 * each)
    truth = np.tile(np.repeat([0, 1], each), len(machines))
    common = rng.normal(size=len(truth))

    def scored(strength):
        return np.stack([strength * truth + common + 0.3 * rng.normal(size=len(truth)) for _ in range(3)])

    return truth, names, {"weak": scored(0.2), "good": scored(1.0), "twin": scored(1.0)}


def mean_auc(truth, machines, score):
    """Over the types of :func:`clips`, by scikit-learn."""
    by = {m: roc_auc_score(truth[machines == m], score[machines == m]) for m in np.unique(machines)}
    return (0.5 * (by["fan/0"] + by["fan/1"]) + by["pump/0"]) / 2


def test_areas_are_those_of_scikit_learn_and_their_draws_a_plain_bootstrap():
    truth, machines, scores = clips()
    found = areas_of(truth, machines, scores)["good"]
    assert found.seeds == pytest.approx([mean_auc(truth, machines, row) for row in scores["good"]])
    assert found.draws.mean() == pytest.approx(found.seeds.mean(), abs=0.005)
    rng, plain = np.random.default_rng(1), []
    groups = [np.flatnonzero((machines == m) & (truth == k)) for m in np.unique(machines) for k in (0, 1)]
    for _ in range(400):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        plain.append(np.mean([mean_auc(truth[rows], machines[rows], row[rows]) for row in scores["good"]]))
    assert found.draws.std() == pytest.approx(np.std(plain), rel=0.15)


@pytest.mark.parametrize("figure", ["pauc", "mauc"])
def test_the_other_figures_are_those_of_the_tables_on_all_clips_and_on_clips_drawn_by_hand(figure):
    truth, machines, scores = clips(each=40)

    def by_table(rows, own):
        frame = {"machine": machines[rows], "label": np.where(truth[rows], "anomaly", "normal"), "score": own[rows]}
        return type_table(machine_table(pd.DataFrame(frame), resamples=0)).loc["average"].to_dict()[figure]

    found = areas_of(truth, machines, scores, figure=figure)["weak"]
    every = np.arange(len(truth))
    assert found.seeds == pytest.approx([by_table(every, row) for row in scores["weak"]])
    rng, plain = np.random.default_rng(1), []
    groups = [np.flatnonzero((machines == m) & (truth == k)) for m in np.unique(machines) for k in (0, 1)]
    for _ in range(300):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        plain.append(np.mean([by_table(rows, row) for row in scores["weak"]]))
    assert found.draws.mean() == pytest.approx(np.mean(plain), abs=0.01)
    assert found.draws.std() == pytest.approx(np.std(plain), rel=0.15)


def test_the_draws_spread_as_the_areas_of_other_clips_do_however_few_there_are():
    """Four healthy and five faulty clips of each of twelve machines, drawn anew many times."""
    rng, truth = np.random.default_rng(3), np.tile(np.repeat([0, 1], [4, 5]), 12)
    machines = np.repeat([f"fan/{i}" for i in range(12)], 9)
    areas, spreads = [], []
    for _ in range(300):
        score = {"a": (truth + rng.normal(size=len(truth)))[None]}
        found = areas_of(truth, machines, score, resamples=200)["a"]
        areas.append(found.seeds[0])
        spreads.append(found.draws.var())
    assert np.mean(spreads) == pytest.approx(np.var(areas), rel=0.2)


def test_ties_count_half_and_what_is_alike_in_all_clips_is_a_half_about_whose_chance_nothing_is_known():
    truth, machines, _ = clips()
    areas = areas_of(truth, machines, {name: np.zeros((2, len(truth))) for name in "ab"}, resamples=50)
    np.testing.assert_allclose(areas["a"].draws, 0.5)
    np.testing.assert_allclose(areas["a"].seeds, 0.5)
    assert interval(areas["a"]) == (0.0, 1.0)
    found = differences(areas, "a")["b"]
    assert (found.mean, found.low, found.high, found.p) == (0, -1, 1, 1)


def test_differences_are_paired_and_a_twin_cannot_be_told_apart():
    truth, machines, scores = clips()
    areas = areas_of(truth, machines, scores)
    found = differences(areas, "good")
    assert set(found) == {"weak", "twin"}
    assert found["weak"].mean == pytest.approx(areas["weak"].seeds.mean() - areas["good"].seeds.mean())
    assert found["weak"].high < 0
    assert found["weak"].p < 0.05
    assert found["twin"].low < 0 < found["twin"].high
    assert found["twin"].p > 0.2
    # The same clips for both: far narrower than if each were drawn on its own.
    apart = np.hypot(areas["good"].draws.std(), areas["twin"].draws.std())
    assert (areas["good"].draws - areas["twin"].draws).std() < 0.7 * apart
    with pytest.raises(AsdError, match="no scores of magic to hold the others against: choose one of weak, good, twin"):
        differences(areas, "magic")


SAME = np.array([-1.0, 1.0])  # draws with a variance of 2, times their square


def test_without_a_chance_of_clips_a_difference_is_welchs_t_test_of_the_seeds():
    rng = np.random.default_rng(4)
    one, other = rng.normal(0.8, 0.01, 5), rng.normal(0.78, 0.03, 3)
    areas = {"one": Areas(one, np.full(9, 0.5)), "other": Areas(other, np.full(9, 0.5))}
    found, welch = differences(areas, "other")["one"], ttest_ind(one, other, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    low, high = welch.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    mean, error = one.mean(), one.std(ddof=1) / 5**0.5
    assert interval(areas["one"]) == pytest.approx((mean - t.ppf(0.975, 4) * error, mean + t.ppf(0.975, 4) * error))


def test_both_kinds_of_chance_are_added_and_one_seed_says_nothing_about_seeds():
    error, freedom = standard_error(3 * SAME, np.array([1.0, 3.0]), np.array([5.0]), np.zeros(4))
    assert error**2 == pytest.approx(18 + 2 / 2)
    assert freedom == pytest.approx(19**2 / 1)
    assert standard_error(3 * SAME, np.array([5.0])) == (pytest.approx(18**0.5), np.inf)


@pytest.mark.parametrize("count", [3, 5])
def test_where_all_methods_are_alike_few_differences_are_found_even_with_few_seeds(count):
    rng, found = np.random.default_rng(count), []
    for _ in range(500):
        areas = {name: Areas(rng.normal(0.8, 0.01, count), np.full(9, 0.8)) for name in "abcdef"}
        told = differences(areas, "a").values()
        found.append((min(x.p for x in told) <= 0.05, any(x.low > 0 or x.high < 0 for x in told)))
    assert np.mean(found, axis=0) == pytest.approx(0.03, abs=0.03)  # of 500 comparisons, 0.05 at most


def test_a_difference_that_is_sure_on_its_own_is_not_where_holm_stops_before_it():
    """p of 0.03, 0.02 and 0.024: none is below 0.05 / 3."""
    base = Areas(np.zeros(1), np.zeros(2))
    errors = [1 / quantile(np.inf, 1 - p) for p in (0.03, 0.02, 0.024)]
    areas = {f"m{i}": Areas(np.ones(1), error * SAME / 2**0.5) for i, error in enumerate(errors)}
    found = differences({"base": base, **areas}, "base")
    assert [x.p for x in found.values()] == pytest.approx([0.06, 0.06, 0.06])
    assert all(x.low < 0 < x.high for x in found.values())
    alone = differences({"base": base, "m1": areas["m1"]}, "base")["m1"]
    assert alone.p == pytest.approx(0.02)
    assert alone.low > 0


def test_holm_by_hand():
    # 3 · 0.01, then 2 · 0.03, and what follows is never below what came before it
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    assert two_sided(0.0, 0.0, np.inf) == 1.0
    assert two_sided(2.0, 1.0, 4) == pytest.approx(2 * (1 - t.cdf(2, 4)))


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
        areas_of(np.zeros(4), np.repeat("fan/0", 4), {"a": np.ones((1, 4))})
