"""``asd stream --source``: whatever ffmpeg opens, again and again where it is live, and no ffmpeg left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from asdlib.machines import render
from asdlib.stream import StreamScorer, score

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg is installed")
MACHINE, RATE = "fan/id_02", 16000


@pytest.fixture(scope="module")
def sound():
    """7.3 s of a fan: (samples,) int16."""
    x = np.concatenate([render(MACHINE, i, split="test").waveform for i in range(4)])[: round(7.3 * RATE)]
    return np.round(x * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)


@pytest.fixture
def listen(asd, small_run):
    """``asd stream --source WHAT --json``: (exit code, rows, standard error)."""

    def call(what, *words):
        code, out, err = asd("stream", "--run", small_run, "--machine", MACHINE, "--json", "--source", what, *words)
        assert children() == []
        return code, [json.loads(line) for line in out.splitlines()], err

    return call


def children(of=None):
    """The command lines of every ffmpeg that ``of``, this process, has started and not ended, or that has no parent."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            words = (place / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if parent == (of or os.getpid()) and b"ffmpeg" in words:
            found.append(words)
    return found


def test_a_file_has_the_scores_that_it_has_without_ffmpeg(listen, sound, detector, tmp_path):
    path = tmp_path / "a:b %d.wav"  # that ffmpeg could take for an address, or for many pictures
    soundfile.write(path, sound, RATE, subtype="PCM_16")
    code, rows, err = listen(path, "--every", 0.5)
    assert (code, err) == (0, "")
    track = score(path, run=detector, machine=MACHINE, every=0.5)
    assert [row["start"] for row in rows] == track.start
    np.testing.assert_allclose([row["score"] for row in rows], track.score, rtol=1e-5)  # in batches of other sizes


def test_other_rates_and_channels_are_treated_as_those_of_a_wav_on_standard_input(listen, sound, detector, tmp_path, caplog):
    both = tmp_path / "both.flac"
    soundfile.write(both, np.stack([sound[::-1], sound], axis=1), 8000, subtype="PCM_16")
    code, rows, _ = listen(both, "--channel", 1)
    assert code == 0
    assert "recorded at 8000 Hz: nothing above 4000 Hz" in caplog.text
    wanted = StreamScorer(detector, MACHINE, sample_rate=8000)
    found = wanted.push(sound) + wanted.finish()
    np.testing.assert_allclose([row["score"] for row in rows], [value for _, value in found], rtol=1e-4)
    assert "has 2 channels: choose one with --channel 0 to 1" in listen(both)[2]
    assert "has 8000 Hz, not 16000 Hz" in listen(both, "--channel", 1, "--rate", RATE)[2]


