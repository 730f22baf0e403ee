"""Networks at work: a module over many clips, in evaluation mode and full precision."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asdlib.device import find_device, keep_freed_memory
from asdlib.learn.batches import inputs_of
from asdlib.learn.encoder import fold_batch_norms
from asdlib.progress import OnStep, silent


def ready(function: Callable, device: torch.device) -> Callable[..., Tensor]:
    """``function``, of a copy in evaluation mode on ``device``.

    ``function`` is a module or a bound method of one. It answers on the CPU, in full
    precision.
    """
    keep_freed_memory()
    module: Any = getattr(function, "__self__", function)
    copy: Any = fold_batch_norms(deepcopy(module).eval())
    copy = copy.to(device, memory_format=torch.channels_last)
    copied = copy if function is module else getattr(copy, function.__name__)

    def full_precision(*inputs: Tensor) -> Tensor:
        allowed = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False  # or a GPU would round to 10 bits
        try:
            with torch.inference_mode():
                return copied(*inputs).cpu()
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
    """``function`` over arrays (N, ...) of N clips, in batches: (N, dim) float32.

    ``function`` is an encoder, or a model's ``embed``: a module or a bound method of
    one; what runs is a copy in evaluation mode. Always in full precision.
    """
    place = find_device(device)
    run, clips = ready(function, place), len(arrays[0])
    out = []
    for start in range(0, clips, batch_size):
        rows = np.arange(start, min(start + batch_size, clips))
        out.append(run(*inputs_of(arrays, rows, place)))
        on_step("embed", int(rows[-1]) + 1, clips)
    return torch.cat(out).numpy()
