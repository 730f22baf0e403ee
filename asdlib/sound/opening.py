"""One recording as an open file, whatever it is written in, or the reason why not.

soundfile (libsndfile) reads the samples. Here is what it does not tell: that a
recording was cut off (:mod:`asdlib.sound.riff` for WAV and its kin; for the others its
log, and a look at the last sample), and how to come by what it cannot open: pipes,
which can be read once only, and formats that only ffmpeg knows.
"""

import io
import logging
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import BinaryIO, cast

import soundfile

from asdlib.errors import AsdError, spelled
from asdlib.sound import riff

log = logging.getLogger("asdlib")
# In libsndfile's log: the size in the header, and what there is of it.
PROMISED = re.compile(
    r"(?:SSND|Data Size|BODY|Data length) *:? (\d+) \(?should be (\d+)"
)
NO_END = "lacks an end-of-stream bit"  # in that of OGG
# Formats that can be cut without a word in the log, and how far from its end a file is
# looked into, in samples: decoders of MP3 give fewer than its header counts.
LAST = {"FLAC": 1, "MP3": 3000}
# What tells of itself how long it is, one way or another.
TOLD = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"}
TOLD |= {"SVX", "WVE"}
COUNTS = (b"Xing", b"Info", b"VBRI")  # in the first frame of an MP3 that does
UNKNOWN = 2**60  # frames: nobody has written down how many
# Endings of sound files: what libsndfile reads, and what takes ffmpeg.
_LIBSNDFILE = "wav wave bwf rf64 w64 flac ogg oga opus mp3 mp2 aif aiff aifc au snd caf"
_FFMPEG = "m4a m4b mp4 m4v mov 3gp aac webm weba mka mkv wma wmv amr ac3 wv ape"
BY_FFMPEG = frozenset(f".{ending}" for ending in _FFMPEG.split())
ENDINGS = BY_FFMPEG | {f".{ending}" for ending in _LIBSNDFILE.split()}


@contextmanager
def sound_file(
    path: str | Path, *, partial: bool = False
) -> Iterator[soundfile.SoundFile]:
    """The recording at ``path``, open to be read.

    One that is not whole is refused, or read as far as it goes where ``partial``, which
    is said. Raises :class:`AsdError` for that, and for what is missing, damaged, or in
    no format that can be read here.
    """
    path = Path(path)
    with readable(path), ExitStack() as stack:
        raw = stack.enter_context(_bytes_of(path))
        file = _opened(raw, path, partial)
        if file is None:
            raw = stack.enter_context(_decoded(raw, path, partial))
            file = _opened(raw, path, partial)
        assert file is not None
        stack.enter_context(file)
        if _check_end(file, path, partial) and file.format == "FLAC":
            # soundfile cannot come to the end of what is there, ffmpeg can.
            raw = stack.enter_context(_decoded(raw, path, partial))
            file = _opened(raw, path, partial)
            assert file is not None
            stack.enter_context(file)
        yield file


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise :class:`AsdError` about ``path`` for what cannot be read inside."""
    try:
        yield
    except OSError as error:
        raise AsdError(
            f"cannot read {path} ({error.strerror}): check the file and its permissions"
        ) from error
    except soundfile.LibsndfileError as error:
        raise AsdError(
            f"{path} is not a readable recording ({error.error_string.rstrip('.')}): "
            "remove or replace it"
        ) from error


@contextmanager
def _bytes_of(path: Path) -> Iterator[BinaryIO]:
    """The file at ``path``; of a pipe, all that comes out of it."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise AsdError(f"no file {path}: check the name") from None
    if stat.S_ISDIR(mode):
        raise AsdError(f"{path} is a folder: name recordings")
    if not stat.S_ISREG(mode):
        yield io.BytesIO(_from_pipe(path))
        return
    with open(path, "rb", buffering=0) as file:
        yield cast(BinaryIO, file)


@lru_cache(maxsize=4)  # a command may look at a recording twice
def _from_pipe(path: Path) -> bytes:
    with open(path, "rb") as pipe:
        return pipe.read()


