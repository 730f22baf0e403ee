"""The loop: resumed equals uninterrupted, held-out clips are held out, the rate follows its schedule."""

import math
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asdlib.checkpoint import read_log
from asdlib.device import seeded, torch_seeded
from asdlib.errors import AsdError
from asdlib.files import atomic_write
from asdlib.learn.tensors import write_tensors
from asdlib.training import NothingToCompareError, StageConfig, ahead, batch_of, fit, hold_out, shuffle
from tests.conftest import clips_of

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
CLIPS = clips_of((X,), (X[:, 0] > 0).astype(int))
CONFIG = StageConfig(epochs=6, batch_size=8, learning_rate=1e-2, cosine_from=2)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def objective(model, inputs, labels, rng):
    return F.cross_entropy(model(*inputs), labels)


def watched_batches(monkeypatch) -> list:
    """The rows of each batch, from now on."""
    seen = []

    def watched(clips, rows, *rest):
        return seen.append(rows) or batch_of(clips, rows, *rest)

    for module in ("training", "batches"):
        monkeypatch.setattr(f"asdlib.learn.{module}.batch_of", watched)
    return seen


class Stop(Exception):  # noqa: N818 (plays the part of a power cut)
    pass


def stopping_after(steps):
    def on_step(text, done, total):
        if done == steps:
            raise Stop

    return on_step


@pytest.mark.parametrize("save_every", [0.0, 600.0])  # after every step; after every epoch
@pytest.mark.parametrize("stop_at", [3, 4, 9, 17])
def test_a_resumed_run_ends_bit_for_bit_where_an_uninterrupted_one_does(tmp_path, monkeypatch, stop_at, save_every):
    monkeypatch.setattr("asdlib.learn.training.SAVE_EVERY", save_every)
    whole = network()
    log = fit(whole, objective, CLIPS, CONFIG, stage="test", device="cpu")
    with pytest.raises(Stop):
        fit(network(), objective, CLIPS, CONFIG, stage="test", device="cpu", folder=tmp_path, on_step=stopping_after(stop_at))
    resumed, places = network(), []
    options = {"folder": tmp_path, "on_step": lambda text, done, total: places.append(done)}
    resumed_log = fit(resumed, objective, CLIPS, CONFIG, stage="test", device="cpu", **options)
    steps = places[-1] // CONFIG.epochs
    assert places[0] == (stop_at if save_every == 0 else (stop_at - 1) // steps * steps + 1)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert [row["epoch"] for row in read_log(tmp_path / "log.csv")] == list(range(6))
    for a, b in zip(log, resumed_log, strict=True):
        assert a["train_loss"] == b["train_loss"]
        assert a["validation_loss"] == b["validation_loss"]


def test_the_seed_decides_the_run():
    def weights(seed):
        model = network()
        fit(model, objective, CLIPS, CONFIG, stage="test", device="cpu", seed=seed)
        return model.state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_a_batch_in_parts_takes_the_same_step_as_the_batch_at_once():
    def weights(parts):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))  # without batch norms, which see a part each
        log = fit(model, objective, CLIPS, replace(CONFIG, accumulation_steps=parts), stage="test", device="cpu")
        return torch.cat([p.flatten() for p in model.parameters()]), [row["train_loss"] for row in log]

    (whole, losses), (in_parts, losses_in_parts) = weights(1), weights(4)
    torch.testing.assert_close(in_parts, whole, rtol=1e-5, atol=1e-6)
    assert losses_in_parts == pytest.approx(losses, rel=1e-5)
    with pytest.raises(AsdError, match="batches of 8 clips cannot be computed in 3 parts"):
        StageConfig(1, 8, accumulation_steps=3)


def test_a_checkpoint_of_another_stage_is_not_taken_and_the_log_keeps_both(tmp_path):
    fit(network(), objective, CLIPS, CONFIG, stage="one", device="cpu", folder=tmp_path)
    log = fit(network(), objective, CLIPS, CONFIG, stage="two", device="cpu", folder=tmp_path)
    assert len(log) == 6
    assert [row["stage"] for row in read_log(tmp_path / "log.csv")] == ["one"] * 6 + ["two"] * 6


@pytest.mark.parametrize("text", ["stage,epoch\npretrain,x\n", "", "\x00\xff", "stage,epoch,learning_rate,train_loss\n"])
def test_a_damaged_log_is_an_error_that_names_it(tmp_path, text):
    (tmp_path / "log.csv").write_text(text, encoding="latin-1")
    with pytest.raises(AsdError, match=r"log\.csv is damaged"):
        read_log(tmp_path / "log.csv")


