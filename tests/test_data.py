"""Finding and reading clips: one path for real and simulated data, and a sentence for each thing that is wrong."""

import os

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asdlib.data import Clip, in_range, opened, read, scan, to_length, training_clips
from asdlib.errors import AsdError


def tone(n=16000, amplitude=0.5):
    return (amplitude * np.sin(np.arange(n) * 0.3)).astype(np.float32)


def write(path, x=None, rate=16000, subtype="PCM_16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone() if x is None else x, rate, subtype=subtype)
    return path


def test_scan_tells_machine_split_and_label(tmp_path):
    write(tmp_path / "dev" / "fan" / "train" / "normal_id_00_00000000.wav")
    write(tmp_path / "dev" / "fan" / "test" / "anomaly_id_02_00000007.wav")
    write(tmp_path / "eval" / "fan" / "test" / "id_05_00000001.wav")  # the evaluation set has no labels
    write(tmp_path / "dev" / "fan" / "test" / ".hidden.wav")
    (tmp_path / "dev" / "notes.txt").write_text("not a clip")
    write(tmp_path / "dev" / "jingle.wav")  # neither training nor test
    clips = scan(tmp_path)
    assert [(c.machine, c.split, c.label) for c in clips] == [
        ("fan/id_02", "test", "anomaly"),
        ("fan/id_00", "train", "normal"),
        ("fan/id_05", "test", "unknown"),
    ]


LETTERS = st.text("abcXYZ019 -_.é", min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    kind=LETTERS.map(lambda name: f"m{name}e"),  # no file system knows "." or a blank end
    number=st.integers(0, 10**4),
    label=st.sampled_from(["normal", "anomaly", "unknown"]),
    rest=LETTERS,
    ending=st.sampled_from([".wav", ".WAV"]),
)
def test_scan_reads_every_name_that_the_layout_allows(tmp_path_factory, kind, number, label, rest, ending):
    root = tmp_path_factory.mktemp("any")
    prefix = "" if label == "unknown" else f"{label}_"
    path = root / "dev" / kind / "test" / f"{prefix}id_{number:02}_{rest}{ending}"
    path.parent.mkdir(parents=True)
    path.touch()
    (clip,) = scan(root)
    assert clip == Clip(path, kind, f"id_{number:02}", "test", label)


def test_scan_finds_the_simulated_park(park):
    clips = scan(park)
    assert len(clips) == 322
    assert len({c.machine for c in clips}) == 23


def test_linked_folders_are_followed_once_and_hidden_ones_are_not(tmp_path, monkeypatch):
    write(tmp_path / "elsewhere" / "valve" / "train" / "normal_id_00_00000000.wav")
    write(tmp_path / "root" / "fan" / "train" / "normal_id_00_00000000.wav")
    write(tmp_path / "root" / ".fan-half" / "train" / "normal_id_00_00000000.wav")
    (tmp_path / "root" / "valve").symlink_to(tmp_path / "elsewhere" / "valve")
    (tmp_path / "root" / "again").symlink_to(tmp_path / "root")  # a circle
    assert [clip.machine for clip in scan(tmp_path / "root")] == ["fan/id_00", "valve/id_00"]
    monkeypatch.chdir(tmp_path / "root" / "fan")
    assert [clip.machine for clip in scan(".")] == ["fan/id_00"]


@pytest.mark.parametrize("backwards", [False, True])
def test_of_two_ways_to_a_folder_the_same_counts_on_every_disk(backwards, tmp_path, monkeypatch):
    write(tmp_path / "b" / "train" / "normal_id_00_00000000.wav")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    walk = os.walk

    def in_other_order(*args, **options):
        for folder, below, names in walk(*args, **options):
            below.sort(reverse=backwards)
            yield folder, below, names

    monkeypatch.setattr(os, "walk", in_other_order)
    assert [clip.machine for clip in scan(tmp_path)] == ["a/id_00"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fan/train/rec-17.wav", "does not say which machine"),
        ("fan/train/anomaly_id_00_00000000.wav", "not called normal"),
    ],
)
def test_scan_refuses_names_it_would_have_to_guess(tmp_path, name, message):
    write(tmp_path / name)
    with pytest.raises(AsdError, match=message):
        scan(tmp_path)


def test_scan_refuses_a_missing_and_an_empty_folder(tmp_path):
    with pytest.raises(AsdError, match="no folder"):
        scan(tmp_path / "nowhere")
    with pytest.raises(AsdError, match="no clips"):
        scan(tmp_path)


def test_a_machine_with_one_training_clip_is_refused_or_left_out(tmp_path, caplog):
    clips = [Clip(tmp_path / str(i), "fan", f"id_0{machine}", "train", "normal") for i, machine in enumerate((0, 0, 2, 4, 4))]
    with pytest.raises(AsdError, match="only one training clip of fan/id_02"):
        training_clips(clips)
    assert {c.machine for c in training_clips(clips, skip_single=True)} == {"fan/id_00", "fan/id_04"}
    assert "left out" in caplog.text
    with pytest.raises(AsdError, match="no training clip"):
        training_clips([])


