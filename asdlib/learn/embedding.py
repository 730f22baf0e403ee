"""Networks at work: a module over many clips, in evaluation mode and full precision."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.device import find_device, keep_freed_memory
from asdlib.learn.encoder import fold_batch_norms
from asdlib.learn.training import as_float, take
from asdlib.progress import OnStep, silent


def ready(function: Callable, device: torch.device) -> Callable[..., Tensor]:
    """``function``, a module or a bound method of one, of a copy in evaluation mode on ``device``; it answers on the CPU."""
    keep_freed_memory()
    module: nn.Module = getattr(function, "__self__", function)
    copy = fold_batch_norms(deepcopy(module).eval()).to(
        device, memory_format=torch.channels_last
    )
    function = copy if function is module else getattr(copy, function.__name__)

    def full_precision(*inputs: Tensor) -> Tensor:
        allowed = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False  # or a GPU would round to 10 bits
        try:
            with torch.inference_mode():
                return function(*inputs).cpu()
        finally:
            torch.backends.cudnn.allow_tf32 = allowed

    return full_precision


def embed(
    function: Callable,
    arrays: tuple[np.ndarray, ...],
    *,
    device: str = "auto",
    batch_size: int = 32,
    on_step: OnStep = silent,
) -> np.ndarray:
    """``function`` (an encoder, or a model's ``embed``) over arrays of N clips in batches: (N, dim) float32.

    ``function`` is a module or a bound method of one; what runs is a copy in evaluation mode. Always in full precision.
    """
    place = find_device(device)
    function, clips = ready(function, place), len(arrays[0])
    out = []
    for start in range(0, clips, batch_size):
        rows = np.arange(start, min(start + batch_size, clips))
        out.append(function(*on_device(arrays, rows, place)))
        on_step("embed", int(rows[-1]) + 1, clips)
    return torch.cat(out).numpy()


def on_device(
    arrays: tuple[np.ndarray, ...], rows: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    """Some rows of each array as the float32 inputs of a network."""
    return tuple(as_float(take(array, rows).to(device)) for array in arrays)
