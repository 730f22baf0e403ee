"""Momentum contrast: keys from an encoder that follows another, and their queue.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR
2020, arXiv 1911.05722.
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QUEUE = 1024  # keys
MOMENTUM, TEMPERATURE = 0.99, 0.07


def weightless(module: nn.Module) -> nn.Module:
    """A copy of ``module`` whose weights are buffers: nothing trains them."""
    copy = deepcopy(module)
    for part in copy.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, weight.detach())
    return copy


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, *, momentum: float = MOMENTUM) -> None:
    """A step of the weights of ``slow``, made by :func:`weightless`, after ``fast``."""
    own = dict(slow.named_buffers())
    for name, weight in fast.named_parameters():
        own[name].lerp_(weight, 1 - momentum)


def pushed(
    queue: Tensor, owners: Tensor, keys: Tensor, new: Tensor
) -> tuple[Tensor, Tensor]:
    """A ``queue`` (n, D) of keys and their ``owners`` (n,), with ``keys`` (m, D) of
    ``new`` (m,) at its end; the oldest are gone."""
    size = len(queue)
    return torch.cat([queue, keys])[-size:], torch.cat([owners, new])[-size:]


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, itself: Tensor) -> Tensor:
    """The mean loss L_c of ``queries`` (N, D) and their ``keys`` (N, D), a scalar.

    ``queue`` (n, D) are the keys of others, but for those that ``itself`` (N, n) names.
    All are of length 1.
    """
    # Not -inf: a weight of 0 times -inf would be nan.
    least = torch.finfo(queries.dtype).min
    others = (queries @ queue.T / TEMPERATURE).masked_fill(itself, least)
    own = (queries * keys).sum(dim=1, keepdim=True) / TEMPERATURE
    first = torch.zeros(len(own), dtype=torch.long, device=own.device)
    return F.cross_entropy(torch.cat([own, others], dim=1), first)
