"""Batch norm and PReLU in one go: PyTorch's two modules are the oracle, in values, gradients and running statistics."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asdlib import norm_prelu
from asdlib.encoder import conv_bn
from asdlib.norm_prelu import ConvNorm


def layers(cin, cout, activation, *, seed=0):
    """A block of ours and PyTorch's own, of the same random weights."""
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(cout)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    if isinstance(activation, nn.PReLU):
        nn.init.normal_(activation.weight)
    parts = nn.Conv2d(cin, cout, 1, bias=False), norm, activation
    return ConvNorm(*parts), nn.Sequential(*copy.deepcopy(parts))


def maps(shape, *, offset=0.0, dtype=torch.float32):
    return (torch.randn(shape) + offset).to(dtype).to(memory_format=torch.channels_last)


def trained_on(module, x):
    """What comes out, every gradient, and the running statistics."""
    x = x.detach().requires_grad_()
    y = module(x)
    weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
    (y.float() * weights).sum().backward()
    gradients = {name: weight.grad for name, weight in module.named_parameters()}
    return {"y": y.detach(), "x": x.grad} | gradients | dict(module.named_buffers())


def assert_alike(ours, theirs, *, tolerance):
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        assert ours[name].dtype == expected.dtype, name
        scale = expected.double().abs().max().item() + 1e-30
        torch.testing.assert_close(ours[name] / scale, expected / scale, atol=tolerance, rtol=0, msg=lambda m, n=name: n + m)


def name_of(y):
    return type(y.grad_fn).__name__


@settings(max_examples=30, deadline=None, derandomize=True)  # a number that rounds to either side of 0 is bad luck
@given(
    st.integers(1, 3), st.integers(1, 70), st.integers(3, 9), st.integers(3, 9),
    st.sampled_from([nn.PReLU, nn.ReLU, None]), st.sampled_from([1, 3]), st.integers(0, 2**16),
)  # fmt: skip
def test_values_gradients_and_statistics_are_those_of_the_modules(count, channels, height, width, kind, threads, seed):
    activation = kind() if kind else nn.PReLU(channels)
    ours, theirs = layers(3, channels, activation, seed=seed)
    x = maps((count, 3, height, width))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(2):  # the statistics go on from those of the first batch
            assert_alike(trained_on(ours, x), trained_on(theirs, x), tolerance=1e-4)
        assert "NormPReLU" in name_of(ours(x))
    finally:
        torch.set_num_threads(before)


def test_maps_far_from_zero_lose_nothing():
    ours, theirs = layers(4, 4, nn.PReLU(4))
    for block in (ours, theirs):
        nn.init.eye_(block[0].weight.data.view(4, 4))
    x = maps((4, 4, 9, 9), offset=1000.0)
    exact, got = trained_on(theirs.double(), x.double()), trained_on(ours, x)
    # A gradient of the convolution is a small difference of large numbers, whoever computes it.
    for name in set(exact) - {"0.weight"}:
        scale = exact[name].double().abs().max()
        torch.testing.assert_close(got[name].double() / scale, exact[name].double() / scale, atol=3e-4, rtol=0)


def test_bf16_is_rounded_once_after_all():
    """Nearer to the exact figures than the modules, which round in between."""
    ours, theirs = layers(8, 16, nn.PReLU(16))
    x = maps((4, 8, 9, 9))
    y = ours[0](x).detach().to(torch.bfloat16).requires_grad_()
    got = norm_prelu.norm_prelu(y, ours[1], ours[2].weight)
    exact = theirs[2](theirs[1](y.detach().float()))
    assert got.dtype == torch.bfloat16
    assert (got.float() - exact).abs().max() <= 2**-8 * exact.abs().max()
    weights = torch.randn(got.shape).to(torch.bfloat16)
    (grad,) = torch.autograd.grad(got, y, weights)
    wide = y.detach().float().requires_grad_()
    (expected,) = torch.autograd.grad(theirs[2](theirs[1](wide)), wide, weights.float())
    assert grad.dtype == torch.bfloat16
    torch.testing.assert_close(grad.float(), expected, atol=2**-7 * expected.abs().max().item(), rtol=2**-7)


def test_less_is_kept_for_the_backward_pass():
    def kept(module, x):
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.update({t.data_ptr(): t.nbytes}) or t, lambda t: t):
            y = module(x)
        return sum(sizes.values()), y

    ours, theirs = layers(32, 32, nn.PReLU(32))
    x = maps((4, 32, 16, 16)).requires_grad_()
    # The convolution keeps its input, ours what it gave; PyTorch's also what lies between norm and PReLU.
    assert kept(theirs, x)[0] - kept(ours, x)[0] == pytest.approx(x.nbytes, rel=0.01)


@pytest.mark.parametrize("why", ["no numba", "a hook", "contiguous", "evaluation", "no gradient", "other momentum"])
def test_where_it_does_not_fit_the_modules_do_it(why, monkeypatch):
    ours, theirs = layers(3, 5, nn.PReLU(5))
    x = maps((2, 3, 4, 4))
    if why == "no numba":
        monkeypatch.setattr(norm_prelu, "_numba", lambda: False)
    if why == "contiguous":
        x = x.contiguous()
    if why == "evaluation":
        ours.eval(), theirs.eval()
    if why == "other momentum":
        ours[1].momentum = theirs[1].momentum = None
    seen = []
    if why == "a hook":
        ours[1].register_forward_hook(lambda module, given, out: seen.append(out))
    if why == "no gradient":
        with torch.no_grad():
            torch.testing.assert_close(ours(x), theirs(x))
    else:
        assert "NormPReLU" not in name_of(ours(x))
        theirs(x)
    assert_alike(dict(ours.named_buffers()), dict(theirs.named_buffers()), tolerance=1e-6)
    assert len(seen) == (why == "a hook")


def test_a_block_has_the_names_of_a_sequential():
    block = conv_bn(2, 3, 3)
    assert list(block.state_dict())[:2] == ["0.weight", "1.weight"]
    nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.PReLU(3)).load_state_dict(block.state_dict())