def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(AsdError, match=r"checkpoint\.safetensors"):
        fit(network(), objective, CLIPS, CONFIG, stage="test", device="cpu", folder=tmp_path)


def test_held_out_clips_are_a_share_of_each_label_and_never_trained_on(monkeypatch):
    labels = np.repeat([0, 1, 2], [40, 100, 5])
    train, held = hold_out(labels, 0.05, seed=0)
    assert sorted([*train, *held]) == list(range(145))
    assert [np.sum(labels[held] == label) for label in (0, 1, 2)] == [2, 5, 0]
    seen = watched_batches(monkeypatch)
    fit(network(), objective, CLIPS, StageConfig(1, 8), stage="t", device="cpu", validation=0.2)
    _, held = hold_out(CLIPS.labels, 0.2, seed=0)
    assert set(np.concatenate(seen[:-1])).isdisjoint(held)
    assert set(seen[-1]) == set(held)


def test_the_rate_is_constant_then_falls_along_a_cosine():
    config = StageConfig(epochs=10, learning_rate=1.0, cosine_from=4)
    assert [config.learning_rate_in(e) for e in range(5)] == [1.0] * 5
    assert config.learning_rate_in(7) == pytest.approx(0.5)
    assert config.learning_rate_in(9) == pytest.approx(0.5 * (1 + math.cos(math.pi * 5 / 6)))
    assert StageConfig(epochs=10, learning_rate=0.3).learning_rate_in(9) == 0.3
    assert config.of(50) == StageConfig(epochs=50, learning_rate=1.0, cosine_from=20)


def test_the_optimizer_follows_the_schedule(monkeypatch):
    rates = []
    real = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *a, **k: rates.append(self.param_groups[0]["lr"]) or real(self))
    log = fit(network(), objective, CLIPS, CONFIG, stage="test", device="cpu")
    steps = len(rates) // CONFIG.epochs
    assert rates == [CONFIG.learning_rate_in(epoch) for epoch in range(CONFIG.epochs) for _ in range(steps)]
    assert [row["learning_rate"] for row in log] == [CONFIG.learning_rate_in(epoch) for epoch in range(CONFIG.epochs)]


def test_every_epoch_has_an_order_of_its_own_and_shows_each_clip_once(monkeypatch):
    batches = watched_batches(monkeypatch)
    fit(network(), objective, CLIPS, StageConfig(3, 8), stage="t", device="cpu", validation=0)
    seen = np.concatenate(batches).tolist()
    epochs = [seen[i : i + 40] for i in (0, 40, 80)]
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


labelled = st.lists(st.integers(0, 4), min_size=1, max_size=60)
seeds = st.integers(0, 10**6)


@given(labels=labelled, seed=seeds)
def test_without_groups_a_shuffle_is_a_permutation(labels, seed):
    labels, rng = np.array(labels), np.random.default_rng(seed)
    rows = np.flatnonzero(labels != labels[0])
    assert sorted(shuffle(rows, labels, None, rng)) == list(rows)


@settings(deadline=None)
@given(labels=labelled, per_label=st.integers(1, 6), seed=seeds, missing=st.integers(0, 59))
def test_a_shuffle_in_groups_gives_every_group_one_label_and_loses_less_than_a_group_of_each(labels, per_label, seed, missing):
    labels = np.array(labels)
    rows = np.delete(np.arange(len(labels)), missing % len(labels))  # as if one were held out
    if all(np.sum(labels[rows] == label) < per_label for label in range(5)):
        with pytest.raises(AsdError, match=f"no machine has {per_label} training clips: lower clips_per_label"):
            shuffle(rows, labels, per_label, np.random.default_rng(seed))
        return
    order = shuffle(rows, labels, per_label, np.random.default_rng(seed))
    assert len(set(order)) == len(order)
    assert set(order) <= set(rows)
    groups = labels[order].reshape(-1, per_label)
    assert (groups == groups[:, :1]).all()
    for label in range(5):
        waiting = np.sum(labels[rows] == label) - np.sum(labels[order] == label)
        assert 0 <= waiting < per_label


