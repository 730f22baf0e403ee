"""What people do with recordings on the command line: folders, pipes, long ones, some of them bad."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from asdlib.cutting import LONG, Look, cut, cut_long, split_by_time
from asdlib.data import Clip, read, scan
from asdlib.detector import Detector, train
from asdlib.errors import AsdError
from asdlib.sound.computed import ReadOptions
from tests.conftest import SMALL

RATE = 16000
MACHINE = ("--machine", "fan/id_00")


def hum(seconds, seed=0, rate=RATE):
    """A hum in noise (samples,) int16."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=len(time))
    return np.round(3000 * (np.sin(2 * np.pi * 97 * time) + 0.5 * noise)).clip(-32768, 32767).astype(np.int16)


@pytest.fixture
def day(tmp_path):
    """Three recordings of one day, and a file that is none."""
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.flac", hum(2, seed=i), RATE)
    (tmp_path / "notes.txt").write_text("windy")
    return tmp_path


def test_a_folder_stands_for_the_recordings_in_it(small_run, day, asd):
    run = str(small_run)
    code, out, _ = asd("score", day, "--run", run, *MACHINE, "--json")
    named = asd("score", *(day / f"{i}.flac" for i in range(3)), "--run", run, *MACHINE, "--json")
    assert code == 0
    assert out == named[1]
    assert [row["file"] for row in json.loads(out)["scores"]] == [str(day / f"{i}.flac") for i in range(3)]
    (day / "empty").mkdir()
    code, _, err = asd("score", day / "empty", "--run", run, *MACHINE)
    assert code == 2
    assert "no recordings in" in err


@pytest.mark.parametrize("along", [(), ("--every", "1")])
def test_a_bad_recording_costs_that_recording_only(small_run, day, asd, along):
    run = str(small_run)
    good = json.loads(asd("score", day, "--run", run, *MACHINE, "--json", *along)[1])
    (day / "1b.wav").touch()
    soundfile.write(day / "1c.wav", np.zeros(32000), RATE)
    code, out, err = asd("score", day, "--run", run, *MACHINE, "--json", *along)
    assert code == 2
    assert json.loads(out) == good
    assert "1b.wav is an empty file" in err
    assert "1c.wav is silent" in err
    assert "2 of 5 recordings were left out" in err
    for path in day.glob("*.flac"):
        path.unlink()
    code, out, err = asd("score", day, "--run", run, *MACHINE, *along)  # none is left
    assert code == 2
    assert "1b.wav" in err


def test_reports_and_evaluations_go_on_and_name_what_they_left_out(small_run, small_park, tmp_path, asd):
    bad = small_park / "fan" / "test" / "normal_id_00_99999998.wav"
    run = str(small_run)
    whole = json.loads(asd("evaluate", small_park, "--run", run, "--json")[1])
    try:
        bad.write_bytes(b"RIFF")
        code, out, err = asd("evaluate", small_park, "--run", run, "--json")
        assert code == 2
        assert "99999998.wav" in err
        found = json.loads(out)
        assert found["left_out"] == [str(bad)]
        assert found["averages"] == whole["averages"]
        code, out, err = asd("report", small_park, "--run", run, "--out", tmp_path / "a.html")
        assert code == 2
        assert "99999998.wav" in err
        page = (tmp_path / "a.html").read_text()
        assert "1 recordings were left out" in page
        assert "99999998.wav" in page
    finally:
        bad.unlink()


def test_training_names_all_that_is_bad_in_one_go_and_keeps_the_rest(tmp_path):
    clips = []
    for machine in ("id_00", "id_02"):
        for i in range(5):
            clips.append(Clip(tmp_path / f"{machine}-{i}.wav", "fan", machine, "train", "normal"))
            soundfile.write(clips[-1].path, hum(1, seed=i), RATE)
    soundfile.write(clips[1].path, np.zeros(RATE), RATE)
    soundfile.write(clips[2].path, np.stack([hum(1)] * 2, axis=1), RATE)
    soundfile.write(clips[3].path, hum(1, rate=44100), 44100)
    clips[6].path.write_bytes(b"")
    clips[7].path.write_bytes(clips[7].path.read_bytes()[:9999])
    with pytest.raises(AsdError) as error:
        train(clips, tmp_path / "run", SMALL, cache=tmp_path / "cache", device="cpu")
    for clip in clips:
        assert (clip.path.name in str(error.value)) == (clip in (clips[1], clips[2], clips[3], clips[6], clips[7]))
    assert not (tmp_path / "run").exists()
    assert sum(1 for _ in (tmp_path / "cache").glob("*/waveforms.npy")) == 1


