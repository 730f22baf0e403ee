"""Which disguise is it? By chance before training, better after it, and the same answer in any company."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asdlib import augment
from asdlib.clips import Clips
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import aadcl, transform_classifier
from asdlib.methods._task import Task, embedded
from asdlib.methods.transform_classifier import DisguiseClassifier
from asdlib.training import StageConfig
from tests.conftest import SMALL

TINY = FeatureConfig(sample_rate=8000, seconds=0.25, n_fft=256, hop_length=128, n_mels=8, f_max=4000.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def sound(n, features=TINY, *, seed=0):
    """A hum in noise."""
    time = np.arange(features.samples) / features.sample_rate
    hum = 0.1 * np.sin(2 * np.pi * (600 * time + rng(seed).uniform(size=(n, 1))))
    waves = np.round(2**15 * (hum + 0.02 * rng(seed).normal(size=(n, features.samples)))).astype(np.int16)
    mels = log_mel(waves.astype(np.float32) / 2**15, features).numpy()
    return Clips((waves, mels), ["fan/id_00", "pump/id_02"] * (n // 2), features)


class Known(nn.Module):
    """An encoder whose answers are a plain function of the waveform."""

    embedding_dim = 3

    def forward(self, waves, mels):
        assert mels.shape[1] == 8
        return torch.stack([waves.mean(dim=1), waves.std(dim=1), mels.mean(dim=(1, 2)) / 50], dim=1)


def test_untrained_it_is_as_surprised_as_by_a_throw_of_a_die():
    clips = sound(8)
    model = transform_classifier.untrained(Task.of(clips, encoder=SMALL.encoder)).eval()
    assert model.embedding_dim == 8
    scores = transform_classifier.score(model, clips, clips, device="cpu")["surprise"]
    assert scores.mean() == pytest.approx(math.log(8), abs=0.3)


def test_trained_it_names_the_disguises_of_clips_that_it_has_not_seen():
    known, fresh = sound(64), sound(16, seed=1)
    model = transform_classifier.train(known, budget=StageConfig(16, 32, 5e-3), encoder=SMALL.encoder, device="cpu")
    waves = torch.from_numpy(fresh.waveforms).float().repeat(8, 1) / 2**15
    with torch.no_grad():
        *worn, which = aadcl.named_view(known)(waves, rng())
        right = (model(*worn).argmax(dim=1) == which).float().mean().item()
    assert right > 3 / 8  # three times what chance would
    assert transform_classifier.score(model, known, fresh, device="cpu")["surprise"].mean() < 0.8 * math.log(8)


def test_the_score_is_the_mean_surprise_at_eight_known_disguises_by_hand():
    torch.manual_seed(0)
    model, clips = DisguiseClassifier(Known(), TINY).eval(), sound(4)
    waves = torch.from_numpy(clips.waveforms).float() / 2**15
    expected = np.zeros((4, 8))
    for i in range(4):
        for k, disguise in enumerate(augment.DISGUISES.values()):
            worn = disguise(waves[i : i + 1], rng(k))
            with torch.no_grad():
                p = model.namer(Known()(worn, log_mel(worn, TINY))).double().softmax(dim=1)[0, k]
            expected[i, k] = -math.log(p)
    rows, _ = embedded(model, clips, device="cpu")
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
    scores = transform_classifier.score(model, clips, clips, device="cpu")["surprise"]
    np.testing.assert_allclose(scores, expected.mean(axis=1), rtol=1e-4)


def test_a_row_is_the_same_in_any_company_and_each_time():
    clips = sound(6)
    model = transform_classifier.untrained(Task.of(clips, encoder=SMALL.encoder)).eval()
    rows, _ = embedded(model, clips, device="cpu")
    np.testing.assert_array_equal(rows, embedded(model, clips, device="cpu")[0])
    order = np.array([4, 1])
    np.testing.assert_allclose(embedded(model, clips.only(order), device="cpu")[0], rows[order], rtol=1e-4, atol=1e-5)
    assert len(np.unique(rows.round(6), axis=0)) == 6


def test_the_smallest_surprises_are_no_zeros():
    model = DisguiseClassifier(Known(), TINY).eval()
    with torch.no_grad():
        model.namer.weight.zero_()
        model.namer.bias.copy_(torch.tensor([40.0] + [0.0] * 7))
        rows = model.embed(torch.zeros(1, TINY.samples))
    assert rows[0, 0].item() == pytest.approx(7 * math.exp(-40), rel=1e-4)
    torch.testing.assert_close(rows[0, 1:], torch.full((7,), 40.0))


def test_the_loss_is_the_cross_entropy_of_two_disguises_of_each_clip():
    known = sound(12)
    model = transform_classifier.untrained(Task.of(known, encoder=SMALL.encoder)).eval()
    view, drawn = aadcl.named_view(known), []

    def watched(x, generator):
        drawn.append(view(x, generator))
        return drawn[-1]

    x = torch.from_numpy(known.waveforms).float() / 2**15
    loss = transform_classifier.disguise_objective(model, (x,), torch.zeros(12), rng(), view=watched)
    expected = [F.cross_entropy(model(*worn), which) for *worn, which in drawn]
    assert len(expected) == 2
    torch.testing.assert_close(loss, sum(expected) / 2)
