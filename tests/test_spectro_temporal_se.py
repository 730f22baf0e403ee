"""Four views under squeeze and excitation: which view hears a shift, what the weights do, and ArcFace against another code."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss

from asdlib.classifier import classification_objective
from asdlib.clips import Clips
from asdlib.encoder import BOOK_ENCODER, EncoderConfig, TgramNet
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.methods import Task, spectro_temporal_se
from asdlib.methods.spectro_temporal_se import FourViews, SpecNet, SqueezeExcitation, WaveNetGram
from asdlib.pieces import Pieces
from asdlib.spectra import SpectrumConfig
from asdlib.training import StageConfig

FEATURES = FeatureConfig(seconds=1.0, n_mels=32)
SMALL = EncoderConfig(embedding_dim=16, stem_channels=8, table=((2, 8, 1, 2), (2, 16, 1, 2)), last_channels=32)


def count(module):
    return sum(p.numel() for p in module.parameters())


def waves(n=3, features=FEATURES, *, dtype=torch.float32):
    """Sounds that are loud at one end, so that a shift is not nothing."""
    torch.manual_seed(0)
    return torch.randn(n, features.samples, dtype=dtype) * torch.linspace(0.01, 0.3, features.samples, dtype=dtype)


# ------------------------------------------------------------------------------------------------------ the four pictures


def test_the_sizes_are_those_of_the_plan():
    features = FeatureConfig(seconds=2.0)
    assert count(SpecNet(features)) == 30_176
    assert count(TgramNet(features)) == 278_906
    assert count(WaveNetGram(features)) == 205_952 - 65 * 64  # the last block has no next one
    assert count(SqueezeExcitation(4)) == 22
    network = FourViews(BOOK_ENCODER, features)
    assert count(network) + 23 * 128 == 597_320


@pytest.mark.parametrize(
    "features",
    [FEATURES, FeatureConfig(seconds=2.0), FeatureConfig(seconds=0.5, n_fft=512, hop_length=160), FeatureConfig(seconds=10.0)],
)
def test_each_view_lies_on_the_grid_of_the_log_mel(features):
    x = waves(2, features)
    for view in (SpecNet, TgramNet, WaveNetGram):
        assert view(features).eval()(x).shape == (2, features.n_mels, features.frames)


def test_the_whole_spectrum_does_not_hear_when_something_was_and_the_tgram_does():
    x = waves(dtype=torch.float64)
    shifted = x.roll(5000, dims=1)
    magnitudes = torch.fft.rfft(x).abs(), torch.fft.rfft(shifted).abs()
    torch.testing.assert_close(magnitudes[0], magnitudes[1], rtol=0, atol=1e-11)
    torch.manual_seed(0)
    spectral, temporal = SpecNet(FEATURES).double().eval(), TgramNet(FEATURES).double().eval()
    torch.testing.assert_close(spectral(x), spectral(shifted), rtol=0, atol=1e-9)
    assert spectral(x).std() > 1e-3  # it says something
    assert (temporal(x) - temporal(shifted)).abs().max() > 1e-2
    assert (spectral(x) - spectral(x.flip(0))).abs().max() > 1e-3


def test_the_second_axis_of_the_spectral_view_is_frequency():
    """A tone moves along it as it rises, and only there the picture is another one than of noise alone."""
    torch.manual_seed(0)
    view = SpecNet(FEATURES).double().eval()
    time = torch.arange(FEATURES.samples).double() / FEATURES.sample_rate
    noise = 1e-3 * torch.randn(1, FEATURES.samples, dtype=torch.float64)
    for hertz in (1000, 4000, 7000):
        change = (view(noise + torch.sin(2 * torch.pi * hertz * time)) - view(noise)).abs().sum(dim=1)[0]
        assert int(change.argmax()) == pytest.approx(hertz / 8000 * FEATURES.frames, abs=1)
        far = (torch.arange(FEATURES.frames) - hertz / 8000 * FEATURES.frames).abs() > 3
        assert change[far].max() < 1e-6 * change.max()


def test_the_spectrum_is_a_power_in_decibels_with_a_floor():
    view, seen = SpecNet(FEATURES).eval(), []
    view.standardise.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = waves(1, dtype=torch.float64)
    view.double()(torch.cat([x, 10 * x, 0 * x]))
    spectrum = np.abs(np.fft.rfft(x[0].numpy())) ** 2 / FEATURES.samples
    np.testing.assert_allclose(seen[0][0, 0].numpy(), 10 * np.log10(np.maximum(spectrum, 1e-10)), atol=1e-9)
    torch.testing.assert_close(seen[0][1] - seen[0][0], torch.full_like(seen[0][0], 20.0))
    assert (seen[0][2] == -100).all()


def test_the_wavenet_looks_back_and_never_ahead():
    torch.manual_seed(0)
    view, x = WaveNetGram(FEATURES).eval(), waves(1)
    changed = x.clone()
    place = 8 * FEATURES.hop_length + FEATURES.n_fft // 2  # the first sample that frame 8 has not in its window
    changed[:, place : place + 100] += 1
    moved = (view(changed) - view(x)).abs().amax(dim=(0, 1))
    assert (moved[:9] == 0).all()
    last = 10 + 2 * (1 + 2 + 4 + 8)  # the last frame whose window has them, and as far as the blocks look back
    assert (moved[9 : min(last, FEATURES.frames)] > 1e-6).all()


def test_a_block_is_a_gated_convolution_by_a_plain_loop():
    torch.manual_seed(0)
    block = spectro_temporal_se.Dilated(3, 2).double()
    x = torch.randn(1, 3, 9, dtype=torch.float64)
    on, out = block(x)
    weight, bias = block.conv.weight, block.conv.bias
    for t in range(9):
        total = bias.clone()
        for tap in range(3):
            if (past := t - 2 * (2 - tap)) >= 0:
                total = total + weight[:, :, tap] @ x[0, :, past]
        y = torch.tanh(total[:3]) * torch.sigmoid(total[3:])
        torch.testing.assert_close(on[0, :, t], x[0, :, t] + block.on.weight[:, :, 0] @ y + block.on.bias)
        torch.testing.assert_close(out[0, :, t], block.out.weight[:, :, 0] @ y + block.out.bias)


# ------------------------------------------------------------------------------------------------- squeeze and excitation


def test_squeeze_and_excitation_is_what_hu_et_al_write():
    torch.manual_seed(0)
    layer, image = SqueezeExcitation(6, reduction=3), torch.randn(5, 6, 4, 7) + torch.randn(5, 6, 1, 1)
    torch.nn.init.normal_(layer.down.bias)
    inner, outer = ((m.weight.detach().numpy(), m.bias.detach().numpy()) for m in (layer.down, layer.up))
    squeezed = np.maximum(image.numpy().mean(axis=(2, 3)) @ inner[0].T + inner[1], 0)
    assert squeezed.shape == (5, 2)
    assert 0 < (squeezed > 0).sum() < 10  # some units are on, some off
    weights = 1 / (1 + np.exp(-(squeezed @ outer[0].T + outer[1])))
    torch.testing.assert_close(layer.weights(image), torch.from_numpy(weights))
    torch.testing.assert_close(layer(image), image * torch.from_numpy(weights)[:, :, None, None])


def test_channels_and_weights_in_another_order_give_the_output_in_that_order():
    torch.manual_seed(0)
    layer, turned = SqueezeExcitation(4), SqueezeExcitation(4)
    image, order = torch.randn(3, 4, 5, 6) + torch.randn(3, 4, 1, 1), torch.tensor([2, 0, 3, 1])
    turned.down.weight.data = layer.down.weight[:, order]
    turned.down.bias.data = layer.down.bias.data
    turned.up.weight.data, turned.up.bias.data = layer.up.weight[order], layer.up.bias[order]
    torch.testing.assert_close(turned(image[:, order]), layer(image)[:, order])
    assert not torch.allclose(layer(image[:, order]), layer(image)[:, order])


def test_without_weights_every_view_is_halved():
    torch.manual_seed(0)
    layer, image = SqueezeExcitation(4), torch.randn(3, 4, 5, 6)
    for p in layer.parameters():
        torch.nn.init.zeros_(p)
    assert torch.equal(layer(image), image / 2)


def test_the_network_sees_four_standardised_views_times_their_weights():
    torch.manual_seed(0)
    network = FourViews(SMALL, FEATURES).train()
    seen = []
    network.mobilefacenet.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x, mels = waves(20), -60 + 5 * torch.randn(20, 32, FEATURES.frames)
    assert network(x, mels).shape == (20, 16)
    for i, picture in enumerate([mels, *(view(x) for view in network.of_waveform)]):
        z = (picture - picture.mean()) / picture.std(correction=0)
        torch.testing.assert_close(network.views(x, mels)[:, i], z, rtol=1e-2, atol=1e-2)
    image = network.views(x, mels)
    torch.testing.assert_close(seen[0], image * network.excitation.weights(image)[:, :, None, None])


# ------------------------------------------------------------------------------------------------------------------ method


def sounds():
    rng = np.random.default_rng(0)
    x = (3000 * rng.normal(size=(24, FEATURES.samples))).astype(np.int16)
    mels = rng.normal(-60, 5, size=(24, 32, FEATURES.frames)).astype(np.float16)
    return Clips((x, mels), ["a/0"] * 12 + ["a/1"] * 12, FEATURES)


def test_the_loss_is_arcface_with_the_margin_of_the_re_implementation(monkeypatch):
    given = {}

    def fit(model, objective, clips, budget, **options):
        given.update(model=model, objective=objective)

    monkeypatch.setattr(spectro_temporal_se, "fit", fit)
    clips = sounds()
    spectro_temporal_se.train(clips, budget=StageConfig(1, 8), encoder=SMALL, device="cpu")
    model, y = given["model"].eval(), torch.from_numpy(clips.labels)
    assert given["objective"] is classification_objective
    embeddings, labels = torch.randn(4000, 16), torch.arange(4000) % 2
    with torch.no_grad():  # some lie nearly opposite to their class, where the margin ends
        embeddings[:99] -= 9 * F.normalize(model.arcface.weight)[labels[:99]] * embeddings[:99].norm(dim=1, keepdim=True)
    other = ArcFaceLoss(2, 16, margin=np.degrees(0.5), scale=30)
    other.W.data = model.arcface.weight.detach().T.clone()
    with torch.no_grad():
        beyond = model.arcface.cosine(embeddings).gather(1, labels[:, None]) < -np.cos(0.5)
        assert 0 < beyond.sum() < 4000
        loss = F.cross_entropy(model.arcface(embeddings, labels), labels)
        torch.testing.assert_close(loss, other(embeddings, labels), rtol=1e-5, atol=1e-5)
        inputs = torch.from_numpy(clips.waveforms / 2**15).float(), torch.from_numpy(clips.log_mels).float()
        whole = given["objective"](model, inputs, y, np.random.default_rng(0))
        torch.testing.assert_close(whole, other(model.embed(*inputs), y), rtol=1e-5, atol=1e-5)


def test_a_window_makes_pieces_and_other_sizes_are_refused():
    task = partial(Task, ("a/0", "a/1"), FEATURES)
    pieces = spectro_temporal_se.untrained(task(encoder=SMALL, window=0.5)).encoder
    assert isinstance(pieces, Pieces)
    assert pieces.eval()(waves(), torch.randn(3, 32, FEATURES.frames)).shape == (3, 16)
    with pytest.raises(AsdError, match="do not fit the network of this method: choose stgram-mfn"):
        spectro_temporal_se.untrained(task(encoder=SpectrumConfig(12, 4)))


def test_training_moves_every_view_and_scores_by_every_scorer():
    clips = sounds()
    train = partial(spectro_temporal_se.train, clips, budget=StageConfig(2, 8, 1e-3), encoder=SMALL, device="cpu")
    model = train()
    start = spectro_temporal_se.untrained(Task.of(clips, encoder=SMALL))
    before = dict(start.named_parameters())
    for name, after in model.named_parameters():
        assert not torch.equal(after, before[name]), name
    assert tuple(spectro_temporal_se.score(model, clips, clips, device="cpu")) == spectro_temporal_se.SCORERS
