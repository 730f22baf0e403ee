"""The feature cache: exact enough, each clip computed once, keyed by what matters, and never half there."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import fields, replace
from functools import partial

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asdlib.cache import ReadOptions, clip_arrays, features_now, features_of
from asdlib.data import Clip, read, scan
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel
from asdlib.files import locked
from asdlib.sound import cache, shards

CONFIG = FeatureConfig(seconds=1.0)


@pytest.fixture
def clips(small_park):
    return scan(small_park)[:20]


def test_cached_features_are_those_of_the_clips_in_their_order(clips, tmp_path):
    features = features_of(clips, CONFIG, folder=tmp_path)
    assert features.waveforms.shape == (20, 16000)
    assert features.log_mels.shape == (20, 128, 32)
    assert features.log_mels.dtype == np.float16
    for row in (0, 7, 19):
        x = read(clips[row].path)
        np.testing.assert_array_equal(features.waveforms[row], x)
        np.testing.assert_allclose(features.log_mels[row], log_mel(x, CONFIG), atol=0.035)  # float16 at -100..60 dB
    now = features_now(clips, CONFIG)
    np.testing.assert_array_equal(now.waveforms, features.waveforms)
    np.testing.assert_array_equal(now.log_mels, features.log_mels)
    # Not only equal, but laid out alike: sums over the frames round in the same way.
    means = (x.log_mels.mean(axis=2, dtype=np.float32) for x in (now, features))
    np.testing.assert_array_equal(*means)


def test_the_folder_of_a_cache_is_made_with_those_above_it(clips, tmp_path):
    features_of(clips[:1], CONFIG, folder=tmp_path / "new" / "one")
    assert len(list((tmp_path / "new" / "one").iterdir())) == 1


@pytest.fixture
def computed(monkeypatch):
    """The clips that have been computed, not found in a cache, in any order."""
    seen, real = [], clip_arrays
    monkeypatch.setattr("asdlib.sound.computed.clip_arrays", lambda clip, *rest: seen.append(clip) or real(clip, *rest))
    return seen


def test_only_clips_that_were_never_asked_for_are_computed(clips, tmp_path, computed):
    first = features_of(clips[4:12], CONFIG, folder=tmp_path)
    assert sorted(clip.path for clip in computed) == sorted(clip.path for clip in clips[4:12])
    computed.clear()
    features_of(clips[11:3:-1], CONFIG, folder=tmp_path)  # another order
    features_of(clips[6:9] + clips[6:9], CONFIG, folder=tmp_path)  # fewer, and twice
    assert computed == []
    more = features_of(clips[::-1], CONFIG, folder=tmp_path)
    assert sorted(clip.path for clip in computed) == sorted(clip.path for clip in clips[:4] + clips[12:])
    np.testing.assert_array_equal(more.waveforms[8:16], first.waveforms[::-1])
    now = features_now(clips[::-1], CONFIG)
    np.testing.assert_array_equal(more.log_mels, now.log_mels)
    assert more.machines.tolist() == [clip.machine for clip in clips[::-1]]


@pytest.mark.parametrize("size", [256, 8])
def test_steps_are_told_for_what_is_computed_to_the_last(clips, tmp_path, monkeypatch, size):
    monkeypatch.setattr(cache, "SHARD", size)
    told = []
    features_now(clips[:3], CONFIG, on_step=lambda *step: told.append(step))
    assert told == [("features", done, 3) for done in (1, 2, 3)]
    told.clear()
    features_of(clips[:3], CONFIG, folder=tmp_path)
    features_of(clips, CONFIG, folder=tmp_path, on_step=lambda *step: told.append(step))
    assert told == [("features", done, 17) for done in range(1, 18)]


OTHER_CONFIG = {
    "sample_rate": 8000,
    "seconds": 0.9,
    "n_fft": 512,
    "hop_length": 256,
    "n_mels": 64,
    "f_min": 20.0,
    "f_max": 3000.0,
}
OTHER_OPTIONS = {"channel": 0, "resample": True, "short": "refuse", "partial": True}


@pytest.mark.parametrize("field", [f.name for f in fields(FeatureConfig)])
def test_each_setting_of_the_features_has_a_cache_of_its_own(clips, tmp_path, computed, field):
    config = FeatureConfig(seconds=1.0, f_max=4000.0)
    options = ReadOptions(resample=True)
    features_of(clips[:2], config, options=options, folder=tmp_path)
    computed.clear()
    other = features_of(clips[:2], replace(config, **{field: OTHER_CONFIG[field]}), options=options, folder=tmp_path)
    assert len(computed) == 2
    expected = features_now(clips[:2], replace(config, **{field: OTHER_CONFIG[field]}), options=options)
    np.testing.assert_array_equal(other.log_mels, expected.log_mels)
    computed.clear()
    features_of(clips[:2], config, options=options, folder=tmp_path)
    assert computed == []  # the first is still there


@pytest.mark.parametrize("field", [f.name for f in fields(ReadOptions)])
def test_each_way_of_reading_has_a_cache_of_its_own(clips, tmp_path, computed, field):
    features_of(clips[:2], CONFIG, folder=tmp_path)
    computed.clear()
    features_of(clips[:2], CONFIG, options=ReadOptions(**{field: OTHER_OPTIONS[field]}), folder=tmp_path)
    assert len(computed) == 2


def test_another_format_of_the_files_is_another_cache(clips, tmp_path, computed, monkeypatch):
    features_of(clips[:2], CONFIG, folder=tmp_path)
    computed.clear()
    monkeypatch.setattr(shards, "FORMAT", shards.FORMAT + 1)
    features_of(clips[:2], CONFIG, folder=tmp_path)
    assert len(computed) == 2


@pytest.mark.parametrize("changed", ["path", "size", "time", "nothing"])
def test_a_file_is_known_by_path_size_and_time(tmp_path, computed, changed):
    def written(name, samples):
        path = tmp_path / "fan" / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(samples).normal(0, 0.1, samples), 16000)
        os.utime(path, ns=(0, 10**18 + (changed == "time" and bool(computed))))
        return Clip(path, "fan", "id_00", "train", "normal")

    features_of([written("normal_id_00_0.wav", 16000)], CONFIG, folder=tmp_path / "cache")
    again = written("normal_id_00_1.wav" if changed == "path" else "normal_id_00_0.wav", 16001 if changed == "size" else 16000)
    features_of([again], CONFIG, folder=tmp_path / "cache")
    assert len(computed) == (1 if changed == "nothing" else 2)


def test_a_clip_that_cannot_be_found_is_said(tmp_path):
    clip = Clip(tmp_path / "gone.wav", "fan", "id_00", "train", "normal")
    with pytest.raises(AsdError, match=r"cannot read .*gone\.wav \(No such file"):
        features_of([clip], CONFIG, folder=tmp_path / "cache")


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_24", "PCM_16"])
@pytest.mark.parametrize("level", [1e-6, 1e-3, 1.0, 30.0])
def test_what_is_quieter_than_sixteen_bits_or_beyond_full_scale_is_kept_as_it_is(tmp_path, subtype, level):
    """By an independent way from the file to the log-mel, in double precision."""
    path = tmp_path / "a.wav"
    x = level * np.random.default_rng(0).uniform(-1, 1, 16000)
    soundfile.write(path, x, 16000, subtype=subtype)
    inside, _ = soundfile.read(path)
    if np.ptp(inside) == 0:  # quieter than what the file can hold
        assert subtype.startswith("PCM")
        return
    assert subtype.startswith("PCM") or np.abs(inside).max() == pytest.approx(level, rel=1e-3)
    wave, mel, fit, rate = clip_arrays(Clip(path, "fan", "id_00", "train", "normal"), CONFIG, ReadOptions())
    np.testing.assert_array_equal(wave, inside.astype(np.float32))
    assert (fit, rate) == ("exact", 16000)
    power = librosa.feature.melspectrogram(
        y=inside, sr=16000, n_fft=1024, hop_length=512, n_mels=128, fmax=8000, htk=True, norm=None, pad_mode="reflect"
    )
    np.testing.assert_allclose(mel, 10 * np.log10(np.maximum(power, 1e-10)), atol=0.1)


def test_a_resampled_clip_ends_as_that_of_the_whole_recording(tmp_path):
    """The resampler looks ahead: cut at the very end of the clip, its last samples would be others."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 4 * 44100).clip(-1, 1), 44100)
    clip = Clip(path, "fan", "id_00", "train", "normal")
    wave, _, fit, _ = clip_arrays(clip, CONFIG, ReadOptions(resample=True))
    whole = read(path, resample=True)
    np.testing.assert_array_equal(wave[-100:], whole[15900:16000])
    assert fit == "cropped"


