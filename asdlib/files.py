"""Writing files so that a reader sees the old content or the new, never half of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from asdlib.errors import AsdError


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


@contextmanager
def only_one(folder: Path) -> Iterator[bool]:
    """Keep other processes of this kind out of ``folder`` while inside; a process that dies lets go.

    Raises :class:`AsdError` where another one is inside. Yields whether the folder is held: where the system has no such locks
    (Windows, some network disks) nobody is kept out.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except BlockingIOError as error:
            raise AsdError(f"another process is at work in {folder}: wait for it, or name another directory") from error
        except OSError:
            held = False
        yield held
    finally:
        os.close(handle)


@contextmanager
def writable(path: str | Path) -> Iterator[Path]:
    """As :class:`replacing`, for a file that the user has named: raises :class:`AsdError` where it cannot be written."""
    path = Path(path)
    try:
        if not path.name or path.is_dir():
            raise AsdError(f"{str(path)!r} is no name of a file: give one")
        if not path.parent.is_dir():
            raise AsdError(f"cannot write {path} (there is no folder {path.parent}): make it, or choose another place")
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise AsdError(f"cannot write {path} ({error.strerror}): check space and permissions") from error
