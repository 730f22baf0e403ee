"""A run from clips to scores: what it leaves, how it goes on, what it refuses."""

import json
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from asdlib.cache import features_now, features_of
from asdlib.checkpoint import read_log
from asdlib.contrastive import with_new_head
from asdlib.data import scan, training_clips
from asdlib.detector import Detector, embed, train
from asdlib.errors import AsdError
from asdlib.evaluation import SCORERS, knn_score
from asdlib.run import PRESETS, load_pretrained, new_encoder, read_config
from tests.conftest import SMALL, same_tensors


def test_presets_are_what_they_say():
    paper, book = PRESETS["paper"], PRESETS["book"]
    assert (paper.pretrain.epochs, paper.pretrain.batch_size, paper.pretrain.learning_rate) == (101, 128, 5e-4)
    assert (paper.finetune.epochs, paper.finetune.learning_rate, paper.finetune.cosine_from) == (300, 1e-4, 20)
    assert (paper.margin, paper.scale, paper.temperature, paper.features.seconds) == (1.0, 30.0, 0.1, 10.0)
    assert book.features.seconds == 2.0


def test_a_run_holds_what_its_docstring_lists_and_nothing_that_executes(small_run):
    assert sorted(p.name for p in small_run.iterdir()) == [
        "README.md", "config.json", "embeddings.safetensors", "log.csv",
        "pretrained.safetensors", "scores.json", "weights.safetensors",
    ]  # fmt: skip
    assert [(r["stage"], r["epoch"]) for r in read_log(small_run / "log.csv")] == [
        *(("pretrain", i) for i in range(3)),
        *(("finetune", i) for i in range(4)),
    ]


def test_the_config_comes_back_as_it_was(small_run):
    machines = tuple(f"{t}/id_0{i}" for t in ("fan", "valve") for i in (0, 2, 4, 6))
    config = read_config(small_run)
    assert config == replace(SMALL, machines=machines, data=config.data)
    assert len(config.data) == 32


def test_the_pretrained_model_can_be_looked_at(small_run, detector, small_park, tmp_path):
    model = load_pretrained(small_run)
    assert not model.training
    clips = scan(small_park)[:3]
    arrays = features_now(clips, detector.config.features).inputs
    steps = []
    assert embed(model.embed, arrays, batch_size=2, on_step=lambda *step: steps.append(step)).shape == (3, 16)
    assert steps == [("embed", 2, 3), ("embed", 3, 3)]
    assert not np.allclose(embed(model.embed, arrays), embed(detector.model.embed, arrays))
    shutil.copy(small_run / "config.json", tmp_path)
    with pytest.raises(AsdError, match=r"no file .*pretrained\.safetensors"):
        load_pretrained(tmp_path)


def test_both_stages_move_the_weights_on_from_the_same_start(small_run, detector):
    start = with_new_head(new_encoder(SMALL), seed=SMALL.seed).state_dict()
    stage_1, stage_2 = load_file(small_run / "pretrained.safetensors"), load_file(small_run / "weights.safetensors")
    name = "encoder.tgram.filters.weight"
    moved_1, moved_2 = (stage_1[name] - start[name]).norm(), (stage_2[name] - stage_1[name]).norm()
    assert 0 < moved_1 < start[name].norm()  # from this very initialisation
    assert 0 < moved_2 < start[name].norm()  # and on from stage 1, not from scratch
    head = "head.first.0.weight"
    assert 0 < (stage_1[head] - start[head]).norm() < 0.5 * start[head].norm()
    assert 0 < (stage_2["first.0.weight"] - stage_1[head]).norm() < 0.5 * start[head].norm()


def test_scores_of_every_scorer_for_every_clip(detector, small_park):
    clips = [clip for clip in scan(small_park) if clip.split == "test"]
    table = detector.score_clips(clips)
    assert list(table.columns) == ["machine", "name", "label", "domain", *SCORERS]
    assert len(table) == len(clips)
    assert np.isfinite(table[list(SCORERS)].to_numpy()).all()
    again = detector.score_clips(clips[::-1]).iloc[::-1].reset_index(drop=True)
    np.testing.assert_allclose(again[list(SCORERS)], table[list(SCORERS)], rtol=1e-3, atol=1e-4)


