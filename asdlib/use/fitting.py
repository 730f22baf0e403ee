"""A config fitted to the clips: how long they are, how many, and which."""

import hashlib
import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from asdlib.errors import AsdError
from asdlib.learn.batches import plan_batches
from asdlib.learn.stage import StageConfig
from asdlib.sound.clips import Clips
from asdlib.sound.data import Clip
from asdlib.sound.reading import opened
from asdlib.use.config import RunConfig

log = logging.getLogger("asdlib")
LONGEST = 30.0  # seconds that are looked at as one clip
APART = 1.5  # times the median: longer clips are cut, or all others would be repeated
SMALL_BATCH, BATCHES = 32, 10  # batches get smaller, down to this, for so many an epoch
FEW = 20  # clips of a machine


def fitted_to(config: RunConfig, clips: Sequence[Clip]) -> RunConfig:
    """``config`` with what ``whole_clips`` and ``least_steps`` come to for the clips.

    They are those to train on. What is changed is said in the log. Raises
    :class:`AsdError` for a clip whose length cannot be read.
    """
    if config.whole_clips:
        seconds = whole_seconds(clips, config)
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


def whole_seconds(clips: Sequence[Clip], config: RunConfig) -> float:
    """How long ``clips`` are: as the longest of them that is not much longer than most.

    Raises :class:`AsdError` for a clip that may not be read
    (:func:`asdlib.sound.reading.opened`).
    """
    lengths, reading = [], config.reading
    for clip in clips:
        with opened(
            clip.path,
            sample_rate=config.features.sample_rate,
            channel=reading.channel,
            resample=reading.resample,
        ) as file:
            lengths.append(file.frames / file.samplerate)
    most = float(np.median(lengths))
    longest = max(length for length in lengths if length <= APART * most)
    return min(longest, LONGEST)


def digest(clips: Sequence[Clip]) -> str:
    """Tells sets of training clips apart: by machines, file names and content.

    Where their folder lies does not matter. Raises :class:`AsdError` for a clip that
    cannot be read.
    """

    def of_file(clip: Clip) -> bytes:
        try:
            with open(clip.path, "rb") as file:
                content = hashlib.file_digest(file, hashlib.blake2b).hexdigest()
        except OSError as error:
            raise AsdError(
                f"cannot read {error.filename} ({error.strerror}): check the file, or "
                "remove it"
            ) from error
        name = f"{clip.machine}/{Path(clip.path).name} {content}"
        return name.encode(errors="surrogateescape")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = sorted(pool.map(of_file, clips))
    return hashlib.blake2b(b"\n".join(found), digest_size=16).hexdigest()
