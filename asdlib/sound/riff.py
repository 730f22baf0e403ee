"""How much sound a WAV really holds, whatever the sizes in its header say.

Programs that write into a pipe, and recorders that lose power, never come back to fill
in the sizes; 32 bits are too few for a recording of more than 4 GiB; copies are cut.
libsndfile then reads what there is, or nothing, and does not say so. Here the chunks of
RIFF, RIFX, RF64, BW64 and W64 are walked as far as the sound, and what is claimed is
held against what lies there. Sizes that touch no sample are passed over; where it
cannot be known what is sound, nothing is read.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from asdlib.errors import AsdError
from asdlib.sound.whole import TO_THE_END

WRAP = 2**32
# What is written where no size is known: 0, 7FFFFFFF, 80000000, FFFFFFFF and their
# neighbours (SoX: 7FFFF000, and in AIFF 7F000000).
STANDS_IN = (0x7F000000, 2**31, 2**32, 2**63, 2**64)
NEAR = 2**16
APPENDED = 1024  # bytes behind the last chunk, at most, that are taken for no sound
W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
# May be cut, behind the sound, and take nothing of it along.
TRAILERS = (
    b"LIST list INFO id3  ID3  bext iXML cue  fact smpl inst PEAK JUNK junk FLLR PAD "
    b"_PMX acid adtl axml chna cart afsp ltxt note labl plst umid SNDM guan dbmd "
    b"NAME AUTH ANNO (c)  COMT MARK INST MIDI AESD APPL CHAN SAXL info free strg uuid"
)
MORE = (b"data", b"SSND", b"RIFF", b"RIFX", b"RF64", b"FORM")  # has sound of its own


@dataclass(frozen=True)
class Extent:
    """The sound of a file: ``size`` bytes from ``start``.

    ``head`` is a header that says so. ``odd`` tells what the file's own says instead
    ("" where it says the same). ``missing`` bytes it promises that are not there.
    ``plain`` is a file that libsndfile reads in the same way by itself: a RIFF with its
    format in front of the sound and no byte left out. (BW64 it does not know, in RF64
    it stumbles over chunks of odd length, and what follows the sound of a W64 it takes
    for more of that.)
    """

    start: int
    size: int
    head: bytes
    odd: str = ""
    missing: int = 0
    plain: bool = True


def is_riff(head: bytes) -> bool:
    """Do these 12 bytes begin a file that is looked into here?"""
    names = (b"RIFF", b"RIFX", b"RF64", b"BW64")
    return head == W64[:12] or (head[:4] in names and head[8:] == b"WAVE")


def extent(file: BinaryIO, size: int) -> Extent:
    """The sound of ``file``, which has ``size`` bytes in all and begins as a WAV.

    Raises :class:`AsdError`, a sentence without its subject, where no sound is found
    and where it cannot be known how much of what lies there is sound.
    """
    chunks = Chunks(file, size)
    form: bytes | None = None
    data: tuple[int, int] | None = None
    plain = chunks.name in (b"RIFF", b"RIFX")
    for name, at, length in chunks.walk(chunks.first):
        if name == b"fmt " and form is None:
            plain = plain and data is None
            form = chunks.bytes_at(at, min(length, 4096))
        elif name == b"data" and data is None:
            data = at, chunks.long_size(length)
        if form is not None and data is not None:
            break
    if data is None or form is None or len(form) < 16:
        lacks = "format of its sound" if data else "sound (no data chunk)"
        raise AsdError(
            f"has no {lacks} in it, so it was cut off or never finished: copy it or "
            "record it again"
        )
    start, claimed = data
    plain = plain and not chunks.unpadded
    length, odd = chunks.held(start, claimed)
    missing = max(0, claimed - length) if not odd else 0
    (block,) = struct.unpack(f"{chunks.order}H", form[12:14])
    length -= length % max(block, 1)
    plain = plain and not odd and not missing
    return Extent(start, length, chunks.header(form, length), odd, missing, plain)


class Chunks:
    """The chunks of a file: how they are written, and where they lie.

    Raises :class:`AsdError` where it cannot be known how much of it is sound.
    """

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size
        head = self.bytes_at(0, 12)
        self.name = head[:4]
        self.unpadded = False  # is a byte left out that should fill up a chunk?
        self.wide = head == W64[:12]  # names of 16 bytes, sizes that count all
        self.order = ">" if head[:4] in (b"RIFX", b"FORM") else "<"
        self.first = 40 if self.wide else 12
        # Of the whole file, as it says itself.
        (self.whole,) = struct.unpack(f"{self.order}I", head[4:8])
        self.whole += 8
        self.long: int | None = None  # of the sound, in RF64

    def bytes_at(self, at: int, count: int) -> bytes:
        if at >= self.size:  # a size that makes no sense may point anywhere
            return b""
        self.file.seek(at)
        return self.file.read(count)

    def chunk(self, at: int) -> tuple[bytes, int, int] | None:
        """Name, begin and length of the chunk at ``at``; None where there is none."""
        head = 24 if self.wide else 8
        raw = self.bytes_at(at, head)
        name = raw[:4]
        letters = all(0x20 <= byte < 0x7F for byte in name) and name.strip()
        if len(raw) < head or not letters:
            return None
        if self.wide:
            (length,) = struct.unpack("<Q", raw[16:])
            if length and not stands_in(length):  # or it counts this head, too
                length -= head
            return (name, at + head, length) if length >= 0 else None
        (length,) = struct.unpack(f"{self.order}I", raw[4:])
        return name, at + head, length

    def after(self, begin: int, length: int) -> int:
        """Where the next chunk begins."""
        at = begin + length
        padded = at + -length % (8 if self.wide else 2)
        # What stands a byte too far may look like a chunk, too: who leads somewhere?
        if at != padded and not self.leads_on(padded) and self.leads_on(at):
            self.unpadded = True
            return at
        return padded

    def leads_on(self, at: int, steps: int = 8) -> bool:
        """Do chunks from ``at`` lead to the sound, or to the end of the file?"""
        if at >= self.size or not steps:
            return at - self.size <= 8
        found = self.chunk(at)
        if found is None or found[0] == b"data":
            return found is not None
        end = found[1] + found[2]
        if end > self.size:
            return found[0] in TRAILERS
        padded = end + -found[2] % (8 if self.wide else 2)
        return any(self.leads_on(place, steps - 1) for place in {padded, end})

    def walk(self, at: int) -> Iterator[tuple[bytes, int, int]]:
        """The chunks from ``at`` on, as long as there are some."""
        while at < self.size and (found := self.chunk(at)):
            yield found
            if found[0] == b"ds64":
                sizes = self.bytes_at(found[1], 16)
                if len(sizes) == 16:
                    self.whole, self.long = struct.unpack("<QQ", sizes)
                    self.whole += 8
            at = self.after(*found[1:])

    def long_size(self, length: int) -> int:
        """The size of the sound, of which a chunk says that it is ``length``."""
        return self.long if self.long is not None and length == WRAP - 1 else length

    def held(self, start: int, claimed: int) -> tuple[int, str]:
        """How many bytes from ``start`` are sound, and what is odd about it.

        The header claims so many. As many as there are where they are fewer.
        """
        there = self.size - start
        if claimed == there or self.is_followed(start, claimed):
            return claimed, ""
        # More than stands there is there, too, behind a pipe that ran for long.
        unknown = stands_in(claimed)
        unknown = unknown and (claimed > there or not self.is_zero(start + claimed))
        if claimed <= 0 or unknown:
            return there, f"its header was never finished, {TO_THE_END}"
        if claimed > there:
            counted = claimed - there in (start, start - 8)
            return there, f"its header counts itself, {TO_THE_END}" if counted else ""
        if rounds := (there - claimed) // WRAP:
            full = claimed + rounds * WRAP
            known = full == there or self.is_followed(start, full)
            told = f"it is longer than its header can say, {TO_THE_END}"
            return full if known else there, told
        if abs(self.whole - self.size) <= 8 and not self.is_zero(start + claimed):
            return there, f"its header says too little, {TO_THE_END}"
        if there - claimed <= APPENDED or self.is_zero(start + claimed):
            return claimed, ""
        raise AsdError(
            f"has {there} bytes where its header speaks of {claimed} bytes of sound: "
            "it was never finished, or something was appended, so write it again with "
            "what made it"
        )

    def is_followed(self, start: int, length: int) -> bool:
        """Do chunks, and nothing else, follow so many bytes of sound?"""
        at = self.after(start, length)
        if at >= self.size:
            return at - self.size <= 8 and start + length <= self.size
        for name, begin, long in self.walk(at):
            at = self.after(begin, long)
            if name in MORE and long:
                raise AsdError(
                    "has more sound behind the first (several pieces, or files one "
                    "behind the other): write it again in one piece, or split it"
                )
            if begin + long > self.size:
                return name in TRAILERS
        return at >= self.size

    def is_zero(self, at: int) -> bool:
        """Are there zeros only from ``at`` to the end, as of space taken in advance?"""
        self.file.seek(at)
        while piece := self.file.read(2**20):
            if piece.strip(b"\0"):
                return False
        return True

    def header(self, form: bytes, length: int) -> bytes:
        """A header, as far as the sound, of so many bytes of sound of this format."""
        form += b"\0" * (len(form) % 2)
        size, body = f"{self.order}I", len(form) + 20 + length
        if body < WRAP - NEAR:
            name, long, sizes = (b"RIFX" if self.order == ">" else b"RIFF"), b"", length
        else:
            name, sizes = b"RF64", WRAP - 1
            long = struct.pack("<4sIQQQI", b"ds64", 28, body + 36, length, 0, 0)
            body = WRAP - 1
        parts = [name, struct.pack(size, body), b"WAVE", long]
        parts += [b"fmt ", struct.pack(size, len(form)), form]
        return b"".join([*parts, b"data", struct.pack(size, sizes)])


def stands_in(size: int) -> bool:
    """Is it no size, but what is written where none is known?"""
    return any(-NEAR <= size - mark < NEAR for mark in STANDS_IN)


class WithHead(io.RawIOBase):
    """A file as if another head stood before its sound: what libsndfile is shown."""

    def __init__(self, file: BinaryIO, found: Extent):
        self._file, self._found, self._at = file, found, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = len(self._found.head) + self._found.size
        self._at = offset + {0: 0, 1: self._at, 2: end}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        head, found = self._found.head, self._found
        count = min(len(buffer), len(head) + found.size - self._at)
        if count <= 0:
            return 0
        if self._at < len(head):
            piece = head[self._at : self._at + count]
        else:
            self._file.seek(found.start + self._at - len(head))
            piece = self._file.read(count)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
