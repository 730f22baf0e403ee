"""The files of the feature cache: shards, each of some clips, found again clip by clip.

::

    <folder>/<settings>-<name>/about.json       of its n clips: keys, fits and rates
    <folder>/<settings>-<name>/waveforms.npy    (n, samples) float32
    <folder>/<settings>-<name>/log_mels.npy     (n, mels, frames) float16, in dB

``<settings>`` is a hash of all that the features of a clip depend on but the clip
itself, ``<name>`` one of the keys of its clips; a key is a hash of a file's path, size
and time. A shard appears when it is complete, and is never changed. When it was last
used is the time of its ``about.json``.
"""

import hashlib
import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from asdlib.errors import AsdError
from asdlib.files import flush, locked
from asdlib.sound.data import Clip
from asdlib.sound.features import FeatureConfig

if TYPE_CHECKING:
    from asdlib.sound.computed import ReadOptions

FORMAT = 3  # of these files; a part of the settings
ABOUT = "about.json"
# Format 1 kept each list of clips, in a folder named by 32 digits with the same files.
NAME = re.compile(r"([0-9a-f]{16}-)?[0-9a-f]{32}")
PARTIAL = ".part-"  # so begins the name of a shard that is being written, or removed
YOUNG = 60  # seconds; what is younger may not be locked yet
MOST = 1000  # shards that a request maps; a system allows a process some 65,000 maps


class Row(NamedTuple):
    """A clip as it is kept: its waveform (samples,), its log-mel (mels, frames), what
    its length needed, and the rate that it was recorded at, in Hz."""

    waveform: np.ndarray
    log_mel: np.ndarray
    fit: str
    rate: int


