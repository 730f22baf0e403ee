"""What bytes are, by how they begin: which kind of recording, or no sound at all.

For names that lie, and for streams, which have none.
"""

import struct

PEEK = 4096  # bytes that are enough to tell
# How recordings begin, but WAV and its kin, and what they are called.
MARKS = {
    b"fLaC": "FLAC",
    b"OggS": "OGG",
    b"ID3": "MP3",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
    b"riff": "W64",
    b"wvpk": "WavPack",
    b"MAC ": "APE",
    b"#!AMR": "AMR",
    b"\x1a\x45\xdf\xa3": "WebM",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "WMA",
}
POINTER = b"version https://git-lfs"
LFS = "a placeholder of Git LFS, for which git lfs pull fetches the file"
TEXT, ZEROS = "text", "zeros only"
NO_SOUND = (LFS, TEXT, ZEROS)
LEAST = 24  # letters that are text, and no samples that look like it
# Bit rates of MP3 in kbit/s: MPEG 1, MPEG 2.
BITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
RATES = (44100, 48000, 32000)


def kind_of(begun: bytes) -> str | None:
    """What it is that begins so, with :data:`PEEK` bytes or all there are.

    None where that cannot be told, as of raw samples.

    >>> kind_of(b"fLaC..."), kind_of(b"<!DOCTYPE html><html>...")
    ('FLAC', 'text')
    """
    if begun.startswith(POINTER):
        return LFS
    if begun[4:8] == b"ftyp":
        return "MP4"
    if begun[:4] == b"RIFF" and begun[8:12] == b"AVI ":
        return "AVI"
    for mark, name in MARKS.items():
        if begun.startswith(mark):
            return name
    if not begun.strip(b"\0"):
        return ZEROS
    if len(begun) >= LEAST and _is_text(begun):
        return TEXT
    if begun[::188][:3] == b"GGG":
        return "MPEG-TS"
    # Its version and size of frame make it less likely to be a sample.
    if begun[:2] == b"\x0b\x77" and begun[5:6] in (b"@", b"0") and begun[4] & 63 < 38:
        return "AC3"
    return _by_frames(begun)


def _is_text(begun: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte in b"\t\r\n" for byte in begun[:256])


def _by_frames(begun: bytes) -> str | None:
    """MP3 and AAC without a head: does one frame lead to the next?"""
    for name, length in (("MP3", _mp3_frame(begun)), ("AAC", _aac_frame(begun))):
        again = begun[length : length + 2]
        if length and again and again[0] == 0xFF and again[1:] == begun[1:2]:
            return name
    return None


def _mp3_frame(begun: bytes) -> int:
    """How long the frame of an MP3 is that begins so; 0 where it is none."""
    (head,) = struct.unpack(">I", begun[:4].ljust(4, b"\0"))
    version, layer = head >> 19 & 3, head >> 17 & 3
    bits, rate = head >> 12 & 15, head >> 10 & 3
    if head >> 21 != 0x7FF or version == 1 or layer != 1 or rate == 3 or bits == 15:
        return 0
    old = version == 3  # MPEG 1
    hertz = RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    size = (144 if old else 72) * 1000 * BITS[not old][bits] // hertz
    return size + (head >> 9 & 1)


def _aac_frame(begun: bytes) -> int:
    """How long the frame of an AAC is that begins so; 0 where it is none."""
    head = int.from_bytes(begun[:7].ljust(7, b"\0"), "big")
    sync, layer = head >> 44, head >> 41 & 3
    return head >> 13 & 0x1FFF if sync == 0xFFF and not layer else 0
