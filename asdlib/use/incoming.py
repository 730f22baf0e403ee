"""Sound as it comes in: raw samples, or a WAV whose header says what they are."""

import io
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from asdlib.errors import AsdError
from asdlib.sound.riff import WRAP, is_riff, stands_in

log = logging.getLogger("asdlib")
PIECE = 2**16  # bytes that are waited for, at most
LONGEST = 2**24  # bytes of a chunk in front of the sound, at most
PCM, EXTENSIBLE = 1, 0xFFFE  # formats of a WAV
# How files begin that are no samples, with what they are called.
FILES = {
    b"fLaC": "FLAC",
    b"OggS": "OGG",
    b"ID3": "MP3",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
    b"riff": "W64",
    b"\x1a\x45\xdf\xa3": "WebM",
}


@dataclass(frozen=True)
class Incoming:
    """What comes in: 16-bit samples of ``channels`` taking turns, at ``rate`` Hz.

    The rate is None where nothing tells it. ``size`` are the bytes of sound (None: as
    many as come), of which those in ``begun`` have been read. ``big`` samples have
    their large byte first.
    """

    rate: int | None = None
    channels: int = 1
    size: int | None = None
    big: bool = False
    begun: bytes = b""


def recognised(stream: io.BufferedIOBase) -> Incoming:
    """What comes in on ``stream``, by how it begins.

    Raises :class:`AsdError` where nothing comes, and for what is neither raw samples
    nor a WAV of 16 bits.
    """
    head = stream.read(12)
    if not head:
        raise AsdError(
            "nothing came in: pipe sound into this command, for example that of "
            "arecord -q -t raw -f S16_LE -r 16000"
        )
    if is_riff(head) and head[:4] != b"riff":
        return _of_wav(stream, big=head[:4] == b"RIFX")
    name = next((FILES[mark] for mark in FILES if head.startswith(mark)), None)
    if head[4:8] == b"ftyp":
        name = "MP4"
    if name is not None:
        raise AsdError(f"a file of {name} came in, no samples: {_mend()}")
    return Incoming(begun=head)


def _of_wav(stream: io.BufferedIOBase, *, big: bool) -> Incoming:
    """What the header of a WAV says, as far as its sound, which is read next."""
    order = ">" if big else "<"
    form = b""
    while len(head := stream.read(8)) == 8:
        name = head[:4]
        (size,) = struct.unpack(f"{order}I", head[4:])
        if name == b"data":
            break
        if size > LONGEST:
            raise AsdError(f"the WAV that came in has a damaged header: {_mend()}")
        content = stream.read(size + size % 2)
        form = content if name == b"fmt " else form
    else:
        raise AsdError("the WAV that came in ends before its sound: send all of it")
    if len(form) < 16:
        raise AsdError(f"the WAV that came in does not say its format: {_mend()}")
    kind, channels, rate, _, _, bits = struct.unpack(f"{order}HHIIHH", form[:16])
    if kind == EXTENSIBLE and len(form) >= 26:
        (kind,) = struct.unpack(f"{order}H", form[24:26])
    if (kind, bits) != (PCM, 16) or not channels or not rate:
        raise AsdError(
            f"the WAV that came in has samples of {bits} bits in format {kind}, and "
            f"only whole numbers of 16 bits can be read here: {_mend()}"
        )
    unknown = size == 0 or stands_in(size) or size == WRAP - 1
    return Incoming(rate, channels, None if unknown else size, big)


def _mend() -> str:
    return (
        "decode it on the way, for example ffmpeg -i pipe:0 -f s16le -ac 1 -ar 16000 -"
    )


def pieces(
    stream: io.BufferedIOBase, incoming: Incoming, channel: int = 0
) -> Iterator[np.ndarray]:
    """The samples (n,) int16 of one channel, as they come.

    What is left of a sample at the end is said in the log.
    """
    frame = 2 * incoming.channels
    kind = ">i2" if incoming.big else "<i2"
    left, odd = incoming.size, incoming.begun
    while True:
        whole = len(odd) // frame * frame
        if whole:
            samples = np.frombuffer(odd[:whole], kind).reshape(-1, incoming.channels)
            yield samples[:, channel].astype(np.int16)
            odd = odd[whole:]
        piece = stream.read1(PIECE if left is None else min(PIECE, left))
        if not piece:
            break
        left = None if left is None else left - len(piece)
        odd += piece
    if left:
        log.warning("the sound ended %d bytes before its header said", left)
    if odd:
        log.warning("%d bytes at the end are no whole sample, and left out", len(odd))
