"""How much sound an AIFF, CAF or AU really holds, as :mod:`asdlib.sound.riff` of a WAV.

libsndfile tells of some that they were cut off; of others it reads as much as their
header says, though there is more, or nothing at all.
"""

import struct
from typing import BinaryIO

from asdlib.errors import AsdError
from asdlib.sound.riff import WRAP, Chunks, Extent


def is_kin(head: bytes) -> bool:
    """Do these 12 bytes begin a file that is looked into here?"""
    aiff = head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC")
    return aiff or head[:4] in (b"caff", b".snd")


def extent(file: BinaryIO, size: int) -> Extent | None:
    """The sound of ``file``, which has ``size`` bytes in all; None where none is found.

    Its head is the file's own, with the size of what there is. Raises
    :class:`AsdError`, a sentence without its subject, where it cannot be known how much
    of what lies there is sound.
    """
    file.seek(0)
    kinds = {b"caff": _Caf, b".snd": _Au}
    chunks = kinds.get(file.read(4), Chunks)(file, size)
    for name, at, length in chunks.walk(chunks.first):
        if name not in (b"SSND", b"data"):
            continue
        ahead = 0  # of the sound, and counted with it
        if name == b"SSND":
            (offset,) = struct.unpack(">I", chunks.bytes_at(at, 4).ljust(4, b"\0"))
            ahead = 8 + offset
        elif isinstance(chunks, _Caf):
            ahead = 4
        start = at + ahead
        if start > size:
            return None
        claimed = max(0, length - ahead)
        found, odd = chunks.held(start, claimed)
        missing = max(0, claimed - found) if not odd else 0
        found = min(found, size - start)
        head = bytearray(chunks.bytes_at(0, start))
        place, packed = (8, ">I") if name == b"data" else (at - 4, ">I")
        if isinstance(chunks, _Caf):
            place, packed = at - 8, ">q"
        elif found + start >= WRAP:
            raise AsdError("is longer than such a file can be: convert it to FLAC")
        struct.pack_into(packed, head, place, found + ahead)
        if name == b"SSND":
            struct.pack_into(">I", head, 4, start + found - 8)
        plain = not odd and not missing
        return Extent(start, found, bytes(head), odd, missing, plain)
    return None


class _Unpadded(Chunks):
    """Chunks that nothing fills up, in a file that does not say how long it is."""

    start = 0  # of the first

    def __init__(self, file: BinaryIO, size: int):
        super().__init__(file, size)
        self.first, self.whole = self.start, -1

    def after(self, begin: int, length: int) -> int:
        """Where the next chunk begins."""
        return begin + max(0, length)


class _Caf(_Unpadded):
    """The chunks of a CAF: their sizes have 8 bytes."""

    start = 8

    def chunk(self, at: int) -> tuple[bytes, int, int] | None:
        """As of other files; the size of what is still being written is -1."""
        raw = self.bytes_at(at, 12)
        if len(raw) < 12 or not raw[:4].isascii():
            return None
        (length,) = struct.unpack(">q", raw[4:])
        return (raw[:4], at + 12, length) if length >= -1 else None


class _Au(_Unpadded):
    """An AU as one chunk: its header says where the sound begins, and its size."""

    def chunk(self, at: int) -> tuple[bytes, int, int] | None:
        """The sound, and nothing else."""
        raw = self.bytes_at(0, 12)
        if at or len(raw) < 12:
            return None
        start, length = struct.unpack(">II", raw[4:])
        return b"data", start, length
