"""The command ``asd``, as it is typed: what it prints, what it leaves, its exit code."""

import json
import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from asdlib import machines, methods
from asdlib.cache import features_now
from asdlib.data import scan
from asdlib.domain_shift import ShiftPreset
from asdlib.evaluation import EMBEDDING_SCORERS, SCORERS, machine_table, type_table
from asdlib.features import FeatureConfig
from asdlib.run import read_config
from asdlib.sound.shards import FILES
from tests.conftest import told_and_imported

CLP = ("--method", "clp-scf", "--epochs", "16")  # few clips would make more


def nearest_scores(known, asked):
    """What the method nearest makes of clips."""
    method = methods.get("nearest")
    return method.score(method.train(known, budget=method.BUDGET), known, asked)


@pytest.fixture(scope="module")
def trained(small_park, tmp_path_factory):
    """A run made by the command itself, with the preset book on 1 s clips of eight machines."""
    run = tmp_path_factory.mktemp("cli") / "run"
    words = ["train", small_park, "--run", run, *CLP, "--seconds", "1", "--device", "cpu"]
    subprocess.run([sys.executable, "-m", "asdlib", *map(str, words)], check=True, capture_output=True)
    return run


def test_help_names_every_command_and_says_where_to_start(asd):
    code, out, _ = asd("--help")
    assert code == 0
    for command in ("simulate", "download", "train", "evaluate", "score", "info"):
        assert command in out
        assert asd(command, "--help")[0] == 0
    assert "asd simulate park" in out


def test_version_names_what_an_error_report_should(asd):
    code, out, _ = asd("--version")
    lines = out.splitlines()
    assert lines[0] == f"asdlib {version('asdlib')}"
    assert f"torch {version('torch')}" in lines
    assert lines[-1].startswith(f"Python {platform.python_version()} on ")
    assert code == 0


def test_simulate_then_info(asd, tmp_path):
    code, out, _ = asd("simulate", tmp_path / "park", "--preset", "tiny", "--seed", 3)
    assert code == 0
    assert "asd train" in out  # the next step
    code, out, _ = asd("info", tmp_path / "park", "--json")
    assert json.loads(out)["fan/id_00"] == {"train normal": 6, "test normal": 4, "test anomaly": 4, "test unknown": 0}
    assert "ToyConveyor/id_03" in asd("info", tmp_path / "park")[1]


def test_a_park_of_two_microphones_says_to_choose_one(asd, tmp_path, monkeypatch):
    monkeypatch.setitem(machines.PARKS, "shift", ShiftPreset(seconds=0.2, train=(2, 1), test=1))
    code, out, _ = asd("simulate", tmp_path / "park", "--preset", "shift")
    assert code == 0
    assert out.rstrip().endswith("--run RUN --channel 0")
    found = json.loads(asd("info", tmp_path / "park", "--json")[1])
    domains = found["valve/section_01"].pop("domains")
    assert domains == {"test source": 2, "test target": 2, "train source": 2, "train target": 1}
    assert found["valve/section_01"] == {"train normal": 3, "test normal": 2, "test anomaly": 2, "test unknown": 0}


def test_evaluate_prints_tables_and_writes_the_challenge_files(asd, trained, small_park, tmp_path):
    code, out, _ = asd("evaluate", small_park, "--run", trained, "--csv", tmp_path / "csv")
    assert code == 0
    for word in ("fan/id_00", "average", "mAUC", *SCORERS):
        assert word in out
    files = sorted(p.name for p in (tmp_path / "csv").iterdir())
    assert files == [f"anomaly_score_{t}_id_0{i}.csv" for t in ("fan", "valve") for i in (0, 2, 4, 6)]
    lines = (tmp_path / "csv" / files[0]).read_text().splitlines()
    assert len(lines) == 8
    name, value = lines[0].split(",")
    assert name == "anomaly_id_00_00000000.wav"
    assert float(value) >= 0


