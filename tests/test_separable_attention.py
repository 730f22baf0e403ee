"""Separable attention: the convolutions as dense ones, what the map can and cannot do, and the one number of the wavegram."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss

from asdlib.clips import Clips
from asdlib.encoder import TABLE_2023, EncoderConfig
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.methods import Task, separable_attention
from asdlib.methods.separable_attention import AttendedSpectra, AttentionMap, SeparableAttention, separable
from asdlib.pieces import Pieces
from asdlib.spectra import SpectrumConfig
from asdlib.training import StageConfig

FEATURES = FeatureConfig(seconds=1.0, n_mels=32)
SMALL = EncoderConfig(embedding_dim=16, stem_channels=8, table=((2, 8, 1, 2), (2, 16, 1, 2)), last_channels=32)


def count(module):
    return sum(p.numel() for p in module.parameters())


def random_norms(module):
    """The module in evaluation mode, with batch norms that do something."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            for values in (norm.running_mean, norm.bias):
                if values is not None:
                    values.data.normal_()
            for values in (norm.running_var, norm.weight):
                if values is not None:
                    values.data.uniform_(0.5, 2.0)
    return module.eval()


# --------------------------------------------------------------------------------------------------- separable convolutions


@pytest.mark.parametrize("dims", [1, 2])
def test_with_nothing_in_between_it_is_a_dense_convolution(dims):
    torch.manual_seed(0)
    layer = separable(6, 5, 3, dims=dims, stride=2, padding=1, linear=True).double()
    deep, point = layer
    kernel = torch.einsum("oi...,i...k->oik", point.weight.flatten(1), deep.weight.flatten(1)).view(5, 6, *[3] * dims)
    bias = point.bias + point.weight.flatten(1) @ deep.bias
    x = torch.randn(2, 6, *[11] * dims, dtype=torch.float64)
    dense = {1: F.conv1d, 2: F.conv2d}[dims](x, kernel, bias, stride=2, padding=1)
    torch.testing.assert_close(layer(x), dense, rtol=0, atol=1e-12)


def test_in_between_are_a_batch_norm_and_a_relu_each_time():
    torch.manual_seed(0)
    layer = random_norms(separable(3, 4, 3, dims=1, padding=1))
    x = torch.randn(2, 3, 9)

    def normed(y, norm):
        shape = (1, -1, 1)
        by = (norm.running_var.view(shape) + norm.eps).sqrt()
        return F.relu((y - norm.running_mean.view(shape)) / by * norm.weight.view(shape) + norm.bias.view(shape))

    y = normed(F.conv1d(x, layer[0].weight, layer[0].bias, padding=1, groups=3), layer[1])
    torch.testing.assert_close(layer(x), normed(F.conv1d(y, layer[3].weight, layer[3].bias), layer[4]))


def test_the_parameters_are_as_many_as_published():
    network = SeparableAttention(EncoderConfig(table=TABLE_2023), FeatureConfig())
    assert count(network.wavegram) == 1539
    assert count(network.map) == 1964
    # The authors' network has two heads for 41 classes, of which one, with a bias, is not used.
    assert count(network) + 41 * 128 + 41 * 129 == 884_376
    assert count(AttentionMap(2, widths=(8, 16))) == 452


# -------------------------------------------------------------------------------------------------------- map and wavegram


def test_the_map_can_halve_and_never_remove_but_where_nothing_is_in_between():
    torch.manual_seed(0)
    image = 20 * torch.randn(4, 2, 32, 20)
    published = random_norms(AttentionMap(2))(image)
    assert published.shape == image.shape
    assert published.min() == 0.5
    assert 0.01 < (published == 0.5).float().mean() < 0.99
    assert published.max() < 1
    assert AttentionMap(2, linear=True).eval()(image).min() < 0.45


def test_the_map_of_means_is_the_map_of_blocks():
    torch.manual_seed(0)
    whole = AttentionMap(2)
    small = AttentionMap(2, shrink=2)
    small.load_state_dict(whole.state_dict())
    whole, small = whole.eval(), small.eval()
    blocks = torch.randn(3, 2, 8, 6)
    image = blocks.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = whole(blocks).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(small(image), expected)
    # Of odd sizes the last mean is of what is left.
    torch.testing.assert_close(small(image[:, :, :15, :11]), expected[:, :, :15, :11])


