"""Interpolation: the frame that is guessed is not seen, and the score is its error, by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import auc
from asdlib.features import FeatureConfig
from asdlib.methods import idnn
from asdlib.methods._task import embedded
from asdlib.methods.autoencoder import FrameAutoencoder
from asdlib.methods.idnn import Interpolator
from asdlib.training import StageConfig

MELS, FRAMES = 6, 12
BUDGET = StageConfig(3, learning_rate=1e-3)


def heard(log_mels, machines):
    """Clips of sound with these log-mels."""
    return Clips((np.zeros((len(log_mels), 1), np.int16), log_mels.astype(np.float32)), machines, FeatureConfig())


def sound(n=6, *, seed=0):
    log_mels = np.random.default_rng(seed).normal(size=(n, MELS, FRAMES))
    return heard(log_mels, ["fan/id_00", "fan/id_02", "pump/id_00"] * (n // 3))


def spectra(n=6, *, seed=0, machines=("fan/id_00", "pump/id_00")):
    x = np.random.default_rng(seed).normal(size=(n, 1, 10, 4)).astype(np.float32)
    return Clips((x,), [*machines] * (n // len(machines)))


def test_the_guess_does_not_depend_on_the_frame_in_the_middle():
    torch.manual_seed(0)
    model, stacks = Interpolator(5 * MELS).eval(), torch.randn(4, 5 * MELS, requires_grad=True)
    guess = model(stacks)
    assert guess.shape == (4, MELS)
    guess.square().sum().backward()
    by_frame = stacks.grad.reshape(4, 5, MELS).abs().sum(dim=(0, 2))
    assert by_frame[2] == 0
    assert (by_frame[[0, 1, 3, 4]] > 0).all()


def test_it_is_the_trunk_of_the_autoencoder_from_four_frames_to_one():
    model = Interpolator(5 * 128)
    assert sum(p.numel() for p in model.parameters()) == 185_496
    linear = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    hidden = [(128, 128)] * 3
    assert linear == [(512, 128), *hidden, (128, 8), (8, 128), *hidden, (128, 128)]
    assert isinstance(model.network, FrameAutoencoder)


def through(network, pieces):
    """The network of :class:`Interpolator`, in numpy: pieces (n, 4 · bands) → (n, bands)."""
    x = pieces.astype(np.float64)
    for layer in network.network.layers:
        if isinstance(layer, nn.Linear):
            x = x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        elif isinstance(layer, nn.BatchNorm1d):
            mean, variance, scale, shift = (
                part.detach().double().numpy() for part in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
            )
            x = (x - mean) / np.sqrt(variance + layer.eps) * scale + shift
        else:
            x = x.clip(min=0)
    return x


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_the_score_is_the_mean_squared_error_of_the_middle_by_hand(kind):
    known, asked = {"sound": sound, "spectra": spectra}[kind](12), {"sound": sound, "spectra": spectra}[kind](6, seed=1)
    model = idnn.train(known, budget=BUDGET, device="cpu")
    scores = idnn.score(model, known, asked, device="cpu")["interpolation"]
    for i, machine in enumerate(asked.machines):
        # Rows of what lies in a row: the frames of a sound, the bands of a spectrum.
        rows = asked.log_mels[i].T if kind == "sound" else asked.inputs[0][i, 0]
        network, errors = model.of(machine.split("/")[0]), []
        for t in range(2, len(rows) - 2):
            outer = np.concatenate([rows[t - 2], rows[t - 1], rows[t + 1], rows[t + 2]])
            errors.append(np.mean((through(network, outer[None])[0] - rows[t]) ** 2))
        assert len(errors) == len(rows) - 4
        assert scores[i] == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_loss_that_is_trained_is_the_error_that_scores():
    torch.manual_seed(1)
    model, stacks = Interpolator(5 * MELS).eval(), torch.randn(9, 5 * MELS)
    loss = idnn.guessing_objective(model, (stacks,), torch.zeros(9), np.random.default_rng(0))
    whole = idnn.TypeInterpolators({"fan": model}, context=5)
    torch.testing.assert_close(loss, whole.error(model, stacks).mean())
    middle = stacks.reshape(9, 5, MELS)[:, 2]
    torch.testing.assert_close(loss, (model(stacks) - middle).square().mean())


@pytest.mark.parametrize("make", [sound, spectra])
def test_rows_answer_what_the_scores_are_and_turn_with_the_clips(make):
    known, asked = make(12), make(6, seed=1)
    model = idnn.train(known, budget=BUDGET, device="cpu")
    scores = idnn.score(model, known, asked, device="cpu")["interpolation"]
    rows, _ = embedded(model, asked, device="cpu")
    assert rows.shape == (6, 2)
    for i, machine in enumerate(asked.machines):
        own = idnn.judge(model, rows[:1], known.names.index(machine))
        np.testing.assert_array_equal(own["interpolation"](rows[i : i + 1]), scores[i : i + 1])
    order = np.random.default_rng(0).permutation(6)
    turned = idnn.score(model, known, asked.only(order), device="cpu")["interpolation"]
    np.testing.assert_allclose(turned, scores[order], rtol=1e-5)


def ramps(n, *, seed, knock=False):
    """Clips whose level rises evenly, each at a pace of its own; a knock is one frame that does not fit."""
    rng = np.random.default_rng(seed)
    clips = rng.normal(size=(n, 1, 1)) + rng.normal(0, 0.1, size=(n, 1, 1)) * np.arange(FRAMES)
    clips = clips + 0.1 * rng.normal(size=(n, MELS, FRAMES))
    clips[:, :, 5] += 1.5 * knock
    return heard(clips, ["fan/id_00"] * n)


def test_a_frame_that_does_not_fit_its_neighbours_is_found():
    known, parts = ramps(40, seed=0), [ramps(20, seed=1), ramps(20, seed=2, knock=True)]
    model = idnn.train(known, budget=StageConfig(150, learning_rate=3e-3), device="cpu")
    scores = [idnn.score(model, known, part, device="cpu")["interpolation"] for part in parts]
    assert auc(np.repeat([0, 1], 20), np.concatenate(scores)) > 0.95


def test_each_type_has_a_network_that_learns_from_its_own_clips_only():
    both = spectra(12)
    fans = both.of("fan/id_00")
    model, alone = (idnn.train(clips, budget=BUDGET, device="cpu") for clips in (both, fans))
    assert model.names == ["fan", "pump"]
    for name, value in alone.of("fan").state_dict().items():
        assert torch.equal(value, model.of("fan").state_dict()[name]), name


def test_clips_of_fewer_than_five_frames_are_refused_and_other_known_machines():
    with pytest.raises(AsdError, match="clips of 4 frames are too short: the network reads 5 at a time"):
        idnn.train(heard(np.zeros((2, MELS, 4)), ["fan/id_00"] * 2), budget=BUDGET)
    known = spectra(6)
    model = idnn.train(known, budget=BUDGET, device="cpu")
    fewer = known.of("fan/id_00")
    with pytest.raises(AsdError, match="a detector of 2 machines, and known clips of 1"):
        idnn.score(model, fewer, fewer, device="cpu")
