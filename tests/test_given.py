"""What Python is given where clips are expected: what can be meant is taken, the rest is refused in a sentence."""

import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from asdlib.cache import features_now
from asdlib.data import Clip, check_clips, scan, training_clips
from asdlib.detector import train
from asdlib.errors import AsdError
from asdlib.metrics import bootstrap_interval, machine_table, type_table
from asdlib.report import write_report
from asdlib.run import PRESETS
from asdlib.stream import StreamScorer

CLIP = Clip(Path("a.wav"), "fan", "id_00", "train", "normal")


def of_fan(small_park, count=4):
    return [clip for clip in scan(small_park) if clip.machine == "fan/id_00" and clip.split == "test"][:count]


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [("machine_id", 0, "0"), ("machine_id", np.int64(7), "7"), ("machine_type", np.str_("fan"), "fan"),
     ("attributes", {"speed": "4"}, (("speed", "4"),)), ("attributes", [["speed", "4"]], (("speed", "4"),)),
     ("path", b"b.wav", Path("b.wav"))],
)  # fmt: skip
def test_what_tables_hold_is_taken_for_a_clip(field, value, kept):
    clip = replace(CLIP, **{field: value})
    check_clips([clip])
    assert getattr(clip, field) == kept
    assert pickle.loads(pickle.dumps(clip)) == clip
    assert {clip: 1}[clip] == 1


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [("machine_id", math.nan, "machine nan: give its type and ID as text"), ("machine_id", 0.0, "machine 0.0: give"),
     ("machine_type", None, "machine None: give"), ("start", math.nan, "start nan"), ("start", "0", "start '0'"),
     ("end", math.nan, "the end nan"), ("end", math.inf, "the end inf"), ("start", None, "start None"),
     ("label", math.nan, "label nan"), ("label", True, "label True"), ("label", "anomaly", "train on normal clips only")],
)  # fmt: skip
def test_what_no_clip_can_be_is_refused_by_name(field, value, why):
    with pytest.raises(AsdError, match=rf"a\.wav .*{why}"):
        check_clips([replace(CLIP, **{field: value})])


@pytest.mark.parametrize("path", [math.nan, None, 5])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(AsdError, match=f"a clip's path is {path}: give the path"):
        replace(CLIP, path=path)


def test_clips_that_are_given_twice_do_not_count_twice():
    with pytest.raises(AsdError, match=r"2 training clips are given twice, such as a\.wav"):
        training_clips([CLIP, replace(CLIP, path="b.wav")] * 2)
    pieces = [replace(CLIP, start=start, end=start + 1.0) for start in (0.0, 1.0)]
    assert training_clips(pieces) == pieces


def test_clips_may_come_one_by_one(detector, small_park, tmp_path):
    clips = of_fan(small_park)
    wanted = detector.score_clips(clips, scorers=["knn"])
    assert detector.score_clips((clip for clip in clips), scorers="knn").equals(wanted)
    assert detector.score_clips(tuple(clips), scorers=("knn",)).equals(wanted)
    assert len(features_now(iter(clips), detector.config.features)) == 4
    write_report(tmp_path / "page.html", iter(clips), detector, {})
    page = (tmp_path / "page.html").read_text()
    assert all(clip.path.name in page for clip in clips)
    with pytest.raises(AsdError, match="only one machine"):
        train((replace(clip, split="train", label="normal") for clip in clips), tmp_path / "run", PRESETS["book"])


@pytest.mark.parametrize("given", ["park", ["a.wav"], Path("park"), pd.DataFrame({"path": ["a.wav"]})], ids=repr)
def test_what_is_no_clip_is_refused_with_what_is(given, detector, tmp_path):
    for use in (detector.score_clips, lambda clips: train(clips, tmp_path / "run", PRESETS["book"])):
        with pytest.raises(AsdError, match=r"' is no clip: give a list of Clip\(path, \.\.\.\), such as scan\(folder\)"):
            use(given)
    assert not (tmp_path / "run").exists()


def test_embeddings_of_another_shape_are_refused(detector):
    for shape in [(16,), (2, 3), (1, 2, 16)]:
        with pytest.raises(AsdError, match=r"embeddings of shape .*: give one a clip, of 16 numbers"):
            detector.scores(np.zeros(shape), "fan/id_00")


def test_chunks_are_sound_in_any_form_of_array(detector):
    x = np.random.default_rng(0).normal(0, 0.1, detector.config.features.samples).astype(np.float32)
    wanted = StreamScorer(detector, "fan/id_00").push(x)
    for chunk in (x.tolist(), torch.tensor(x, requires_grad=True), pd.Series(x), x.astype(">f4"), np.repeat(x, 2)[::2]):
        assert StreamScorer(detector, "fan/id_00").push(chunk) == wanted
    low = np.round(x * 2**15).astype(np.int16)
    assert StreamScorer(detector, "fan/id_00").push(low.astype(">i2")) == StreamScorer(detector, "fan/id_00").push(low)


def test_tables_and_intervals_of_nothing_are_refused():
    table = pd.DataFrame({"machine": ["a/b", None], "label": ["normal", "anomaly"], "score": [1, 2]})
    with pytest.raises(AsdError, match="clips have no machine"):
        machine_table(table)
    with pytest.raises(AsdError, match="clips have no score"):
        machine_table(table.drop(columns="score"))
    with pytest.raises(AsdError, match="no machine has normal and anomalous clips"):
        type_table(machine_table(table[:1]))
    for options in ({"level": 95}, {"level": 1}, {"resamples": 0}):
        with pytest.raises(AsdError, match="no interval of level"):
            bootstrap_interval([0, 0, 1, 1], [1, 3, 2, 4], **options)


def test_clips_that_were_trained_on_are_told_where_they_are_judged(small_park, small_run, tmp_path, asd, detector, caplog):
    clips = scan(small_park)
    trained = [clip for clip in clips if clip.split == "train"][:3]
    tests = [clip for clip in clips if clip.machine == trained[0].machine and clip.split == "test"]
    known = []
    detector.score_clips([*tests, *trained], known=known)
    assert known == trained
    folder = tmp_path / "data" / trained[0].machine_type / "test"
    folder.mkdir(parents=True)
    for clip in (*tests, *trained):
        prefix = "anomaly" if clip.label == "anomaly" else "normal"
        (folder / f"{prefix}_{clip.machine_id}_{clip.split}{clip.path.stem[-4:]}.wav").symlink_to(clip.path)
    asd("evaluate", tmp_path / "data", "--run", small_run)
    assert f"3 of {len(tests) + 3} test clips were trained on, such as {folder}/normal_id_00_train0000.wav" in caplog.text
    caplog.clear()
    asd("evaluate", small_park, "--run", small_run)
    assert "trained on" not in caplog.text
