"""Noisy-ArcMix: the loss against ArcFace and soft labels by others' hands, the mixing, and the gate."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss

from asdlib.clips import Clips
from asdlib.encoder import BOOK_ENCODER, PAPER_ENCODER, TABLE_2023, EncoderConfig, MobileFaceNet, STgramMFN
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.methods import Task, noisy_arcmix
from asdlib.pieces import Pieces
from asdlib.spectra import SpectrumConfig
from asdlib.spectrogram_encoder import SpectrogramConfig
from asdlib.training import StageConfig

CLASSES, DIM = 5, 8
FEATURES = FeatureConfig(seconds=1.0, n_mels=32)
SMALL = EncoderConfig(embedding_dim=16, stem_channels=8, table=((2, 8, 1, 2), (2, 16, 1, 2)), last_channels=32)


class Bare(torch.nn.Module):
    """ArcFace on its inputs as they are; it remembers what it was given."""

    def __init__(self, margin=0.7):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.arcface = noisy_arcmix.ArcFace(DIM, CLASSES, margin=margin, scale=30.0)

    def forward(self, *inputs, labels=None):
        self.given = inputs
        return self.arcface(inputs[0], labels)


def batch(count=40):
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32))
    return x, torch.arange(count) % CLASSES


def drawn(seed, count, alpha=0.5):
    """What the objective draws: the share of the first, and who is the second."""
    common = np.random.default_rng(int(np.random.default_rng(seed).integers(2**62)))
    return common.beta(alpha, alpha), torch.from_numpy(common.permutation(count))


def other_arcface(head):
    loss = ArcFaceLoss(CLASSES, DIM, margin=math.degrees(head.margin), scale=head.scale)
    loss.W.data = head.weight.detach().T.clone()
    return loss


# ---------------------------------------------------------------------------------------------------------------- loss


@pytest.mark.parametrize("noisy", [True, False])
def test_where_all_is_of_the_first_clip_it_is_arcface(noisy, monkeypatch):
    x, y = batch(400)
    x[:CLASSES] = -torch.eye(CLASSES)[y[:CLASSES]] @ Bare().arcface.weight.detach()  # beyond pi - m
    monkeypatch.setattr(noisy_arcmix, "mixed", lambda inputs, labels, rng, alpha: (inputs, labels.roll(1), 1.0))
    model = Bare().train()
    loss = noisy_arcmix.arcmix_objective(model, (x,), y, np.random.default_rng(0), noisy=noisy)
    torch.testing.assert_close(loss, other_arcface(model.arcface)(x, y), rtol=1e-5, atol=1e-5)


def test_without_a_margin_it_is_the_cross_entropy_of_soft_labels():
    x, y = batch()
    model = Bare(margin=0.0).train()
    for seed in range(5):
        share, partner = drawn(seed, len(x))
        soft = share * F.one_hot(y, CLASSES) + (1 - share) * F.one_hot(y[partner], CLASSES)
        blend = share * x + (1 - share) * x[partner]
        logits = 30 * F.normalize(blend) @ F.normalize(model.arcface.weight).T
        loss = noisy_arcmix.arcmix_objective(model, (x,), y, np.random.default_rng(seed))
        torch.testing.assert_close(loss, F.cross_entropy(logits, soft.float()), rtol=1e-5, atol=1e-5)


def test_arcmix_differs_in_the_margin_of_the_second_term_and_not_where_both_labels_are_one():
    x, y = batch()
    model, seed = Bare().train(), 3
    share, partner = drawn(seed, len(x))
    blend = (share * x + (1 - share) * x[partner]).float()
    by_noisy, by_arcmix = (
        noisy_arcmix.arcmix_objective(model, (x,), y, np.random.default_rng(seed), noisy=noisy) for noisy in (True, False)
    )
    first, second = model.arcface(blend, y), model.arcface(blend, y[partner])
    expected = (1 - share) * (F.cross_entropy(first, y[partner]) - F.cross_entropy(second, y[partner]))
    assert expected.abs() > 0.1
    torch.testing.assert_close(by_noisy - by_arcmix, expected.float(), rtol=1e-4, atol=1e-4)
    own = torch.zeros_like(y)
    equal = [noisy_arcmix.arcmix_objective(model, (x,), own, np.random.default_rng(seed), noisy=n) for n in (True, False)]
    torch.testing.assert_close(*equal, rtol=0, atol=0)


def test_the_loss_by_hand():
    """The angle of the first label is widened in both terms, and nothing else is."""
    x, y = batch(4)
    model, seed = Bare().train(), 1
    share, partner = drawn(seed, 4)
    blend = F.normalize(share * x + (1 - share) * x[partner]).double()
    cosines = blend @ F.normalize(model.arcface.weight.detach()).double().T
    total = 0.0
    for i in range(4):
        a, b = int(y[i]), int(y[partner[i]])
        logits = [30 * float(c) for c in cosines[i]]
        logits[a] = 30 * math.cos(math.acos(float(cosines[i, a])) + 0.7)
        top = math.log(sum(math.exp(value) for value in logits))
        total += share * (top - logits[a]) + (1 - share) * (top - logits[b])
    loss = noisy_arcmix.arcmix_objective(model, (x,), y, np.random.default_rng(seed))
    assert loss.item() == pytest.approx(total / 4, rel=1e-4)


def test_in_evaluation_mode_nothing_is_mixed():
    x, y = batch()
    model = Bare().eval()
    losses = [noisy_arcmix.arcmix_objective(model, (x,), y, np.random.default_rng(seed)) for seed in (0, 1)]
    torch.testing.assert_close(losses[0], other_arcface(model.arcface)(x, y), rtol=1e-5, atol=1e-5)
    assert losses[0] == losses[1]
    assert model.given[0] is x


def test_all_inputs_are_mixed_with_one_share_a_batch_which_is_near_an_end_as_a_rule():
    x, y = batch()
    shares = []
    for seed in range(300):
        blends, others, share = noisy_arcmix.mixed((x, 3 * x[:, :2, None]), y, np.random.default_rng(seed))
        expected, partner = drawn(seed, len(x))
        assert share == expected
        torch.testing.assert_close(blends[0], (share * x + (1 - share) * x[partner]).float())
        torch.testing.assert_close(blends[1], 3 * blends[0][:, :2, None])
        assert torch.equal(others, y[partner])
        shares.append(share)
    # Beta(1/2, 1/2): a third of it within 1/15 of an end or so (the arcsine law).
    ends = np.mean([min(share, 1 - share) < np.sin(np.pi / 12) ** 2 for share in shares])
    assert ends == pytest.approx(1 / 3, abs=0.09)


# ---------------------------------------------------------------------------------------------------------------- gate


def test_a_frame_of_one_level_is_gated_by_twice_that_level():
    levels = torch.tensor([-3.0, -0.5, 0.0, 2.0])
    x = levels.expand(2, 7, 4)  # (clips, mels, frames)
    torch.testing.assert_close(noisy_arcmix.gated(x, over=1), torch.sigmoid(2 * levels) * x)
    rising = torch.arange(6.0).view(1, 6, 1)
    torch.testing.assert_close(noisy_arcmix.gated(rising, over=1), rising / (1 + math.exp(-7.5)))


def test_the_network_sees_the_tgram_the_log_mel_and_the_gated_log_mel():
    model = noisy_arcmix.untrained(Task(("a/0", "a/1"), FEATURES, encoder=SMALL)).encoder.eval()
    seen = []
    model.mobilefacenet.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    waves, mels = torch.randn(2, FEATURES.samples), torch.randn(2, 32, FEATURES.frames)
    assert model(waves, mels).shape == (2, 16)
    torch.testing.assert_close(seen[0][:, 0], model.tgram(waves))
    torch.testing.assert_close(seen[0][:, 1], mels)
    gate = torch.sigmoid(mels.max(dim=1).values + mels.mean(dim=1))
    torch.testing.assert_close(seen[0][:, 2], mels * gate[:, None])


def test_a_third_channel_costs_nine_numbers_a_filter():
    def count(module):
        return sum(p.numel() for p in module.parameters())

    features = FeatureConfig(seconds=2.0)
    book = noisy_arcmix.TASTgram(BOOK_ENCODER, features)
    assert count(book) == count(STgramMFN(BOOK_ENCODER, features)) + 9 * 24
    published = EncoderConfig(table=TABLE_2023)
    # The authors' network has two heads for 41 classes, of which one, with a bias, is not used.
    assert count(noisy_arcmix.TASTgram(published, FeatureConfig())) + 41 * 128 + 41 * 129 == 1_161_855
    assert count(noisy_arcmix.TASTgram(PAPER_ENCODER, features)) > count(book)


def test_of_two_channels_the_weights_are_as_they_were():
    torch.manual_seed(0)
    two = MobileFaceNet(SMALL, mels=32, frames=32)
    torch.manual_seed(0)
    named = MobileFaceNet(SMALL, mels=32, frames=32, channels=2)
    assert all(torch.equal(a, b) for a, b in zip(two.parameters(), named.parameters(), strict=True))


def test_spectra_are_gated_in_each_band_after_they_are_standardised():
    torch.manual_seed(0)
    network = noisy_arcmix.GatedSpectra(SpectrumConfig(12, 4, width=8, embedding_dim=16))
    seen = []
    network.convolutions.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = 5 + 2 * torch.randn(50, 1, 12, 4)
    assert network.train()(x).shape == (50, 16)
    z = (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
    gate = torch.sigmoid(z.max(dim=3).values + z.mean(dim=3))[..., None]
    torch.testing.assert_close(seen[0], torch.cat([z, gate * z], dim=3), rtol=1e-3, atol=1e-3)


# -------------------------------------------------------------------------------------------------------------- method


def test_of_long_clips_the_network_sees_pieces():
    task = Task(("a/0", "a/1"), FEATURES, encoder=SMALL, window=0.5)
    model = noisy_arcmix.untrained(task).eval()
    assert isinstance(model.encoder, Pieces)
    assert model.embed(torch.randn(2, FEATURES.samples), torch.randn(2, 32, FEATURES.frames)).shape == (2, 16)
    assert isinstance(noisy_arcmix.untrained(Task(("a/0",), FEATURES, encoder=SMALL)).encoder, noisy_arcmix.TASTgram)


def test_an_encoder_of_another_kind_is_refused():
    with pytest.raises(AsdError, match="encoder spectrogram do not fit the network of this method: choose stgram-mfn"):
        noisy_arcmix.untrained(Task(("a/0",), FEATURES, encoder=SpectrogramConfig()))
    with pytest.raises(AsdError, match="encoder stgram-mfn do not fit the network of this method: choose spectrum"):
        noisy_arcmix.untrained(Task(("a/0",), None, (12, 4), encoder=SMALL))


def test_arcmix_is_another_training_by_the_same_names():
    x = np.random.default_rng(0).normal(size=(24, 1, 12, 4)).astype(np.float32)
    clips = Clips((x,), ["a/0"] * 12 + ["a/1"] * 12)
    models = [noisy_arcmix.train(clips, budget=StageConfig(2, 8, 1e-3), device="cpu", noisy=n) for n in (True, False)]
    states = [model.state_dict() for model in models]
    assert states[0].keys() == states[1].keys()
    assert not torch.equal(states[0]["arcface.weight"], states[1]["arcface.weight"])
    assert (models[0].arcface.margin, models[0].arcface.scale) == (0.7, 30.0)
    scores = noisy_arcmix.score(models[0], clips, clips, device="cpu")
    assert tuple(scores) == noisy_arcmix.SCORERS
    own = torch.from_numpy(clips.labels)
    with torch.no_grad():
        losses = F.cross_entropy(models[0](torch.from_numpy(x), labels=own), own, reduction="none")
    np.testing.assert_allclose(scores["softmax"], losses, rtol=1e-4, atol=1e-6)
