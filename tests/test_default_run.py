"""What ``asd train`` builds where no method is named: an ensemble, on whole clips, with which every other command works."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.stats import norm

from asdlib.checkpoint import read_log
from asdlib.data import Clip, scan
from asdlib.detector import Detector, train
from asdlib.errors import AsdError
from asdlib.export import export
from asdlib.fitting import fitted_to, whole_seconds
from asdlib.report import write_report
from asdlib.run import PRESETS, read_config
from asdlib.spectrogram_encoder import SpectrogramConfig
from asdlib.stream import StreamScorer, score
from asdlib.training import StageConfig
from asdlib.use.export_ensemble import surprise
from tests.conftest import told_and_imported

BEST = PRESETS["best"]
QUICK = replace(
    BEST, encoder=SpectrogramConfig(width=8, embedding_dim=16), finetune=StageConfig(3, 16, 1e-3, cosine_from=0), least_steps=6
)
PARTS = ("levels", "modulation", "spectrum", "network")


@pytest.fixture(scope="module")
def run(small_park, tmp_path_factory):
    folder = tmp_path_factory.mktemp("default") / "run"
    train(scan(small_park), folder, QUICK, device="cpu", cache=tmp_path_factory.getbasetemp() / "feature-cache")
    return folder


@pytest.fixture(scope="module")
def detector(run):
    return Detector.load(run)


def asd(*words, **options):
    command = [sys.executable, "-m", "asdlib", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_run_holds_what_it_has_chosen_and_by_what(run, detector):
    assert sorted(p.name for p in run.iterdir()) == [
        "README.md", "config.json", "embeddings.safetensors", "log.csv", "rehearsal.json", "scores.json", "weights.safetensors",
    ]  # fmt: skip
    assert {row["stage"] for row in read_log(run / "log.csv")} == {"rehearsal", "network"}
    found = detector.rehearsal
    assert found.strangers == ("fan/id_00", "valve/id_00")
    assert set(found.kept) == {part for part, kept in zip(PARTS, detector.model.kept.tolist(), strict=True) if kept}
    assert detector.scorers == ("fused", "plain", *PARTS)
    assert detector.bank.shape == (48, sum(detector.model.widths.values()))


def test_clips_of_the_park_are_looked_at_as_a_whole(run, small_park):
    config = read_config(run)
    assert config.features.seconds == pytest.approx(soundfile.info(scan(small_park)[0].path).duration)


def test_it_finds_faults_and_a_file_a_stream_and_the_whole_set_have_the_same_scores(detector, small_park):
    clips = [clip for clip in scan(small_park) if clip.split == "test" and clip.machine == "valve/id_06"]
    table = detector.score_clips(clips, device="cpu")
    assert list(table.columns) == ["machine", "name", "label", "domain", "fused", "plain", *PARTS]
    for clip, row in zip(clips[:3], table.to_dict(orient="records"), strict=False):
        for scorer in detector.scorers:
            track = score(clip.path, run=detector, machine=clip.machine, scorer=scorer, device="cpu")
            np.testing.assert_allclose(track.score, [row[scorer]], rtol=1e-3, atol=1e-3)
    x, _ = soundfile.read(clips[0].path, dtype="float32")
    stream = StreamScorer(detector, "valve/id_06", device="cpu")
    found = [window for chunk in np.array_split(x, 7) for window in stream.push(chunk)]
    np.testing.assert_allclose([value for _, value in found], table.fused[:1], rtol=1e-3, atol=1e-3)
    kept = [part for part in PARTS if part in detector.rehearsal.kept]
    np.testing.assert_allclose(table.fused, table[kept].mean(axis=1))
    np.testing.assert_allclose(table.plain, table[list(PARTS[:3])].mean(axis=1))


def test_the_onnx_file_scores_as_the_detector_does_and_names_the_parts(detector, small_park, tmp_path):
    pytest.importorskip("onnxscript", reason="asdlib[export] is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="asdlib[export] is not installed")
    export(detector, tmp_path / "run.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "run.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["parts"]) == list(PARTS)
    clips = [clip for clip in scan(small_park) if clip.split == "test"][::5]
    waveforms = np.stack([soundfile.read(clip.path, dtype="float32")[0] for clip in clips])
    score, parts, _ = session.run(None, {"waveform": waveforms})
    table = detector.score_clips(clips, device="cpu")
    for row, found, by_part in zip(table.to_dict(orient="records"), score, parts, strict=True):
        own = detector.label(row["machine"])
        assert found[own] == pytest.approx(row["fused"], rel=2e-3)
        np.testing.assert_allclose(by_part[own], [row[part] for part in PARTS], rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("z", [-8.0, -1.0, -1e-9, 0.0, 0.5, 3.0, 6.0, 37.0, 400.0])
def test_the_surprise_of_the_onnx_file_is_that_of_scipy(z):
    found = surprise(torch.tensor([z], dtype=torch.float64)).item()
    assert found == pytest.approx(-norm.logsf(z), rel=3e-7, abs=1e-15)


def test_what_is_fitted_to_a_machine_is_fitted_once(detector, monkeypatch):
    rows = detector.bank[detector.bank_labels == 2][:3]
    first = detector.scores(rows, detector.config.machines[2])
    monkeypatch.setattr("asdlib.use.detector.judge_of", None)
    np.testing.assert_array_equal(detector.scores(rows, detector.config.machines[2]), first)


def test_a_training_clip_is_usual_and_shares_are_of_clips_held_against_the_others(detector):
    for machine, by_scorer in detector.percentiles.items():
        assert set(by_scorer) == set(detector.scorers)
        middle = by_scorer["fused"][50]
        assert 0.1 < middle < 3, machine  # a surprise of clips that do not surprise
        assert detector.training_share(middle, machine) == pytest.approx(0.5, abs=0.05)


def test_a_training_that_was_interrupted_goes_on_to_the_same_run(run, small_park, tmp_path):
    class StopError(Exception):
        pass

    def stop_at(text):
        def on_step(now, done, total):
            if now == text:
                raise StopError

        return on_step

    for text in ("rehearsal 2/3", "network 2/3"):
        with pytest.raises(StopError):
            train(
                scan(small_park), tmp_path / "run", QUICK, device="cpu", resume=text != "rehearsal 2/3", on_step=stop_at(text)
            )
    seen = []
    again = train(
        scan(small_park), tmp_path / "run", QUICK, device="cpu", resume=True, on_step=lambda text, *_: seen.append(text)
    )
    assert not any(text.startswith("rehearsal") for text in seen)
    np.testing.assert_array_equal(again.bank, Detector.load(run).bank)
    assert again.rehearsal == Detector.load(run).rehearsal
    assert again.percentiles == Detector.load(run).percentiles
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(p.name for p in run.iterdir())


def test_a_rehearsal_that_is_damaged_or_of_another_run_is_refused(run, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    for path in run.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    whole = json.loads((copy / "rehearsal.json").read_text())
    for content, why in (
        ("{", "is damaged"),
        (json.dumps(whole | {"auc": [1]}), "is damaged"),
        (json.dumps(whole | {"gain": None, "more": 1}), "is damaged"),
        (json.dumps(whole | {"run": "another"}), "belongs to other settings"),
    ):
        (copy / "rehearsal.json").write_text(content)
        with pytest.raises(AsdError, match=rf"rehearsal\.json {why}"):
            Detector.load(copy)
    (copy / "rehearsal.json").unlink()
    with pytest.raises(AsdError, match=r"rehearsal\.json is damaged"):
        Detector.load(copy)


# --------------------------------------------------------------------------------------------------------------- commands


def test_the_commands_work_on_it_and_name_the_parts(run, small_park, tmp_path):
    done = asd("evaluate", small_park, "--run", run)
    assert done.returncode == 0, done.stderr
    for word in ("scorer fused", "plain", *PARTS):
        assert word in done.stdout
    healthy = sorted((small_park / "fan" / "test").glob("normal_id_02_*.wav"))
    faulty = sorted((small_park / "fan" / "test").glob("anomaly_id_02_*.wav"))
    about = ("--run", run, "--machine", "fan/id_02", "--device", "cpu")
    done = asd("threshold", *healthy, *about, "--rate", 0.3)
    assert done.returncode == 0, done.stderr
    assert "fan/id_02, scorer fused: alarm above" in done.stdout
    row = json.loads(asd("score", faulty[0], *about, "--json").stdout)["scores"][0]
    assert set(row["parts"]) == set(PARTS)
    kept = Detector.load(run).rehearsal.kept
    assert row["score"] == pytest.approx(np.mean([row["parts"][part] for part in kept]))
    assert "alarm" in row
    assert "held against the others" in asd("score", faulty[0], *about).stdout
    done = asd("score", faulty[0], *about, "--scorer", "softmax")
    assert done.returncode == 2
    assert "no scorer 'softmax': choose one of fused, plain, levels" in done.stderr
    sound = (soundfile.read(faulty[0], dtype="int16")[0]).tobytes()
    done = subprocess.run(
        [sys.executable, "-m", "asdlib", "stream", *map(str, about)], input=sound, capture_output=True, check=True
    )
    assert float(done.stdout.split()[1]) == pytest.approx(row["score"], rel=1e-3)


def test_the_report_says_which_part_has_heard_it(detector, small_park, tmp_path):
    clips = [clip for clip in scan(small_park) if clip.split == "test"][:4]
    write_report(tmp_path / "report.html", clips, detector, {}, device="cpu")
    page = (tmp_path / "report.html").read_text()
    assert "by its parts" in page
    assert page.count("network ") >= 4
    assert "Score: fused" in page


def test_train_says_what_the_rehearsal_has_found(small_park, tmp_path):
    config = tmp_path / "quick.json"
    config.write_text(json.dumps(QUICK.chosen()))
    done = asd("train", small_park, "--run", tmp_path / "run", "--config", config, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "mixtures of them with fan/id_00, valve/id_00, which were left out" in done.stdout
    for word in (*PARTS, "plain", "all", "kept", "points beside plain detectors alone"):
        assert word in done.stdout
    assert "few clips of 8 of 8 machines (6 of fan/id_00)" in done.stderr


@pytest.mark.parametrize(("words", "expected"), [
    ((), ("best", "ensemble")),
    (("--method", "ensemble"), ("best", "ensemble")),
    (("--method", "clp-scf"), ("book", "clp_scf")),
    (("--method", "clp-scf", "--preset", "paper"), ("paper", "clp_scf")),
    (("--preset", "book"), ("book", "clp_scf")),
])  # fmt: skip
def test_a_method_and_a_preset_mean_settings(words, expected):
    values = json.loads(asd("train", "--print-config", *words).stdout)
    assert (values["preset"], values["method"]) == expected


def test_what_does_not_go_together_is_refused():
    done = asd("train", "--print-config", "--method", "ensemble", "--preset", "paper")
    assert "the preset paper is one of clp-scf, not of ensemble" in done.stderr
    done = asd("train", "--print-config", "--no-pretrain")
    assert "--no-pretrain leaves out stage 1 of clp-scf: add --method clp-scf" in done.stderr
    values = json.loads(asd("train", "--print-config", "--seconds", 4, "--epochs", 5).stdout)
    assert (values["whole_clips"], values["encoder"]["seconds"], values["least_steps"]) == (True, 4.0, 0)
    values = json.loads(asd("train", "--print-config", "--preset", "book", "--seconds", 4).stdout)
    assert (values["whole_clips"], values["window"]) == (True, 4.0)
    values = json.loads(asd("train", "--print-config", "--preset", "paper", "--seconds", 4).stdout)
    assert (values["whole_clips"], values["window"], values["features"]["seconds"]) == (False, None, 4.0)
    with pytest.raises(AsdError, match="no method 'magic': choose one of"):
        replace(BEST, method="magic")


# ---------------------------------------------------------------------------------------------------------------- fitting


def recordings(folder: Path, seconds: list[float], rate: int = 16000) -> list[Clip]:
    clips = []
    for i, length in enumerate(seconds):
        path = folder / f"{i}.wav"
        soundfile.write(path, np.random.default_rng(i).normal(size=round(length * rate)) * 0.1, rate)
        clips.append(Clip(path, "fan", f"id_{i % 2:02d}", "train", "normal"))
    return clips


def test_whole_clips_are_as_long_as_the_longest_that_is_not_far_longer_than_most(tmp_path):
    for lengths, whole in (([1.0, 1.1, 1.0], 1.1), ([1.0, 1.0, 1.0, 9.0], 1.0), ([31.0, 31.0], 30.0)):
        assert whole_seconds(lengths) == whole
        fitted = fitted_to(replace(BEST, least_steps=0), recordings(tmp_path, lengths))
        assert (fitted.features.seconds, fitted.rates) == (whole, (16000,))
    with pytest.raises(AsdError, match="is sampled at 8000 Hz instead of 16000"):
        fitted_to(BEST, recordings(tmp_path, [1.0], rate=8000))


def test_few_clips_make_more_epochs_of_smaller_batches_and_a_word_about_it(tmp_path, caplog):
    few = fitted_to(BEST, recordings(tmp_path, [1.0] * 100))
    assert (few.finetune.batch_size, few.finetune.epochs, few.finetune.cosine_from) == (32, 84, 0)  # 84 · 3 steps
    assert "100 clips are few: 84 epochs instead of 12, so that there are 252 steps" in caplog.text
    assert "few clips of" not in caplog.text
    path = recordings(tmp_path, [1.0])[0].path
    many = [Clip(path, "fan", f"id_{i % 2:02d}", "train", "normal", start=i / 1e4) for i in range(2000)]
    plain = replace(BEST, whole_clips=False)
    assert fitted_to(plain, many) == plain  # 31 steps, 12 epochs
    book = fitted_to(PRESETS["book"], recordings(tmp_path, [1.0] * 4))
    assert (book.features.seconds, book.window) == (1.0, 1.0)
    assert (book.pretrain.epochs, book.finetune.epochs, book.finetune.batch_size) == (250, 250, 32)  # a step an epoch
    assert fitted_to(PRESETS["paper"], recordings(tmp_path, [1.0] * 4)) == PRESETS["paper"]


def test_the_challenges_list_of_truths_labels_what_names_do_not_say(run, small_park, tmp_path):
    labelled = asd("evaluate", small_park, "--run", run, "--json")
    lines = []
    for machine_type in ("fan", "valve"):
        (tmp_path / "eval" / machine_type / "test").mkdir(parents=True)
        lines.append(machine_type)
        for i, path in enumerate(sorted((small_park / machine_type / "test").glob("*.wav"))):
            name = f"id_{path.stem.split('_id_')[1][:2]}_{i:08d}.wav"
            (tmp_path / "eval" / machine_type / "test" / name).write_bytes(path.read_bytes())
            lines.append(f"{name},{path.name},{int(path.name.startswith('anomaly'))}")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    hidden = asd("evaluate", tmp_path / "eval", "--run", run, "--json")
    assert json.loads(hidden.stdout)["machines"] == {}
    told = asd("evaluate", tmp_path / "eval", "--run", run, "--json", "--truth", tmp_path / "list.csv")
    assert told.returncode == 0, told.stderr
    expected, found = (json.loads(done.stdout)["machines"] for done in (labelled, told))
    assert {m: row["auc"] for m, row in found.items()} == {m: pytest.approx(row["auc"]) for m, row in expected.items()}


def test_scoring_one_file_waits_for_no_package_that_it_does_not_need(run, small_park):
    path = sorted((small_park / "fan" / "test").glob("anomaly_id_00_*.wav"))[0]
    words = ["score", path, "--run", run, "--machine", "fan/id_00", "--device", "cpu"]
    told, imported = told_and_imported(words, "scipy.stats")
    assert path.name in told
    assert imported == ["torch"]


def test_what_is_known_of_the_training_clips_is_not_computed_at_each_start(run, monkeypatch):
    def refused(*args):
        raise AssertionError("computed anew")

    monkeypatch.setattr("asdlib.use.bank.cross_surprises", refused)
    Detector.load(run)