@pytest.mark.parametrize("rate", [8000, 48000])
def test_other_sample_rates_are_read_and_kept_as_such(tmp_path, rate):
    x = np.random.default_rng(rate).integers(-3000, 3000, rate).astype(np.int16)
    path = tmp_path / "fan" / "train" / "normal_id_00_0.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, x, rate)
    config = FeatureConfig(sample_rate=rate, seconds=1.0, n_mels=64, f_max=rate / 2)
    kept = features_of(scan(tmp_path), config, folder=tmp_path / "cache")
    np.testing.assert_array_equal(kept.waveforms, [x / np.float32(2**15)])
    assert kept.log_mels.shape == (1, 64, rate // 512 + 1)
    with pytest.raises(AsdError, match=f"sampled at {rate} Hz instead of 16000"):
        features_of(scan(tmp_path), CONFIG, folder=tmp_path / "cache")


def test_clips_of_other_lengths_are_fitted_and_it_is_said(clips, tmp_path, caplog):
    features_of(clips, FeatureConfig(seconds=0.5), folder=tmp_path)
    assert "20 of 20 clips are longer and cut to their first 0.5 s" in caplog.text
    caplog.clear()
    features_of(clips, FeatureConfig(seconds=0.5), folder=tmp_path)
    assert "20 of 20 clips are longer" in caplog.text  # from the cache too
    features = features_of(clips, FeatureConfig(seconds=1.5), folder=tmp_path)
    assert "20 of 20 clips are shorter and repeated up to 1.5 s" in caplog.text
    np.testing.assert_array_equal(features.waveforms[:, 16000:], features.waveforms[:, :8000])
    with pytest.raises(AsdError, match=r"\.wav is too short"):
        features_of(clips, FeatureConfig(seconds=1.5), options=ReadOptions(short="refuse"), folder=tmp_path)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, 19), min_size=1, max_size=20), seconds=st.sampled_from([0.5, 1.0, 1.3]))
