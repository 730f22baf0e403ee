"""What every method of the package must do, whatever it is: found in the folder, held to one shape, decided by the seed.

A new file in ``asdlib/methods`` is tested here as it is.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from asdlib import methods, processes
from asdlib.checkpoint import read_log
from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import auc
from asdlib.features import log_mel
from asdlib.methods import clp_scf, simclr
from asdlib.spectra import SpectrumConfig
from asdlib.training import StageConfig
from tests.conftest import SMALL

TOP = Path(__file__).parents[1]
HUMS = {"fan/id_00": 500, "fan/id_02": 1300, "pump/id_00": 3000}  # Hz
SHAPE = (12, 4)  # bands, modulations
CASES = [(name, kind) for name in methods.every_name() for kind in methods.get(name).INPUTS]
# What trains nothing has no steps and no log.
LEARNING = [(name, kind) for name, kind in CASES if name not in ("nearest", "twfr_gmm")]
# What tells types or machines apart, or patches from none, alone, need not hear a fault after a few steps.
UNSURE = {"serial_oe": {"type", "id"}, "trans_ae": {"id"}, "diffusion_id": {"id"}, "pasted_patches": {"pasted"}}
# Epochs, instead of 12, until it hears one; and seeds, of one of which little can be said: on clips as few as these its AUC is
# anything from 0.6 to 1.
LONGER, SEEDS = {"os_scl": 24, "spectro_temporal_se": 24}, {"os_scl": 4, "spectro_temporal_se": 3}
BUDGET = StageConfig(epochs=3, batch_size=8, learning_rate=1e-3)


# --------------------------------------------------------------------------------------------------------------- clips


def of_each(count):
    return np.repeat(list(HUMS), count)


def sound(machines, *, seed, faulty=False):
    """Clips of 1 s: the hum of each machine in noise, and a rattle where there is a fault. Levels near 0 dB."""
    rng, features = np.random.default_rng(seed), SMALL.features
    time = np.arange(features.samples) / features.sample_rate
    hum = np.array([HUMS[name] for name in machines])
    waves = 0.05 * np.sin(2 * np.pi * (hum[:, None] * time + rng.uniform(size=(len(hum), 1))))
    waves += 0.05 * rng.standard_normal(waves.shape)
    waves *= 1 + 6 * faulty * (np.sin(2 * np.pi * 8 * time) > 0.5)
    waves = np.round(2**15 * waves.clip(-1, 0.99)).astype(np.int16)
    mels = np.stack([log_mel(wave.astype(np.float32) / 2**15, features).numpy() for wave in waves])
    return Clips((waves, mels.astype(np.float16)), machines, features)


def spectra(machines, *, seed, faulty=False):
    """Spectra with a pattern for each machine; where there is a fault, two bands stick out."""
    rng = np.random.default_rng(seed)
    patterns = dict(zip(HUMS, np.random.default_rng(7).normal(size=(len(HUMS), *SHAPE)), strict=True))
    x = np.stack([patterns[name] for name in machines]) + 0.3 * rng.normal(size=(len(machines), *SHAPE))
    x[:, 9:11] += 4 * faulty
    return Clips((x[:, None].astype(np.float32),), machines)


def clips_of(kind, machines, **options):
    return {"sound": sound, "spectra": spectra}[kind](machines, **options)


ENCODERS = {"sound": SMALL.encoder, "spectra": SpectrumConfig(*SHAPE, width=8, embedding_dim=16)}


def train(name, clips, **options):
    """The method's training, in miniature."""
    method = methods.get(name)
    if "encoder" in inspect.signature(method.train).parameters:
        options = {"encoder": ENCODERS[methods.kind_of(clips)], **options}
    return method.train(clips, **{"budget": BUDGET, "device": "cpu", **options})


@pytest.fixture(scope="module")
def known():
    return {kind: clips_of(kind, of_each(8), seed=0) for kind in methods.KINDS}


@pytest.fixture(scope="module")
def trained(known):
    """Each method, once trained."""
    return {(name, kind): train(name, known[kind]) for name, kind in CASES}


def same(one, other):
    """Are these the same weights, to the last bit?"""
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# --------------------------------------------------------------------------------------------------------------- shape


