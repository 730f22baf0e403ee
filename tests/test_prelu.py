"""PReLU: PyTorch's own is the oracle, in the values and in both gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asdlib import prelu
from asdlib.prelu import PReLU


def gradients(module, x, weights):
    x = x.detach().requires_grad_()
    y = module(x)
    (y * weights).sum().backward()
    return y.detach(), x.grad, module.weight.grad


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 4), st.booleans(), st.integers(0, 2**16), st.sampled_from([1, 7, 2**18]))
def test_values_and_gradients_are_those_of_pytorch(shape, channels_last, seed, piece):
    generator = torch.Generator().manual_seed(seed)
    x, weights = (torch.randn(shape, generator=generator) for _ in range(2))
    x[torch.rand(shape, generator=generator) < 0.2] = 0  # where the slope changes
    ours, theirs = PReLU(shape[1]), nn.PReLU(shape[1])
    slope = torch.randn(shape[1], generator=generator)
    for module in (ours, theirs):
        module.weight.data.copy_(slope)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    kept, prelu.PIECE = prelu.PIECE, piece
    try:
        got, expected = (gradients(module, x, weights) for module in (ours, theirs))
    finally:
        prelu.PIECE = kept
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_the_cpu_path_is_taken_in_training_and_left_in_scoring():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    assert "CpuPReLU" in type(PReLU(3)(x).grad_fn).__name__
    with torch.no_grad():
        assert PReLU(3)(x).grad_fn is None


def test_bfloat16_and_double_work_as_in_pytorch():
    torch.manual_seed(0)
    for dtype, tolerance in ((torch.bfloat16, 2e-2), (torch.float64, 1e-5)):
        x = torch.randn(4, 3, 5, 6).to(memory_format=torch.channels_last)
        weights = torch.randn(4, 3, 5, 6)
        _, grad_x, grad_slope = gradients(PReLU(3), x.to(dtype), weights.to(dtype))
        _, expected_x, expected_slope = gradients(nn.PReLU(3), x, weights)
        assert grad_x.dtype == dtype
        torch.testing.assert_close(grad_x.float(), expected_x, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(grad_slope, expected_slope, atol=10 * tolerance, rtol=tolerance)


def test_state_dicts_are_interchangeable():
    theirs = nn.PReLU(5, init=0.4)
    ours = PReLU(5)
    ours.load_state_dict(theirs.state_dict())
    assert ours.weight.tolist() == pytest.approx([0.4] * 5)
