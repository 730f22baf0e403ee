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
        parts = [torch.empty_like(x) for _ in range(world_size())]
        torch.distributed.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        torch.distributed.all_reduce(gradient)
        return gradient.chunk(world_size())[torch.distributed.get_rank()]


class _Mean(torch.autograd.Function):
    """The mean over the processes; so is its gradient, of what all send back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous().clone()
        torch.distributed.all_reduce(x)
        return x / world_size()

    backward = forward


def all_reduce_mean(value: Tensor) -> Tensor:
    """The mean over the processes of a number, or of each in a tensor (...).

    It is no longer differentiated.
    """
    if world_size() == 1:
        return value
    return _Mean.apply(value.detach())


@contextmanager
def synced_batch_norms(model: nn.Module) -> Iterator[None]:
    """Inside, batch norms in training mode see the clips of all processes.

    They take mean and variance over them. torch's own SyncBatchNorm knows GPUs only;
    this one works on any device. Each process must have as many clips as the others.
    """
    modules = model.modules() if world_size() > 1 else ()
    norms = [module for module in modules if isinstance(module, _BatchNorm)]
    for norm in norms:
        # Of this object, instead of its class's.
        vars(norm)["forward"] = partial(_synced_batch_norm, norm)
    try:
        yield
    finally:
        for norm in norms:
            del vars(norm)["forward"]


def _synced_batch_norm(norm: _BatchNorm, x: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, x)
    over = [i for i in range(x.ndim) if i != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    wide = x.float()
    mean = _Mean.apply(wide.mean(over))
    centred = wide - mean.view(shape)
    variance = _Mean.apply((centred**2).mean(over))
    with torch.no_grad():
        n = world_size() * x.numel() // x.shape[1]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * n / (n - 1), norm.momentum)
    out = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out.to(x.dtype)
