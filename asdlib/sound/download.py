"""Real recordings, such as DCASE 2020 Task 2: downloaded, checked and unpacked.

::

    <out>/<part>/<machine type>/{train,test}/*.wav

The terms of each collection are in its row of :data:`asdlib.sound.layouts.LAYOUTS`. A
machine type's folder appears only when it is complete. What has arrived of a file stays
beside it as ``<name>.part`` and the next call goes on from there.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import requests

from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent
from asdlib.sound.archives import MARKER, File, check, check_room, unpack
from asdlib.sound.layouts import LAYOUTS, Layout
from asdlib.sound.published import Part

log = logging.getLogger("asdlib")
T = TypeVar("T")
ZENODO_API = "https://zenodo.org/api"
PARTS = LAYOUTS["dcase2020"].parts
MACHINE_TYPES = PARTS["dev"].machine_types
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
PAUSES = (1, 2, 4, 8)  # seconds before each further try
DROPPED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
BLOCK = 1 << 16  # bytes; at most this much is lost when a connection drops


def published() -> list[str]:
    """The layouts that can be downloaded."""
    return [name for name, row in LAYOUTS.items() if row.parts]


def download(
    out: str | Path,
    *,
    part: str | None = None,
    machine_types: Iterable[str] | None = None,
    layout: str = "dcase2020",
    api: str = ZENODO_API,
    on_step: OnStep = silent,
) -> list[Path]:
    """Download a part of a collection; its folders ``<out>/<part>/<machine type>``.

    ``layout`` is one of :data:`asdlib.sound.layouts.LAYOUTS`, ``part`` one of its parts
    (None: the first), such as "dev" (development), "add" (additional training) or
    "eval" (evaluation, without labels); ``machine_types`` are some of those in it, all
    when None. ``api`` is the address of a Zenodo. ``on_step(name, done, total)`` is
    called with a file's name and bytes as they arrive, and with clips as they are
    unpacked. Types that are complete already are skipped, without a request. Archives
    that are no ZIP are checked and left packed: their paths are returned, and a line
    says what unpacks them.

    Raises :class:`AsdError` for an unknown layout, part or type, when a type's folder
    exists and is not from here, or of another collection, when Zenodo cannot be reached
    or lacks the file, when a file arrives damaged or is not a plain archive of its
    machine type, and when the disk has too little room or cannot be written.
    """
    row, part, wanted = _asked_for(layout, part, machine_types)
    root, about = Path(out) / part, row.parts[part]
    packed = [name for name in wanted if name in about.volumes]
    missing = [name for name in wanted if not _is_complete(root, about, name)]
    for machine_type in missing:
        if machine_type not in packed and os.path.lexists(root / machine_type):
            raise AsdError(
                f"{root / machine_type} exists and is not a finished download: "
                "move it away or name another folder"
            )
    if missing:
        names = [name for kind in missing for name in about.files(kind)]
        record = f"{api.rstrip('/')}/records/{about.record}"
        files = {file.name: file for file in _published(record, names)}
        _compare(about, files.values())
        try:
            root.mkdir(parents=True, exist_ok=True)
            check_room(root, list(files.values()), unpacking=not packed)
            for kind in missing:
                for name in about.files(kind):
                    into = None if kind in packed else kind
                    _bring(files[name], root, into, _origin(about), on_step)
        except OSError as error:
            raise AsdError(
                f"cannot write to {root} ({error.strerror}): "
                "free some space or name another folder"
            ) from error
    for machine_type in packed:
        first = root / about.files(machine_type)[0]
        log.warning(
            "%s is left packed: 7z x '%s' -o'%s' unpacks it", machine_type, first, root
        )
    return [
        root / (about.files(name)[0] if name in packed else name) for name in wanted
    ]


def _asked_for(
    layout: str, part: str | None, machine_types: Iterable[str] | None
) -> tuple[Layout, str, list[str]]:
    """The row, the part and the machine types, once they are known to be there."""
    if layout not in LAYOUTS:
        raise AsdError(f"no layout {layout!r}: choose one of {', '.join(published())}")
    row = LAYOUTS[layout]
    if not row.parts:
        raise AsdError(
            f"{row.name} cannot be downloaded here: choose one of "
            f"{', '.join(published())}"
        )
    part = next(iter(row.parts)) if part is None else part
    if part not in row.parts:
        raise AsdError(
            f"no part {part!r} of {row.name}: choose one of {', '.join(row.parts)}"
        )
    there = row.types_of(part)
    wanted = list(dict.fromkeys(there if machine_types is None else machine_types))
    for machine_type in wanted:
        if machine_type not in there:
            raise AsdError(
                f"no machine type {machine_type!r} in {row.name}, part {part}: "
                f"choose from {', '.join(there)}"
            )
    return row, part, wanted


def _is_complete(root: Path, part: Part, machine_type: str) -> bool:
    if machine_type in part.volumes:
        return all((root / name).is_file() for name in part.files(machine_type))
    mark = root / machine_type / MARKER
    if not mark.is_file():
        return False
    _, _, origin = mark.read_text().strip().partition("\n")
    if origin not in ("", _origin(part)):  # other years have files of the same names
        raise AsdError(
            f"{mark.parent} holds what was published as {origin}, and this is "
            f"{_origin(part)}: name another folder"
        )
    return True


def _origin(part: Part) -> str:
    return f"record {part.record}"


def _compare(part: Part, files: Iterable[File]) -> None:
    """Say where the record's checksums are not those known beforehand."""
    others = [
        file.name
        for file in files
        if file.name in part.md5 and file.checksum != f"md5:{part.md5[file.name]}"
    ]
    unknown = [file.name for file in files if file.name not in part.md5]
    if others:
        log.warning(
            "the record says another checksum than was known beforehand of %s: the "
            "file may have been replaced; it is checked by the record",
            ", ".join(others),
        )
    if unknown:
        log.warning(
            "checksum by the record alone, not checked beforehand: %s",
            ", ".join(unknown),
        )