def test_the_wavegram_is_one_number_a_frame_in_128_rows():
    torch.manual_seed(0)
    wavegram = random_norms(SeparableAttention(SMALL, FeatureConfig(seconds=1.0)).wavegram)
    waves = torch.randn(3, 1, 16000)
    before = wavegram[:-1](waves)  # its last ReLU left out
    assert before.shape == (3, 128, 32)
    rows = before.transpose(0, 1).flatten(1).double()
    bias = wavegram[:-1][3:](torch.zeros(1, 1, 1)).flatten().double()  # of a frame in which the one number is 0
    singular = torch.linalg.svdvals(rows - bias[:, None])
    assert singular[1] < 1e-5 * singular[0]
    scalar = wavegram[:3](waves)
    assert scalar.shape == (3, 1, 32)
    assert (scalar >= 0).all()


def test_the_network_sees_log_mel_and_wavegram_times_their_map():
    torch.manual_seed(0)
    network = random_norms(SeparableAttention(SMALL, FEATURES))
    seen = []
    network.mobilefacenet.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    waves, mels = torch.randn(2, FEATURES.samples), torch.randn(2, 32, FEATURES.frames)
    assert network(waves, mels).shape == (2, 16)
    image = torch.stack([mels, network.wavegram(waves[:, None])], dim=1)
    torch.testing.assert_close(seen[0], image * network.map(image))


def test_spectra_are_standardised_and_an_image_to_the_map():
    torch.manual_seed(0)
    network = AttendedSpectra(SpectrumConfig(12, 4, width=8, embedding_dim=16))
    seen = []
    network.convolutions.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = 5 + 2 * torch.randn(50, 1, 12, 4)
    assert network.train()(x).shape == (50, 16)
    z = (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
    torch.testing.assert_close(seen[0], z * network.map(z), rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------------------------------------------------------ method


def test_the_loss_is_that_of_mixtures_with_shares_near_an_end(monkeypatch):
    """And in evaluation mode ArcFace with scale 40."""
    given = {}

    def fit(model, objective, clips, budget, **options):
        given.update(model=model, objective=objective)

    monkeypatch.setattr(separable_attention, "fit", fit)
    x = np.random.default_rng(0).normal(size=(24, 1, 12, 4)).astype(np.float32)
    clips = Clips((x,), ["a/0"] * 12 + ["a/1"] * 12)
    separable_attention.train(clips, budget=StageConfig(2, 8, 1e-3), device="cpu")
    model, y = given["model"].eval(), torch.from_numpy(clips.labels)
    other = ArcFaceLoss(2, 128, margin=np.degrees(0.7), scale=40)
    other.W.data = model.arcface.weight.detach().T.clone()
    with torch.no_grad():
        loss = given["objective"](model, (torch.from_numpy(x),), y, np.random.default_rng(0))
        torch.testing.assert_close(loss, other(model.embed(torch.from_numpy(x)), y), rtol=1e-5, atol=1e-5)
    assert given["objective"].keywords == {"alpha": 0.2}


def test_the_linear_network_is_another_one_without_batch_norms_in_the_map():
    task = Task(("a/0", "a/1"), FEATURES, encoder=SMALL, window=0.5)
    published, plain = (separable_attention.untrained(task, linear=linear).encoder for linear in (False, True))
    assert isinstance(published, Pieces)
    assert count(published.encoder.wavegram) - count(plain.encoder.wavegram) == 2 + 2 * 32
    assert count(published.encoder.map) - count(plain.encoder.map) == 2 * (2 + 16 + 16 + 64 + 64 + 2)
    assert published.eval()(torch.randn(2, FEATURES.samples), torch.randn(2, 32, FEATURES.frames)).shape == (2, 16)


def test_both_trainings_run_and_an_encoder_of_another_kind_is_refused():
    x = np.random.default_rng(0).normal(size=(24, 1, 12, 4)).astype(np.float32)
    clips = Clips((x,), ["a/0"] * 12 + ["a/1"] * 12)
    sizes = SpectrumConfig(12, 4, width=8, embedding_dim=16)
    train = partial(separable_attention.train, clips, budget=StageConfig(2, 8, 1e-3), encoder=sizes, device="cpu")
    models = [train(linear=linear) for linear in (False, True)]
    assert count(models[0]) > count(models[1])
    assert models[0].arcface.scale == 40.0
    with pytest.raises(AsdError, match="do not fit the network of this method: choose spectrum"):
        train(encoder=SMALL)