def _opened(raw: BinaryIO, path: Path, partial: bool) -> soundfile.SoundFile | None:
    """The sound in ``raw``, as far as its sizes can be believed.

    None where ffmpeg is needed.
    """
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    head = raw.read(12)
    if not head:
        raise AsdError(f"{path} is an empty file (0 bytes): remove it or copy it again")
    raw.seek(0)
    if not riff.is_riff(head):
        if path.suffix.lower() == ".wav":
            raise AsdError(
                f"{path} is not a WAV file, whatever its name says: remove or convert "
                "it"
            )
        try:
            file = soundfile.SoundFile(_handle(raw), closefd=False)
        except soundfile.LibsndfileError:
            if path.suffix.lower() not in BY_FFMPEG:
                raise
            return None
        if file.frames >= UNKNOWN:  # soundfile cannot come to the end of it
            file.close()
            say(path, f"nothing in this {file.format} file tells whether all is there")
            return None
        _check_log(file, path, partial)
        if file.format not in TOLD or (file.format == "MP3" and not _counts(raw)):
            say(path, f"nothing in this {file.format} file tells whether all is there")
        return file
    try:
        found = riff.extent(raw, size)
    except AsdError as error:
        raise AsdError(f"{path} {error}") from None
    if found.missing:
        _cut(path, found.size, found.size + found.missing, partial)
    if found.odd:
        say(path, found.odd)
    raw.seek(0)
    shown = _handle(raw) if found.plain else riff.WithHead(raw, found)
    return soundfile.SoundFile(shown, closefd=False)


def _handle(raw: BinaryIO) -> BinaryIO | int:
    """What soundfile reads fastest: the system's handle, whatever the file's name."""
    try:
        return raw.fileno()
    except OSError:  # in memory
        return raw


def _check_log(file: soundfile.SoundFile, path: Path, partial: bool) -> None:
    """Hold what the header promises against what libsndfile has found."""
    told = file.extra_info
    if found := PROMISED.search(told):
        promised, there = map(int, found.groups())
        if riff.stands_in(promised):
            say(path, f"its header was never finished, {riff.TO_THE_END}")
        elif there < promised:
            _cut(path, there, promised, partial)
    if NO_END in told:
        _refuse(path, "the mark at its end is missing", partial)


def _check_end(file: soundfile.SoundFile, path: Path, partial: bool) -> bool:
    """Are the last samples missing?"""
    last = min(LAST.get(file.format, 0), file.frames)
    if not last or not file.seekable():
        return False
    try:
        file.seek(file.frames - last)
        there = len(file.read(1))
    except soundfile.LibsndfileError:
        there = 0
    if not there:
        _refuse(path, "its end is not there", partial)
        return True
    file.seek(0)
    return False


def _counts(raw: BinaryIO) -> bool:
    """Does an MP3 say how long it is, behind the tags that may be in front?"""
    at = raw.tell()
    raw.seek(0)
    head = raw.read(10)
    tags = 0
    if head[:3] == b"ID3":
        tags = 10 + sum(byte << 7 * i for i, byte in enumerate(reversed(head[6:])))
    raw.seek(tags)
    first = raw.read(512)
    raw.seek(at)
    return any(word in first for word in COUNTS)


def _cut(path: Path, there: int, promised: int, partial: bool) -> None:
    share = f"{there / promised:.1%} of the sound that its header promises"
    _refuse(path, share, partial)


def _refuse(path: Path, how: str, partial: bool) -> None:
    """What is not whole: refused, or said."""
    if not partial:
        raise truncated(path, how)
    say(path, f"truncated ({how}), read as far as it goes")


def truncated(path: str | Path, how: str) -> AsdError:
    """The error to raise about a recording that is not whole: how that is known."""
    return AsdError(
        f"{path} is truncated ({how}): copy or download it again, or read what there "
        f"is ({spelled('partial=True', '--partial')})"
    )


@cache  # it is opened more than once
def say(path: Path, what: str) -> None:
    """Say something about a recording, once."""
    log.warning("%s: %s", path, what)


@contextmanager
def _decoded(raw: BinaryIO, path: Path, partial: bool) -> Iterator[BinaryIO]:
    """What ffmpeg makes of a recording that libsndfile cannot read, as WAV.

    Raises :class:`AsdError` where there is no ffmpeg, or it finds fault.
    """
    program = shutil.which("ffmpeg")
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
        something = out.exists() and out.stat().st_size > 0
        if not something or (faults and not partial):
            why = faults[-1] if faults else "no sound in it"
            how = spelled("partial=True", "--partial")
            raise AsdError(
                f"ffmpeg finds fault with {path} ({why}): remove or replace it"
                + (f", or read what there is ({how})" if something else "")
            )
        if faults:
            say(path, f"ffmpeg finds fault with it ({faults[-1]}), read all the same")
        with open(out, "rb", buffering=0) as file:
            yield cast(BinaryIO, file)
