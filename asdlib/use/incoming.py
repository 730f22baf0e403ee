"""Sound as it comes in: raw samples, or a WAV whose header says what they are."""

import io
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from asdlib.errors import AsdError
from asdlib.sound.kinds import NO_SOUND, PEEK, ZEROS, kind_of
from asdlib.sound.riff import MORE, TRAILERS, WRAP, is_riff, stands_in

log = logging.getLogger("asdlib")
PIECE = 2**16  # bytes that are waited for, at most
LONGEST = 2**24  # bytes of a chunk in front of the sound, at most
PCM, EXTENSIBLE = 1, 0xFFFE  # formats of a WAV


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
        raise nothing_in()
    if is_riff(head) and head[:4] != b"riff":
        return _of_wav(stream, big=head[:4] == b"RIFX")
    # A tenth of a second more shows samples that only look like something else.
    if (kind := kind_of(head)) is None:
        head += stream.read(PEEK - len(head))
        kind = kind_of(head)
    if kind in NO_SOUND and kind != ZEROS:
        raise AsdError(f"{kind} came in, no samples: check what sends it")
    if kind not in (None, ZEROS):
        raise AsdError(f"a file of {kind} came in, no samples: {_mend()}")
    return Incoming(begun=head)


def nothing_in() -> AsdError:
    """The error to raise where no sample came in."""
    return AsdError(
        "nothing came in: pipe sound into this command, for example that of "
        "arecord -q -t raw -f S16_LE -r 16000"
    )


def _of_wav(stream: io.BufferedIOBase, *, big: bool) -> Incoming:
    """What the header of a WAV says, as far as its sound, which is read next."""
    order = ">" if big else "<"
    form, long = b"", None
    while len(head := stream.read(8)) == 8:
        name = head[:4]
        (size,) = struct.unpack(f"{order}I", head[4:])
        if name == b"data":
            break
        if size > LONGEST:
            raise AsdError(f"the WAV that came in has a damaged header: {_mend()}")
        content = stream.read(size + size % 2)
        form = content if name == b"fmt " else form
        if name == b"ds64" and len(content) >= 16:  # of RF64: sizes of 8 bytes
            (long,) = struct.unpack("<Q", content[8:16])
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
    if long is not None and size == WRAP - 1:
        size = long
    unknown = size == 0 or stands_in(size)
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
        if left == 0:
            left, piece = None, _behind(stream, incoming)
        else:
            piece = stream.read1(PIECE if left is None else min(PIECE, left))
            left = None if left is None else left - len(piece)
        if not piece:
            break
        odd += piece
    if left:
        log.warning("the sound ended %d bytes before its header said", left)
    if odd:
        log.warning("%d bytes at the end are no whole sample, and left out", len(odd))


def _behind(stream: io.BufferedIOBase, incoming: Incoming) -> bytes:
    """What comes behind the sound that the header promised, where that is sound, too.

    Chunks of other things are passed over. Another recording is said, and left out.
    """
    order = ">" if incoming.big else "<"
    head = stream.read(8)
    while len(head) >= 8 and head[:4] in TRAILERS:
        (size,) = struct.unpack(f"{order}I", head[4:8])
        left = size + size % 2
        while left and (piece := stream.read(min(PIECE, left))):
            left -= len(piece)
        head = stream.read(8)
    if head[:4] in MORE:
        log.warning(
            "another recording came in behind the first, and is left out: send them "
            "one by one, or as samples"
        )
        return b""
    if head.strip(b"\0"):
        log.warning("the sound goes on behind what its header says, and is read on")
        return head
    return b""
