"""The ONNX file: the same scores as torch, without torch."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

from asdlib.cache import clip_of, features_now
from asdlib.data import Clip, read, scan
from asdlib.detector import embed
from asdlib.errors import AsdError
from asdlib.export import WholeDetector, export
from asdlib.threshold import Threshold, keep_threshold

pytest.importorskip("onnxscript", reason="asdlib[export] is not installed")
onnx = pytest.importorskip("onnx", reason="asdlib[export] is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="asdlib[export] is not installed")


@pytest.fixture(scope="module")
def session(small_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "detector.onnx"
    export(small_run, path)
    assert [p.name for p in path.parent.iterdir()] == ["detector.onnx"]
    return onnxruntime.InferenceSession(path)


def test_the_file_scores_as_asdlib_does(session, detector, small_park):
    clips = [clip for clip in scan(small_park) if clip.split == "test"][:12]
    samples = detector.config.features.samples
    waveforms = np.stack([read(clip.path)[:samples] for clip in clips])
    score, embedding = session.run(None, {"waveform": waveforms})
    expected = embed(detector.model.embed, features_now(clips, detector.config.features).inputs)
    np.testing.assert_allclose(embedding, expected, atol=1e-4 * np.abs(expected).max())
    for k, machine in enumerate(detector.config.machines):
        np.testing.assert_allclose(score[:, k], detector.scores(expected, machine, "softmax"), rtol=1e-4, atol=1e-6)
    assert score.shape == (12, len(detector.config.machines))
    one, _ = session.run(None, {"waveform": waveforms[:1]})
    np.testing.assert_allclose(one, score[:1], rtol=1e-4, atol=1e-6)


def test_it_agrees_with_torch(session, detector):
    waveforms = 0.2 * np.random.default_rng(0).normal(size=(5, detector.config.features.samples)).astype(np.float32)
    with torch.inference_mode():
        expected = [x.numpy() for x in WholeDetector(detector).eval()(torch.from_numpy(waveforms))]
    for got, want in zip(session.run(None, {"waveform": waveforms}), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_samples_between_the_steps_and_beyond_full_scale_count_as_in_a_recording(session, detector, tmp_path):
    """A sound of a few steps of 16 bits, one that clips, and a common one: as floats, and as read from files of floats."""
    noise = np.random.default_rng(0).normal(size=(3, detector.config.features.samples))
    waveforms = (noise * [[2**-15], [0.9], [0.1]]).clip(-1.4, 1.4).astype(np.float32)
    clips = [Clip(tmp_path / f"normal_id_02_{i}.wav", "fan", "id_02", "test", "normal") for i in range(3)]
    for clip, waveform in zip(clips, waveforms, strict=True):
        soundfile.write(clip.path, waveform, 16000, subtype="FLOAT")
    expected = embed(detector.model.embed, features_now(clips, detector.config.features).inputs)
    _, embedding = session.run(None, {"waveform": waveforms})
    # The log-mel unrounded, whose embeddings are off by 4e-4 to 2e-3, would show.
    assert (np.abs(embedding - expected).max(axis=1) < 1e-4 * np.abs(expected).max(axis=1)).all()


def embedding_of(detector, waveform):
    with torch.inference_mode():
        return WholeDetector(detector).eval()(torch.from_numpy(waveform)[None])[1].numpy()


@pytest.mark.parametrize("level", [1e-6, 0.3, 3.0])
def test_nothing_is_rounded_away_or_cut_off(detector, level):
    """Quieter than a step of 16 bits, and beyond full scale: as the clips of recordings are kept."""
    x = level * np.random.default_rng(0).uniform(-1, 1, detector.config.features.samples).astype(np.float32)
    waveform, mel = clip_of(x, detector.config.features)
    expected = embed(detector.model.embed, (waveform[None], mel[None]))
    np.testing.assert_allclose(embedding_of(detector, x), expected, rtol=1e-3, atol=1e-5)
    steps = (np.rint(x * 2**15).clip(-(2**15), 2**15 - 1) / 2**15).astype(np.float32)
    assert np.allclose(embedding_of(detector, x), embedding_of(detector, steps), rtol=1e-2) == (level == 0.3)


def test_the_file_says_what_it_needs(session, detector):
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["machines"]) == list(detector.config.machines)
    assert (int(about["sample_rate"]), float(about["seconds"])) == (16000, 1.0)
    assert [x.name for x in session.get_inputs()] == ["waveform"]
    assert [x.name for x in session.get_outputs()] == ["score", "embedding"]


def test_a_place_that_cannot_be_written_is_said(small_run, tmp_path):
    with pytest.raises(AsdError, match=r"cannot write .*detector\.onnx"):
        export(small_run, tmp_path / "no" / "such" / "detector.onnx")


@pytest.fixture(scope="module")
def waveforms(detector, small_park):
    clips = [clip for clip in scan(small_park) if clip.split == "train"]
    return features_now(clips, detector.config.features).inputs[0]


@pytest.mark.parametrize("scorer", ["softmax-plain", "knn", "mahalanobis"])
def test_other_scorers_give_the_numbers_of_asdlib(small_run, detector, waveforms, tmp_path, scorer):
    export(small_run, tmp_path / "d.onnx", scorer=scorer)
    session = onnxruntime.InferenceSession(tmp_path / "d.onnx")
    score, embedding = session.run(None, {"waveform": waveforms[:9]})
    for k, machine in enumerate(detector.config.machines):
        np.testing.assert_allclose(score[:, k], detector.scores(embedding, machine, scorer), rtol=1e-5, atol=1e-6)
    assert session.get_modelmeta().custom_metadata_map["scorer"] == scorer


@pytest.mark.parametrize(("scorer", "sentence"), [("gmm", "the scorer gmm of .* cannot be exported"), ("x", "no scorer 'x'")])
def test_a_scorer_that_cannot_be_written_is_said(small_run, tmp_path, scorer, sentence):
    with pytest.raises(AsdError, match=sentence):
        export(small_run, tmp_path / "d.onnx", scorer=scorer)
    assert not list(tmp_path.iterdir())


def test_the_alarms_are_those_of_the_run(small_run, detector, waveforms, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    (run / "thresholds.json").unlink(missing_ok=True)
    machine, other = detector.config.machines[:2]
    embedding = embed(detector.model.embed, features_of_waveforms(detector, waveforms))
    scores = detector.scores(embedding, machine, "knn")
    keep_threshold(run, machine, "knn", Threshold(float(np.median(scores)), "quantile", 20, 0.5, 0.4, 0.6))
    keep_threshold(run, other, "softmax", Threshold(0.0, "quantile", 20, 0.5, 0.4, 0.6))  # of another scorer
    export(run, tmp_path / "d.onnx", scorer="knn")
    session = onnxruntime.InferenceSession(tmp_path / "d.onnx")
    *_, alarm = session.run(None, {"waveform": waveforms})
    assert [x.name for x in session.get_outputs()] == ["score", "embedding", "alarm"]
    away = np.abs(scores - np.median(scores)) > 1e-6
    np.testing.assert_array_equal(alarm[away, 0], (scores > np.median(scores))[away])
    assert alarm[:, 0].any()
    assert not alarm[:, 1:].any()
    kept = json.loads(session.get_modelmeta().custom_metadata_map["thresholds"])
    assert kept == [float(np.median(scores)), *[None] * (len(detector.config.machines) - 1)]


def features_of_waveforms(detector, waveforms):
    kept = [clip_of(w, detector.config.features) for w in waveforms]
    return tuple(np.stack(part) for part in zip(*kept, strict=True))


def test_eight_bits_are_smaller_and_nearly_the_same(small_run, detector, waveforms, tmp_path):
    for name, some in (("float", None), ("int8", waveforms), ("again", np.rint(waveforms * 2**15).astype(np.int16))):
        export(small_run, tmp_path / f"{name}.onnx", int8=some)
    assert {path.name for path in tmp_path.iterdir()} == {"float.onnx", "int8.onnx", "again.onnx"}
    kinds = {
        name: {
            w.data_type for w in onnx.load(tmp_path / f"{name}.onnx").graph.initializer if len(w.dims) == 4 and w.dims[0] > 1
        }
        for name in ("float", "int8")
    }
    assert kinds == {"float": {onnx.TensorProto.FLOAT}, "int8": {onnx.TensorProto.INT8}}
    asked = {"waveform": waveforms}
    found = {
        name: onnxruntime.InferenceSession(tmp_path / f"{name}.onnx").run(None, asked) for name in ("float", "int8", "again")
    }
    np.testing.assert_array_equal(found["int8"][0], found["again"][0])
    (_, wide), (_, narrow) = found["float"], found["int8"]
    cosines = np.sum(wide * narrow, axis=1) / np.linalg.norm(wide, axis=1) / np.linalg.norm(narrow, axis=1)
    assert 0.98 < cosines.min() < 0.99999  # nearly the same, and not the same


@pytest.mark.parametrize(
    ("shape", "sentence"), [((9, 5), "waveforms of shape"), ((3, 16000), "3 clips do not show the ranges"), ((9,), "of shape")]
)
def test_clips_that_show_no_ranges_are_said(small_run, tmp_path, shape, sentence):
    with pytest.raises(AsdError, match=sentence):
        export(small_run, tmp_path / "d.onnx", int8=np.zeros(shape, np.float32))
    assert not list(tmp_path.iterdir())