def test_evaluate_json_is_what_a_script_needs(asd, trained, small_park):
    code, out, _ = asd("evaluate", small_park, "--run", trained, "--scorer", "knn", "--json")
    result = json.loads(out)
    assert (code, result["scorer"]) == (0, "knn")
    assert set(result["machines"]["fan/id_00"]) == {"clips", "auc", "pauc", "auc_low", "auc_high"}
    mean = np.mean([v["auc"] for k, v in result["machines"].items() if k.startswith("fan")])
    assert result["types"]["fan"]["auc"] == pytest.approx(mean)


def test_plain_detectors_stand_beside_a_run_of_the_papers_method(asd, trained, small_park, tmp_path):
    result = json.loads(asd("evaluate", small_park, "--run", trained, "--json")[1])
    assert set(result["averages"]) == {*SCORERS, "plain"}
    config = read_config(trained)
    parts = [[c for c in scan(small_park) if c.split == split] for split in ("train", "test")]
    known, asked = (features_now(part, config.features) for part in parts)
    alone = nearest_scores(known, asked)["mahalanobis"]
    table = pd.DataFrame({"machine": asked.machines, "label": [c.label for c in parts[1]], "score": alone})
    expected = type_table(machine_table(table, resamples=0)).loc["average"]
    assert result["averages"]["plain"]["auc"] == pytest.approx(expected.auc)
    out = asd("evaluate", small_park, "--run", trained)[1]
    assert re.search(r"plain +│ +[0-9.]+ │", out)
    ahead = expected.auc - result["averages"]["softmax"]["auc"]
    assert (f"ahead of softmax by {100 * ahead:.1f} points" in out) == (ahead > 0)
    # Where the training clips are not there, that is said.
    shutil.copytree(small_park / "fan" / "test", tmp_path / "data" / "fan" / "test")
    out = asd("evaluate", tmp_path / "data", "--run", trained)[1]
    assert "nothing plain beside it" in out


def test_one_file_gets_the_score_that_evaluate_gave_it(asd, trained, small_park, tmp_path):
    for scorer in ("softmax", "mahalanobis"):
        asd("evaluate", small_park, "--run", trained, "--csv", tmp_path / scorer, "--scorer", scorer)
        lines = (tmp_path / scorer / "anomaly_score_valve_id_06.csv").read_text().splitlines()
        expected = dict(line.split(",") for line in lines)
        name = "anomaly_id_06_00000002.wav"
        path = small_park / "valve" / "test" / name
        code, out, _ = asd("score", path, path, "--run", trained, "--machine", "valve/id_06", "--scorer", scorer, "--json")
        rows = json.loads(out)["scores"]
        assert (code, len(rows)) == (0, 2)
        assert rows[0]["score"] == pytest.approx(float(expected[name]), rel=1e-3, abs=1e-4)
        assert 0 <= rows[0]["training_share"] <= 1
    assert str(path) in asd("score", path, "--run", trained, "--machine", "valve/id_06")[1]


def test_scoring_one_file_waits_for_no_package_that_it_does_not_need(trained, small_park):
    path = sorted((small_park / "fan" / "test").glob("anomaly_id_00_*.wav"))[0]
    told, imported = told_and_imported(["score", path, "--run", trained, "--machine", "fan/id_00", "--device", "cpu"], "scipy")
    assert path.name in told
    assert imported == ["torch"]


def test_a_stereo_recording_of_another_rate_is_scored_on_request(asd, trained, small_park, tmp_path):
    x, _ = soundfile.read(small_park / "fan" / "test" / "normal_id_00_00000000.wav")
    folder = tmp_path / "x[b]"  # brackets are markup to the table's library
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.stack([0.1 * x[::-1], np.repeat(x, 3)[: len(x)]], axis=1), 48000)
    words = ["score", folder / "a.wav", "--run", trained, "--machine", "fan/id_00"]
    assert asd(*words)[0] == 2
    assert asd(*words, "--resample")[0] == 2
    code, out, _ = asd(*words, "--resample", "--channel", 1)
    assert code == 0
    assert str(folder / "a.wav") in out


