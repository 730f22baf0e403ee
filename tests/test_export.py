"""The ONNX file: the same scores as torch, without torch."""

import json

import numpy as np
import pytest

from asdlib.cache import features_now
from asdlib.data import read, scan
from asdlib.detector import embed
from asdlib.errors import AsdError
from asdlib.export import export

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
    import torch

    from asdlib.export import WholeDetector

    waveforms = 0.2 * np.random.default_rng(0).normal(size=(5, detector.config.features.samples)).astype(np.float32)
    with torch.inference_mode():
        expected = [x.numpy() for x in WholeDetector(detector).eval()(torch.from_numpy(waveforms))]
    for got, want in zip(session.run(None, {"waveform": waveforms}), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_the_file_says_what_it_needs(session, detector):
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["machines"]) == list(detector.config.machines)
    assert (int(about["sample_rate"]), float(about["seconds"])) == (16000, 1.0)
    assert [x.name for x in session.get_inputs()] == ["waveform"]
    assert [x.name for x in session.get_outputs()] == ["score", "embedding"]


def test_a_place_that_cannot_be_written_is_said(small_run, tmp_path):
    with pytest.raises(AsdError, match=r"cannot write .*detector\.onnx"):
        export(small_run, tmp_path / "no" / "such" / "detector.onnx")
