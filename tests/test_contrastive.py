"""The supervised contrastive loss against hand-placed angles, an independent implementation and its own derivatives."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss
from torch import nn

from asdlib.contrastive import ContrastiveModel, ProjectionHead, pretrain, supervised_contrastive_loss
from asdlib.errors import AsdError
from asdlib.training import StageConfig
from tests.conftest import clips_of


def at_angles(degrees, lengths=1.0):
    radians = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64))
    return torch.as_tensor(lengths, dtype=torch.float64).reshape(-1, 1) * torch.stack((radians.cos(), radians.sin()), dim=1)


def by_hand(degrees, labels, temperature, self_in_denominator):
    """The formula, written out pair by pair over the cosines of the angles between the points."""
    losses = []
    for i, (angle, label) in enumerate(zip(degrees, labels, strict=True)):
        others = [j for j in range(len(labels)) if j != i]
        positives = [j for j in others if labels[j] == label]
        if not positives:
            continue
        similar = [math.exp(math.cos(math.radians(angle - other)) / temperature) for other in degrees]
        denominator = sum(similar) if self_in_denominator else sum(similar[j] for j in others)
        losses.append(-sum(math.log(similar[j] / denominator) for j in positives) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("self_in_denominator", [False, True])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_loss_of_points_placed_by_hand(temperature, self_in_denominator):
    degrees, labels = [0, 20, 90, 110, 200, 350], [0, 0, 1, 1, 2, 0]  # 200° is alone and no anchor
    loss = supervised_contrastive_loss(
        at_angles(degrees), torch.tensor(labels), temperature=temperature, self_in_denominator=self_in_denominator
    )
    assert loss.item() == pytest.approx(by_hand(degrees, labels, temperature, self_in_denominator), rel=1e-9)


def test_two_machines_on_opposite_sides_leave_almost_no_loss():
    z = at_angles([0, 0, 180, 180])
    loss = supervised_contrastive_loss(z, torch.tensor([0, 0, 1, 1]), temperature=0.1)
    assert loss.item() == pytest.approx(math.log(1 + 2 * math.exp(-20)), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), extra=st.integers(0, 30), machines=st.integers(2, 5), temperature=st.floats(0.05, 2))
def test_loss_agrees_with_pytorch_metric_learning(seed, extra, machines, temperature):
    generator = torch.Generator().manual_seed(seed)
    two_of_each = torch.arange(machines).repeat(2)  # the other library handles anchors without positives in another way
    labels = torch.cat([two_of_each, torch.randint(machines, (extra,), generator=generator)])
    z = torch.randn(len(labels), 16, generator=generator, dtype=torch.float64)
    ours = supervised_contrastive_loss(z, labels, temperature=temperature)
    torch.testing.assert_close(ours, SupConLoss(temperature=temperature)(z, labels), rtol=1e-6, atol=1e-8)


def test_only_directions_count_and_order_does_not():
    rng = torch.Generator().manual_seed(0)
    z, labels = torch.randn(12, 8, generator=rng), torch.arange(12) % 3
    loss = supervised_contrastive_loss(z, labels)
    order = torch.randperm(12, generator=rng)
    torch.testing.assert_close(supervised_contrastive_loss(7 * z, labels), loss)
    torch.testing.assert_close(supervised_contrastive_loss(z[order], labels[order]), loss)


def test_gradients_are_the_derivatives():
    z = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3])  # 3 is alone
    for keep in (False, True):
        assert torch.autograd.gradcheck(
            lambda x, keep=keep: supervised_contrastive_loss(x, labels, self_in_denominator=keep), z
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_are_compared_in_full_precision(dtype):
    z = torch.randn(32, 16, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    labels = torch.arange(32) % 4
    loss = supervised_contrastive_loss(z, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, supervised_contrastive_loss(z.detach().float(), labels))
    assert torch.isfinite(z.grad).all()


def test_a_batch_without_pairs_is_an_error_that_says_so():
    with pytest.raises(AsdError, match="no two of the 4 clips"):
        supervised_contrastive_loss(torch.randn(4, 8), torch.arange(4))


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature):
    with pytest.raises(AsdError, match=r"a temperature of .* makes no sense"):
        supervised_contrastive_loss(torch.randn(4, 8), torch.zeros(4), temperature=temperature)


def test_the_head_has_the_published_size_and_starts_with_what_stage_2_keeps():
    head = ProjectionHead(128)
    assert sum(p.numel() for p in head.parameters()) == 49_920
    assert [type(layer) for layer in head.first] == [nn.Linear, nn.BatchNorm1d]
    assert head(torch.randn(4, 128)).shape == (4, 128)
    assert head.eval()(torch.randn(4, 128)).min() < 0  # nothing clips the last layer


class Points(nn.Module):
    """An encoder of plain vectors: the stages take any encoder and any arrays."""

    def __init__(self, dim=6):
        super().__init__()
        self.embedding_dim = dim
        self.layer = nn.Linear(4, dim)

    def forward(self, x):
        return self.layer(x)


def test_pretraining_pulls_machines_together_whatever_the_encoder():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = (np.eye(4)[labels] + 0.2 * rng.normal(size=(60, 4))).astype(np.float32)
    torch.manual_seed(0)
    model, log = pretrain(Points(), clips_of((x,), labels), StageConfig(30, 20, 5e-3), device="cpu", validation=0.1)
    assert isinstance(model, ContrastiveModel)
    assert log[-1]["train_loss"] < log[0]["train_loss"] - 0.3
    assert log[-1]["validation_loss"] < log[0]["validation_loss"]


def test_new_weights_are_drawn_from_streams_of_their_own_and_disturb_nobody():
    from asdlib.device import seeded

    def draw(seed, part):
        with seeded(seed, part):
            return torch.rand(1000)

    torch.manual_seed(3)
    untouched = torch.rand(1)
    torch.manual_seed(3)
    a, again, head, other = draw(0, "encoder"), draw(0, "encoder"), draw(0, "head"), draw(1, "encoder")
    assert torch.equal(a, again)
    assert abs(np.corrcoef(a, head)[0, 1]) < 0.1
    assert abs(np.corrcoef(a, other)[0, 1]) < 0.1
    assert torch.equal(torch.rand(1), untouched)


def test_pretraining_refuses_a_machine_with_one_clip():
    examples = clips_of((np.zeros((3, 4), np.float32),), np.array([0, 0, 1]))
    with pytest.raises(AsdError, match="only one clip of m/1"):
        pretrain(Points(), examples, StageConfig(1))


@pytest.mark.parametrize("shape", [(4, 1), (3,), (4, 4), ()])
def test_labels_of_another_shape_are_refused(shape):
    with pytest.raises(AsdError, match=r"give \(N, D\) and \(N,\)"):
        supervised_contrastive_loss(torch.randn(4, 2), torch.zeros(shape, dtype=torch.long))
