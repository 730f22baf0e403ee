"""What is inside recordings: rates, channels, lengths, and what is wrong with them.

All of them are looked at, in parallel, and all that is found is told at once: a person
with a thousand files does not want to mend them one error at a time.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent
from asdlib.sound.data import Clip
from asdlib.sound.found import first
from asdlib.sound.reading import FULL_SCALE, check_whole, opened

BLOCK = 1 << 18  # samples that are listened to at once
AT_ONCE = 64  # files a worker takes
DAMAGED, TOO_SHORT = "damaged", "ends before its clip"
ALIKE = {"sample rates": "rate", "channels": "channels"}  # in all files of a machine


class Look(NamedTuple):
    """What a look at a clip's file has shown.

    ``rate`` in Hz and the length in ``seconds``, 0 where the file cannot be read;
    ``trouble`` is what is wrong with it, if anything, and ``why`` a sentence.
    """

    rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    trouble: str = ""
    why: str = ""


def look_inside(
    clips: Sequence[Clip], *, deep: bool = False, on_step: OnStep = silent
) -> list[Look]:
    """A look at the file of each of ``clips``: at its header, or, ``deep``, at all."""
    paths = list(dict.fromkeys(Path(clip.path) for clip in clips))
    chunks = [paths[i : i + AT_ONCE] for i in range(0, len(paths), AT_ONCE)]
    looks: dict[Path, Look] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def work(chunk: list[Path]) -> list[Look]:
            return [_look(path, deep) for path in chunk]

        for chunk, found in zip(chunks, pool.map(work, chunks), strict=True):
            looks.update(zip(chunk, found, strict=True))
            on_step("listen" if deep else "read headers", len(looks), len(paths))
    return [_piece(clip, looks[Path(clip.path)]) for clip in clips]


def _look(path: Path, deep: bool) -> Look:
    try:
        with opened(path, channel=0, resample=True) as file:
            seconds = file.frames / file.samplerate
            look = Look(file.samplerate, file.channels, seconds)
            trouble = _listen(file, path) if deep else ""
            why = f"{path} is {trouble}" if trouble else ""
            return look._replace(trouble=trouble, why=why)
    except (AsdError, RuntimeError, OSError) as error:  # in the middle of a file, too
        return Look(trouble=DAMAGED, why=str(error))


def _listen(file: Any, path: Path) -> str:
    """What is wrong with the samples of an open file."""
    lowest, highest = np.inf, -np.inf  # of each channel, in the end
    got = 0
    while len(x := file.read(BLOCK, dtype="float32", always_2d=True)):
        if not np.isfinite(x).all():
            return "not finite"
        lowest = np.minimum(lowest, x.min(axis=0))
        highest = np.maximum(highest, x.max(axis=0))
        got += len(x)
    check_whole(file, path, got)
    if np.maximum(np.abs(lowest), np.abs(highest)).max() > FULL_SCALE:
        return "beyond full scale"
    still = np.equal(lowest, highest)
    return "silent" if still.all() else "silent in a channel" if still.any() else ""


def _piece(clip: Clip, look: Look) -> Look:
    """Of a longer recording, the clip's own length."""
    if look.trouble == DAMAGED:
        return look
    end = look.seconds if clip.end is None else clip.end
    if clip.start >= look.seconds or end > look.seconds + 0.5 / look.rate:
        why = f"{clip.path} is {look.seconds:g} s long, and its clip goes to {end:g} s"
        return look._replace(trouble=TOO_SHORT, why=why)
    return look._replace(seconds=end - clip.start)


def by_machine(clips: Sequence[Clip], looks: Sequence[Look]) -> dict[str, dict]:
    """What the files of each machine are like, and what is wrong with which of them.

    Ready for JSON: {"sample rates": {"16000": 6}, "channels": {"1": 6}, "seconds":
    [shortest, longest], "findings": {"silent": [path, ...], ...}}.
    """
    found: dict[str, dict] = {}
    groups: dict[str, list[tuple[Clip, Look]]] = defaultdict(list)
    for clip, look in zip(clips, looks, strict=True):
        groups[clip.machine].append((clip, look))
    for machine, pairs in sorted(groups.items()):
        readable = [look for _, look in pairs if look.rate]
        about: dict[str, Any] = {}
        troubles: dict[str, list[str]] = defaultdict(list)
        for clip, look in pairs:
            if look.trouble:
                troubles[look.trouble].append(str(clip.path))
        for what, field in ALIKE.items():
            counts = Counter(getattr(look, field) for look in readable)
            about[what] = {str(value): n for value, n in sorted(counts.items())}
            if len(counts) > 1:  # the few are the odd ones
                usual = counts.most_common(1)[0][0]
                troubles[f"other {what}"] = [
                    str(clip.path)
                    for clip, look in pairs
                    if look.rate and getattr(look, field) != usual
                ]
        lengths = sorted({round(look.seconds, 3) for look in readable})
        about["seconds"] = [lengths[0], lengths[-1]] if lengths else []
        about["findings"] = {kind: [*dict.fromkeys(p)] for kind, p in troubles.items()}
        found[machine] = about
    return found


def findings(
    clips: Sequence[Clip], looks: Sequence[Look], machines: dict[str, dict]
) -> list[str]:
    """A line for each kind of finding: how many files, and the first of them."""
    why = {str(c.path): x.why for c, x in zip(clips, looks, strict=True) if x.why}
    kinds: dict[str, list[str]] = defaultdict(list)
    for about in machines.values():
        for kind, paths in about["findings"].items():
            kinds[kind].extend(paths)
    lines = []
    for kind, paths in kinds.items():
        reason = f" ({why[paths[0]]})" if kind == DAMAGED else ""
        files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        lines.append(f"{kind}: {files}, {first(paths)}{reason}")
    for machine, about in machines.items():
        for what in ALIKE:
            if len(about[what]) > 1:
                told = ", ".join(f"{n} of {x}" for x, n in about[what].items())
                lines.append(f"{what} of {machine} differ: {told}")
    return lines
