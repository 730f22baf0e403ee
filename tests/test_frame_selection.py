"""Selected frames and gated bands: which frames are kept, against torch.cov and by what they hold, and the gate."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import Task, frame_selection
from asdlib.methods.autoencoder import FrameAutoencoder
from asdlib.methods.frame_selection import SELECTIONS, GatedAutoencoder, Selection, likeness, selected
from asdlib.training import StageConfig

FEATURES = FeatureConfig(seconds=1.0, n_mels=32)
BUDGET = StageConfig(3, 16, learning_rate=1e-3)


def log_mels(n=3, mels=128, frames=63, *, seed=0):
    """Each clip a shape of its own, with a frame's own level and noise."""
    rng = np.random.default_rng(seed)
    shapes = rng.normal(0, 6, size=(n, mels, 1)) + rng.normal(0, 3, size=(n, 1, frames)) - 60
    return torch.from_numpy(shapes + rng.normal(0, 3, size=(n, mels, frames)))


# ---------------------------------------------------------------------------------------------------------------- frames


@settings(max_examples=20, deadline=None)
@given(mels=st.integers(2, 40), frames=st.integers(2, 30), seed=st.integers(0, 999))
def test_likeness_is_the_sum_of_a_frames_covariances_with_the_others(mels, frames, seed):
    x = log_mels(2, mels, frames, seed=seed)
    for clip, found in zip(x, likeness(x), strict=True):
        covariance = torch.cov(clip.T)  # frames x frames
        assert covariance.shape == (frames, frames)
        torch.testing.assert_close(found, covariance.sum(dim=1) - covariance.diag(), rtol=1e-9, atol=1e-7)


def test_all_frames_are_kept_in_their_order_or_those_most_or_least_like_the_others():
    x = log_mels(2)
    assert torch.equal(selected(x, Selection()), x)
    for steady in (True, False):
        kept = selected(x, Selection(0.5, steady))
        assert kept.shape == (2, 128, 32)
        for clip, c, some in zip(x, likeness(x), kept, strict=True):
            order = c.argsort(descending=steady)[:32].sort().values
            assert torch.equal(some, clip[:, order])
    assert selected(x, Selection(0.01, steady=False)).shape == (2, 128, 7)
    assert selected(x[:, :, :5], Selection(0.01)).shape == (2, 128, 5)


def test_the_shares_are_those_that_are_told():
    assert {name: round(x.share * 313) for name, x in SELECTIONS.items() if x.steady} == {
        "fan": 270,
        "pump": 250,
        "ToyCar": 230,
        "ToyConveyor": 130,
    }
    x = torch.zeros(1, 2, 63)
    counts = {name: selected(x, own).shape[2] for name, own in SELECTIONS.items()}
    assert counts == {"fan": 54, "pump": 50, "ToyCar": 46, "ToyConveyor": 26, "slider": 7, "valve": 7}
    assert selected(torch.zeros(1, 2, 313), SELECTIONS["valve"]).shape[2] == 7


def test_a_broadband_click_makes_its_frame_the_one_least_like_the_others_and_a_narrow_burst_does_not():
    """A click is flat and so goes up and down with none, where the machine's sound has a colour; a loud band is loud in all."""
    noise = np.convolve(0.02 * np.random.default_rng(0).normal(size=32000), np.ones(8) / 8, mode="same")
    features, time = FeatureConfig(seconds=2.0), np.arange(1024)

    def rank(extra):
        """The place of frame 20 among all 63, the smallest c first."""
        wave = noise.copy()
        wave[19 * 512 : 21 * 512] += extra
        c = likeness(log_mel(wave[None], features))[0]
        return int((c < c[20]).sum())

    assert rank(0.0) > 20
    for loud in (0.1, 1.0):
        assert rank(loud * (time == 512)) == 0
        assert rank(loud * np.hanning(1024) * np.sin(2 * np.pi * 1500 / 16000 * time)) > 20


# ------------------------------------------------------------------------------------------------------------------ gate


def trained_norms(module):
    """The module in evaluation mode, with batch norms and a gate that do something."""
    torch.manual_seed(1)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return module.eval()


def test_the_gate_is_as_large_as_planned_and_begins_almost_open():
    torch.manual_seed(0)
    network = GatedAutoencoder(128, bands=128)
    assert sum(p.numel() for p in network.gate.parameters()) == 4240
    weights = network.gate(torch.randn(500, 128))
    assert weights.shape == (500, 128)
    assert 0.8 < weights.min() < weights.mean() < weights.max() < 1


def test_behind_an_open_gate_is_the_plain_autoencoder_bit_for_bit():
    torch.manual_seed(0)
    network = trained_norms(GatedAutoencoder(24, bands=24))
    x = 3 * torch.randn(50, 24)
    plain = FrameAutoencoder(24)
    plain.load_state_dict(network.network.state_dict())
    z, rebuilt = network(x)
    torch.testing.assert_close(z, (x - network.standardise.running_mean) / (network.standardise.running_var + 1e-5).sqrt())
    assert not torch.equal(rebuilt, plain.eval()(z))
    torch.nn.init.zeros_(network.gate[2].weight)
    torch.nn.init.constant_(network.gate[2].bias, 100.0)
    assert torch.equal(network(x)[1], plain(z))
    torch.testing.assert_close(network.errors(x), (plain(z) - z).square().mean(dim=1))