def test_info_tells_a_runs_settings_and_losses(asd, trained):
    result = json.loads(asd("info", trained, "--json")[1])
    assert result["config"]["preset"] == "book"
    assert len(result["log"]) == result["config"]["pretrain"]["epochs"] + result["config"]["finetune"]["epochs"]
    assert "finetune" in asd("info", trained)[1]


def test_machines_that_the_run_does_not_know_are_left_out_and_named(asd, trained, park):
    code, out, _ = asd("evaluate", park, "--run", trained)
    assert code == 0
    assert "left out, not in this run: ToyCar/id_01" in out


def test_the_unlabelled_evaluation_set_is_scored_without_metrics(asd, trained, small_park, tmp_path):
    (tmp_path / "data" / "fan" / "test").mkdir(parents=True)
    for i, source in enumerate(sorted((small_park / "fan" / "test").glob("*id_00*"))):
        shutil.copy(source, tmp_path / "data" / "fan" / "test" / f"id_00_{i:08d}.wav")
    code, out, _ = asd("evaluate", tmp_path / "data", "--run", trained, "--csv", tmp_path / "csv")
    assert code == 0
    assert "no AUC" in out
    assert len((tmp_path / "csv" / "anomaly_score_fan_id_00.csv").read_text().splitlines()) == 8


def clip_of(data, x=None, *, rate=16000, name="normal_id_00_00000077.wav", **options):
    """Put one more training clip of fan id_00 beside the others."""
    path = data / "fan" / "train" / name
    x = np.random.default_rng(0).normal(0, 0.1, 16000) if x is None else x
    soundfile.write(path, x, rate, **options)
    return path


def cut(data):
    path = clip_of(data)
    path.write_bytes(path.read_bytes()[:9000])


def only_one_clip(data):
    for path in sorted((data / "fan" / "train").glob("*id_02*"))[1:]:
        path.unlink()