@dataclass(frozen=True)
class Kind:
    """One of the arrays of a shard: its file's name, its type, the shape of a row."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)


def kinds_of(config: FeatureConfig) -> tuple[Kind, Kind]:
    """The arrays that are kept of clips, in the order of ``Clips.inputs``."""
    return (
        Kind("waveforms", "<f4", (config.samples,)),
        Kind("log_mels", "<f2", (config.n_mels, config.frames)),
    )


FILES = {ABOUT, "waveforms.npy", "log_mels.npy"}


def settings_key(config: FeatureConfig, options: "ReadOptions") -> str:
    """16 digits for everything that features depend on, but the clip."""
    return _hash([FORMAT, asdict(config), asdict(options)], size=8)


def clip_key(clip: Clip) -> str:
    """32 digits for a clip of a file as that is now.

    Raises :class:`AsdError` where there is no such file.
    """
    path = Path(clip.path)
    try:
        stat = path.stat()
        about = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
        return _hash([*about, clip.start, clip.end], size=16)
    except OSError as error:
        raise AsdError(
            f"cannot read {error.filename} ({error.strerror}): "
            "check the file, or remove it"
        ) from error


def _hash(content: Any, *, size: int) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


@dataclass(frozen=True, eq=False)
class Shard:
    """A complete shard: the keys of its n clips, what the length of each needed
    (:func:`asdlib.sound.reading.to_length`), the rates that they were recorded at, in
    Hz, and memory maps (n, ...) of each kind."""

    path: Path
    keys: list[str]
    fits: list[str]
    rates: list[int]
    arrays: tuple[np.ndarray, ...]


def write_shard(
    folder: Path,
    settings: str,
    keys: list[str],
    config: FeatureConfig,
    rows: Iterator[Row | None],
) -> None:
    """Write the next ``len(keys)`` of ``rows``, without those that are None.

    With plain writes: on a full disk those raise :class:`OSError`, where a memory map
    would crash. Where another process was first, with the same content, its shard
    stays.
    """
    target = folder / f"{settings}-{_hash(keys, size=16)}"
    partial = folder / f"{PARTIAL}{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        with locked(partial):
            if not _write_files(partial, keys, config, rows):
                return
            flush(partial)
            if target.exists() and _opened(target, config) is None:
                discard(target)  # somebody has damaged it
            try:
                partial.rename(target)
            except OSError:
                if _opened(target, config) is None:
                    raise
            flush(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_files(
    folder: Path, keys: list[str], config: FeatureConfig, rows: Iterator[Row | None]
) -> int:
    """Write what a shard consists of; how many clips it has."""
    kinds = kinds_of(config)
    paths = [folder / f"{kind.name}.npy" for kind in kinds]
    held: list[str] = []
    fits: list[str] = []
    rates: list[int] = []
    with open(paths[0], "wb") as first, open(paths[1], "wb") as second:
        files = list(zip((first, second), kinds, strict=True))

        def write_headers(count: int) -> None:
            for file, kind in files:  # numpy leaves room in it for any count
                shape = (count, *kind.shape)
                header = {"descr": kind.dtype, "fortran_order": False, "shape": shape}
                file.seek(0)
                np.lib.format.write_array_header_1_0(file, header)

        write_headers(len(keys))
        for key in keys:
            if (row := next(rows)) is None:
                continue
            for (file, kind), array in zip(files, row[:2], strict=True):
                file.write(array.astype(kind.dtype, copy=False).tobytes())
            held.append(key)
            fits.append(row.fit)
            rates.append(row.rate)
        write_headers(len(held))
    about = {"config": asdict(config), "clips": len(held), "keys": held}
    about |= {"fits": fits, "rates": rates}
    (folder / ABOUT).write_text(json.dumps(about))
    for path in (*paths, folder / ABOUT):
        flush(path)
    return len(held)


def open_shards(
    folder: Path, settings: str, config: FeatureConfig, wanted: Collection[str]
) -> list[Shard]:
    """Shards that hold the clips with the keys ``wanted``, or as many as there are.

    No more of them than it takes, and no more than :data:`MOST`; each counts as used
    now.
    """
    left = set(wanted)
    holding = []
    for path in folder.glob(f"{settings}-*"):
        keys, _, _ = _about(path)
        holding.append((len(left.intersection(keys)), path, keys))
    shards: list[Shard] = []
    for _, path, keys in sorted(holding, key=lambda held: (-held[0], held[1])):
        if len(shards) == MOST or not left:
            break
        if left.isdisjoint(keys) or (shard := _opened(path, config)) is None:
            continue
        with suppress(OSError):  # a cache that may be read only
            os.utime(path / ABOUT)
        shards.append(shard)
        left.difference_update(shard.keys)
    return shards


def _opened(path: Path, config: FeatureConfig) -> Shard | None:
    """The shard at ``path``; None where it has gone or is not whole."""
    keys, fits, rates = _about(path)
    arrays = []
    for kind in kinds_of(config):
        try:
            file = path / f"{kind.name}.npy"
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            return None
        if array.shape != (len(keys), *kind.shape) or array.dtype != kind.dtype:
            return None
        arrays.append(array)
    return Shard(path, keys, fits, rates, tuple(arrays))


def _about(path: Path) -> tuple[list[str], list[str], list[int]]:
    """Keys, fits and rates of the clips in a shard.

    None where it is damaged or has gone.
    """
    try:
        about = json.loads((path / ABOUT).read_text())
        keys, fits, rates = (list(about[name]) for name in ("keys", "fits", "rates"))
        if not len(keys) == len(fits) == len(rates):
            raise ValueError("not one of each for every clip")
    except (OSError, ValueError, KeyError, TypeError):
        return [], [], []
    return keys, fits, rates


def discard(shard: Path) -> None:
    """Remove a shard, at once for whoever looks for it; who has mapped it keeps it."""
    partial = shard.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    shard.rename(partial)
    shutil.rmtree(partial, ignore_errors=True)


def sweep(folder: Path, *, older_than: float = YOUNG) -> None:
    """Remove what killed processes have left half-written: nobody holds it any more."""
    for partial in folder.glob(f"{PARTIAL}*"):
        with suppress(AsdError, OSError):  # at work, or somebody else's
            if time.time() - partial.stat().st_mtime < older_than:
                continue
            with locked(partial) as held:
                if held:
                    shutil.rmtree(partial, ignore_errors=True)
