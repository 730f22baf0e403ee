"""Runs that last: those of earlier versions, of earlier settings and of scorers that are new; and what a run belongs to."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asdlib.data import scan
from asdlib.detector import Detector, train
from asdlib.errors import AsdError
from asdlib.machines import simulate
from asdlib.run import RunConfig, read_config, read_settings
from asdlib.scorers import EMBEDDING_SCORERS
from tests.conftest import SMALL, same_tensors

RUNS = Path(__file__).parent / "runs"


@pytest.mark.parametrize("run", sorted(RUNS.glob("format_*")), ids=lambda path: path.name)
def test_a_run_of_each_format_loads_and_gives_its_scores(run, park):
    detector = Detector.load(run)
    expected = json.loads((run / "expected.json").read_text())
    clips = {str(clip.path.relative_to(park)): clip for clip in scan(park)}
    table = detector.score_clips([clips[name] for name in expected["clips"]], device="cpu")
    assert set(expected["scores"]) <= set(table.columns)
    for scorer, scores in expected["scores"].items():
        np.testing.assert_allclose(table[scorer], scores, rtol=2e-3, atol=1e-4, err_msg=scorer)


def test_there_is_a_run_of_todays_format():
    formats = {json.loads((run / "config.json").read_text()).get("format", 1) for run in RUNS.glob("format_*")}
    assert formats == {1, 2}


def test_every_run_has_an_identity_that_its_files_share(small_park, small_run, tmp_path):
    again = tmp_path / "run"
    train(scan(small_park), again, SMALL)
    assert same_tensors(again / "weights.safetensors", small_run / "weights.safetensors")
    assert read_config(again) == read_config(small_run)
    assert read_config(again).identity != read_config(small_run).identity
    for name in ("weights.safetensors", "embeddings.safetensors", "scores.json"):
        mixed = shutil.copytree(again, tmp_path / name)
        shutil.copy(small_run / name, mixed)
        with pytest.raises(AsdError, match=f"{name} belongs to other settings"):
            Detector.load(mixed)


def test_a_run_from_before_a_setting_was_added_loads_and_is_resumed(small_park, tmp_path, monkeypatch):
    whole = RunConfig.as_dict

    def before(config):
        values = whole(config)
        del values["precision"], values["encoder"]["last_channels"], values["finetune"]["accumulation_steps"]
        return values

    def interrupt(text, done, total):
        if text == "finetune 2/4":
            raise KeyboardInterrupt

    default = replace(SMALL, encoder=replace(SMALL.encoder, last_channels=512))
    monkeypatch.setattr(RunConfig, "as_dict", before)
    with pytest.raises(KeyboardInterrupt):
        train(scan(small_park), tmp_path / "run", default, on_step=interrupt)
    monkeypatch.setattr(RunConfig, "as_dict", whole)
    kept = (tmp_path / "run" / "config.json").read_bytes()
    assert b"precision" not in kept
    detector = train(scan(small_park), tmp_path / "run", default, resume=True)
    assert (tmp_path / "run" / "config.json").read_bytes() == kept
    assert (detector.config.precision, detector.config.encoder.last_channels) == ("32", 512)


def test_a_scorer_that_is_new_is_computed(small_park, small_run, monkeypatch):
    monkeypatch.setitem(EMBEDDING_SCORERS, "farthest", lambda known, asked: np.linalg.norm(asked, axis=1))
    detector = Detector.load(small_run)
    clips = [clip for clip in scan(small_park) if clip.split == "test"][:5]
    table = detector.score_clips(clips)
    assert table.columns[-1] == "farthest"
    own = detector.bank[detector.bank_labels == 0]
    lengths = np.percentile(np.linalg.norm(own, axis=1), range(101))
    np.testing.assert_allclose(detector.percentiles[detector.config.machines[0]]["farthest"], lengths)
    assert 0 <= detector.training_share(table.farthest[0], clips[0].machine, "farthest") <= 1


def test_clips_of_the_same_names_and_sizes_are_told_apart_by_their_content(small_park, small_run, tmp_path):
    other = simulate(tmp_path / "park", preset="tiny", seed=1)
    clips = [clip for clip in scan(other) if clip.machine_type in ("fan", "valve")]
    names = sorted((clip.machine, clip.path.name, clip.path.stat().st_size) for clip in clips)
    assert names == sorted((clip.machine, clip.path.name, clip.path.stat().st_size) for clip in scan(small_park))
    with pytest.raises(AsdError, match=r"other settings \(data\)"):
        train(clips, small_run, SMALL, resume=True)
    moved = shutil.copytree(small_park, tmp_path / "moved")
    assert train(scan(moved), small_run, SMALL, resume=True).config == read_config(small_run)


def test_settings_come_from_a_file_any_part_of_them(tmp_path, small_run):
    presets = {"book": SMALL, "paper": RunConfig()}

    def read(values):
        (tmp_path / "settings.json").write_text(json.dumps(values))
        return read_settings(tmp_path / "settings.json", presets=presets)

    assert read({}) == SMALL
    assert read({"preset": "paper"}) == RunConfig()
    got = read({"margin": 0.5, "pretrain": {"epochs": 9}, "encoder": {"stem_channels": 4}})
    assert got == replace(
        SMALL,
        margin=0.5,
        pretrain=replace(SMALL.pretrain, epochs=9),
        encoder=replace(SMALL.encoder, stem_channels=4),
    )
    assert read({"pretrain": None}).pretrain is None
    assert read(SMALL.chosen()) == SMALL
    as_that_run = read_settings(small_run / "config.json", presets=presets)
    assert as_that_run == SMALL
    assert read_settings(RUNS / "format_1" / "config.json", presets=presets).pretrain.epochs == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": 3}, "no setting 'colour'"),
        ({"features": {"seconds": "long"}}, "seconds is 'long'"),
        ({"features": {"f_max": 9000.0}}, "do not fit a rate of 16000 Hz"),
        ({"finetune": None}, "finetune is 'None'"),
        ({"preset": "pocket"}, "no preset 'pocket'"),
        ({"validation": -0.1}, "held-out share"),
        ({"pretrain": {"epochs": 0}}, "epochs of 0 makes no sense"),
        ({"encoder": {"name": "ears"}}, "no encoder 'ears'"),
        ([1], "not the config of a run"),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(tmp_path, values, message):
    (tmp_path / "settings.json").write_text(json.dumps(values))
    with pytest.raises(AsdError, match=message):
        read_settings(tmp_path / "settings.json", presets={"book": SMALL})
    with pytest.raises(AsdError, match=r"cannot read .*nowhere\.json"):
        read_settings(tmp_path / "nowhere.json", presets={"book": SMALL})