def test_groups_and_the_clips_in_them_come_in_another_order_every_time():
    rows, labels, rng = np.arange(60), np.repeat([0, 1, 2], 20), np.random.default_rng(0)
    first, second = (shuffle(rows, labels, 4, rng).reshape(-1, 4) for _ in range(2))
    machines = labels[first[:, 0]].tolist()
    assert machines != labels[second[:, 0]].tolist()
    assert machines != sorted(machines)
    assert {frozenset(group) for group in first.tolist()} != {frozenset(group) for group in second.tolist()}
    waiting = [set(rows[:19]) - set(shuffle(rows[:19], labels, 6, rng)) for _ in range(20)]
    assert len(set.union(*waiting)) > 1  # not always the same clip is left over


def test_a_batch_holds_just_so_many_clips_of_each_machine_in_it():
    labels = np.repeat([0, 1, 2], [19, 11, 10])
    seen = []

    def watched(model, inputs, labels, rng):
        seen.append(labels.tolist())
        return objective(model, inputs, labels % 2, rng)

    config = StageConfig(epochs=2, batch_size=8, clips_per_label=4)
    fit(network(), watched, clips_of((X,), labels), config, stage="t", device="cpu", validation=0)
    assert len(seen) == 2 * 4  # of 40 clips, 16 + 8 + 8 can be used in an epoch
    for batch in seen:
        assert len(batch) == 8
        assert all(len(set(batch[i : i + 4])) == 1 for i in (0, 4))
    for epoch in (seen[:4], seen[4:]):
        assert np.bincount(np.concatenate(epoch)).tolist() == [16, 8, 8]


def test_a_batch_that_cannot_be_divided_by_machines_is_refused():
    for per_label in (5, 0, -2, 16):
        with pytest.raises(AsdError, match=f"batches of 8 clips cannot hold {per_label} of each machine: choose a divisor"):
            StageConfig(epochs=1, batch_size=8, clips_per_label=per_label)
    config = StageConfig(epochs=10, batch_size=8, clips_per_label=4, cosine_from=5)
    assert config.of(4) == StageConfig(epochs=4, batch_size=8, clips_per_label=4, cosine_from=2)


def test_a_loss_that_is_not_finite_stops_the_run_with_the_mend():
    def explode(model, inputs, labels, rng):
        return model(*inputs).sum() * float("inf")

    with pytest.raises(AsdError, match="lower the learning rate"):
        fit(network(), explode, CLIPS, CONFIG, stage="test", device="cpu")


def test_waveforms_are_scaled_and_rows_come_in_the_order_asked_for():
    wave = np.array([[-32768, 16384], [0, 8192], [1, 2]], dtype=np.int16)
    (x,), labels = batch_of(clips_of((wave,), [5, 6, 7]), np.array([2, 0]))
    torch.testing.assert_close(x, torch.tensor([[1 / 32768, 2 / 32768], [-1.0, 0.5]]))
    assert labels.tolist() == [2, 0]
    (y,), _ = batch_of(clips_of((wave.astype(np.float16),), [0, 0, 0]), np.array([1]))
    assert y.dtype == torch.float32
    assert y[0, 1] == 8192


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(AsdError, match="3 rows for 2 machine names"):
        clips_of((np.zeros((3, 2)),), [0, 0])


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_a_held_out_share_that_makes_no_sense_is_refused(share):
    with pytest.raises(AsdError, match=r"a held-out share \(validation\) of"):
        fit(network(), objective, CLIPS, CONFIG, stage="t", device="cpu", validation=share)


def masked(model, inputs, labels, rng):
    """An objective with random numbers of its own."""
    hidden = torch.from_numpy(rng.random(tuple(inputs[0].shape)) < 0.3)
    return objective(model, (inputs[0].masked_fill(hidden, 0),), labels, rng)


def dropping():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2))


@pytest.mark.parametrize("save_every", [0.0, 600.0])
@pytest.mark.parametrize(("make", "loss"), [(dropping, objective), (network, masked)])
def test_random_numbers_belong_to_the_step_so_that_a_resumed_run_has_the_same(tmp_path, monkeypatch, make, loss, save_every):
    monkeypatch.setattr("asdlib.learn.training.SAVE_EVERY", save_every)
    whole, other = make(), make()
    log = fit(whole, loss, CLIPS, CONFIG, stage="t", device="cpu", validation=0.2)
    fit(other, loss, CLIPS, CONFIG, stage="t", device="cpu", validation=0.2, seed=1)
    options = {"folder": tmp_path, "on_step": stopping_after(9)}
    with pytest.raises(Stop):
        fit(make(), loss, CLIPS, CONFIG, stage="t", device="cpu", validation=0.2, **options)
    resumed = make()
    torch.manual_seed(77)  # what the caller has drawn meanwhile does not matter
    np.random.seed(77)
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    again = fit(resumed, loss, CLIPS, CONFIG, stage="t", device="cpu", validation=0.2, folder=tmp_path)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert [row["validation_loss"] for row in log] == [row["validation_loss"] for row in again]
    assert not torch.equal(whole[0].weight, other[0].weight)


