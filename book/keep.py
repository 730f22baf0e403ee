"""Where the chapters keep what they make: a folder keyed by the code of ``asdlib`` and by what it computes with.

Kept apart from ``chapter.py`` because it imports nothing heavy: building the book asks for it, too.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import asdlib
from asdlib.source import COMPUTING, code_digest

PACKAGE = Path(asdlib.__file__).parent


def above(name: str) -> Path | None:
    """The folder ``name`` beside the chapters or in a folder above them."""
    folders = Path(__file__).resolve().parents
    return next(
        (folder / name for folder in folders if (folder / name).is_dir()),
        None,
    )


def key() -> str:
    """Another one whenever a trained run or a simulated clip might come out otherwise.

    A docstring or a comment changes neither, and nor does what only commands or shows. A page of the book shows both, so
    whether a chapter must be executed again is told by another digest, of every byte: see ``execute`` in ``_ext/build.py``.
    """
    return code_digest(PACKAGE)


def code_of_all() -> str:
    """Another one whenever any code of ``asdlib`` changes: what is only shown may be computed for it (a map, by UMAP)."""
    return code_digest(
        PACKAGE, without=(), packages=(*COMPUTING, "umap-learn")
    )


def place() -> Path:
    """The folder, made if need be, and marked as used now; ``$ASDLIB_DATA`` names another one."""
    base = above("data") or Path.home() / ".asdlib-book"
    folder = Path(os.environ.get("ASDLIB_DATA") or base / "generated" / key())
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    return folder


def recorded(name: str) -> Path | None:
    """``data/recorded/<name>``, which comes with the book, so that nobody has to wait for what takes long; None where it is
    not there, and wherever ``$ASDLIB_TRAIN`` is set: then all is computed anew.
    """
    folder = above("data")
    path = folder / "recorded" / name if folder else None
    if path is None or not path.exists() or os.environ.get("ASDLIB_TRAIN"):
        return None
    return path


def forget(paths: Iterable[Path], *, but: int) -> None:
    """Remove files and folders, except for so many that were used last."""
    by_use = sorted(paths, key=lambda path: path.stat().st_mtime_ns)
    for path in by_use[: max(0, len(by_use) - but)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