def test_what_is_rebuilt_is_not_gated():
    """A gate that is shut leaves nothing to see, and everything to be rebuilt: the error is that of a guess."""
    torch.manual_seed(0)
    network = trained_norms(GatedAutoencoder(24, bands=24))
    torch.nn.init.zeros_(network.gate[2].weight)
    torch.nn.init.constant_(network.gate[2].bias, -100.0)
    z, rebuilt = network(3 * torch.randn(50, 24))
    assert z.std() > 1
    assert rebuilt.std(dim=0).max() < 1e-6
    loss = frame_selection.rebuilding_objective(network, (torch.randn(50, 24),), torch.zeros(50), np.random.default_rng(0))
    assert loss > 0.5


def test_a_spectrum_has_a_gate_for_each_band_the_same_in_all_modulations():
    torch.manual_seed(0)
    network, seen = trained_norms(GatedAutoencoder(12, bands=4)), []
    network.network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = torch.randn(5, 12)
    z, _ = network(x)
    gate = network.gate(z)
    assert gate.shape == (5, 4)
    torch.testing.assert_close(seen[0].view(5, 3, 4), z.view(5, 3, 4) * gate[:, None])


# ---------------------------------------------------------------------------------------------------------------- method


def sounds(n=6, names=("valve/id_00", "bearing/id_00"), *, seed=0):
    rng = np.random.default_rng(seed)
    machines = np.repeat(names, n)
    mels = log_mels(len(machines), 32, FEATURES.frames, seed=seed).numpy().astype(np.float16)
    waves = (3000 * rng.normal(size=(len(machines), FEATURES.samples))).astype(np.int16)
    return Clips((waves, mels), machines, FEATURES)


@pytest.fixture(scope="module")
def model():
    return frame_selection.train(sounds(), budget=BUDGET, device="cpu")


def test_the_score_is_the_mean_error_of_the_frames_that_the_own_type_keeps(model):
    asked = sounds(2, seed=1)
    scores = frame_selection.score(model, sounds(), asked, device="cpu")["reconstruction"]
    x = torch.from_numpy(asked.log_mels.astype(np.float32))
    assert model.names == ["bearing", "valve"]
    for i, machine_type in enumerate(asked.types):
        kept = selected(x[i : i + 1], SELECTIONS.get(machine_type, Selection()))[0]
        assert kept.shape[1] == {"valve": 7, "bearing": FEATURES.frames}[machine_type]
        with torch.no_grad():
            errors = model.of(machine_type).errors(kept.T)
        assert scores[i] == pytest.approx(errors.double().mean().item(), rel=1e-5)


def test_the_order_of_the_frames_does_not_matter(model):
    asked = sounds(4, seed=1)
    order = np.random.default_rng(0).permutation(FEATURES.frames)
    turned = Clips((asked.waveforms, asked.log_mels[:, :, order]), asked.machines, FEATURES)
    known, score = sounds(), partial(frame_selection.score, device="cpu")
    found, again = (score(model, known, clips)["reconstruction"] for clips in (asked, turned))
    np.testing.assert_allclose(again, found, rtol=1e-5)
    assert len(np.unique(found)) == len(asked)


def test_training_sees_the_kept_frames_and_no_others(monkeypatch):
    """With every frame of a type kept it is the training without a selection; the rows are single frames."""
    seen = {}

    def fit(network, objective, clips, budget, *, stage, **options):
        seen[stage] = clips.inputs[0], budget.batch_size

    monkeypatch.setattr("asdlib.methods.autoencoder.fit", fit)
    clips = sounds(3)
    x = torch.from_numpy(clips.log_mels.astype(np.float32))
    frame_selection.train(clips, budget=BUDGET, device="cpu")
    rows, size = seen["selection valve"]
    assert size == frame_selection.FRAMES
    kept = selected(x[:3], SELECTIONS["valve"]).transpose(1, 2).reshape(-1, 32)
    np.testing.assert_array_equal(rows, kept.numpy())
    np.testing.assert_array_equal(seen["selection bearing"][0], x[3:].transpose(1, 2).reshape(-1, 32).numpy())
    frame_selection.train(clips, budget=BUDGET, device="cpu", selections={})
    assert seen["selection valve"][0].shape == (3 * FEATURES.frames, 32)


def test_a_model_keeps_which_frames_it_was_trained_on():
    own = {"valve": Selection(0.5), "bearing": Selection(0.4, steady=False)}
    clips = sounds()
    model = frame_selection.train(clips, budget=BUDGET, device="cpu", selections=own)
    again = frame_selection.untrained(Task.of(clips)).eval()
    again.load_state_dict(model.state_dict())
    scores = [frame_selection.score(m, clips, clips, device="cpu")["reconstruction"] for m in (model, again)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert model.shares.tolist() == [0.4, 0.5]
    assert model.steady.tolist() == [False, True]


def test_spectra_are_read_whole():
    x = np.random.default_rng(0).normal(size=(20, 1, 6, 3)).astype(np.float32)
    clips = Clips((x,), ["fan/a"] * 10 + ["pump/a"] * 10)
    model = frame_selection.train(clips, budget=BUDGET, device="cpu")
    scores = frame_selection.score(model, clips, clips, device="cpu")["reconstruction"]
    for i, name in enumerate(clips.types):
        rows = torch.from_numpy(x[i, 0].T.reshape(1, -1).copy())  # one modulation after the other
        with torch.no_grad():
            assert scores[i] == pytest.approx(model.of(name).errors(rows).item(), rel=1e-5)
    with pytest.raises(AsdError, match="only one clip of the type pump"):
        frame_selection.train(clips.only(np.arange(11)), budget=BUDGET, device="cpu")
