"""Patches that were pasted: where they come from, how large they are, and who sees them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import auc
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import Task, pasted_patches
from asdlib.methods._task import embedded
from asdlib.pieces import Pieces
from asdlib.spectra import SpectrumConfig
from asdlib.spectrogram_encoder import SpectrogramConfig
from asdlib.training import StageConfig
from tests.conftest import SMALL

TINY = FeatureConfig(sample_rate=8000, seconds=0.5, n_fft=256, hop_length=128, n_mels=16, f_max=4000.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def sound(n, *, seed=0):
    """A hum in noise; that of fans is lower."""
    time = np.arange(TINY.samples) / TINY.sample_rate
    hertz = np.resize([500, 2500], n)[:, None]
    hum = 0.1 * np.sin(2 * np.pi * (hertz * time + rng(seed).uniform(size=(n, 1))))
    waves = np.round(2**15 * (hum + 0.02 * rng(seed).normal(size=(n, TINY.samples)))).astype(np.int16)
    mels = log_mel(waves.astype(np.float32) / 2**15, TINY).numpy()
    return Clips((waves, mels), np.resize(["fan/id_00", "pump/id_02"], n), TINY)


def numbered(n, rows, columns):
    """Pictures whose every number says which clip, row and column it is of."""
    clip, row, column = np.meshgrid(range(n), range(rows), range(columns), indexing="ij")
    return torch.from_numpy(10_000.0 * clip + 100 * row + column)


def test_of_a_single_spectrum_nothing_is_said_to_be_pasted():
    """Its own patch, where it was, is no patch; a moved one of a single picture is one."""
    x = numbered(1, 12, 8)
    of_spectra, of_sound = (pasted_patches.patch_view(frames=None, moved=moved) for moved in (False, True))
    for seed in range(20):
        y, which = of_spectra(x, rng(seed))
        assert torch.equal(x, y)
        assert which.tolist() == [0]
    assert any(of_sound(x, rng(seed))[1].item() for seed in range(20))


@pytest.mark.parametrize("moved", [True, False])
def test_a_patch_is_a_rectangle_of_one_other_clip_from_its_own_bands(moved):
    x = numbered(8, 50, 60)
    y, before, elsewhere = pasted_patches.pasted(x, rng(), moved=moved), x.clone(), 0
    assert torch.equal(x, before)
    for i in range(8):
        rows, columns = torch.nonzero(y[i] != x[i], as_tuple=True)
        top, left = rows.min(), columns.min()
        high, long = rows.max() - top + 1, columns.max() - left + 1
        assert len(rows) == high * long  # it is full
        patch = y[i, top : top + high, left : left + long]
        assert len(set((patch // 10_000).flatten().tolist()) - {i}) == 1
        assert not (patch // 10_000 == i).any()
        assert torch.equal(patch % 10_000 // 100, rows.view(high, long))
        sources = patch % 100
        assert torch.equal(sources - sources[0, 0], torch.arange(long).expand(high, long))
        elsewhere += int(sources[0, 0] != left)
    assert (elsewhere > 4) if moved else (elsewhere == 0)


def test_patches_have_the_sizes_and_shapes_that_they_should():
    x = numbered(400, 100, 100)
    y = pasted_patches.pasted(x, rng(), moved=True)
    differ = y // 10_000 != x // 10_000
    high, long = differ.any(dim=2).sum(dim=1).double(), differ.any(dim=1).sum(dim=1).double()
    share, shape = high * long / 10_000, high / long
    assert share.min() > 0.017
    assert share.max() < 0.16
    assert share.mean().item() == pytest.approx(0.085, abs=0.005)
    assert shape.min() > 1 / 4.6
    assert shape.max() < 4.6
    assert shape.log().mean().item() == pytest.approx(0, abs=0.1)
    place = differ.any(dim=2).double().argmax(dim=1) / (100 - high)
    assert place.mean().item() == pytest.approx(0.5, abs=0.05)  # anywhere


def test_a_single_clip_has_no_other_and_stays_what_it_is():
    x = numbered(1, 10, 10)
    assert torch.equal(pasted_patches.pasted(x, rng(), moved=False), x)


def test_half_of_the_clips_have_a_patch_and_the_answer_says_which():
    x = numbered(400, 10, 12)[:, None]
    y, which = pasted_patches.patch_view(frames=None, moved=False)(x, rng())
    assert y.shape == x.shape
    assert torch.equal((y != x).flatten(1).any(dim=1), which.bool())
    assert which.double().mean().item() == pytest.approx(0.5, abs=0.06)
    again, other = (pasted_patches.patch_view(frames=None, moved=False)(x, rng(seed))[0] for seed in (0, 1))
    assert torch.equal(again, y)
    assert not torch.equal(other, y)


def test_pieces_are_cut_before_anything_is_pasted_so_that_a_patch_is_seen():
    x, view = numbered(300, 10, 40), pasted_patches.patch_view(frames=15, moved=True)
    starts = set()
    for seed in range(30):
        y, which = view(x, rng(seed))
        assert y.shape == (300, 10, 15)
        whole = y[which == 0]
        starts |= set((whole[:, :, 0] % 100).unique().tolist())
        assert (whole[:, :, 0] % 100).unique().numel() == 1
        pasted = y[which == 1]
        assert (pasted // 10_000 != (pasted // 10_000).flatten(1).mode(dim=1)[0][:, None, None]).any(dim=(1, 2)).all()
    assert min(starts) < 4
    assert max(starts) > 21


def test_the_loss_is_the_cross_entropy_of_two_views_and_waveforms_do_not_count():
    clips, seen = sound(8), []
    model = pasted_patches.untrained(Task.of(clips, encoder=SMALL.encoder)).eval()
    waves, mels = (torch.from_numpy(x).float() for x in clips.inputs)
    model.register_forward_pre_hook(lambda _, given: seen.append(given))
    loss = pasted_patches.patch_objective(model, (waves, mels), torch.zeros(8), rng(3))
    _, pictures = seen[0]
    assert pictures.shape == (16, 16, TINY.frames)
    which = (pictures != mels.repeat(2, 1, 1)).flatten(1).any(dim=1)
    assert 0 < which.sum() < 16
    p = torch.sigmoid(model(torch.zeros(16, TINY.samples), pictures)).double()
    torch.testing.assert_close(loss.double(), -torch.where(which, p, 1 - p).log().mean(), rtol=1e-4, atol=1e-6)


def test_untrained_it_does_not_know_and_trained_it_finds_patches_in_clips_that_it_has_not_seen():
    known, fresh = sound(64), sound(32, seed=1)
    untrained = pasted_patches.untrained(Task.of(known, encoder=SMALL.encoder)).train()
    waves, mels = (torch.from_numpy(x).float() for x in fresh.inputs)
    start = pasted_patches.patch_objective(untrained, (waves, mels), torch.zeros(32), rng())
    assert start.item() == pytest.approx(math.log(2), abs=0.25)
    model = pasted_patches.train(known, budget=StageConfig(40, 16, 5e-3), encoder=SMALL.encoder, device="cpu")
    worn = mels.clone()
    worn[:, 4:12, 10:22] = mels.roll(1, 0)[:, 4:12, 10:22]  # of the other machine
    with torch.no_grad():
        logits = torch.cat([model(waves, mels), model(waves, worn)]).numpy()
    assert auc(np.repeat([0, 1], 32), logits) > 0.85


def test_scores_are_the_log_odds_and_rise_where_something_was_pasted():
    clips = sound(12)
    model = pasted_patches.train(clips, budget=StageConfig(2, 8, 1e-3), encoder=SMALL.encoder, device="cpu")
    scores = pasted_patches.score(model, clips, clips, device="cpu")
    assert tuple(scores) == pasted_patches.SCORERS
    with torch.no_grad():
        logits = model(*(torch.from_numpy(x).float() for x in clips.inputs))
        rows = torch.from_numpy(embedded(model, clips, device="cpu")[0])
    np.testing.assert_allclose(scores["pasted"], logits.numpy(), rtol=1e-3, atol=1e-4)
    odds = torch.sigmoid(model.pasted(rows)).detach().double().flatten()
    np.testing.assert_allclose(scores["pasted"], (odds / (1 - odds)).log(), rtol=1e-3, atol=1e-4)


def test_a_network_that_hears_no_log_mel_is_refused():
    with pytest.raises(AsdError, match="the sizes of the encoder spectrogram do not fit the network of this method"):
        pasted_patches.untrained(Task(("a/0",), TINY, encoder=SpectrogramConfig()))


def test_long_clips_are_seen_in_pieces_and_spectra_as_a_whole():
    clips = sound(12)
    model = pasted_patches.train(clips, budget=StageConfig(1, 6), encoder=SMALL.encoder, window=0.25, device="cpu")
    assert isinstance(model.encoder, Pieces)
    assert np.isfinite(pasted_patches.score(model, clips, clips, device="cpu")["pasted"]).all()
    x = torch.from_numpy(rng().normal(size=(6, 1, 12, 4))).float()
    network = pasted_patches.untrained(Task(("a/0",), None, (12, 4), encoder=SpectrumConfig(12, 4, width=8))).eval()
    loss = pasted_patches.patch_objective(network, (x,), torch.zeros(6), rng())
    assert torch.isfinite(loss)
    assert F.softplus(network(x)).shape == (6,)
