"""Mixtures of the clips of a batch, and of their labels, by one process or by many."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.processes import all_gather, rank


def gathered(
    rng: np.random.Generator, labels: Tensor, *inputs: Tensor
) -> tuple[np.random.Generator, slice, Tensor, list[Tensor]]:
    """The whole batch, of which a process has ``labels`` (B,) and inputs (B, ...).

    A generator that is the same in every process, drawn from the first one's ``rng``;
    where the own rows are; the labels and the inputs of all (processes · B, ...).
    """
    drawn = torch.tensor([rng.integers(2**62)], device=labels.device)
    drawn, every, *wholes = all_gather(drawn, labels, *inputs)
    own = slice(rank() * len(labels), (rank() + 1) * len(labels))
    return np.random.default_rng(int(drawn[0])), own, every, wholes


def draws(
    model: nn.Module, rng: np.random.Generator, labels: Tensor
) -> tuple[np.random.Generator, slice, int]:
    """For what is drawn for each clip of a batch, of which there are ``labels`` (B,).

    A generator, how many clips it shall draw for, and which of them are the own: in
    training those of all processes, which so draw what one would.
    """
    if not model.training:
        return rng, slice(None), len(labels)
    common, own, every, _ = gathered(rng, labels)
    return common, own, len(every)


def blended(
    inputs: Sequence[Tensor], wholes: Sequence[Tensor], partner: Tensor, kept: Tensor
) -> list[Tensor]:
    """Of each input (B, ...) the share ``kept`` (B,), the rest of its partner's.

    ``partner`` (B,) are places in ``wholes``, the inputs of the whole batch (n, ...).
    """
    return [
        torch.lerp(whole[partner], x, kept.view(-1, *[1] * (x.dim() - 1)))
        for x, whole in zip(inputs, wholes, strict=True)
    ]
