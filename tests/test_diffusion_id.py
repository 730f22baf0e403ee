"""Diffusion with an ID constraint: without its weight it is the model alone, bit for bit, and what the constraint adds."""

import numpy as np
import pytest
import torch

from asdlib.clips import Clips
from asdlib.methods import Task, asd_diffusion, diffusion_id
from asdlib.methods._diffusion import noised, picture_of
from asdlib.training import StageConfig
from tests.test_asd_diffusion import BUDGET, KEPT, MAKE, spectra


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_with_a_weight_of_0_it_is_the_model_without_a_constraint_bit_for_bit(kind):
    known, asked = MAKE[kind](24), MAKE[kind](6, seed=1)
    alone = asd_diffusion.train(known, budget=BUDGET, seed=3, device="cpu")
    off, on = (diffusion_id.train(known, budget=BUDGET, seed=3, id_weight=w, device="cpu") for w in (0.0, 0.1))
    weights = alone.state_dict()
    assert set(off.state_dict()) - set(weights) == {"identify.weight", "identify.bias"}
    assert all(torch.equal(off.state_dict()[name], value) for name, value in weights.items())
    assert not all(torch.equal(on.state_dict()[name], value) for name, value in weights.items())
    expected, found = (m.score(model, known, asked, device="cpu") for m, model in ((asd_diffusion, alone), (diffusion_id, off)))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    begun = diffusion_id.untrained(Task.of(known, seed=3))
    assert torch.equal(off.identify.weight, begun.identify.weight)
    assert not torch.equal(on.identify.weight, begun.identify.weight)


def test_of_one_machine_there_is_nothing_to_tell_and_id_is_the_first_score():
    known = spectra(24)
    known = known.only(known.machines == known.names[0])
    model = diffusion_id.train(known, budget=BUDGET, device="cpu")
    scores = diffusion_id.score(model, known, known, device="cpu")
    np.testing.assert_array_equal(scores["id"], scores["filter"])
    assert np.ptp(scores["id"]) > 0


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_the_loss_by_hand(kind):
    clips = MAKE[kind](6)
    model = diffusion_id.untrained(Task.of(clips)).eval()
    model.set_scales(clips)
    inputs, labels = (torch.from_numpy(clips.inputs[-1]),), torch.from_numpy(clips.labels)

    def loss(weight):
        return diffusion_id.constrained_objective(model, inputs, labels, np.random.default_rng(4), id_weight=weight).item()

    rng = np.random.default_rng(4)
    times = rng.integers(1000, size=6)
    noise = torch.from_numpy(rng.standard_normal((6, *model.shape), np.float32))
    early = np.floor(0.3 * times + 1e-9).astype(int)
    assert early.max() < 300
    with torch.no_grad():
        z = model.standardised(picture_of(*inputs), labels)
        share = torch.from_numpy(KEPT[early]).float()[:, None, None]
        middle = model.network.middle(noised(z, noise, share), torch.from_numpy(early), None)
        p = torch.softmax(middle @ model.identify.weight.T + model.identify.bias, dim=1).numpy()
    wrong = -np.log(p[np.arange(6), clips.labels]).mean()
    assert loss(1.0) - loss(0.0) == pytest.approx(wrong, rel=1e-3)
    assert loss(0.1) - loss(0.0) == pytest.approx(0.1 * wrong, rel=1e-2)


def test_the_machine_is_not_told_to_the_part_that_shall_tell_it():
    """But to the part that takes the noise away."""
    known = spectra(6)
    model = diffusion_id.untrained(Task.of(known)).eval()
    x, times, noise = torch.from_numpy(known.inputs[0][:1]), torch.tensor([400]), torch.randn(1, 5, 3)
    with torch.no_grad():
        (one, first), (two, second) = (model(x, noise=noise, times=times, labels=torch.tensor([label])) for label in (0, 1))
    torch.testing.assert_close(first, second)  # both are fans, on one scale
    assert (one - two).abs().max() > 1e-4


def test_a_clip_under_another_name_is_a_surprise():
    rng = np.random.default_rng(0)
    patterns = 1.5 * rng.normal(size=(2, 1, 6, 4))

    def clips(n):
        x = patterns[np.arange(n) % 2] + 0.5 * rng.normal(size=(n, 1, 6, 4))
        return Clips((x.astype(np.float32),), ["fan/id_00", "fan/id_02"] * (n // 2))

    known, asked = clips(60), clips(20)
    model = diffusion_id.train(known, budget=StageConfig(40, 20, 1e-3, cosine_from=0), device="cpu")
    swapped = Clips(asked.inputs, np.roll(asked.machines, 1))
    own, other = (diffusion_id.score(model, known, part, device="cpu")["id"] for part in (asked, swapped))
    assert own.max() < other.min()
    with torch.no_grad():
        z = model.standardised(torch.from_numpy(asked.inputs[0][:, 0]), torch.from_numpy(asked.labels))
        logits = model.identify(model.network.middle(z, torch.zeros(20, dtype=torch.long), None))
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(asked.labels), reduction="none")
    np.testing.assert_allclose(own, expected, rtol=1e-2, atol=1e-5)
