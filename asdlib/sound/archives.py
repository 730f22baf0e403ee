"""Files of recordings from elsewhere: checked, then unpacked, all or nothing."""

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from asdlib.errors import AsdError
from asdlib.progress import OnStep

# In the folder of a machine type: all of it is there, from the ZIP with this checksum.
MARKER = ".complete"
# What macOS adds to archives: left packed.
DEBRIS = re.compile(r"^__MACOSX/|(^|/)\.DS_Store$")
UNPACKED = 1.5  # 16-bit WAV comes out of its ZIP about 1.3 times as large
MOST_UNPACKED = 20  # beyond this many times its ZIP it is no recording but an attack


@dataclass(frozen=True)
class File:
    """A file as Zenodo publishes it: ``size`` in bytes, ``checksum`` ``md5:<hex>``."""

    name: str
    size: int
    checksum: str
    url: str


def check(file: File, path: Path) -> None:
    """Raises :class:`AsdError` where ``path`` is not of the file's size and md5."""
    with open(path, "rb") as archive:
        checksum = f"md5:{hashlib.file_digest(archive, 'md5').hexdigest()}"
    if path.stat().st_size != file.size or checksum != file.checksum:
        raise AsdError(
            f"{file.name} arrived damaged (size or checksum is not that of the record) "
            "and was removed: run again"
        )


def check_room(root: Path, files: list[File], *, unpacking: bool) -> None:
    """Raises :class:`AsdError` where ``root`` has too little room.

    One ZIP at a time lies beside what has been unpacked.
    """
    sizes = [file.size for file in files]
    here = sum(
        path.stat().st_size
        for file in files
        for path in (root / f"{file.name}.part", root / file.name)
        if path.is_file()
    )
    needed = UNPACKED * sum(sizes) + max(sizes) if unpacking else sum(sizes)
    needed -= here
    free = shutil.disk_usage(root).free
    if free < needed:
        room = f"{free / 1e9:.1f} GB of the {needed / 1e9:.1f} GB"
        raise AsdError(
            f"{root} has {room} that it takes to unpack the download: "
            "free some space or name another folder"
        )


def unpack(
    file: File, path: Path, folder: Path, on_step: OnStep, *, origin: str = ""
) -> None:
    """Unpack the ZIP at ``path``, which holds ``<machine type>/...``, as ``folder``.

    The folder appears when it is complete, with a mark that says its ``origin``. Raises
    :class:`AsdError` for what is not a plain archive of that machine type, and
    :class:`OSError` where the disk is full.
    """
    # Hidden, so a scan passes over it.
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked_members(file, archive, folder)
            for done, member in enumerate(members, 1):
                target = partial.joinpath(*PurePosixPath(member.filename).parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, open(target, "wb") as clip:
                    # zipfile gives no more than the declared size, and checks the CRC.
                    shutil.copyfileobj(packed, clip)
                on_step(f"unpack {file.name}", done, len(members))
        (partial / MARKER).write_text(f"{file.checksum}\n{origin}\n")
        partial.chmod(0o755)
        partial.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # RuntimeError: encrypted, or an odd compression.
        raise AsdError(
            f"{file.name} is not a sound ZIP archive ({error}) and was removed: "
            f"check {file.url}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _checked_members(
    file: File, archive: zipfile.ZipFile, folder: Path
) -> list[zipfile.ZipInfo]:
    """The files in the archive, once all of it is known to be sound.

    That is plain files below ``<machine type>/``, of a sane total size.
    """
    members = [
        member for member in archive.infolist() if not DEBRIS.search(member.filename)
    ]
    for member in members:
        parts = PurePosixPath(member.filename).parts
        # Backslash and colon are for Windows.
        outside = (
            parts[:1] != (folder.name,)
            or ".." in parts
            or set(member.filename) & set("\\:")
        )
        if (
            outside
            or stat.S_ISLNK(member.external_attr >> 16)
            or (len(parts) < 2 and not member.is_dir())
        ):
            raise AsdError(
                f"{file.name} holds {member.filename!r}, which is no plain file in "
                f"{folder.name}/, and was removed without "
                f"unpacking: check {file.url}"
            )
    total = sum(member.file_size for member in members)
    if total > MOST_UNPACKED * file.size:
        raise AsdError(
            f"{file.name} claims to unpack to {total / 1e9:.2f} GB and was removed: "
            f"check {file.url}"
        )
    if total > shutil.disk_usage(folder.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return [member for member in members if not member.is_dir()]
