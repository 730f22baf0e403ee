"""Where the feature cache lies, how large it is and may grow, and how it is emptied."""

import json
import math
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asdlib.errors import AsdError
from asdlib.sound.shards import ABOUT, FILES, NAME, PARTIAL, discard, sweep

LIMIT = 50.0  # GB, where $ASDLIB_CACHE_GB does not set another


def default_folder() -> Path:
    """Where the cache is: ``$ASDLIB_CACHE``, else in the user's cache folder."""
    import platformdirs

    return Path(
        os.environ.get("ASDLIB_CACHE") or platformdirs.user_cache_path("asdlib")
    )


def limit() -> float:
    """How large the cache may grow, in bytes: ``$ASDLIB_CACHE_GB``, else :data:`LIMIT`.

    Raises :class:`AsdError` for what is not a number above 0.
    """
    text = os.environ.get("ASDLIB_CACHE_GB") or str(LIMIT)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 < gigabytes < math.inf:
        raise AsdError(
            f"ASDLIB_CACHE_GB is {text!r}: set it to the size, in GB, that the feature "
            "cache may have"
        )
    return gigabytes * 1e9


@dataclass(frozen=True)
class Usage:
    """What a cache holds: clips, bytes, and when its parts were last used."""

    folder: Path
    clips: int
    bytes: int
    oldest_use: datetime | None
    newest_use: datetime | None


@dataclass(frozen=True)
class _Entry:
    path: Path
    used: float  # seconds since 1970
    bytes: int
    clips: int


def usage(folder: Path | None = None) -> Usage:
    """What the cache in ``folder`` (None: the usual one) holds."""
    folder = folder or default_folder()
    entries = list(_entries(folder))
    used = [datetime.fromtimestamp(entry.used).astimezone() for entry in entries]
    return Usage(
        folder,
        sum(entry.clips for entry in entries),
        sum(entry.bytes for entry in entries),
        min(used, default=None),
        max(used, default=None),
    )


def evict(folder: Path, limit: float, *, keep: Collection[Path] = ()) -> None:
    """Remove what was not used for longest, until ``limit`` bytes are left.

    The shards ``keep`` stay, even where they alone are more.
    """
    entries = sorted(_entries(folder), key=lambda entry: (entry.used, entry.path))
    total = sum(entry.bytes for entry in entries)
    for entry in entries:
        if total <= limit:
            return
        if entry.path not in keep:
            with suppress(OSError):  # another process was first, or it is not ours
                discard(entry.path)
            total -= entry.bytes


def clear(folder: Path | None = None) -> Usage:
    """Empty the cache in ``folder`` (None: the usual one); what it held.

    What another process is writing at the moment stays, and who reads goes on. Raises
    :class:`AsdError`, and removes nothing, where the folder holds anything but a cache,
    and where something cannot be removed.
    """
    folder = folder or default_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.name.startswith(PARTIAL) and not _is_ours(path):
            raise AsdError(
                f"{folder} holds {path.name}, which is not of the feature cache: "
                "nothing was removed; move it away or name another folder"
            )
    held = usage(folder)
    for entry in list(_entries(folder)):
        try:
            discard(entry.path)
        except FileNotFoundError:
            continue  # another process was first
        except OSError as error:
            raise AsdError(
                f"cannot remove {entry.path} ({error.strerror}): check its permissions"
            ) from error
    sweep(folder)
    return held


def _is_ours(path: Path) -> bool:
    """Is it a shard, or what is left of one, and nothing else?"""
    if not NAME.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    return FILES.issuperset(os.listdir(path))


def _entries(folder: Path) -> Iterator[_Entry]:
    """The shards in ``folder``, also those of older formats."""
    for path in folder.iterdir() if folder.is_dir() else ():
        # It may go at any moment; what is damaged counts by what is left of it.
        with suppress(FileNotFoundError):
            if not _is_ours(path):
                continue
            stats = [file.stat() for file in path.iterdir()]
            about = path / ABOUT
            used = (about if about.exists() else path).stat().st_mtime
            clips = 0
            with suppress(OSError, ValueError, KeyError, TypeError):
                clips = int(json.loads(about.read_text())["clips"])
            yield _Entry(path, used, sum(stat.st_size for stat in stats), clips)
