"""Local density normalisation against a double loop and on clusters of different spread; domains on one scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asdlib.errors import AsdError
from asdlib.metrics import auc
from asdlib.normalise import by_domain, knn_local, knn_local_difference, local_ratio
from asdlib.scorers import EMBEDDING_SCORERS, cross_scores, knn_score, mahalanobis_score


def cosine(x, y):
    return 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def looped(known, asked, k, join):
    """As the papers write it: for each clip, the least over the known ones, each with its own neighbours."""
    scores = []
    for x in asked:
        found = []
        for i, y in enumerate(known):
            others = sorted(cosine(y, other) for j, other in enumerate(known) if j != i)
            found.append(join(cosine(x, y), np.mean(others[:k])))
        scores.append(min(found))
    return scores


@settings(max_examples=50, deadline=None)
@given(count=st.integers(2, 12), k=st.integers(1, 15), seed=st.integers(0, 2**32 - 1))
def test_both_forms_are_the_double_loop(count, k, seed):
    rng = np.random.default_rng(seed)
    known, asked = rng.normal(size=(count, 5)), rng.normal(size=(7, 5))
    np.testing.assert_allclose(knn_local(known, asked, neighbours=k), looped(known, asked, k, np.divide), rtol=1e-9)
    difference = knn_local_difference(known, asked, neighbours=k)
    np.testing.assert_allclose(difference, looped(known, asked, k, np.subtract), rtol=1e-9, atol=1e-12)


def test_four_neighbours_are_the_usual_number():
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(12, 5)), rng.normal(size=(7, 5))
    np.testing.assert_array_equal(knn_local(known, asked), knn_local(known, asked, neighbours=4))
    np.testing.assert_array_equal(knn_local_difference(known, asked), knn_local_difference(known, asked, neighbours=4))


def around(degrees, spread, count, rng):
    """Directions (count, 2) scattered around one."""
    angles = np.deg2rad(degrees + spread * rng.normal(size=count))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_a_fault_near_a_tight_cluster_is_not_lost_beside_healthy_clips_of_a_wide_one():
    rng = np.random.default_rng(0)
    known = np.concatenate([around(0, 0.2, 50, rng), around(120, 6, 12, rng)])  # source; target, few and scattered
    healthy = np.concatenate([around(0, 0.2, 100, rng), around(120, 6, 100, rng)])
    faulty = around(4, 0.2, 100, rng)  # 20 standard deviations from the source
    truth, asked = np.repeat([0, 1], [200, 100]), np.concatenate([healthy, faulty])
    target = np.r_[100:300]

    def area(scorer, rows):
        return auc(truth[rows], scorer(known, asked)[rows])

    assert area(knn_score, target) < 0.9  # many a healthy clip of the target is farther from any known one
    assert area(knn_local, target) > 0.97
    assert area(knn_local, slice(None)) > area(knn_score, slice(None)) + 0.05
    # And healthy clips of both clusters are on one scale.
    normal = knn_local(known, healthy)
    assert 0.2 < np.median(normal[:100]) / np.median(normal[100:]) < 5
    plain = knn_score(known, healthy)
    assert np.median(plain[:100]) / np.median(plain[100:]) < 0.05


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 2**32 - 1))
def test_the_ratio_does_not_change_when_a_region_is_stretched(scale, seed):
    """Two regions so far apart that they are no neighbours: the one of them, and what is asked there, stretched."""
    rng = np.random.default_rng(seed)
    known, asked = rng.uniform(size=(10, 3)), rng.uniform(size=(6, 3))

    def ratios(factor):
        every = np.concatenate([known, factor * known + 1e7])
        there = factor * asked + 1e7
        far, between = (np.linalg.norm(x[:, None] - every, axis=2) for x in (there, every))
        return local_ratio(far, between)

    np.testing.assert_allclose(ratios(scale), ratios(1.0), rtol=1e-3)


def test_a_clip_of_the_training_scores_nothing_and_left_out_it_scores_as_a_new_one():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(20, 4))
    np.testing.assert_allclose(knn_local(known, known), 0, atol=1e-12)
    assert (knn_local_difference(known, known) < 0).all()
    left_out = cross_scores(knn_local, known, folds=20)
    assert left_out.min() > 0.01
    for i in (0, 7, 19):
        assert left_out[i] == pytest.approx(knn_local(np.delete(known, i, axis=0), known[i : i + 1])[0])


def test_what_else_is_asked_changes_no_score():
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(20, 4)), rng.normal(size=(9, 4))
    for scorer in (knn_local, knn_local_difference):
        np.testing.assert_allclose(scorer(known, asked)[:1], scorer(known, asked[:1]), rtol=1e-12)


@pytest.mark.parametrize("scorer", [knn_local, knn_local_difference])
@pytest.mark.parametrize("copies", [2, 5, 9])
def test_clips_that_are_there_several_times_leave_every_score_finite(scorer, copies):
    rng = np.random.default_rng(0)
    known = np.concatenate([np.repeat(rng.normal(size=(1, 4)), copies, axis=0), rng.normal(size=(6, 4))])
    for bank in (known, known[:copies]):  # some, and all
        scores = scorer(bank, np.concatenate([bank, rng.normal(size=(5, 4))]))
        assert np.isfinite(scores).all()
        if scorer is knn_local or len(bank) == copies:  # minus a spread, a clip of a wide region is below a copy
            assert scores[:copies].max() < scores[-5:].min()


def test_one_training_clip_has_no_others():
    known, asked = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0], [3.0, 0.0], [-1.0, 0.0]])
    for scorer in (knn_local, knn_local_difference):
        np.testing.assert_allclose(scorer(known, asked), [1, 0, 2], atol=1e-12)


def test_it_is_a_scorer_of_every_run(detector, monkeypatch):
    monkeypatch.setitem(EMBEDDING_SCORERS, "knn-local", knn_local)
    known = detector.bank[detector.bank_labels == detector.label("fan/id_00")]
    asked = detector.bank[:5]
    np.testing.assert_array_equal(detector.scores(asked, "fan/id_00", "knn-local"), knn_local(known, asked))


# ---------------------------------------------------------------------------------------------------------- by domain


@pytest.mark.parametrize("scorer", [knn_score, mahalanobis_score])
def test_domains_are_brought_to_one_scale_by_their_own_clips_left_out(scorer):
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(16, 3)), rng.normal(size=(8, 3))
    domains = np.array(["target", "source", "source", "source"] * 4)
    expected = []
    for domain in ("source", "target"):
        own = known[domains == domain]
        usual = [scorer(np.delete(own, i, axis=0), own[i : i + 1])[0] for i in range(len(own))]
        expected.append((scorer(own, asked) - np.mean(usual)) / np.std(usual))
    np.testing.assert_allclose(by_domain(scorer, known, domains, asked), np.min(expected, axis=0), rtol=1e-9)


def test_a_domain_without_spread_leaves_scores_finite():
    known = np.repeat([[1.0, 0.0]], 3, axis=0)
    scores = by_domain(knn_score, known, np.repeat("source", 3), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert np.isfinite(scores).all()
    assert scores[0] < scores[1]


def test_domains_that_cannot_be_judged_are_refused():
    known, asked = np.eye(3), np.eye(3)
    with pytest.raises(AsdError, match="a single training clip of the domain target: give two or more"):
        by_domain(knn_score, known, np.array(["source", "source", "target"]), asked)
    with pytest.raises(AsdError, match=r"3 clips and domains of shape \(2,\): name one for each clip"):
        by_domain(knn_score, known, np.array(["source", "source"]), asked)


@pytest.mark.parametrize("score", [knn_local, knn_local_difference])
def test_no_neighbour_tells_nothing(score):
    with pytest.raises(AsdError, match="0 neighbours tell nothing"):
        score(np.eye(3), np.eye(3), neighbours=0)