def test_what_no_run_could_hold_is_refused_before_the_training(tmp_path):
    clips = []
    for i in range(4):
        clips.append(Clip(str(tmp_path / f"{i}.wav"), "6_dB_fan/fan", f"id_{i // 2:02}", "train", "normal"))  # a path as text
        soundfile.write(clips[-1].path, hum(1, seed=i), RATE)
    with pytest.raises(AsdError, match="6_dB_fan/fan"):
        train(clips, tmp_path / "run", SMALL)
    for field, value in (("label", "gesund"), ("split", "Train"), ("domain", "elsewhere")):
        wrong = [replace(clip, machine_type="fan", **{field: value}) for clip in clips]
        with pytest.raises(AsdError, match=f"has the {field} '{value}': choose"):
            train(wrong, tmp_path / "run", SMALL)
    assert not (tmp_path / "run").exists()


def test_letters_written_in_two_ways_are_one_machine():
    composed, apart = (Clip("a.wav", name, "id_00", "train", "normal") for name in ("L\u00fcfter", "Lu\u0308fter"))
    assert composed.machine == apart.machine == "L\u00fcfter/id_00"


# ----------------------------------------------------------------------- long recordings


def test_long_recordings_become_clips_one_after_the_other(caplog):
    def clip(name, **place):
        return Clip(f"{name}.wav", "fan", "id_00", "train", "normal", **place)

    short, long, part = clip("short"), clip("long"), clip("part", start=100.0, end=145.0)
    looks = {short: Look(10.0, RATE), long: Look(64.0, RATE), part: Look(45.0, 8000)}
    found, known = cut_long([short, long, part], looks, 20.0)
    places = [(c.path.name, c.start, c.end) for c in found]
    assert places == [
        ("short.wav", 0.0, None),
        *(("long.wav", 20.0 * i, 20.0 * (i + 1)) for i in range(3)),
        *(("part.wav", 100.0 + 20.0 * i, 120.0 + 20.0 * i) for i in range(2)),
    ]
    assert known == {short: Look(10.0, RATE)} | {c: Look(20.0, 8000 if c.start >= 100 else RATE) for c in found[1:]}
    assert "2 recordings longer than 30 s are cut into 5 clips of 20 s (9.0 s at their ends are left over)" in caplog.text
    caplog.clear()
    assert cut_long([short], {short: Look(LONG, RATE)}, 20.0)[0] == [short]
    assert not caplog.records


def test_a_few_long_recordings_train_a_run_and_choose_a_threshold(tmp_path, asd):
    for machine in ("00", "02"):
        path = tmp_path / "data/fan/train" / f"normal_id_{machine}_0000.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, hum(31, seed=int(machine)), RATE)
    clips = scan(tmp_path / "data")
    detector = train(clips, tmp_path / "run", SMALL, device="cpu", cache=tmp_path / "cache")
    assert np.bincount(detector.bank_labels).tolist() == [31, 31]
    assert detector.config.rates == (RATE,)
    soundfile.write(tmp_path / "healthy.wav", hum(40, seed=9), RATE)
    code, out, err = asd("threshold", tmp_path / "healthy.wav", "--run", tmp_path / "run", *MACHINE, "--json")
    assert code == 0, err
    assert json.loads(out)["clips"] == 40
    code, _, err = asd("threshold", clips[0].path, "--run", tmp_path / "run", *MACHINE)
    assert code == 2  # the very pieces of the training
    assert "normal_id_00_0000.wav" in err


@pytest.mark.parametrize("lengths", [[100.0], [30.0, 30.0, 40.0], [7.5] * 20, [3600.0]])
@pytest.mark.parametrize(("seconds", "hop", "gap"), [(2.0, 2.0, 2.0), (5.0, 2.5, 5.0), (1.0, 1.0, 0.0), (2.0, 3.0, 10.0)])
def test_neighbours_never_stand_on_both_sides(lengths, seconds, hop, gap):
    places = split_by_time(lengths, seconds=seconds, hop=hop, gap=gap)
    begun = np.concatenate([[0.0], np.cumsum(lengths)])
    spans = {}
    for place in places:
        assert 0 <= place.start <= lengths[place.recording] - seconds + 1e-6
        start = begun[place.recording] + place.start
        spans.setdefault(place.split, []).append((start, start + seconds, place.recording))
    assert list(spans) == ["train", "calibration", "test"]
    total, names = sum(lengths), list(spans)
    assert max(end for _, end, _ in spans["train"]) <= 0.7 * total + 1e-6
    assert max(end for _, end, _ in spans["calibration"]) <= 0.85 * total + 1e-6
    for earlier, later in pairwise(names):
        last, first = max(spans[earlier]), min(spans[later])
        assert last[1] <= first[0] + 1e-6
        if last[2] == first[2]:  # within a recording there is a gap
            border = (0.7 if later == "calibration" else 0.85) * total
            assert first[0] >= border + gap - 1e-6
    if gap == 0 and len(lengths) == 1:
        assert len(spans["train"]) == int(0.7 * total / hop + 1e-6)


