"""What the numbers of a machine type are usually like, to bring them to one scale."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from asdlib.learn.batches import batch_of
from asdlib.sound.clips import Clips

AT_ONCE = 256  # clips that are read at a time
LEAST = 0.1  # of the mean spread


def mean_and_spread(
    clips: Clips, numbers: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (k,) of ``numbers(*inputs)`` (n, places, k).

    Over all places of all ``clips``. No number has a spread below a tenth of their
    mean: a band in which nothing ever happened would drown all the others.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for start in range(0, len(clips), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(clips)))
        x = numbers(*batch_of(clips, rows)[0]).flatten(0, 1).double()
        count, total = count + len(x), total + x.sum(dim=0)
        squares = squares + x.square().sum(dim=0)
    mean = total / count
    spread = (squares / count - mean.square()).clamp(min=0).sqrt()
    spread = spread.clamp(min=max(LEAST * spread.mean().item(), 1e-6))
    return mean.float(), spread.float()
