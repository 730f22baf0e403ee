"""The commands that use a finished run: thresholds, long recordings, streams, the report, the export."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asdlib.data import Clip, read, scan
from asdlib.machines import render
from asdlib.report import Judged
from asdlib.stream import score
from asdlib.threshold import read_thresholds

MACHINE = "fan/id_02"


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of the small run, so that a threshold may be kept in it."""
    shutil.copytree(small_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """Twenty healthy recordings that were not trained on."""
    folder = tmp_path_factory.mktemp("healthy")
    for i in range(20):
        soundfile.write(folder / f"{i:02}.wav", render(MACHINE, 500 + i, split="test").waveform[:16000], 16000)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def minute(tmp_path_factory):
    """20 s of the fan, with another machine's sound from 8 to 10 s."""
    path = tmp_path_factory.mktemp("long") / "minute.wav"
    x = np.concatenate([render(MACHINE, 600 + i, split="test").waveform[:32000] for i in range(10)])
    x[8 * 16000 : 10 * 16000] = render("valve/id_04", 0, split="test").waveform[:32000]
    soundfile.write(path, x, 16000)
    return path


def test_a_threshold_is_chosen_kept_and_used(asd, run, healthy, detector):
    code, out, err = asd("threshold", *healthy, "--run", run, "--machine", MACHINE)
    assert code == 0, err
    assert "20 healthy clips" in out
    kept = read_thresholds(run)[MACHINE]["softmax"]
    assert kept.expected == pytest.approx(1 / 21)
    rows = json.loads(asd("score", *healthy, "--run", run, "--machine", MACHINE, "--json")[1])
    assert rows["threshold"] == kept.value
    scores = [row["score"] for row in rows["scores"]]
    assert kept.value == pytest.approx(max(scores), rel=1e-5)
    words = ("score", *healthy, "--run", run, "--machine", MACHINE, "--threshold", sorted(scores)[-2])
    assert asd(*words)[1].count("ALARM") == 1
    assert [row["alarm"] for row in json.loads(asd(*words, "--json")[1])["scores"]].count(True) == 1
    code, out, _ = asd("threshold", *healthy, "--run", run, "--machine", MACHINE, "--method", "gamma", "--json")
    assert json.loads(out)["method"] == "gamma"
    assert read_thresholds(run)[MACHINE]["softmax"].method == "gamma"


def test_thresholds_that_would_mislead_are_refused(asd, run, healthy, small_park):
    words = ("--run", run, "--machine", MACHINE)
    code, _, err = asd("threshold", *healthy[:5], *words)
    assert code == 2
    assert "5 calibration clips cannot promise a false-alarm rate of 0.05" in err
    known = [clip.path for clip in scan(small_park) if clip.machine == MACHINE and clip.split == "train"]
    code, _, err = asd("threshold", *healthy, known[0], *words)
    assert code == 2
    assert f"{known[0]} was trained on" in err
    code, _, err = asd("threshold", *healthy, healthy[3], *words)
    assert code == 2
    assert f"{healthy[3]} is the same recording as {healthy[3]}" in err
    assert not (run / "thresholds.json").exists()
    (run / "thresholds.json").write_text("{")
    code, _, err = asd("score", healthy[0], *words)
    assert (code, "is damaged" in err) == (2, True)


def test_scores_along_a_recording_with_segments_and_csv(asd, run, minute, detector, tmp_path):
    track = score(minute, run=detector, machine=MACHINE, every=0.5)
    limit = np.sort(track.score)[-4]
    words = ("score", minute, "--run", run, "--machine", MACHINE, "--every", 0.5, "--threshold", limit)
    code, out, err = asd(*words, "--csv", tmp_path / "tracks")
    assert code == 0, err
    assert "minute.wav: 39 windows of 1 s; highest score" in out
    lines = (tmp_path / "tracks" / "minute.csv").read_text().splitlines()
    assert lines[0] == "start,end,score"
    assert [float(line.split(",")[2]) for line in lines[1:]] == track.score  # on the same side of every threshold
    told = json.loads(asd(*words, "--json")[1])["tracks"][0]
    assert told["segments"] == [vars(segment) for segment in track.segments(limit)]
    code, _, err = asd("score", minute, "--run", run, "--machine", MACHINE, "--csv", tmp_path)
    assert (code, "add --every" in err) == (2, True)


def test_every_command_shows_on_which_side_of_the_threshold_a_score_lies(asd, run, healthy, minute):
    of_machine = ("--run", run, "--machine", MACHINE)
    exact = json.loads(asd("score", healthy[0], *of_machine, "--json")[1])["scores"][0]["score"]
    for limit, alarm in ((np.nextafter(exact, np.inf), False), (np.nextafter(exact, -np.inf), True)):
        _, out, _ = asd("score", healthy[0], *of_machine, "--threshold", repr(float(limit)))
        shown = float(re.search(r"threshold (\S+)", out)[1])
        value = float(out.split(healthy[0].name)[1].split()[1])  # the cell after the name
        assert ("ALARM" in out, value > shown, value < shown) == (alarm, alarm, not alarm)
    track = score(minute, run=run, machine=MACHINE, every=1.0)
    limit = float(np.nextafter(track.highest[1], -np.inf))
    _, out, _ = asd("score", minute, *of_machine, "--every", 1, "--threshold", repr(limit))
    assert float(re.search(r"highest score (\S+) at", out)[1]) > float(re.search(r"above the threshold (\S+)", out)[1])
    samples = (read(healthy[0]) * 2**15).astype("<i2").tobytes()  # of one window
    (exact,) = score(healthy[0], run=run, machine=MACHINE).score
    for limit, alarm in ((np.nextafter(exact, np.inf), False), (np.nextafter(exact, -np.inf), True)):
        words = [sys.executable, "-m", "asdlib", "stream", *map(str, of_machine), "--threshold", repr(float(limit))]
        done = subprocess.run(words, input=samples, capture_output=True, check=True)
        _, value, *told = done.stdout.decode().split()
        assert (told, float(value) > limit) == (["ALARM"] * alarm, alarm)


def test_a_stream_gives_the_numbers_of_the_file(run, minute, detector):
    track = score(minute, run=detector, machine=MACHINE, every=1.0)
    samples = (read(minute) * 2**15).astype("<i2").tobytes()
    words = [sys.executable, "-m", "asdlib", "stream", "--run", str(run), "--machine", MACHINE, "--threshold", "0"]
    done = subprocess.run(words, input=samples + b"\x00", capture_output=True, check=True)
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    np.testing.assert_allclose([float(row[0]) for row in rows], track.start)
    np.testing.assert_allclose([float(row[1]) for row in rows], track.score, rtol=1e-3)
    assert {row[2] for row in rows} == {"ALARM"}


def test_the_report_is_one_page_that_needs_nothing_else(asd, run, healthy, small_park, tmp_path):
    asd("threshold", *healthy, "--run", run, "--machine", MACHINE)
    page = tmp_path / "report.html"
    code, out, err = asd("report", small_park, "--run", run, "--out", page)
    assert code == 0, err
    clips = [clip for clip in scan(small_park) if clip.split == "test"]
    text = page.read_text()
    assert f"{len(clips)} recordings" in out
    assert all(f"<td>{clip.path.name}</td>" in text for clip in clips)
    assert text.count("<audio") == 6
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "No threshold has been chosen for fan/id_00" in text
    assert text.count("<td>not judged</td>") == sum(clip.machine != MACHINE for clip in clips)
    alarms = text.count('<td class="alarm">')
    assert f"<title>{alarms} alarm" in text
    code, _, err = asd("report", small_park, "--run", run, "--out", tmp_path / "no" / "page.html")
    assert (code, "cannot write" in err) == (2, True)


def test_alarms_come_first_in_the_order_of_their_excess_over_their_own_threshold():
    clip = Clip(Path("x.wav"), "fan", "id_00", "test", "unknown")
    rows = [Judged(clip, *numbers) for numbers in ((30.0, 20.0), (0.5, 0.1), (9.0, None), (-1.0, -4.0), (8.0, 10.0))]
    rows.sort(key=lambda row: row.urgency, reverse=True)
    assert [row.score for row in rows] == [0.5, -1.0, 30.0, 9.0, 8.0]
    assert [row.alarm for row in rows] == [True, True, True, False, False]


def test_the_export_has_the_scorer_the_alarm_and_eight_bits_that_are_asked_for(asd, run, healthy, small_park, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="asdlib[export] is not installed")
    out = tmp_path / "d.onnx"
    assert asd("threshold", *healthy, "--run", run, "--machine", MACHINE, "--scorer", "knn")[0] == 0
    code, told, err = asd("export", "--run", run, "--out", out, "--scorer", "knn", "--int8", small_park)
    assert code == 0, err
    assert f"{out.stat().st_size / 1e6:.2f} MB" in told
    session = onnxruntime.InferenceSession(out)
    assert "alarm" in [output.name for output in session.get_outputs()]
    x = np.stack([soundfile.read(path, dtype="float32")[0] for path in healthy])
    score, _, alarm = session.run(None, {"waveform": x})
    meta = session.get_modelmeta().custom_metadata_map
    k = json.loads(meta["machines"]).index(MACHINE)
    np.testing.assert_array_equal(alarm[:, k], score[:, k] > np.float32(json.loads(meta["thresholds"])[k]))
    assert alarm[:, k].mean() < 0.5


def test_an_export_that_cannot_be_is_said(asd, run, small_park, tmp_path):
    code, _, err = asd("export", "--run", run, "--web", tmp_path / "d.js", "--scorer", "knn")
    assert (code, list(tmp_path.glob("d.*"))) == (2, [])
    assert "--scorer and --int8 are for ONNX" in err
    shutil.copytree(small_park / "fan" / "test", tmp_path / "only" / "fan" / "test")
    code, _, err = asd("export", "--run", run, "--out", tmp_path / "d.onnx", "--int8", tmp_path / "only")
    assert (code, list(tmp_path.glob("d.*"))) == (2, [])
    assert "has no training clips of the machines of" in err
