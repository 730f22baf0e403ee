"""Batch norm and PReLU in one go, for training on a CPU.

One after the other they read or write a map thirteen times in a training step, and it
is kept three times for the backward pass: before the norm, between the two, and behind
them. Here it is eight times, and what lies between is computed anew where it is needed,
in loops that numba compiles. Where numba is not installed (``pip install
'asdlib[fast]'``), and wherever else the loops do not fit, PyTorch does it: the same
function, but for rounding.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asdlib.processes import (
    all_reduce_mean,
    is_synced,
    keep_moments,
    moments_of_all,
    world_size,
)

Kernel = Callable[..., None]


class ConvNorm(nn.Sequential):
    """A convolution, a batch norm and, perhaps, a PReLU or a ReLU, in this order.

    (B, cin, H, W) → (B, cout, H', W').
    """

    def forward(self, x: Tensor) -> Tensor:
        # In evaluation mode, and so when it is exported, it is a plain nn.Sequential.
        if not self.training or len(self) < 3:
            return super().forward(x)
        conv, norm, activation = self
        x = conv(x)
        if not _fits(norm, activation, x):
            return activation(norm(x))
        return norm_prelu(x, cast(nn.BatchNorm2d, norm), _slope(activation, x))


def _fits(norm: nn.Module, activation: nn.Module, x: Tensor) -> bool:
    """Can both modules on maps x (B, C, H, W) be one :func:`norm_prelu`?"""
    return (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and isinstance(activation, nn.PReLU | nn.ReLU)
        # Looked at from outside: what lies between is wanted.
        and not any(_replaced(m) or _hooked(m) for m in (norm, activation))
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.dim() == 4
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.requires_grad
        and torch.is_grad_enabled()
        and x.numel() > x.shape[1]
        and _numba()
    )


def norm_prelu(x: Tensor, norm: nn.BatchNorm2d, slope: Tensor) -> Tensor:
    """max(0, z) + slope · min(0, z) of z = ``norm(x)``, in training mode.

    ``x`` (B, C, H, W) is float32 or bf16, its channels innermost in memory, on the CPU;
    ``slope`` (C,). The running mean and variance of ``norm`` are brought up to date.
    Inside :func:`~asdlib.processes.synced_batch_norms` they are those of the maps of
    all processes.
    """
    processes = world_size() if is_synced(norm) else 1
    n = processes * x.numel() // x.shape[1]
    out, mean, variance = _NormPReLU.apply(
        x, norm.weight, norm.bias, slope, norm.eps, processes
    )
    keep_moments(norm, mean, variance, n)
    return out


class _NormPReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        slope: Tensor,
        eps: float,
        processes: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        from asdlib.learn import _kernels

        rows = _rows(x)
        # Sums of what is near 0 lose nothing, however far away all of it is.
        shift = _as_array(x[0, :, 0, 0].float())
        sums = _added(_kernels.moments, 2, rows, shift) / len(rows)
        mean = shift + sums[0]
        variance = np.maximum(sums[1] - sums[0] ** 2, 0)
        if processes > 1:
            own = torch.from_numpy(mean), torch.from_numpy(variance)
            mean, variance = (moment.numpy() for moment in moments_of_all(*own))
        inverse = 1 / np.sqrt(variance + eps)
        gain = (_as_array(weight) * inverse).astype(np.float32)
        mean = mean.astype(np.float32)
        out = torch.empty_like(x)
        affine = mean, gain, _as_array(bias), _as_array(slope)
        _shared(_kernels.normalised, rows, *affine, _rows(out))
        ctx.save_for_backward(x, bias, slope)
        ctx.fitted = mean, gain, inverse
        ctx.processes = processes
        found = torch.from_numpy(mean), torch.from_numpy(variance.astype(np.float32))
        ctx.mark_non_differentiable(*found)
        return out, *found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        from asdlib.learn import _kernels

        x, bias, slope = ctx.saved_tensors
        mean, gain, inverse = ctx.fitted
        grad = grad.contiguous(memory_format=torch.channels_last)
        given = _rows(x), _rows(grad), mean, gain, _as_array(bias), _as_array(slope)
        sums = _added(_kernels.gradient_sums, 3, *given)
        # d / dx of what mean and variance do, spread over all rows.
        both = np.stack((sums[0], sums[1] * inverse**2)) * gain / len(given[0])
        if ctx.processes > 1:
            both = all_reduce_mean(torch.from_numpy(both)).numpy()
        grad_x = torch.empty_like(x)
        _shared(_kernels.gradient, *given, both.astype(np.float32), _rows(grad_x))
        of_weight, of_bias, of_slope = (
            torch.from_numpy(total.astype(np.float32))
            for total in (sums[1] * inverse, sums[0], sums[2])
        )
        return grad_x, of_weight, of_bias, of_slope, None, None


def _shared(kernel: Kernel, *arrays: np.ndarray) -> None:
    """Call ``kernel`` for all rows (N, C) of the first array, some in each thread."""
    _in_threads(lambda start, end, _: kernel(*arrays, start, end), len(arrays[0]))


def _added(kernel: Kernel, count: int, *arrays: np.ndarray) -> np.ndarray:
    """What ``kernel`` sums up over all rows (N, C) of the first array: (count, C)."""
    shape = torch.get_num_threads(), count, arrays[0].shape[1]
    sums = np.zeros(shape)
    _in_threads(
        lambda start, end, i: kernel(*arrays, sums[i], start, end), len(arrays[0])
    )
    return sums.sum(axis=0)


def _in_threads(call: Callable[[int, int, int], None], rows: int) -> None:
    threads = torch.get_num_threads()
    edges = [rows * i // threads for i in range(threads + 1)]
    if threads == 1:
        call(0, rows, 0)
    else:  # as a list: what one of them raises is raised here
        list(_pool(threads).map(call, edges[:-1], edges[1:], range(threads)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="norm_prelu")


@cache
def _numba() -> bool:
    return find_spec("numba") is not None


def _replaced(module: nn.Module) -> bool:
    return "forward" in vars(module) and not is_synced(module)


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _slope(activation: nn.Module, x: Tensor) -> Tensor:
    """(C,), of a ReLU 0."""
    if isinstance(activation, nn.PReLU):
        return activation.weight.expand(x.shape[1]).contiguous()
    return x.new_zeros(x.shape[1], dtype=torch.float32)


def _as_array(x: Tensor) -> np.ndarray:
    """The same memory; bf16 as uint16, which numpy has no name for."""
    x = x.detach()
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def _rows(x: Tensor) -> np.ndarray:
    """(B, C, H, W), channels innermost → (B · H · W, C), the same memory."""
    return _as_array(x).transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
