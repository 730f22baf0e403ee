"""Every method as a detector: trained into a run directory, and from there it answers what it would answer in memory."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from asdlib import methods
from asdlib.cache import features_of
from asdlib.clips import in_unit
from asdlib.data import scan
from asdlib.detector import Detector, train
from asdlib.errors import AsdError
from asdlib.export import export
from asdlib.methods import ensemble
from asdlib.run import PRESETS, of_method
from asdlib.scorers import EMBEDDING_SCORERS
from asdlib.spectrogram_encoder import SpectrogramConfig
from asdlib.stream import StreamScorer
from asdlib.training import StageConfig
from tests.conftest import SMALL

NAMES = [name for name in methods.every_name() if "sound" in methods.get(name).INPUTS]
ENCODERS = {type(SMALL.encoder): SMALL.encoder, SpectrogramConfig: SpectrogramConfig(0.5, width=8, embedding_dim=16)}


def small(name):
    """The settings of a method, in miniature."""
    config, stage = of_method(name), StageConfig(2, 16, 1e-3)
    encoder = ENCODERS[type(config.encoder)]
    common = {"features": SMALL.features, "whole_clips": False, "least_steps": 0, "validation": 0.0}
    first = None if config.pretrain is None else stage
    window = config.window and 0.5
    return replace(config, encoder=encoder, window=window, pretrain=first, finetune=stage, **common)


@pytest.fixture(scope="module")
def runs(small_park, tmp_path_factory):
    """Each method's run, and its detector as the training returned it; made when it is asked for."""
    made = {}

    def run_of(name):
        if name not in made:
            run = tmp_path_factory.mktemp("runs") / name.replace("/", " ")
            cache = tmp_path_factory.getbasetemp() / "feature-cache"
            made[name] = run, train(scan(small_park), run, small(name), cache=cache, device="cpu")
        return made[name]

    return run_of


@pytest.fixture(scope="module")
def parts(small_park):
    """Training clips, and test clips with what is on disk."""
    clips = scan(small_park)
    train, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    return features_of(train, SMALL.features), features_of(test, SMALL.features), test


