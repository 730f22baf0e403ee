"""Features computed once: waveforms (int16) and log-mels (float16), memory-mapped.

Decoding and transforming every clip in every epoch is what makes the public
implementations slow. Here it happens once; training and scoring then read arrays. What
is kept is kept clip by clip: any choice of clips, in any order, finds what any other
one has left. A clip's features are found by the feature config, the way of reading, and
the file's path, size and time, so a changed file or setting is computed anew. float16
keeps a log-mel to 0.03 dB. The files are in :mod:`asdlib.sound.shards`, how large the
cache may grow in :mod:`asdlib.sound.cache_size`.
"""

import logging
import os
from collections import Counter, deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from asdlib import processes
from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent
from asdlib.sound import cache_size, shards
from asdlib.sound.clips import Clips
from asdlib.sound.data import Clip
from asdlib.sound.features import FeatureConfig, log_mel
from asdlib.sound.reading import read, to_length
from asdlib.sound.rows import Rows

log = logging.getLogger("asdlib")
SHORT = ("repeat", "refuse")  # what becomes of clips that are too short
SHARD = 256  # clips in a file, at most
AT_ONCE = 64  # clips; a slow disk must not let the finished ones pile up in memory


@dataclass(frozen=True)
class ReadOptions:
    """How recordings that are not as the config says are read.

    See :func:`asdlib.sound.reading.read` and
    :func:`asdlib.sound.reading.to_length`. Raises :class:`AsdError` for another word
    than those of :data:`SHORT`.
    """

    channel: int | None = None
    resample: bool = False
    short: str = "repeat"

    def __post_init__(self) -> None:
        if self.short not in SHORT:
            raise AsdError(
                f"short clips cannot be {self.short!r}: choose repeat or refuse"
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
    """The features of N ``clips``, from the cache in ``folder`` or computed into it.

    Waveforms (N, samples) int16 and log-mels (N, mels, frames) float16 in dB, each an
    array of rows that are read when they are used (:class:`asdlib.sound.rows.Rows`).

    Clips are read in parallel and written in order; what is in the cache is complete.
    With ``together``, which all processes that torchrun started must then ask for, each
    process of a machine computes its share. Where something was computed, what was not
    used for longest goes while the cache is larger than it may be. Raises
    :class:`AsdError` for a bad clip and when the folder cannot be written (a full disk,
    no permission).
    """
    if not clips:
        raise AsdError("no clips to compute features of: give at least one")
    limit = cache_size.limit()
    folder = Path(folder or cache_size.default_folder())
    keys = [shards.clip_key(clip.path) for clip in clips]
    held = _Held(folder, shards.settings_key(config, options), config)
    held.look(keys)
    left = {key: clip for key, clip in zip(keys, clips, strict=True) if key not in held}
    size = len(left) * sum(kind.row_bytes for kind in shards.kinds_of(config))
    try:
        if together:
            place, count = processes.local_rank(), processes.local_world_size()
            held.fill(left, options, on_step, place=place, count=count)
            processes.barrier()
            held.look(keys)
        # And what is missing yet: all of it, or what others removed a moment ago.
        while missing := {key: clip for key, clip in left.items() if key not in held}:
            held.fill(missing, options, on_step)
            held.look(keys)
    except OSError as error:
        raise AsdError(
            f"cannot write the feature cache in {folder} ({error.strerror}; it "
            f"takes {size / 1e6:.0f} MB): free some space or set ASDLIB_CACHE to "
            "another folder"
        ) from error
    if left:
        cache_size.evict(folder, limit, keep={shard.path for shard in held.shards})
    _tell(Counter(held.fit(key) for key in keys), config)
    machines = np.array([clip.machine for clip in clips])
    return Clips(held.rows(keys), machines, config)


class _Held:
    """The shards that one request has mapped, and where in them each clip is."""

    def __init__(self, folder: Path, settings: str, config: FeatureConfig):
        self.folder, self.settings, self.config = folder, settings, config
        self.shards: list[shards.Shard] = []
        self.places: dict[str, tuple[int, int]] = {}  # key: which shard, where in it

    def __contains__(self, key: str) -> bool:
        return key in self.places

    def look(self, keys: list[str]) -> None:
        """Map what the cache has of the clips that are not mapped yet."""
        wanted = set(keys).difference(self.places)
        for shard in shards.open_shards(
            self.folder, self.settings, self.config, wanted
        ):
            for place, key in enumerate(shard.keys):
                self.places.setdefault(key, (len(self.shards), place))
            self.shards.append(shard)

    def fill(
        self,
        clips: dict[str, Clip],
        options: ReadOptions,
        on_step: OnStep,
        *,
        place: int = 0,
        count: int = 1,
    ) -> None:
        """Compute shards ``place``, ``place + count``, ... of what ``clips`` make."""
        keys = list(clips)
        starts = range(place * SHARD, len(keys), count * SHARD)
        parts = [keys[start : start + SHARD] for start in starts]
        if not parts:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        shards.sweep(self.folder)
        mine = [clips[key] for part in parts for key in part]
        with closing(_computed(mine, self.config, options, on_step)) as rows:
            for part in parts:
                shards.write_shard(self.folder, self.settings, part, self.config, rows)

    def fit(self, key: str) -> str:
        shard, place = self.places[key]
        return self.shards[shard].fits[place]

    def rows(self, keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
        part, place = np.array([self.places[key] for key in keys]).T
        waveforms, log_mels = zip(*(shard.arrays for shard in self.shards), strict=True)
        # They are used as arrays are, and called so wherever clips are passed on.
        return (
            cast(np.ndarray, Rows(list(waveforms), part, place)),
            cast(np.ndarray, Rows(list(log_mels), part, place)),
        )


def _computed(
    clips: list[Clip], config: FeatureConfig, options: ReadOptions, on_step: OnStep
) -> Generator[shards.Row, None, None]:
    """:func:`clip_arrays` of each clip, in order, a few ahead and on all cores."""
    ahead: deque[Future[shards.Row]] = deque()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for done in range(len(clips)):
            for clip in clips[done + len(ahead) : done + AT_ONCE]:
                ahead.append(pool.submit(clip_arrays, clip, config, options))
            row = ahead.popleft().result()
            on_step("features", done + 1, len(clips))
            yield row
    finally:
        pool.shutdown(cancel_futures=True)


def clip_arrays(clip: Clip, config: FeatureConfig, options: ReadOptions) -> shards.Row:
    """One clip as it is kept, and what its length needed.

    That is "exact", "cropped" or "repeated". Waveform int16 (samples,) and log-mel
    float16 (mels, frames) in dB. Raises :class:`AsdError` for a clip that cannot be
    read, is silent, or is too short where short ones are refused.
    """
    # A second more than is kept: it shows that the clip is longer, and a resampler
    # looks a little ahead.
    x = read(
        clip.path,
        sample_rate=config.sample_rate,
        seconds=config.seconds + 1,
        channel=options.channel,
        resample=options.resample,
    )
    try:
        x, fit = to_length(x, config.samples, short=options.short)
    except AsdError as error:
        raise AsdError(f"{clip.path} is too short, {error}") from error
    wave, mel = clip_of(x, config)
    if np.ptp(wave) == 0:
        raise AsdError(
            f"{clip.path} is silent in its first {config.seconds:g} s: "
            "choose longer clips, or remove it"
        )
    return wave, mel, fit


def clip_of(x: np.ndarray, config: FeatureConfig) -> tuple[np.ndarray, np.ndarray]:
    """A clip in ±1 (samples,) as it is kept.

    Waveform int16 (samples,), rounded, and log-mel float16 (mels, frames) in dB, which
    is that of the rounded waveform.
    """
    wave = np.round(x.clip(-1, 1 - 2**-15) * 2**15).astype(np.int16)
    mel = log_mel(wave / np.float32(2**15), config).numpy()
    return wave, mel.astype(np.float16, order="C")  # torch gives it frame by frame


def features_now(
    clips: list[Clip],
    config: FeatureConfig,
    *,
    options: ReadOptions = ReadOptions(),
    on_step: OnStep = silent,
) -> Clips:
    """The features of a few clips, computed in memory and not kept.

    Waveforms (N, samples) int16 and log-mels (N, mels, frames) float16 in dB. Raises
    :class:`AsdError` for no clips and for a bad one.
    """
    if not clips:
        raise AsdError("no clips to compute features of: give at least one")
    with closing(_computed(clips, config, options, on_step)) as rows:
        waveforms, log_mels, fits = zip(*rows, strict=True)
    _tell(Counter(fits), config)
    machines = np.array([clip.machine for clip in clips])
    return Clips((np.stack(waveforms), np.stack(log_mels)), machines, config)


def _tell(fits: Counter[str], config: FeatureConfig) -> None:
    """Say what was done to clips of another length: nothing is silently."""
    if fits["cropped"]:
        log.warning(
            "%d of %d clips are longer and cut to their first %g s",
            fits["cropped"],
            fits.total(),
            config.seconds,
        )
    if fits["repeated"]:
        log.warning(
            "%d of %d clips are shorter and repeated up to %g s",
            fits["repeated"],
            fits.total(),
            config.seconds,
        )
