"""The encoder: the published sizes to the unit, and any clip length."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from asdlib.classifier import ArcFace
from asdlib.encoder import BOOK_ENCODER, PAPER_ENCODER, TABLE_2023, EncoderConfig, STgramMFN, TgramNet, fold_batch_norms
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig

TEN_SECONDS = FeatureConfig()
UNUSED_HEAD = 128 * 41 + 41  # the public code also builds a linear layer over 41 IDs that it never calls


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def inputs(features, batch=2):
    generator = torch.Generator().manual_seed(0)
    wave = torch.rand(batch, features.samples, generator=generator) - 0.5
    return wave, 20 * torch.randn(batch, features.n_mels, features.frames, generator=generator)


def test_paper_encoder_has_the_published_parameters_and_multiply_adds():
    model = STgramMFN(PAPER_ENCODER, TEN_SECONDS).eval()
    assert parameters(model.tgram) == 280_406
    assert parameters(model) + parameters(ArcFace(128, 41)) + UNUSED_HEAD == 1_350_335
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs(TEN_SECONDS, batch=1))
    assert counter.get_total_flops() / 2e6 == pytest.approx(797.7, abs=0.05)
    assert model.mobilefacenet.map_size == (8, 20)


def test_the_table_of_2023_has_its_published_parameters():
    model = STgramMFN(EncoderConfig(table=TABLE_2023), TEN_SECONDS)
    assert parameters(model) + parameters(ArcFace(128, 41)) + UNUSED_HEAD == 1_161_279


def test_folding_the_batch_norms_leaves_the_function_and_none_of_them():
    model = STgramMFN(PAPER_ENCODER, TEN_SECONDS).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -1), (module.running_var, 0.5), (module.weight, 0.5), (module.bias, -1)):
                nn.init.uniform_(tensor, low, 1.5)
    with torch.no_grad():
        before = model(*inputs(TEN_SECONDS))
        after = fold_batch_norms(model)(*inputs(TEN_SECONDS))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * before.abs().max().item())


def test_shapes_of_ten_seconds_on_every_arrow():
    model = STgramMFN(PAPER_ENCODER, TEN_SECONDS).eval()
    shapes = []
    for layer in model.mobilefacenet.layers:
        layer.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        wave, mel = inputs(TEN_SECONDS, batch=1)
        assert model.tgram(wave).shape == (1, 128, 313)
        assert model(wave, mel).shape == (1, 128)
    assert shapes[:2] == [(64, 64, 157)] * 2
    assert shapes[2:7] == [(64, 32, 79)] * 5
    assert shapes[7:14] == [(128, 16, 40)] * 7
    assert shapes[14:17] == [(128, 8, 20)] * 3
    assert shapes[17:] == [(512, 8, 20)]


@settings(max_examples=12, deadline=None)
@given(
    seconds=st.floats(0.2, 3.0),
    mels=st.sampled_from([16, 33, 64]),
    n_fft=st.sampled_from([256, 1024]),
    hop=st.sampled_from([100, 256]),
)
def test_any_clip_length_and_grid_works(seconds, mels, n_fft, hop):
    features = FeatureConfig(seconds=seconds, n_mels=mels, n_fft=n_fft, hop_length=hop)
    small = EncoderConfig(embedding_dim=8, stem_channels=4, table=((2, 4, 1, 2), (2, 8, 2, 2)), last_channels=8)
    model = STgramMFN(small, features).eval()
    with torch.no_grad():
        assert TgramNet(features)(inputs(features)[0]).shape == (2, mels, features.frames)
        assert model(*inputs(features)).shape == (2, 8)


def test_a_clip_of_another_length_than_the_config_is_refused_with_both_shapes():
    model = STgramMFN(BOOK_ENCODER, FeatureConfig(seconds=2.0))
    with pytest.raises(AsdError, match=r"\(B, 32000\).*\(2, 160000\)"):
        model(*inputs(TEN_SECONDS))


def test_each_clip_is_embedded_on_its_own_in_evaluation_mode():
    features = FeatureConfig(seconds=1.0)
    model = STgramMFN(BOOK_ENCODER, features).eval()
    wave, mel = inputs(features, batch=3)
    with torch.no_grad():
        together = model(wave, mel)
        alone = torch.cat([model(wave[i : i + 1], mel[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_both_branches_reach_the_embedding():
    features = FeatureConfig(seconds=1.0)
    model = STgramMFN(BOOK_ENCODER, features)
    wave, mel = (x.requires_grad_() for x in inputs(features))
    model(wave, mel).square().sum().backward()
    assert wave.grad.abs().sum() > 0
    assert mel.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.parameters())  # nothing rides along unused
