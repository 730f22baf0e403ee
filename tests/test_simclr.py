"""Contrast of augmented views: each disguise does what it says, and the loss is the NT-Xent of the two disguises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss
from torch import nn

from asdlib import augment
from asdlib.clips import Clips
from asdlib.contrastive import supervised_contrastive_loss
from asdlib.errors import AsdError
from asdlib.evaluation import by_machine, mahalanobis_score
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import simclr
from asdlib.run import new_encoder
from asdlib.training import StageConfig
from tests.conftest import SMALL

SAMPLES = 4000
seeds = st.integers(0, 10**6)
few = settings(max_examples=25, deadline=None)


def noisy(n, *, samples=SAMPLES, seed=0):
    return 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(seed))


def rng(seed=0):
    return np.random.default_rng(seed)


def runs(flags):
    """Lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return edges[1::2] - edges[::2]


@few
@given(seed=seeds)
def test_a_time_mask_silences_one_stretch_and_nothing_else(seed):
    x = noisy(4, seed=seed)
    y = augment.time_mask(x, rng(seed))
    for before, after in zip(x, y, strict=True):
        silent = (after == 0).numpy()
        (length,) = runs(silent)
        assert 0.05 * SAMPLES - 1 <= length <= 0.25 * SAMPLES + 1
        assert torch.equal(after[~silent], before[~silent])


@few
@given(seed=seeds)
def test_a_band_mask_removes_one_band_and_nothing_else(seed):
    x = noisy(4, seed=seed)
    before, after = (np.abs(np.fft.rfft(part.double().numpy())) for part in (x, augment.band_mask(x, rng(seed))))
    for b, a in zip(before, after, strict=True):
        gone = a < 1e-4 * b.mean()
        # A bin may be that quiet by chance: the band is the longest run.
        lengths = runs(gone)
        band = lengths.max()
        assert 0.05 * len(b) - 1 <= band <= 0.25 * len(b) + 1
        assert lengths.sum() <= band + 2
        np.testing.assert_allclose(a[~gone], b[~gone], atol=1e-4 * b.mean())


@few
@given(seed=seeds)
def test_a_gain_is_one_factor_within_six_decibels(seed):
    x = noisy(6, seed=seed)
    x[x == 0] = 0.01  # drawn once in a while
    factors = (augment.gain(x, rng(seed)) / x).double()
    decibels = 20 * factors.mean(dim=1).log10()
    assert decibels.abs().max() <= 6.001
    torch.testing.assert_close(factors, factors.mean(dim=1, keepdim=True).expand_as(factors), rtol=1e-5, atol=0)


@few
@given(seed=seeds, level=st.floats(1e-3, 1))
def test_noise_is_white_and_5_to_20_decibels_below_the_clip(seed, level):
    x = level * noisy(4, samples=20000, seed=seed)
    added = (augment.noise(x, rng(seed)) - x).double()
    ratio = 10 * (x.double().square().mean(dim=1) / added.square().mean(dim=1)).log10()
    assert ratio.min() >= 5 - 0.3
    assert ratio.max() <= 20 + 0.3
    own = torch.corrcoef(added) - torch.eye(4)
    assert own.abs().max() < 6 / np.sqrt(20000)  # each clip has noise of its own
    neighbours = (added[:, 1:] * added[:, :-1]).mean(dim=1) / added.square().mean(dim=1)
    assert neighbours.abs().max() < 6 / np.sqrt(20000)
    assert added.mean(dim=1).abs().max() < 6 * added.std() / np.sqrt(20000)


@pytest.mark.parametrize("ratio", [5, 12, 20])
def test_noise_is_as_many_decibels_below_the_clip_as_was_drawn(ratio):
    x = noisy(4, samples=100_000)
    added = augment.noise(x, rng(), quietest=ratio, loudest=ratio) - x
    levels = [10 * sound.double().square().mean(dim=1).log10() for sound in (x, added)]
    np.testing.assert_allclose(levels[0] - levels[1], ratio, atol=0.05)


@few
@given(seed=seeds)
def test_a_shift_turns_the_clip_round(seed):
    x = torch.arange(4 * 50, dtype=torch.float32).reshape(4, 50)
    for before, after in zip(x.numpy(), augment.shift(x, rng(seed)).numpy(), strict=True):
        by = int(np.flatnonzero(after == before[0])[0])
        np.testing.assert_array_equal(after, np.roll(before, by))