@pytest.mark.parametrize(
    ("what", "words", "said"),
    [
        ("nowhere.wav", [], "ffmpeg cannot open nowhere.wav (No such file or directory)"),
        ("notes.txt", [], "ffmpeg cannot open notes.txt ("),
        ("http://me:secret@127.0.0.1:9/fan", [], "ffmpeg cannot open http://***@127.0.0.1:9/fan ("),
        ("lavfi:nonsense", [], "ffmpeg cannot open lavfi:nonsense ("),
        (None, ["--retries", 3], "--retries is for a live source: add --source WHAT"),
    ],
)
def test_a_bad_source_is_one_sentence(asd, small_run, tmp_path, monkeypatch, what, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("windy\n" * 100)
    code, out, err = asd("stream", "--run", small_run, "--machine", MACHINE, *(["--source", what] if what else []), *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"asd: {said}")
    assert "secret" not in err


def test_without_ffmpeg_the_sentence_says_what_to_do(listen, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, rows, err = listen("alsa:hw:0")
    assert (code, rows) == (2, [])
    assert "alsa:hw:0 is opened by ffmpeg, which is not installed: install it" in err


def test_a_file_that_breaks_off_is_scored_as_far_as_it_goes_and_said(listen, sound, tmp_path):
    soundfile.write(tmp_path / "whole.flac", sound, RATE)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    code, rows, err = listen(tmp_path / "a.flac")
    assert code == 2
    assert 3 <= len(rows) <= 5
    assert f"ffmpeg finds fault with {tmp_path / 'a.flac'}" in err


@pytest.fixture
def server(sound):
    """A server whose clients fare, one after the other, as in ``server.fates``; later ones are turned away.

    A fate is how much of a WAV is sent (in seconds), and whether the connection then stays open, with nothing more.
    """
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seconds, stays = self.server.fates.pop(0) if self.server.fates else (0, False)
            if not seconds:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(44 + 2 * len(sound)))
            self.end_headers()
            head = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\xff\xff\xff\xff"
            self.wfile.write(head + sound[: round(seconds * RATE)].tobytes())
            if stays:
                over.wait()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        over.set()
        running.shutdown()
        thread.join()


class Clock(datetime):
    """The time of day, which is set ``wrong`` by so much."""

    wrong = timedelta(0)

    @classmethod
    def now(cls, zone):
        return datetime.now(zone) + cls.wrong


@pytest.mark.parametrize("jump", [0, -3600, 86400], ids=["", "an hour back", "a day on"])
def test_a_live_source_that_dies_is_opened_again_and_the_gap_is_told(
    listen, server, sound, detector, jump, monkeypatch, caplog
):
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        Clock.wrong = timedelta(seconds=jump)  # somebody sets the clock while the source is gone
        time.sleep(0.3)

    monkeypatch.setattr(Clock, "wrong", timedelta(0))
    monkeypatch.setattr("asdlib.use.sources.datetime", Clock)
    patient = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr("asdlib.use.sources.time", patient)
    monkeypatch.setattr("asdlib.use.sources.PATIENCE", 6.0)  # more than ffmpeg takes to begin
    server.fates = [(2.5, False), (0, False), (7.2, True)]  # more than the 5 s that ffmpeg looks at before it begins
    address = f"http://127.0.0.1:{server.server_port}/fan.wav"
    code, rows, err = listen(address, "--retries", 2)
    assert code == 2
    assert waits == [1, 2, 1, 2]  # from 1 s again after sound has come
    failures = caplog.messages
    assert len(failures) == 4
    assert all(line.startswith(f"{address} is gone (") and "trying again in" in line for line in failures)
    assert "5XX" in failures[1] or "503" in failures[1]
    assert "nothing came for 6 s" in failures[2]
    assert err.startswith(f"asd: {address} is gone (")
    before, gap, after = rows[:2], rows[2], rows[3:]
    scored = [value for _, value in StreamScorer(detector, MACHINE).push(sound[: round(7.2 * RATE)])]
    np.testing.assert_allclose([row["score"] for row in before], scored[:2], rtol=1e-5)
    np.testing.assert_allclose([row["score"] for row in after], scored, rtol=1e-5)
    assert list(gap) == ["event", "time", "machine", "from", "to", "version", "run"]
    assert gap["event"] == "gap"
    lost, back = (datetime.fromisoformat(gap[name]) for name in ("from", "to"))
    away = (back - lost).total_seconds() - jump
    assert 0.6 <= away < 30
    assert (
        datetime.fromisoformat(before[-1]["time"]) <= back - timedelta(seconds=jump) <= datetime.fromisoformat(after[0]["time"])
    )
    assert after[0]["start"] == pytest.approx(2.5 + away, abs=0.01)
    assert np.diff([row["start"] for row in after]).tolist() == pytest.approx([1] * 6)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told_to_and_so_does_ffmpeg(small_run, how):
    what = "lavfi:anoisesrc=r=16000,arealtime"
    words = [sys.executable, "-m", "asdlib", "stream", "--run", small_run, "--machine", MACHINE, "--source", what]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def as_from_a_terminal():  # what a shell starts in the background is deaf to Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(words, **pipes, preexec_fn=as_from_a_terminal) as process:
        first = process.stdout.readline()
        (child,) = children(process.pid)
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    assert first.startswith("0.000 ")
    assert (process.returncode, err) == (0, "")
    assert all(line.split()[1] for line in out.splitlines())  # no half line
    assert child not in children() + children(1)