def test_the_cache_of_any_clips_in_any_order_has_their_rows(clips, tmp_path, rows, seconds):
    config = FeatureConfig(seconds=seconds)
    whole = features_of(clips, config, folder=tmp_path)
    some = features_of([clips[i] for i in rows], config, folder=tmp_path)
    for array, expected in zip(some.inputs, whole.inputs, strict=True):
        np.testing.assert_array_equal(array, expected[rows])


def test_many_small_shards_and_few_large_ones_hold_the_same(clips, tmp_path, computed, monkeypatch):
    expected = features_now(clips, CONFIG)
    monkeypatch.setattr(cache, "SHARD", 7)
    monkeypatch.setattr("asdlib.sound.computed.AT_ONCE", 3)
    for some in (clips[:9], clips):  # shards of 7, 2, 7 and 4 clips
        got = features_of(some, CONFIG, folder=tmp_path)
        np.testing.assert_array_equal(got.waveforms, expected.waveforms[: len(some)])
        np.testing.assert_array_equal(got.log_mels, expected.log_mels[: len(some)])
    assert sorted(json.loads(path.read_text())["clips"] for path in tmp_path.glob("*/about.json")) == [2, 4, 7, 7]
    monkeypatch.setattr(shards, "MOST", 3)  # more than may be mapped at once: the smallest is computed anew
    for count in (2, 0):
        computed.clear()
        got = features_of(clips[::-1], CONFIG, folder=tmp_path)
        np.testing.assert_array_equal(got.waveforms, expected.waveforms[::-1])
        assert len(computed) == count
        monkeypatch.setattr(shards, "MOST", 4)


def test_the_processes_of_one_machine_compute_a_share_each_and_what_others_failed_to(clips, tmp_path, computed, monkeypatch):
    monkeypatch.setattr(cache, "SHARD", 4)
    expected = features_now(clips, CONFIG)
    computed.clear()
    shares = []
    for place in (0, 1):
        computed.clear()
        monkeypatch.setattr("asdlib.processes.local_rank", lambda place=place: place)
        monkeypatch.setattr("asdlib.processes.local_world_size", lambda: 2)

        def come(place=place):
            shares.append([clip.path for clip in computed])
            computed.clear()
            if place:  # at this moment the other one has done its share
                shutil.copytree(tmp_path / "0", tmp_path / "1", dirs_exist_ok=True)

        monkeypatch.setattr("asdlib.processes.barrier", come)
        got = features_of(clips, CONFIG, folder=tmp_path / str(place), together=True)
        np.testing.assert_array_equal(got.log_mels, expected.log_mels)
        if place == 0:  # the other one has left nothing, so this one has computed the rest
            assert len(computed) == 8
    assert len(shares[0]) == 12
    assert len(shares[1]) == 8
    assert set(shares[0]) | set(shares[1]) == {clip.path for clip in clips}
    assert computed == []  # and the second had all that it needs


