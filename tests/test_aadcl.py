"""AADCL: each of its disguises by hand, and its loss against pytorch-metric-learning and plain SimCLR."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import NTXentLoss
from torch import nn

from asdlib import augment
from asdlib.clips import Clips
from asdlib.evaluation import mahalanobis_score
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import aadcl, simclr
from asdlib.methods._task import Task, embedded
from asdlib.sound._torchaudio import torchaudio
from asdlib.spectra import SpectrumConfig
from asdlib.training import StageConfig
from tests.conftest import SMALL

RATE = 8000
FEATURES = FeatureConfig(sample_rate=RATE, seconds=1.0, n_fft=256, hop_length=128, n_mels=8, f_max=4000.0)
SHAPE = (20, 4)
ENCODER = SpectrumConfig(*SHAPE, width=8, embedding_dim=16)
SPECTRUM_DISGUISES = ["band mask", "modulation mask", "noise", "gain", "band shift"]


def rng(seed=0):
    return np.random.default_rng(seed)


def noisy(n=3, samples=RATE, *, seed=0):
    return 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(seed))


def tone(hertz, samples=RATE):
    return torch.sin(2 * math.pi * hertz * torch.arange(samples) / RATE)[None]


def loudest(x):
    """The frequency of the loudest bin, in Hz."""
    return float(np.abs(np.fft.rfft(x.numpy() * np.hanning(len(x)))).argmax()) * RATE / len(x)


def of_spectra(name, x, seed=0):
    return augment.spectrum_disguises(torch.full((1, *SHAPE), 9.0))[name](x, rng(seed))


# ------------------------------------------------------------------------------------------------------------- disguises


def test_there_are_eight_disguises_of_sound_and_five_of_spectra():
    assert list(augment.DISGUISES) == ["noise", "fade", "band mask", "time mask", "shift", "none", "stretch", "pitch"]
    assert list(augment.spectrum_disguises(torch.zeros(1, 2, 2))) == SPECTRUM_DISGUISES


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", augment.DISGUISES)
def test_a_disguise_keeps_the_shape_and_each_clip_has_its_own_as_the_generator_says(name, dtype):
    x = noisy(1).repeat(3, 1).to(dtype)
    kept, disguise = x.clone(), augment.DISGUISES[name]
    first, again, other = (disguise(x, rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(x, kept)
    assert first.shape == x.shape
    assert first.dtype == dtype
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    if name == "none":
        assert torch.equal(first, x)
        return
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, x)


@pytest.mark.parametrize("name", SPECTRUM_DISGUISES)
def test_so_does_a_disguise_of_spectra(name):
    x = torch.randn(1, 1, *SHAPE).repeat(8, 1, 1, 1)
    kept = x.clone()
    first, again, other = (of_spectra(name, x, seed) for seed in (0, 0, 1))
    assert torch.equal(x, kept)
    assert first.shape == x.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not all(torch.equal(first[0], row) for row in first[1:])
    assert all(not torch.equal(row, x[0]) for row in first)


def test_a_fade_is_that_of_torchaudio():
    x, generator = noisy(30, 400), rng(3)
    shapes = ("linear", "quarter_sine", "half_sine", "exponential", "logarithmic")
    faded, drawn = augment.fade(x, rng(3)), set()
    for before, after in zip(x, faded, strict=True):
        shape = shapes[generator.integers(5)]
        begin, end = (int(generator.integers(2, 201)) for _ in range(2))
        expected = torchaudio.transforms.Fade(begin, end, shape)(before)
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-6)
        drawn.add(shape)
    assert len(drawn) == 5


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.6, 2.0])
def test_a_clip_at_another_pace_is_that_much_shorter_and_has_its_pitch(rate):
    paced = augment.at_pace(tone(1000)[0], rate)
    assert len(paced) == round(RATE / rate)
    assert loudest(paced) == pytest.approx(1000, abs=5)
    assert paced[1000:-1000].abs().max() == pytest.approx(1, abs=0.1)


def test_a_stretch_changes_the_pace_and_not_the_pitch():
    """Of a tone that is loud in its first half only: how long it is loud says how fast it is played."""
    x = tone(1000) * (torch.arange(RATE) < RATE // 2)
    rates = 2 ** rng(5).uniform(-1, 1, 12)
    stretched = augment.stretch(x.repeat(12, 1), rng(5))
    assert rates.min() < 0.7
    assert rates.max() > 1.4
    for row, rate in zip(stretched, rates, strict=True):
        cycle = row[: min(RATE, round(RATE / rate))]
        assert (cycle.abs() > 0.1).float().sum() * np.pi / 2 > 0.4 * RATE / rate  # a sine is below 0.1 for a while
        assert loudest(row) == pytest.approx(1000, abs=10)
        if rate > 1:  # what is missing at the end is its beginning
            left = RATE - len(cycle)
            torch.testing.assert_close(row[len(cycle) :], row[:left])


def test_the_pitch_is_moved_by_so_many_semitones_and_the_pace_is_not():
    x = tone(1000) * (torch.arange(RATE) < RATE // 2)
    semitones = rng(6).uniform(-10, 10, 12)
    moved = augment.pitch(x.repeat(12, 1), rng(6))
    assert semitones.min() < -5
    assert semitones.max() > 5
    for row, by in zip(moved, semitones, strict=True):
        assert loudest(row) == pytest.approx(1000 * 2 ** (by / 12), rel=0.01)
        power = row.square()
        assert power[: RATE // 2].sum() > 0.9 * power.sum()


def test_noise_is_within_six_decibels_of_the_clip_and_masks_are_a_tenth():
    x = noisy(40)
    added = augment.DISGUISES["noise"](x, rng()) - x
    ratio = 10 * (x.square().mean(dim=1) / added.square().mean(dim=1)).log10()
    assert -6.3 < ratio.min() < -4
    assert 4 < ratio.max() < 6.3
    silent = (augment.DISGUISES["time mask"](x, rng()) == 0).float().mean(dim=1)
    assert silent.min() > 0.049
    assert silent.max() < 0.101
    lost = 1 - augment.DISGUISES["band mask"](x, rng()).square().sum(dim=1) / x.square().sum(dim=1)
    assert lost.min() > 0.03
    assert lost.max() < 0.13


def test_of_a_spectrum_one_stretch_becomes_the_mean():
    x = torch.randn(30, 1, *SHAPE)
    for name, size, other in (("band mask", 20, 2), ("modulation mask", 4, 1)):
        hidden = (of_spectra(name, x) == 9)[:, 0]
        whole, part = hidden.all(dim=other), hidden.any(dim=other)
        assert torch.equal(whole, part)  # all of a band, or of a modulation
        assert whole.sum(dim=1).min() >= 1
        assert whole.sum(dim=1).max() == size // 4
        assert (whole.int().diff(dim=1).abs().sum(dim=1) <= 2).all()  # in a row
        assert torch.equal(of_spectra(name, x)[:, 0][~hidden], x[:, 0][~hidden])


def test_a_gain_is_one_number_for_all_of_a_spectrum_and_a_shift_moves_the_bands():
    x = torch.randn(50, 1, *SHAPE)
    change = (of_spectra("gain", x) - x).flatten(1)
    torch.testing.assert_close(change, change[:, :1].expand_as(change), rtol=0, atol=1e-5)
    assert 0.5 < change.abs().max() <= 0.6001
    seen = set()
    for before, after in zip(x[:, 0], of_spectra("band shift", x)[:, 0], strict=True):
        fitting = [by for by in range(-20, 21) if torch.equal(after, before[(torch.arange(20) - by).clip(0, 19)])]
        assert len(fitting) == 1
        seen.add(fitting[0])
    assert seen == {-2, -1, 1, 2}


def test_noise_adds_power_to_a_spectrum():
    x = torch.randn(200, 1, *SHAPE)
    added = 10 ** of_spectra("noise", x).double() - 10 ** x.double()
    assert (added > -1e-6).all()
    decibels = 10 * ((10 ** x.double()).mean(dim=(1, 2, 3)) / added.mean(dim=(1, 2, 3))).log10()
    assert abs(float(decibels.mean())) < 0.7
    assert 5 < decibels.max() < 8
    assert -8 < decibels.min() < -5


def test_each_clip_wears_the_disguise_of_its_number():
    x = torch.arange(12.0).reshape(6, 2)
    some = [lambda rows, _, k=k: rows + 100 * k for k in range(3)]
    which = np.array([2, 0, 1, 2, 0, 2])
    y = augment.disguise_each(x, which, some, rng())
    torch.testing.assert_close(y, x + 100 * torch.from_numpy(which)[:, None].float())


# ----------------------------------------------------------------------------------------------------------------- loss


class Watched(nn.Module):
    """An encoder that keeps what it is shown."""

    embedding_dim = 6

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(FEATURES.samples, 6)
        self.seen = []

    def forward(self, *inputs):
        self.seen.append(inputs)
        return self.layer(inputs[0])


def heard(n=24):
    waves = np.round(3000 * rng().standard_normal((n, FEATURES.samples))).astype(np.int16)
    return Clips((waves, np.zeros((n, 8, FEATURES.frames), np.float16)), ["fan/id_00"] * n, FEATURES)


@pytest.mark.parametrize("weight", [0.1, 2.0])
def test_the_loss_is_nt_xent_and_a_tenth_of_the_cross_entropy_of_the_names(weight):
    clips, torch_inputs = heard(), torch.from_numpy(heard().waveforms).float() / 2**15
    torch.manual_seed(0)
    model = aadcl.DisguiseModel(Watched(), 8)
    view = aadcl.named_view(clips)
    drawn = []

    def watched(x, generator):
        drawn.append(view(x, generator))
        return drawn[-1]

    loss = aadcl.naming_objective(model, (torch_inputs,), torch.zeros(24), rng(4), view=watched, weight=weight, temperature=0.2)
    (waves, mels), which = model.encoder.seen[0], torch.cat([parts[2] for parts in drawn])
    assert len(drawn) == 2
    torch.testing.assert_close(mels, log_mel(waves, FEATURES))
    z, logits = model(waves, mels)
    contrast = NTXentLoss(temperature=0.2)(z, torch.arange(24).repeat(2))
    log_p = logits.detach().double().numpy() - np.logaddexp.reduce(logits.detach().double().numpy(), axis=1, keepdims=True)
    names = -log_p[np.arange(48), which].mean()
    assert loss.item() == pytest.approx(contrast.item() + weight * names, rel=1e-5)
    assert set(which.tolist()) == set(range(8))
    assert not torch.equal(which[:24], which[24:])
    plain = torch.cat([torch_inputs, torch_inputs])
    assert torch.equal((waves == plain).all(dim=1), which == list(augment.DISGUISES).index("none"))


def test_without_the_second_head_it_is_simclr_with_the_same_views():
    clips, x = heard(), torch.from_numpy(heard().waveforms).float() / 2**15
    torch.manual_seed(0)
    model = aadcl.DisguiseModel(Watched(), 8)
    view = aadcl.named_view(clips)

    class Projected(nn.Module):
        def forward(self, *inputs):
            return model.head(model.encoder(*inputs))

    def gradients(loss):
        model.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in [*model.encoder.parameters(), *model.head.parameters()]]

    ours = aadcl.naming_objective(model, (x,), torch.zeros(24), rng(4), view=view, weight=0.0)
    theirs = simclr.two_view_loss(Projected(), x, lambda y, generator: view(y, generator)[:2], rng(4))
    assert torch.equal(ours, theirs)
    assert all(torch.equal(a, b) for a, b in zip(gradients(ours), gradients(theirs), strict=True))
    other = aadcl.naming_objective(model, (x,), torch.zeros(24), rng(4), view=view)
    assert not torch.equal(other, theirs)


def test_an_untrained_head_names_disguises_by_chance_and_a_trained_one_better():
    wave = noisy(32, SMALL.features.samples).numpy()
    clips = Clips(((2**15 * wave).astype(np.int16), wave), ["fan/id_00"] * 32, SMALL.features)
    model = aadcl.untrained(Task.of(clips, encoder=SMALL.encoder)).eval()
    with torch.no_grad():
        *inputs, which = aadcl.named_view(clips)(torch.from_numpy(wave), rng())
        assert F.cross_entropy(model(*inputs)[1], which).item() == pytest.approx(math.log(8), abs=0.3)
    known = spectra(96)
    trained = aadcl.train(known, budget=StageConfig(20, 32, 3e-3), encoder=ENCODER, weight=1.0, device="cpu")
    losses = []
    for network in (aadcl.untrained(Task.of(known, encoder=ENCODER)).eval(), trained):
        with torch.no_grad():
            x, which = aadcl.named_view(known)(torch.from_numpy(spectra(200, seed=1).inputs[0]), rng())
            losses.append(F.cross_entropy(network(x)[1], which).item())
    assert losses[0] == pytest.approx(math.log(5), abs=0.5)
    assert losses[1] < 0.8 * math.log(5)


def spectra(n, *, seed=0):
    pattern = rng(9).normal(size=SHAPE)
    x = pattern + 0.3 * rng(seed).normal(size=(n, 1, *SHAPE))
    return Clips((x.astype(np.float32),), ["fan/id_00", "fan/id_02"] * (n // 2))


def test_scored_are_undisguised_embeddings_of_the_encoder_by_the_mahalanobis_distance():
    known, asked = spectra(40), spectra(6, seed=1)
    model = aadcl.train(known, budget=StageConfig(2, 16, 1e-3), encoder=ENCODER, device="cpu")
    rows, machines = embedded(model, known, device="cpu")
    with torch.no_grad():
        np.testing.assert_allclose(rows, model.encoder(torch.from_numpy(known.inputs[0])), rtol=1e-4, atol=1e-5)
        new = model.encoder(torch.from_numpy(asked.inputs[0])).numpy()
    scores = aadcl.score(model, known, asked, device="cpu")
    assert next(iter(scores)) == "mahalanobis"
    for i, machine in enumerate(asked.machines):
        expected = mahalanobis_score(rows[machines == machine], new[i : i + 1])[0]
        assert scores["mahalanobis"][i] == pytest.approx(expected, rel=1e-3)
