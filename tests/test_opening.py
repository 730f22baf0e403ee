"""Recordings of every container: all of their samples, or a sentence that says how much is there; never a part of them."""

import io
import logging
import os
import shutil
import struct
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from asdlib.data import opened, read
from asdlib.errors import AsdError
from asdlib.files import pipes_kept
from asdlib.sound.opening import sound_file
from asdlib.sound.riff import STANDS_IN

CASES = int(os.environ.get("ASDLIB_SOAK_HEADERS", 300))
RATE = 16000
W64 = {
    b"riff": bytes.fromhex("726966662e91cf11a5d628db04c10000"),
    b"wave": bytes.fromhex("77617665f3acd3118cd100c04f8edb8a"),
    b"fmt ": bytes.fromhex("666d7420f3acd3118cd100c04f8edb8a"),
    b"data": bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"),
    b"junk": bytes.fromhex("6a756e6bf3acd3118cd100c04f8edb8a"),
}


def samples(count, seed=0, channels=1):
    """No byte of them is 0 for long, so that no stretch looks like space taken in advance."""
    return np.random.default_rng(seed).integers(-20000, 20000, (count, channels)).astype("<i2")


@dataclass
class Made:
    """A file, and where its sound lies in it."""

    content: bytes
    start: int
    end: int
    size_at: int  # of the size of the sound, and how it is packed
    packed: str


def made(kind: str, sound: np.ndarray, before: list[bytes], after: list[bytes], *, pad: bool = True) -> Made:
    """A file of the kind by its specification, with chunks of other kinds in front of the sound and behind it."""
    order = ">" if kind == "RIFX" else "<"
    channels = sound.shape[1]
    form = struct.pack(f"{order}HHIIHH", 1, channels, RATE, RATE * 2 * channels, 2 * channels, 16)
    body = sound.astype(f"{order}i2").tobytes()
    if kind == "W64":

        def chunk(name: bytes, content: bytes) -> bytes:
            return W64[name] + struct.pack("<Q", 24 + len(content)) + content + b"\0" * (-len(content) % 8)

        front = W64[b"wave"] + b"".join(chunk(b"junk", x) for x in before) + chunk(b"fmt ", form)
        whole = front + chunk(b"data", body) + b"".join(chunk(b"junk", x) for x in after)
        start = 24 + len(front) + 24
        content = W64[b"riff"] + struct.pack("<Q", 24 + len(whole)) + whole
        return Made(content, start, start + len(body), start - 8, "<Q")

    def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
        length = len(content) if size is None else size
        return name + struct.pack(f"{order}I", length) + content + (b"\0" * (len(content) % 2) if pad else b"")

    long = kind in ("RF64", "BW64")
    junk = b"".join(chunk(b"junk", x) for x in before)
    sizes = struct.pack("<QQQI", 0, len(body), len(sound), 0)
    front = b"WAVE" + (chunk(b"ds64", sizes) if long else b"") + junk + chunk(b"fmt ", form)
    whole = front + chunk(b"data", body, 2**32 - 1 if long else None) + b"".join(chunk(b"LIST", x) for x in after)
    start = 8 + len(front) + 8
    content = kind.encode() + struct.pack(f"{order}I", 2**32 - 1 if long else len(whole)) + whole
    if long:
        at = content.index(b"ds64") + 8
        content = content[:at] + struct.pack("<Q", len(whole)) + content[at + 8 :]
        return Made(content, start, start + len(body), at + 8, "<Q")
    return Made(content, start, start + len(body), start - 4, f"{order}I")


junks = st.lists(st.binary(max_size=40), max_size=3)
kinds = st.sampled_from(["RIFF", "RIFX", "RF64", "BW64", "W64"])
wrong = st.one_of(
    st.none(),
    st.just(0),
    st.builds(lambda mark, off: mark + off, st.sampled_from(STANDS_IN), st.integers(-4096, 4096)),
)


def outcome(path: Path, **options) -> np.ndarray | AsdError:
    try:
        return read(path, **options)
    except AsdError as error:
        return error