@pytest.mark.parametrize(("subtype", "tolerance"), [("PCM_16", 1 / 2**15), ("PCM_24", 1 / 2**23), ("FLOAT", 0)])
def test_read_returns_the_waveform_in_plus_minus_one(tmp_path, subtype, tolerance):
    x = read(write(tmp_path / "a.wav", subtype=subtype))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, tone(), atol=tolerance)


def test_sixteen_bit_samples_are_divided_by_two_to_the_fifteen(tmp_path):
    samples = np.array([-32768, -1, 0, 1, 32767], dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    np.testing.assert_array_equal(read(tmp_path / "a.wav"), samples / np.float32(32768))


def test_channels_are_chosen_never_mixed(tmp_path):
    stereo = np.stack([tone(), tone(amplitude=0.1)], axis=1)
    path = write(tmp_path / "a.wav", stereo)
    with pytest.raises(AsdError, match="2 channels"):
        read(path)
    np.testing.assert_allclose(read(path, channel=0), tone(), atol=1e-4)
    np.testing.assert_allclose(read(path, channel=1), tone(amplitude=0.1), atol=1e-4)
    with pytest.raises(AsdError, match="no channel 2"):
        read(path, channel=2)


def test_another_rate_is_converted_on_request_only(tmp_path):
    t = np.arange(44100) / 44100
    path = write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * t), rate=44100)
    with pytest.raises(AsdError, match="44100 Hz instead of 16000 Hz"), opened(path):
        pass
    with pytest.raises(AsdError, match="44100 Hz instead of 16000 Hz"):
        read(path)
    x = read(path, resample=True)
    assert len(x) == 16000
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    np.testing.assert_allclose(x[500:-500], expected[500:-500], atol=1e-3)


def truncated(path):
    whole = write(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


BAD = {
    "missing": (lambda path: None, "no file"),
    "zero bytes": (lambda path: path.write_bytes(b""), "empty file"),
    "text": (lambda path: path.write_text("this is no sound, only a name that ends in wav"), "not a WAV file"),
    "truncated": (truncated, "truncated"),
    "header only": (lambda path: path.write_bytes(write(path).read_bytes()[:8] + b"WAVE"), "no sound .*was cut off"),
    "no samples": (lambda path: write(path, np.zeros(0)), "no samples"),
    "silence": (lambda path: write(path, np.zeros(16000)), "silent"),
    "constant": (lambda path: write(path, np.full(16000, 0.25)), "silent"),
    "another unit": (lambda path: write(path, 2**15 * tone(), subtype="FLOAT"), "beyond full scale"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "no file"),
    "nan": (lambda path: write(path, np.full(16000, np.nan), subtype="FLOAT"), "not numbers"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_recording_is_refused_by_name(tmp_path, kind):
    make, message = BAD[kind]
    make(tmp_path / "bad.wav")
    with pytest.raises(AsdError, match=message) as error:
        read(tmp_path / "bad.wav")
    assert "bad.wav" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_float_recorders_keep_beyond_full_scale_stays_and_another_unit_is_refused(kind):
    x = np.array([0, -100.0, 1.0], kind)
    np.testing.assert_array_equal(in_range(x, "x"), x)
    with pytest.raises(AsdError, match=r"reaches ±100\.1, far beyond full scale"):
        in_range(x * kind(1.001), "x")


def test_a_streamed_wav_whose_size_was_never_filled_in_is_read(tmp_path):
    path = write(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    np.testing.assert_allclose(read(path), tone(), atol=1e-4)


@given(length=st.integers(1, 50), samples=st.integers(1, 50))
def test_any_length_is_cut_to_its_beginning_or_repeated_from_it(length, samples):
    x = np.arange(length, dtype=np.float32)
    y, fit = to_length(x, samples)
    assert len(y) == samples
    np.testing.assert_array_equal(y, np.arange(samples) % length)
    assert fit == ("exact" if length == samples else "cropped" if length > samples else "repeated")


def test_short_clips_may_be_refused():
    with pytest.raises(AsdError, match="5 of 9 samples"):
        to_length(np.ones(5), 9, short="refuse")
    assert to_length(np.ones(9), 5, short="refuse")[1] == "cropped"


@pytest.mark.parametrize("rate", [16000, 44100, 11025])
def test_the_beginning_of_a_long_recording_is_the_same_when_only_it_is_read(tmp_path, rate):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 20 * rate).clip(-1, 1), rate)
    begun, whole = read(path, resample=True, seconds=3), read(path, resample=True)
    assert len(begun) == 3 * 16000
    np.testing.assert_array_equal(begun[:32000], whole[:32000])