def test_cut_writes_clips_that_are_the_recording(tmp_path, asd):
    x = hum(100)
    soundfile.write(tmp_path / "day.flac", x, RATE)
    code, out, _ = asd("cut", tmp_path / "day.flac", tmp_path / "out", "--machine", "fan/id_00", "--seconds", "4")
    assert code == 0
    clips = scan(tmp_path / "out" / "clips")
    counts = [sum(clip.split == split for clip in clips) for split in ("train", "test")]
    assert counts == [17, 2]
    held = sorted((tmp_path / "out" / "calibration" / "fan" / "id_00").iterdir())
    assert len(held) == 2
    assert "17 for train, 2 for calibration, 2 for test" in out
    for i, clip in enumerate(c for c in clips if c.split == "train"):
        np.testing.assert_array_equal(read(clip.path), x[4 * RATE * i : 4 * RATE * (i + 1)] / np.float32(2**15))
    assert {(clip.machine, clip.label) for clip in clips} == {("fan/id_00", "normal")}
    before = sorted((tmp_path / "out").rglob("*"))
    code, _, err = asd("cut", tmp_path / "day.flac", tmp_path / "out", "--machine", "fan/id_00", "--seconds", "4")
    assert code == 2
    assert "exists already and is left as it is" in err
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert cut([tmp_path / "day.flac"], tmp_path / "out", "fan/id_00", seconds=4.0, anomaly=True)["test"] == 25
    assert sum(clip.label == "anomaly" for clip in scan(tmp_path / "out" / "clips")) == 25


def test_silent_stretches_of_a_long_recording_are_left_out_and_that_is_said(tmp_path, asd, caplog):
    """The machine stood still, or the recorder filled up what it missed."""
    x = hum(100)
    x[20 * RATE : 33 * RATE] = 0
    for machine in ("00", "02"):
        path = tmp_path / "data/fan/train" / f"normal_id_{machine}_0000.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, x if machine == "00" else hum(100, seed=2), RATE)
    code, out, _ = asd(
        "cut", path.with_name("normal_id_00_0000.wav"), tmp_path / "out", "--machine", "fan/id_00", "--seconds", "4"
    )
    assert code == 0
    assert "14 for train, 2 for calibration, 2 for test" in out
    assert "3 clips in which nothing is heard are left out" in caplog.text
    assert len(scan(tmp_path / "out" / "clips")) == 16
    caplog.clear()
    train(scan(tmp_path / "data"), tmp_path / "run", SMALL, device="cpu")
    assert "13 clips in which nothing is heard are left out" in caplog.text
    held_out = hum(100, seed=9)
    held_out[:RATE] = 0
    soundfile.write(tmp_path / "more.wav", held_out, RATE)
    assert asd("threshold", tmp_path / "more.wav", "--run", tmp_path / "run", *MACHINE)[0] == 0


def test_a_long_recording_for_ffmpeg_is_decoded_once(tmp_path, monkeypatch):
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg is installed")
    soundfile.write(tmp_path / "a.wav", hum(100), RATE)
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-c:a", "flac", tmp_path / "a.mka"], check=True)
    calls, run = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **options: calls.append(command[0]) or run(command, **options))
    assert cut([tmp_path / "a.mka"], tmp_path / "out", "fan/id_00", seconds=4.0)["train"] == 17
    assert sum(call.endswith("ffmpeg") for call in calls) == 1
    kept = tmp_path / "out/clips/fan/train/normal_id_00_00000016.wav"
    np.testing.assert_array_equal(read(kept), hum(100)[64 * RATE : 68 * RATE] / np.float32(2**15))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_said_as_such(tmp_path, monkeypatch):
    def full(path, *args, **options):
        soundfile_write("/dev/full", *args, format="WAV", **options)

    soundfile_write = soundfile.write
    soundfile.write(tmp_path / "a.wav", hum(40), RATE)
    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(AsdError, match=r"cannot write to .*out .*check space"):
        cut([tmp_path / "a.wav"], tmp_path / "out", "fan/id_00", seconds=2.0)
    assert list((tmp_path / "out").iterdir()) == []


