"""The files of the feature cache: shards, each of some clips, found again clip by clip.

::

    <folder>/<settings>-<name>/about.json       keys and fits of its n clips
    <folder>/<settings>-<name>/waveforms.npy    (n, samples) int16
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
from typing import TYPE_CHECKING, Any

import numpy as np

from asdlib.errors import AsdError
from asdlib.files import flush, locked
from asdlib.sound.features import FeatureConfig

if TYPE_CHECKING:
    from asdlib.sound.cache import ReadOptions

Row = tuple[np.ndarray, np.ndarray, str]  # waveform, log-mel, fit
FORMAT = 2  # of these files; a part of the settings
ABOUT = "about.json"
# Format 1 kept each list of clips, in a folder named by 32 digits with the same files.
NAME = re.compile(r"([0-9a-f]{16}-)?[0-9a-f]{32}")
PARTIAL = ".part-"  # so begins the name of a shard that is being written, or removed
YOUNG = 60  # seconds; what is younger may not be locked yet
MOST = 1000  # shards that a request maps; a system allows a process some 65,000 maps


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
        Kind("waveforms", "<i2", (config.samples,)),
        Kind("log_mels", "<f2", (config.n_mels, config.frames)),
    )


FILES = {ABOUT, "waveforms.npy", "log_mels.npy"}


def settings_key(config: FeatureConfig, options: "ReadOptions") -> str:
    """16 digits for everything that features depend on, but the clip."""
    return _hash([FORMAT, asdict(config), asdict(options)], size=8)


def clip_key(path: Path) -> str:
    """32 digits for a file as it is now; raises :class:`AsdError` without one."""
    try:
        stat = path.stat()
        return _hash([str(path.resolve()), stat.st_size, stat.st_mtime_ns], size=16)
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
    (:func:`asdlib.sound.reading.to_length`), and memory maps (n, ...) of each kind."""

    path: Path
    keys: list[str]
    fits: list[str]
    arrays: tuple[np.ndarray, ...]


def write_shard(
    folder: Path,
    settings: str,
    keys: list[str],
    config: FeatureConfig,
    rows: Iterator[Row],
) -> None:
    """Write the next ``len(keys)`` of ``rows``, each a waveform, a log-mel and a fit.

    With plain writes: on a full disk those raise :class:`OSError`, where a memory map
    would crash. Where another process was first, with the same content, its shard
    stays.
    """
    target = folder / f"{settings}-{_hash(keys, size=16)}"
    partial = folder / f"{PARTIAL}{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        with locked(partial):
            _write_files(partial, keys, config, rows)
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
    folder: Path, keys: list[str], config: FeatureConfig, rows: Iterator[Row]
) -> None:
    kinds, fits = kinds_of(config), []
    paths = [folder / f"{kind.name}.npy" for kind in kinds]
    with open(paths[0], "wb") as first, open(paths[1], "wb") as second:
        for file, kind in zip((first, second), kinds, strict=True):
            shape = (len(keys), *kind.shape)
            header = {"descr": kind.dtype, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        for _ in keys:
            wave, mel, fit = next(rows)
            first.write(wave.astype(kinds[0].dtype, copy=False).tobytes())
            second.write(mel.astype(kinds[1].dtype, copy=False).tobytes())
            fits.append(fit)
    about = {"config": asdict(config), "clips": len(keys), "keys": keys, "fits": fits}
    (folder / ABOUT).write_text(json.dumps(about))
    for path in (*paths, folder / ABOUT):
        flush(path)


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
        keys, _ = _about(path)
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
    keys, fits = _about(path)
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
    return Shard(path, keys, fits, tuple(arrays))


def _about(path: Path) -> tuple[list[str], list[str]]:
    """Keys and fits of the clips in a shard; none where it is damaged or has gone."""
    try:
        about = json.loads((path / ABOUT).read_text())
        pairs = list(zip(about["keys"], about["fits"], strict=True))
    except (OSError, ValueError, KeyError, TypeError):
        return [], []
    return [key for key, _ in pairs], [fit for _, fit in pairs]


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
