"""``asd watch``: a machine in the same room is told to be the same, and another microphone is told; never what is wrong."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

from asdlib.data import scan
from asdlib.machines import render

MACHINE, RATE = "fan/id_02", 16000


def record(folder, numbers, heard=lambda x: x):
    """Healthy recordings of 1 s."""
    folder.mkdir(parents=True)
    for i in numbers:
        soundfile.write(folder / f"{i}.wav", heard(render(MACHINE, i, split="test").waveform[:RATE]), RATE)
    return folder


def dull(x):
    """As a microphone hears it that has dust on it."""
    return 0.6 * lfilter([0.3, 0.3, 0.3], [1.0, -0.1], x)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Recordings of before, of now, and of now by a microphone with dust on it; days of both as folders."""
    top = tmp_path_factory.mktemp("watched")
    record(top / "before", range(500, 512))
    record(top / "now", range(520, 530))
    record(top / "dull", range(530, 540), dull)
    for i in range(6):
        record(top / "days" / f"{i}", range(540 + 2 * i, 542 + 2 * i))
        record(top / "dull_days" / f"{i}", range(560 + 2 * i, 562 + 2 * i), dull)
    return top


@pytest.fixture
def watch(asd, small_run):
    def call(*words):
        return asd("watch", *words, "--run", small_run, "--machine", MACHINE)

    return call


def test_the_same_machine_is_the_same_and_another_microphone_is_a_change(watch, places):
    code, out, err = watch(places / "now", "--reference", places / "before")
    assert code == 0, err
    assert f"{MACHINE}, scorer softmax: 10 clips of 10 recordings, against 12 clips of 12 recordings" in out
    assert "No change is seen. (Of machines without one, 1.0% are called changed.)" in out
    code, out, err = watch(places / "dull", "--reference", places / "before")
    assert code == 0, err
    assert "The machine or the room has changed: see what it is, and calibrate again (asd threshold)" in out
    assert "fault" not in out


def test_json_and_days_as_folders(watch, places):
    words = (places / "dull_days", "--reference", places / "days", "--block", "folder", "--json", "--scorer", "knn")
    code, out, err = watch(*words)
    assert code == 0, err
    found = json.loads(out)
    assert (found["machine"], found["scorer"], found["block"], found["rate"]) == (MACHINE, "knn", "folder", 0.01)
    assert (found["clips"], found["blocks"]) == ([12, 12], [6, 6])
    assert found["changed"] is True
    assert min(found["p_scores"], found["p_embeddings"]) <= 0.01
    assert 0.5 < found["higher"] <= 1
    code, _, err = watch(*words, "--rate", 0.005)  # of 924 ways to choose 6 of 12 days, half are others
    assert code == 0, err
    code, _, err = watch(places / "dull_days" / "0", *words[1:])
    assert (code, "1 blocks can change sides in 7 ways" in err) == (2, True)


def test_clips_of_a_long_recording_stay_together(watch, places, tmp_path):
    for i in range(2):
        x = np.concatenate([render(MACHINE, 600 + 20 * i + j, split="test").waveform for j in range(16)])
        soundfile.write(tmp_path / f"{i}.wav", x, RATE)
    code, out, err = watch(*tmp_path.glob("*.wav"), "--reference", places, "--rate", 0.05, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["clips"][1] > 60
    assert found["blocks"][1] == 2


def test_what_is_no_reference_is_refused(watch, places, small_park, tmp_path):
    known = [clip.path for clip in scan(small_park) if clip.machine == MACHINE and clip.split == "train"]
    code, _, err = watch(places / "now", "--reference", places / "before", "--reference", known[0])
    assert (code, err.count("asd: ")) == (2, 1)
    assert f"{known[0]} was trained on" in err
    shutil.copy(places / "now" / "520.wav", tmp_path / "same.wav")
    code, _, err = watch(places / "now", "--reference", places / "before", "--reference", tmp_path)
    assert code == 2
    assert f"{places / 'now' / '520.wav'} is the same recording as {tmp_path / 'same.wav'}" in err
    assert watch(places / "now", "--reference", places / "before", "--rate", 2)[0] == 2
    assert "'hour' is not one of recording, folder" in watch(places / "now", "--reference", places, "--block", "hour")[2]