def steps(sound: np.ndarray) -> np.ndarray:
    return sound[:, 0].astype(np.float32) / np.float32(2**15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("headers")


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=kinds,
    count=st.integers(600, 900),
    before=junks,
    after=junks,
    size=wrong,
    outer=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    cut=st.one_of(st.none(), st.floats(0, 1)),
    seed=st.integers(0, 9),
    pad=st.booleans(),
)
def test_any_header_gives_all_samples_or_a_sentence(folder, kind, count, before, after, size, outer, cut, seed, pad):
    """Any order of chunks, any size that stands in for none, any point of truncation."""
    sound = samples(count, seed)
    file = made(kind, sound, before, after, pad=pad or kind == "W64")
    content = bytearray(file.content)
    if size is not None:
        assume(0 <= size < 2 ** (8 * struct.calcsize(file.packed)))
        assume(not after)  # or nobody can know where the sound ends
        assume(kind != "W64" or count % 4 == 0)  # nor tell it from what fills up eight bytes
        content[file.size_at : file.size_at + struct.calcsize(file.packed)] = struct.pack(file.packed, size)
    if outer is not None and kind in ("RIFF", "RIFX"):
        content[4:8] = struct.pack(">I" if kind == "RIFX" else "<I", outer)
    refused = False
    if cut is not None:
        place = round(cut * len(content))
        inside = place < file.end
        known = size is None
        # Cut by as much as the header is long, it looks like a header that counts itself.
        assume(file.end - place not in (file.start, file.start - 8))
        refused = place <= file.start + 2 or (inside and known)
        content = content[:place]
        if inside:
            sound = sound[: max(0, (place - file.start) // 2)]
    path = folder / "a.wav"
    path.write_bytes(content)
    found = outcome(path)
    if isinstance(found, AsdError):
        # Sizes that say nothing of what lies there may be beyond telling.
        assert refused or size is not None or outer is not None, found
        assert "a.wav" in str(found)
        if "truncated" in str(found) and "--partial" in str(found):
            np.testing.assert_array_equal(read(path, partial=True), steps(sound))
    else:
        assert not refused
        np.testing.assert_array_equal(found, steps(sound))


STANDARD = made("RIFF", samples(4000), [], [])


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFF000])
@pytest.mark.parametrize("outer", [0, 36, 0x7FFFF024, 0xFFFFFFFF, None])
def test_unfinished_headers_are_read_to_the_end_and_said(tmp_path, caplog, size, outer):
    content = bytearray(STANDARD.content)
    content[40:44] = struct.pack("<I", size)
    if outer is not None:
        content[4:8] = struct.pack("<I", outer)
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), steps(samples(4000)))
    np.testing.assert_array_equal(read(path, start=0.05, seconds=0.1), samples(4000)[800:2400, 0] / np.float32(2**15))
    (record,) = [r for r in caplog.records if "never finished, read to the end of the file" in r.getMessage()]
    assert str(path) in record.getMessage()


@pytest.mark.parametrize("over", [1, 2, 8, 36, 44, 100])
def test_sizes_that_touch_no_sample_are_passed_over(tmp_path, over):
    """Of the RIFF chunk: it counts itself, or whatever."""
    for sign in (1, -1):
        content = bytearray(STANDARD.content)
        content[4:8] = struct.pack("<I", len(content) - 8 + sign * over)
        (tmp_path / "a.wav").write_bytes(content)
        assert len(read(tmp_path / "a.wav")) == 4000


@pytest.mark.parametrize("kind", ["RIFF", "RF64", "BW64", "W64"])
def test_beyond_four_gib_all_of_it_is_there(tmp_path, kind):
    """Sparse files: 4 GiB that take no room. In RIFF the sizes have wrapped."""
    extra, size = 320000, 2**32 + 320000
    file = made(kind, samples(1000), [], [])
    content = bytearray(file.content[: file.start])
    wide = file.packed == "<Q"
    told = size + 24 * (kind == "W64") if wide else size % 2**32
    content[file.size_at : file.size_at + (8 if wide else 4)] = struct.pack(file.packed, told)
    path = tmp_path / "week.wav"
    with open(path, "wb") as out:
        out.write(content)
        out.write(samples(1000).tobytes())
        out.truncate(file.start + size)
        out.seek(file.start + size - 2000)
        out.write(samples(1000, seed=5).tobytes())
    try:
        with opened(path) as sound:
            assert sound.frames == size // 2
            sound.seek(sound.frames - 1000)
            np.testing.assert_array_equal(sound.read(dtype="int16"), samples(1000, seed=5)[:, 0])
        with open(path, "r+b") as out:
            out.seek(file.start + extra)
            out.write(samples(1000, seed=6).tobytes())
            out.truncate(2**32 - extra)
        with pytest.raises(AsdError, match=r"truncated|speaks of"):
            read(path, seconds=1)
    finally:
        path.unlink()


