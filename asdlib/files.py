"""Files that are never half there, locks on folders, and what is below one.

A reader sees the old content of a file or the new, never half of it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asdlib.errors import AsdError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Write to the path that is given inside; it replaces ``path`` when all is written.

    When that fails, it is removed. File and folder are flushed to the disk before
    and after the rename, so that neither a crash nor a power cut leaves half.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Where a system cannot do that for folders, go on.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # folders on Windows
        return
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Keep other processes of this kind out of ``folder`` (or a file) while inside.

    A process that dies lets go. Where another one is inside, ``wait`` for it, or raise
    :class:`AsdError`. Yields whether the folder is held: where the system has no such
    locks (Windows, some network disks) nobody is kept out.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except BlockingIOError as error:
            raise AsdError(
                f"another process is at work in {folder}: "
                "wait for it, or name another directory"
            ) from error
        except OSError:
            held = False
        yield held
    finally:
        os.close(handle)


@contextmanager
def writable(path: str | Path) -> Iterator[Path]:
    """As :func:`atomic_write`, for a file that the user has named.

    Raises :class:`AsdError` where it cannot be written.
    """
    path = Path(path)
    try:
        if not path.name or path.is_dir():
            raise AsdError(f"{str(path)!r} is no name of a file: give one")
        if not path.parent.is_dir():
            raise AsdError(
                f"cannot write {path} (there is no folder {path.parent}): "
                "make it, or choose another place"
            )
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise AsdError(
            f"cannot write {path} ({error.strerror}): check space and permissions"
        ) from error


_piped: dict[Path, bytes] | None = None  # while they are kept


@contextmanager
def pipes_kept() -> Iterator[None]:
    """Inside, what came out of a pipe is there again when it is read again.

    A job may look at a recording more than once. To the next job, more may come out of
    the same pipe, and that is another recording.
    """
    global _piped
    before = _piped
    _piped = {} if before is None else before
    try:
        yield
    finally:
        _piped = before


def is_pipe(path: str | Path) -> bool:
    """Would reading ``path`` wait for somebody who writes? A broken link would not."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def from_pipe(path: Path) -> bytes:
    """All that comes out of a pipe. Raises :class:`OSError` where it cannot be read."""
    if _piped is not None and path in _piped:
        return _piped[path]
    with open(path, "rb") as pipe:
        content = pipe.read()
    if _piped is not None:
        _piped[path] = content
    return content


def files_below(root: Path) -> Iterator[Path]:
    """Every file below ``root`` that is not hidden.

    Also through links to folders, each folder once. Raises :class:`AsdError` as
    :func:`folders_below`.
    """
    for folder, names in folders_below(root):
        yield from (Path(folder) / name for name in names)


def folders_below(root: str | Path) -> Iterator[tuple[str, list[str]]]:
    """``root`` and every folder below that is not hidden, with the names of its files.

    Raises :class:`AsdError` for a folder that cannot be listed: what is in it would be
    missing without a word.
    """

    def refuse(error: OSError) -> None:
        raise AsdError(
            f"cannot list the folder {error.filename} ({error.strerror}): "
            "check the disk and its permissions, or move the folder away"
        ) from error

    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        # In order: of two ways to one folder the same one counts wherever this runs.
        subfolders[:] = sorted(n for n in subfolders if not n.startswith("."))
        yield folder, [name for name in names if not name.startswith(".")]
