"""Features computed once: waveforms (int16) and log-mels (float16) of a list of clips, memory-mapped.

Decoding and transforming every clip in every epoch is what makes the public implementations slow. Here it happens once;
training and scoring then read arrays. A cache is keyed by the feature config and by each file's path, size and time, so a
changed file or setting makes a new one. float16 keeps a log-mel to 0.03 dB.
"""

import hashlib
import json
import logging
import math
import os
import shutil
import socket
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asdlib import processes
from asdlib.errors import AsdError
from asdlib.files import locked
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.data import Clip, read, to_length
from asdlib.sound.features import FeatureConfig, log_mel

log = logging.getLogger("asdlib")
FORMAT = 1  # of the files below; part of the key
SHORT = ("repeat", "refuse")  # what becomes of clips that are too short
AT_ONCE = 64  # clips; a slow disk must not let the finished ones pile up in memory


@dataclass(frozen=True)
class ReadOptions:
    """How recordings that are not as the config says are read: see :func:`asdlib.sound.data.read` and ``to_length``."""

    channel: int | None = None
    resample: bool = False
    short: str = "repeat"

    def __post_init__(self):
        if self.short not in SHORT:
            raise AsdError(
                f"short clips cannot be {self.short!r}: choose repeat or refuse"
            )


def default_folder() -> Path:
    """Where caches go: ``$ASDLIB_CACHE``, else the user's cache folder of this system."""
    import platformdirs

    return Path(
        os.environ.get("ASDLIB_CACHE") or platformdirs.user_cache_path("asdlib")
    )


