"""The encoder: the published sizes to the unit, any clip length, the function itself written once more in plain arithmetic."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from asdlib.classifier import ArcFace
from asdlib.embedding import embed, ready
from asdlib.encoder import (
    BOOK_ENCODER,
    PAPER_ENCODER,
    TABLE_2023,
    EncoderConfig,
    STgramMFN,
    TgramNet,
    conv_bn,
    fold_batch_norms,
)
from asdlib.encoders import new_encoder
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from tests.make_golden import ENCODERS, SEED, sound

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


def plain(weights, config, features, waveform, log_mel):
    """The encoder as the papers describe it, step by step over its weights."""

    def batch_norm(x, name):
        mean, variance, slope, bias = (
            weights[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * slope + bias

    def block(x, name, *, stride=1, padding=0, depthwise=False, activation=True):
        kernel = weights[f"{name}.0.weight"]
        x = F.conv2d(x, kernel, stride=stride, padding=padding, groups=len(kernel) if depthwise else 1)
        x = batch_norm(x, f"{name}.1")
        return torch.where(x > 0, x, x * weights[f"{name}.2.weight"].view(1, -1, 1, 1)) if activation else x

    x = F.conv1d(waveform[:, None], weights["tgram.filters.weight"], stride=features.hop_length, padding=features.n_fft // 2)
    for i in range(3):
        x = x - x.mean(dim=2, keepdim=True)
        x = x / (x.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()
        x = x * weights[f"tgram.blocks.{i}.0.weight"] + weights[f"tgram.blocks.{i}.0.bias"]
        x = F.conv1d(torch.where(x > 0, x, 0.2 * x), weights[f"tgram.blocks.{i}.2.weight"], padding=1)
    x = torch.stack((log_mel, x), dim=1)

    x = block(x, "mobilefacenet.layers.0", stride=2, padding=1)
    x = block(x, "mobilefacenet.layers.1", padding=1, depthwise=True)
    place, channels = 2, config.stem_channels
    for _, out, repeats, stride in config.table:
        for step in [stride] + [1] * (repeats - 1):
            name = f"mobilefacenet.layers.{place}.layers"
            y = block(x, f"{name}.0")
            y = block(y, f"{name}.1", stride=step, padding=1, depthwise=True)
            y = block(y, f"{name}.2", activation=False)
            x = x + y if step == 1 and channels == out else y
            place, channels = place + 1, out
    x = block(x, f"mobilefacenet.layers.{place}")
    x = block(x, "mobilefacenet.pool", depthwise=True, activation=False)
    assert x.shape[2:] == (1, 1)
    return block(x, "mobilefacenet.project", activation=False)[:, :, 0, 0]


@pytest.mark.parametrize("preset", ENCODERS)
def test_it_computes_what_the_papers_describe(preset):
    config, features = ENCODERS[preset]
    model = new_encoder(config, features, seed=1).double().eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            if weight.dim() == 1:  # norms and slopes, which all begin alike
                weight.uniform_(0.5 if name.endswith(("running_var", "weight")) else -1, 1.5, generator=generator)
        inputs = [x.double() for x in sound(features)]
        expected = plain(model.state_dict(), config, features, *inputs)
        torch.testing.assert_close(model(*inputs), expected, rtol=1e-9, atol=1e-12 + 1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("preset", ENCODERS)
def test_a_seed_means_what_it_meant_in_version_0_2(preset):
    golden = json.loads((Path(__file__).parent / "golden" / "encoder.json").read_text())[preset]
    config, features = ENCODERS[preset]
    model = new_encoder(config, features, seed=SEED).eval()
    weights = {name: [w.flatten()[0].item(), w.norm().item()] for name, w in model.named_parameters()}
    assert list(weights) == list(golden["weights"])  # their order is that in which they were drawn
    for name, numbers in golden["weights"].items():
        assert weights[name] == pytest.approx(numbers, rel=1e-5, abs=1e-7), name
    with torch.no_grad():
        got, expected = model(*sound(features)).numpy(), np.array(golden["embeddings"])
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_scoring_leaves_cudnn_on_and_tf32_off_while_it_computes(monkeypatch):
    class Watching(nn.Module):
        def forward(self, x):
            seen.append((torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32, torch.is_inference_mode_enabled()))
            assert x.min() >= 0, "a wrong clip"
            return x + self.training

    for allowed in (True, False):
        seen = []
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
        module = Watching()
        assert embed(module, (np.ones((3, 2)),), device="cpu").tolist() == [[1, 1]] * 3  # in evaluation mode
        assert module.training  # a copy was
        with pytest.raises(AssertionError, match="a wrong clip"):
            ready(module, torch.device("cpu"))(-torch.ones(1, 2))
        assert seen == [(True, False, True)] * 2
        assert torch.backends.cudnn.allow_tf32 is allowed
        assert torch.backends.cudnn.enabled


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


def test_a_strided_depthwise_convolution_stays_in_float32_under_autocast():
    torch.manual_seed(0)
    block = conv_bn(8, 8, 3, stride=2, padding=1, groups=8)
    x = torch.randn(2, 8, 9, 9).to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = block[0](x)
    assert y.dtype == torch.bfloat16
    exact = torch.nn.functional.conv2d(x.float(), block[0].weight, stride=2, padding=1, groups=8)
    torch.testing.assert_close(y, exact.to(torch.bfloat16), atol=0, rtol=0)
    weights = torch.randn_like(exact).to(torch.bfloat16)
    own = torch.autograd.grad(y, (x, block[0].weight), weights)
    expected = torch.autograd.grad(exact, (x, block[0].weight), weights.float())
    for got, wanted in zip(own, expected, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-6)
