"""Scores along a long recording and a stream: the numbers of single clips, however the sound is cut into chunks."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asdlib.cache import features_now
from asdlib.data import Clip
from asdlib.detector import embed
from asdlib.errors import AsdError
from asdlib.evaluation import SCORERS
from asdlib.machines import render
from asdlib.stream import Segment, StreamScorer, Track, score

MACHINE, RATE = "fan/id_02", 16000


@pytest.fixture(scope="module")
def sound():
    """7.3 s of a simulated fan, as 16-bit samples, in ±1."""
    clips = [render(MACHINE, i, split="test").waveform for i in range(4)]
    return np.round(np.concatenate(clips)[: round(7.3 * RATE)] * 2**15).astype(np.int16) / np.float32(2**15)


def one_by_one(detector, tmp_path, windows, scorer="softmax"):
    """The scores of windows, each written as a file and scored as a clip."""
    clips = []
    for i, window in enumerate(windows):
        path = tmp_path / f"normal_id_02_{i}.wav"
        soundfile.write(path, window, RATE, subtype="PCM_16")
        clips.append(Clip(path, "fan", "id_02", "test", "unknown"))
    features = features_now(clips, detector.config.features)
    return detector.scores(embed(detector.model.embed, features.inputs), MACHINE, scorer)


def pushed(stream, x, cuts):
    out = [window for part in np.split(x, cuts) for window in stream.push(part)]
    return np.array(out + stream.finish())


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_track_of_a_file_has_the_scores_of_its_windows_as_clips(detector, sound, tmp_path, scorer):
    path = tmp_path / "long.wav"
    soundfile.write(path, sound, RATE, subtype="PCM_16")
    track = score(path, run=detector, machine=MACHINE, every=0.5, scorer=scorer)
    starts = [*np.arange(0, 6.3, 0.5), 6.3]  # and what the last step left over
    np.testing.assert_allclose(track.start, starts)
    windows = [sound[round(s * RATE) :][:RATE] for s in starts]
    np.testing.assert_allclose(track.score, one_by_one(detector, tmp_path, windows, scorer), rtol=1e-4, atol=1e-6)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, int(7.3 * RATE)), max_size=12), every=st.sampled_from([0.1, 0.37, 1.0]))
def test_the_numbers_do_not_depend_on_the_chunks(detector, sound, cuts, every):
    stream = StreamScorer(detector, MACHINE, every=every)
    whole = pushed(stream, sound, [])
    np.testing.assert_allclose(pushed(stream, sound, sorted(cuts)), whole, rtol=1e-4, atol=1e-6)


def test_a_window_is_scored_with_its_last_sample_and_not_later(detector, sound):
    stream = StreamScorer(detector, MACHINE, every=0.25)
    assert stream.push(sound[: RATE - 1]) == []
    assert [start for start, _ in stream.push(sound[RATE - 1 : RATE])] == [0.0]
    assert [start for start, _ in stream.push(sound[RATE : RATE + 4000])] == [0.25]


def test_what_is_kept_does_not_grow(detector, sound):
    stream = StreamScorer(detector, MACHINE, every=1.0)
    sizes = set()
    for _ in range(30):
        stream.push(np.tile(sound, 3)[: 20 * RATE])
        assert stream._kept.base is None  # a view would keep the whole chunk
        sizes.add(len(stream._kept))
    assert max(sizes) <= 2 * RATE


def test_other_rates_are_converted_as_in_a_file(detector, sound, tmp_path):
    import soxr

    fast = soxr.resample(sound, RATE, 44100).astype(np.float32)
    path = tmp_path / "cd.wav"
    soundfile.write(path, fast, 44100, subtype="FLOAT")
    with pytest.raises(AsdError, match="sampled at 44100 Hz instead of 16000 Hz"):
        score(path, run=detector, machine=MACHINE)
    reading = replace(detector.config.reading, resample=True)
    track = score(path, run=detector, machine=MACHINE, every=0.5, reading=reading)
    back = soxr.resample(fast, 44100, RATE).astype(np.float32)
    windows = [back[round(s * RATE) :][:RATE] for s in track.start]
    assert abs(track.start[-1] + 1 - 7.3) < 1e-3
    np.testing.assert_allclose(track.score, one_by_one(detector, tmp_path, windows), rtol=2e-3)


@pytest.mark.parametrize("sample_rate", [RATE, 44100])
def test_after_the_end_another_sound_begins_as_if_it_were_the_first(detector, sound, sample_rate):
    stream = StreamScorer(detector, MACHINE, every=0.5, sample_rate=sample_rate)
    other = np.ascontiguousarray(sound[::-1])
    alone = pushed(stream, sound, [])
    assert len(alone) > 2
    assert not np.allclose(pushed(stream, other, [7000]), alone, rtol=1e-3)
    np.testing.assert_array_equal(pushed(stream, sound, []), alone)


def test_a_sound_that_was_refused_for_its_length_leaves_nothing_behind(detector, sound):
    stream = StreamScorer(detector, MACHINE)
    stream.push(sound[:9000])
    with pytest.raises(AsdError, match="9000 of 16000 samples"):
        stream.finish(short="refuse")
    again = stream.push(sound[:RATE])
    assert again == StreamScorer(detector, MACHINE).push(sound[:RATE])
    assert [start for start, _ in again] == [0.0]


def test_a_short_recording_is_refused_by_its_name(detector, sound, tmp_path):
    path = tmp_path / "short.wav"
    soundfile.write(path, sound[:9000], RATE, subtype="PCM_16")
    with pytest.raises(AsdError, match=r"short\.wav: 9000 of 16000 samples"):
        score(path, run=detector, machine=MACHINE, reading=replace(detector.config.reading, short="refuse"))


def test_scores_that_are_no_numbers_are_refused(detector, sound):
    damaged = replace(detector, bank=np.full_like(detector.bank, np.nan))
    with pytest.raises(AsdError, match="scores that are not numbers"):
        StreamScorer(damaged, MACHINE, scorer="knn").push(sound)


def test_short_and_silent_sound(detector, sound, tmp_path):
    path = tmp_path / "short.wav"
    soundfile.write(path, sound[:9000], RATE, subtype="PCM_16")
    track = score(path, run=detector, machine=MACHINE)
    np.testing.assert_allclose(track.score, one_by_one(detector, tmp_path, [np.resize(sound[:9000], RATE)]), rtol=1e-4)
    stream = StreamScorer(detector, MACHINE)
    gap = np.concatenate([sound[:RATE], np.zeros(RATE, np.float32), sound[:RATE]])
    scores = [value for _, value in stream.push(gap)]
    assert np.isnan(scores).tolist() == [False, True, False]
    assert scores[0] == pytest.approx(scores[2], rel=1e-4)
    assert stream.finish() == []
    soundfile.write(path, np.zeros(3 * RATE), RATE)
    with pytest.raises(AsdError, match=r"short\.wav is silent"):
        score(path, run=detector, machine=MACHINE)


def test_segments_are_what_lies_above_merged_where_it_touches(tmp_path):
    track = Track(2.0, [0.0, 1.0, 2.0, 4.0, 7.0, 8.0], [1.0, 5.0, 6.0, 7.0, float("nan"), 9.0])
    assert track.segments(4) == [Segment(1.0, 6.0, 7.0), Segment(8.0, 10.0, 9.0)]
    assert track.segments(10) == []
    assert track.segments(9) == []  # at the threshold is not above it
    assert track.highest == (8.0, 9.0)
    assert Track(2.0, [0.0, 1.0], [6.0, 5.0]).segments(4) == [Segment(0.0, 3.0, 6.0)]
    track.write_csv(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[:2] == ["start,end,score", "0.000,2.000,1.0"]
    assert "7.000,9.000," in (tmp_path / "t.csv").read_text().splitlines()


def test_windows_touch_in_spite_of_rounding_and_a_sample_between_them_parts_them():
    assert 0.7 + 0.1 < 0.8  # in floating point
    assert Track(0.1, [0.7, 0.8], [1.0, 1.0]).segments(0) == [Segment(0.7, 0.8 + 0.1, 1.0)]
    assert len(Track(0.1, [0.7, 0.8 + 1 / 192000], [1.0, 1.0]).segments(0)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every": 0}, "every 0 s makes no sense"),
        ({"every": 1.01}, "up to 1 s"),
        ({"every": float("nan")}, "makes no sense"),
        ({"machine": "fan/id_99"}, "does not know the machine 'fan/id_99'"),
        ({"scorer": "magic"}, "no scorer 'magic'"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"sample_rate": 0}, "a sample rate of 0 Hz makes no sense"),
        ({"sample_rate": 2**31}, "a sample rate of 2147483648 Hz makes no sense"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_chunk(detector, options, words):
    with pytest.raises(AsdError, match=words):
        StreamScorer(detector, **{"machine": MACHINE} | options)


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (np.zeros((2, 10), np.float32), "give one channel"),
        (np.array([0.0, np.inf]), "not numbers"),
        (np.array([0.0, 300.0]), "far beyond full scale"),
        (np.zeros(4, np.int32), "int32 samples"),
    ],
)
def test_chunks_that_are_no_sound_are_refused(detector, chunk, words):
    with pytest.raises(AsdError, match=words):
        StreamScorer(detector, MACHINE).push(chunk)


def test_the_names_at_the_top_of_the_package():
    import asdlib

    assert asdlib.score is score
    assert asdlib.Detector.__module__ == "asdlib.use.detector"
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        asdlib.scores  # noqa: B018