def test_what_may_be_sound_or_not_is_refused(tmp_path):
    """Much more than its header says, which is not its end either."""
    path = tmp_path / "a.wav"
    path.write_bytes(STANDARD.content + b"appended by another program " * 100)
    with pytest.raises(AsdError, match="has 10800 bytes where its header speaks of 8000"):
        read(path)
    path.write_bytes(STANDARD.content + bytes(5000))  # space that a recorder took in advance
    assert len(read(path)) == 4000


WRITTEN = [
    *(("WAV", sub) for sub in ("PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "GSM610")),
    *(("WAVEX", "PCM_16"), ("RF64", "PCM_24"), ("W64", "PCM_16"), ("W64", "MS_ADPCM"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT")),
    *(("AU", "PCM_16"), ("AU", "ULAW"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("SVX", "PCM_16")),
]


@pytest.mark.parametrize(("container", "subtype"), WRITTEN, ids=lambda word: word)
def test_half_of_a_file_is_never_taken_for_all_of_it(tmp_path, container, subtype, caplog):
    """In any container: what soundfile reads of the whole file, and a sentence for its first half, whole, half, a third."""
    path = tmp_path / f"a.{container.lower()}"
    time = np.arange(10 * RATE) / RATE
    x = 0.3 * np.sin(2 * np.pi * 300 * time * (1 + time)) + 0.01 * np.random.default_rng(0).normal(size=len(time))
    soundfile.write(path, x, RATE, format=container, subtype=subtype)
    with soundfile.SoundFile(path) as file:
        expected = file.read(file.frames, dtype="float32")
    with caplog.at_level(logging.WARNING, logger="asdlib"):
        heard = read(path)
        if container == "MP3":  # its decoder is not the same twice, after a jump
            np.testing.assert_allclose(heard, expected, atol=1e-6)
        else:
            np.testing.assert_array_equal(heard, expected)
        assert len(read(path, start=2.0, seconds=1.0)) == RATE
    assert not caplog.records
    whole = path.read_bytes()
    for share in (1 / 3, 0.5, 0.9):
        path.write_bytes(whole[: round(share * len(whole))])
        with pytest.raises(AsdError, match=rf"a\.{container.lower()} is (truncated|not a readable)"):
            read(path)


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("FLAC", "PCM_16")]
)
def test_what_there_is_of_it_is_read_on_request_and_said(tmp_path, container, subtype, caplog):
    path = tmp_path / f"a.{container.lower()}"
    soundfile.write(path, samples(40000), RATE, format=container, subtype=subtype)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    x = read(path, partial=True)
    assert 15000 < len(x) < 20100
    np.testing.assert_array_equal(x, samples(40000)[: len(x), 0] / np.float32(2**15))
    assert sum("read as far as it goes" in record.getMessage() for record in caplog.records) == 1


def test_formats_in_which_nothing_tells_are_read_and_that_is_said(tmp_path, caplog):
    path = tmp_path / "a.sph"
    soundfile.write(path, samples(4000), RATE, format="NIST", subtype="PCM_16")
    assert len(read(path)) == 4000
    assert "nothing in this NIST file tells whether all is there" in caplog.text


def test_a_pipe_is_read_as_a_file_is(tmp_path):
    for name, kind in (("a.wav", "WAV"), ("a.flac", "FLAC")):
        soundfile.write(tmp_path / f"file-{name}", samples(20000), RATE, format=kind)
        pipe = tmp_path / name
        os.mkfifo(pipe)
        content = (tmp_path / f"file-{name}").read_bytes()
        feeder = threading.Thread(target=pipe.write_bytes, args=(content,))
        feeder.start()
        try:
            with pipes_kept():
                np.testing.assert_array_equal(read(pipe), read(tmp_path / f"file-{name}"))
                np.testing.assert_array_equal(read(pipe, seconds=0.5), samples(20000)[:8000, 0] / np.float32(2**15))  # again
        finally:
            feeder.join()


def test_a_flac_without_a_length_is_read_to_its_end(tmp_path):
    """As a stream writes it: the number of samples in its header is 0."""
    path = tmp_path / "a.flac"
    soundfile.write(path, samples(50000), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # 36 bits of STREAMINFO, the last four bytes and four bits
    content[22:26] = bytes(4)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), samples(50000)[:, 0] / np.float32(2**15))
    np.testing.assert_array_equal(read(path, start=1.0, seconds=0.25), samples(50000)[16000:20000, 0] / np.float32(2**15))


def test_names_that_are_no_text_are_read(tmp_path):
    """From an archive of another system: bytes that are not UTF-8."""
    path = os.fsencode(tmp_path) + b"/ger\xe4usch.wav"
    with open(path, "wb") as file:
        file.write(STANDARD.content)
    assert len(read(os.fsdecode(path))) == 4000


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg is installed")
@pytest.mark.parametrize(
    ("ending", "codec"), [("m4a", "aac"), ("mp4", "aac"), ("webm", "libopus"), ("wma", "wmav2"), ("mka", "flac")]
)
def test_what_phones_record_is_decoded_by_ffmpeg(tmp_path, ending, codec):
    time = np.arange(3 * RATE) / RATE
    x = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", x, RATE)
    path = tmp_path / f"a.{ending}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-c:a", codec, "-b:a", "96k", path], check=True)
    heard = read(path, resample=True)
    assert abs(len(heard) - len(x)) < 3000  # codecs add and drop a little at the ends
    middle = heard[RATE : 2 * RATE]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(RATE)))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8000 / 2**15 / 2**0.5, rel=0.05)
    if codec == "flac":
        np.testing.assert_array_equal(heard, x / np.float32(2**15))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AsdError, match=rf"ffmpeg finds fault with .*a\.{ending}|a\.{ending} is truncated"):
        read(path, resample=True)