def test_scores_are_their_formulas_on_the_embeddings(detector, small_park):
    clips = [clip for clip in scan(small_park) if clip.machine == "valve/id_02" and clip.split == "test"]
    embeddings = embed(detector.model.embed, features_now(clips, detector.config.features).inputs, device="cpu")
    label = detector.label("valve/id_02")
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    weight = detector.model.arcface.weight.detach().numpy()
    cosine = unit @ (weight / np.linalg.norm(weight, axis=1, keepdims=True)).T
    for scorer, margin in (("softmax", 1.0), ("softmax-plain", 0.0)):
        logits = 30 * cosine.astype(np.float64)
        theta = np.arccos(cosine[:, label])
        turned = np.where(theta < np.pi - margin, np.cos(theta + margin), np.cos(theta) - margin * np.sin(margin))
        logits[:, label] = 30 * turned
        expected = -np.log(np.exp(logits[:, label]) / np.exp(logits).sum(axis=1))
        np.testing.assert_allclose(detector.scores(embeddings, "valve/id_02", scorer), expected, rtol=1e-3, atol=1e-3)
    own = detector.bank[detector.bank_labels == label]
    assert len(own) == 6
    np.testing.assert_array_equal(detector.scores(embeddings, "valve/id_02", "knn"), knn_score(own, embeddings))


def test_embedding_runs_a_folded_copy_and_leaves_the_module_as_it_is(detector, small_park):
    clips = [clip for clip in scan(small_park) if clip.split == "test"][:3]
    arrays = features_now(clips, detector.config.features).inputs
    model = deepcopy(detector.model).train()
    before = deepcopy(model.state_dict())
    got = embed(model.embed, arrays, device="cpu")
    assert model.training
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    with torch.no_grad():
        waveforms, log_mels = arrays
        inputs = torch.from_numpy(waveforms), torch.from_numpy(log_mels).float()
        expected = model.eval().embed(*inputs).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_training_share_counts_the_training_clips_below(detector):
    machine = detector.config.machines[0]
    for scorer in SCORERS:
        scores = detector.percentiles[machine][scorer]
        assert len(scores) == 101
        assert detector.training_share(min(scores) - 1, machine, scorer) == 0
        assert detector.training_share(max(scores) + 1, machine, scorer) == 1
        assert detector.training_share(float(np.median(scores)), machine, scorer) == pytest.approx(0.5, abs=0.02)


def test_two_runs_of_a_seed_are_equal_and_of_two_seeds_are_not(small_park, small_run, tmp_path):
    again = train(scan(small_park), tmp_path / "again", SMALL, cache=None)
    first = load_file(small_run / "weights.safetensors")
    assert all(torch.equal(first[k], v) for k, v in again.model.state_dict().items())
    other = train(scan(small_park), tmp_path / "other", replace(SMALL, seed=1))
    assert any(not torch.equal(first[k], v) for k, v in other.model.state_dict().items())


@pytest.mark.parametrize("stop_at", ["pretrain 2/3", "finetune 1/4", "finetune 3/4", "embed"])
def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been(small_park, small_run, tmp_path, stop_at):
    def interrupt(text, done, total):
        if text == stop_at:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(scan(small_park), run, SMALL, on_step=interrupt)
    with pytest.raises(AsdError, match="resume=True"):
        train(scan(small_park), run, SMALL)  # not silently over what is there
    with pytest.raises(AsdError, match="unfinished"):
        Detector.load(run)
    train(scan(small_park), run, SMALL, resume=True)
    for name in ("weights.safetensors", "pretrained.safetensors", "embeddings.safetensors"):
        assert same_tensors(run / name, small_run / name), name
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in small_run.iterdir())


def test_resuming_with_other_settings_is_refused(small_park, small_run):
    with pytest.raises(AsdError, match=r"other settings \(margin\)"):
        train(scan(small_park), small_run, replace(SMALL, margin=0.5), resume=True)


def test_resuming_with_other_clips_is_refused(small_park, small_run):
    without_one = [clip for clip in scan(small_park) if clip.path.name != "normal_id_00_00000005.wav"]
    with pytest.raises(AsdError, match=r"other settings \(data\)"):
        train(without_one, small_run, SMALL, resume=True)


def test_settings_of_the_losses_reach_the_training(small_park, small_run, tmp_path):
    def weights(name, **settings):
        run = tmp_path / name
        train(scan(small_park), run, replace(SMALL, **settings))
        return load_file(run / "pretrained.safetensors"), load_file(run / "weights.safetensors")

    def same(a, b):
        return all(torch.equal(a[k], b[k]) for k in a)

    stage_1, stage_2 = load_file(small_run / "pretrained.safetensors"), load_file(small_run / "weights.safetensors")
    for settings in ({"temperature": 1.0}, {"self_in_denominator": True}):
        assert not same(weights("-".join(settings), **settings)[0], stage_1)
    for settings in ({"margin": 0.0}, {"scale": 10.0}):
        pretrained, finetuned = weights("-".join(settings), **settings)
        assert same(pretrained, stage_1)
        assert not same(finetuned, stage_2)


