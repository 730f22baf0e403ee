"""Features computed once: waveforms (float32), log-mels (float16), memory-mapped.

Decoding and transforming every clip in every epoch is what makes the public
implementations slow. Here it happens once; training and scoring then read arrays. What
is kept is kept clip by clip: any choice of clips, in any order, finds what any other
one has left. A clip's features are found by the feature config, the way of reading, and
the file's path, size and time, so a changed file or setting is computed anew. float16
keeps a log-mel to 0.03 dB; a waveform is kept as it is, be it quieter than a step of 16
bits or, from a recorder of floats, beyond ±1. The files are in
:mod:`asdlib.sound.shards`, how large the cache may grow in
:mod:`asdlib.sound.cache_size`.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np

from asdlib import processes
from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent
from asdlib.sound import cache_size, shards
from asdlib.sound.clips import Clips
from asdlib.sound.computed import ReadOptions, computed, tell, without
from asdlib.sound.data import Clip, check_clips, listed
from asdlib.sound.features import FeatureConfig
from asdlib.sound.rows import Rows

SHARD = 256  # clips in a file, at most


def features_of(
    clips: list[Clip],
    config: FeatureConfig,
    *,
    options: ReadOptions = ReadOptions(),
    folder: Path | None = None,
    together: bool = False,
    bad: dict[Clip, AsdError] | None = None,
    trained: tuple[int, ...] = (),
    on_step: OnStep = silent,
) -> Clips:
    """The features of N ``clips``, from the cache in ``folder`` or computed into it.

    Waveforms (N, samples) float32 and log-mels (N, mels, frames) float16 in dB, each an
    array of rows that are read when they are used (:class:`asdlib.sound.rows.Rows`).

    Clips are read in parallel and written in order; what is in the cache is complete.
    With ``together``, which all processes that torchrun started must then ask for, each
    process of a machine computes its share. Where something was computed, what was not
    used for longest goes while the cache is larger than it may be.

    A clip that cannot be used costs that clip: the features of the others are kept, and
    one :class:`AsdError` names all that are bad; with ``bad``, they are put in there,
    each with its error, and left out. ``trained`` are the rates, in Hz, that a network
    knows. Raises :class:`AsdError` also when the folder cannot be written (a full disk,
    no permission).
    """
    if not (clips := listed(clips)):
        raise AsdError("no clips to compute features of: give at least one")
    check_clips(clips)
    limit = cache_size.limit()
    folder = Path(folder or cache_size.default_folder())
    held = _Held(folder, shards.settings_key(config, options), config)
    found: dict[Clip, AsdError] = {}
    keyed: dict[Clip, str] = {}
    for clip in clips:
        try:
            keyed[clip] = shards.clip_key(clip)
        except AsdError as error:
            found[clip] = error
    keys = list(keyed.values())
    held.look(keys)
    left = {key: clip for clip, key in keyed.items() if key not in held}
    size = len(left) * sum(kind.row_bytes for kind in shards.kinds_of(config))
    try:
        if together:
            place, count = processes.local_rank(), processes.local_world_size()
            held.fill(left, options, on_step, place=place, count=count)
            processes.barrier()
            held.look(keys)
        # And what is missing yet: all of it, or what others removed a moment ago.
        while missing := {
            key: clip
            for key, clip in left.items()
            if key not in held and key not in held.bad
        }:
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
    found |= {clip: held.bad[key] for clip, key in keyed.items() if key in held.bad}
    good = without(clips, found, bad)
    keys = [keyed[clip] for clip in good]
    tell([held.about(key) for key in keys], config, trained)
    machines = np.array([clip.machine for clip in good])
    return Clips(held.rows(keys), machines, config)


class _Held:
    """The shards that one request has mapped, and where in them each clip is."""

    def __init__(self, folder: Path, settings: str, config: FeatureConfig):
        self.folder, self.settings, self.config = folder, settings, config
        self.shards: list[shards.Shard] = []
        self.places: dict[str, tuple[int, int]] = {}  # key: which shard, where in it
        self.bad: dict[str, AsdError] = {}  # key: what is wrong with the clip

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
        mine = [key for part in parts for key in part]
        asked = [clips[key] for key in mine]

        with closing(computed(asked, self.config, options, on_step)) as found:
            rows = self._good(mine, found)
            for part in parts:
                shards.write_shard(self.folder, self.settings, part, self.config, rows)

    def _good(
        self, keys: list[str], computed: Iterator[shards.Row | AsdError]
    ) -> Iterator[shards.Row | None]:
        """What was computed, in order; None for each clip that is bad."""
        for key, row in zip(keys, computed, strict=True):
            if isinstance(row, AsdError):
                self.bad[key] = row
                yield None
            else:
                yield row

    def about(self, key: str) -> tuple[str, int]:
        """What a clip's length needed, and its rate in Hz."""
        shard, place = self.places[key]
        return self.shards[shard].fits[place], self.shards[shard].rates[place]

    def rows(self, keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
        part, place = np.array([self.places[key] for key in keys]).T
        waveforms, log_mels = zip(*(shard.arrays for shard in self.shards), strict=True)
        # They are used as arrays are, and called so wherever clips are passed on.
        return (
            cast(np.ndarray, Rows(list(waveforms), part, place)),
            cast(np.ndarray, Rows(list(log_mels), part, place)),
        )
