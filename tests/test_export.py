"""The ONNX file: the same scores as torch, without torch."""

import json

import numpy as np
import pytest
import soundfile
import torch

from asdlib.cache import clip_of, features_now
from asdlib.data import Clip, read, scan
from asdlib.detector import embed
from asdlib.errors import AsdError
from asdlib.export import WholeDetector, export

pytest.importorskip("onnxscript", reason="asdlib[export] is not installed")
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