def test_each_step_has_random_numbers_of_its_own_and_every_held_out_epoch_the_same(monkeypatch):
    drawn, held = [], []

    def watching(model, inputs, labels, rng):
        (drawn if model.training else held).append((rng.random(), torch.rand(()).item()))
        return objective(model, inputs, labels, rng)

    def run(**options):
        drawn.clear(), held.clear()
        fit(network(), watching, CLIPS, StageConfig(2, 8), **{"stage": "t", "device": "cpu", "validation": 0.2} | options)
        return list(drawn), list(held)

    first = run()
    assert first == run()
    assert len({*first[0], *first[1]}) == len(first[0]) + 1
    assert first[1][0] == first[1][1]
    others = [run(seed=1), run(stage="u")]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("asdlib.processes.is_first", lambda: True)
    others.append(run())
    for other in others:
        assert not set(first[0]) & set(other[0])


def test_new_weights_and_steps_on_the_cpu_leave_the_generators_of_gpus_alone(monkeypatch):
    def touched(*args):
        raise AssertionError("a GPU's generator was seeded")

    model = dropping()
    for name in ("manual_seed", "manual_seed_all", "set_rng_state", "set_rng_state_all"):
        monkeypatch.setattr(f"torch.cuda.{name}", touched)
    with seeded(0, "encoder"):
        torch.rand(1)
    fit(model, objective, CLIPS, StageConfig(1, 8), stage="t", device="cpu")


def test_a_step_on_a_gpu_seeds_its_generator_too_and_gives_it_back(monkeypatch):
    gpu = torch.Generator()  # plays the part of the current GPU's
    module = SimpleNamespace(get_rng_state=gpu.get_state, set_rng_state=gpu.set_state, manual_seed=gpu.manual_seed)
    monkeypatch.setattr("torch.get_device_module", lambda device: {"cuda": module}[device.type])

    def draw(*numbers):
        with torch_seeded(*numbers, device=torch.device("cuda")):
            return torch.rand(5).tolist(), torch.rand(5, generator=gpu).tolist()

    gpu.manual_seed(3)
    untouched = torch.rand(2, generator=gpu).tolist()
    gpu.manual_seed(3)
    first = draw(0, 1)
    assert first == draw(0, 1)
    assert all(a != b for a, b in zip(first, draw(0, 2), strict=True))
    with pytest.raises(Stop), torch_seeded(0, device=torch.device("cuda")):
        raise Stop
    assert torch.rand(2, generator=gpu).tolist() == untouched


def test_the_held_out_loss_counts_every_clip_alike_in_mixed_batches(monkeypatch):
    def size(model, inputs, labels, rng):
        return model(*inputs).sum() * 0 + len(labels)

    batches = watched_batches(monkeypatch)
    clips = clips_of((np.zeros((40, 3), np.float32),), np.repeat([0, 1], 20))
    log = fit(network(), size, clips, StageConfig(2, 8), stage="t", device="cpu", validation=0.3)
    held = [rows for rows in batches if set(rows) <= set(hold_out(clips.labels, 0.3, seed=0)[1])]
    assert [len(rows) for rows in held] == [8, 4] * 2
    assert log[0]["validation_loss"] == pytest.approx((8 * 8 + 4 * 4) / 12)
    assert all(len(set(clips.labels[rows])) == 2 for rows in held)
    assert fit(network(), size, clips, StageConfig(1, 8), stage="t", device="cpu", validation=0)[0]["validation_loss"] is None


