"""Broken and hostile input of every kind ends in one sentence or in a sound result: never in a traceback, a hang or a lot of
memory. Some hundred cases here, as many as ``make soak`` says there."""

import json
import os
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

from asdlib.checkpoint import read_log
from asdlib.data import read, scan
from asdlib.detector import Detector
from asdlib.errors import AsdError
from asdlib.run import read_config
from asdlib.stream import score

CASES = int(os.environ.get("ASDLIB_SOAK_FUZZ", 200))  # of each kind
SIZES = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1)


def must_name(error: AsdError, path) -> None:
    """The sentence must say which file it is about."""
    assert str(path) in str(error), error


def forget_peak() -> None:
    """From now on, :func:`peak` is of what comes."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Megabytes of memory that this process has held at most since :func:`forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut out, doubled, or a number in it replaced by a bad one."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, min(len(data), 200) if rng.random() < 0.7 else len(data)))
        kind = rng.integers(0, 5)
        if kind == 0:
            data[place] = rng.integers(0, 256)
        elif kind == 1:
            data[place : place + 4] = struct.pack("<I", int(rng.choice(SIZES)))
        elif kind == 2:
            del data[place : place + int(rng.integers(1, 400))]
        elif kind == 3:
            data[place:place] = rng.bytes(int(rng.integers(1, 40)))
        else:
            del data[place:]
        if not data:
            break
    return bytes(data)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """One second of noise in several kinds of WAV file, as bytes."""
    folder = tmp_path_factory.mktemp("wav")
    x = 0.1 * np.random.default_rng(0).normal(size=(16000, 2))
    out = []
    for k, (channels, rate, subtype) in enumerate(
        [(1, 16000, "PCM_16"), (2, 16000, "PCM_24"), (1, 44100, "FLOAT"), (1, 8000, "ULAW"), (1, 16000, "IMA_ADPCM")]
    ):
        soundfile.write(folder / f"{k}.wav", x[:, :channels].clip(-1, 1), rate, subtype=subtype)
        out.append((folder / f"{k}.wav").read_bytes())
    return out


def test_wav_files(recordings, tmp_path):
    rng = np.random.default_rng(1)
    path, refused = tmp_path / "x.wav", 0
    for i in range(CASES):
        path.write_bytes(mutated(recordings[i % len(recordings)], rng))
        try:
            x = read(path, channel=0, resample=True)
            assert x.ndim == 1
            assert np.isfinite(x).all()
        except AsdError as error:
            refused += 1
            must_name(error, path)
    print(f"{CASES} WAV files, {refused} refused")
    assert 0.1 * CASES < refused < CASES


def test_long_recordings(recordings, tmp_path, detector):
    rng = np.random.default_rng(2)
    path = tmp_path / "x.wav"
    options = {"run": detector, "machine": detector.config.machines[0]}
    for i in range(CASES // 10):
        path.write_bytes(mutated(recordings[i % len(recordings)], rng))
        try:
            track = score(path, **options)
            assert len(track.start) == len(track.score) > 0
        except AsdError as error:
            must_name(error, path)


def test_file_names(tmp_path):
    rng = np.random.default_rng(3)
    letters = list("normal_id_0123anomaly.wav -é\n\t.%$'\"\\")
    for i in range(CASES // 4):
        folder = tmp_path / str(i) / "fan" / str(rng.choice(["train", "test"]))
        folder.mkdir(parents=True)
        name = "".join(rng.choice(letters, int(rng.integers(1, 30)))) + rng.choice(["", ".wav", "_00.WAV"])
        (folder / name).write_bytes(b"")
        try:
            clips = scan(tmp_path / str(i))
            assert [clip.path.name for clip in clips] == [name]
        except AsdError as error:
            must_name(error, tmp_path)
        shutil.rmtree(tmp_path / str(i))


STRANGE = (
    None,
    True,
    -1,
    0,
    1e308,
    2**40,
    2**70,
    float("nan"),
    float("inf"),
    "",
    "x" * 1000,
    [],
    [[]],
    {},
    {"a": 1},
    "../../x",
)


def changed(value, rng):
    """A JSON value with one part replaced by a strange one."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = str(rng.choice(list(value)))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = int(rng.integers(len(value)))
        return [*value[:i], changed(value[i], rng), *value[i + 1 :]]
    return STRANGE[rng.integers(len(STRANGE))]


def test_configs(small_run, tmp_path):
    rng = np.random.default_rng(4)
    content = json.loads((small_run / "config.json").read_text())
    for _ in range(CASES):
        (tmp_path / "config.json").write_text(json.dumps(changed(content, rng)))
        try:
            read_config(tmp_path)
        except AsdError as error:
            must_name(error, tmp_path)


def forged(run, config):
    """Write a config, and mark the other files as belonging to it."""
    (run / "config.json").write_text(json.dumps(config))
    try:
        mark = read_config(run).mark
    except AsdError:
        return
    for name in ("weights.safetensors", "embeddings.safetensors"):
        save_file(load_file(run / name), run / name, metadata={"run": mark})
    scores = json.loads((run / "scores.json").read_text())
    (run / "scores.json").write_text(json.dumps(scores | {"run": mark}))


def test_run_directories(small_run, tmp_path, detector):
    rng = np.random.default_rng(5)
    names = ["config.json", "weights.safetensors", "embeddings.safetensors", "scores.json", "log.csv"]
    x = np.zeros((1, detector.config.encoder.embedding_dim), np.float32)
    x[0, 0] = 1
    forget_peak()
    loaded, before = 0, peak()
    for i in range(CASES // 2):
        run = shutil.copytree(small_run, tmp_path / str(i))
        name = names[i % len(names)]
        if name == "config.json":  # and every other file agrees with it
            forged(run, changed(json.loads((run / name).read_text()), rng))
        elif name == "scores.json" and rng.random() < 0.5:
            (run / name).write_text(json.dumps(changed(json.loads((run / name).read_text()), rng)))
        else:
            (run / name).write_bytes(mutated((run / name).read_bytes(), rng))
        try:
            read_log(run / "log.csv")
            found = Detector.load(run)
            assert np.isfinite(found.scores(x, found.config.machines[0])).all()
            loaded += 1
        except AsdError as error:
            must_name(error, run)
        shutil.rmtree(run)
    print(f"{CASES // 2} run directories, {loaded} loaded; {peak() - before:.0f} MB")
    assert 0 < loaded < CASES // 4  # a margin or a seed may change unnoticed, not much else
    assert peak() - before < 500
