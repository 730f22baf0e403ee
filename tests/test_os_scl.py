"""One stage, two losses: each against one by others' hands, the head, and what is left where one of them weighs nothing."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss, SupConLoss

from asdlib.clips import Clips
from asdlib.encoder import EncoderConfig
from asdlib.features import FeatureConfig
from asdlib.methods import Task, noisy_arcmix, os_scl
from asdlib.spectra import SpectrumConfig
from asdlib.training import StageConfig, fit

MACHINES = ("a/0", "a/1", "b/0")
SIZES = SpectrumConfig(12, 4, width=8, embedding_dim=16)
TASK = Task(MACHINES, None, (12, 4), encoder=SIZES)
BUDGET = StageConfig(2, 8, 1e-3)


@pytest.fixture
def clips():
    x = np.random.default_rng(0).normal(size=(36, 1, 12, 4)).astype(np.float32)
    return Clips((x,), np.repeat(MACHINES, 12))


def batch(count=24):
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(count, 1, 12, 4)).astype(np.float32))
    return x, torch.arange(count) % 3


def parts_of(model, x, y, seed, alpha=0.5):
    """The mixtures' embeddings, the second labels and the share, as the objective draws them."""
    common = np.random.default_rng(int(np.random.default_rng(seed).integers(2**62)))
    share = common.beta(alpha, alpha)
    partner = torch.from_numpy(common.permutation(len(y)))
    return model.embed((share * x + (1 - share) * x[partner]).float()), y[partner], share


# ------------------------------------------------------------------------------------------------------------------ losses


@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_the_contrast_is_the_supervised_one_of_the_mixtures_by_their_first_label(temperature):
    x, y = batch()
    model = os_scl.untrained(TASK).train()
    both, without = (
        os_scl.one_stage_objective(
            os_scl.Both(model), (x,), y, np.random.default_rng(5), weight=weight, temperature=temperature
        )
        for weight in (1.0, 0.0)
    )
    z, others, _ = parts_of(model, x, y, 5)
    expected = SupConLoss(temperature=temperature)(z, y)
    torch.testing.assert_close(both - without, expected, rtol=1e-3, atol=1e-3)
    assert (expected - SupConLoss(temperature=temperature)(z, others)).abs() > 0.005


def test_the_rest_is_arcface_on_the_first_label_asked_for_both():
    x, y = batch()
    model = os_scl.untrained(TASK).train()
    loss = os_scl.one_stage_objective(os_scl.Both(model), (x,), y, np.random.default_rng(5), weight=0.0)
    z, others, share = parts_of(model, x, y, 5)
    logits = model.arcface(z, y)
    expected = share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, others)
    torch.testing.assert_close(loss, expected.float())
    other = ArcFaceLoss(3, 16, margin=math.degrees(0.4), scale=30)
    other.W.data = model.arcface.weight.detach().T.clone()
    torch.testing.assert_close(F.cross_entropy(logits, y), other(z, y), rtol=1e-5, atol=1e-5)


def test_in_evaluation_mode_nothing_is_mixed_and_nothing_contrasted():
    x, y = batch()
    model = os_scl.untrained(TASK).eval()
    losses = [os_scl.one_stage_objective(os_scl.Both(model).eval(), (x,), y, np.random.default_rng(seed)) for seed in (0, 1)]
    assert losses[0] == losses[1]
    torch.testing.assert_close(losses[0], F.cross_entropy(model(x, labels=y), y))


def test_where_no_two_clips_are_of_one_machine_there_is_no_contrast():
    x, y = batch(3)
    model = os_scl.Both(os_scl.untrained(TASK)).train()
    losses = [os_scl.one_stage_objective(model, (x,), y, np.random.default_rng(0), weight=weight) for weight in (0.0, 1.0)]
    assert losses[0] == losses[1]


# ---------------------------------------------------------------------------------------------------------------- training


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_without_weight_it_is_the_training_without_contrast_bit_for_bit(clips):
    """That is the one of the head under :mod:`noisy_arcmix`'s mixing."""

    def objective(model, inputs, labels, rng):
        blends, others, share = noisy_arcmix.mixed(inputs, labels, rng)
        logits = model(*blends, labels=labels)
        return share * F.cross_entropy(logits, labels) + (1 - share) * F.cross_entropy(logits, others)

    alone = os_scl.untrained(TASK)
    fit(alone, objective, clips, BUDGET, stage="one stage", validation=0.0, device="cpu")
    train = {"budget": BUDGET, "encoder": SIZES, "device": "cpu"}
    assert same(os_scl.train(clips, weight=0.0, **train), alone)
    assert not same(os_scl.train(clips, **train), alone)
    assert not same(os_scl.train(clips, **train), os_scl.train(clips, temperature=0.5, **train))


def test_the_published_weight_is_the_ratio_of_two_temperatures():
    assert pytest.approx(2 / 7) == os_scl.WEIGHT
    model = os_scl.untrained(TASK)
    assert (model.arcface.margin, model.arcface.scale) == (0.4, 30.0)


# -------------------------------------------------------------------------------------------------------------------- head


def test_the_head_squeezes_to_half_and_back_with_relu_and_batch_norm():
    torch.manual_seed(0)
    head = os_scl.perturbation_head(128)
    assert sum(p.numel() for p in head.parameters()) == 129 * 64 + 2 * 64 + 65 * 128 + 2 * 128
    x = torch.randn(50, 128)

    def normed(y):
        return (y - y.mean(dim=0)) / (y.var(dim=0, correction=0) + 1e-5).sqrt()

    y = normed(F.relu(x @ head[0].weight.T + head[0].bias))
    assert y.shape == (50, 64)
    torch.testing.assert_close(head.train()(x), normed(F.relu(y @ head[3].weight.T + head[3].bias)), rtol=1e-3, atol=1e-4)


def test_what_scores_is_behind_the_head_and_a_clips_own():
    features = FeatureConfig(seconds=1.0, n_mels=32)
    small = EncoderConfig(embedding_dim=16, stem_channels=8, table=((2, 8, 1, 2), (2, 16, 1, 2)), last_channels=32)
    model = os_scl.untrained(Task(MACHINES, features, encoder=small, window=0.5)).eval()
    waves, mels = torch.randn(3, features.samples), torch.randn(3, 32, features.frames)
    rows = model.embed(waves, mels)
    torch.testing.assert_close(rows, model.encoder.head(model.encoder.encoder(waves, mels)), rtol=0, atol=0)
    torch.testing.assert_close(model.embed(waves[1:2], mels[1:2]), rows[1:2], rtol=1e-4, atol=1e-5)
    assert {key.split(".")[0] for key in model.state_dict()} == {"encoder", "arcface"}


def test_the_first_scorer_is_the_surprise_with_the_margin(clips):
    model = os_scl.train(clips, budget=BUDGET, encoder=SIZES, device="cpu")
    scores = os_scl.score(model, clips, clips, device="cpu")
    own = torch.from_numpy(clips.labels)
    with torch.no_grad():
        losses = F.cross_entropy(model(torch.from_numpy(clips.inputs[0]), labels=own), own, reduction="none")
    assert next(iter(scores)) == "softmax"
    np.testing.assert_allclose(scores["softmax"], losses, rtol=1e-4, atol=1e-6)
