"""Separation by activity: what hours do to twins, what a mask hides, the losses by hand, and the autoencoder without either."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import Task, _separator, activity_guided, autoencoder
from asdlib.training import StageConfig, fit

FEATURES = FeatureConfig(seconds=1.0, n_mels=32)
MACHINES = ("fan/id_00", "fan/id_02", "pump/id_00")
TYPES = [name.split("/")[0] for name in MACHINES]


def twins(count, *, seed):
    """Clips (count, samples) that sound all alike: one hum in noise."""
    rng, time = np.random.default_rng(seed), np.arange(FEATURES.samples) / FEATURES.sample_rate
    hum = sum(np.sin(2 * np.pi * (400 * k * time + rng.uniform(size=(count, 1)))) for k in range(1, 6))
    return (0.03 * hum + 0.03 * rng.standard_normal((count, FEATURES.samples))).astype(np.float32)


def hours_of(*stretches):
    """When sources are on, (S, frames), of the first and the last frame of each."""
    hours = torch.zeros(len(stretches), FEATURES.frames)
    for row, (first, last) in zip(hours, stretches, strict=True):
        row[first:last] = 1
    return hours


@pytest.fixture(scope="module")
def separator():
    """Trained on twins, whose hours are drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _separator.Separator(FEATURES)
    clips = Clips((twins(48, seed=0),), np.repeat(MACHINES[:2], 24), FEATURES)
    objective = partial(_separator.separation_objective, types=["fan", "fan"], frames=FEATURES.frames)
    fit(network, objective, clips, StageConfig(12, 16, 3e-3), stage="separator", validation=0.0, device="cpu")
    return network


@pytest.mark.parametrize("hop", [1000, 1024])
def test_long_hops_leave_spectra_that_can_be_put_together_again(hop):
    features = FeatureConfig(seconds=1.0, n_mels=32, hop_length=hop)
    network = _separator.Separator(features)
    x = torch.from_numpy(twins(2, seed=3))
    spectrum = _separator.spectrum_of(x, network.n_fft, network.hop)
    window = torch.hann_window(network.n_fft)
    again = torch.istft(spectrum, network.n_fft, network.hop, window=window, length=x.shape[1])
    torch.testing.assert_close(again, x, atol=1e-5, rtol=0)
    assert network(x, torch.ones(2, 2, features.frames)).abs().max() < 10


def test_clips_of_fewer_than_five_frames_are_refused_before_anything_is_trained():
    with pytest.raises(AsdError, match="clips of 4 frames are too short: the network reads 5 at a time"):
        activity_guided.untrained(Task(MACHINES, FeatureConfig(seconds=0.1, n_mels=32)))


@pytest.fixture(scope="module")
def model():
    """Untrained, with norms that are not those of the beginning."""
    model = activity_guided.untrained(Task(MACHINES, FEATURES))
    torch.manual_seed(1)
    for module in model.networks.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
    return model.eval()


def gains(separator, mixture, hours, parts):
    """By how many dB each sound is nearer to what it should be than the mixture is."""
    with torch.no_grad():
        sounds = separator(mixture, hours)
    return _separator.sdr(sounds, parts) - _separator.sdr(mixture[:, None].expand_as(parts), parts)


# --------------------------------------------------------------------------------------------------------------- separator


@pytest.mark.parametrize("stretches", [((0, 14), (18, 32)), ((0, 8), (8, 32)), ((20, 32), (4, 16))])
def test_twins_whom_only_their_hours_tell_apart_are_taken_apart(separator, stretches):
    sounds = torch.from_numpy(twins(16, seed=9)).view(8, 2, -1)
    hours = hours_of(*stretches).repeat(8, 1, 1)
    mixture, parts = _separator.mixture_of(sounds, hours)
    gain = gains(separator, mixture, hours, parts)
    assert gain.mean() > 10
    assert gain.min() > 8
    # Told the hours of the other, it gives the other.
    assert gains(separator, mixture, hours.flip(1), parts.flip(1)).mean() > 10
    assert gains(separator, mixture, hours.flip(1), parts).mean() < 0