def test_without_ffmpeg_the_sentence_says_how_to_convert(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    path = tmp_path / "a.m4a"
    path.write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"M4A ", 0) + bytes(4000))
    with pytest.raises(AsdError, match=r"a\.m4a can be read by ffmpeg only.* convert .*ffmpeg -i a\.m4a a\.wav"):
        read(path)


def test_a_file_in_memory_or_on_disk_is_the_same_to_the_reader(tmp_path):
    """Its own way through Python is slower, and gives the same samples."""
    sound = samples(5000, channels=3)
    path = tmp_path / "a.wav"
    path.write_bytes(made("RIFF", sound, [b"x" * 31], [b"trailer"]).content)
    with sound_file(path) as file:
        np.testing.assert_array_equal(file.read(dtype="int16"), sound)
    broken = bytearray(path.read_bytes())
    path.write_bytes(made("BW64", sound, [], []).content)
    with sound_file(path) as file:
        assert file.channels == 3
        np.testing.assert_array_equal(file.read(dtype="int16"), sound)
        file.seek(4990)
        np.testing.assert_array_equal(file.read(dtype="int16"), sound[4990:])
    assert soundfile.info(io.BytesIO(bytes(broken))).frames == 5000


@pytest.mark.parametrize("claimed", [0x7FFFF000, 0x7FFFFFFF, 2**31, 2**32 - 1, 0])
def test_a_pipe_that_ran_for_longer_than_its_stand_in_size_is_read_to_the_end(tmp_path, claimed, caplog):
    """SoX and ffmpeg write such headers first, and then as much as comes: here 4.5 GiB that take no room on the disk."""
    path, size = tmp_path / f"{claimed}.wav", 2**32 + 2**29
    content = bytearray(made("RIFF", samples(1000), [], []).content)
    content[40:44] = struct.pack("<I", claimed)
    with open(path, "wb") as file:
        file.write(content)
        file.truncate(44 + size - 2000)
        file.seek(0, io.SEEK_END)
        file.write(content[44:])
    with opened(path) as file:
        assert file.frames == size // 2
    assert "read to the end of the file" in caplog.text


