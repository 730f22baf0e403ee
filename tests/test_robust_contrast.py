"""Contrast under manipulations: the loss, the queue and the slow encoder by hand, the lengths, and what stage A is for."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel
from asdlib.learn.stage import StageConfig
from asdlib.manipulations import MANIPULATIONS, OF_SPECTRA
from asdlib.methods import Task, _moco, robust_contrast
from asdlib.methods.robust_contrast import Contrast, RobustModel, length_loss
from asdlib.spectra import SpectrumConfig
from tests.conftest import SMALL

SHAPE = (12, 4)
SIZES = SpectrumConfig(*SHAPE, width=8, embedding_dim=16)


def rng(seed=0):
    return np.random.default_rng(seed)


def spectra(n, *, seed=0, machines=("fan/id_00", "pump/id_00")):
    """A pattern for each machine, in noise."""
    names = np.resize(machines, n)
    patterns = {name: np.random.default_rng(i).normal(-5, 1, SHAPE) for i, name in enumerate(machines)}
    x = np.stack([patterns[name] for name in names]) + 0.2 * rng(seed).normal(size=(n, *SHAPE))
    return Clips((x[:, None].astype(np.float32),), names)


def unit(*shape, seed=0):
    return F.normalize(torch.from_numpy(rng(seed).normal(size=shape)).float())


# -------------------------------------------------------------------------------------------------------- the contrast


def test_the_loss_is_that_of_a_plain_loop():
    q, k, queue = (unit(n, 8, seed=n) for n in (5, 6, 30))
    k, itself = k[:5], torch.from_numpy(rng().uniform(size=(5, 30)) < 0.2)
    losses = []
    for i in range(5):
        own = math.exp(float(q[i] @ k[i]) / 0.07)
        others = [math.exp(float(q[i] @ queue[j]) / 0.07) for j in range(30) if not itself[i, j]]
        losses.append(-math.log(own / (own + sum(others))))
    assert _moco.info_nce(q, k, queue, itself).item() == pytest.approx(np.mean(losses), rel=1e-4)
    everything = torch.cat([k[:1], queue]) @ q[0] / 0.07
    alone = _moco.info_nce(q[:1], k[:1], queue, torch.zeros(1, 30, dtype=torch.bool))
    torch.testing.assert_close(alone, F.cross_entropy(everything[None], torch.tensor([0])))  # with label 0


def test_the_slow_weights_are_a_weighted_sum_of_all_that_went_before():
    fast = nn.Linear(3, 2)
    slow = _moco.weightless(fast)
    assert not list(slow.parameters())
    first = {name: p.detach().clone() for name, p in fast.named_parameters()}
    steps = []
    for n in range(5):
        with torch.no_grad():
            for p in fast.parameters():
                p.add_(n + 1)
        steps.append({name: p.detach().clone() for name, p in fast.named_parameters()})
        _moco.follow(slow, fast, momentum=0.9)
    for name, value in slow.named_buffers():
        expected = 0.9**5 * first[name] + sum(0.1 * 0.9 ** (4 - n) * steps[n][name] for n in range(5))
        torch.testing.assert_close(value, expected)


def test_a_copy_without_weights_computes_what_the_module_does():
    torch.manual_seed(0)
    module = robust_contrast.untrained(Task(("a/0",), None, SHAPE, encoder=SIZES)).encoder
    x = torch.randn(6, 1, *SHAPE)
    torch.testing.assert_close(_moco.weightless(module).train()(x), module.train()(x))


def test_the_queue_is_first_in_first_out():
    queue, owners = torch.zeros(5, 1), torch.full((5,), -1.0)
    for number in range(1, 8):
        keys = torch.full((2, 1), float(number))
        queue, owners = _moco.pushed(queue, owners, keys, keys[:, 0] * 10)
        assert queue.shape == (5, 1)
    assert queue.flatten().tolist() == [5, 6, 6, 7, 7]
    assert owners.tolist() == [50, 60, 60, 70, 70]


@pytest.fixture
def contrast():
    clips = spectra(12)
    torch.manual_seed(0)
    model = Contrast(robust_contrast.untrained(Task.of(clips, encoder=SIZES))).train()
    view = robust_contrast.manipulated_view(clips)
    return model, view, torch.from_numpy(clips.inputs[0]), torch.arange(12.0), torch.from_numpy(clips.labels)


def test_a_step_sends_no_gradient_into_the_keys_and_queues_them_with_length_one(contrast):
    model, view, x, numbers, labels = contrast
    loss = robust_contrast.contrast_objective(model, (x, numbers), labels, rng(), view=view)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not any(b.requires_grad for b in model.buffers())
    assert set(dict(model.named_parameters())) == {
        name for name, _ in model.named_parameters() if name.split(".")[0] in ("encoder", "directions", "head")
    }
    assert model.owners[-12:].tolist() == numbers.tolist()
    assert set(model.owners[:-12].tolist()) == {-1.0}
    torch.testing.assert_close(model.queue.norm(dim=1), torch.ones(1024))


def test_a_clip_is_no_other_to_itself(contrast):
    """With its own earlier key in the queue, or with that masked: the loss of the rest."""
    model, view, x, numbers, labels = contrast
    seen = []

    def watched(queries, keys, queue, itself):
        seen.append(itself.clone())
        return _moco.info_nce(queries, keys, queue, itself)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust_contrast, "info_nce", watched)
        for step in range(2):
            robust_contrast.contrast_objective(model, (x, numbers), labels, rng(step), view=view)
    assert not seen[0].any()
    assert torch.equal(seen[1][:, -12:], torch.eye(12, dtype=torch.bool))
    assert not seen[1][:, :-12].any()


def test_clips_that_are_held_out_leave_queue_and_slow_encoder_as_they_are(contrast):
    model, view, x, numbers, labels = contrast
    robust_contrast.contrast_objective(model, (x, numbers), labels, rng(), view=view)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1.0)
        robust_contrast.contrast_objective(model.eval(), (x, numbers), labels, rng(), view=view)
        next(model.encoder.parameters()).sub_(1.0)
    after = model.state_dict()
    assert all(torch.allclose(after[name], value, atol=1e-6) for name, value in before.items())


def test_both_views_are_manipulated_each_otherwise(contrast):
    model, view, x, numbers, labels = contrast
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append(given))
    robust_contrast.contrast_objective(model, (x.expand(-1, -1, -1, -1), numbers), labels, rng(), view=view)
    (queries,), (keys,) = seen[0]
    changed = [~(part == x).flatten(1).all(dim=1) for part in (queries, keys)]
    assert all(0.4 < which.float().mean() <= 1 for which in changed)  # three kinds in four
    assert not torch.equal(queries, keys)


def test_of_sound_the_waveform_is_manipulated_and_the_log_mel_is_its_own():
    features = FeatureConfig(seconds=0.5, n_mels=16)
    waves = (1000 * rng().normal(size=(40, features.samples))).astype(np.int16)
    clips = Clips((waves, log_mel(waves.astype(np.float32) / 2**15, features).numpy()), ["a/0"] * 40, features)
    x = torch.from_numpy(waves).float() / 2**15
    y, mels = robust_contrast.manipulated_view(clips)(x, rng())
    torch.testing.assert_close(mels, log_mel(y, features))
    same = (y == x).all(dim=1).float().mean().item()
    assert same == pytest.approx(1 / 8, abs=0.1)
    quieter = (y.square().mean(dim=1) / x.square().mean(dim=1)).sqrt()
    assert any(abs(ratio - 0.1) < 1e-3 for ratio in quieter.tolist())


# --------------------------------------------------------------------------------------------------------- the lengths


def test_the_loss_of_the_lengths_is_zero_only_where_own_clips_are_at_0_and_others_beyond_the_margin():
    lengths, labels = torch.tensor([[0.0, 4.0, 7.0], [5.0, 0.0, 4.5]]), torch.tensor([0, 1])
    assert length_loss(lengths, labels).item() == 0
    for place, value in (((0, 0), 0.1), ((0, 1), 3.9), ((1, 2), 3.5)):
        worse = lengths.clone()
        worse[place] = value
        assert length_loss(worse, labels) > 0
    assert length_loss(torch.tensor([[1.0, 1.0, 3.0]]), torch.tensor([0])).item() == pytest.approx(1 + (3 + 1) / 2)
    assert length_loss(torch.tensor([[2.5], [0.5]]), torch.tensor([0, 0])).item() == pytest.approx(1.5)  # one machine


def test_lengths_are_those_of_each_machines_eight_directions_and_the_score_is_the_own_one():
    model = robust_contrast.untrained(Task.of(spectra(4), encoder=SIZES)).eval()
    clips = spectra(6, seed=3)
    with torch.no_grad():
        f = model.embed(torch.from_numpy(clips.inputs[0]))
        lengths, logits = model(torch.from_numpy(clips.inputs[0]))
    w = model.directions.weight.detach().numpy()
    expected = np.stack([np.linalg.norm(f.numpy() @ w[8 * c : 8 * c + 8].T, axis=1) for c in range(2)], axis=1)
    np.testing.assert_allclose(lengths.numpy(), expected, rtol=1e-4)
    assert logits.shape == (6, 2)
    scores = robust_contrast.score(model, clips, clips, device="cpu")
    assert tuple(scores) == robust_contrast.SCORERS
    np.testing.assert_allclose(scores["length"], expected[np.arange(6), clips.labels], rtol=1e-4)


def test_training_makes_own_lengths_short_and_others_long():
    clips, fresh = spectra(48), spectra(20, seed=5)
    model = robust_contrast.train(clips, budget=StageConfig(12, 12, 5e-3), encoder=SIZES, device="cpu")
    with torch.no_grad():
        lengths = model(torch.from_numpy(fresh.inputs[0]))[0].numpy()
    own = lengths[np.arange(20), fresh.labels]
    other = lengths[np.arange(20), 1 - fresh.labels]
    assert (own < other).mean() > 0.8
    assert own.mean() < 1
    assert other.mean() > 2.5


# ---------------------------------------------------------------------------------------------------------- the stages


@pytest.mark.parametrize("first", [0.0, 0.5, 1.0])
def test_after_training_nothing_is_in_training_mode(first):
    model = robust_contrast.train(spectra(24), budget=StageConfig(2, 12), encoder=SIZES, first=first, device="cpu")
    assert not any(module.training for module in model.modules())


def test_the_share_of_stage_a_is_that_of_the_epochs_and_others_are_refused():
    clips, seen = spectra(24), {}
    for first in (0.0, 0.5, 1.0):
        told = []
        robust_contrast.train(
            clips, budget=StageConfig(4, 8), encoder=SIZES, first=first, device="cpu",
            on_step=lambda text, done, of, told=told: told.append(text),
        )  # fmt: skip
        seen[first] = [sum(text.startswith(stage) for text in told) // 3 for stage in ("manipulations", "machines")]
    assert seen == {0.0: [0, 4], 0.5: [2, 2], 1.0: [4, 0]}
    for first in (-0.1, 1.1, math.nan):
        with pytest.raises(AsdError, match="of the epochs for stage A makes no sense: choose one from 0 to 1"):
            robust_contrast.train(clips, budget=StageConfig(4, 8), encoder=SIZES, first=first)


def test_scores_move_less_under_manipulations_with_stage_a_than_without():
    """By distances, in units of the spread of scores: at the same epochs in all."""
    machines = ("fan/id_00", "fan/id_02", "pump/id_00", "pump/id_02")
    known, fresh = spectra(96, machines=machines), spectra(40, seed=9, machines=machines)
    moved = {}
    for first in (0.0, 0.75):
        moved[first] = []
        for seed in range(2):
            how = {"budget": StageConfig(16, 24, 5e-3), "encoder": SIZES, "device": "cpu"}
            model = robust_contrast.train(known, first=first, seed=seed, **how)
            clean = robust_contrast.score(model, known, fresh, device="cpu")["knn"]
            for kind in ("gain", "noise"):
                for change in OF_SPECTRA[kind].values():
                    x = change(torch.from_numpy(fresh.inputs[0]), rng()).numpy()
                    scores = robust_contrast.score(model, known, Clips((x,), fresh.machines), device="cpu")["knn"]
                    moved[first].append(np.abs(scores - clean).mean() / clean.std())
    assert np.mean(moved[0.75]) < 0.8 * np.mean(moved[0.0])


def test_what_is_kept_has_neither_queue_nor_slow_encoder():
    model = robust_contrast.train(spectra(12), budget=StageConfig(2, 6), encoder=SIZES, first=1.0, device="cpu")
    assert isinstance(model, RobustModel)
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "directions", "namer"}
    assert set(MANIPULATIONS) == {"gain", "noise", "stretch", "echo", "roll", "fade", "resample"}
    task = Task(("a/0", "b/1"), SMALL.features, encoder=SMALL.encoder)
    assert robust_contrast.untrained(task).embedding_dim == 16
