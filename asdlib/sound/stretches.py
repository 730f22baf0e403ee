"""Clips out of long recordings, as stretches of what lies there."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from asdlib.errors import AsdError
from asdlib.sound.computed import ReadOptions
from asdlib.sound.data import Clip
from asdlib.sound.reading import SilentError, as_recorded, opened

log = logging.getLogger("asdlib")
LONG = 30.0  # seconds; what is longer is no clip but a recording
SLACK = 1e-6  # seconds, of a sum of times; less than a sample


class Look(NamedTuple):
    """What the header of a recording says: how long it is, at which rate in Hz."""

    seconds: float
    rate: int


def look_into(
    clips: Iterable[Clip], *, sample_rate: int, options: ReadOptions
) -> tuple[dict[Clip, Look], dict[Clip, AsdError]]:
    """What the headers of clips say, and what is wrong with those that have none.

    By header only; see :func:`asdlib.sound.reading.opened`.
    """

    def look(clip: Clip) -> Look | AsdError:
        try:
            with opened(
                clip.path,
                sample_rate=sample_rate,
                channel=options.channel,
                resample=options.resample,
                partial=options.partial,
            ) as file:
                end = file.frames / file.samplerate
                end = end if clip.end is None else min(end, clip.end)
                return Look(end - clip.start, file.samplerate)
        except AsdError as error:
            return error

    clips = list(clips)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(clips, pool.map(look, clips), strict=True))
    bad = {c: each for c, each in found.items() if isinstance(each, AsdError)}
    return {c: each for c, each in found.items() if isinstance(each, Look)}, bad


def cut_long(
    clips: Sequence[Clip],
    looks: Mapping[Clip, Look],
    seconds: float,
    options: ReadOptions = ReadOptions(),
) -> tuple[list[Clip], dict[Clip, Look]]:
    """``clips``, and in place of recordings longer than :data:`LONG` what they hold.

    That is clips of so many ``seconds``, one after the other, without those in which
    the recording is silent. ``looks`` are those of :func:`look_into`, and come back as
    those of what is there now. What was cut is said in the log.
    """
    out: list[Clip] = []
    known = dict(looks)
    cut, left, silent_ones = 0, 0.0, 0
    for clip in clips:
        length = looks[clip].seconds if clip in looks else 0.0
        if length <= max(LONG, seconds):
            out.append(clip)
            continue
        count = int((length + SLACK) / seconds)
        starts = [clip.start + i * seconds for i in range(count)]
        pieces = [replace(clip, start=s, end=s + seconds) for s in starts]
        pieces = _heard(pieces, options)
        silent_ones += count - len(pieces)
        known |= dict.fromkeys(pieces, Look(seconds, known.pop(clip).rate))
        out += pieces
        cut, left = cut + 1, left + length - count * seconds
    if cut:
        log.warning(
            "%d recordings longer than %g s are cut into %d clips of %g s%s",
            cut,
            LONG,
            len(out) - len(clips) + cut,
            seconds,
            f" ({left:.1f} s at their ends are left over)" if left > SLACK else "",
        )
    tell_silent(silent_ones)
    return out, known


def _heard(pieces: Sequence[Clip], options: ReadOptions) -> list[Clip]:
    """The clips of one recording that are not silent; the first, where all are.

    A machine that stands still for a while, or a recorder that fills up what it missed
    with zeros, is no reason to do without the rest.
    """

    def is_silent(clip: Clip) -> bool:
        assert clip.end is not None
        try:
            as_recorded(
                clip.path,
                resample=True,
                start=clip.start,
                seconds=clip.end - clip.start,
                channel=options.channel,
                partial=options.partial,
            )
        except SilentError:
            return True
        except AsdError:  # named with all others when their sound is needed
            return False
        return False

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        silent_ones = list(pool.map(is_silent, pieces))
    heard = [x for x, still in zip(pieces, silent_ones, strict=True) if not still]
    return heard or list(pieces[:1])


def tell_silent(count: int) -> None:
    """Say how many silent clips of long recordings are left out."""
    if count:
        log.warning("%d clips in which nothing is heard are left out", count)
