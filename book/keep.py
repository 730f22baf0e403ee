"""Where the chapters keep what they make: a folder keyed by the source of ``asdlib`` and by what it computes with.

Kept apart from ``chapter.py`` because it imports nothing heavy: building the book asks for it, too.
"""

import hashlib
import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


def above(name: str) -> Path | None:
    """The folder ``name`` beside the chapters or in a folder above them."""
    folders = Path(__file__).resolve().parents
    return next(
        (folder / name for folder in folders if (folder / name).is_dir()),
        None,
    )


def key() -> str:
    """Another one whenever a trained run or a simulated clip might come out otherwise."""
    sources = sorted(Path(find_spec("asdlib").origin).parent.rglob("*.py"))
    versions = " ".join(
        version(name) for name in ("torch", "numpy", "umap-learn")
    )
    content = b"".join(path.read_bytes() for path in sources)
    return hashlib.sha256(content + versions.encode()).hexdigest()[:12]


def place() -> Path:
    """The folder, made if need be; ``$ASDLIB_DATA`` names another one."""
    base = above("data") or Path.home() / ".asdlib-book"
    folder = Path(os.environ.get("ASDLIB_DATA") or base / "generated" / key())
    folder.mkdir(parents=True, exist_ok=True)
    return folder
