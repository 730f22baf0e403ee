"""The challenge's autoencoder: its frames against a plain loop, its scores against networks whose mistakes are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import auc
from asdlib.features import FeatureConfig
from asdlib.methods import autoencoder
from asdlib.methods.autoencoder import FrameAutoencoder, TypeAutoencoders, rebuilt, stacked_frames
from asdlib.training import StageConfig

MELS, FRAMES = 12, 10


def spectrograms(n, *, seed, extra_band=False):
    """Clips of one hum, each with a level of its own; a faulty one has a second band. Near 0 dB, to be learned soon."""
    rng = np.random.default_rng(seed)
    hum = 4 * np.exp(-((np.arange(MELS) - 3) ** 2) / 4)
    clips = hum[:, None] + 0.3 * rng.normal(size=(n, 1, 1)) + 0.2 * rng.normal(size=(n, MELS, FRAMES))
    if extra_band:
        clips[:, 9] += 2
    return clips.astype(np.float32)


def heard(log_mels, types):
    """Clips of sound with these log-mels, of one machine of each type."""
    return Clips((np.zeros((len(log_mels), 1), np.int16), log_mels), np.array([f"{t}/id_00" for t in types]), FeatureConfig())


def train(log_mels, types, *, epochs, **options):
    budget = StageConfig(epochs, learning_rate=1e-3)
    return autoencoder.train(heard(log_mels, types), budget=budget, device="cpu", **options)


def score(models, log_mels, types):
    models = TypeAutoencoders(models, context=5) if isinstance(models, dict) else models
    clips = heard(log_mels, types)
    return autoencoder.score(models, clips, clips, device="cpu")["reconstruction"]


class Off(nn.Module):
    """Rebuilds everything too loud by some dB."""

    def __init__(self, decibels):
        super().__init__()
        self.decibels = decibels

    def forward(self, x):
        return x + self.decibels


@given(n=st.integers(1, 3), mels=st.integers(1, 6), frames=st.integers(5, 12), seed=st.integers(0, 99))
def test_a_row_is_five_frames_one_after_the_other(n, mels, frames, seed):
    clips = np.random.default_rng(seed).normal(size=(n, mels, frames))
    rows = stacked_frames(clips)
    assert rows.shape == (n, frames - 4, 5 * mels)
    assert rows.dtype == np.float32
    for i in range(n):
        for t in range(frames - 4):
            by_loop = [clips[i, band, t + k] for k in range(5) for band in range(mels)]
            np.testing.assert_array_equal(rows[i, t], np.float32(by_loop))


def test_clips_of_fewer_than_five_frames_are_refused_wherever_they_come_in():
    short = np.zeros((2, MELS, 4), dtype=np.float32)
    models = {"fan": FrameAutoencoder(5 * MELS).eval()}
    for call in (
        lambda: stacked_frames(short),
        lambda: train(short, ["fan", "fan"], epochs=1),
        lambda: score(models, short, ["fan", "fan"]),
        lambda: rebuilt(models["fan"], short[0]),
    ):
        with pytest.raises(AsdError, match="clips of 4 frames are too short"):
            call()


def test_it_has_the_layers_of_the_challenge():
    model = FrameAutoencoder(640)
    linear = [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]
    hidden = [(128, 128)] * 3
    assert linear == [(640, 128), *hidden, (128, 8), (8, 128), *hidden, (128, 640)]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in model.modules()) == 9  # all but the last layer
    assert isinstance(list(model.modules())[-1], nn.Linear)  # decibels are negative, too: no ReLU at the end
    assert model(torch.zeros(3, 640)).shape == (3, 640)


@settings(max_examples=20, deadline=None)
@given(decibels=st.floats(-20, 20), frames=st.integers(5, 9))
def test_the_score_is_the_mean_squared_error_in_squared_decibels(decibels, frames):
    clips = np.random.default_rng(0).normal(-50, 5, size=(3, MELS, frames)).astype(np.float32)
    scores = score({"fan": Off(decibels), "valve": nn.Identity()}, clips, ["fan", "valve", "fan"])
    assert scores.shape == (3,)
    np.testing.assert_allclose(scores, [decibels**2, 0, decibels**2], rtol=1e-4, atol=1e-4)


def test_what_is_rebuilt_is_the_middle_frame_of_each_forward_pass():
    clip = spectrograms(1, seed=0)[0]
    np.testing.assert_array_equal(rebuilt(nn.Identity(), clip), clip[:, 2:-2])
    torch.manual_seed(0)
    model = FrameAutoencoder(5 * MELS).eval()
    shown = rebuilt(model, clip)
    assert shown.shape == (MELS, FRAMES - 4)
    for t in range(FRAMES - 4):
        stack = torch.from_numpy(clip[:, t : t + 5].T.reshape(1, -1).copy())
        out = model(stack)[0].detach().numpy().reshape(5, MELS)
        np.testing.assert_allclose(shown[:, t], out[2], rtol=1e-5, atol=1e-6)


def test_an_extra_band_is_rebuilt_worse_than_what_was_learned():
    models = train(spectrograms(40, seed=0), ["fan"] * 40, epochs=400)
    test = np.concatenate([spectrograms(20, seed=1), spectrograms(20, seed=2, extra_band=True)])
    scores = score(models, test, ["fan"] * 40)
    assert auc(np.repeat([0, 1], 20), scores) == 1
    untrained = {"fan": FrameAutoencoder(5 * MELS).eval()}
    assert scores[:20].mean() < 0.1 * score(untrained, test, ["fan"] * 40)[:20].mean()


def test_the_seed_decides_the_models_and_nothing_else_does():
    clips = spectrograms(8, seed=0)
    scores = [score(train(clips, ["fan"] * 8, epochs=2, seed=seed), clips, ["fan"] * 8) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2], rtol=1e-6)
    torch.manual_seed(5)
    np.testing.assert_array_equal(score(train(clips, ["fan"] * 8, epochs=2), clips, ["fan"] * 8), scores[0])


def test_training_leaves_the_random_numbers_of_the_caller_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    train(spectrograms(4, seed=0), ["fan"] * 4, epochs=1)
    torch.testing.assert_close(torch.rand(4), expected, rtol=0, atol=0)


def test_every_type_has_a_model_that_sees_its_own_clips_only():
    fans, valves = spectrograms(6, seed=0), spectrograms(6, seed=1, extra_band=True)
    both = np.stack([clip for pair in zip(fans, valves, strict=True) for clip in pair])
    models = train(both, ["fan", "valve"] * 6, epochs=2)
    assert models.names == ["fan", "valve"]
    alone = train(fans, ["fan"] * 6, epochs=2)
    for name, value in alone.networks[0].state_dict().items():
        assert torch.equal(value, models.networks[0].state_dict()[name]), name
    assert not any(model.training for model in models.networks)
    np.testing.assert_array_equal(
        score(models, both, ["fan", "valve"] * 6)[::2],
        [score(alone, fan[None], ["fan"])[0] for fan in fans],
    )


def test_of_spectra_a_whole_one_is_read_at_a_time():
    x = np.random.default_rng(0).normal(size=(20, 1, 6, 4)).astype(np.float32)
    clips = Clips((x,), np.repeat(["fan.x/id_00", "pump/id_00"], 10))
    model = autoencoder.train(clips, budget=StageConfig(2, 8), device="cpu")
    assert model.context == 4
    scores = autoencoder.score(model, clips, clips, device="cpu")["reconstruction"]
    with torch.no_grad():
        flat = torch.from_numpy(x[3, 0].T.reshape(1, -1).copy())
        expected = (model.networks[0](flat) - flat).square().mean().item()
    assert scores[3] == pytest.approx(expected, rel=1e-5)


def test_a_type_without_a_model_is_refused_by_name():
    with pytest.raises(AsdError, match="no autoencoder of the type 'pump'"):
        score({"fan": nn.Identity()}, np.zeros((1, MELS, FRAMES), np.float32), ["pump"])
