"""Metrics against a golden file, scikit-learn and hand-counted pairs; scorers against plain loops."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm
from sklearn.metrics import roc_auc_score

from asdlib.errors import AsdError
from asdlib.evaluation import (
    auc,
    bootstrap_interval,
    cross_scores,
    gmm_score,
    knn_score,
    machine_table,
    mahalanobis_score,
    pauc,
    score_interval,
    softmax_score,
    type_table,
    write_challenge_csv,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "metrics.json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_golden_values(case):
    assert auc(case["truth"], case["scores"]) == pytest.approx(case["auc"], abs=1e-12)
    assert pauc(case["truth"], case["scores"]) == pytest.approx(case["pauc"], abs=1e-12)


labelled = st.lists(st.tuples(st.booleans(), st.integers(-20, 20)), min_size=2, max_size=60).filter(
    lambda clips: 0 < sum(truth for truth, _ in clips) < len(clips)
)


@settings(max_examples=200, deadline=None)
@given(clips=labelled, max_fpr=st.floats(0.01, 1.0))
def test_agrees_with_scikit_learn_ties_and_all(clips, max_fpr):
    truth, scores = zip(*clips, strict=True)
    assert auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert pauc(truth, scores, max_fpr=max_fpr) == pytest.approx(roc_auc_score(truth, scores, max_fpr=max_fpr), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(clips=labelled)
def test_auc_is_the_share_of_pairs_in_the_right_order(clips):
    normal, anomalous = ([s for t, s in clips if t == kind] for kind in (False, True))
    wins = [1.0 if a > n else 0.5 if a == n else 0.0 for a, n in itertools.product(anomalous, normal)]
    truth, scores = zip(*clips, strict=True)
    assert auc(truth, scores) == pytest.approx(np.mean(wins), abs=1e-12)
    assert auc(truth, [-s for s in scores]) == pytest.approx(1 - np.mean(wins), abs=1e-12)
    assert auc(truth, [s**3 + 5 for s in scores]) == pytest.approx(np.mean(wins), abs=1e-12)  # only the order counts


def test_plain_pauc_is_the_formula_of_the_task_description():
    """Mean over pairs of an anomaly and one of the highest-scoring p·N normals, for N = 100 and p = 0.1."""
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(0, 1, 100), rng.normal(1, 1, 70)
    loudest = np.sort(normal)[-10:]
    expected = np.mean([a > n for a, n in itertools.product(anomalous, loudest)])
    truth, scores = np.repeat([0, 1], [100, 70]), np.concatenate([normal, anomalous])
    plain = pauc(truth, scores, standardized=False)
    assert plain == pytest.approx(expected, abs=1e-12)
    mcclish = 0.5 * (1 + (0.1 * plain - 0.005) / (0.1 - 0.005))
    assert pauc(truth, scores) == pytest.approx(mcclish, abs=1e-12)


def test_chance_and_perfection():
    tied = [0, 0, 1, 1], [1.0, 1, 1, 1]
    assert (auc(*tied), pauc(*tied), pauc(*tied, standardized=False)) == pytest.approx((0.5, 0.5, 0.05))
    perfect = [0, 0, 1, 1], [1.0, 2, 3, 4]
    assert (auc(*perfect), pauc(*perfect), pauc(*perfect, standardized=False)) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        ([0, 1], [1.0, 2.0, 3.0], "shape"),
        ([0, 2], [1.0, 2.0], "other values"),
        ([0, 1], [1.0, float("nan")], "1 of 2 scores are not finite"),
        ([1, 1], [1.0, 2.0], "all 2 clips are anomalous"),
        ([0, 0], [1.0, 2.0], "all 2 clips are normal"),
    ],
)
@pytest.mark.parametrize("metric", [auc, pauc, bootstrap_interval])
def test_what_has_no_roc_curve_is_refused(metric, truth, scores, message):
    with pytest.raises(AsdError, match=message):
        metric(truth, scores)


@pytest.mark.parametrize("max_fpr", [0, -0.1, 1.5])
def test_a_false_positive_rate_outside_0_to_1_is_refused(max_fpr):
    with pytest.raises(AsdError, match="max_fpr"):
        pauc([0, 1], [0.0, 1.0], max_fpr=max_fpr)


def test_bootstrap_interval_covers_the_known_auc_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    true_auc = 0.7602  # of N(1, 1) against N(0, 1): Φ(1/√2)
    truth, hits = np.repeat([0, 1], [40, 40]), 0
    for seed in range(60):
        scores = np.concatenate([rng.normal(0, 1, 40), rng.normal(1, 1, 40)])
        low, high = bootstrap_interval(truth, scores, resamples=200, seed=seed)
        assert low <= auc(truth, scores) <= high
        hits += low <= true_auc <= high
    assert 51 <= hits <= 60  # 57 expected
    assert bootstrap_interval(truth, scores, seed=3) == bootstrap_interval(truth, scores, seed=3)


def test_tables_average_ids_within_types_and_types_within_the_average():
    def clips(machine, normal, anomalous):
        rows = [(machine, "normal", s) for s in normal] + [(machine, "anomaly", s) for s in anomalous]
        return pd.DataFrame(rows, columns=["machine", "label", "score"])

    table = machine_table(
        pd.concat(
            [
                clips("fan/id_00", [1, 2], [3, 4]),  # AUC 1
                clips("fan/id_02", [101, 104], [102, 103]),  # AUC 0.5; pooled with id_00 it would be another number
                clips("pump/id_00", [1, 2], [0, 3]),  # AUC 0.5
                clips("pump/id_02", [1, 2], []),  # only normal: no AUC
                pd.DataFrame([("pump/id_05", "unknown", 1.0)], columns=["machine", "label", "score"]),
            ]
        ),
        resamples=50,
    )
    assert table.auc.to_dict() == {"fan/id_00": 1.0, "fan/id_02": 0.5, "pump/id_00": 0.5}
    assert (table.auc_low <= table.auc).all()
    assert (table.auc <= table.auc_high).all()
    types = type_table(table)
    assert types.auc.to_dict() == {"fan": 0.75, "pump": 0.5, "average": 0.625}
    assert types.mauc.to_dict() == {"fan": 0.5, "pump": 0.5, "average": 0.5}


def test_other_labels_are_refused_and_any_text_of_the_known_ones_is_taken():
    labels = ["normal", "abnormal", "normal", "abnormal"]
    clips = pd.DataFrame({"machine": "fan/id_00", "label": labels, "score": [1.0, 3.0, 2.0, 4.0]})
    with pytest.raises(AsdError, match="2 of 4 clips are labelled 'abnormal': write normal, anomaly or unknown"):
        machine_table(clips, resamples=0)
    for column in ([*labels[:3], None], [0, 1, 0, 1], ["Normal", *labels[1:]]):
        with pytest.raises(AsdError, match="clips are labelled"):
            machine_table(clips.assign(label=column), resamples=0)
    known = [label.replace("abnormal", "anomaly") for label in labels]
    for column in (known, pd.Categorical(known), np.array(known), pd.array(known, dtype="string"), [np.str_(x) for x in known]):
        assert machine_table(clips.assign(label=column), resamples=0).auc.to_list() == [1.0]


def test_challenge_files_have_the_challenge_names_and_lines(tmp_path):
    clips = pd.DataFrame(
        {
            "machine": ["fan/id_00", "fan/id_00", "ToyCar/id_05"],
            "name": ["normal_id_00_00000001.wav", "anomaly_id_00_00000000.wav", "id_05_00000002.wav"],
            "score": [0.25, 1e-7, 3.0],
        }
    )
    paths = write_challenge_csv(clips, tmp_path / "csv")
    assert [p.name for p in paths] == ["anomaly_score_ToyCar_id_05.csv", "anomaly_score_fan_id_00.csv"]
    assert paths[1].read_text() == "anomaly_id_00_00000000.wav,1e-07\nnormal_id_00_00000001.wav,0.25\n"
    assert sorted((tmp_path / "csv").iterdir()) == sorted(paths)


def test_challenge_csv_files_hold_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"ger\xe4usch.wav")
    clips = pd.DataFrame({"machine": ["fan/id_00"], "name": [name], "score": [0.5]})
    (path,) = write_challenge_csv(clips, tmp_path)
    assert path.read_bytes() == b"ger\xe4usch.wav,0.5\n"


# --------------------------------------------------------------------------------------------------------- scorers


def test_softmax_score_is_minus_log_probability():
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]])
    expected = -np.log(np.exp(2) / np.exp([1, 2, 3]).sum())
    assert softmax_score(logits, 1) == pytest.approx([expected, 1000.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_scores_of_sure_clips_do_not_collapse_to_ties_at_zero(dtype):
    logits = np.array([[30, -10, -10], [30, -12, -12], [60, -60, -60]], dtype=dtype)
    expected = [2 * np.exp(-40.0), 2 * np.exp(-42.0), 2 * np.exp(-120.0)]
    np.testing.assert_allclose(softmax_score(logits, 0), expected, rtol=1e-6)


def test_knn_score_is_the_mean_cosine_distance_to_the_two_nearest():
    def at(degrees):
        return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)

    train, test = 3 * at(np.array([0, 10, 90])), 0.2 * at(np.array([20, 180, 10]))
    cos = lambda d: np.cos(np.deg2rad(d))  # noqa: E731
    expected = [1 - (cos(10) + cos(20)) / 2, 1 - (cos(90) + cos(170)) / 2, 1 - (1 + cos(10)) / 2]
    assert knn_score(train, test) == pytest.approx(expected, abs=1e-9)
    assert knn_score(train[:1], test) == pytest.approx([1 - cos(20), 2, 1 - cos(10)], abs=1e-9)  # fewer than two


@pytest.mark.parametrize("score", [knn_score, mahalanobis_score, gmm_score])
@pytest.mark.parametrize("count", [1, 2, 5, 200])
def test_what_is_far_from_the_training_clips_scores_higher(score, count):
    rng = np.random.default_rng(0)
    centre, elsewhere = rng.normal(size=8), rng.normal(size=8)
    train = centre + 0.1 * rng.normal(size=(count, 8))
    near, far = centre + 0.1 * rng.normal(size=(50, 8)), elsewhere + 0.1 * rng.normal(size=(50, 8))
    assert np.isfinite(score(train, near)).all()
    assert score(train, near).max() < score(train, far).min()
    np.testing.assert_array_equal(score(train, near), score(train, near))


def test_mahalanobis_counts_a_step_across_the_spread_more_than_one_along_it():
    rng = np.random.default_rng(0)
    train = np.array([10.0, 0, 0]) + rng.normal(size=(500, 3)) * [0.01, 2.0, 0.2]
    along, across = np.array([[10.0, 1.5, 0]]), np.array([[10.0, 0, 1.5]])
    assert mahalanobis_score(train, across) > 10 * mahalanobis_score(train, along)


def test_mahalanobis_of_many_clips_is_the_textbook_distance():
    rng = np.random.default_rng(0)
    train, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(2, 1, size=(2, 20000, 4)))
    off = test[:20] - train.mean(axis=0)
    expected = np.einsum("ni,ij,nj->n", off, np.linalg.inv(np.cov(train.T)), off)
    np.testing.assert_allclose(mahalanobis_score(train, test[:20]), expected, rtol=0.02)


def turned(degrees):
    """Unit vectors (N, 2) at these angles."""
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)


def test_mahalanobis_of_one_clip_is_the_distance_over_a_millionth():
    known, asked = turned([0.0]), turned([0.0, 10.0, 180.0])
    chord = 2 - 2 * np.cos(np.deg2rad([0.0, 10.0, 180.0]))  # squared
    np.testing.assert_allclose(mahalanobis_score(known, asked), chord / 1e-6, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [2, 4])
def test_mahalanobis_of_few_clips_shrinks_by_one_over_their_number_at_least(count):
    """Clips of one pair of directions, whose spread Ledoit and Wolf's estimate takes for the truth."""
    known, asked = turned([-20.0, 20.0] * (count // 2)), turned([0.0, 20.0, 50.0])
    spread = np.sin(np.deg2rad(20)) ** 2  # along the second axis, and none along the first
    mean = np.array([np.cos(np.deg2rad(20)), 0])
    along, across = (1 / count) * spread / 2, (1 - 1 / count) * spread + (1 / count) * spread / 2
    expected = (asked - mean) ** 2 @ (1 / (np.array([along, across]) + 1e-6))
    np.testing.assert_allclose(mahalanobis_score(known, asked), expected, rtol=1e-9)


def test_the_mixture_has_two_components_with_a_floor_of_a_ten_thousandth_under_their_variances():
    """Two tight groups of directions: the density is known in closed form, the variances being the floor."""
    known, asked = turned([0.0] * 5 + [90.0] * 5), turned([0.0, 45.0, 90.0, 1.0])
    near = np.minimum(*(((asked - centre) ** 2).sum(axis=1) for centre in np.eye(2)))
    far = np.maximum(*(((asked - centre) ** 2).sum(axis=1) for centre in np.eye(2)))
    density = -np.log(2 * np.pi * 1e-4) + np.logaddexp(np.log(0.5) - near / 2e-4, np.log(0.5) - far / 2e-4)
    np.testing.assert_allclose(gmm_score(known, asked), -density, rtol=1e-6)


def test_cross_scores_hold_each_clip_against_the_other_four_fifths():
    """With a scorer that tells what it was shown."""
    shown = {}

    def tell(known, asked):
        for row in asked[:, 0]:
            shown[row] = set(known[:, 0])
        return 10 * asked[:, 0]

    clips = np.arange(12.0)[:, None]
    np.testing.assert_array_equal(cross_scores(tell, clips), 10 * np.arange(12.0))
    for i in range(12):
        assert shown[i] == {k for k in range(12) if k % 5 != i % 5}
    shown.clear()
    cross_scores(tell, clips[:3])  # fewer clips than folds: each on its own
    assert shown == {i: {0.0, 1.0, 2.0} - {i} for i in range(3)}


def test_the_bootstrap_interval_lies_between_the_quantiles_of_its_level():
    """Healthy clips of one score, and n faulty ones: the resampled AUC is a binomial share, whose quantiles are known."""
    truth = np.repeat([0, 1], [400, 400])
    scores = np.repeat([0.5, 0.0, 1.0], [400, 120, 280])  # AUC 0.7
    for options, level in (({}, 0.95), ({"level": 0.8}, 0.8), ({"level": 0.5}, 0.5)):
        found = bootstrap_interval(truth, scores, resamples=4000, **options)
        expected = binom.ppf([(1 - level) / 2, (1 + level) / 2], 400, 0.7) / 400
        assert found == pytest.approx(expected, abs=0.0038)  # 1.5 clips; 0.90 for 0.95 would be off by 0.0073


def test_the_table_has_the_interval_of_95_per_cent():
    scores = np.repeat([0.5, 0.0, 1.0], [400, 120, 280])
    clips = pd.DataFrame({"machine": "fan/id_00", "label": ["normal"] * 400 + ["anomaly"] * 400, "score": scores})
    row = machine_table(clips, resamples=2000).loc["fan/id_00"]
    expected = binom.ppf([0.025, 0.975], 400, 0.7) / 400
    assert (row.auc_low, row.auc_high) == pytest.approx(expected, abs=0.0038)
    assert machine_table(clips).equals(machine_table(clips, resamples=1000))


# ------------------------------------------------------------------------------------- intervals of few clips, at the edge


@pytest.mark.parametrize(("normal", "anomalous"), [(1, 1), (4, 4), (4, 20), (20, 4), (50, 50), (1, 400)])
@pytest.mark.parametrize("area", [0.0, 0.3, 0.5, 0.96, 1.0])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_score_interval_holds_the_aucs_that_lie_within_z_standard_deviations(normal, anomalous, area, level):
    """On a grid of them, by Hanley and McNeil's Q1 and Q2 with the mean of both sizes in the place of each."""
    theta = np.linspace(0, 1, 200_001)
    q1, q2, rest = theta / (2 - theta), 2 * theta**2 / (1 + theta), (normal + anomalous) / 2 - 1
    variance = (theta * (1 - theta) + rest * (q1 - theta**2) + rest * (q2 - theta**2)) / (normal * anomalous)
    inside = theta[(area - theta) ** 2 <= norm.ppf((1 + level) / 2) ** 2 * variance + 1e-12]
    found = score_interval(area, normal, anomalous, level=level)
    assert found == pytest.approx((inside.min(), inside.max()), abs=2e-5)


@pytest.mark.parametrize("area", [0.0, 0.5, 1.0])
def test_the_score_interval_of_one_pair_is_wilsons_interval_of_one_trial(area):
    z = norm.ppf(0.975)
    centre, half = (area + z**2 / 2) / (1 + z**2), z * np.sqrt(area * (1 - area) + z**2 / 4) / (1 + z**2)
    assert score_interval(area, 1, 1) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_four_and_four_clips_ranked_right_leave_room_for_an_auc_of_0_58():
    truth, scores = [0] * 4 + [1] * 4, np.arange(8.0)
    low, high = bootstrap_interval(truth, scores)
    assert (round(low, 2), high) == (0.58, 1.0)  # Newcombe's method 5
    assert bootstrap_interval(truth, -scores) == pytest.approx((0, 1 - low), abs=1e-12)  # all wrong: the mirror image
    wide, _ = bootstrap_interval(truth, scores, level=0.99)
    assert wide < low
    clips = pd.DataFrame({"machine": "fan/id_00", "label": ["normal"] * 4 + ["anomaly"] * 4, "score": scores})
    assert tuple(machine_table(clips).loc["fan/id_00", ["auc_low", "auc_high"]]) == (low, high)


def test_scores_that_are_all_the_same_say_nothing():
    low, high = bootstrap_interval([0] * 4 + [1] * 4, np.ones(8))
    assert (low, high) == score_interval(0.5, 4, 4)
    assert high - low > 0.5


@settings(max_examples=60, deadline=None)
@given(clips=labelled, seed=st.integers(0, 9))
def test_no_interval_promises_more_than_a_perfect_ranking_of_as_many_clips(clips, seed):
    truth, scores = zip(*clips, strict=True)
    low, high = bootstrap_interval(truth, scores, resamples=50, seed=seed)
    edge, _ = score_interval(1.0, len(truth) - sum(truth), sum(truth))
    assert low <= edge + 1e-9
    assert high >= 1 - edge - 1e-9
    assert high > low
    if auc(truth, scores) in (0, 1):
        assert low <= auc(truth, scores) <= high


@pytest.mark.parametrize("size", [4, 10, 20, 50])
def test_the_lower_end_never_falls_as_a_ranking_gets_better_at_the_edge(size):
    """A fault at the place of the k-th highest healthy clip, k from 3 to 0: nothing jumps the wrong way where k gets 0."""
    truth, ends = np.repeat([0, 1], size), []
    for place in (3, 2, 1, 0):
        scores = np.arange(2.0 * size)
        scores[size] = size - place - 0.5
        ends.append(bootstrap_interval(truth, scores)[0])
    assert ends == sorted(ends)
    assert ends[-1] == score_interval(1.0, size, size)[0]


@pytest.mark.parametrize("true_auc", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("normal", "anomalous"), [(4, 4), (10, 10)])
def test_intervals_of_few_clips_cover_a_high_auc(normal, anomalous, true_auc):
    rng, hits = np.random.default_rng(0), 0
    truth, shift = np.repeat([0, 1], [normal, anomalous]), np.sqrt(2) * norm.ppf(true_auc)
    for seed in range(40):
        scores = rng.normal(shift * truth)
        low, high = bootstrap_interval(truth, scores, resamples=100, seed=seed)
        hits += low <= true_auc <= high
    assert hits >= 38  # 99 % or more of 40 expected; the bootstrap alone would have 5 to 34


def test_what_no_formula_tells_at_the_edge_is_refused_in_words():
    truth, scores = [0] * 4 + [1] * 4, np.arange(8.0)
    with pytest.raises(AsdError, match="all resamples of 4 normal and 4 anomalous clips give 1, which does not tell how sure"):
        bootstrap_interval(truth, scores, metric=pauc)
    low, high = bootstrap_interval(truth, [1.0, 2, 3, 6, 4, 5, 7, 8], metric=pauc)
    assert 0 <= low < high <= 1


@pytest.mark.parametrize(("area", "normal", "anomalous", "level"), [(1.1, 4, 4, 0.95), (0.5, 0, 4, 0.95), (0.5, 4, 4, 1.0)])
def test_an_interval_of_nothing_is_refused(area, normal, anomalous, level):
    with pytest.raises(AsdError, match="no interval for an AUC"):
        score_interval(area, normal, anomalous, level=level)
