"""Recordings that only ffmpeg can read, as WAV."""

import errno
import io
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import soundfile

from asdlib.errors import AsdError, spelled
from asdlib.sound.whole import refuse, refuse_cut, say

STREAMS = (".aac", ".amr", ".ac3", ".flac")  # have no place for their length, or none
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # a part of a WMA
WHERE = re.compile(r"^\[.*? @ 0x\w+\] *")  # in ffmpeg's own code it finds a fault
LONG, KEPT = 30.0, 2  # seconds; so many of those that are longer stay decoded
KEEPING = threading.Lock()
LOCKS = [threading.Lock() for _ in range(64)]  # one recording is decoded by one thread
_kept: dict[str, tempfile.TemporaryDirectory] = {}
FULL = os.strerror(errno.ENOSPC)
SLACK = 0.5  # seconds; codecs add and drop a little at the ends


@contextmanager
def decoded(
    raw: BinaryIO, path: Path, partial: bool, *, known: bool = True
) -> Iterator[BinaryIO]:
    """What ffmpeg makes of a recording that libsndfile cannot read, as WAV.

    ``known`` is whether it looks like one at all. Raises :class:`AsdError` where there
    is no ffmpeg, or it finds fault.
    """
    program = shutil.which("ffmpeg")
    if program is None and not known:
        raise _unreadable(path, "ffmpeg, which might know it, is not installed")
    if program is None:
        raise AsdError(
            f"{path} can be read by ffmpeg only, which is not installed: install it, "
            f"or convert the file elsewhere (ffmpeg -i {path.name} {path.stem}.wav)"
        )
    with ExitStack() as stack:
        key = ""  # of what is in memory, and not kept
        if not isinstance(raw, io.BytesIO):
            about = os.stat(path)
            key = f"{path.absolute()} {about.st_size} {about.st_mtime_ns} {partial}"
        with LOCKS[hash(key) % len(LOCKS)]:
            file = _kept_file(key)
            if file is None:
                folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
                made = Path(folder.name) / "out.wav"
                with ExitStack() as failed:
                    failed.enter_context(folder)
                    _decode(program, raw, path, made, partial, known)
                    failed.pop_all()
                file = stack.enter_context(open(made, "rb", buffering=0))
                if key and soundfile.info(made).duration > LONG:
                    _keep(key, folder)
                else:
                    stack.enter_context(folder)
        yield cast(BinaryIO, stack.enter_context(file))


def _kept_file(key: str) -> io.FileIO | None:
    with KEEPING:
        folder = _kept.get(key)
        return None if folder is None else io.FileIO(Path(folder.name) / "out.wav")


def _keep(key: str, folder: tempfile.TemporaryDirectory) -> None:
    """Have it at hand when the next clip of the same recording is read."""
    with KEEPING:
        _kept[key] = folder
        while len(_kept) > KEPT:
            _kept.pop(next(iter(_kept))).cleanup()  # who reads it, reads on


def _decode(
    program: str, raw: BinaryIO, path: Path, out: Path, partial: bool, known: bool
) -> None:
    """Write a WAV, ``out``. Raises :class:`AsdError` for faults."""
    name = path
    if isinstance(raw, io.BytesIO):  # ffmpeg goes back and forth in it
        name = out.with_name(f"in{path.suffix}")
        name.write_bytes(raw.getvalue())
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file"]
    command += ["-i", f"file:{name}", "-map", "0:a:0", "-c:a", "pcm_f32le"]
    command += ["-rf64", "auto", f"file:{out}"]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    faults = done.stderr.decode(errors="replace").strip().splitlines()
    faults = [WHERE.sub("", x).replace(f"file:{name}: ", "") for x in faults]
    if any(FULL in fault for fault in faults):
        raise AsdError(
            f"no space in {out.parent.parent} to decode {path}: free some, or set "
            "TMPDIR to another folder"
        )
    something = out.exists() and out.stat().st_size > 0
    if not something or (faults and not partial):
        why = faults[0] if faults else "no sound in it"
        if not something and not known:
            raise _unreadable(path, why)
        how = spelled("partial=True", "--partial")
        raise AsdError(
            f"ffmpeg finds fault with {path} ({why}): remove or replace it"
            + (f", or read what there is ({how})" if something else "")
        )
    if faults:
        say(path, f"ffmpeg finds fault with it ({faults[0]}), read all the same")
    told = _told_seconds(name)
    if told is None:
        say(path, "nothing in it tells whether all is there")
    if (there := raw.seek(0, io.SEEK_END)) < (size := _told_bytes(raw)):
        refuse_cut(path, there, size, partial)
    got = soundfile.info(out).duration
    if told is not None and got < told - SLACK:
        refuse(path, f"{got:.1f} of {told:.1f} s are there", partial)


def _unreadable(path: Path, why: str) -> AsdError:
    return AsdError(f"{path} is not a readable recording ({why}): remove or replace it")


def _told_bytes(raw: BinaryIO) -> int:
    """How large a WMA says that it is: ffmpeg does not care. 0 of other files."""
    raw.seek(0)
    head = raw.read(4096)
    at = head.find(ASF_PROPERTIES)
    size = head[at + 40 : at + 48]  # behind its name, its length and the file's name
    return int.from_bytes(size, "little") if at >= 0 else 0


def _told_seconds(path: Path) -> float | None:
    """How long a file for ffmpeg says that it is; None where it does not."""
    program = shutil.which("ffprobe")
    if program is None or path.suffix.lower() in STREAMS:
        return None
    command = [program, "-v", "error", "-protocol_whitelist", "file"]
    command += ["-show_entries", "format=duration", "-of", "csv=p=0", f"file:{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return float(done.stdout)
    except ValueError:
        return None