@pytest.mark.parametrize("name", methods.every_name())
def test_a_method_has_the_shape_of_one(name):
    method = methods.get(name)
    assert isinstance(method, methods.Method)
    assert method.NAME
    assert method.PAPER
    assert method.__doc__
    assert method.INPUTS
    assert set(method.INPUTS) <= set(methods.KINDS)
    for function in ("train", "score"):
        asked = inspect.signature(getattr(methods.Method, function)).parameters
        has = inspect.signature(getattr(method, function)).parameters
        positional = [p for p in has.values() if p.kind == p.POSITIONAL_OR_KEYWORD]
        assert [p.name for p in positional] == [p.name for p in asked.values() if p.kind == p.POSITIONAL_OR_KEYWORD][1:]
        for p in asked.values():
            if p.kind == p.KEYWORD_ONLY:
                assert (has[p.name].kind, has[p.name].default) == (p.kind, p.default), p.name
        more = [p for p in has.values() if p.name not in asked]
        assert all(p.kind == p.KEYWORD_ONLY and p.default is not p.empty for p in more), more
    options = inspect.signature(method.train).parameters
    assert options["folder"].default is None
    assert options["validation"].default == 0  # nothing is held out that nobody asked for


def test_all_but_the_training_free_methods_have_weights(trained):
    assert {case for case in CASES if not list(trained[case].parameters())} == set(CASES) - set(LEARNING)


def test_methods_are_found_sorted_and_an_unknown_one_is_refused_with_the_choices():
    files = {path.stem for path in (TOP / "asdlib" / "methods").glob("[a-z]*.py")}
    assert methods.names() == sorted(files)
    for name in ("deep_thought", "__init__", ""):
        with pytest.raises(AsdError, match=f"no method '{name}': choose one of {', '.join(methods.every_name())}"):
            methods.get(name)


def test_a_method_is_one_new_file_and_a_file_that_is_none_is_refused(tmp_path, monkeypatch):
    before = methods.names()
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    (tmp_path / "half_a_method.py").write_text("NAME, PAPER, INPUTS = 'half', 'none', ('sound',)\n\ndef train():\n    pass\n")
    (tmp_path / "_shared.py").write_text("")
    assert methods.names() == sorted([*before, "half_a_method"])
    with pytest.raises(AsdError, match=r"half_a_method\.py is no method: it must have NAME, PAPER, INPUTS, train and score"):
        methods.get("half_a_method")


# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_scores_are_finite_numbers_for_every_clip_that_is_asked_in_any_order(name, kind, known, trained):
    asked = clips_of(kind, of_each(3), seed=1)
    model, score = trained[name, kind], methods.get(name).score
    assert not model.training
    assert {p.device.type for p in model.parameters()} <= {"cpu"}
    scores = score(model, known[kind], asked, device="cpu")
    assert scores
    order = np.random.default_rng(0).permutation(9)
    turned = score(model, known[kind], asked.only(order), device="cpu")
    for scorer, values in scores.items():
        assert values.shape == (9,), scorer
        assert values.dtype == np.float64, scorer
        assert np.isfinite(values).all(), scorer
        assert len(np.unique(values)) == 9, scorer
        np.testing.assert_allclose(turned[scorer], values[order], rtol=1e-4, atol=1e-6, err_msg=scorer)


@pytest.mark.parametrize(("name", "kind"), LEARNING)
def test_the_seed_decides_and_nothing_else_does(name, kind, known, trained):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = train(name, known[kind])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert same(trained[name, kind], again)
    assert not same(trained[name, kind], train(name, known[kind], seed=1))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_loud_fault_scores_higher_by_every_scorer(name, kind):
    parts = {"known": (12, 0, False), "normal": (6, 1, False), "faulty": (6, 2, True)}
    clips = {part: clips_of(kind, of_each(n), seed=seed, faulty=faulty) for part, (n, seed, faulty) in parts.items()}
    budget = StageConfig(LONGER.get(name, 12), batch_size=12, learning_rate=5e-3)
    found = {}
    for seed in range(SEEDS.get(name, 1)):
        model = train(name, clips["known"], budget=budget, seed=seed)
        score = methods.get(name).score
        normal, faulty = (score(model, clips["known"], clips[part], device="cpu") for part in ("normal", "faulty"))
        for scorer in normal.keys() - UNSURE.get(name, set()):
            difference = faulty[scorer].mean() - normal[scorer].mean()
            area = auc(np.repeat([0, 1], 18), np.concatenate([normal[scorer], faulty[scorer]]))
            found.setdefault(scorer, []).append((difference, area))
    for scorer, of_seeds in found.items():
        difference, area = np.mean(of_seeds, axis=0)
        assert difference > 0, scorer
        assert area > 0.7, scorer


class CutError(Exception):
    """A training that was interrupted."""


def after(count):
    """An ``on_step`` that interrupts the training at its step ``count``, or never."""
    seen = []

    def on_step(text, done, total):
        seen.append((text, done, total))
        if len(seen) == count:
            raise CutError

    on_step.seen = seen
    return on_step