def test_no_space_to_decode_is_no_fault_of_the_recording(tmp_path, monkeypatch):
    """An ffmpeg that finds the disk full says so, and leaves a part."""
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'av_interleaved_write_frame(): No space left on device' >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(program))
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0 ftypM4A " + bytes(100))
    with pytest.raises(AsdError, match=r"no space in .* to decode .*a\.m4a: free some, or set TMPDIR"):
        read(tmp_path / "a.m4a", partial=True)


def test_what_comes_out_of_a_pipe_next_is_another_recording(tmp_path):
    pipe = tmp_path / "microphone.wav"
    os.mkfifo(pipe)
    for seed in (1, 2):
        feeder = threading.Thread(target=pipe.write_bytes, args=(wav(hum(1, seed=seed)),))
        feeder.start()
        np.testing.assert_array_equal(read(pipe), hum(1, seed=seed) / np.float32(2**15))
        feeder.join()


def test_many_pipes_are_as_good_as_files(small_run, tmp_path, asd):
    """A command may look at each of them twice."""
    pipes = [tmp_path / f"{i}.wav" for i in range(20)]
    feeders = [threading.Thread(target=pipe.write_bytes, args=(wav(hum(1, seed=i)),)) for i, pipe in enumerate(pipes)]
    for pipe, feeder in zip(pipes, feeders, strict=True):
        os.mkfifo(pipe)
        feeder.start()
    run = shutil.copytree(small_run, tmp_path / "run")  # a threshold is kept in it
    assert asd("threshold", *pipes, "--run", str(run), *MACHINE)[0] == 0
    for feeder in feeders:
        feeder.join()