def features_of(
    clips: list[Clip],
    config: FeatureConfig,
    *,
    options: ReadOptions = ReadOptions(),
    folder: Path | None = None,
    together: bool = False,
    on_step: OnStep = silent,
) -> Clips:
    """The features of ``clips``, from the cache in ``folder`` or computed into it.

    The clips are read in parallel and written in order; the cache appears only when it is complete. With ``together``, which
    all processes that torchrun started must then ask for, each process of a machine computes its share. Raises
    :class:`AsdError` for a bad clip and when the folder cannot be written (a full disk, no permission).
    """
    if not clips:
        raise AsdError("no clips to compute features of: give at least one")
    folder = Path(folder or default_folder())
    target = folder / _key(clips, config, options)
    if together or not _complete(target):
        try:
            _fill(target, clips, config, options, together, on_step)
        except OSError as error:
            megabytes = (
                len(clips) * sum(size for _, _, size in _arrays(config).values()) / 1e6
            )
            raise AsdError(
                f"cannot write the feature cache in {folder} ({error.strerror}; it takes {megabytes:.0f} MB): "
                "free some space or set ASDLIB_CACHE to another folder"
            ) from error
    _tell(Counter(json.loads((target / "about.json").read_text())["lengths"]), config)
    arrays = tuple(
        np.load(target / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in _arrays(config)
    )
    return Clips(arrays, [clip.machine for clip in clips], config)


def _fill(target: Path, clips, config, options, together: bool, on_step) -> None:
    """Leave a complete cache at ``target``: by this process alone, or a share by each process of this machine."""
    place, count = (
        (processes.local_rank(), processes.local_world_size()) if together else (0, 1)
    )
    wait = processes.barrier if together else lambda: None
    # Beside the target, under a name of its own, which those that one torchrun started on this machine have in common.
    own = uuid.uuid4().hex if count == 1 else f"{socket.gethostname()}-{os.getppid()}"
    partial = target.with_name(f".part-{target.name[:8]}-{own}")
    with ExitStack() as stack:
        if place == 0 and not _complete(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target.parent)
            shutil.rmtree(
                partial, ignore_errors=True
            )  # of a dead process with this number
            stack.callback(shutil.rmtree, partial, ignore_errors=True)
            partial.mkdir()
            stack.enter_context(locked(partial))
            _reserve(partial, len(clips), config)
        wait()
        at_work = partial.exists()  # else the cache was complete already
        if at_work:
            share = range(
                place * len(clips) // count, (place + 1) * len(clips) // count
            )
            _compute(clips, config, options, partial, share, on_step)
        wait()
        if at_work and place == 0:
            lengths = Counter()
            for path in partial.glob("lengths-*.json"):
                lengths.update(json.loads(path.read_text()))
                path.unlink()
            about = {
                "config": asdict(config),
                "clips": len(clips),
                "lengths": dict(lengths),
            }
            (partial / "about.json").write_text(json.dumps(about))
            try:
                partial.rename(target)
            except OSError:
                if not _complete(
                    target
                ):  # else another process was first, with the same content
                    shutil.rmtree(
                        target, ignore_errors=True
                    )  # half a cache, which somebody has damaged
                    partial.rename(target)
        wait()


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left half-written: nobody holds it any more."""
    for partial in folder.glob(".part-*"):
        try:
            if (
                time.time() - partial.stat().st_mtime > 60
            ):  # a younger one may not be held yet
                with locked(partial) as held:
                    if held:
                        shutil.rmtree(partial, ignore_errors=True)
        except (AsdError, OSError):  # at work, or somebody else's
            continue


def _complete(target: Path) -> bool:
    return all(
        (target / name).exists()
        for name in ("about.json", "waveforms.npy", "log_mels.npy")
    )


def _key(clips, config, options) -> str:
    try:
        files = [
            (
                str(clip.path.resolve()),
                (stat := clip.path.stat()).st_size,
                stat.st_mtime_ns,
            )
            for clip in clips
        ]
    except OSError as error:
        raise AsdError(
            f"cannot read {error.filename} ({error.strerror}): check the file, or remove it"
        ) from error
    text = json.dumps([FORMAT, asdict(config), asdict(options), files], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def clip_arrays(
    clip: Clip, config: FeatureConfig, options: ReadOptions
) -> tuple[np.ndarray, np.ndarray, str]:
    """One clip as it is cached: waveform int16 (samples,), log-mel float16 (mels, frames), and what its length needed."""
    how = {"channel": options.channel, "resample": options.resample}
    # A second more than is kept: it shows that the clip is longer, and a resampler looks a little ahead.
    x = read(
        clip.path, sample_rate=config.sample_rate, seconds=config.seconds + 1, **how
    )
    try:
        x, fit = to_length(x, config.samples, short=options.short)
    except AsdError as error:
        raise AsdError(f"{clip.path} is too short, {error}") from error
    wave, mel = clip_of(x, config)
    if np.ptp(wave) == 0:
        raise AsdError(
            f"{clip.path} is silent in its first {config.seconds:g} s: choose longer clips, or remove it"
        )
    return wave, mel, fit


def clip_of(x: np.ndarray, config: FeatureConfig) -> tuple[np.ndarray, np.ndarray]:
    """A clip in ±1 (samples,) as it is cached: waveform int16 (samples,), log-mel float16 (mels, frames)."""
    wave = np.round(x.clip(-1, 1 - 2**-15) * 2**15).astype(np.int16)
    return wave, log_mel(wave / np.float32(2**15), config).numpy().astype(np.float16)


def features_now(
    clips: list[Clip],
    config: FeatureConfig,
    *,
    options: ReadOptions = ReadOptions(),
    on_step: OnStep = silent,
) -> Clips:
    """The features of a few clips, computed in memory and not kept."""
    rows = []
    for clip in clips:
        rows.append(clip_arrays(clip, config, options))
        on_step("features", len(rows), len(clips))
    waveforms, log_mels, lengths = zip(*rows, strict=True)
    _tell(Counter(lengths), config)
    return Clips(
        (np.stack(waveforms), np.stack(log_mels)),
        [clip.machine for clip in clips],
        config,
    )


def _tell(lengths: Counter, config: FeatureConfig) -> None:
    """Say what clips of another length went through; nothing is cut or repeated silently."""
    if lengths["cropped"]:
        log.warning(
            "%d of %d clips are longer and cut to their first %g s",
            lengths["cropped"],
            lengths.total(),
            config.seconds,
        )
    if lengths["repeated"]:
        log.warning(
            "%d of %d clips are shorter and repeated up to %g s",
            lengths["repeated"],
            lengths.total(),
            config.seconds,
        )


def _arrays(config: FeatureConfig) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """The arrays of a cache: the type of their numbers, the shape of a row, and its bytes."""
    mels = config.n_mels, config.frames
    return {
        "waveforms": ("<i2", (config.samples,), 2 * config.samples),
        "log_mels": ("<f2", mels, 2 * math.prod(mels)),
    }


def _reserve(folder: Path, count: int, config: FeatureConfig) -> None:
    """Files for ``count`` clips, rows not yet written."""
    for name, (dtype, shape, size) in _arrays(config).items():
        with open(folder / f"{name}.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": dtype, "fortran_order": False, "shape": (count, *shape)}
            )
            file.truncate(file.tell() + count * size)


def _compute(clips, config, options, folder: Path, share: range, on_step) -> None:
    """Write the rows ``share`` of the arrays with plain writes: on a full disk those raise, where a memory map would crash."""
    lengths = Counter()
    with ExitStack() as stack:
        files = []
        for name, (_, _, size) in _arrays(config).items():
            files.append(stack.enter_context(open(folder / f"{name}.npy", "r+b")))
            files[-1].seek((share.start - len(clips)) * size, os.SEEK_END)
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        try:
            for start in range(share.start, share.stop, AT_ONCE):
                group = clips[start : min(start + AT_ONCE, share.stop)]
                rows = pool.map(lambda clip: clip_arrays(clip, config, options), group)
                for done, (wave, mel, fit) in enumerate(rows, start + 1 - share.start):
                    for file, array in zip(files, (wave, mel), strict=True):
                        file.write(array.tobytes())
                    lengths[fit] += 1
                    on_step("features", done, len(share))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    (folder / f"lengths-{share.start}-{share.stop}.json").write_text(
        json.dumps(lengths)
    )
