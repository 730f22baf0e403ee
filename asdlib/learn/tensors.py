"""Tensors as files: safetensors, in which nothing is executed when they are read."""

from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from asdlib.files import atomic_write


def write_tensors(
    tensors: dict[str, Tensor], path: Path, *, metadata: dict[str, str]
) -> None:
    """Write tensors (...) of any shape and type as a safetensors file.

    Raises OSError where it cannot be written (safetensors' own writer would not).
    """
    content = save(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, metadata
    )
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
