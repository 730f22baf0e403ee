"""Features computed once: waveforms (int16) and log-mels (float16) of a list of clips, memory-mapped.

Decoding and transforming every clip in every epoch is what makes the public implementations slow. Here it happens once;
training and scoring then read arrays. A cache is keyed by the feature config and by each file's path, size and time, so a
changed file or setting makes a new one. float16 keeps a log-mel to 0.03 dB.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asdlib.data import Clip, read, to_length
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel
from asdlib.files import only_one
from asdlib.progress import OnStep, silent

log = logging.getLogger("asdlib")
FORMAT = 1  # of the files below; part of the key
AT_ONCE = 64  # clips; a slow disk must not let the finished ones pile up in memory


@dataclass(frozen=True)
class ReadOptions:
    """How recordings that are not as the config says are read: see :func:`asdlib.data.read` and ``to_length``."""

    channel: int | None = None
    resample: bool = False
    short: str = "repeat"

    def __post_init__(self):
        if self.short not in ("repeat", "refuse"):
            raise AsdError(f"short clips cannot be {self.short!r}: choose repeat or refuse")


@dataclass(frozen=True)
class Features:
    """Arrays of a list of clips, in its order: ``waveforms`` (N, samples) int16, ``log_mels`` (N, mels, frames) float16."""

    waveforms: np.ndarray
    log_mels: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """In the order that the encoder takes them."""
        return self.waveforms, self.log_mels


def default_folder() -> Path:
    """Where caches go: ``$ASDLIB_CACHE``, else the user's cache folder of this system."""
    import platformdirs

    return Path(os.environ.get("ASDLIB_CACHE") or platformdirs.user_cache_path("asdlib"))


def features_of(
    clips: list[Clip],
    config: FeatureConfig,
    *,
    options: ReadOptions = ReadOptions(),
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> Features:
    """The features of ``clips``, from the cache in ``folder`` or computed into it.

    The clips are read in parallel and written in order; the cache appears only when it is complete. Raises
    :class:`AsdError` for a bad clip and when the folder cannot be written (a full disk, no permission).
    """
    if not clips:
        raise AsdError("no clips to compute features of: give at least one")
    folder = Path(folder or default_folder())
    target = folder / _key(clips, config, options)
    if not _complete(target):
        partial = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            partial = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
            with only_one(partial):
                _compute(clips, config, options, partial, on_step)
            partial.chmod(0o755)  # others may share the cache
            if not _complete(target):  # another process may have been first, with the same content
                shutil.rmtree(target, ignore_errors=True)
                partial.rename(target)
        except OSError as error:
            raise AsdError(
                f"cannot write the feature cache in {folder} ({error.strerror}; it takes "
                f"{_bytes_per_clip(config) * len(clips) / 1e6:.0f} MB): free some space or set ASDLIB_CACHE to another folder"
            ) from error
        finally:
            if partial is not None:
                shutil.rmtree(partial, ignore_errors=True)
    _tell(Counter(json.loads((target / "about.json").read_text())["lengths"]), config)
    return Features(
        waveforms=np.load(target / "waveforms.npy", mmap_mode="r", allow_pickle=False),
        log_mels=np.load(target / "log_mels.npy", mmap_mode="r", allow_pickle=False),
    )


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left half-written: nobody holds it any more."""
    for partial in folder.glob(".part-*"):
        try:
            if time.time() - partial.stat().st_mtime > 60:  # a younger one may not be held yet
                with only_one(partial) as held:
                    if held:
                        shutil.rmtree(partial, ignore_errors=True)
        except (AsdError, OSError):  # at work, or somebody else's
            continue


def _complete(target: Path) -> bool:
    return all((target / name).exists() for name in ("about.json", "waveforms.npy", "log_mels.npy"))


def _bytes_per_clip(config: FeatureConfig) -> int:
    return 2 * config.samples + 2 * config.n_mels * config.frames


def _key(clips, config, options) -> str:
    try:
        files = [(str(clip.path.resolve()), (stat := clip.path.stat()).st_size, stat.st_mtime_ns) for clip in clips]
    except OSError as error:
        raise AsdError(f"cannot read {error.filename} ({error.strerror}): check the file, or remove it") from error
    text = json.dumps([FORMAT, asdict(config), asdict(options), files], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def clip_arrays(clip: Clip, config: FeatureConfig, options: ReadOptions) -> tuple[np.ndarray, np.ndarray, str]:
    """One clip as it is cached: waveform int16 (samples,), log-mel float16 (mels, frames), and what its length needed."""
    x = read(clip.path, sample_rate=config.sample_rate, channel=options.channel, resample=options.resample)
    try:
        x, fit = to_length(x, config.samples, short=options.short)
    except AsdError as error:
        raise AsdError(f"{clip.path} is too short, {error}") from error
    wave, mel = clip_of(x, config)
    if np.ptp(wave) == 0:
        raise AsdError(f"{clip.path} is silent in its first {config.seconds:g} s: choose longer clips, or remove it")
    return wave, mel, fit


def clip_of(x: np.ndarray, config: FeatureConfig) -> tuple[np.ndarray, np.ndarray]:
    """A clip in ±1 (samples,) as it is cached: waveform int16 (samples,), log-mel float16 (mels, frames)."""
    wave = np.round(x.clip(-1, 1 - 2**-15) * 2**15).astype(np.int16)
    return wave, log_mel(wave / np.float32(2**15), config).numpy().astype(np.float16)


def features_now(
    clips: list[Clip], config: FeatureConfig, *, options: ReadOptions = ReadOptions(), on_step: OnStep = silent
) -> Features:
    """The features of a few clips, computed in memory and not kept."""
    rows = []
    for clip in clips:
        rows.append(clip_arrays(clip, config, options))
        on_step("features", len(rows), len(clips))
    waveforms, log_mels, lengths = zip(*rows, strict=True)
    _tell(Counter(lengths), config)
    return Features(np.stack(waveforms), np.stack(log_mels))


def _tell(lengths: Counter, config: FeatureConfig) -> None:
    """Say what clips of another length went through; nothing is cut or repeated silently."""
    if lengths["cropped"]:
        log.warning(
            "%d of %d clips are longer and cut to their first %g s", lengths["cropped"], lengths.total(), config.seconds
        )
    if lengths["repeated"]:
        log.warning("%d of %d clips are shorter and repeated up to %g s", lengths["repeated"], lengths.total(), config.seconds)


def _compute(clips, config, options, folder: Path, on_step) -> None:
    """Write the arrays row by row with plain writes: on a full disk those raise, where a memory map would crash."""
    shapes = {"waveforms": ("<i2", (config.samples,)), "log_mels": ("<f2", (config.n_mels, config.frames))}
    lengths = Counter()
    with open(folder / "waveforms.npy", "wb") as waves, open(folder / "log_mels.npy", "wb") as mels:
        for file, (dtype, shape) in zip((waves, mels), shapes.values(), strict=True):
            header = {"descr": dtype, "fortran_order": False, "shape": (len(clips), *shape)}
            np.lib.format.write_array_header_1_0(file, header)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            try:
                for start in range(0, len(clips), AT_ONCE):
                    rows = pool.map(lambda clip: clip_arrays(clip, config, options), clips[start : start + AT_ONCE])
                    for done, (wave, mel, fit) in enumerate(rows, start + 1):
                        waves.write(wave.tobytes())
                        mels.write(mel.tobytes())
                        lengths[fit] += 1
                        on_step("features", done, len(clips))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    (folder / "about.json").write_text(json.dumps({"config": asdict(config), "clips": len(clips), "lengths": dict(lengths)}))
