"""A memory bank with fewer clips: against a greedy loop, the best of all choices, and scikit-learn; the run beside the old."""

import json
import shutil
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from asdlib.detector import Detector
from asdlib.errors import AsdError
from asdlib.scorers import knn_score
from asdlib.thin import METHODS, thin, thinned

ROWS = np.random.default_rng(0).normal(size=(60, 3))


def radius(between, places):
    """How far a clip is, at most, from the nearest that is kept."""
    return between[:, list(places)].min(axis=1).max()


@settings(max_examples=40, deadline=None)
@given(count=st.integers(3, 9), keep=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_k_centre_is_the_greedy_loop_and_at_most_twice_as_wide_as_the_best(count, keep, seed):
    rows = np.random.default_rng(seed).normal(size=(count, 2))
    keep, between = min(keep, count), cdist(rows, rows)
    chosen = [int(np.linalg.norm(rows - rows.mean(axis=0), axis=1).argmin())]
    while len(chosen) < keep:
        left = [i for i in range(count) if i not in chosen]
        chosen.append(max(left, key=lambda i: min(between[i, j] for j in chosen)))
    places = thinned(rows, keep)
    assert places.tolist() == (sorted(chosen) if keep < count else list(range(count)))
    best = min(radius(between, some) for some in combinations(range(count), keep))
    assert radius(between, places) <= 2 * best + 1e-9


def test_k_means_keeps_the_clip_of_each_cluster_that_is_nearest_to_its_mean():
    found = KMeans(7, n_init=1, random_state=3).fit(ROWS)
    expected = []
    for cluster, centre in enumerate(found.cluster_centers_):
        own = np.flatnonzero(found.labels_ == cluster)
        expected.append(own[np.linalg.norm(ROWS[own] - centre, axis=1).argmin()])
    assert thinned(ROWS, 7, "k-means", seed=3).tolist() == sorted(expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_clips_that_are_alike_and_too_few_are_no_trouble(method):
    assert thinned(ROWS, 60, method).tolist() == thinned(ROWS, 99, method).tolist() == list(range(60))
    places = thinned(np.repeat(ROWS[:3], 5, axis=0), 6, method)
    assert {place // 5 for place in places.tolist()} == {0, 1, 2}
    assert len(set(places.tolist())) == (6 if method == "k-centre" else 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((ROWS, 0), "a bank of 0 clips knows nothing: keep 1 or more"),
        ((ROWS, 5, "best"), "no method 'best': choose one of k-centre, k-means"),
        ((ROWS * np.nan, 5), "not finite"),
    ],
)
def test_what_cannot_be_thinned_is_refused(arguments, words):
    with pytest.raises(AsdError, match=words):
        thinned(*arguments)


def test_a_thinner_run_stands_beside_the_old_one(asd, small_run, detector, tmp_path):
    run, out = shutil.copytree(small_run, tmp_path / "run"), tmp_path / "runs" / "thin"
    (run / "thresholds.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    code, told, error = asd("thin", "--run", run, "--out", out, "--keep", 4)
    assert code == 0, error
    assert "fan/id_00" in told
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert {path.name for path in out.iterdir()} == set(before) - {"thresholds.json"}
    assert [path.name for path in out.parent.iterdir()] == ["thin"]
    thinner, machine = Detector.load(out), detector.config.machines[3]
    assert np.bincount(thinner.bank_labels).tolist() == [4] * len(detector.config.machines)
    own, kept = (x.bank[x.bank_labels == 3] for x in (detector, thinner))
    np.testing.assert_array_equal(kept, own[thinned(own / np.linalg.norm(own, axis=1, keepdims=True), 4)])
    np.testing.assert_array_equal(thinner.scores(own, machine, "knn"), knn_score(kept, own))
    assert (thinner.percentiles[machine]["softmax"][0]) >= detector.percentiles[machine]["softmax"][0]
    with safe_open(out / "embeddings.safetensors", "pt") as file:
        assert file.metadata()["thinned"] == "k-centre, at most 4 of a machine, 32 of 48 clips"
    assert (out / "README.md").read_bytes().startswith(before["README.md"])
    for options, words in (({"keep": 4}, "is there already"), ({"keep": 1}, "keep 2 or more")):
        with pytest.raises(AsdError, match=words):
            thin(small_run, out, **options)
    with pytest.raises(AsdError, match="cannot write"):
        thin(small_run, small_run / "config.json" / "x", keep=4)


def test_rows_of_nearest_are_as_near_as_it_takes_them(asd, small_park, tmp_path):
    run, out, keep = tmp_path / "run", tmp_path / "thin", 4
    assert asd("train", small_park, "--run", run, "--method", "nearest", "--device", "cpu")[0] == 0
    thin(run, out, keep=keep)
    old, new = Detector.load(run), Detector.load(out)
    for label in range(len(old.config.machines)):
        own = old.bank[old.bank_labels == label].astype(float)
        spread = own.std(axis=0)
        rows = (own - own.mean(axis=0)) / np.maximum(spread, 0.1 * np.median(spread[spread > 0]))
        np.testing.assert_array_equal(new.bank[new.bank_labels == label], own[thinned(rows, keep)].astype(np.float32))


def test_what_thinning_costs_was_measured_on_every_machine():
    found = json.loads((Path(__file__).parents[1] / "data" / "results" / "thinning.json").read_text())["records"]
    ways = [
        ("all", 1.0, 0),
        *product(METHODS, (0.5, 0.25, 0.1, 0.05, 0.02), (0,)),
        *product(["lot"], (0.5, 0.25, 0.1, 0.05, 0.02), range(3)),
    ]
    aucs = {}
    for row in found:
        aucs.setdefault((row["scorer"], row["method"], row["share"], row["seed"]), []).append(row["auc"])
    assert set(aucs) == {(scorer, *way) for scorer in ("2-NN", "2-NN by cosine") for way in ways}
    assert {len(by_machine) for by_machine in aucs.values()} == {20}
    for scorer, method in product(("2-NN", "2-NN by cosine"), METHODS):
        lot = np.mean([aucs[scorer, "lot", 0.1, seed] for seed in range(3)])
        assert np.mean(aucs[scorer, method, 0.1, 0]) > lot + 0.02  # a tenth that is chosen is worth more than any tenth