def test_hours_that_are_swapped_swap_the_sounds_whatever_was_learned():
    torch.manual_seed(2)
    network = _separator.Separator(FEATURES).eval()
    mixture, hours = torch.randn(3, FEATURES.samples), torch.randint(2, (3, 3, FEATURES.frames)).float()
    order = [2, 0, 1]
    with torch.no_grad():
        sounds = network(mixture, hours)
        torch.testing.assert_close(network(mixture, hours[:, order]), sounds[:, order], rtol=1e-4, atol=1e-6)
    assert sounds.shape == (3, 3, FEATURES.samples)
    assert not torch.allclose(sounds[:, 0], sounds[:, 1], rtol=1e-2, atol=1e-3)


def test_the_hours_are_told_twice():
    torch.manual_seed(2)
    network = _separator.Separator(FEATURES).eval()
    mixture, hours = torch.randn(2, FEATURES.samples), hours_of((0, 9), (5, 32)).repeat(2, 1, 1)
    with torch.no_grad():
        whole = network(mixture, hours)
        for layer in (network.told, network.again):
            kept = layer.weight.clone()
            layer.weight.zero_()
            assert (network(mixture, hours) - whole).abs().max() > 1e-4
            layer.weight.copy_(kept)
        network.again.weight.zero_()  # without the second the sources are all alike
        torch.testing.assert_close(*network(mixture, hours).unbind(1))


def test_a_machine_alone_is_left_as_it_is(separator):
    """Its log-mel, and so its score, hardly changes; the other, which is off, is silent."""
    alone = torch.from_numpy(twins(8, seed=4))
    with torch.no_grad():
        own, other = separator(alone, activity_guided.alone(8, FEATURES.frames)).unbind(1)
    assert _separator.sdr(own, alone).min() > 10
    assert (other.square().mean() / alone.square().mean()).sqrt() < 0.3
    assert (log_mel(own, FEATURES) - log_mel(alone, FEATURES)).abs().mean() < 2  # dB


def test_the_score_of_a_machine_alone_is_close_to_that_of_its_clean_sound(separator):
    """By an autoencoder of clean sounds: nearer than the score of a fault, a hum that is half a tone lower."""
    known, asked = (torch.from_numpy(twins(count, seed=seed)) for count, seed in ((48, 5), (16, 6)))
    model = activity_guided.untrained(Task(MACHINES[:2], FEATURES))
    model.separator = separator
    mels = log_mel(known, FEATURES)
    clips = Clips((mels.numpy(), np.ones((48, FEATURES.frames), np.float32)), [MACHINES[0]] * 48, FEATURES)
    stage = StageConfig(20, 8, 3e-3)
    fit(model.networks[0], activity_guided.masked_objective, clips, stage, stage="masked", validation=0.0, device="cpu")
    model.eval()
    lower = asked * torch.cos(2 * np.pi * 25 * torch.arange(FEATURES.samples) / FEATURES.sample_rate)
    with torch.no_grad():
        rows = model.embed(asked, log_mel(asked, FEATURES))
        faulty = model.embed(lower, log_mel(lower, FEATURES))
    separated, clean = rows.T
    assert (separated - clean).abs().mean() < 0.5 * (faulty[:, 1] - clean).mean()


# ---------------------------------------------------------------------------------------------------------------- mixtures


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), frames=st.integers(1, 70), seed=st.integers(0, 99))
def test_the_first_of_two_machines_is_on_in_every_clip(count, frames, seed):
    hours = _separator.drawn_hours(np.random.default_rng(seed), count, frames)
    assert (hours.shape, set(np.unique(hours)) <= {0, 1}) == ((count, 2, frames), True)
    assert hours[:, 0].any(axis=1).all()


def test_hours_are_of_all_kinds():
    hours = _separator.drawn_hours(np.random.default_rng(0), 2000, 32)
    always = hours.all(axis=2).mean(axis=0)
    assert 0.27 < always[0] < 0.4
    assert 0.27 < always[1] < 0.4
    assert 0.12 < (~hours.any(axis=2))[:, 1].mean() < 0.3
    changes = np.abs(np.diff(hours, axis=2)).sum(axis=2)
    assert changes.max() >= 3
    inside = [np.diff(np.flatnonzero(np.diff(row))) for row in hours.reshape(-1, 32)]
    assert min(np.concatenate(inside)) == 4  # an eighth


