"""One recording as an open file, whatever it is written in, or the reason why not.

soundfile (libsndfile) reads the samples. Here is what it does not tell: that a
recording was cut off (:mod:`asdlib.sound.riff` for WAV and its kin; for the others its
log, and a look at the last samples), and how to come by what it cannot open: pipes,
which can be read once only, and what only ffmpeg reads
(:mod:`asdlib.sound.decoding`).
"""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import soundfile

from asdlib.errors import AsdError
from asdlib.files import from_pipe
from asdlib.sound import aiff, riff
from asdlib.sound.decoding import decoded
from asdlib.sound.kinds import NO_SOUND, PEEK, kind_of
from asdlib.sound.whole import TO_THE_END, refuse, refuse_cut, say

# In libsndfile's log: the size in the header, and what there is of it.
PROMISED = re.compile(
    r"(?:SSND|Data Size|BODY|Data length) *:? (\d+) \(?should be (\d+)"
)
NO_END = re.compile("(?i)end-of-stream (?:bit|flag)")  # in that of OGG: there is none
# Formats whose end has to be looked at before it is known that they were cut, and how
# far from it, in samples: decoders of MP3 give fewer than its header counts.
LAST = {"FLAC": 1, "MP3": 3000, "OGG": 1}
# What tells of itself how long it is, one way or another.
TOLD = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"}
TOLD |= {"SVX", "WVE"}
COUNTS = (b"Xing", b"Info", b"VBRI")  # in the first frame of an MP3 that does
RAW = (".raw", ".pcm", ".sw", ".s16", ".bin", ".dat")  # endings of samples alone
UNKNOWN = 2**60  # frames: nobody has written down how many
# Endings of sound files: what libsndfile reads, and what takes ffmpeg.
_LIBSNDFILE = "wav wave bwf rf64 w64 flac ogg oga opus mp3 mp2 aif aiff aifc au snd caf"
_FFMPEG = "m4a m4b m4r mp4 m4v mov 3gp 3g2 aac webm weba mka mkv wma wmv asf amr ac3 "
_FFMPEG += "wv ape tta dts avi flv mpg mpeg mts m2ts"
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
            known = _is_known(raw, path)
            raw = stack.enter_context(decoded(raw, path, partial, known=known))
            file = _opened(raw, path, partial)
        assert file is not None
        stack.enter_context(file)
        if _check_end(file, path, partial) and file.format == "FLAC":
            # soundfile cannot come to the end of what is there, ffmpeg can.
            raw = stack.enter_context(decoded(raw, path, partial))
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
        yield io.BytesIO(from_pipe(path))
        return
    with open(path, "rb", buffering=0) as file:
        yield cast(BinaryIO, file)


def _opened(raw: BinaryIO, path: Path, partial: bool) -> soundfile.SoundFile | None:
    """The sound in ``raw``, as far as its sizes can be believed.

    None where ffmpeg is needed.
    """
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    head = raw.read(12)
    if not head:
        raise AsdError(f"{path} is an empty file (0 bytes): remove it or copy it again")
    is_riff = riff.is_riff(head)
    if path.suffix.lower() == ".wav" and not is_riff:
        _check_name(raw, path)
    found: riff.Extent | None = None
    try:
        if is_riff:
            found = riff.extent(raw, size)
        elif aiff.is_kin(head):
            found = aiff.extent(raw, size)
    except AsdError as error:
        raise AsdError(f"{path} {error}") from None
    if found is not None and found.missing:
        refuse_cut(path, found.size, found.size + found.missing, partial)
    if found is not None and found.odd:
        say(path, found.odd)
    file = _by_libsndfile(raw, path, found)
    if file is None or is_riff:
        return file
    if file.frames >= UNKNOWN:  # soundfile cannot come to the end of it
        file.close()
        say(path, f"nothing in this {file.format} file tells whether all is there")
        return None
    if found is None:
        _check_log(file, path, partial)
    if file.format not in TOLD or (file.format == "MP3" and not _counts(raw)):
        say(path, f"nothing in this {file.format} file tells whether all is there")
    return file


def _by_libsndfile(
    raw: BinaryIO, path: Path, found: riff.Extent | None
) -> soundfile.SoundFile | None:
    """The sound that was ``found`` in ``raw``; None where libsndfile cannot read it."""
    if found is None or found.plain:
        with suppress(soundfile.LibsndfileError):
            raw.seek(0)
            return soundfile.SoundFile(_handle(raw), closefd=False)
    if found is not None:  # it may stumble over chunks that are not shown to it
        with suppress(soundfile.LibsndfileError):
            return soundfile.SoundFile(riff.WithHead(raw, found), closefd=False)
    return None


def _is_known(raw: BinaryIO, path: Path) -> bool:
    """Does what libsndfile cannot read look like a recording?

    Raises :class:`AsdError` where it certainly is none.
    """
    raw.seek(0)
    if (kind := kind_of(raw.read(PEEK))) in NO_SOUND:
        raise AsdError(f"{path} is no recording ({kind}): download or copy it again")
    if path.suffix.lower() in RAW and kind is None:
        raise AsdError(
            f"{path} does not say what its samples are: give it a header, for example "
            f"sox -t raw -r 16000 -e signed -b 16 -c 1 {path.name} {path.stem}.wav"
        )
    return kind is not None or path.suffix.lower() in BY_FFMPEG


def _check_name(raw: BinaryIO, path: Path) -> None:
    """Is what is called a WAV and is none at least a recording of another kind?"""
    raw.seek(0)
    kind = kind_of(raw.read(PEEK))
    if kind is None or kind in NO_SOUND:
        why = "" if kind is None else f" ({kind})"
        raise AsdError(
            f"{path} is not a WAV file, whatever its name says{why}: remove it, or "
            "download or copy it again"
        )
    say(path, f"read as {kind}, whatever its name says")


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
            say(path, f"its header was never finished, {TO_THE_END}")
        elif there < promised:
            refuse_cut(path, there, promised, partial)


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
    if file.format == "MP3":  # so that what there is can be read
        with suppress(soundfile.LibsndfileError):
            file.seek(0)
    if NO_END.search(file.extra_info):
        refuse(path, "the mark at its end is missing", partial)
    elif not there:
        refuse(path, "its end is not there", partial)
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