@pytest.mark.parametrize("seconds", [0, 600])  # a checkpoint after every step, or after every epoch
@pytest.mark.parametrize(("name", "kind"), LEARNING)
def test_a_training_that_was_interrupted_goes_on_to_the_same_weights(
    name, kind, seconds, known, trained, tmp_path, monkeypatch
):
    monkeypatch.setattr("asdlib.learn.training.SAVE_EVERY", seconds)
    whole = after(None)
    train(name, known[kind], on_step=whole)
    steps = 0
    for place in (1, 2, 3 * len(whole.seen) // 5):
        on_step = after(place)
        with pytest.raises(CutError):
            train(name, known[kind], folder=tmp_path, on_step=on_step)
        steps += len(on_step.seen)
    last = after(None)
    assert same(train(name, known[kind], folder=tmp_path, on_step=last), trained[name, kind])
    assert len(last.seen) < len(whole.seen)  # it went on, instead of beginning again
    assert steps + len(last.seen) > len(whole.seen)
    finished = after(None)
    assert same(train(name, known[kind], folder=tmp_path, on_step=finished), trained[name, kind])
    assert not finished.seen


@pytest.mark.parametrize(("name", "kind"), LEARNING)
def test_clips_that_are_held_out_have_a_loss_of_their_own(name, kind, known, trained, tmp_path):
    model = train(name, known[kind], validation=0.5, folder=tmp_path)
    assert not same(model, trained[name, kind])
    rows = [row for path in tmp_path.rglob("log.csv") for row in read_log(path)]
    assert rows
    assert np.isfinite([row["validation_loss"] for row in rows]).all()


# ------------------------------------------------------------------------------------------------------ many processes


def first_gradients(out: Path) -> None:
    """The gradients of the first step of every stage of every method, and the logs; by one process or by many."""
    gradients = {}

    def watch(optimizer, args, kwargs):
        if optimizer not in optimizers:
            optimizers.append(optimizer)
            for group in optimizer.param_groups:
                for i, p in enumerate(group["params"]):
                    gradients[f"{name} {kind} {len(optimizers)} {i}"] = p.grad.clone().contiguous()

    hook = register_optimizer_step_pre_hook(watch)
    # One group for all of them: each new one is a new connection, and a connection may stall.
    with processes.process_group("cpu"):
        for name, kind in LEARNING:
            optimizers = []
            # Of other clips a unit may be on in one and off in the other, and with it all that reads it.
            train(name, clips_of(kind, of_each(8), seed=1), folder=out / f"{name} {kind}", validation=0.25)
    hook.remove()
    if processes.is_first():
        save_file(gradients, out / "gradients.safetensors")


def test_two_processes_do_what_one_does(tmp_path):
    one, two = (tmp_path / "one", tmp_path / "two")
    script = tmp_path / "script.py"
    script.write_text(
        "import faulthandler\nfrom pathlib import Path\nfrom tests.test_methods import first_gradients\n"
        "faulthandler.dump_traceback_later(500, exit=True)\n"  # if it hangs, it says where
        f"first_gradients(Path({str(two)!r}))\n"
    )
    first_gradients(one)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOP)}
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    expected, got = (load_file(place / "gradients.safetensors") for place in (one, two))
    assert set(got) == set(expected)
    stages = {key.rsplit(" ", 1)[0] for key in expected}
    assert {f"{name} {kind} 1" for name, kind in LEARNING} <= stages
    for stage in stages:
        one_by_one = [(got[key] - value, value) for key, value in expected.items() if key.rsplit(" ", 1)[0] == stage]
        off, whole = (sum(float(x.square().sum()) for x in parts) for parts in zip(*one_by_one, strict=True))
        # Of the whole gradient: a unit whose input is 0 but for rounding is on in one and off in the other.
        assert (off / whole) ** 0.5 < 1e-2, stage
    logs = sorted(path.relative_to(one) for path in one.rglob("log.csv"))
    assert len(logs) >= len(LEARNING)
    for path in logs:
        for mine, theirs in zip(read_log(one / path), read_log(two / path), strict=True):
            # Some of its weights have no gradient but for rounding, along which Adam walks as fast as along any other.
            if not (path.parts[0] == "separable_attention sound" and mine["epoch"]):
                # Rounding grows with every step.
                rel = 3e-3 if mine["epoch"] else 1e-4
                assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=rel), path


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if "/" not in case[0]])
def test_clips_of_a_kind_that_a_method_does_not_read_are_refused(name, kind, known, monkeypatch):
    method = methods.get(name)
    other = next(k for k in methods.KINDS if k != kind)
    monkeypatch.setattr(method, "INPUTS", (other,))
    with pytest.raises(AsdError) as refused:
        train(name, known[kind])
    assert str(refused.value) == f"{method.NAME} reads {other}, and these clips are {kind}: choose another method"


