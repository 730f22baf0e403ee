"""Many recordings are scored in the memory of a few, with the scores and the errors that they have when read at once."""

import threading
import weakref

import numpy as np
import pytest
import soundfile

from asdlib.cache import features_now
from asdlib.data import Clip
from asdlib.detector import embed
from asdlib.errors import AsdError
from asdlib.sound import computed
from asdlib.use import recordings

MACHINE, RATE = "fan/id_02", 16000


def written(folder, count):
    """Noises of a second, some longer and some shorter."""
    rng, clips = np.random.default_rng(0), []
    for i in range(count):
        path = folder / f"{i:03d}.wav"
        soundfile.write(path, 0.1 * rng.normal(size=RATE + (i % 3 - 1) * 4000), RATE)
        clips.append(Clip(path, "fan", "id_02", "test", "unknown"))
    return clips


def test_groups_have_the_embeddings_of_all_at_once_and_say_the_same(detector, tmp_path, caplog):
    clips = written(tmp_path, 70)
    clips[40].path.write_bytes(b"no sound")
    clips.append(clips[3])
    bad = {}, {}
    inputs = features_now(clips, detector.config.features, bad=bad[0], trained=detector.config.rates).inputs
    said = caplog.messages[:]
    groups = list(recordings.embedded(clips, detector, device="cpu", bad=bad[1]))
    assert caplog.messages == 2 * said
    assert len(said) == 2  # of longer, and of shorter ones
    assert {clip: str(error) for clip, error in bad[1].items()} == {clip: str(error) for clip, error in bad[0].items()}
    assert [clip for own, _ in groups for clip in own] == [clip for clip in clips if clip not in bad[0]]
    assert [len(own) for own, _ in groups] == [32, 32, 6]
    expected = embed(detector.model.embed, inputs, device="cpu")
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in groups]), expected)
    rows = recordings.scored(clips, detector, MACHINE, "knn", bad={})
    np.testing.assert_allclose([row["score"] for row in rows], detector.scores(expected, MACHINE, "knn"), rtol=1e-6, atol=1e-9)
    assert [row["file"] for row in rows] == [str(clip.path) for clip in clips if clip not in bad[0]]
    assert rows[-1] == {"file": str(clips[3].path), "score": pytest.approx(rows[3]["score"], rel=1e-4), "training_share": 1.0}


def test_without_a_place_for_them_all_errors_are_told_in_one(detector, tmp_path):
    clips = written(tmp_path, 5)
    for i in (1, 4):
        clips[i].path.write_bytes(b"no sound")
    with pytest.raises(AsdError, match=r"(?s)2 of 5 recordings cannot be used.*001\.wav.*004\.wav"):
        list(recordings.embedded(clips, detector))
    with pytest.raises(AsdError, match=r"001\.wav"):
        list(recordings.embedded(clips[1:2], detector, bad={}))
    with pytest.raises(AsdError, match="give at least one"):
        list(recordings.embedded([], detector, bad={}))


@pytest.mark.parametrize("count", [24, 96])
def test_how_many_clips_are_in_memory_does_not_depend_on_how_many_there_are(detector, tmp_path, monkeypatch, count):
    seen, most, lock, read = [], 0, threading.Lock(), computed.clip_arrays

    def watched(*arguments):
        nonlocal most
        row = read(*arguments)
        with lock:
            seen.append(weakref.ref(row.waveform))
            most = max(most, sum(clip() is not None for clip in seen))
        return row

    monkeypatch.setattr(computed, "clip_arrays", watched)
    monkeypatch.setattr(computed, "AT_ONCE", 8)
    monkeypatch.setattr(recordings, "AT_ONCE", 4)
    assert len(recordings.scored(written(tmp_path, count), detector, MACHINE, "softmax")) == count
    assert 8 <= most <= 8 + 4 + 1


def test_how_many_were_left_out_is_said_of_all_that_were_given(asd, small_run, tmp_path):
    clips = written(tmp_path, 3)
    clips[1].path.write_bytes(b"no sound")
    code, out, error = asd("score", tmp_path, "--run", small_run, "--machine", MACHINE, "--threshold", 0)
    assert code == 2
    assert error.splitlines()[-1] == "asd: 1 of 3 recordings were left out"
    assert "They are only 6" in " ".join(out.split())
