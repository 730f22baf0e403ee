"""From recordings to embeddings and scores, a few clips at a time.

What is kept of a clip while it is embedded, its waveform and its log-mel, is near a
megabyte; what is left of it is a few numbers. So memory does not grow with the
recordings.
"""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np

from asdlib.device import find_device
from asdlib.errors import AsdError
from asdlib.learn.embedding import on_device, ready
from asdlib.progress import OnStep, silent
from asdlib.sound import shards
from asdlib.sound.computed import ReadOptions, computed, tell, without
from asdlib.sound.data import Clip, check_clips, listed
from asdlib.use.detector import Detector

AT_ONCE = 32  # clips that are embedded together


def embedded(
    clips: list[Clip],
    detector: Detector,
    *,
    reading: ReadOptions | None = None,
    device: str = "auto",
    bad: dict[Clip, AsdError] | None = None,
    on_step: OnStep = silent,
) -> Generator[tuple[list[Clip], np.ndarray], None, None]:
    """Some of the ``clips``, in order, and their embeddings (n, dim), and the next.

    ``reading`` is as in training where it is None. Raises :class:`AsdError` for no
    clips, and once the last were given, for those that cannot be used, all of them in
    one; with ``bad``, those are put in there, each with its error, unless no other is
    left. What was done to clips of another length or rate is said then, too.
    """
    if not (clips := listed(clips)):
        raise AsdError("no clips to compute features of: give at least one")
    check_clips(clips)
    config, place = detector.config, find_device(device)
    run = ready(detector.model.embed, place)
    found: dict[Clip, AsdError] = {}
    about: list[tuple[str, int]] = []
    group: list[tuple[Clip, shards.Row]] = []

    def taken() -> tuple[list[Clip], np.ndarray]:
        own, rows = zip(*group, strict=True)
        arrays = tuple(np.stack([row[i] for row in rows]) for i in (0, 1))
        group.clear()
        return list(own), run(*on_device(arrays, np.arange(len(own)), place)).numpy()

    options = reading or config.reading
    with closing(computed(clips, config.features, options, on_step)) as rows:
        for clip, row in zip(clips, rows, strict=True):
            if isinstance(row, AsdError):
                found[clip] = row
            elif bad is not None or not found:  # else nobody will have the rest
                group.append((clip, row))
                about.append((row.fit, row.rate))
            if len(group) == AT_ONCE:
                yield taken()
    if group:
        yield taken()
    without(clips, found, bad)
    tell(about, config.features, config.rates)


def scored(
    clips: list[Clip], detector: Detector, machine: str, scorer: str, **how: Any
) -> list[dict[str, Any]]:
    """What is told of each recording of one ``machine``, in order, by its ``scorer``.

    That is its "file", "score", and "training_share"
    (:meth:`Detector.training_share`), and, of an ensemble, the scores of its "parts".
    ``how`` are the other arguments of :func:`embedded`, which says what is raised.
    """
    rows: list[dict[str, Any]] = []
    for group, embeddings in embedded(clips, detector, **how):
        found = detector.every_score(embeddings, machine, (scorer, *detector.parts))
        for i, (clip, score) in enumerate(zip(group, found[scorer], strict=True)):
            share = detector.training_share(score, machine, scorer)
            row: dict[str, Any] = {"file": str(clip.path), "score": float(score)}
            row["training_share"] = share
            if detector.parts:
                row["parts"] = {part: float(found[part][i]) for part in detector.parts}
            rows.append(row)
    return rows