def test_a_cache_that_lost_a_file_is_made_anew(clips, tmp_path):
    features_of(clips, CONFIG, folder=tmp_path)
    whole = np.asarray(features_of(clips, CONFIG, folder=tmp_path).log_mels)
    for name, damage in [
        ("about.json", lambda path: path.unlink()),
        ("log_mels.npy", lambda path: path.unlink()),
        ("log_mels.npy", lambda path: os.truncate(path, 1000)),
        ("waveforms.npy", lambda path: np.save(path, np.zeros((20, 16000)))),
        ("waveforms.npy", lambda path: np.save(path, np.zeros((19, 16000), np.float32))),
        ("about.json", lambda path: path.write_text("{")),
        ("about.json", lambda path: path.write_text("[]")),
    ]:
        (path,) = tmp_path.glob(f"*/{name}")
        damage(path)
        np.testing.assert_array_equal(features_of(clips, CONFIG, folder=tmp_path).log_mels, whole)
    assert len(list(tmp_path.iterdir())) == 1


def test_bad_clips_are_all_named_and_cost_only_themselves(clips, tmp_path, computed, monkeypatch):
    monkeypatch.setattr(cache, "SHARD", 3)
    bad = []
    for name, content in [("silent", np.zeros(16000)), ("nan", np.full(16000, np.nan)), ("stereo", np.ones((9000, 2)))]:
        bad.append(Clip(tmp_path / f"{name}.wav", "fan", "id_00", "train", "normal"))
        soundfile.write(bad[-1].path, content, 16000, subtype="FLOAT")
    bad.append(replace(bad[0], path=tmp_path / "gone.wav"))
    mixed = [*clips[:4], bad[0], *clips[4:9], *bad[1:], *clips[9:]]
    with pytest.raises(AsdError) as error:
        features_of(mixed, CONFIG, folder=tmp_path / "cache")
    head, *lines = str(error.value).splitlines()
    assert head.startswith("4 of 24 recordings cannot be used")
    for word in ("gone.wav", "silent.wav is silent", "nan.wav contains", "stereo.wav has 2 channels"):
        assert sum(word in line for line in lines) == 1
    computed.clear()
    kept = features_of(clips, CONFIG, folder=tmp_path / "cache")
    assert computed == []  # the good ones were not lost
    found = {}
    left = features_of(mixed, CONFIG, folder=tmp_path / "cache", bad=found)
    assert set(found) == set(bad)
    np.testing.assert_array_equal(left.waveforms, kept.waveforms)
    now = features_now(mixed, CONFIG, bad=(found_now := {}))
    assert {clip: str(error) for clip, error in found_now.items()}.keys() == found.keys()
    np.testing.assert_array_equal(now.log_mels, kept.log_mels)
    with pytest.raises(AsdError, match="4 of 4 recordings cannot be used"):  # nothing is left
        features_now(bad, CONFIG, bad={})


