"""A config fitted to the clips: how long they are, how many, and which."""

import hashlib
import logging
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from asdlib.learn.batches import plan_batches
from asdlib.learn.stage import StageConfig
from asdlib.sound.clips import Clips
from asdlib.sound.computed import all_of
from asdlib.sound.data import Clip
from asdlib.sound.stretches import LONG, Look, look_into
from asdlib.use.config import RunConfig

log = logging.getLogger("asdlib")
APART = 1.5  # times the median: longer clips are cut, or all others would be repeated
SMALL_BATCH, BATCHES = 32, 10  # batches get smaller, down to this, for so many an epoch
FEW = 20  # clips of a machine


def fitted_to(
    config: RunConfig, clips: Sequence[Clip], looks: Mapping[Clip, Look] | None = None
) -> RunConfig:
    """``config`` with what ``whole_clips`` and ``least_steps`` come to for the clips.

    And with the rates that the clips were recorded at. They are those to train on; such
    as cannot be read do not count here. ``looks`` are what their headers say, where
    that is known. What is changed is said in the log. Raises :class:`AsdError`, about
    each clip, where none can be read.
    """
    if looks is None:
        looks, bad = look_into(
            clips, sample_rate=config.features.sample_rate, options=config.reading
        )
        if not looks:
            raise all_of(list(bad.values()), len(clips))
    found = [looks[clip] for clip in clips if clip in looks]
    config = replace(config, rates=tuple(sorted({look.rate for look in found})))
    if config.whole_clips:
        seconds = whole_seconds([look.seconds for look in found])
        config = replace(config, features=replace(config.features, seconds=seconds))
        if config.window is not None:  # clips may be shorter
            config = replace(config, window=min(config.window, seconds))
    if not config.least_steps:
        return config
    labels = Clips((), np.array([clip.machine for clip in clips])).labels
    counts = Counter(clip.machine for clip in clips)
    few = {name: count for name, count in counts.items() if count < FEW}
    if few:
        log.warning(
            "few clips of %d of %d machines (%d of %s): what is usual of them is known "
            "only roughly, so record more, %d or so",
            len(few),
            len(counts),
            min(few.values()),
            min(few, key=few.__getitem__),
            FEW,
        )
    if config.pretrain is not None:
        first = enough_steps(config.pretrain, labels, config)
        config = replace(config, pretrain=first)
    return replace(config, finetune=enough_steps(config.finetune, labels, config))


def enough_steps(
    stage: StageConfig, labels: np.ndarray, config: RunConfig
) -> StageConfig:
    """``stage`` with smaller batches and more epochs where clips are few.

    ``labels`` (N,) are those of the clips. So many epochs that there are
    ``config.least_steps`` steps.
    """
    size = stage.batch_size
    while size // 2 >= SMALL_BATCH and len(labels) < BATCHES * size:
        size //= 2
    smaller = replace(stage, batch_size=size)
    plan = plan_batches(labels, smaller, validation=config.validation, seed=config.seed)
    epochs = max(stage.epochs, math.ceil(config.least_steps / plan.steps))
    if epochs > stage.epochs:
        log.warning(
            "%d clips are few: %d epochs instead of %d, so that there are %d steps",
            len(labels),
            epochs,
            stage.epochs,
            epochs * plan.steps,
        )
    return smaller.of(epochs)


def whole_seconds(lengths: Sequence[float]) -> float:
    """How long clips are: as the longest of them that is not much longer than most."""
    most = float(np.median(lengths))
    longest = max(length for length in lengths if length <= APART * most)
    return min(longest, LONG)


def digest(clips: Sequence[Clip]) -> str:
    """Tells sets of training clips apart: by machines, file names and content.

    Where their folder lies does not matter. A file that cannot be read has no content
    here: whoever computes its features says so.
    """

    def of_file(path: Path) -> str:
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, hashlib.blake2b).hexdigest()
        except OSError:
            return ""

    paths = list(dict.fromkeys(clip.path for clip in clips))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        contents = dict(zip(paths, pool.map(of_file, paths), strict=True))
    names = []
    for clip in clips:
        name = f"{clip.machine}/{clip.path.name} {contents[clip.path]}"
        if clip.start or clip.end is not None:
            name += f" {clip.start} {clip.end}"
        names.append(name.encode(errors="surrogateescape"))
    found = sorted(names)
    return hashlib.blake2b(b"\n".join(found), digest_size=16).hexdigest()
