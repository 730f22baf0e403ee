"""Writing files so that a reader sees the old content or the new, never half of it."""

import os
from pathlib import Path

from safetensors.torch import save
from torch import Tensor


class replacing:  # noqa: N801 (used as a verb: `with replacing(path) as temporary:`)
    """Write beside ``path``, then rename over it; what a failed writer leaves is removed."""

    def __init__(self, path: Path):
        self.path, self.temporary = Path(path), Path(path).with_name(f".{Path(path).name}.{os.getpid()}.part")

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.temporary.replace(self.path)
        finally:
            self.temporary.unlink(missing_ok=True)


def write_tensors(tensors: dict[str, Tensor], path: Path, *, metadata: dict[str, str]) -> None:
    """Write tensors as a safetensors file. Raises OSError where it cannot be written (safetensors' own writer would not)."""
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
