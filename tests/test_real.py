"""Real DCASE 2020 Task 2 recordings take the very path that the simulated park takes."""

import json

import pytest

from asdlib.data import read, scan
from asdlib.features import FeatureConfig, log_mel


def test_the_real_excerpt_is_found_and_read(real_excerpt):
    clips = scan(real_excerpt)
    assert len(clips) == 263
    assert len({clip.machine for clip in clips}) == 23
    for clip in clips[::20]:
        x = read(clip.path)
        assert 10 <= len(x) / 16000 <= 11.1
        config = FeatureConfig()
        mel = log_mel(x[: config.samples], config)
        assert mel.shape == (128, 313)
        assert -100 < mel.median() < 30


def test_real_recordings_are_trained_evaluated_and_scored_from_the_command_line(real_excerpt, tmp_path, asd, caplog):
    run = tmp_path / "run"
    words = ("--method", "clp-scf", "--epochs", 16, "--no-pretrain", "--seconds", 1, "--device", "cpu")
    code, _, err = asd("train", real_excerpt, "--run", run, *words)
    assert (code, "only one training clip" in err) == (2, True)
    code, _, err = asd("train", real_excerpt, "--run", run, *words, "--skip-single")
    assert code == 0, err
    assert "left out, a single training clip" in caplog.text
    assert "clips are shorter and repeated up to 11 s" in caplog.text  # no second of the longest is thrown away
    code, out, _ = asd("evaluate", real_excerpt, "--run", run, "--csv", tmp_path / "csv", "--json")
    result = json.loads(out)
    assert code == 0
    assert len(result["machines"]) == 9
    assert "pump/id_02" in result["not_in_run"]
    assert len(list((tmp_path / "csv").glob("anomaly_score_*.csv"))) == 9
    path = sorted((real_excerpt / "fan" / "test").glob("anomaly_id_02_*.wav"))[0]
    code, out, _ = asd("score", path, "--run", run, "--machine", "fan/id_02", "--json")
    assert code == 0
    lines = (tmp_path / "csv" / "anomaly_score_fan_id_02.csv").read_text().split()
    expected = dict(line.split(",") for line in lines)
    assert json.loads(out)["scores"][0]["score"] == pytest.approx(float(expected[path.name]), rel=1e-2, abs=1e-3)
