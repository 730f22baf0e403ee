"""The detector in plain script, in a browser: what Python computes, from the file that asd export --web writes."""

import base64
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from asdlib.cache import features_now
from asdlib.cli import app
from asdlib.data import scan
from asdlib.detector import Detector, embed, train
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel
from asdlib.run import PRESETS
from asdlib.scorers import knn_score
from asdlib.threshold import Threshold, keep_threshold
from asdlib.web import write_web
from tests.conftest import SMALL

sys.path.insert(0, str(Path(__file__).parents[2] / "book"))
import keep

# What a page hears of waveforms that come as base64 of float32, and of the machines that they are said to be of.
HEAR = """([texts, machines]) => {
    const detector = asdlive.detector(asdlive.run), lists = (x) => Array.from(x);
    return texts.map((text, i) => {
        const waveform = new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
        const { scores, embedding, logMel } = detector.hear(waveform);
        const near = detector.neighbours(embedding, machines[i]).map((one) => one.distance);
        const bytes = Array.from(new Uint8Array(logMel.buffer), (byte) => String.fromCharCode(byte));
        return { scores: lists(scores), embedding: lists(embedding), logMel: btoa(bytes.join("")), near };
    });
}"""


def as_text(waveform):
    return base64.b64encode(np.asarray(waveform, dtype="<f4").tobytes()).decode()


def hear(page, script, waveforms, machines):
    """What the page with this ``script`` hears: a dictionary of arrays, a row for each waveform."""
    page.goto("about:blank")
    page.add_script_tag(path=script)
    rows = []
    for i in range(0, len(machines), 20):  # a message to the page stays below 10 MB
        rows += page.evaluate(HEAR, [[as_text(x) for x in waveforms[i : i + 20]], machines[i : i + 20]])
    arrays = {name: np.array([row[name] for row in rows]) for name in ("scores", "embedding")}
    log_mels = np.stack([np.frombuffer(base64.b64decode(row["logMel"]), "<f4") for row in rows])
    return arrays | {"logMel": log_mels, "near": [row["near"] for row in rows]}


def check(heard, detector, arrays, machines, *, score):
    """The log-mel is Python's; of the same log-mel, scores are Python's to ``score``; from end to end, to 0.05."""
    exact = log_mel(arrays.inputs[0], detector.config.features).numpy().astype(float)
    step = 2.0 ** (np.floor(np.log2(np.abs(exact).clip(2**-14))) - 10)
    found = heard["logMel"].reshape(exact.shape)
    # The nearest number of 16 bits, but for what torch computes in 32: a thousandth of them lies that near the middle of two.
    assert (np.abs(found - exact) <= step / 2 + 1e-4).all()
    assert (found != arrays.inputs[1]).mean() < 0.005
    same = embed(detector.model.embed, (arrays.inputs[0], found.astype(np.float16)), device="cpu")
    assert np.abs(heard["embedding"] - same).max() < score * np.abs(same).max()
    assert np.abs(heard["scores"] - of_every_machine(detector, same)).max() < score
    wanted = of_every_machine(detector, embed(detector.model.embed, arrays.inputs, device="cpu"))
    assert np.abs(heard["scores"] - wanted).max() < 0.05
    for row, near, machine in zip(same, heard["near"], machines, strict=True):
        known = detector.bank[detector.bank_labels == detector.label(machine)]
        assert len(near) == len(known)
        assert near == sorted(near)
        assert np.mean(near[:2]) == pytest.approx(knn_score(known, row[None])[0], abs=score / 10)


def of_every_machine(detector, embeddings):
    """The softmax scores of clips, (clips, machines)."""
    return np.stack([detector.scores(embeddings, machine, "softmax") for machine in detector.config.machines], axis=1)


@pytest.fixture(scope="module")
def asked(small_park):
    return [clip for clip in scan(small_park) if clip.split == "test"]


@pytest.mark.parametrize(("half", "score"), [(False, 1e-3), (True, 0.05)], ids=["32 bits", "16 bits"])
def test_a_page_hears_what_python_does(page, small_run, detector, asked, tmp_path, half, score):
    write_web(small_run, tmp_path / "run.js", half=half)
    arrays, machines = features_now(asked, detector.config.features), [clip.machine for clip in asked]
    heard = hear(page, tmp_path / "run.js", arrays.inputs[0], machines)
    check(heard, detector, arrays, machines, score=score)


def test_pieces_of_long_clips_are_heard_and_averaged(page, small_park, asked, tmp_path):
    """Clips of 1 s, of which the network sees 0.4 s at a time: three pieces, the last one from where it ends with the clip."""
    config = replace(SMALL, window=0.4, pretrain=None, finetune=replace(SMALL.finetune, epochs=1))
    detector = train(scan(small_park), tmp_path / "run", config)
    write_web(tmp_path / "run", tmp_path / "run.js", half=False)
    arrays, machines = features_now(asked, detector.config.features), [clip.machine for clip in asked]
    heard = hear(page, tmp_path / "run.js", arrays.inputs[0], machines)
    check(heard, detector, arrays, machines, score=1e-3)