def _bring(
    file: File, root: Path, machine_type: str | None, origin: str, on_step: OnStep
) -> None:
    """A file, checked and unpacked as the folder of its machine type (None: as it is).

    Raises :class:`AsdError` for one that is damaged, and removes it.
    """
    arriving = root / f"{file.name}.part"
    if machine_type is None and (root / file.name).is_file():
        return
    _fetch(file, arriving, on_step)
    try:
        check(file, arriving)
        if machine_type is None:
            arriving.rename(root / file.name)
            return
        unpack(file, arriving, root / machine_type, on_step, origin=origin)
    except AsdError:
        # It is of no use; on a full disk (OSError) it is, and stays.
        arriving.unlink()
        raise
    arriving.unlink()


def _persist(url: str, attempt: Callable[[], T]) -> T:
    """What ``attempt()`` returns, tried again while connection or server fails."""
    for pause in (*PAUSES, None):
        try:
            return attempt()
        except requests.RequestException as error:
            status = None if error.response is None else error.response.status_code
            passing = (
                status in (429, 500, 502, 503, 504)
                if status
                else isinstance(error, DROPPED)
            )
            if pause is None or not passing:
                why = f"HTTP status {status}" if status else type(error).__name__
                raise AsdError(
                    f"cannot get {url} ({why}): "
                    "check the address and the network, then run again"
                ) from error
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _published(url: str, names: list[str]) -> list[File]:
    """The files called ``names`` in the record at ``url``."""

    def attempt() -> requests.Response:
        response = requests.get(url, timeout=TIMEOUT)
        response.raise_for_status()
        return response

    response = _persist(url, attempt)
    try:
        entries = {entry["key"]: entry for entry in response.json()["files"]}
        absent = [name for name in names if name not in entries]
        found = [entries[name] for name in names if name in entries]
        files = [
            File(x["key"], int(x["size"]), x["checksum"], x["links"]["self"])
            for x in found
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise AsdError(
            f"{url} did not answer with a Zenodo record: check the address"
        ) from error
    if absent:
        raise AsdError(
            f"the record {url} has no file {', '.join(absent)}: "
            "check the address or leave that machine type out"
        )
    return files


def _fetch(file: File, path: Path, on_step: OnStep) -> None:
    """Bring ``path`` to the full size of ``file``, from where it ends."""

    def attempt() -> None:
        done = path.stat().st_size if path.exists() else 0
        if done == file.size:
            return
        headers = {"Accept-Encoding": "identity"} | (
            {"Range": f"bytes={done}-"} if done else {}
        )
        with requests.get(
            file.url, headers=headers, stream=True, timeout=TIMEOUT
        ) as response:
            if response.status_code == 416:
                # The server's file ends before: what is here is of another one.
                path.unlink(missing_ok=True)
                raise requests.ConnectionError("the next try starts over")
            response.raise_for_status()
            if response.status_code != 206:  # the server sends all of it
                done = 0
            with open(path, "ab" if done else "wb") as partial:
                for block in response.iter_content(BLOCK):
                    partial.write(block)
                    done += len(block)
                    on_step(file.name, done, file.size)
                    if done > file.size:
                        # Not the file of the record, so do not let it fill the disk:
                        # the check refuses it.
                        return
        if done < file.size:
            raise requests.ConnectionError(f"closed after {done} of {file.size} bytes")

    _persist(file.url, attempt)
