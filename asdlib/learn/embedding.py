"""Networks at work: a module over many clips, in evaluation mode and full precision."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.device import find_device, keep_freed_memory
from asdlib.learn.batches import as_float, take
from asdlib.learn.encoder import fold_batch_norms
from asdlib.progress import OnStep, silent


def ready(function: Callable[..., Any], device: torch.device) -> Callable[..., Tensor]:
    """``function`` of a copy in evaluation mode on ``device``; it answers on the CPU.

    ``function`` is a module or a bound method of one. It takes and returns tensors
    (B, ...) of the same shapes as before, in full precision: cuDNN computes, without
    TF32.
    """
    keep_freed_memory()
    module: Any = getattr(function, "__self__", function)
    copy: nn.Module = fold_batch_norms(deepcopy(module).eval())
    # PyTorch's stubs do not know memory formats beside a device.
    copy.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = copy if function is module else getattr(copy, function.__name__)

    def full_precision(*inputs: Tensor) -> Tensor:
        allowed = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False  # or a GPU would round to 10 bits
        try:
            with torch.inference_mode():
                return run(*inputs).cpu()
        finally:
            torch.backends.cudnn.allow_tf32 = allowed

    return full_precision


def embed(
    function: Callable[..., Any],
    arrays: tuple[np.ndarray, ...],
    *,
    device: str = "auto",
    batch_size: int = 32,
    on_step: OnStep = silent,
) -> np.ndarray:
    """``function`` over arrays of N clips, each (N, ...), in batches: (N, dim) float32.

    ``function`` (an encoder, or a model's ``embed``) is a module or a bound method of
    one; what runs is a copy in evaluation mode. Always in full precision. Raises
    :class:`AsdError` for a device that this machine has not.

    >>> embed(nn.Dropout(), (np.ones((3, 2)),), device="cpu", batch_size=2)
    array([[1., 1.],
           [1., 1.],
           [1., 1.]], dtype=float32)
    """
    place = find_device(device)
    run, clips = ready(function, place), len(arrays[0])
    out = []
    for start in range(0, clips, batch_size):
        rows = np.arange(start, min(start + batch_size, clips))
        out.append(run(*on_device(arrays, rows, place)))
        on_step("embed", int(rows[-1]) + 1, clips)
    return torch.cat(out).numpy()


def on_device(
    arrays: tuple[np.ndarray, ...], rows: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    """Some ``rows`` (n,) of each array (N, ...), as the inputs of a network.

    Each (n, ...) float32; int16 waveforms in ±1.
    """
    return tuple(as_float(take(array, rows).to(device)) for array in arrays)
