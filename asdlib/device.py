"""Where it is computed, and with which random numbers."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch

from asdlib.errors import AsdError

DEVICES = ("auto", "cpu", "cuda", "mps")
CPU = torch.device("cpu")


def find_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises :class:`AsdError` when this machine has none such.
    """
    if name not in DEVICES:
        raise AsdError(f"no device {name!r}: choose one of {', '.join(DEVICES)}")
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    if not there[name]:
        raise AsdError(
            f"cannot use the device {name!r}: choose one that this machine has"
        )
    return torch.device(name)


@contextmanager
def seeded(seed: int, part: str) -> Iterator[None]:
    """New weights that are drawn inside depend on (seed, part) only.

    They are drawn on the CPU. The caller's random numbers go on undisturbed.

    >>> with seeded(0, "encoder"):
    ...     first = torch.rand(3)
    >>> with seeded(0, "encoder"):
    ...     print(torch.equal(first, torch.rand(3)))
    True
    """
    with torch_seeded(seed, *part.encode()):
        yield


@contextmanager
def torch_seeded(*numbers: int, device: torch.device = CPU) -> Iterator[None]:
    """Inside, torch's random numbers depend on ``numbers`` (0 or more each) only.

    That holds on the CPU and, where ``device`` is another one, on the current device of
    its kind. Afterwards those generators go on as if nothing had been drawn; those of
    other devices are not touched (``torch.manual_seed`` would seed all GPUs anew).
    """
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    kept = torch.default_generator.get_state()
    there = None if device.type == "cpu" else torch.get_device_module(device)
    kept_there = there.get_rng_state() if there else None
    try:
        torch.default_generator.manual_seed(seed)
        if there:
            there.manual_seed(seed)
        yield
    finally:
        torch.default_generator.set_state(kept)
        if there:
            there.set_rng_state(kept_there)


@cache
def keep_freed_memory() -> None:
    """On Linux, let the C allocator keep freed memory.

    It would return it to the kernel after every operation, and each activation of a
    training step would be mapped and zeroed anew; keeping it doubles the speed on CPU.
    """
    if sys.platform == "linux":
        m_trim_threshold, m_mmap_max = -1, -4
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(m_mmap_max, 0)
            libc.mallopt(m_trim_threshold, -1)
        except (OSError, AttributeError):  # another C library, with its own ways
            pass
