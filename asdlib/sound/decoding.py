"""Recordings that only ffmpeg can read, as WAV."""

import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import soundfile

from asdlib.errors import AsdError, spelled
from asdlib.sound.whole import refuse, refuse_cut, say

STREAMS = (".aac", ".amr", ".ac3", ".flac")  # have no place for their length, or none
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # a part of a WMA
WHERE = re.compile(r"^\[.*? @ 0x\w+\] *")  # in ffmpeg's own code it finds a fault
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
    with tempfile.TemporaryDirectory() as folder:
        name, out = path, Path(folder) / "out.wav"
        if isinstance(raw, io.BytesIO):  # ffmpeg goes back and forth in it
            name = Path(folder) / f"in{path.suffix}"
            name.write_bytes(raw.getvalue())
        command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file"]
        command += ["-i", f"file:{name}", "-map", "0:a:0", "-c:a", "pcm_f32le"]
        command += ["-rf64", "auto", f"file:{out}"]
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
        faults = done.stderr.decode(errors="replace").strip().splitlines()
        faults = [WHERE.sub("", x).replace(f"file:{name}: ", "") for x in faults]
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
        with open(out, "rb", buffering=0) as file:
            got = soundfile.info(out).duration
            if told is not None and got < told - SLACK:
                refuse(path, f"{got:.1f} of {told:.1f} s are there", partial)
            yield cast(BinaryIO, file)


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