@pytest.mark.parametrize("name", NAMES)
def test_a_run_answers_what_the_method_does_in_memory(name, runs, parts):
    known, asked, clips = parts
    run, _ = runs(name)
    detector = Detector.load(run)
    assert detector.config.method == name
    table = detector.score_clips(clips, device="cpu")
    expected = methods.get(name).score(detector.model, known, asked, device="cpu")
    assert set(expected) == set(detector.scorers)
    for scorer, values in expected.items():
        np.testing.assert_allclose(table[scorer], values, rtol=1e-4, atol=1e-6, err_msg=scorer)
    assert set(methods.detector(name).SCORERS) <= set(detector.scorers)
    assert detector.scorers[0] == methods.detector(name).SCORERS[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_holds_what_training_left_and_nothing_of_its_way(name, runs):
    run, detector = runs(name)
    assert not [path for path in run.iterdir() if path.is_dir() or path.name == "checkpoint.safetensors"]
    weights = detector.model.state_dict()
    again = Detector.load(run).model.state_dict()
    assert weights.keys() == again.keys()
    assert (run / "log.csv").exists() == (name != "nearest" and "twfr" not in name)
    assert all(value.isfinite().all() for value in again.values())
    for machine in detector.config.machines:
        for scorer in detector.scorers:
            assert np.isfinite(detector.percentiles[machine][scorer]).all()


# Whose first score is no distance between embeddings, no surprise and no error of a network a type.
NOT_EXPORTED = (
    *("activity_guided", "asd_diffusion", "diffusion_id", "frame_selection", "generated_anomalies", "nearest"),
    *("pasted_patches", "robust_contrast", "serial_oe", "trans_ae", "transform_classifier", "twfr_gmm", "window_contrast"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_is_exported_or_says_why_not(name, runs, parts, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="asdlib[export] is not installed")
    run, detector = runs(name)
    _, asked, clips = parts
    path = tmp_path / "detector.onnx"
    if name in NOT_EXPORTED:
        with pytest.raises(AsdError, match=rf"the scorer {detector.scorers[0]} of {name} cannot be exported: what can be is"):
            export(run, path)
        assert not path.exists()
        return
    export(run, path)
    score, *_ = onnxruntime.InferenceSession(path).run(None, {"waveform": in_unit(np.asarray(asked.waveforms))})
    own = [detector.config.machines.index(clip.machine) for clip in clips]
    expected = detector.score_clips(clips, device="cpu")[detector.scorers[0]]
    np.testing.assert_allclose(score[np.arange(len(own)), own], expected, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_work_for_every_method(name, runs, small_park, tmp_path, asd):
    run, _ = runs(name)
    fan = sorted((small_park / "fan" / "test").glob("normal_id_00*.wav"))
    machine = ("--run", run, "--machine", "fan/id_00", "--device", "cpu")
    for words in (
        ("evaluate", small_park, "--run", run, "--device", "cpu"),
        ("threshold", *fan, *machine, "--rate", 0.3),
        ("score", fan[0], *machine),
        ("report", small_park, "--run", run, "--out", tmp_path / "report.html", "--device", "cpu"),
    ):
        code, _, error = asd(*words)
        assert code == 0, (words[0], error)
    sound, _ = soundfile.read(fan[0], dtype="float32")
    (_, scored), *_ = StreamScorer(Detector.load(run), "fan/id_00", device="cpu").push(sound)
    (told,) = json.loads(asd("score", fan[0], *machine, "--json")[1])["scores"]
    assert scored == pytest.approx(told["score"], rel=1e-3)


@pytest.mark.parametrize("name", ["os_scl", "clp_scf", "sub_cluster/feat_ex"])
def test_the_network_of_another_method_is_a_part_of_the_ensemble(name, small_park, parts, tmp_path):
    known, asked, clips = parts
    config = replace(small("ensemble"), network=name, encoder=small(name).encoder, window=small(name).window)
    train(scan(small_park), tmp_path / "run", config, device="cpu")
    detector = Detector.load(tmp_path / "run")
    assert type(detector.model.network) is type(methods.get(name).untrained(methods.Task(("a/0", "a/1"), SMALL.features)))
    assert set(detector.rehearsal.auc) == {*detector.parts, "plain", "all", "kept"}
    table = detector.score_clips(clips, device="cpu")
    for scorer, values in ensemble.score(detector.model, known, asked, device="cpu").items():
        np.testing.assert_allclose(table[scorer], values, rtol=1e-4, atol=1e-6, err_msg=scorer)
    # What the part says is the distance between embeddings of that network, and it has learned.
    rows, own = (methods.embedded(detector.model.network, part, device="cpu")[0] for part in (known, asked))
    fan = known.machines == "fan/id_00", asked.machines == "fan/id_00"
    distances = EMBEDDING_SCORERS["mahalanobis"](rows[fan[0]], own[fan[1]])
    assert np.array_equal(np.argsort(table["network"][fan[1]]), np.argsort(distances))
    begun = methods.detector(name).untrained(methods.Task.of(known, encoder=config.encoder, window=config.window))
    moved = zip(begun.encoder.parameters(), detector.model.network.encoder.parameters(), strict=True)
    assert any(not torch.equal(before, after) for before, after in moved)
    onnxruntime = pytest.importorskip("onnxruntime", reason="asdlib[export] is not installed")
    export(tmp_path / "run", tmp_path / "detector.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx")
    score, *_ = session.run(None, {"waveform": in_unit(np.asarray(asked.waveforms))[fan[1]]})
    place = detector.config.machines.index("fan/id_00")
    np.testing.assert_allclose(score[:, place], table["fused"][fan[1]], rtol=2e-2)


def test_a_network_brings_its_own_encoder_and_budget(asd):
    values = json.loads(asd("train", "--print-config", "--network", "os-scl", "--seconds", 4)[1])
    assert (values["method"], values["network"], values["window"]) == ("ensemble", "os_scl", 4.0)
    assert values["finetune"]["epochs"] == methods.detector("os_scl").BUDGET.epochs
    assert values["encoder"] == json.loads(asd("train", "--print-config", "--method", "os-scl")[1])["encoder"]
    assert json.loads(asd("train", "--print-config", "--network", "sub-cluster")[1]) == PRESETS["best"].chosen()


def test_methods_are_listed_and_trained_by_the_names_in_the_list(small_park, tmp_path, asd):
    listed = json.loads(asd("methods", "--json")[1])
    assert [about["method"].replace("-", "_") for about in listed] == methods.every_name()
    for about in listed:
        assert all(about[key] for key in ("idea", "paper", "inputs", "scorers", "seconds")), about
        assert about["seconds"] <= 300, about  # five minutes of a core
    table = asd("methods")[1]
    assert all(about["idea"] in table for about in listed)
    run, chosen = tmp_path / "run", ("--method", "clp-scf/single-stage")
    code, _, error = asd("train", small_park, "--run", run, *chosen, "--epochs", 1, "--seconds", 1, "--device", "cpu")
    assert code == 0, error
    assert Detector.load(run).config.method == "clp_scf/single_stage"
    printed = asd("train", *chosen, "--print-config")[1]
    (tmp_path / "settings.json").write_text(printed)
    assert asd("train", "--config", tmp_path / "settings.json", "--print-config")[1] == printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "magic"), "'magic' is not one of "),
        (("--method", "autoencoder", "--precision", "bf16"), "the method autoencoder is trained in 32 bits"),
        (("--network", "idnn"), "idnn cannot be the network of an ensemble: it does not score distances"),
        (("--network", "serial-oe"), "serial_oe cannot be the network of an ensemble"),
        (("--network", "os-scl", "--precision", "bf16"), "the method os_scl is trained in 32 bits"),
        (("--network", "os-scl", "--method", "idnn"), "--network says whose network the ensemble has: leave it out"),
        (("--method", "autoencoder", "--preset", "best"), "the preset best is one of ensemble, not of autoencoder"),
    ],
)
def test_what_a_method_cannot_do_is_refused_in_a_sentence(small_park, tmp_path, asd, words, said):
    code, _, error = asd("train", small_park, "--run", tmp_path / "run", *words)
    assert code != 0
    assert said in " ".join(error.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


def test_the_settings_of_a_method_are_its_presets_or_its_own_budget():
    assert of_method("ensemble") is PRESETS["best"]
    assert of_method("clp_scf") is PRESETS["book"]
    for name in set(methods.every_name()) - {"ensemble", "clp_scf"}:
        assert of_method(name).finetune == methods.detector(name).BUDGET
        assert of_method(name).pretrain is None