def test_cut_keeps_rate_and_depth_and_takes_one_channel(tmp_path):
    x = 1e-5 * np.random.default_rng(0).normal(size=(44100 * 40, 2))
    soundfile.write(tmp_path / "a.wav", x, 44100, subtype="PCM_24")
    counts = cut([tmp_path / "a.wav"], tmp_path / "out", "pump/id_07", seconds=2.0, options=ReadOptions(channel=1))
    assert counts["train"] == 14
    kept, rate = soundfile.read(tmp_path / "out/clips/pump/train/normal_id_07_00000003.wav", dtype="float32")
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == 44100
    np.testing.assert_array_equal(kept, whole[6 * 44100 : 8 * 44100, 1])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"machine": "fan"}, "call it <type>/id_<nn>"),
        ({"machine": "fan/left"}, "call it <type>/id_<nn>"),
        ({"machine": "fan/id_00", "seconds": -1.0}, "make no sense"),
        ({"machine": "fan/id_00", "hop": 0.0}, "make no sense"),
        ({"machine": "fan/id_00", "seconds": 60.0}, "give no clips of 60 s to train on"),
    ],
)
def test_cuts_that_cannot_be_are_refused(tmp_path, options, sentence):
    soundfile.write(tmp_path / "a.wav", hum(10), RATE)
    with pytest.raises(AsdError, match=sentence):
        cut([tmp_path / "a.wav"], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(AsdError, match=r"a\.wav is a file: name a folder"):
        cut([tmp_path / "b.wav"], tmp_path / "a.wav", "fan/id_00")


def test_a_cut_that_fails_on_the_way_leaves_nothing(tmp_path):
    soundfile.write(tmp_path / "a.wav", hum(40), RATE)
    soundfile.write(tmp_path / "b.wav", np.zeros(RATE * 40), RATE)
    with pytest.raises(AsdError, match=r"b\.wav is silent"):
        cut([tmp_path / "a.wav", tmp_path / "b.wav"], tmp_path / "out", "fan/id_00", seconds=2.0)
    assert list((tmp_path / "out").iterdir()) == []


# ------------------------------------------------------------------------------- streams


def streamed(run, content, *options):
    command = [sys.executable, "-m", "asdlib", "stream", "--run", str(run), *MACHINE, *options]
    done = subprocess.run(command, input=content, capture_output=True)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def wav(x, rate=RATE, **options):

    file = io.BytesIO()
    soundfile.write(file, x, rate, format=options.pop("format", "WAV"), **options)
    return file.getvalue()


def test_a_wav_on_standard_input_is_read_by_its_header(small_run):
    x = hum(3)
    code, raw, _ = streamed(small_run, x.tobytes())
    assert (code, len(raw.splitlines())) == (0, 3)
    assert streamed(small_run, wav(x))[:2] == (0, raw)
    unfinished = bytearray(wav(x))
    unfinished[40:44] = b"\xff\xff\xff\xff"
    assert streamed(small_run, bytes(unfinished))[:2] == (0, raw)
    both = wav(np.stack([hum(3, seed=5), x], axis=1))
    assert streamed(small_run, both, "--channel", "1")[:2] == (0, raw)
    code, out, err = streamed(small_run, both)
    assert (code, out) == (2, "")
    assert "has 2 channels" in err
    # The end of the sound is not the end of the file.
    assert streamed(small_run, wav(x) + b"LIST\x10\0\0\0abcdabcdabcdabcd")[:2] == (0, raw)


def test_another_rate_on_standard_input_is_converted_and_said(small_run):
    code, out, err = streamed(small_run, wav(hum(3, rate=8000), 8000))
    assert code == 0
    assert len(out.splitlines()) == 3
    assert "recorded at 8000 Hz: nothing above 4000 Hz" in err
    assert streamed(small_run, hum(3, rate=8000).tobytes(), "--rate", "8000")[1] == out
    assert streamed(small_run, wav(hum(3, rate=8000), 8000), "--rate", "16000")[0] == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "nothing came in"),
        (wav(hum(1), format="FLAC"), "a file of FLAC came in"),
        (wav(hum(1), format="OGG"), "a file of OGG came in"),
        (wav(hum(1), format="AIFF"), "a file of AIFF came in"),
        (b"ID3\x04" + bytes(100), "a file of MP3 came in"),
        (b"\0\0\0 ftypM4A " + bytes(100), "a file of MP4 came in"),
        (wav(hum(1), subtype="PCM_24"), "samples of 24 bits"),
        (wav(hum(1))[:30], "ends before its sound"),
        (wav(hum(1))[:44], "nothing came in"),
        (b"\1", "nothing came in"),
        (b"RIFF\0\0\1\0AVI LIST" + bytes(100), "a file of AVI came in"),
        ((b"\xff\xfb\x90\xc0" + bytes(413)) * 9, "a file of MP3 came in"),
        ((b"\xff\xf1\x60\x40\x08\x1f\xfc" + bytes(57)) * 9, "a file of AAC came in"),
        (b"curl: (6) Could not resolve host: camera.local", "text came in"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "text came in"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_sound_on_standard_input_is_refused(small_run, content, said):
    code, out, err = streamed(small_run, content)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_what_comes_behind_the_sound_of_a_header_is_never_passed_over(small_run):
    """Sound of another recording is said, a wrapped size read on, and sizes of 8 bytes are known."""
    x = hum(3)
    _, want, _ = streamed(small_run, x.tobytes())
    code, out, err = streamed(small_run, wav(x) + wav(hum(2)))
    assert (code, out) == (0, want)
    assert "another recording came in behind the first" in err
    wrapped = bytearray(wav(x))
    wrapped[40:44] = (20000).to_bytes(4, "little")
    code, out, err = streamed(small_run, bytes(wrapped))
    assert (code, out) == (0, want)
    assert "the sound goes on behind what its header says" in err
    behind = b"LIST" + (40000).to_bytes(4, "little") + bytes(range(200)) * 200
    code, out, err = streamed(small_run, wav(x, format="RF64") + behind)
    assert (code, out, err) == (0, want, "")


def test_samples_that_look_like_something_else_are_samples(small_run):
    for first in (b"\xff\xfb", b"\xff\xf1", b"\x0b\x77", b"GG", b"    ", bytes(40)):
        assert streamed(small_run, first + hum(2).tobytes())[0] == 0


def test_a_closed_standard_input_is_a_sentence(small_run):
    command = [sys.executable, "-m", "asdlib", "stream", "--run", str(small_run), *MACHINE]
    done = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *command], capture_output=True, text=True)
    assert done.returncode == 2
    assert "nothing came in" in done.stderr


def test_the_run_remembers_the_rates_it_was_trained_on(small_run):
    assert Detector.load(small_run).config.rates == (RATE,)
