"""A detector that is left running: what ``asd stream --json`` tells other programs, and when."""

import io
import json
import os
import re
import select
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

import asdlib
from asdlib.machines import render
from asdlib.run import read_config
from asdlib.stream import Alarms, StreamScorer

MACHINE, RATE = "fan/id_02", 16000
FIELDS = ["time", "start", "machine", "scorer", "score", "threshold", "alarm", "since", "silent", "version", "run"]
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(scope="module")
def sound():
    """6 s of a fan, the fourth silent and the last two of a valve: (samples,) int16."""
    x = np.concatenate([render(MACHINE, i, split="test").waveform[:RATE] for i in range(6)])
    x[3 * RATE : 4 * RATE] = 0
    x[4 * RATE :] = render("valve/id_04", 0, split="test").waveform[: 2 * RATE]
    return np.round(x * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2")


@pytest.fixture
def stream(asd, small_run, monkeypatch):
    """``asd stream`` with some words and these samples on its standard input."""

    def call(samples, *words):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(samples.tobytes())))
        return asd("stream", "--run", small_run, "--machine", MACHINE, *words)

    return call


def windows(detector, sound, every=1.0):
    scored = StreamScorer(detector, MACHINE, every=every)
    return scored.push(sound) + scored.finish()


def test_every_window_is_a_line_of_json(stream, sound, detector, small_run):
    before = datetime.now(UTC)
    code, out, err = stream(sound, "--json", "--every", 0.5)
    assert (code, err) == (0, "")
    rows, wanted = [json.loads(line) for line in out.splitlines()], windows(detector, sound, 0.5)
    assert all(list(row) == FIELDS for row in rows)
    assert [row["start"] for row in rows] == [start for start, _ in wanted]
    scores = [np.nan if row["score"] is None else row["score"] for row in rows]
    np.testing.assert_allclose(scores, [score for _, score in wanted], rtol=1e-4)
    assert [row["silent"] for row in rows] == np.isnan(scores).tolist()
    assert sum(row["silent"] for row in rows) == 1
    same = {"machine": MACHINE, "scorer": "softmax", "threshold": None, "alarm": None, "since": None}
    same |= {"version": asdlib.__version__, "run": read_config(small_run).mark}
    assert all(row[name] == value for row in rows for name, value in same.items())
    assert same["run"]
    assert all(re.fullmatch(MOMENT, row["time"]) for row in rows)
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    assert before.replace(microsecond=0) <= times[0] <= times[-1] <= datetime.now(UTC)


@pytest.mark.parametrize("how", [{}, {"seconds": 0.5, "clear": None}, {"seconds": 0.5, "clear": -1e3}])
def test_alarms_are_those_of_the_class_in_json_and_in_text(stream, sound, detector, how):
    wanted = windows(detector, sound, 0.5)
    limit = float(np.nanmedian([score for _, score in wanted]))
    alarms = Alarms(limit, **how)
    told = [(alarms.take(*window), alarms.since) for window in wanted]
    assert {True, False} == {on for on, _ in told}
    options = {"--for": how.get("seconds"), "--clear": how.get("clear")}
    given = [word for pair in options.items() if pair[1] is not None for word in pair]
    words = ("--every", 0.5, "--threshold", repr(limit), *given)
    rows = [json.loads(line) for line in stream(sound, "--json", *words)[1].splitlines()]
    assert [(row["alarm"], row["since"]) for row in rows] == told
    assert {row["threshold"] for row in rows} == {limit}
    lines = stream(sound, *words)[1].splitlines()
    assert [line.endswith(" ALARM") for line in lines] == [on for on, _ in told]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--for", 3], "no threshold has been chosen for fan/id_02"),
        (["--clear", 3], "no threshold has been chosen for fan/id_02"),
        (["--threshold", 3, "--clear", 4], "an alarm above 3 cannot end at 4"),
        (["--threshold", 3, "--for", -1], "an alarm after -1 s makes no sense"),
    ],
)
def test_alarms_that_make_no_sense_are_a_sentence(stream, sound, words, said):
    code, out, err = stream(sound, "--json", *words)
    assert (code, out, err.count("asd: ")) == (2, "", 1)
    assert said in err


def test_a_line_comes_when_its_window_is_complete_and_says_when_that_was(sound, small_run):
    """Through real pipes: a line that waited in a buffer would not come before the next second is sent."""
    words = [sys.executable, "-m", "asdlib", "stream", "--run", small_run, "--machine", MACHINE, "--json"]
    own = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own) as process:
        last = None
        for i in range(3):
            sent = datetime.now(UTC)
            process.stdin.write(sound[i * RATE : (i + 1) * RATE].tobytes())
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 60)[0], "no line came"
            row = json.loads(process.stdout.readline())
            time = datetime.fromisoformat(row["time"])
            assert row["start"] == i
            assert sent.timestamp() - 0.001 <= time.timestamp() <= datetime.now(UTC).timestamp()
            assert last is None or time > last
            last = time
        process.stdin.close()
        assert (process.stdout.read(), process.wait()) == (b"", 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_a_sentence(sound, small_run):
    words = [sys.executable, "-m", "asdlib", "stream", "--run", small_run, "--machine", MACHINE, "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, input=sound.tobytes(), stdout=full, stderr=subprocess.PIPE, timeout=120)
    assert (done.returncode, done.stderr.decode()) == (2, "asd: the disk that the output goes to is full: make room\n")
