"""How large the cache is and may grow, and how it is emptied: only of what is ours, and never of what is in use."""

import json
import os
import time

import numpy as np
import pytest

from asdlib.cache import ReadOptions, features_of
from asdlib.data import scan
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.files import locked
from asdlib.sound import cache_size

CONFIG = FeatureConfig(seconds=1.0)
CLIP = 16000 * 4 + 128 * 32 * 2  # bytes of a clip of a second


@pytest.fixture
def clips(small_park):
    return scan(small_park)[:12]


def age(folder, seconds):
    """Whatever is there was used so long ago."""
    for about in folder.glob("*/about.json"):
        os.utime(about, (time.time() - seconds,) * 2)


def old_cache(folder):
    """As earlier versions left it."""
    old = folder / ("0123456789abcdef" * 2)
    old.mkdir(parents=True)
    (old / "about.json").write_text(json.dumps({"config": {}, "clips": 3, "lengths": {"exact": 3}}))
    for name in ("waveforms.npy", "log_mels.npy"):
        (old / name).write_bytes(b"x" * 1000)
    return old


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_usage_counts_clips_bytes_and_uses_of_both_formats(clips, tmp_path):
    assert cache_size.usage(tmp_path / "none") == cache_size.Usage(tmp_path / "none", 0, 0, None, None)
    features_of(clips[:5], CONFIG, folder=tmp_path)
    age(tmp_path, 3600)
    features_of(clips[3:7], CONFIG, folder=tmp_path)  # two are new; the five were used, too
    old_cache(tmp_path)
    age(tmp_path / "nothing", 0)
    found = cache_size.usage(tmp_path)
    assert found.clips == 10
    files = [path.stat().st_size for path in tmp_path.glob("*/*")]
    assert found.bytes == sum(files)
    assert found.bytes > 7 * CLIP + 2000
    assert time.time() - found.oldest_use.timestamp() < 600


def test_what_was_not_used_for_longest_goes_and_never_what_is_asked_for(clips, tmp_path, monkeypatch):
    features_of(clips[:4], CONFIG, folder=tmp_path)
    (first,) = left(tmp_path)
    age(tmp_path, 300)
    features_of(clips[4:8], CONFIG, folder=tmp_path)
    (second,) = set(left(tmp_path)) - {first}
    age(tmp_path, 200)
    features_of(clips[:4], CONFIG, folder=tmp_path)  # the first is used again
    old = old_cache(tmp_path)
    os.utime(old / "about.json", (0, 0))
    monkeypatch.setenv("ASDLIB_CACHE_GB", str(5 * CLIP / 1e9))
    features_of(clips[:2], CONFIG, folder=tmp_path)  # computes nothing, so removes nothing
    assert set(left(tmp_path)) == {first, second, old.name}
    monkeypatch.setenv("ASDLIB_CACHE_GB", str(9 * CLIP / 1e9))
    held = features_of(clips[8:12], CONFIG, folder=tmp_path)
    assert first in left(tmp_path)
    assert len(left(tmp_path)) == 2
    monkeypatch.setenv("ASDLIB_CACHE_GB", "1e-9")
    again = features_of(clips, CONFIG, folder=tmp_path)  # more than fits, and all of it is needed
    assert cache_size.usage(tmp_path).clips == 12
    np.testing.assert_array_equal(again.waveforms[8:], held.waveforms)
    features_of(clips[:1], CONFIG, options=ReadOptions(channel=0), folder=tmp_path)
    assert cache_size.usage(tmp_path).clips == 1
    np.testing.assert_array_equal(again.waveforms[8:], held.waveforms)  # what is mapped stays readable


@pytest.mark.parametrize("about", ["", "no JSON", '{"config": {}}', '{"clips": null}'])
def test_what_cannot_be_counted_counts_by_its_bytes(tmp_path, about):
    (old_cache(tmp_path) / "about.json").write_text(about)
    found = cache_size.usage(tmp_path)
    assert (found.clips, found.bytes) == (0, 2000 + len(about))


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(clips, tmp_path, monkeypatch, text):
    monkeypatch.setenv("ASDLIB_CACHE_GB", text)
    with pytest.raises(AsdError, match=f"ASDLIB_CACHE_GB is '{text}': set it to the size"):
        features_of(clips, CONFIG, folder=tmp_path)
    assert left(tmp_path) == []


def test_a_limit_is_50_gb_or_what_is_set(monkeypatch):
    monkeypatch.delenv("ASDLIB_CACHE_GB", raising=False)
    assert cache_size.limit() == 50e9
    monkeypatch.setenv("ASDLIB_CACHE_GB", "1.5")
    assert cache_size.limit() == 1.5e9


def test_the_command_shows_and_empties_it(clips, tmp_path, monkeypatch, asd):
    monkeypatch.setenv("ASDLIB_CACHE", str(tmp_path))
    features_of(clips, CONFIG)
    old_cache(tmp_path)
    (tmp_path / ".part-dead").mkdir()
    os.utime(tmp_path / ".part-dead", (0, 0))
    (tmp_path / ".part-alive").mkdir()
    os.utime(tmp_path / ".part-alive", (0, 0))
    code, out, _ = asd("cache", "--json")
    shown = json.loads(out)
    assert (code, shown["folder"], shown["clips"], shown["limit in GB"]) == (0, str(tmp_path), 15, 50.0)
    assert shown["megabytes"] == pytest.approx(12 * CLIP / 1e6, abs=0.1)
    assert shown["oldest use"] <= shown["newest use"]
    assert str(tmp_path) in asd("cache")[1]
    with locked(tmp_path / ".part-alive"):
        code, out, _ = asd("cache", "--clear")
    assert code == 0
    assert f"removed 15 clips, 0.9 MB, from {tmp_path}" in out
    assert left(tmp_path) == [".part-alive"]
    assert json.loads(asd("cache", "--cache", tmp_path / "none", "--clear", "--json")[1])["clips"] == 0


@pytest.mark.parametrize("kind", ["file", "folder", "inside", "link"])
def test_a_folder_that_holds_anything_else_is_left_alone(clips, tmp_path, asd, kind):
    folder = tmp_path / "cache"
    features_of(clips, CONFIG, folder=folder)
    (shard,) = folder.iterdir()
    name = "notes.txt"
    if kind == "file":
        (folder / name).write_text("mine")
    elif kind == "folder":
        name = "f" * 31
        (folder / name).mkdir()
    elif kind == "inside":
        name = shard.name
        (shard / "mine.txt").write_text("mine")
    else:
        name = "f" * 32
        (tmp_path / "elsewhere").mkdir()
        (folder / name).symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    code, _, err = asd("cache", "--cache", folder, "--clear")
    assert code == 2
    assert f"{folder} holds {name}, which is not of the feature cache: nothing was removed" in err
    assert sorted(tmp_path.rglob("*")) == before