@pytest.mark.parametrize("name", methods.names())
def test_inputs_that_are_neither_sound_nor_spectra_are_refused_by_their_shape(name):
    x = np.zeros((24, 12, 4), np.float32)
    for inputs, shape in (((x,), r"\(24, 12, 4\)"), ((x[:, None], x), r"\(24, 1, 12, 4\), \(24, 12, 4\)")):
        with pytest.raises(AsdError, match=rf"no method reads inputs of shape {shape}: give sound, or spectra \(N, 1, b"):
            methods.get(name).train(Clips(inputs, of_each(8)), budget=BUDGET)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_no_clips_at_all_are_refused(name, kind, known):
    with pytest.raises(AsdError, match="no clips: give normal clips of each machine"):
        train(name, known[kind].only(np.arange(0)))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_machine_of_which_nothing_is_known_is_refused_by_name(name, kind, known, trained):
    """By its type, where a method knows no more of a machine than that."""
    asked = clips_of(kind, ["fan/id_00", "pump/id_00"], seed=1)
    stranger = Clips(asked.inputs, ["fan/id_00", "valve/id_06"], asked.features)
    with pytest.raises(AsdError, match="valve"):
        methods.get(name).score(trained[name, kind], known[kind], stranger, device="cpu")


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_single_clip_of_a_machine_is_enough_or_refused_by_name(name, kind, known):
    one = known[kind].only(np.arange(17))  # eight of each fan, one of the pump
    try:
        model = train(name, one)
    except AsdError as refused:
        assert str(refused).startswith("only one clip of ")  # noqa: PT017
        assert "pump" in str(refused)  # noqa: PT017
    else:
        scores = methods.get(name).score(model, one, one, device="cpu")
        assert all(np.isfinite(values).all() for values in scores.values())


def test_a_single_clip_is_refused_where_pairs_are_needed_and_only_there(known):
    one = known["spectra"].only(np.arange(17))
    for method in ("clp_scf", "autoencoder"):
        with pytest.raises(AsdError, match=r"only one clip of (the type )?pump"):
            train(method, one)
    train("simclr", one)  # a clip has a pair in its own other view
    train("clp_scf", one, first=0.0)
    train("autoencoder", known["sound"].only(np.arange(17)))  # one clip is many frames


# ------------------------------------------------------------------------------------------- what single methods offer


def test_the_share_of_stage_1_is_that_of_the_epochs(known):
    seen = {}
    for first in (0.0, 0.5, 1.0):
        on_step = after(None)
        model = train("clp_scf", known["spectra"], first=first, budget=StageConfig(4, 8), on_step=on_step)
        seen[first] = [sum(text.startswith(stage) for text, _, _ in on_step.seen) // 3 for stage in ("pretrain", "finetune")]
        scores = clp_scf.score(model, known["spectra"], known["spectra"], device="cpu")
        assert ("softmax" in scores) == (first < 1)
    assert seen == {0.0: [0, 4], 0.5: [2, 2], 1.0: [4, 0]}
    for first in (-0.5, 1.5, float("nan")):
        with pytest.raises(AsdError, match="of the epochs for stage 1 makes no sense: choose one from 0 to 1"):
            train("clp_scf", known["spectra"], first=first)


def test_another_pretraining_and_another_rate_of_stage_2_reach_their_stages(known):
    clips, called = known["spectra"], []

    def pretraining(encoder, some, config, **options):
        called.append((config, options["temperature"], options["seed"]))
        return simclr.pretrain(encoder, some, config, **options)

    budget = StageConfig(4, 8, 1e-3, cosine_from=0)
    train("clp_scf", clips, budget=budget, pretraining=pretraining, temperature=0.3, seed=2, first=0.75)
    assert called == [(budget.of(3), 0.3, 2)]
    still = train("clp_scf", clips, budget=budget, second_rate=0.0, first=0.5)
    base = train("clp_scf", clips, budget=budget.of(2), first=1.0)
    assert all(torch.equal(a, b) for a, b in zip(still.encoder.parameters(), base.encoder.parameters(), strict=True))


def test_a_classifier_scores_with_the_machines_that_it_knows_and_no_others(known, trained):
    model, fewer = trained["clp_scf", "spectra"], known["spectra"].only(np.arange(16))
    with pytest.raises(AsdError, match="a detector of 3 machines, and known clips of 2: give the clips"):
        clp_scf.score(model, fewer, fewer, device="cpu")
