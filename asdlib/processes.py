"""One process or many: what the processes that ``torchrun`` starts share.

Each process has a share of every batch, and one of them writes. So that N processes
with batches of B/N do what one does with a batch of B, the contrastive loss compares
the clips of all of them (:func:`all_gather`), and batch norms take the statistics of
all (:func:`synced_batch_norms`); gradients are averaged by DistributedDataParallel. In
a single process all of this does nothing.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, partial
from itertools import count
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from asdlib.errors import AsdError

_groups = count()  # one after the other, in each process alike


def world_size() -> int:
    """How many processes torchrun has started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Which of all processes this is, from 0."""
    return int(os.environ.get("RANK", 0))


def is_first() -> bool:
    """Is this the process that writes?"""
    return rank() == 0


def local_rank() -> int:
    """Which of the processes of this machine this is, from 0."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_world_size() -> int:
    """How many processes torchrun has started on this machine; 1 without torchrun."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Inside, the processes that torchrun started know each other.

    Nothing where it started none, or they do already. ``device`` is "cpu", "cuda" or
    "mps". Raises :class:`AsdError` where there are more processes than GPUs.
    """
    if world_size() == 1 or torch.distributed.is_initialized():
        yield
        return
    if device == "cuda":
        here, gpus = local_rank(), torch.cuda.device_count()
        if here >= gpus:
            raise AsdError(
                f"{here + 1} processes or more on a machine with {gpus} GPUs: start "
                "one for each"
            )
        torch.cuda.set_device(here)
    store, number, size = _meeting_point()
    torch.distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        # The store still holds the addresses of an earlier group of these processes.
        store=torch.distributed.PrefixStore(f"asdlib {next(_groups)}", store),
        rank=number,
        world_size=size,
        timeout=timedelta(days=1),  # others wait while one fills the feature cache
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@cache
def _meeting_point() -> tuple[torch.distributed.Store, int, int]:
    """The store that all processes share, which this is, and how many there are.

    Once for all groups: a connection for each of them stalls for seconds now and then.
    """
    return next(torch.distributed.rendezvous("env://"))


@contextmanager
def that_may_stop() -> Iterator[None]:
    """Inside, when another process stops, this one does so with a sentence.

    Raises :class:`AsdError` then.
    """
    try:
        yield
    except RuntimeError as error:
        lost = re.search("gloo|nccl|connection", str(error), re.IGNORECASE)
        if world_size() == 1 or not lost:
            raise
        raise AsdError(
            "another process has stopped, and said why: this one stops, too"
        ) from error


def barrier() -> None:
    """Go on when every process has come here."""
    if world_size() > 1:
        with that_may_stop():
            torch.distributed.barrier()


def all_gather(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all processes: (n, ...) of each → (processes · n, ...).

    In the same order in each process, with gradients back to each. Outside training,
    and in a single process: as they are.

    >>> all_gather(torch.tensor([1, 2]))
    (tensor([1, 2]),)
    """
    if world_size() == 1 or not torch.is_grad_enabled():
        return tensors
    return tuple(_Gather.apply(tensor.contiguous()) for tensor in tensors)


class _Gather(torch.autograd.Function):
    """(n, ...) of each process → (processes · n, ...).

    Its gradient is the sum of what all processes send back to these rows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.cat(_of_all(x))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        torch.distributed.all_reduce(gradient)
        return gradient.chunk(world_size())[torch.distributed.get_rank()]


def _of_all(x: Tensor) -> list[Tensor]:
    """``x`` of each process, in the same order in each."""
    parts = [torch.empty_like(x) for _ in range(world_size())]
    torch.distributed.all_gather(parts, x)
    return parts


def all_reduce_mean(value: Tensor) -> Tensor:
    """The mean over the processes of a number, or of each in a tensor (...).

    It is no longer differentiated.
    """
    if world_size() == 1:
        return value
    value = value.detach().contiguous().clone()
    torch.distributed.all_reduce(value)
    return value / world_size()


@contextmanager
def synced_batch_norms(model: nn.Module) -> Iterator[None]:
    """Inside, batch norms in training mode see the clips of all processes.

    They take mean and variance over them: on GPUs by torch's own SyncBatchNorm, which
    knows nothing else, elsewhere by one of ours. Each process must have as many clips
    as the others.
    """
    modules = model.modules() if world_size() > 1 else ()
    norms = [module for module in modules if isinstance(module, _BatchNorm)]
    kinds = [type(norm) for norm in norms]
    for norm in norms:
        if norm.weight is not None and norm.weight.is_cuda:
            norm.__class__ = nn.SyncBatchNorm
            vars(norm)["process_group"] = None  # of all
        else:
            # Of this object, instead of its class's.
            vars(norm)["forward"] = partial(_synced_batch_norm, norm)
    try:
        yield
    finally:
        for norm, kind in zip(norms, kinds, strict=True):
            norm.__class__ = kind
            for name in ("forward", "process_group"):
                vars(norm).pop(name, None)


def is_synced(norm: nn.Module) -> bool:
    """Does this batch norm, inside :func:`synced_batch_norms`, go by ours?"""
    forward = vars(norm).get("forward")
    return isinstance(forward, partial) and forward.func is _synced_batch_norm


def moments_of_all(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) over all processes, from those of each, in float64.

    Each has as many numbers as the others.
    """
    both = torch.stack((mean, variance)).double()
    means, variances = torch.stack(_of_all(both)).unbind(1)
    mean = means.mean(0)
    return mean, variances.mean(0).clamp(min=0) + (means - mean).square().mean(0)


@torch.no_grad()
def keep_moments(norm: _BatchNorm, mean: Tensor, variance: Tensor, n: int) -> None:
    """Bring the running moments of ``norm`` up to date by those of ``n`` numbers: (C,).

    As PyTorch does, with the unbiased variance.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (n / (n - 1)), norm.momentum)


def _synced_batch_norm(norm: _BatchNorm, x: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, x)
    ones = torch.ones(x.shape[1])
    weight, bias = (norm.weight, norm.bias) if norm.affine else (ones, 0 * ones)
    out, mean, variance = _SyncedNorm.apply(x, weight, bias, norm.eps)
    keep_moments(norm, mean, variance, world_size() * x.numel() // x.shape[1])
    return out


class _SyncedNorm(torch.autograd.Function):
    """Batch norm of (B, C, ...) by mean and variance (C,) over all processes.

    They meet once on the way there and once on the way back, for two rows of C numbers;
    of the maps only the input is kept. Gradients of weight and bias are this process's
    own.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        aten = torch.ops.aten
        nothing = None, None
        _, own, inverse = aten.native_batch_norm(x, *nothing, *nothing, True, 0.0, eps)
        mean, variance = moments_of_all(own, inverse**-2 - eps)
        mean, variance = mean.float(), variance.float()
        out, *_ = aten.native_batch_norm(
            x, weight, bias, mean, variance, False, 0.0, eps
        )
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            grad,
            x,
            weight,
            None,
            None,
            mean,
            inverse,
            True,
            ctx.eps,
            [False, True, True],
        )
        n, shape = x.numel() // x.shape[1], [1, -1] + [1] * (x.ndim - 2)
        both = all_reduce_mean(torch.stack((of_weight, of_bias))) / n
        along, rest = (inverse * both[0]).view(shape), both[1].view(shape)
        grad_x = grad.float() - rest  # also of bf16: rounded once, at the end
        grad_x.addcmul_(along, x.float() - mean.view(shape), value=-1)
        grad_x.mul_((weight * inverse).view(shape))
        return grad_x.to(x.dtype), of_weight, of_bias, None
