"""The benchmarks' own parts: the rehearsal sees no test clip, scores that are added are comparable, and the results that
were measured are complete."""

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from asdlib import machines, methods
from asdlib.cache import features_now
from asdlib.classifier import MachineClassifier
from asdlib.clips import Clips
from asdlib.data import read, scan
from asdlib.domain_shift import FACTORS, SECTIONS, ShiftPreset
from asdlib.errors import AsdError
from asdlib.evaluation import SCORERS
from asdlib.features import FeatureConfig, log_mel
from asdlib.manipulations import MANIPULATIONS
from asdlib.plain import plain_knn, standard
from asdlib.playground import CHOICES, SETTINGS
from asdlib.spectra import Spectra, SpectrumConfig, SpectrumEncoder
from asdlib.thin import thinned
from asdlib.training import StageConfig

TOP = Path(__file__).parents[1]
sys.path.append(str(TOP / "benchmarks"))

import ablations  # noqa: E402
import gpu  # noqa: E402
import playground  # noqa: E402
import real_claim  # noqa: E402
import real_levers  # noqa: E402
import real_methods  # noqa: E402
import real_reach  # noqa: E402
import real_recipe  # noqa: E402
import real_scores  # noqa: E402
import results  # noqa: E402
import serial_oe  # noqa: E402
import small  # noqa: E402
import stress  # noqa: E402
import yardsticks  # noqa: E402

MACHINES = [f"{kind}/id_0{i}" for kind in ("fan", "pump") for i in range(3)]


@pytest.fixture
def spectra():
    rng = np.random.default_rng(0)
    train_machine, test_machine = np.repeat(MACHINES, 20), np.repeat(MACHINES, 6)
    base = {name: rng.normal(-6, 1, (1, 12, 8)) for name in MACHINES}

    def clips(names):
        return np.stack([base[name] + 0.2 * rng.normal(size=(1, 12, 8)) for name in names]).astype(np.float32)

    train, test = (Clips((clips(machines),), machines) for machines in (train_machine, test_machine))
    return Spectra(train, test, np.tile([False, True], 18))


def test_parts_of_a_spectrum_are_its_parts(spectra):
    x = spectra.train.inputs[0]
    part = {name: change(x) for name, change in real_reach.PARTS.items()}
    for one, other in (
        ("low bands", "high bands"),
        ("slow modulations", "fast modulations"),
        ("envelope", "without envelope"),
    ):
        np.testing.assert_allclose(part[one] + part[other], x, atol=1e-6)
    assert (part["low bands"][:, :, 6:] == 0).all()
    assert (part["slow modulations"][..., 4:] == 0).all()
    np.testing.assert_allclose(part["without level"].mean(axis=(1, 2, 3)), 0, atol=1e-6)
    louder = {name: change(x + 1) for name, change in real_reach.PARTS.items()}
    for name in ("without envelope", "without level", "steps between bands"):
        np.testing.assert_allclose(louder[name], part[name], atol=1e-5)


def test_strangers_are_half_of_another_machine(spectra):
    own, foreign = spectra.train.inputs[0][:9], spectra.train.inputs[0][-9:]
    envelope, without = (real_reach.PARTS[name] for name in ("envelope", "without envelope"))
    of_kind = {kind: stranger(own, foreign) for kind, stranger in real_reach.STRANGERS.items()}
    np.testing.assert_allclose(10 ** of_kind["sound"], (10**own + 10**foreign) / 2, rtol=1e-5)
    for kind, changed, kept in (("envelope", envelope, without), ("modulations", without, envelope)):
        np.testing.assert_allclose(changed(of_kind[kind]), (changed(own) + changed(foreign)) / 2, atol=1e-5)
        np.testing.assert_allclose(kept(of_kind[kind]), kept(own), atol=1e-5)
    sets = [real_levers.rehearsal(spectra, 1, stranger) for stranger in real_reach.STRANGERS.values()]
    for other in sets[1:]:
        assert np.array_equal(other.train.inputs[0], sets[0].train.inputs[0])
        normal = ~other.test_is_anomaly
        assert np.array_equal(other.test.inputs[0][normal], sets[0].test.inputs[0][normal])
        assert not np.array_equal(other.test.inputs[0], sets[0].test.inputs[0])


def test_each_next_is_the_one_that_helps_most():
    worth = {"a": 3.0, "b": 2.0, "c": 2.5}

    def auc_of(names):
        return sum(worth[name] for name in names) - 2 * ({"a", "c"} <= set(names))  # these two hear the same

    assert real_reach.order(list(worth), auc_of) == ["a", "b", "c"]


def test_sums_are_chosen_and_measured_as_it_is_written(spectra, tmp_path, monkeypatch):
    """In miniature: a method and two parts, an epoch each."""
    path, (train, test) = tmp_path / "spectra.npz", (spectra.train, spectra.test)
    inputs = {"train": train.inputs[0][:, 0], "test": test.inputs[0][:, 0]}
    about = {"train_machine": train.machines, "test_machine": test.machines, "test_is_anomaly": spectra.test_is_anomaly}
    np.savez(path, **inputs, **about)
    names = ["slow modulations", "without level"]
    monkeypatch.setattr(real_reach, "EPOCHS", 1)
    monkeypatch.setattr(real_reach, "METHODS", ("clp_scf/single_stage",))
    monkeypatch.setattr(real_reach, "PARTS", {name: real_reach.PARTS[name] for name in names})
    monkeypatch.setattr(real_reach, "side_by_side", lambda function, tasks, processes: [function(*task) for task in tasks])
    written = []
    monkeypatch.setattr(real_reach, "write", lambda *found: written.append(found))
    monkeypatch.setattr(sys, "argv", ["real_reach.py", str(tmp_path / "work"), "--spectra", str(path), "--seeds", "0", "1"])
    real_reach.main()
    ((name, _, records),) = written
    assert name == "dcase2020_modspec_reach"
    for chooser in ("rehearsal", "test clips"):
        own = [record for record in records if record["chosen on"] == chooser]
        assert [(r["count"], r["seed"]) for r in own] == [(n, seed) for n in (1, 2, 3) for seed in (0, 1, "all")]
        assert {r["added"] for r in own} == {"clp_scf/single_stage", *names}
        assert all(0 <= r[key] <= 1 for r in own for key in ("rehearsal", "auc", "pauc", "mauc"))
    before = [(p.name, p.stat().st_mtime_ns) for p in sorted(tmp_path.rglob("*-0.npz"))]
    assert len(before) == 3 * 3  # of each candidate two folds and the test clips
    real_reach.main()
    assert written[1] == written[0]
    assert [(p.name, p.stat().st_mtime_ns) for p in sorted(tmp_path.rglob("*-0.npz"))] == before