def test_the_seed_decides_which_clips_are_held_out():
    labels = np.repeat([0, 1], 50)
    first, again, other = (hold_out(labels, 0.2, seed=seed)[1] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert {*range(10), *range(50, 60)} not in (set(first), set(other))


def test_the_log_has_the_mean_loss_of_each_epoch():
    losses = []

    def watched(model, inputs, labels, rng):
        loss = objective(model, inputs, labels, rng)
        losses.append(loss.item())
        return loss

    log = fit(network(), watched, CLIPS, CONFIG, stage="t", device="cpu", validation=0)
    means = np.reshape(losses, (CONFIG.epochs, -1)).mean(axis=1)
    np.testing.assert_allclose([row["train_loss"] for row in log], means, rtol=1e-6)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    whole = network()
    log = fit(whole, objective, CLIPS, CONFIG, stage="t", device="cpu")
    real, saves = write_tensors, []

    def full_disk(tensors, path, *, metadata):
        saves.append(metadata["epochs"])
        if len(saves) == 3:
            with atomic_write(path) as temporary:
                temporary.write_bytes(b"half")
                raise OSError("no space left")
        real(tensors, path, metadata=metadata)

    monkeypatch.setattr("asdlib.learn.checkpoint.write_tensors", full_disk)
    with pytest.raises(OSError, match="no space left"):
        fit(network(), objective, CLIPS, CONFIG, stage="t", device="cpu", folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.safetensors", "log.csv"]
    resumed = network()
    again = fit(resumed, objective, CLIPS, CONFIG, stage="t", device="cpu", folder=tmp_path)
    assert saves == ["1", "2", "3", "3", "4", "5", "6"]  # the third once more
    assert [(row["epoch"], row["train_loss"]) for row in again] == [(row["epoch"], row["train_loss"]) for row in log]
    assert [row["epoch"] for row in read_log(tmp_path / "log.csv")] == list(range(6))
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_only_a_batch_in_which_nothing_can_be_compared_is_passed_over_among_held_out_clips():
    def failing(error):
        def loss(model, inputs, labels, rng):
            if not model.training:
                raise error
            return objective(model, inputs, labels, rng)

        return loss

    log = fit(network(), failing(NothingToCompareError("no pair")), CLIPS, StageConfig(1, 8), stage="t", device="cpu")
    assert log[0]["validation_loss"] is None
    with pytest.raises(AsdError, match="another one"):
        fit(network(), failing(AsdError("another one")), CLIPS, StageConfig(1, 8), stage="t", device="cpu")


def test_an_unknown_device_or_precision_is_refused():
    with pytest.raises(AsdError, match="device 'abacus'"):
        fit(network(), objective, CLIPS, CONFIG, stage="test", device="abacus")
    with pytest.raises(AsdError, match="no precision '16': choose one of 32, bf16"):
        fit(network(), objective, CLIPS, CONFIG, stage="test", device="cpu", precision="16")


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate"])
@pytest.mark.parametrize("value", [-8, math.nan, math.inf])
def test_a_stage_that_makes_no_sense_is_refused(name, value):
    with pytest.raises(AsdError, match=f"{name} of {value} makes no sense"):
        StageConfig(**{"epochs": 1, name: value})


def test_no_epoch_and_no_clip_are_refused_and_a_rate_of_0_is_a_control():
    for name in ("epochs", "batch_size"):
        with pytest.raises(AsdError, match=f"{name} of 0 makes no sense: choose one above 0"):
            StageConfig(**{"epochs": 1, name: 0})
    assert StageConfig(1, learning_rate=0).learning_rate_in(0) == 0


def test_bf16_trains_and_stays_near_full_precision():
    full, half = network(), network()
    fit(full, objective, CLIPS, CONFIG, stage="t", device="cpu")
    inside = set()

    def in_forward(module, args, output):
        inside.add(output.dtype)

    half[0].register_forward_hook(in_forward)
    log = fit(half, objective, CLIPS, CONFIG, stage="t", device="cpu", precision="bf16")
    assert inside == {torch.bfloat16}
    assert log[-1]["train_loss"] < log[0]["train_loss"]
    assert all(v.dtype in (torch.float32, torch.int64) for v in half.state_dict().values())
    x = torch.from_numpy(X)
    assert (full(x) - half(x)).abs().mean() < 0.1


def test_what_comes_ahead_is_begun_before_it_is_asked_for_and_only_one():
    taken, begun = [], [threading.Event() for _ in range(4)]

    def items():
        for item in range(4):
            taken.append(item)
            yield item

    results = ahead(lambda item: begun[item].set() or 10 * item, items())
    for i in range(4):
        assert next(results) == 10 * i
        assert taken == list(range(min(4, i + 2)))
        assert begun[taken[-1]].wait(60)
    assert list(results) == []


def test_what_fails_ahead_fails_in_its_turn():
    results = ahead(lambda item: 1 / item, iter([1, 2, 0, 4]))
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