def test_only_bad_clips_leave_no_cache_behind(tmp_path):
    bad = Clip(tmp_path / "a.wav", "fan", "id_00", "train", "normal")
    soundfile.write(bad.path, np.zeros(16000), 16000)
    with pytest.raises(AsdError, match=r"^[^\n]*a\.wav is silent[^\n]*$"):
        features_of([bad], CONFIG, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_clip_is_a_stretch_of_a_recording(tmp_path):
    path = tmp_path / "long.flac"
    x = np.random.default_rng(0).integers(-3000, 3000, 16000 * 5).astype(np.int16)
    soundfile.write(path, x, 16000)
    whole = Clip(path, "fan", "id_00", "train", "normal")
    places = [(0.0, None, "cropped"), (1.5, None, "cropped"), (1.5, 2.5, "exact"), (3.25, 3.75, "repeated")]
    parts = [replace(whole, start=start, end=end) for start, end, _ in places]
    kept = features_of(parts, CONFIG, folder=tmp_path / "cache")
    for row, (start, end, fit) in zip(kept.waveforms, places, strict=True):
        first = round(16000 * start)
        last = min(first + 16000, round(16000 * (end or 5)))
        np.testing.assert_array_equal(row, np.resize(x[first:last], 16000) / np.float32(2**15))
        assert clip_arrays(replace(whole, start=start, end=end), CONFIG, ReadOptions()).fit == fit
    with pytest.raises(AsdError, match="ends after 5 s: there is no clip from 5 s on"):
        features_of([replace(whole, start=5.0)], CONFIG, folder=tmp_path / "cache")


@pytest.mark.parametrize(
    ("rates", "trained", "said"),
    [
        ([16000, 16000], (), []),
        ([8000, 16000], (), ["1 of 2 clips were recorded at 8000 Hz: nothing above 4000 Hz in them"]),
        ([44100, 44100], (16000,), []),
        ([8000, 8000], (8000,), ["2 of 2 clips were recorded at 8000 Hz: nothing above 4000 Hz in them"]),
        (
            [8000],
            (44100, 16000),
            ["1 of 1 clips were recorded at 8000 Hz: nothing above 4000 Hz in them, unlike"],
        ),
        (
            [44100],
            (8000,),
            ["1 of 1 clips were recorded at 44100 Hz, those of training at 8000 Hz: what"],
        ),
    ],
)
def test_bands_that_are_empty_or_new_are_said_once(tmp_path, caplog, rates, trained, said):
    clips = []
    for i, rate in enumerate(rates):
        clips.append(Clip(tmp_path / f"{i}.wav", "fan", "id_00", "train", "normal"))
        soundfile.write(clips[-1].path, np.random.default_rng(i).normal(0, 0.1, rate), rate)
    for function in (partial(features_of, folder=tmp_path / "cache"), features_now):
        caplog.clear()
        function(clips, CONFIG, options=ReadOptions(resample=True), trained=trained)
        assert [record.getMessage()[: len(line)] for record, line in zip(caplog.records, said, strict=True)] == said


def test_a_clip_that_is_silent_where_it_counts_is_refused(tmp_path):
    x = np.concatenate([np.zeros(16000), np.random.default_rng(0).normal(0, 0.1, 16000)])
    path = tmp_path / "fan" / "train" / "normal_id_00_00000000.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, x, 16000)
    with pytest.raises(AsdError, match="silent in its first 1 s"):
        features_of(scan(tmp_path), CONFIG, folder=tmp_path / "cache")


FULL_DISK = """
import resource, sys
from pathlib import Path
from asdlib.cache import features_of
from asdlib.data import scan
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # the operating system refuses to write on
try:
    features_of(scan(sys.argv[1]), FeatureConfig(seconds=1.0), folder=Path(sys.argv[2]))
except AsdError as error:
    print(error)
"""


def test_a_write_that_the_system_refuses_is_one_sentence_and_leaves_nothing(small_park, tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", FULL_DISK, str(small_park), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot write the feature cache" in done.stdout
    assert "it takes 8 MB" in done.stdout
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(clips, tmp_path):
    for name, age in ((".part-dead", 3600), (".part-young", 0), (".part-alive", 3600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "waveforms.npy").write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with locked(tmp_path / ".part-alive"):
        features_of(clips[:2], CONFIG, folder=tmp_path)
    assert {p.name for p in tmp_path.glob(".part-*")} == {".part-young", ".part-alive"}


AT_THE_SAME_TIME = """
import sys
from pathlib import Path
from asdlib.cache import features_of
from asdlib.data import scan
from asdlib.features import FeatureConfig
sys.stdin.readline()  # all begin at the same time
features = features_of(scan(sys.argv[1]), FeatureConfig(seconds=1.0), folder=Path(sys.argv[2]), together=True)
print(features.log_mels.mean(dtype=float))
"""


def test_two_processes_that_fill_one_cache_at_once_leave_one_whole_cache(small_park, tmp_path):
    command = [sys.executable, "-c", AT_THE_SAME_TIME, str(small_park), str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    time.sleep(2)  # for their imports
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate() for process in both]
    expected = str(features_of(scan(small_park), CONFIG, folder=tmp_path / "alone").log_mels.mean(dtype=float))
    assert [out.strip() for out, _ in said] == [expected] * 2, said
    (whole,) = [path for path in tmp_path.iterdir() if path.name != "alone"]
    assert {path.name for path in whole.iterdir()} == {"about.json", "waveforms.npy", "log_mels.npy"}