def test_the_amounts_are_spread_over_what_is_allowed():
    x = noisy(300, samples=2000)
    silent = (augment.time_mask(x, rng()) == 0).double().mean(dim=1)
    louder = 20 * (augment.gain(x, rng())[:, 0] / x[:, 0]).log10()
    added = augment.noise(x, rng()) - x
    ratio = 20 * (x.std(dim=1) / added.std(dim=1)).log10()
    start = augment.shift(torch.eye(1, 2000).repeat(300, 1), rng()).argmax(dim=1)
    for amounts, low, high in ((silent, 0.05, 0.25), (louder, -6, 6), (ratio, 5, 20), (start, 0, 2000)):
        shares = (amounts.double().numpy() - low) / (high - low)
        np.testing.assert_allclose(np.quantile(shares, [0.02, 0.25, 0.5, 0.75, 0.98]), [0.02, 0.25, 0.5, 0.75, 0.98], atol=0.1)


@pytest.mark.parametrize("name", augment.AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_disguise_keeps_shape_and_kind_and_leaves_the_clip_itself_alone(name, dtype):
    x = noisy(3, samples=1001).to(dtype)
    kept = x.clone()
    y = augment.disguise(x, [name], rng())
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert torch.equal(x, kept)
    assert not torch.equal(y, x)


@pytest.mark.parametrize("name", augment.AUGMENTATIONS)
def test_every_clip_is_disguised_on_its_own_and_as_the_generator_says(name):
    x = noisy(1).repeat(3, 1)
    first, again, other = (augment.disguise(x, [name], rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    changed = torch.cat([x[:2], noisy(1, seed=9)])
    torch.testing.assert_close(augment.disguise(changed, [name], rng())[:2], first[:2], rtol=0, atol=0)


def test_disguises_follow_one_another_in_the_order_of_their_names():
    x, generator = noisy(2), rng(4)
    expected = augment.noise(augment.time_mask(x, generator), generator)
    assert torch.equal(augment.disguise(x, ["time mask", "noise"], rng(4)), expected)
    assert torch.equal(augment.disguise(x, [], rng(4)), x)


def test_an_unknown_disguise_is_refused_with_the_choices():
    with pytest.raises(AsdError, match="no augmentation 'beard': choose from time mask, band mask, gain, noise, shift"):
        augment.disguise(noisy(1), ["gain", "beard"], rng())


@settings(max_examples=30, deadline=None)
@given(seed=seeds, clips=st.integers(2, 20), temperature=st.floats(0.05, 2))
def test_two_views_of_each_clip_under_the_supervised_loss_are_the_nt_xent_loss(seed, clips, temperature):
    z = torch.randn(2 * clips, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    numbers = torch.arange(clips).repeat(2)
    ours = supervised_contrastive_loss(z, numbers, temperature=temperature)
    torch.testing.assert_close(ours, NTXentLoss(temperature=temperature)(z, numbers), rtol=1e-6, atol=1e-8)


# ------------------------------------------------------------------------------------------------------- the training

CLIPS = 8
FEATURES = FeatureConfig(seconds=0.2, n_fft=256, hop_length=128, n_mels=8)
WAVEFORMS = (3000 * rng().standard_normal((CLIPS, FEATURES.samples))).astype(np.int16)
STILL = StageConfig(epochs=1, batch_size=CLIPS, learning_rate=0)  # one step that changes no weight


class Watched(nn.Module):
    """An encoder that keeps what it was shown."""

    embedding_dim = 6

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(FEATURES.n_mels, 6)
        self.seen = []

    def forward(self, waveform, picture):
        self.seen.append((waveform, picture))
        return self.layer(picture.mean(dim=2))


def sound(waveforms, labels, features):
    """Clips of sound; their own pictures are not used, and would be no good."""
    pictures = np.full((len(waveforms), features.n_mels, features.frames), np.nan, np.float16)
    return Clips((waveforms, pictures), np.array([f"m/{label}" for label in labels]), features)


def watch(**options):
    encoder = Watched()
    labels = np.arange(CLIPS) % 2
    options = {"validation": 0, "device": "cpu", **options}
    clips = sound(WAVEFORMS, options.pop("labels", labels), FEATURES)
    model, log = simclr.pretrain(encoder, clips, STILL, **options)
    (shown,) = encoder.seen
    return model, log, *shown


def test_the_encoder_is_shown_two_disguises_of_each_clip_and_their_own_pictures():
    _, _, waveform, picture = watch(augmentations=["gain"])
    assert waveform.shape == (2 * CLIPS, FEATURES.samples)
    torch.testing.assert_close(picture, log_mel(waveform, FEATURES))
    original = torch.from_numpy(WAVEFORMS).float()
    clip = nn.functional.normalize(waveform) @ nn.functional.normalize(original).T
    numbers = clip.argmax(dim=1)
    assert sorted(numbers[:CLIPS].tolist()) == list(range(CLIPS))
    assert torch.equal(numbers[:CLIPS], numbers[CLIPS:])
    torch.testing.assert_close(clip.max(dim=1).values, torch.ones(2 * CLIPS))  # a gain turns no waveform into another
    levels = waveform.std(dim=1).reshape(2, CLIPS)
    assert (levels[0] / levels[1] - 1).abs().min() > 1e-4


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_the_loss_that_is_minimised_is_nt_xent(temperature):
    model, log, waveform, picture = watch(temperature=temperature)
    z = model.train()(waveform, picture)
    expected = NTXentLoss(temperature=temperature)(z, torch.arange(CLIPS).repeat(2))
    assert log[0]["train_loss"] == pytest.approx(expected.item(), rel=1e-4)


def test_the_loss_never_sees_the_labels():
    losses = [watch(labels=labels)[1][0]["train_loss"] for labels in (np.arange(CLIPS) % 2, np.zeros(CLIPS, int))]
    assert losses[0] == losses[1]


def test_training_is_decided_by_the_seed_and_moves_the_encoder():
    wave = (3000 * rng(1).standard_normal((10, SMALL.features.samples))).astype(np.int16)
    labels = np.repeat([0, 1], 5)

    def run(seed):
        encoder = new_encoder(SMALL)
        config = StageConfig(epochs=2, batch_size=4, learning_rate=1e-3)
        clips = sound(wave, labels, SMALL.features)
        model, log = simclr.pretrain(encoder, clips, config, seed=seed, device="cpu", validation=0.4)
        assert model.encoder is encoder
        assert [np.isfinite(row[key]) for row in log for key in ("train_loss", "validation_loss")] == [True] * 4
        return model.state_dict(), [row["train_loss"] for row in log]

    (first, losses), (again, same), (_, others) = run(0), run(0), run(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert losses == same != others
    start = new_encoder(SMALL).state_dict()
    assert any(not torch.equal(start[name], first[f"encoder.{name}"]) for name in start)


def test_an_unknown_disguise_is_refused_before_the_training():
    encoder = Watched()
    clips = sound(WAVEFORMS, np.zeros(CLIPS, int), FEATURES)
    with pytest.raises(AsdError, match="no augmentation 'beard'"):
        simclr.pretrain(encoder, clips, STILL, augmentations=["beard"], device="cpu")
    assert encoder.seen == []


# --------------------------------------------------------------------------------------------------- spectra, and scores


@few
@given(seed=seeds)
def test_of_spectra_a_stretch_of_bands_and_one_of_modulations_become_the_mean(seed):
    x, mean = torch.randn(5, 1, 12, 8), torch.full((1, 12, 8), 9.0)
    hidden = (augment.mask_spectra(x, mean, rng(seed)) == 9)[:, 0].numpy()
    for row, kept, original in zip(hidden, augment.mask_spectra(x, mean, rng(seed))[:, 0], x[:, 0], strict=True):
        bands, modulations = row.all(axis=1), row.all(axis=0)
        assert (row == (bands[:, None] | modulations[None])).all()
        assert [len(runs(bands)), len(runs(modulations))] == [1, 1]
        assert 1 <= bands.sum() <= 3
        assert 1 <= modulations.sum() <= 2
        assert torch.equal(kept[~row], original[~row])


def test_of_an_axis_too_short_for_a_quarter_one_number_is_hidden():
    hidden = augment.mask_spectra(torch.zeros(50, 1, 3, 2), torch.ones(1, 3, 2), rng())[:, 0].bool()
    assert hidden.all(dim=2).sum(dim=1).tolist() == [1] * 50
    assert hidden.all(dim=1).sum(dim=1).tolist() == [1] * 50
    assert (hidden.flatten(1).float().mean(dim=0) > 0).all()  # any of them


def test_each_clip_is_scored_by_the_training_clips_of_its_own_machine():
    training, test = rng(0).normal(size=(40, 5)), rng(1).normal(size=(9, 5))
    own, asked = np.array(["fan/id_00", "fan/id_02"] * 20), np.array(["fan/id_02", "fan/id_00", "fan/id_02"] * 3)
    scores = by_machine(mahalanobis_score, (training, own), (test, asked))
    assert scores.shape == (9,)
    for i, machine in enumerate(asked):
        assert scores[i] == pytest.approx(mahalanobis_score(training[own == machine], test[i : i + 1])[0], rel=1e-9)


def test_a_machine_without_training_clips_is_refused_by_name():
    with pytest.raises(AsdError, match="no training clip of pump/id_00"):
        by_machine(mahalanobis_score, (np.eye(3), ["fan/id_00"] * 3), (np.eye(3)[:2], ["fan/id_00", "pump/id_00"]))


def test_another_number_of_names_than_embeddings_is_refused():
    with pytest.raises(AsdError, match="give one name for each clip"):
        by_machine(mahalanobis_score, (np.zeros((3, 4)), ["fan/id_00"] * 2), (np.zeros((1, 4)), ["fan/id_00"]))