def test_the_rehearsal_is_made_of_normal_training_clips_alone(spectra):
    nothing = Clips((np.full_like(spectra.test.inputs[0], np.nan),), spectra.test.machines)
    blind = Spectra(spectra.train, nothing, None)
    for fold in real_levers.FOLDS:
        got = real_levers.rehearsal(blind, fold)
        strangers = {f"fan/id_0{fold}", f"pump/id_0{fold}"}
        assert set(got.train.machines) == set(got.test.machines) == set(MACHINES) - strangers
        known = {x.tobytes(): name for x, name in zip(spectra.train.inputs[0], spectra.train.machines, strict=True)}
        trained = {x.tobytes() for x in got.train.inputs[0]}
        normal = got.test.inputs[0][~got.test_is_anomaly]
        assert len(trained) == len(got.train) == 4 * 18
        assert len(normal) == 4 * 2
        assert [known[x.tobytes()] for x in normal] == got.test.machines[~got.test_is_anomaly].tolist()
        assert not {x.tobytes() for x in normal} & trained
        foreign = {
            x.tobytes() for x, name in zip(spectra.train.inputs[0], spectra.train.machines, strict=True) if name in strangers
        }
        for x, name in zip(got.test.inputs[0][got.test_is_anomaly], got.test.machines[got.test_is_anomaly], strict=True):
            own = [y for y, of in zip(normal, got.test.machines[~got.test_is_anomaly], strict=True) if of == name]
            others = [np.frombuffer(other, np.float32).reshape(1, 12, 8) for other in foreign]
            mixtures = [np.log10((10.0**a + 10.0**b) / 2) for a in own for b in others]
            assert any(np.allclose(x, mixture, atol=1e-4) for mixture in mixtures)


def test_distances_are_those_of_scikit_learn_and_of_a_plain_loop():
    rng = np.random.default_rng(1)
    known, asked = rng.normal(size=(30, 5)), rng.normal(size=(7, 5))
    got = real_scores.distances(known, asked)
    neighbours = NearestNeighbors(metric="cosine").fit(known)
    among = neighbours.kneighbors(n_neighbors=2, return_distance=True)[0].mean(axis=1)
    np.testing.assert_allclose(got["2-NN"][0], among)
    np.testing.assert_allclose(got["2-NN"][1], neighbours.kneighbors(asked, 2)[0].mean(axis=1))

    def cosine(a, b):
        return 1 - a @ b / np.sqrt((a @ a) * (b @ b))

    known = list(known)  # so that a clip can be told from the others
    around = [np.mean(sorted(cosine(a, b) for b in known if b is not a)[: real_scores.AROUND]) for a in known]
    for values, clips in zip(got["local 2-NN"], (known, asked), strict=True):
        for value, clip in zip(values, clips, strict=True):
            ratios = sorted(cosine(clip, a) / r for a, r in zip(known, around, strict=True) if a is not clip)
            assert value == pytest.approx(np.mean(ratios[:2]))


def test_a_local_distance_knows_that_far_means_farther_where_clips_lie_apart():
    rng = np.random.default_rng(2)
    angles = np.concatenate([rng.normal(0, 0.01, 60), rng.normal(1.5, 0.2, 60)])
    asked = np.array([0.08, 1.5 + 0.5])  # eight spreads from the dense clips; two and a half from the loose ones
    on_circle = [np.stack([np.cos(a), np.sin(a)], axis=1) for a in (angles, asked)]
    scores = real_scores.distances(*on_circle)
    assert np.diff(scores["2-NN"][1]) > 0
    assert np.diff(scores["local 2-NN"][1]) < 0


def test_scores_to_be_added_are_complete_and_lower_for_clips_that_are_known(spectra):
    torch.manual_seed(0)
    model = MachineClassifier(SpectrumEncoder(SpectrumConfig(12, 8, width=4)), len(MACHINES))
    twice = Spectra(spectra.train, spectra.train, None)
    scores = real_scores.all_scores(model, twice)
    for depth in real_scores.DEPTHS:
        for distance in ("2-NN", "local 2-NN"):
            for name in MACHINES:  # a clip that is known is nearer than one that is not, never farther
                own = scores[f"{distance}, {depth}"][spectra.train.machines == name]
                assert own.mean() < 0
            rank = scores[f"rank of {distance}, {depth}"]
            assert (rank >= 0).all()
            assert (rank <= np.log(21) + 1e-9).all()
    combined = real_scores.combined(scores)
    assert not [name for name in combined if name.startswith("rank")]
    both = real_scores.summed([scores, scores])
    assert set(real_scores.COMBINATIONS) <= set(both)
    for name, values in both.items():
        np.testing.assert_allclose(values, 2 * combined[name])


def test_every_method_gives_finite_scores_for_every_test_clip(spectra, monkeypatch):
    monkeypatch.setattr(real_methods, "AUTOENCODER_EPOCHS", 2)
    for name, method in real_methods.METHODS.items():
        options = {key: min(value, 1) for key, value in getattr(method, "keywords", {}).items() if key in ("first", "second")}
        scores = method(spectra, 0, **options)
        assert scores, name
        for scorer, values in scores.items():
            assert values.shape == (36,), (name, scorer)
            assert np.isfinite(values).all(), (name, scorer)


