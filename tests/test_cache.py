"""The feature cache: exact enough, computed once, keyed by what matters, and never half there."""

import os
import resource
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asdlib import cache
from asdlib.cache import ReadOptions, features_now, features_of
from asdlib.data import read, scan
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel
from asdlib.files import locked

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
        np.testing.assert_array_equal(features.waveforms[row] / np.float32(2**15), x)
        np.testing.assert_allclose(features.log_mels[row], log_mel(x, CONFIG), atol=0.035)  # float16 at -100..60 dB
    now = features_now(clips, CONFIG)
    np.testing.assert_array_equal(now.waveforms, features.waveforms)
    np.testing.assert_array_equal(now.log_mels, features.log_mels)


def test_a_second_call_computes_nothing_and_another_config_or_file_does(clips, tmp_path, monkeypatch):
    computed = []
    real = cache.clip_arrays
    monkeypatch.setattr(cache, "clip_arrays", lambda clip, *rest: computed.append(clip) or real(clip, *rest))

    def count(config=CONFIG, options=ReadOptions()):
        computed.clear()
        features_of(clips, config, options=options, folder=tmp_path)
        return len(computed)

    assert count() == 20
    assert count() == 0
    assert count(replace(CONFIG, n_mels=64)) == 20
    assert count(options=ReadOptions(channel=0)) == 20
    stat = clips[3].path.stat()
    try:
        os.utime(clips[3].path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        assert count() == 1
    finally:
        os.utime(clips[3].path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert count() == 0


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


def test_a_cache_that_lost_a_file_is_made_anew(clips, tmp_path):
    features_of(clips, CONFIG, folder=tmp_path)
    for name in ("about.json", "log_mels.npy"):
        (path,) = tmp_path.glob(f"*/{name}")
        path.unlink()
        assert features_of(clips, CONFIG, folder=tmp_path).log_mels.shape == (20, 128, 32)


def test_a_bad_clip_leaves_no_cache_behind(small_park, tmp_path):
    bad = small_park / "fan" / "train" / "normal_id_00_99999999.wav"
    soundfile.write(bad, np.zeros(16000), 16000)
    try:
        with pytest.raises(AsdError, match=r"99999999\.wav is silent"):
            features_of(scan(small_park), CONFIG, folder=tmp_path)
    finally:
        bad.unlink()
    assert list(tmp_path.iterdir()) == []


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
    assert "it takes 5 MB" in done.stdout
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
