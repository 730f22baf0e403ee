"""Short windows: which are drawn, which are negatives of which, and that the worst of them counts."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import auc
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import Task, window_contrast
from asdlib.methods._task import embedded
from asdlib.methods.window_contrast import window_loss
from asdlib.scorers import knn_score
from asdlib.spectrogram_encoder import SpectrogramConfig
from asdlib.training import StageConfig
from tests.conftest import SMALL

FEATURES = SMALL.features  # 1 s at 16 kHz, 32 bands: windows of 8 frames of 32


def rng(seed=0):
    return np.random.default_rng(seed)


def sound(n, *, seed=0, squeak=False):
    """A hum in noise; a squeak is a tone of a tenth of a second, anywhere."""
    time = np.arange(FEATURES.samples) / FEATURES.sample_rate
    hertz = np.resize([400, 1500], n)[:, None]
    waves = 0.05 * np.sin(2 * np.pi * (hertz * time + rng(seed).uniform(size=(n, 1))))
    waves += 0.02 * rng(seed + 1).standard_normal(waves.shape)
    begin = rng(seed + 2).uniform(0, 0.9, (n, 1))
    waves += squeak * 0.15 * np.sin(2 * np.pi * 5000 * time) * ((time > begin) & (time < begin + 0.1))
    waves = np.round(2**15 * waves.clip(-1, 0.99)).astype(np.int16)
    mels = log_mel(waves.astype(np.float32) / 2**15, FEATURES).numpy()
    return Clips((waves, mels.astype(np.float16)), np.resize(["fan/id_00", "pump/id_02"], n), FEATURES)


# ------------------------------------------------------------------------------------------------------------ the loss


def views(n, dim=6, *, seed=0):
    return torch.from_numpy(rng(seed).normal(size=(2 * n, dim))).float()


def test_the_loss_is_that_of_a_plain_loop():
    z, machines = views(7), torch.tensor([0, 0, 1, 1, 2, 1, 0]).repeat_interleave(2)
    unit, losses = (z / z.norm(dim=1, keepdim=True)).double().numpy(), []
    for i in range(14):
        partner = i + 1 if i % 2 == 0 else i - 1
        own = np.exp(unit[i] @ unit[partner] / 0.1)
        others = sum(np.exp(unit[i] @ unit[a] / 0.1) for a in range(14) if machines[a] != machines[i])
        losses.append(-np.log(own / (own + others)))
    assert window_loss(z, machines).item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_where_every_window_is_of_another_machine_it_is_the_nt_xent_loss():
    z = views(9)
    window = torch.arange(9).repeat_interleave(2)
    torch.testing.assert_close(window_loss(z, window, temperature=0.2), NTXentLoss(temperature=0.2)(z, window))


def test_windows_of_the_same_machine_do_not_push_each_other():
    z = views(5).requires_grad_()
    loss = window_loss(z, torch.zeros(10, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


# --------------------------------------------------------------------------------------------------------- the windows


def test_views_are_near_each_other_up_to_3_db_apart_and_lack_a_tenth_of_the_bands():
    frames, mels, size = 60, 40, 8
    x = torch.arange(float(frames)).expand(200, mels, frames).clone() * 100
    pairs = window_contrast.pairs_of(x, rng(), frames=size)
    assert pairs.shape == (200, 2, 2, mels, size)
    step = pairs.diff(dim=4)
    hidden = (step == 0).all(dim=4)  # no time goes by in these bands
    torch.testing.assert_close(step[~hidden], torch.full_like(step[~hidden], 100.0), atol=1e-2, rtol=0)
    assert hidden.sum(dim=3).max() == 4
    assert hidden.sum(dim=3).double().mean().item() == pytest.approx(2, abs=0.2)
    seen = torch.where(hidden, torch.inf, pairs[..., 0]).amin(dim=3)
    start, gain = torch.round(seen / 100), seen - 100 * torch.round(seen / 100)
    assert start.min() == 0
    assert start.max() == frames - size
    assert (start[:, :, 0] - start[:, :, 1]).abs().max() == 4  # half a window
    assert gain.abs().max() < 3.01
    assert gain.std().item() == pytest.approx(6 / 12**0.5, rel=0.1)
    assert ((start[:, 0] - start[:, 1]).abs() > 8).any()  # the windows of a clip are drawn each on its own
    again, other = (window_contrast.pairs_of(x, rng(seed), frames=size) for seed in (0, 1))
    assert torch.equal(again, pairs)
    assert not torch.equal(other, pairs)


def test_a_hidden_band_is_as_loud_as_the_window_on_average():
    x = torch.from_numpy(rng().normal(size=(50, 20, 30))).float()
    pairs = window_contrast.pairs_of(x, rng(), frames=8)
    flat = (pairs.diff(dim=4) == 0).all(dim=4)
    assert flat.any()
    filled = pairs[..., 0][flat]
    assert filled.abs().max() < 3.5
    x += 100
    shifted = window_contrast.pairs_of(x, rng(), frames=8)
    torch.testing.assert_close(shifted, pairs + 100, atol=1e-4, rtol=1e-5)


def test_four_windows_of_each_clip_are_compared_with_the_machines_of_their_clips():
    clips, seen = sound(6), []
    model = window_contrast.untrained(Task.of(clips, encoder=SMALL.encoder)).train()
    mels = torch.from_numpy(clips.log_mels).float()

    def watched(z, machines):
        seen.append((z, machines))
        return window_loss(z, machines)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_contrast, "window_loss", watched)
        labels = torch.from_numpy(clips.labels)
        window_contrast.window_objective(model, (mels,), labels, rng(), frames=model.frames)
    z, machines = seen[0]
    assert len(z) == len(machines) == 6 * 4 * 2
    assert machines.view(2, 6, 4).tolist() == [[[label] * 4 for label in clips.labels]] * 2


def test_the_windows_of_a_clip_are_all_of_it_and_overlap_by_half():
    model = window_contrast.untrained(Task.of(sound(2), encoder=SMALL.encoder)).eval()
    assert model.frames == 8
    assert model.starts(32) == [0, 4, 8, 12, 16, 20, 24]
    assert model.starts(30) == [0, 4, 8, 12, 16, 20, 22]
    assert model.starts(8) == [0]
    assert model.embedding_dim == 7 * 16
    mels = torch.from_numpy(sound(3).log_mels).float()
    with torch.no_grad():
        rows = model.embed(torch.zeros(3, 1), mels)
        for place, start in enumerate(model.starts(32)):
            own = model.of_windows(mels[:, :, start : start + 8])
            torch.testing.assert_close(rows[:, 16 * place : 16 * place + 16], own, atol=1e-5, rtol=1e-4)


# ----------------------------------------------------------------------------------------------------------- the score


def test_the_score_is_the_worst_of_the_windows_by_2_nn_and_never_below_their_mean():
    known, asked = sound(16), sound(6, seed=4)
    model = window_contrast.untrained(Task.of(known, encoder=SMALL.encoder)).eval()
    scores = window_contrast.score(model, known, asked, device="cpu")
    assert tuple(scores) == window_contrast.SCORERS
    rows, new = (embedded(model, clips, device="cpu")[0].reshape(-1, 7, 16) for clips in (known, asked))
    for i, machine in enumerate(asked.machines):
        distances = knn_score(rows[known.machines == machine].reshape(-1, 16), new[i])
        assert scores["worst"][i] == pytest.approx(distances.max(), rel=1e-4)
        assert scores["mean"][i] == pytest.approx(distances.mean(), rel=1e-4)
    assert (scores["worst"] >= scores["mean"]).all()


def test_one_strange_moment_is_enough_for_the_worst_and_little_for_the_mean():
    known, normal, squeaking = sound(32), sound(16, seed=5), sound(16, seed=9, squeak=True)
    model = window_contrast.train(known, budget=StageConfig(8, 16, 3e-3), encoder=SMALL.encoder, device="cpu")
    found = [window_contrast.score(model, known, clips, device="cpu") for clips in (normal, squeaking)]
    areas, rise = {}, {}
    for scorer in ("worst", "mean"):
        low, high = found[0][scorer], found[1][scorer]
        areas[scorer] = auc(np.repeat([0, 1], 16), np.concatenate([low, high]))
        rise[scorer] = high.mean() - low.mean()
    assert areas["worst"] > 0.9
    assert rise["worst"] > 1.5 * rise["mean"]


# ---------------------------------------------------------------------------------------------------------- refusals


def test_clips_shorter_than_a_window_and_other_networks_are_refused():
    with pytest.raises(AsdError, match=r"a window of 0\.25 s does not fit into clips of 0\.2 s"):
        window_contrast.untrained(Task(("a/0",), FeatureConfig(seconds=0.2), encoder=SMALL.encoder))
    coarse = FeatureConfig(seconds=2.0, sample_rate=4000, n_fft=1024, hop_length=1024, f_max=2000.0)
    with pytest.raises(AsdError, match=r"a window of 0\.25 s has one frame, with a hop of 1024 samples at 4000 Hz"):
        window_contrast.untrained(Task(("a/0",), coarse, encoder=SMALL.encoder))
    long = FeatureConfig(seconds=10.0, sample_rate=4000, n_fft=2048, f_max=2000.0)
    with pytest.raises(AsdError, match=r"a window of 0\.25 s has 1000 samples, too few for a Fourier transform of 2048"):
        window_contrast.untrained(Task(("a/0",), long, encoder=SMALL.encoder))
    with pytest.raises(AsdError, match="the sizes of the encoder spectrogram do not fit the network of this method"):
        window_contrast.untrained(Task(("a/0",), FEATURES, encoder=SpectrogramConfig()))