BAD_DATA = {
    "no such folder": (shutil.rmtree, "no folder"),
    "empty folder": (lambda data: [shutil.rmtree(data / t) for t in ("fan", "valve")], "no clips"),
    "a machine with one clip": (only_one_clip, "only one training clip of fan/id_02"),
    "truncated WAV": (cut, "truncated"),
    "text named .wav": (lambda data: clip_of(data).write_text("hello"), "not a WAV file"),
    "zero bytes": (lambda data: clip_of(data).write_bytes(b""), "empty file"),
    "zero length": (lambda data: clip_of(data, np.zeros(0)), "no samples"),
    "NaN": (lambda data: clip_of(data, np.full(16000, np.nan), subtype="FLOAT"), "not numbers"),
    "silence": (lambda data: clip_of(data, np.zeros(16000)), "silent"),
    "wrong rate": (lambda data: clip_of(data, rate=44100), "--resample"),
    "a link to nothing": (lambda data: (data / "fan/train/normal_id_00_00000077.wav").symlink_to("nowhere"), "00000077.wav"),
    "stereo": (lambda data: clip_of(data, np.random.default_rng(0).normal(0, 0.1, (16000, 2))), "--channel"),
    "a name without ID": (lambda data: clip_of(data, name="fan7.wav"), "fan7.wav"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_training_data_is_one_sentence_exit_code_2_and_no_half_run(asd, small_park, tmp_path, kind):
    make, message = BAD_DATA[kind]
    data = shutil.copytree(small_park, tmp_path / "data")
    make(data)
    code, out, err = asd("train", data, "--run", tmp_path / "run", *CLP, "--seconds", 1, "--cache", tmp_path / "cache")
    said = [line for line in err.splitlines() if line.startswith("asd: ")]
    assert (code, len(said)) == (2, 1), err
    assert message in said[0]
    assert "Traceback" not in err + out
    # Nothing half: what was computed of the good ones is not lost.
    assert all({p.name for p in shard.iterdir()} == FILES for shard in (tmp_path / "cache").glob("*"))
    if (tmp_path / "run").exists():  # the same command, once the data is mended, must not find its place taken
        pytest.fail(f"left behind: {list((tmp_path / 'run').iterdir())}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score", "{clip}", "--run", "{run}", "--machine", "fan/id_09"], "does not know the machine 'fan/id_09'"),
        (["score", "{clip}", "--run", "{run}", "--machine", "fan"], "does not know the machine 'fan'"),
        (["score", "nowhere.wav", "--run", "{run}", "--machine", "fan/id_00"], "no file nowhere.wav"),
        (["score", "{clip}", "--run", "{data}", "--machine", "fan/id_00"], "not a run directory"),
        (["evaluate", "{data}", "--run", "nowhere"], "not a run directory"),
        (["evaluate", "nowhere", "--run", "{run}"], "no folder nowhere"),
        (["train", "{data}", "--run", "{run}"], "exists already"),
        (["train", "{data}", "--run", "{run}", "--resume", *CLP, "--seed", "5", "--seconds", "1"], "other settings (seed)"),
        (["train", "{data}", "--run", "{run}", "--resume", *CLP, "--seconds", "0.5"], "other settings (window)"),
        (["simulate", "{data}"], "exists already"),
        (["simulate", "."], "exists already"),
        (["train", "{data}", "--run", "new", "--seconds", "nan"], "nan s make no sense"),
        (["evaluate", "{data}", "--run", "{run}", "--csv", "{clip}"], "cannot write CSV files"),
        (["info", "nowhere"], "no folder nowhere"),
        (["download", "{data}", "--machine", "toaster"], "toaster"),
    ],
)
def test_bad_requests_are_one_sentence_and_exit_code_2(asd, trained, small_park, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    places = {"run": trained, "data": small_park, "clip": small_park / "fan" / "test" / "normal_id_00_00000000.wav"}
    code, out, err = asd(*(word.format(**places) for word in words))
    said = [line for line in err.splitlines() if line.startswith("asd: ")]
    assert (code, len(said)) == (2, 1), err
    assert message in said[0]
    assert "Traceback" not in err + out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that nobody may write to")
@pytest.mark.parametrize(
    "words",
    [
        ["train", "{data}", "--run", "/sys/asd/run", "--seconds", "1"],
        ["train", "{data}", "--run", "new", "--cache", "/sys/asd/cache", "--seconds", "1"],
        ["evaluate", "{data}", "--run", "{run}", "--csv", "/sys/asd/csv"],
        ["score", "{clip}", "--run", "{run}", "--machine", "fan/id_00", "--every", "0.5", "--csv", "/sys/asd/csv"],
        ["report", "{data}", "--run", "{run}", "--out", "/sys/page.html"],
        ["export", "--run", "{run}", "--out", "/sys/run.onnx"],
        ["simulate", "/sys/asd/park", "--preset", "tiny"],
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence(asd, trained, small_park, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    places = {"run": trained, "data": small_park, "clip": small_park / "fan" / "test" / "normal_id_00_00000000.wav"}
    code, out, err = asd(*(word.format(**places) for word in words))
    said = [line for line in err.splitlines() if line.startswith("asd: ")]
    assert (code, len(said)) == (2, 1), err
    assert "cannot" in said[0]
    assert "/sys/" in said[0]
    assert "Traceback" not in err + out
    assert list(tmp_path.iterdir()) == []


def test_words_that_are_no_option_exit_with_2(asd):
    assert asd("train")[0] == 2
    assert asd("simulate", "x", "--preset", "huge")[0] == 2
    assert asd("train", "x", "--run", "y", "--seed", -1)[0] == 2
    assert asd("train", "x", "--run", "y", "--device", "abacus")[0] == 2


def test_ctrl_c_leaves_a_run_that_goes_on(asd, small_park, tmp_path, monkeypatch):
    import asdlib.learn.training

    real = asdlib.learn.training.Checkpoint.save

    def save_then_interrupt(self, model, optimizer, log, *place):
        real(self, model, optimizer, log, *place)
        if len(log) == 2:
            raise KeyboardInterrupt

    words = ["train", small_park, "--run", tmp_path / "run", *CLP, "--seconds", 1, "--device", "cpu", "--no-pretrain"]
    monkeypatch.setattr(asdlib.learn.training.Checkpoint, "save", save_then_interrupt)
    code, _, err = asd(*words)
    assert code == 130
    assert "--resume" in err
    monkeypatch.setattr(asdlib.learn.training.Checkpoint, "save", real)
    code, out, _ = asd(*words, "--resume")
    assert code == 0
    assert "trained on 48 clips of 8 machines" in out


def test_settings_are_printed_changed_in_a_file_and_given_back(asd, tmp_path, small_park):
    code, out, _ = asd("train", "--print-config", *CLP, "--epochs", 3, "--seed", 7, "--sample-rate", 8000)
    assert code == 0
    settings = json.loads(out)
    assert (settings["pretrain"]["epochs"], settings["finetune"]["epochs"], settings["seed"]) == (3, 3, 7)
    assert (settings["features"]["sample_rate"], settings["features"]["f_max"]) == (8000, 4000.0)
    assert not {"machines", "data", "identity", "mark"} & set(settings)
    file = tmp_path / "settings.json"
    file.write_text(out)
    assert json.loads(asd("train", "--print-config", "--config", file)[1]) == settings
    changed = json.loads(asd("train", "--print-config", "--config", file, "--seed", 8, "--accumulation-steps", 2)[1])
    assert changed["seed"] == 8
    assert {changed[stage]["accumulation_steps"] for stage in ("pretrain", "finetune")} == {2}
    assert changed["features"] == settings["features"]
    file.write_text('{"preset": "paper", "pretrain": null}')
    alone = json.loads(asd("train", "--print-config", "--config", file, "--epochs", 5, "--parts", 2)[1])
    assert alone["pretrain"] is None
    assert (alone["preset"], alone["finetune"]["epochs"], alone["finetune"]["accumulation_steps"]) == ("paper", 5, 2)
    for text, message in (('{"colour": 1}', "no setting 'colour'"), ("[", "not the config"), ('{"seed": "x"}', "seed is 'x'")):
        file.write_text(text)
        code, _, error = asd("train", small_park, "--run", tmp_path / "run", "--config", file)
        assert (code, error.count("\n")) == (2, 1)
        assert message in error
    assert not (tmp_path / "run").exists()
    assert asd("train", small_park)[0] == 2
    assert asd("train", "--run", tmp_path / "run")[0] == 2


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (("train", "--device", "abacus"), ("auto", "cpu", "cuda", "mps")),
        (("train", "--preset", "pocket"), ("paper", "book")),
        (("train", "--precision", "16"), ("32", "bf16")),
        (("train", "--short", "stretch"), ("repeat", "refuse")),
        (("simulate", "x", "--preset", "huge"), ("tiny", "book", "long", "dcase", "shift", "shift-noise")),
        (("train", "--method", "magic"), ("ensemble", "clp-scf")),
    ],
)
def test_what_an_option_may_be_is_looked_up_in_the_package(asd, words, choices):
    code, _, error = asd(*words)
    assert code == 2
    for choice in choices:
        assert choice in error


def test_the_scorers_that_there_are_depend_on_the_run(asd, small_run, small_park):
    code, _, error = asd("evaluate", small_park, "--run", small_run, "--scorer", "magic")
    assert code == 2
    assert f"no scorer 'magic': choose one of {', '.join(SCORERS)}" in error


def test_a_scorer_that_is_one_more_row_of_the_table_is_a_choice_everywhere(asd, small_run, small_park, monkeypatch):
    monkeypatch.setitem(EMBEDDING_SCORERS, "length", lambda known, asked: np.linalg.norm(asked, axis=1))
    code, out, error = asd("evaluate", small_park, "--run", small_run, "--scorer", "length", "--json")
    assert code == 0, error
    assert json.loads(out)["scorer"] == "length"
    assert "length" in asd("evaluate", small_park, "--run", small_run)[1]


def test_scores_of_a_machine_with_few_training_clips_come_with_a_word(asd, trained, small_park):
    clip = sorted((small_park / "fan" / "test").glob("normal_id_02_*.wav"))[0]
    out = " ".join(asd("score", clip, "--run", trained, "--machine", "fan/id_02", "--scorer", "mahalanobis")[1].split())
    assert "They are only 6: the score may be huge, and above all of them, without a fault" in out


def test_methods_are_compared_on_recordings_without_a_run(asd, small_park, tmp_path):
    code, out, error = asd("compare", small_park, "--json", "--device", "cpu", "--cache", tmp_path / "cache")
    assert code == 0, error
    (row,) = json.loads(out)["rows"]
    assert (row["method"], row["scorer"], row["budget"]) == ("nearest", "mahalanobis", "examples")
    parts = [[c for c in scan(small_park) if c.split == split] for split in ("train", "test")]
    known, asked = (features_now(part, FeatureConfig(seconds=1.0)) for part in parts)
    expected = nearest_scores(known, asked)
    assert row["scorers"].keys() == expected.keys() == set(methods.detector("nearest").SCORERS)
    for scorer, scores in expected.items():
        table = pd.DataFrame({"machine": asked.machines, "label": [c.label for c in parts[1]], "score": scores})
        average = type_table(machine_table(table, resamples=0)).loc["average"]
        for figure in ("auc", "pauc", "mauc"):
            assert row["scorers"][scorer][figure] == [pytest.approx(average[figure])]


def test_methods_are_compared_on_ready_spectra(asd, tmp_path):
    rng = np.random.default_rng(0)
    machines = np.repeat(["fan/id_00", "fan/id_02"], 30)
    truth = np.tile([0, 1], 30)
    arrays = {
        "train": rng.normal(size=(60, 6, 4)) + np.repeat([0, 5], 30)[:, None, None],
        "train_machine": machines,
        "test": rng.normal(size=(60, 6, 4)) + np.repeat([0, 5], 30)[:, None, None] + 3 * truth[:, None, None],
        "test_machine": machines,
        "test_is_anomaly": truth,
    }
    np.savez(tmp_path / "spectra.npz", **arrays)
    words = ("--method", "nearest", "--method", "clp_scf", "--method", "twfr-gmm", "--epochs", 2, "--device", "cpu")
    code, out, error = asd("compare", tmp_path / "spectra.npz", *words)
    assert code == 0, error
    assert re.search(r"nearest │ +mahalanobis │ +100.00 │", out)
    assert re.search(r"clp-scf │ +softmax │", out)
    why = "reads sound only: it pools over time, which spectra have averaged out"
    assert f"twfr-gmm: n/a: {why}" in out
    code, _, error = asd("compare", tmp_path / "spectra.npz", "--method", "twfr-gmm")
    assert (code, f"twfr-gmm {why}: choose another method for these spectra" in " ".join(error.split())) == (2, True)
    assert asd("compare", tmp_path / "spectra.npz", "--method", "magic")[0] == 2
    arrays["test_is_anomaly"] = 0 * truth
    np.savez(tmp_path / "spectra.npz", **arrays)
    code, _, error = asd("compare", tmp_path / "spectra.npz")
    assert (code, "Traceback" in error) == (2, False)