def test_a_mixture_is_the_sum_of_what_is_on():
    sounds = torch.randn(2, 2, 31 * 512)
    mixture, parts = _separator.mixture_of(sounds, hours_of((0, 10), (20, 32)).repeat(2, 1, 1))
    torch.testing.assert_close(parts.sum(dim=1), mixture)
    frame = sounds.shape[2] / 31
    first, last = parts.unbind(1)
    torch.testing.assert_close(first[:, : int(9 * frame)], sounds[:, 0, : int(9 * frame)])
    assert (first[:, int(10 * frame) + 1 :] == 0).all()
    assert (last[:, : int(19 * frame) - 1] == 0).all()
    middle = int(9.5 * frame)  # half way down
    torch.testing.assert_close(first[:, middle], 0.5 * sounds[:, 0, middle], rtol=5e-3, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_a_partner_is_another_machine_of_the_type_where_there_is_one(labels, seed):
    types, labels = ["fan", "fan", "pump", "pump", "valve"], np.array(labels)
    partners = _separator.partners_of(labels, types, np.random.default_rng(seed))
    for label, partner in zip(labels, labels[partners], strict=True):
        others = set(labels.tolist()) - {label}
        same = {other for other in others if types[other] == types[label]}
        assert partner in (same or others or {label})


# ------------------------------------------------------------------------------------------------------------------ losses


def test_the_weighted_sdr_by_hand():
    mixture, truth = torch.tensor([1.0, 1.0, 2.0]), torch.tensor([1.0, 0.0, 0.0])
    found = _separator.weighted_sdr(torch.tensor([1.0, 1.0, 0.0]), truth, mixture)
    # |x|² = 1, |n|² = 5; cosines 1/√2 of [1, 1, 0] with [1, 0, 0] and 2/√5 of [0, 0, 2] with [0, 1, 2].
    assert found.item() == pytest.approx(-(1 / 6) / 2**0.5 - (5 / 6) * 2 / 5**0.5)
    sounds = torch.randn(4, 3, 50)
    whole = sounds.sum(dim=1, keepdim=True)
    torch.testing.assert_close(_separator.weighted_sdr(sounds, sounds, whole), -torch.ones(4, 3))
    silent = torch.zeros(1, 50)  # nothing was on: what is not taken counts
    assert _separator.weighted_sdr(silent, silent, sounds[0, :1]).item() == pytest.approx(-1)
    assert _separator.weighted_sdr(sounds[0, :1], silent, sounds[0, :1]).item() == pytest.approx(0)


def test_the_loss_is_0_of_what_is_right_and_the_sum_of_both_of_what_is_not():
    parts, sizes = torch.randn(2, 2, FEATURES.samples), (512, 256)
    mixture = parts.sum(dim=1)
    assert _separator.separation_loss(parts, parts, mixture, *sizes).item() == pytest.approx(0, abs=1e-5)
    half = _separator.separation_loss(0.5 * parts, parts, mixture, *sizes).item()
    power = _separator.spectrum_of(parts, *sizes).abs().square().mean().item()
    cosine = torch.nn.functional.cosine_similarity(parts.flip(1), mixture[:, None] - 0.5 * parts, dim=2)
    share = parts.square().sum(dim=2) / parts.square().sum(dim=(1, 2))[:, None]
    assert half == pytest.approx(power / 4 + 10 * (1 - (share + (1 - share) * cosine).mean().item()), rel=1e-4)


def test_the_ratio_in_decibels():
    truth = torch.ones(1, 100)
    assert _separator.sdr(1.1 * truth, truth).item() == pytest.approx(20, abs=1e-3)


# ------------------------------------------------------------------------------------------------------------ masked score


def test_with_a_mask_of_ones_it_is_the_plain_autoencoder(model):
    mels = np.random.default_rng(0).normal(-30, 9, (6, 32, FEATURES.frames)).astype(np.float32)
    plain = autoencoder.TypeAutoencoders(dict(zip(model.types, model.networks, strict=True)), context=5, machines=MACHINES)
    clips = Clips((np.zeros((6, 1), np.int16), mels), np.repeat(MACHINES, 2), FEATURES)
    expected = autoencoder.score(plain, clips, clips, device="cpu")["reconstruction"]
    with torch.no_grad():
        found = model.errors(torch.from_numpy(mels), torch.ones(6, FEATURES.frames))
    own = [model.types.index(kind) for kind in clips.types]
    np.testing.assert_allclose(found[np.arange(6), own], expected, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_score_is_blind_to_what_was_off_and_hears_what_was_on(model, seed):
    rng = np.random.default_rng(seed)
    mels = torch.from_numpy(rng.normal(-30, 9, (3, 32, FEATURES.frames)).astype(np.float32))
    mask = torch.from_numpy(rng.integers(0, 2, (3, FEATURES.frames)).astype(np.float32))
    mask[:, 4] = 1
    loud = 20 * torch.randn_like(mels)
    with torch.no_grad():
        score = model.errors(mels, mask)
        torch.testing.assert_close(model.errors(mels + loud * (1 - mask[:, None]), mask), score, rtol=0, atol=0)
        assert ((model.errors(mels + loud * mask[:, None], mask) - score).abs() > 1e-3).all()


def test_the_masked_score_by_hand():
    """Of a network that gives 3 everywhere: (0·1 - 3)² would count where it is off, and does not."""

    class Three(nn.Module):
        def forward(self, x):
            return torch.full_like(x, 3.0)

    mels, mask = torch.zeros(1, 2, 7), torch.tensor([[1.0, 1, 0, 0, 0, 1, 1]])
    mels[0, :, 0] = 5
    # Three stacks: frames 0-4, 1-5, 2-6. Of frames that are on: 0 and 1 | 1 and 5 | 5 and 6, each two bands.
    found = activity_guided.masked_errors(Three(), mels, mask)
    assert found.item() == pytest.approx((4 + 9 + 9 + 9 + 9 + 9) / 6)
    assert activity_guided.masked_errors(Three(), mels, torch.zeros(1, 7)).item() == 0


def test_scores_of_a_mixture_are_those_of_its_sounds(model):
    mixture, hours = torch.randn(2, FEATURES.samples) / 20, hours_of((0, 12), (16, 30)).repeat(2, 1, 1)
    with torch.no_grad():
        errors = activity_guided.guided_errors(model, mixture, hours)
        whole = activity_guided.guided_errors(model, mixture, hours, masked=False)
        for source in range(2):
            mels = log_mel(model.separator(mixture, hours)[:, source], FEATURES)
            torch.testing.assert_close(errors[:, source], model.errors(mels, hours[:, source]))
            torch.testing.assert_close(whole[:, source], model.errors(mels, torch.ones_like(hours[:, source])))
    assert errors.shape == (2, 2, len(model.types))


def test_a_clip_without_hours_is_a_machine_alone(model):
    waves = torch.from_numpy(twins(3, seed=1))
    mels = log_mel(waves, FEATURES)
    with torch.no_grad():
        rows = model.embed(waves, mels)
        guided = activity_guided.guided_errors(model, waves, activity_guided.alone(3, FEATURES.frames))[:, 0]
        plain = model.errors(mels, torch.ones(3, FEATURES.frames))
    torch.testing.assert_close(rows, torch.cat([guided, plain], dim=1))
    judges = activity_guided.judge(model, rows.numpy(), MACHINES.index("pump/id_00"))
    assert tuple(judges) == activity_guided.SCORERS
    np.testing.assert_allclose(judges["guided"](rows.numpy()), guided[:, 1])
    np.testing.assert_allclose(judges["plain"](rows.numpy()), plain[:, 1])


def test_what_the_autoencoders_learn_from(separator):
    """Each clip twice, out of a mixture with its mask, and alone with none."""
    clips = Clips((twins(20, seed=2),), np.repeat(MACHINES[:2], 10), FEATURES)
    heard = activity_guided.separated(separator, clips, ["fan", "fan"], seed=0, device="cpu")
    mels, masks = heard.inputs
    assert (mels.shape, masks.shape) == ((40, 32, FEATURES.frames), (40, FEATURES.frames))
    assert heard.machines.tolist() == [*clips.machines, *clips.machines]
    assert (masks[20:] == 1).all()
    assert 0 < masks[:20].mean() < 1
    assert mels.dtype == np.float16
    on = masks.astype(bool)
    levels = mels.astype(np.float32).mean(axis=1)
    assert levels[:20][on[:20]].mean() > levels[:20][~on[:20]].mean() + 6  # dB: off is quiet


def test_it_reads_sound_only():
    spectra = Clips((np.zeros((4, 1, 12, 4), np.float32),), ["a/0", "a/0", "a/1", "a/1"])
    with pytest.raises(AsdError, match="reads sound, and these clips are spectra: choose another method"):
        activity_guided.train(spectra, budget=StageConfig(1))
