"""ArcFace against angles placed by hand and an independent implementation; the classifier that scores."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ArcFaceLoss

from asdlib.classifier import MachineClassifier, finetune
from asdlib.contrastive import ContrastiveModel
from asdlib.errors import AsdError
from asdlib.heads import ArcFace, LinearHead, SubCentres
from asdlib.training import StageConfig
from tests.conftest import clips_of
from tests.test_contrastive import Points, at_angles


def two_classes(margin, scale=10.0):
    """Class 0 points to 0°, class 1 to 90°."""
    arcface = ArcFace(2, 2, margin=margin, scale=scale).double()
    arcface.weight.data = at_angles([0, 90])
    return arcface


@pytest.mark.parametrize("degrees", [0, 30, 60, 100, 122, 123, 150, 180])
def test_the_margin_turns_the_true_class_away_by_its_angle(degrees):
    margin = 1.0  # 57.3°: beyond 122.7° the penalty is linear in the cosine
    logits = two_classes(margin)(at_angles([degrees]), torch.tensor([0]))[0]
    theta = math.radians(degrees)
    expected = math.cos(theta + margin) if theta < math.pi - margin else math.cos(theta) - margin * math.sin(margin)
    assert logits[0].item() == pytest.approx(10 * expected, abs=5e-3)  # the sine is floored at 3e-4
    assert logits[1].item() == pytest.approx(10 * math.sin(theta))  # the other class keeps its cosine


def test_without_labels_or_with_margin_zero_the_logits_are_scaled_cosines():
    x = at_angles([0, 40, 200], lengths=[1, 5, 0.1])
    cosines = 10 * torch.stack((torch.cos(torch.deg2rad(torch.tensor([0.0, 40, 200]))),) * 1, dim=1).double()
    torch.testing.assert_close(two_classes(1.0)(x)[:, :1], cosines, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(two_classes(0.0)(x, torch.tensor([0, 0, 0])), two_classes(0.0)(x), atol=1e-6, rtol=1e-6)


def test_the_penalised_logit_falls_all_the_way_from_0_to_180_degrees():
    degrees = torch.linspace(0.1, 179.9, 400)
    logits = two_classes(1.0)(at_angles(degrees), torch.zeros(400, dtype=torch.long))[:, 0]
    assert torch.all(logits.diff() < 0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), margin=st.floats(0.0, 1.5), scale=st.floats(1, 64))
def test_loss_agrees_with_pytorch_metric_learning(seed, margin, scale):
    generator = torch.Generator().manual_seed(seed)
    x, labels = torch.randn(20, 8, generator=generator), torch.randint(5, (20,), generator=generator)
    ours = ArcFace(8, 5, margin=margin, scale=scale)
    theirs = ArcFaceLoss(5, 8, margin=math.degrees(margin), scale=scale)
    theirs.W.data = ours.weight.data.T.clone()
    torch.testing.assert_close(F.cross_entropy(ours(x, labels), labels), theirs(x, labels), rtol=1e-3, atol=1e-3)


def test_margin_and_scale_are_those_of_the_paper():
    arcface = ArcFace(2, 2)
    assert (arcface.margin, arcface.scale) == (1.0, 30.0)


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_logits_and_gradients_are_finite_where_the_angle_has_no_derivative(degrees):
    arcface = two_classes(1.0)
    x = at_angles([degrees]).requires_grad_()
    F.cross_entropy(arcface(x, torch.tensor([0])), torch.tensor([0])).backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(arcface.weight.grad).all()


def test_gradients_are_the_derivatives():
    arcface = ArcFace(4, 3, margin=0.8, scale=8).double()
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.autograd.gradcheck(lambda x: F.cross_entropy(arcface(x, labels), labels), x)


@pytest.mark.parametrize("margin", [-0.1, 4.0, float("nan")])
def test_a_margin_that_is_no_angle_is_refused(margin):
    with pytest.raises(AsdError, match="not an angle"):
        ArcFace(2, 2, margin=margin)


@pytest.mark.parametrize("scale", [0.0, -30.0, 1000.5, 1e308, float("nan")])
def test_a_scale_that_makes_no_finite_logits_is_refused(scale):
    with pytest.raises(AsdError, match=r"an ArcFace scale of .* makes no sense"):
        ArcFace(2, 2, scale=scale)


def test_margins_and_scales_at_the_edge_of_sense_are_allowed():
    assert ArcFace(2, 2, margin=0.0, scale=1000.0)(torch.eye(2), torch.tensor([0, 1])).isfinite().all()
    assert ArcFace(2, 2, margin=3.14, scale=1e-3)(torch.eye(2), torch.tensor([0, 1])).isfinite().all()


def test_stage_2_keeps_encoder_and_first_head_layer_and_nothing_else():
    base = ContrastiveModel(Points())
    model = MachineClassifier(base, 3)
    assert model.encoder is base.encoder
    assert model.first is base.head.first
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "first", "arcface"}
    single = MachineClassifier(Points(), 3)
    assert {k: v.shape for k, v in single.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_finetuning_trains_everything_and_learns_the_machines():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    x = (np.eye(4)[labels] + 0.2 * rng.normal(size=(90, 4))).astype(np.float32)
    torch.manual_seed(0)
    base = ContrastiveModel(Points())
    before = {k: v.clone() for k, v in base.encoder.state_dict().items()}
    model, log = finetune(base, clips_of((x,), labels), StageConfig(60, 30, 1e-2), device="cpu")
    assert all(not torch.equal(before[k], v) for k, v in model.encoder.state_dict().items())
    assert log[-1]["train_loss"] < 0.5 * log[0]["train_loss"]
    with torch.no_grad():
        assert (model(torch.from_numpy(x)).argmax(1).numpy() == labels).mean() > 0.95


def test_sub_centres_with_one_centre_are_arcface_and_with_more_the_nearest_counts():
    torch.manual_seed(0)
    one, plain = SubCentres(8, 5, centres=1), ArcFace(8, 5)
    one.load_state_dict(plain.state_dict())
    x, labels = torch.randn(30, 8), torch.randint(5, (30,))
    torch.testing.assert_close(one(x), plain(x))
    torch.testing.assert_close(one(x, labels), plain(x, labels))
    three = SubCentres(8, 5, centres=3, margin=0.4, scale=7.0)
    weight = three.weight.detach().numpy()
    for row, own, logits, with_margin in zip(x, labels.tolist(), three(x), three(x, labels), strict=True):
        for label in range(5):
            angles = [
                math.acos(np.dot(row.numpy(), w) / np.linalg.norm(row.numpy()) / np.linalg.norm(w))
                for w in weight[3 * label : 3 * label + 3]
            ]
            assert logits[label].item() == pytest.approx(7 * math.cos(min(angles)), abs=1e-4)
            turned = math.cos(min(angles) + 0.4) if min(angles) < math.pi - 0.4 else None
            if label == own and turned is not None:
                assert with_margin[label].item() == pytest.approx(7 * turned, abs=1e-3)


def test_a_class_without_a_centre_is_refused():
    with pytest.raises(AsdError, match="0 centres a class make no sense: choose 1 or more"):
        SubCentres(8, 5, centres=0)
    with pytest.raises(AsdError, match="not an angle"):
        SubCentres(8, 5, centres=2, margin=4.0)


def test_another_class_head_is_injected():
    labels = np.arange(60) % 3
    x = np.eye(4, dtype=np.float32)[labels]
    model, log = finetune(Points(), clips_of((x,), labels), StageConfig(20, 30, 1e-2), head=LinearHead, device="cpu")
    assert isinstance(model.arcface, LinearHead)
    assert log[-1]["train_loss"] < log[0]["train_loss"]
    row = torch.from_numpy(x[:1])
    torch.testing.assert_close(model(row), model.arcface.linear(model.embed(row)))