FULL_DISK = """
import resource, sys
from asdlib.data import scan
from asdlib.detector import train
from asdlib.errors import AsdError
from tests.conftest import SMALL
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    train(scan(sys.argv[1]), sys.argv[2], SMALL, cache=sys.argv[4])
except AsdError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [100, 40_000])  # the config; the first checkpoint
def test_a_full_disk_under_a_run_is_one_sentence_and_the_run_goes_on_later(small_park, small_run, tmp_path, limit):
    cache = tmp_path / "cache"
    features_of(training_clips(scan(small_park)), SMALL.features, options=SMALL.reading, folder=cache)
    run = tmp_path / "run"
    words = [sys.executable, "-c", FULL_DISK, str(small_park), str(run), str(limit), str(cache)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert "cannot write to the run directory" in done.stdout, done.stderr
    assert [p.name for p in run.iterdir() if p.name.startswith(".")] == []
    if (run / "config.json").exists():
        train(scan(small_park), run, SMALL, resume=True)
        assert same_tensors(run / "weights.safetensors", small_run / "weights.safetensors")


def test_the_single_stage_method_is_the_same_network_without_stage_1(small_park, tmp_path, small_run):
    detector = train(scan(small_park), tmp_path / "run", replace(SMALL, pretrain=None))
    assert not (tmp_path / "run" / "pretrained.safetensors").exists()
    two_stage = load_file(small_run / "weights.safetensors")
    assert {k: v.shape for k, v in two_stage.items()} == {k: v.shape for k, v in detector.model.state_dict().items()}
    assert {row["stage"] for row in read_log(tmp_path / "run" / "log.csv")} == {"finetune"}


def test_two_processes_do_not_train_in_one_run_directory(small_park, small_run, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    holder = "import sys; from asdlib.files import locked\nwith locked(sys.argv[1]): print('in', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", holder, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    assert other.stdout.readline() == b"in\n"
    with pytest.raises(AsdError, match="another process is at work in"):
        train(scan(small_park), run, SMALL)
    assert list(run.iterdir()) == []
    other.kill()  # a killed process lets go
    other.wait()
    (run / ".config.json.99.part").write_text("half of")
    shutil.copy(small_run / "config.json", run)
    train(scan(small_park), run, SMALL, resume=True)
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in small_run.iterdir())


def test_one_machine_alone_is_refused(small_park, tmp_path):
    clips = [clip for clip in scan(small_park) if clip.machine == "fan/id_00"]
    with pytest.raises(AsdError, match="only one machine"):
        train(clips, tmp_path / "run", SMALL)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def copied(small_run, tmp_path):
    return shutil.copytree(small_run, tmp_path / "copy")


def test_a_run_of_another_feature_config_is_refused_although_the_shapes_fit(copied):
    values = json.loads((copied / "config.json").read_text())
    values["features"]["f_max"] = 7000.0
    (copied / "config.json").write_text(json.dumps(values))
    with pytest.raises(AsdError, match="belongs to other settings"):
        Detector.load(copied)


def edit_config(run, **changes):
    (run / "config.json").write_text(json.dumps(json.loads((run / "config.json").read_text()) | changes))


def damage_weights(run):
    tensors = load_file(run / "weights.safetensors")
    tensors.popitem()
    save_file(tensors, run / "weights.safetensors", metadata={"config": "?"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "config.json").unlink(), "not a run directory"),
        (lambda run: (run / "config.json").write_text("{"), "not the config of a run"),
        (lambda run: (run / "config.json").write_text('{"asdlib": "1", "colour": 3}'), "no setting 'colour'"),
        (lambda run: edit_config(run, format=3), "a newer version: upgrade asdlib"),
        (lambda run: edit_config(run, format="new"), "a newer version: upgrade asdlib"),
        (lambda run: edit_config(run, validation=1.0), "held-out share"),
        (lambda run: edit_config(run, encoder={"name": "ears"}), "no encoder 'ears' in this version"),
        (lambda run: (run / "weights.safetensors").write_bytes(b"\x80\x04pickled"), "damaged"),
        (lambda run: (run / "weights.safetensors").unlink(), "unfinished run"),
        (damage_weights, "other settings"),
        (lambda run: (run / "scores.json").write_text("[1"), "damaged"),
        (lambda run: (run / "scores.json").write_text("{}"), "damaged"),
        (lambda run: edit_config(run, margin=0.9), "other settings"),
        (lambda run: edit_config(run, seed=1), "other settings"),
    ],
)
def test_a_damaged_run_is_refused_in_a_sentence(copied, damage, message):
    damage(copied)
    with pytest.raises(AsdError, match=message):
        Detector.load(copied)


def test_unknown_machines_and_scorers_are_refused_with_the_choices(detector):
    with pytest.raises(AsdError, match="does not know the machine 'fan/id_01'"):
        detector.label("fan/id_01")
    with pytest.raises(AsdError, match="no scorer 'magic'"):
        detector.scores(np.zeros((1, 16)), "fan/id_00", "magic")
