"""Real recordings, such as DCASE 2020 Task 2: downloaded, checked and unpacked.

::

    <out>/<part>/<machine type>/{train,test}/*.wav

The sets are published under CC BY-NC-SA 4.0. A machine type's folder appears only when
it is complete. What has arrived of a ZIP stays beside it as ``<name>.part`` and the
next call goes on from there.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import requests

from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent
from asdlib.sound.archives import MARKER, File, unpack
from asdlib.sound.layouts import LAYOUTS

T = TypeVar("T")
ZENODO_API = "https://zenodo.org/api"
PARTS = LAYOUTS["dcase2020"].parts
MACHINE_TYPES = LAYOUTS["dcase2020"].machine_types
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
PAUSES = (1, 2, 4, 8)  # seconds before each further try
DROPPED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
BLOCK = 1 << 16  # bytes; at most this much is lost when a connection drops
UNPACKED = 1.5  # 16-bit WAV comes out of its ZIP about 1.3 times as large


def download(
    out: str | Path,
    *,
    part: str = "dev",
    machine_types: Iterable[str] | None = None,
    layout: str = "dcase2020",
    api: str = ZENODO_API,
    on_step: OnStep = silent,
) -> list[Path]:
    """Download a part of a collection; its folders ``<out>/<part>/<machine type>``.

    Of DCASE 2020 Task 2, ``part`` is "dev" (development), "add" (additional training)
    or "eval" (evaluation, without labels); ``machine_types`` are some of
    :data:`MACHINE_TYPES`, all when None. ``layout`` is another collection of
    :data:`asdlib.sound.layouts.LAYOUTS`, ``api`` the address of a Zenodo.
    ``on_step(name, done, total)`` is called with a ZIP's name and bytes as they arrive,
    and with clips as they are unpacked. Types that are complete already are skipped,
    without a request.

    Raises :class:`AsdError` for an unknown layout, part or type, when a type's folder
    exists and is not from here, when Zenodo cannot be reached or lacks the file, when a
    file arrives damaged or is not a plain archive of its machine type, and when the
    disk has too little room or cannot be written.
    """
    if layout not in LAYOUTS:
        raise AsdError(f"no layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    row = LAYOUTS[layout]
    if part not in row.parts:
        raise AsdError(
            f"no part {part!r} of {row.name}: choose one of {', '.join(row.parts)}"
        )
    wanted = list(
        dict.fromkeys(row.machine_types if machine_types is None else machine_types)
    )
    for machine_type in wanted:
        if machine_type not in row.machine_types:
            raise AsdError(
                f"no machine type {machine_type!r} in {row.name}: "
                f"choose from {', '.join(row.machine_types)}"
            )
    root = Path(out) / part
    missing = [
        machine_type
        for machine_type in wanted
        if not (root / machine_type / MARKER).is_file()
    ]
    for machine_type in missing:
        if os.path.lexists(root / machine_type):
            raise AsdError(
                f"{root / machine_type} exists and is not a finished download: "
                "move it away or name another folder"
            )
    if missing:
        record, name = row.parts[part]
        files = _published(
            f"{api.rstrip('/')}/records/{record}",
            [name.format(machine_type) for machine_type in missing],
        )
        try:
            root.mkdir(parents=True, exist_ok=True)
            _check_room(root, files)
            for machine_type, file in zip(missing, files, strict=True):
                archive = root / f"{file.name}.part"
                _fetch(file, archive, on_step)
                try:
                    _check(file, archive)
                    unpack(file, archive, root / machine_type, on_step)
                except AsdError:
                    # It is of no use; on a full disk (OSError) it is, and stays.
                    archive.unlink()
                    raise
                archive.unlink()
        except OSError as error:
            raise AsdError(
                f"cannot write to {root} ({error.strerror}): "
                "free some space or name another folder"
            ) from error
    return [root / machine_type for machine_type in wanted]


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


def _check_room(root: Path, files: list[File]) -> None:
    """One ZIP at a time lies beside what has been unpacked."""
    sizes = [file.size for file in files]
    here = sum(
        path.stat().st_size
        for file in files
        if (path := root / f"{file.name}.part").exists()
    )
    needed = UNPACKED * sum(sizes) + max(sizes) - here
    free = shutil.disk_usage(root).free
    if free < needed:
        room = f"{free / 1e9:.1f} GB of the {needed / 1e9:.1f} GB"
        raise AsdError(
            f"{root} has {room} that it takes to unpack the download: "
            "free some space or name another folder"
        )


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


def _check(file: File, path: Path) -> None:
    with open(path, "rb") as archive:
        checksum = f"md5:{hashlib.file_digest(archive, 'md5').hexdigest()}"
    if path.stat().st_size != file.size or checksum != file.checksum:
        raise AsdError(
            f"{file.name} arrived damaged (size or checksum is not that of the record) "
            "and was removed: run again"
        )