def other(kind: str, sound: np.ndarray, claimed: int | None) -> bytes:
    """An AIFF, AU or CAF by its specification that says it has ``claimed`` bytes of sound (None: what it has)."""
    big = sound.astype(">i2").tobytes()
    size = len(big) if claimed is None else claimed
    if kind == "au":
        return b".snd" + struct.pack(">5I", 24, size, 3, RATE, 1) + big
    if kind == "caf":
        form = struct.pack(">d4s5I", RATE, b"lpcm", 0, 2, 1, 1, 16)
        sizes = b"desc" + struct.pack(">q", len(form)) + form + b"data" + struct.pack(">q", size if claimed == -1 else size + 4)
        return b"caff\0\1\0\0" + sizes + bytes(4) + big
    form = struct.pack(">HIH", 1, size // 2, 16) + bytes.fromhex("400cfa00000000000000")
    body = b"AIFFCOMM" + struct.pack(">I", len(form)) + form + b"SSND" + struct.pack(">I", size + 8) + bytes(8) + big
    return b"FORM" + struct.pack(">I", min(size + 46, 2**32 - 1)) + body


@pytest.mark.parametrize("kind", ["aiff", "au", "caf"])
def test_headers_of_other_containers_that_say_too_little_or_nothing(tmp_path, kind, caplog):
    """Never a part without a word: all of it where no size is known, a sentence where it cannot be told."""
    sound, path = samples(4000), tmp_path / f"a.{kind}"
    unknown = {
        "aiff": [0, 0x7F000000, 0x7FFFFFF0],
        "au": [0, 2**31 - 1, 2**31, 2**32 - 1],
        "caf": [-1, 0, 2**31 - 1, 2**63 - 5],
    }
    for claimed in (None, *unknown[kind]):
        path = tmp_path / f"{claimed}.{kind}"
        path.write_bytes(other(kind, sound, claimed))
        np.testing.assert_array_equal(read(path), steps(sound))
        assert (f"{claimed}.{kind}: its header was never finished" in caplog.text) == (claimed is not None)
    for claimed in (4000, 16000):  # of 8000
        path = tmp_path / f"{claimed}.{kind}"
        path.write_bytes(other(kind, sound, claimed))
        with pytest.raises(
            AsdError, match="8000 bytes where its header speaks of 4000" if claimed < 8000 else "50.0% of the sound"
        ):
            read(path)
    np.testing.assert_array_equal(read(path, partial=True), steps(sound))


def test_sound_in_several_pieces_is_refused_and_a_second_format_is_not(tmp_path):
    path = tmp_path / "a.wav"
    whole = STANDARD.content
    path.write_bytes(whole + whole)
    with pytest.raises(AsdError, match="more sound behind the first"):
        read(path)
    path.write_bytes(whole + b"data" + struct.pack("<I", 8) + bytes(range(8)))
    with pytest.raises(AsdError, match="more sound behind the first"):
        read(path)
    path.write_bytes(whole[:36] + whole[12:36] + whole[36:])
    assert len(read(path)) == 4000


def test_half_an_mp3_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, samples(10 * RATE), RATE, format="MP3")
    whole = read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    half = read(path, partial=True)
    assert 4.5 * RATE < len(half) < 5.5 * RATE
    np.testing.assert_allclose(half[: 4 * RATE], whole[: 4 * RATE], atol=1e-3)


@pytest.mark.parametrize(("name", "kind"), [("MP3", "MP3"), ("FLAC", "FLAC"), ("OGG", "OGG"), ("AIFF", "AIFF")])
def test_a_recording_with_the_ending_of_another_is_read_and_that_is_said(tmp_path, name, kind, caplog):
    soundfile.write(tmp_path / "a.wav", samples(RATE), RATE, format=name)
    assert len(read(tmp_path / "a.wav")) == RATE
    assert f"a.wav: read as {kind}, whatever its name says" in caplog.text


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "m4a"])
def test_what_a_failed_download_left_is_called_what_it_is(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    for content, said in (
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (bytes(40000), "zeros only"),
    ):
        path.write_bytes(content)
        with pytest.raises(AsdError, match=rf"a\.{ending} is (not a WAV file|no recording).*{said}"):
            read(path)


def test_samples_without_a_header_are_not_guessed(tmp_path):
    (tmp_path / "a.raw").write_bytes(samples(4000).tobytes())
    with pytest.raises(AsdError, match=r"does not say what its samples are.* sox -t raw .* a\.raw a\.wav"):
        read(tmp_path / "a.raw")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg is installed")
@pytest.mark.parametrize("name", ["ac3.wav", "flac.oga", "pcm_s16le.avi", "tta.tta", "mp2.mpg", "adpcm_g726.wav"])
def test_what_libsndfile_does_not_know_goes_to_ffmpeg_whatever_its_ending(tmp_path, name):
    soundfile.write(tmp_path / "in.wav", samples(48000), 48000)
    rate = ["-ar", "8000"] if "g726" in name else []
    codec = name.split(".")[0].removeprefix("adpcm_")
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "in.wav", *rate, "-c:a", codec, tmp_path / name], check=True)
    assert abs(len(read(tmp_path / name, resample=True)) - 16000) < 2000
