"""Distances of a few clips at a time, and scorers that are fitted once: what loops over all clips say, in little memory."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asdlib.judge import blocks
from asdlib.methods import clp_scf
from asdlib.normalise import knn_local, knn_local_difference
from asdlib.plain import PLAIN_SCORERS, plain_knn, plain_local, standardised, sub_bands
from asdlib.scorers import EMBEDDING_SCORERS, FITS, cross_scores, distances, fitted, gmm_score, knn_score, mahalanobis_score
from asdlib.stream import StreamScorer

MACHINE = "fan/id_02"


def cosine(x, y):
    return max(0, 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def euclidean(x, y):
    return np.linalg.norm(x - y)


def least(known, x, distance, count):
    """The mean distance of x to its nearest."""
    return np.mean(sorted(distance(x, y) for y in known)[:count])


def around(known, distance):
    """How far apart clips are at each of the known ones: its mean distance to the four nearest others."""
    return [least(np.delete(known, i, axis=0), y, distance, 4) if len(known) > 1 else 1 for i, y in enumerate(known)]


def local(known, asked, distance, join=np.divide):
    spread = around(known, distance)
    return [min(join(distance(x, y), s) for y, s in zip(known, spread, strict=True)) for x in asked]


LOOPS = {
    knn_score: lambda k, a: [least(k, x, cosine, 2) for x in a],
    knn_local: lambda k, a: local(k, a, cosine),
    knn_local_difference: lambda k, a: local(k, a, cosine, lambda far, spread: far - spread * (len(k) > 1)),
    plain_knn: lambda k, a: [least(standardised(k, k)[0], x, euclidean, 2) / np.sqrt(5) for x in standardised(k, a)[1]],
    plain_local: lambda k, a: np.divide(local(*standardised(k, a), euclidean), np.sqrt(5) if len(k) < 2 else 1),
    sub_bands: lambda k, a: np.mean([local(k[:, b], a[:, b], euclidean) for b in (slice(2), slice(2, 4), slice(4, 5))], axis=0),
}


@pytest.mark.parametrize("scorer", LOOPS, ids=lambda scorer: scorer.__name__)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(known=st.integers(1, 13), asked=st.integers(0, 13), numbers=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_scores_of_blocks_are_those_of_a_loop_whatever_a_block_holds(scorer, monkeypatch, known, asked, numbers, seed):
    rng = np.random.default_rng(seed)
    k, a = rng.normal(size=(known, 5)), rng.normal(size=(asked, 5))
    options = {"width": 2} if scorer is sub_bands else {}
    monkeypatch.setattr(blocks, "NUMBERS", numbers)
    np.testing.assert_allclose(scorer(k, a, **options), LOOPS[scorer](k, a), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scorer", [knn_score, knn_local, plain_knn, plain_local], ids=lambda scorer: scorer.__name__)
def test_cross_scores_of_thousands_of_clips_take_a_few_megabytes(scorer):
    """At once it were two matrices of 1,000 × 4,000 distances, and of 4,000 × 4,000 for what is local: 64 and 256 MB."""
    x = np.random.default_rng(0).normal(size=(5000, 4))
    tracemalloc.start()
    try:
        cross_scores(scorer, x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize("scorer", [*EMBEDDING_SCORERS.values(), *PLAIN_SCORERS.values()])
def test_every_scorer_has_a_form_that_is_fitted_once(scorer):
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(30, 4)), rng.normal(size=(6, 4))
    judge = FITS[scorer](known)
    np.testing.assert_array_equal(judge(asked), scorer(known, asked))
    np.testing.assert_allclose(np.concatenate([judge(x[None]) for x in asked]), scorer(known, asked), rtol=1e-9)


def test_distances_of_whole_numbers_are_no_whole_numbers():
    np.testing.assert_allclose(distances(np.array([[0, 0], [3, 4]]), np.array([[1, 1]])), [[np.sqrt(2), np.sqrt(13)]])


def test_a_scorer_without_such_a_form_is_asked_with_its_clips_each_time():
    judge = fitted(lambda known, asked: asked[:, 0] - known.mean(), np.array([[1.0], [3.0]]))
    np.testing.assert_array_equal(judge(np.array([[5.0]])), [3])
    np.testing.assert_array_equal(judge(np.array([[0.0], [1.0]])), [-2, -1])


@pytest.mark.parametrize("scorer", [gmm_score, mahalanobis_score, knn_local], ids=lambda scorer: scorer.__name__)
def test_the_windows_of_a_stream_are_scored_by_what_was_fitted_once(detector, monkeypatch, scorer):
    fits = []

    def counted(known, fit=FITS[scorer]):
        fits.append(len(known))
        return fit(known)

    judged, judge = [], clp_scf.judge
    monkeypatch.setattr(clp_scf, "judge", lambda *arguments: judged.append(arguments) or judge(*arguments))
    monkeypatch.setitem(FITS, scorer, counted)
    monkeypatch.setitem(EMBEDDING_SCORERS, "counted", scorer)
    sound = np.random.default_rng(0).normal(size=48000).astype(np.float32) / 10
    copy = pickle.loads(pickle.dumps(detector))  # with nothing fitted yet
    stream = StreamScorer(copy, MACHINE, every=0.5, scorer="counted")
    judged.clear()
    assert sum(len(stream.push(part)) for part in np.split(sound, 6)) == 5
    own = detector.bank[detector.bank_labels == detector.label(MACHINE)]
    assert fits == [len(own)]
    np.testing.assert_array_equal(copy.scores(own[:3], MACHINE, "counted"), scorer(own, own[:3]))
    assert copy.scorer(None) == "softmax"
    assert fits == [len(own)]
    assert judged == []
    pickle.loads(pickle.dumps(copy)).scores(own[:3], MACHINE, "counted")
    assert fits == [len(own)] * 2