def test_a_result_is_measured_once_and_appears_only_when_it_is_complete(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("cut off")
        return [{"auc": 0.5}]

    path = tmp_path / "sub" / "one.json"
    with pytest.raises(RuntimeError):
        results.once(path, measure)
    assert not path.exists()
    assert results.once(path, measure) == results.once(path, measure) == [{"auc": 0.5}]
    assert len(calls) == 2


def of_result(name):
    content = json.loads((TOP / "data" / "results" / f"{name}.json").read_text())
    return content["header"], content["records"]


def test_the_comparison_on_real_machines_is_complete():
    header, records = of_result("dcase2020_modspec")
    assert len(header["sha256"]) == 64
    assert header["versions"]["torch"]
    assert all(set(record) == {"method", "scorer", "seed", "machine", "auc", "pauc"} for record in records)
    assert all(0 <= record["auc"] <= 1 and 0 <= record["pauc"] <= 1 for record in records)
    runs = {}
    for record in records:
        runs.setdefault((record["method"], record["scorer"]), {}).setdefault(record["seed"], set()).add(record["machine"])
    assert {method for method, _ in runs} == set(real_methods.METHODS)
    assert {scorer for method, scorer in runs if method == "two stages"} >= set(SCORERS)
    for (method, _), by_seed in runs.items():
        assert set(by_seed) == ({None} if method == "raw spectra" else set(range(5)))
        assert all(len(machines) == 20 for machines in by_seed.values())


def keys_of(records, *names):
    """By the values of ``names``: the machines that have a record, which must have exactly one."""
    out = {}
    for record in records:
        machines = out.setdefault(tuple(record[name] for name in names), [])
        assert record["machine"] not in machines
        machines.append(record["machine"])
        assert 0 <= record["auc"] <= 1
        assert 0 <= record["pauc"] <= 1
    return out


def test_the_reach_is_complete():
    header, records = of_result("dcase2020_modspec_reach")
    candidates = {*real_reach.METHODS, *real_reach.PARTS}
    for chooser in ("rehearsal", "test clips"):
        rows = pd.DataFrame([record for record in records if record["chosen on"] == chooser])
        assert set(rows.added) == candidates
        for count, own in rows.groupby("count"):
            assert own.seed.tolist() == [0, 1, 2, "all"], count
            assert own.added.nunique() == own.rehearsal.nunique() == 1
        by_count = rows[rows.seed != "all"].groupby("count")
        # One more is what helps most, so no single candidate is better than the first.
        first = by_count["rehearsal" if chooser == "rehearsal" else "auc"].mean()
        assert len(first) == len(candidates)
        assert first[2] > first[1]
    assert "normal training clips only" in header["selection"]


def test_the_levers_and_the_recipe_are_complete():
    header, records = of_result("dcase2020_modspec_levers")
    runs = keys_of(records, "lever", "on", "seed", "scorer")
    for lever in [*real_levers.LEVERS, *real_levers.AGAIN, *real_levers.SUMS]:
        for on, seed in (("rehearsal 0", 0), ("rehearsal 1", 1), ("test", 0)):
            assert {(lever, on, seed, scorer) for scorer in real_scores.COMBINATIONS} <= set(runs)
    header, records = of_result("dcase2020_modspec_recipe")
    runs = keys_of(records, "method", "networks", "seed", "scorer")
    assert all(len(machines) == 20 for machines in runs.values())
    for seed in range(5):
        assert (real_recipe.SEEN, 0, seed, "forest") in runs
        for method in real_recipe.RECIPES:
            assert all((method, n, seed, real_recipe.SCORER) in runs for n in range(1, real_recipe.NETWORKS + 1))
    assert max(header["seconds"]) < 2 * 15 * 60  # one core; the target is 15 minutes of two


def test_the_speeds_are_complete():
    content = json.loads((TOP / "data" / "results" / "speed.json").read_text())
    assert set(content["ratios"]) == {
        *("train_step", "train_step_bf16", "scoring", "cached_loader"),
        *("contrastive_loss_n256", "arcface_n1024", "cold_score_seconds"),
    }
    for name, (least, largest) in content["spreads"].items():
        assert 0 < least <= content["ratios"][name] <= largest
    for threads in ("threads 1", "threads 2"):
        for part in ("train, book", "train, paper", "score, book", "score, paper"):
            measured = content["measured"][threads][part]
            assert measured["asdlib"]["difference"] < 1e-4  # the same outputs, or the speeds could not be compared
            assert len(measured["asdlib"]["ratios"]) >= 3
            if part.startswith("score"):  # against the best of the other side
                by_batch = measured["plain"]["clips/s by batch"]
                assert len(by_batch) == 6
                assert max(by_batch, key=by_batch.get) == str(measured["plain"]["batch"])


def test_the_studies_of_the_claim_are_complete():
    header, records = of_result("dcase2020_modspec_claim")
    runs = keys_of(records, "study", "setting", "method", "seed", "scorer")
    assert all(len(machines) == 20 for machines in runs.values())
    assert header["sha256"] == of_result("dcase2020_modspec")[0]["sha256"]
    for studies, seeds in ((real_claim.STUDIES, range(3)), (real_claim.FRESH, real_claim.FRESH_SEEDS)):
        for study, setting, method in studies:
            for seed in seeds:
                assert {(study, setting, method, seed, scorer) for scorer in SCORERS} <= set(runs)


@pytest.mark.parametrize("path", sorted((TOP / "data" / "results").glob("peers_*.json")), ids=lambda path: path.stem)
def test_the_peers_are_measured_with_what_they_cost_and_ours_with_three_seeds(path):
    found = json.loads(path.read_text())
    records = found["records"]
    by_method = {}
    for record in records:
        by_method.setdefault(record["method"], set()).add(record["seed"])
        assert 0 <= record["auc"] <= 1
        assert record["cpu_seconds"] > 0
        assert record["peak_mb"] > 50
    fixed = {"2-NN", "PyOD KNN", "PyOD OCSVM", "PyOD LOF", "nearest"}
    assert by_method == {
        **{name: {0} for name in fixed},
        **{name: {0, 1, 2} for name in ("clp_scf", "sub_cluster", "ensemble")},
    }
    machines = {record["machine"] for record in records}
    runs = {(r["method"], r["scorer"], r["seed"]) for r in records}
    assert len(records) == len(machines) * len(runs)
    assert len(machines) == {"peers_park_book": 23, "peers_mimii_minus6db": 16}[path.stem]


def test_what_mended_it_is_measured_one_cause_at_a_time_with_three_seeds():
    causes = import_module("causes")
    records = json.loads((TOP / "data" / "results" / "causes_mimii_minus6db.json").read_text())["records"]
    assert {(r["variant"], r["seed"]) for r in records} == {(v, s) for v in causes.VARIANTS for s in (0, 1, 2)}
    assert len({r["machine"] for r in records}) == 16
    for record in records:
        assert 0 <= record["auc"] <= 1
        rehearsed = record["scorer"] != "softmax" and record["variant"] != causes.BEFORE
        assert (record["rehearsal"] is not None) == rehearsed


@pytest.mark.parametrize(("name", "machines", "seeds"), [("park_book", 23, 5), ("park_long", 23, 3), ("mimii_minus6db", 16, 5)])
def test_stage_1_is_measured_at_equal_epochs(name, machines, seeds):
    records = json.loads((TOP / "data" / "results" / f"stage_1_{name}.json").read_text())["records"]
    runs = {(r["method"], r["scorer"], r["seed"]) for r in records}
    scorers = {"softmax", "softmax-plain", "knn", "mahalanobis", "gmm"}
    assert runs == {(m, c, s) for m in ("single stage", "two stages") for c in scorers for s in range(seeds)}
    assert len(records) == machines * len(runs)


def test_the_domain_shift_is_measured_with_three_seeds_and_each_factor_alone():
    found = json.loads((TOP / "data" / "results" / "shift.json").read_text())["records"]
    runs = {(r["park"], r["method"], r["scorer"], r["seed"]) for r in found}
    parks = {"shift", *(f"shift-{name}" for name in FACTORS)}
    networks = {"softmax", "softmax-plain", "knn", "mahalanobis", "gmm", "local"}
    expected = {(park, "2-NN", scorer, s) for park in parks for scorer in ("plain", "local") for s in range(3)}
    assert runs == expected | {("shift", "two stages", scorer, s) for scorer in networks for s in range(3)}
    assert {r["machine"] for r in found} == set(SECTIONS)
    assert len(found) == len(SECTIONS) * len(runs)
    assert all(0 <= r[part] <= 1 for r in found for part in ("auc_source", "auc_target", "pauc"))


def test_the_shift_is_measured_as_it_is_written(tmp_path, monkeypatch):
    """In miniature, by 2-NN: the near microphone, and each clip by those of its own machine."""
    shift = import_module("shift")
    monkeypatch.setitem(machines.PARKS, "shift", ShiftPreset(seconds=0.5, train=(6, 2), test=4))
    records = shift.plain(tmp_path, "shift", 0)
    _, test = shift.park(tmp_path, "shift", 0)
    rows = {(r["scorer"], r["machine"]): r for r in records}
    numbers = {}
    for part in ("train", "test"):
        for clip in (c for c in scan(tmp_path / "shift-0") if c.split == part and c.machine == "fan/section_00"):
            x = log_mel(read(clip.path, channel=0), FeatureConfig(seconds=0.5)).numpy().astype(np.float16).astype(np.float64)
            numbers.setdefault(part, []).append(np.concatenate([x.mean(axis=1), x.std(axis=1)]))
    known, asked = np.array(numbers["train"]), np.array(numbers["test"])
    distance = NearestNeighbors(n_neighbors=2).fit((known - known.mean(0)) / known.std(0))
    score = distance.kneighbors((asked - known.mean(0)) / known.std(0))[0].mean(axis=1)
    own = [clip for clip in test if clip.machine == "fan/section_00"]
    faulty = np.array([clip.label == "anomaly" for clip in own])
    for domain in ("source", "target"):
        healthy = np.array([clip.domain == domain for clip in own]) & ~faulty
        area = np.mean(score[faulty][:, None] > score[healthy])
        assert rows["plain", "fan/section_00"][f"auc_{domain}"] == pytest.approx(area, abs=0.1)


def test_variants_of_the_ensemble_and_both_methods_run_as_they_are_written(small_park, monkeypatch):
    """In miniature: on a park of 48 clips, with a step or two."""
    causes, stage_1 = import_module("causes"), import_module("stage_1")
    short = StageConfig(1, 16, 1e-3)
    monkeypatch.setattr(causes, "budget_for", lambda known, epochs: short)
    monkeypatch.setattr(stage_1, "budget_for", lambda known, epochs: replace(short, epochs=2))
    monkeypatch.setattr(causes, "seconds_of", lambda clips: causes.WINDOW)
    for variant in ("one centre a machine", "the book's encoder, of log-mels"):
        records = causes.measure(variant, small_park, 0, 1)
        assert {r["variant"] for r in records} == {variant}
        assert len({r["machine"] for r in records}) == 8
        assert {"softmax", "fused", "plain", "all", "network"} <= {r["scorer"] for r in records}
    for method in stage_1.METHODS:
        assert {r["scorer"] for r in stage_1.measure(method, small_park, 0, 1)} == {
            "softmax", "softmax-plain", "knn", "mahalanobis", "gmm",
        }  # fmt: skip


def test_a_peer_in_an_environment_of_its_own_scores_the_clips_that_it_is_given(small_park, tmp_path, monkeypatch):
    """PyOD's place is taken by a program of the same words that answers with the number of the clip's name."""
    peers = import_module("peers")
    stub = (
        "import json, sys; from pathlib import Path\n"
        "machines = json.load(sys.stdin)\n"
        "number = lambda p: float(Path(p).stem[-8:]) + 100 * ('anomaly' in p)\n"
        "json.dump({m: [number(p) for p in test] for m, (train, test) in machines.items()}, open(sys.argv[2], 'w'))"
    )
    monkeypatch.setattr(peers, "CALL", stub)
    monkeypatch.setattr(peers, "environment", lambda work: sys.executable)
    records = peers.measure("PyOD KNN", small_park, 0, tmp_path)
    assert {r["auc"] for r in records} == {1.0}
    assert {(r["method"], r["scorer"], r["seed"]) for r in records} == {("PyOD KNN", "default", 0)}
    assert len(records) == 8
    assert records[0]["cpu_seconds"] > 0
    assert peers.summary("PyOD KNN", records, 0).startswith("PyOD KNN, seed 0: default 100.0/100.0/100.0")


def test_what_is_plain_beside_the_peers_is_2_nn_of_scikit_learn(small_park, tmp_path):
    peers = import_module("peers")
    clips = scan(small_park)
    training, test = ([c for c in clips if c.split == split and c.machine == "fan/id_02"] for split in ("train", "test"))
    found = peers.our_scores("2-NN", training, test, 0)["mean and deviation"]
    features = FeatureConfig(seconds=peers.seconds_of(training))
    pictures = [features_now(part, features).log_mels.astype(np.float32) for part in (training, test)]
    known, asked = (np.concatenate([x.mean(axis=2), x.std(axis=2)], axis=1).astype(float) for x in pictures)
    mean, spread = known.mean(axis=0), known.std(axis=0)
    spread = np.maximum(spread, 0.1 * np.median(spread))
    nearest = NearestNeighbors(n_neighbors=2).fit((known - mean) / spread)
    expected = nearest.kneighbors((asked - mean) / spread)[0].mean(axis=1) / np.sqrt(256)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_dry_run_had_the_size_of_the_real_set():
    steps = json.loads((TOP / "data" / "results" / "full_scale.json").read_text())["steps"]
    assert steps["simulate"]["clips"] == 20_119 + 15_942 + 10_868
    assert [row.split(",")[0] for row in steps["train"]["log"][1:]] == ["pretrain", "finetune"]
    assert steps["evaluate"]["CSV files"] == 23


def test_the_ablations_on_the_park_are_complete():
    _, records = of_result("park_ablations")
    runs = keys_of(records, "study", "setting", "scorer", "seed")
    expected = {
        (study, setting, scorer, seed)
        for study, settings in ablations.STUDIES.items()
        for setting in settings
        for scorer in SCORERS
        for seed in range(3)
    }
    assert set(runs) == expected
    assert all(len(machines) == 23 for machines in runs.values())


PARTS = {"real_methods", "real_scores", "results", "speed_parts"}  # of other benchmarks; nobody calls them


@pytest.mark.parametrize("name", sorted({path.stem for path in (TOP / "benchmarks").glob("*.py")}))
def test_every_benchmark_can_be_imported_and_says_what_it_is_for(name, monkeypatch, capsys):
    script = import_module(name)
    if name not in PARTS:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
        with pytest.raises(SystemExit, match="0"):
            script.main()
        assert capsys.readouterr().out.startswith(f"usage: {name}.py")


# ---------------------------------------------------------------------------------------------- finding very many recordings


def test_finding_is_measured_beside_the_plain_ways():
    found = json.loads((TOP / "data" / "results" / "scan.json").read_text())
    of = {record["way"]: record for record in found["records"]}
    assert list(of) == list(import_module("scan").WAYS)
    assert {record["files"] for way, record in of.items() if way != "nothing"} == {50_000}
    assert all(len(record["rounds"]) == 3 for record in of.values())
    assert all(record["peak_mb"] >= of["nothing"]["peak_mb"] for record in of.values())


def test_every_way_of_finding_sees_all_the_recordings(tmp_path, monkeypatch):
    """In miniature: 80 of them, each way in a process of its own."""
    benchmark = import_module("scan")
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    monkeypatch.setattr(
        sys, "argv", ["scan.py", str(tmp_path), "--files", "80", "--rounds", "1", "--out", str(tmp_path / "out")]
    )
    benchmark.main()
    content = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert {r["way"]: r["files"] for r in content["records"]} == {way: 80 * (way != "nothing") for way in benchmark.WAYS}
    clips = scan(tmp_path / "80-recordings")
    assert len({clip.machine for clip in clips}) == 20
    assert {clip.path.suffix for clip in clips} == {".wav", ".flac"}
    assert [sum(clip.split == split for clip in clips) for split in ("train", "test")] == [64, 16]


def test_what_the_playground_finds_is_complete_and_measured_with_the_settings_of_the_pages():
    header, records = of_result("playground")
    assert header["settings"] == SETTINGS
    runs = [(r["changed"], r["method"], r[r["changed"]], r["seed"]) for r in records]
    assert len(set(runs)) == len(runs)
    seeds = {record["seed"] for record in records}
    assert len(seeds) >= 5
    wanted = {(what, m, v, seed) for what, ms in playground.GRID for m in ms for v in CHOICES[what].values for seed in seeds}
    assert set(runs) == wanted
    for record in records:
        assert 0.4 < record["distance"] < 1
        assert (record["surprise"] is None) == (record["method"] == "stage 1 alone")
        unchanged = {"temperature", "margin", "batch"} - {record["changed"]}
        assert all(record[name] == SETTINGS[name] for name in unchanged)


def test_known_faults_are_drawn_for_each_machine_and_the_fewer_are_among_the_more():
    truth = np.tile([True, False], 40)
    machines = np.repeat(["fan/id_00", "fan/id_02"], 40)
    drawn = serial_oe.known_faults(truth, machines, seed=3)
    assert [len(rows) for rows in drawn] == [4, 4]
    for rows, name in zip(drawn, ("fan/id_00", "fan/id_02"), strict=True):
        assert truth[rows].all()
        assert set(machines[rows]) == {name}
        assert len(set(rows.tolist())) == 4
    again = serial_oe.known_faults(truth, machines, seed=3)
    assert [rows.tolist() for rows in again] == [rows.tolist() for rows in drawn]
    other = serial_oe.known_faults(truth, machines, seed=4)
    assert [rows.tolist() for rows in other] != [rows.tolist() for rows in drawn]


def test_the_kept_results_of_known_faults_are_complete():
    records = json.loads((TOP / "data" / "results" / "serial_oe_modspec.json").read_text())["records"]
    seen = {(r["anomalies"], r["seed"], r["scorer"], r["machine"]) for r in records}
    machines = {r["machine"] for r in records}
    assert len(machines) == 20  # of ToyConveyor there are no test spectra
    assert len(seen) == len(records) == 3 * 3 * len(serial_oe.serial_oe.SCORERS) * 20
    assert {r["anomalies"] for r in records} == set(serial_oe.KNOWN)
    assert all(0 <= r["auc"] <= 1 for r in records)


def test_the_kept_results_of_yardsticks_are_complete():
    header, records = of_result("yardsticks_modspec")
    runs = keys_of(records, "seed", "scorer")
    assert set(runs) == {(seed, scorer) for seed in range(3) for scorer in yardsticks.YARDSTICKS}
    assert all(len(machines) == 20 for machines in runs.values())
    assert header["method"] == yardsticks.METHOD


@pytest.mark.parametrize("name", ["park", "modspec"])
def test_the_precisions_are_measured_in_pairs(name):
    _, records = of_result(f"precision_{name}")
    runs = keys_of(records, "precision", "seed", "scorer")
    assert set(runs) == {(bits, seed, scorer) for bits in ("32", "bf16") for seed in range(3) for scorer in SCORERS}
    assert len({frozenset(machines) for machines in runs.values()}) == 1


def test_the_script_for_gpus_runs_as_far_as_a_cpu_goes():
    found = gpu.measured("cpu", "book", [4], 1)
    assert "cuDNN" in found["header"]["not run"]
    assert found["as on the CPU"]["difference"] == found["resumed"]["difference"] == 0
    assert [(row["batch"], row["precision"]) for row in found["training"]] == [(4, "32"), (4, "bf16")]
    assert all(row["clips/s"] > 0 for row in found["training"] + found["scoring"])
    assert sum(row["share"] for row in found["where"]["32"]) < 1
    json.dumps(found)


def test_the_script_for_gpus_ends_where_a_device_computes_otherwise(monkeypatch):
    honest = gpu.trained

    def rounds_differently(preset, clips, device, **options):
        model, log = honest(preset, clips, "cpu", **options)
        return model, [row | {"train_loss": row["train_loss"] * (1.001 if device == "odd" else 1)} for row in log]

    monkeypatch.setattr(gpu, "trained", rounds_differently)
    with pytest.raises(AssertionError, match=r"the losses differ by 1\.0e-03"):
        gpu.as_on_the_cpu("book", "odd", 4)


def test_the_script_for_gpus_ends_where_a_training_that_went_on_is_another(monkeypatch):
    honest, tries = gpu.trained, []

    def forgets(preset, clips, device, **options):
        tries.append(options)
        model, log = honest(preset, clips, device, **options)
        if len(tries) > 3:  # the one that goes on
            with torch.no_grad():
                next(model.parameters()).add_(1e-3)
        return model, log

    monkeypatch.setattr(gpu, "trained", forgets)
    with pytest.raises(AssertionError, match="what went on differs"):
        gpu.resumed("book", "cpu", 4)


# ----------------------------------------------------------------------------------------------- what methods are put through


def test_what_is_tried_are_the_far_ends_of_every_kind():
    assert list(dict.fromkeys(kind for kind, _ in stress.TRIED)) == list(MANIPULATIONS)
    assert all(strength in MANIPULATIONS[kind] for kind, strength in stress.TRIED)
    x = torch.ones(1, 4000)
    level = {name: fade(x, None).square().mean().item() for name, fade in MANIPULATIONS["fade"].items()}
    assert ("fade", min(level, key=level.get)) in stress.TRIED


@pytest.fixture(scope="module")
def stressed(small_park):
    """Training and test clips of the small park, and which of the latter are faulty."""
    features, clips = FeatureConfig(seconds=1.0), scan(small_park)
    known, asked = (features_now([c for c in clips if c.split == split], features) for split in ("train", "test"))
    return known, asked, np.array([clip.label == "anomaly" for clip in clips if clip.split == "test"])


def rows_in(some, clips):
    """Which of ``clips`` are among ``some``, by their waveforms."""
    found = {wave.tobytes() for wave in some.waveforms}
    return np.array([wave.tobytes() in found for wave in clips.waveforms])


def test_faulty_clips_that_nobody_notices_take_the_place_of_normal_ones_and_leave_the_test(stressed, monkeypatch):
    known, asked, faulty = stressed
    monkeypatch.setattr(stress, "SHARES", (0, 20, 50))
    reserved = np.concatenate(stress.unnoticed(known, asked, faulty, 3))
    assert len(reserved) == 8 * 3  # half of six clips, of each machine
    assert faulty[reserved].all()
    before = None
    for share, count in ((20, 1), (50, 3)):
        got = stress.contaminated(known, asked, faulty, share, 3)
        assert [len(got.of(name)) for name in known.names] == [6] * 8
        bad = rows_in(got, asked)
        assert [int(bad[asked.machines == name].sum()) for name in known.names] == [count] * 8
        assert set(np.flatnonzero(bad)) <= set(reserved)
        assert before is None or (bad[before]).all()  # the fewer are among the more
        before = bad
    other = np.concatenate(stress.unnoticed(known, asked, faulty, 4))
    assert other.tolist() != reserved.tolist()
    of_machines = [np.flatnonzero(asked.machines[reserved] == name) for name in known.names]
    places = {
        tuple(reserved[own] - np.flatnonzero(asked.machines == name)[0])
        for own, name in zip(of_machines, known.names, strict=True)
    }
    assert len(places) > 4  # of eight machines: not the same draw in each


def test_one_job_that_fails_does_not_cost_the_others_theirs(stressed, tmp_path, monkeypatch, capsys):
    def broken(*case):
        raise ValueError("a matrix is singular")

    monkeypatch.setattr(stress, "measure", broken)
    assert stress.job(tmp_path, "nearest", "few", 5, 0, None) == []
    assert "nearest, seed 0: few 5 FAILED" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.json"))


def test_scores_that_are_no_numbers_are_told():
    machines, faulty = np.repeat(["a/0"], 4), np.array([False, False, True, True])
    assert stress.averages(np.array([0, np.nan, 1, 2]), machines, faulty) == {"reason": "1 of 4 scores are not finite"}


def test_few_clips_are_as_many_of_each_machine_and_the_fewer_are_among_the_more(stressed):
    known, _, _ = stressed
    few, more = stress.fewer(known, 2, 0), stress.fewer(known, 5, 0)
    assert [len(few.of(name)) for name in known.names] == [2] * 8
    assert rows_in(more, few).all()
    assert not rows_in(stress.fewer(known, 2, 1), few).all()


def test_rates_are_counted_above_the_lowest_threshold_that_a_tenth_of_the_clean_clips_are_above_at_most():
    machines, faulty = np.repeat(["a/0", "a/1"], 25), np.tile(np.repeat([False, True], [20, 5]), 2)
    clean = np.concatenate([np.arange(20.0), np.full(5, 18.0), 100 + np.arange(20.0), np.full(5, 100.0)])

    def told(scores):
        return [stress.rates(clean, scores, machines, faulty)[rate] for rate in stress.RATES]

    assert told(clean) == [0.1, 0.5, 0.5]  # two of twenty are above 17, and five faulty clips of one machine
    moved = clean + np.where(machines == "a/0", 5, 0)
    assert told(moved) == pytest.approx([(7 / 20 + 0.1) / 2, 0.5, 0.5])
    assert told(clean - 1000) == [0, 0, 0.5]  # nothing is heard any more, until the threshold is chosen again
    assert stress.share_above(np.arange(9.0), np.arange(9.0)) == 0  # of nine, not one may be above


def test_clips_are_manipulated_once_as_a_recorder_would_have_written_them(stressed, tmp_path):
    _, asked, _ = stressed
    quiet = stress.manipulated(tmp_path, asked, "gain", "0.5")
    assert quiet.waveforms.dtype == np.int16
    np.testing.assert_allclose(quiet.waveforms / 2**15, asked.waveforms / 2, atol=2**-16 + 1e-9)
    wave = torch.from_numpy(quiet.waveforms[3].astype(np.float32) / 2**15)
    np.testing.assert_allclose(quiet.log_mels[3], log_mel(wave, asked.features), atol=0.1)
    (kept,) = tmp_path.rglob("*.npz")
    before = kept.stat().st_mtime_ns
    stress.manipulated(tmp_path, asked, "gain", "0.5")
    assert kept.stat().st_mtime_ns == before


def test_slow_fans_are_healthy_fans_of_the_same_machines_with_moments_of_their_own(stressed):
    _, asked, faulty = stressed
    normal = asked.only(~faulty)
    slow, as_ever = (stress.slow_fans(normal, speed) for speed in (0.5, 1.0))
    assert slow.machines.tolist() == sorted(name for name in normal.machines if name.startswith("fan/"))
    assert len({wave.tobytes() for wave in slow.waveforms}) == len(slow)
    assert not rows_in(asked, as_ever).any()
    clean = {"loudest": normal.log_mels.astype(float).max(axis=(1, 2))}
    found = {f"speed {speed}": {"loudest": np.full(len(slow), -1e3)} for speed in stress.SPEEDS}
    records = stress.hearing_of_slow_fans(normal, clean, dict.fromkeys(found, slow), found)
    assert [(r["setting"], r["auc"]) for r in records] == [(f"speed {speed}", 0.0) for speed in stress.SPEEDS]

    def pitch(clips):
        """Where half of the power lies below, in Hz, the mean over the clips."""
        power = np.abs(np.fft.rfft(clips.waveforms / 2**15)) ** 2
        return np.mean((power.cumsum(axis=1) < power.sum(axis=1, keepdims=True) / 2).sum(axis=1))

    assert pitch(slow) < 0.9 * pitch(as_ever)


def test_sets_that_are_scored_together_have_the_scores_that_they_have_alone(stressed, tmp_path):
    known, asked, _ = stressed
    nearest = methods.get("nearest")
    model = methods.trained(nearest, known, budget=nearest.BUDGET, seed=0, device="cpu")
    sets = {"none": asked, "quiet": stress.manipulated(tmp_path, asked, "gain", "0.5"), "some": asked.only(np.arange(5))}
    calls = []

    def score(clips):
        calls.append(len(clips))
        return nearest.score(model, known, clips, device="cpu")

    together = stress.scored_together(score, sets)
    assert calls == [2 * len(asked) + 5]
    for name, clips in sets.items():
        for scorer, scores in score(clips).items():
            np.testing.assert_allclose(together[name][scorer], scores, rtol=1e-4, atol=1e-6)


def test_healthy_clips_through_a_manipulation_are_held_against_themselves():
    machines = np.repeat(["fan/0", "fan/1"], 10)
    scores = np.random.default_rng(0).normal(size=20)
    assert stress.against_healthy(scores, scores, machines, machines)["auc"] == 0.5
    assert stress.against_healthy(scores, scores + 9, machines, machines)["auc"] == 1


def test_fewer_clips_are_seen_as_many_steps_in_more_epochs(stressed, tmp_path, monkeypatch):
    known, asked, faulty = stressed  # 48 training clips: with batches of 16 three steps an epoch, of 16 clips one
    seen = {}

    class StoppedError(Exception):
        pass

    def trained(method, clips, *, budget, **options):
        seen[len(clips)] = budget.epochs
        raise StoppedError

    monkeypatch.setattr(stress, "park", lambda work: (known, asked, faulty))
    monkeypatch.setattr(stress.methods, "trained", trained)
    monkeypatch.setattr(methods.detector("clp_scf"), "BUDGET", StageConfig(4, 16))
    for study, setting in (("whole", 0), ("few", 2), ("few", 4)):
        with pytest.raises(StoppedError):
            stress.measure(tmp_path, "clp_scf", study, setting, 0, None)
    assert seen == {48: 4, 16: 12, 32: 6}


def test_what_needs_nothing_but_known_clips_answers_for_a_machine_that_is_added(stressed):
    known, asked, _ = stressed

    class Levels(torch.nn.Module):
        embedding_dim = 1

        def embed(self, waves, mels):
            return mels.mean(dim=(1, 2))[:, None]

    class Method:
        @staticmethod
        def judge(model, rows, label):
            return {
                "level": lambda x: np.abs(x[:, 0] - rows.mean()),
                "own": lambda x: x[:, 0] * label,
                "type": lambda x: x[:, 0] * (label // 3),  # three machines of each type are left
            }

    assert stress.later(known) == ["fan/id_06", "valve/id_06"]
    names = [name for name in known.names if name not in stress.later(known)]
    new = (clips.only(np.isin(clips.machines, stress.later(known))) for clips in (known, asked))
    before, after = new
    scores = stress.scores_of_added(Method, Levels(), names, before, after)
    assert scores["own"] is None
    levels = after.log_mels.astype(np.float32).mean(axis=(1, 2))
    own = {name: before.of(name).log_mels.astype(np.float32).mean() for name in before.names}
    np.testing.assert_allclose(
        scores["level"], [abs(x - own[m]) for x, m in zip(levels, after.machines, strict=True)], atol=1e-3
    )
    np.testing.assert_allclose(scores["type"], levels * (after.types == "valve"), rtol=1e-3)


def test_methods_are_stressed_as_it_is_written_and_taken_up_again(small_park, tmp_path, monkeypatch):
    """In miniature: a method that needs no training, and one with an answer of its own for each machine."""
    parts = [[clip for clip in scan(small_park) if clip.split == split] for split in ("train", "test")]
    monkeypatch.setattr(stress, "park_clips", lambda work: parts)
    monkeypatch.setattr(stress, "TRIED", [("gain", "0.1"), ("noise", "15 dB")])
    names = ["nearest", "clp_scf/single_stage"]
    words = ["stress.py", str(tmp_path), "--methods", *names, "--epochs", "1", "--seeds", "0", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    stress.main()
    found = json.loads((tmp_path / "out" / "stress.json").read_text())
    records = found["records"]
    assert found["header"]["settings"]["added"] == ["fan/id_06", "valve/id_06"]
    asked = {
        *(("manipulation", setting) for setting in ("none", "gain 0.1", "noise 15 dB")),
        *(("slow", f"speed {speed}") for speed in stress.SPEEDS),
        *(("slow", setting) for setting in ("none", "gain 0.1", "noise 15 dB")),
        *(("contamination", share) for share in stress.SHARES),
        *(("few", count) for count in stress.COUNTS),
        *(("added", setting) for setting in ("known", "later")),
    }
    for name in names:
        scorers = methods.detector(name).SCORERS
        runs = [(r["study"], r["setting"], r["scorer"]) for r in records if r["method"] == name]
        assert len(set(runs)) == len(runs)
        assert {run for run in runs if run[2] in scorers} == {(*case, scorer) for case in asked for scorer in scorers}
    without = {(r["method"], r["scorer"]) for r in records if r["reason"]}
    assert without == {("clp_scf/single_stage", "softmax"), ("clp_scf/single_stage", "softmax-plain")}
    for record in records:
        assert (record["auc"] is None) == (record["reason"] is not None)
        for rate in stress.RATES:
            assert (record[rate] is not None) == (record["study"] == "manipulation")
    clean = [r for r in records if r["setting"] == "none" and r["study"] == "manipulation"]
    assert {r["false_alarms"] for r in clean} == {0}  # of four clips, not one may be above
    assert all(r["found"] == r["found_anew"] for r in clean)
    assert {r["auc"] for r in records if r["setting"] == "none" and r["study"] == "slow"} == {0.5}
    jobs = sorted(tmp_path.rglob("jobs/*.json"))
    assert len(jobs) == len(names) * len(stress.JOBS)
    jobs[0].unlink()
    done = []
    monkeypatch.setattr(stress, "measure", lambda *case: done.append(case) or [{"study": "few", "setting": 5, "scorer": "knn"}])
    stress.main()
    assert len(done) == 1


# ------------------------------------------------------------------------------------------------------ how small it may be


def test_of_all_clips_the_two_nearest_are_the_plain_detector_and_of_few_they_are_fewer():
    rng = np.random.default_rng(5)
    known, asked = rng.normal(3, 2, size=(12, 4)), rng.normal(3, 2, size=(7, 4))
    np.testing.assert_allclose(small.two_nearest(known, asked, count=12), 2 * plain_knn(known, asked))  # of 4 numbers
    scale = standard(known)
    kept = scale(known)[thinned(scale(known), 2)]
    by_hand = [np.mean([np.linalg.norm(scale(x[None])[0] - y) for y in kept]) for x in asked]
    np.testing.assert_allclose(small.two_nearest(known, asked, count=2), by_hand)


def test_what_is_exported_hears_clips_as_loud_as_they_are(stressed):
    known, asked, _ = stressed
    model = methods.trained(methods.get("clp_scf"), known, budget=StageConfig(2, 16), seed=0, device="cpu")
    (bits, scores, _), *_ = small.scores_of(model, known, asked)
    expected = methods.get("clp_scf").score(model, known, asked, device="cpu")[small.methods.get(small.NAME).SCORERS[0]]
    assert bits == 32
    np.testing.assert_allclose(scores, expected, rtol=1e-2, atol=1e-3)


def test_detectors_are_made_small_as_it_is_written(small_park, tmp_path, monkeypatch):
    parts = [[clip for clip in scan(small_park) if clip.split == split] for split in ("train", "test")]
    monkeypatch.setattr(stress, "park_clips", lambda work: parts)
    monkeypatch.setattr(small, "SHARES", {"park": (1 / 2,)})
    monkeypatch.setattr(small, "COUNTS", (60, 2))
    monkeypatch.setattr(small, "CHALLENGE", 1)
    words = ["small.py", str(tmp_path), "--epochs", "2", "--seeds", "0", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    small.main()
    records = json.loads((tmp_path / "out" / "small.json").read_text())["records"]
    rows = {(r["detector"], r["kept"], r["bits"]): r for r in records}
    assert len(rows) == len(records) == 2 + 1 + 4
    whole, half = rows["clp_scf", 1.0, 32], rows["clp_scf", 0.5, 32]
    for key in ("weights", "macs", "file", "parameters"):
        assert half[key] < whole[key]
    assert half["activations"] <= whole["activations"] / 2
    for kept in (1.0, 0.5):
        one, other = rows["clp_scf", kept, 32], rows["clp_scf", kept, 8]
        assert one["weights"] == 4 * one["parameters"]
        # What the file loses is what is said to be lost; the rest are the scales of the 8 bits.
        assert one["file"] - other["file"] == pytest.approx(one["weights"] - other["weights"], rel=0.35)
        assert one["activations"] / 4 <= other["activations"] < one["activations"]
        assert abs(one["auc"] - other["auc"]) < 0.2
    squeezed = rows["autoencoder", 1.0, 32]
    assert squeezed["activations"] == 4 * (640 + 128 + 640)  # the last layer reads and writes, and what was read is compared
    assert rows["nearest", 2, 32]["weights"] == 4 * (2 + 2) * 256
    assert rows["nearest", 6, 32]["weights"] == 4 * (6 + 2) * 256  # no machine has more


def test_of_spectra_networks_are_pruned_and_nothing_is_exported(spectra):
    parts = spectra.train, spectra.test, spectra.test_is_anomaly
    whole, half = small.networks(parts, (1 / 2,), 0, 2)
    assert (whole["bits"], whole["file"]) == (32, None)
    assert half["activations"] <= whole["activations"] / 2
    assert half["weights"] < whole["weights"]
    (squeezed,) = small.baseline(parts, 0, 1)
    assert 0 < squeezed["macs"] < squeezed["weights"]  # a spectrum is looked at once
    assert [r["kept"] for r in small.neighbours(parts)] == [20, 8, 2]


def test_a_method_that_cannot_is_a_record_that_says_why(tmp_path, monkeypatch):
    def refuses(*case):
        raise AsdError("no clips: give some")

    monkeypatch.setattr(stress, "measure", refuses)
    (record,) = stress.job(tmp_path, "nearest", "few", 5, 0, None)
    assert record["reason"] == "no clips: give some"
    assert record["auc"] is None