def test_short_recordings_are_repeated_and_long_ones_cut(page, small_run, detector, tmp_path):
    write_web(small_run, tmp_path / "run.js")
    whole = 0.1 * np.random.default_rng(0).normal(size=detector.config.features.samples).astype(np.float32)
    short, long = whole[:5000], np.append(whole, whole)
    machines = [detector.config.machines[0]] * 4
    heard = hear(page, tmp_path / "run.js", [short, np.resize(short, len(whole)), long, whole], machines)["scores"]
    np.testing.assert_array_equal(heard[0], heard[1])
    np.testing.assert_array_equal(heard[2], heard[3])


def book_run():
    """The run of the book's chapters, where the book has been built."""
    wanted = replace(PRESETS["book"], least_steps=0)
    for path in sorted(keep.place().glob("run-*/scores.json")):
        detector = Detector.load(path.parent)
        if len(detector.config.machines) == 23 and detector.config.chosen() == wanted.chosen():
            return path.parent, detector
    return pytest.skip(f"no finished book in {keep.place()}: make editions first")


def test_the_book_s_own_run_is_heard_in_the_page_as_in_python_and_onnxruntime(page, tmp_path):
    """Ten test clips of each of 23 machines, by three witnesses: torch, the page, onnxruntime; two of each in 16 bits."""
    run, detector = book_run()
    own = {machine: [] for machine in detector.config.machines}
    for clip in scan(keep.place() / "park"):
        if clip.split == "test":
            own[clip.machine].append(clip)
    for half, score, every in ((True, 0.05, 20), (False, 1e-3, 4)):
        clips = [clip for of_one in own.values() for clip in of_one[::every]]
        arrays, machines = features_now(clips, detector.config.features), [clip.machine for clip in clips]
        write_web(run, tmp_path / "run.js", half=half)
        assert (tmp_path / "run.js").stat().st_size < (1.7e6 if half else 3.1e6)
        heard = hear(page, tmp_path / "run.js", arrays.inputs[0], machines)
        check(heard, detector, arrays, machines, score=score)
    assert len(clips) >= 200
    onnxruntime = pytest.importorskip("onnxruntime", reason="asdlib[export] is not installed")
    from asdlib.export import export

    export(run, tmp_path / "run.onnx")
    scores, _ = onnxruntime.InferenceSession(tmp_path / "run.onnx").run(None, {"waveform": arrays.inputs[0]})
    # It computes its own log-mel in 32 bits, so other numbers lie in the middle of two.
    assert np.abs(heard["scores"] - scores).max() < 0.01


def test_thresholds_travel_in_the_file_and_no_name_ends_the_script(page, tmp_path, small_park):
    name = "fan/<!--<script>"
    clips = [replace(clip, machine_id="<!--<script>") if clip.machine == "fan/id_00" else clip for clip in scan(small_park)]
    run = tmp_path / "run"
    train(clips, run, replace(SMALL, pretrain=None, finetune=replace(SMALL.finetune, epochs=1)))
    keep_threshold(run, name, "softmax", Threshold(3.5, "quantile", 20, 0.05, 0.0, 0.1))
    result = CliRunner().invoke(app, ["export", "--run", str(run), "--web", str(tmp_path / "run.js")])
    assert result.exit_code == 0, result.output
    assert re.search(r"wrote .*: 0\.\d\d MB", result.output.replace("\n", ""))
    page.set_content(f"<title>x</title><script>{(tmp_path / 'run.js').read_text()}</script>")
    found = page.evaluate("() => { const d = asdlive.detector(asdlive.run); return [d.machines, d.thresholds]; }")
    assert name in found[0]
    assert found[1] == {name: {"softmax": 3.5}}


def test_what_has_no_place_in_a_page_is_refused_before_anything_is_written(tmp_path, small_run, small_park):
    out = tmp_path / "run.js"
    detector = Detector.load(small_run)
    odd = replace(detector, config=replace(detector.config, features=FeatureConfig(seconds=1.0, n_fft=1000)))
    with pytest.raises(AsdError, match="a power of two, not of 1000"):
        write_web(odd, out)
    with pytest.raises(AsdError, match=r"cannot write|cannot be written"):
        write_web(small_run, tmp_path / "no" / "such" / "run.js")
    result = CliRunner().invoke(app, ["export", "--run", str(small_run)])
    assert isinstance(result.exception, AsdError)
    assert not out.exists()
    assert json.loads((small_run / "config.json").read_text())["preset"] == "book"
