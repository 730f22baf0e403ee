"""Clips out of long recordings, written as files and split by time.

For training they are stretches of what lies there (:mod:`asdlib.sound.stretches`).
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from asdlib.errors import AsdError
from asdlib.files import pipes_kept
from asdlib.progress import OnStep, silent
from asdlib.sound.computed import ReadOptions
from asdlib.sound.data import Clip
from asdlib.sound.reading import SilentError, as_recorded, opened
from asdlib.sound.stretches import SLACK, tell_silent

SHARES = {"train": 0.7, "calibration": 0.15, "test": 0.15}  # of the time, in this order


class Place(NamedTuple):
    """Where a clip lies: in which of the recordings, from which second, for what."""

    recording: int
    start: float
    split: str


def split_by_time(
    lengths: Sequence[float], *, seconds: float, hop: float, gap: float
) -> list[Place]:
    """Where clips lie in recordings of the given ``lengths``, all in seconds.

    The first of the time is for training, what follows for calibration, the end for
    testing (:data:`SHARES`). A clip every ``hop`` seconds, none across the border
    between two parts, and none in the first ``gap`` seconds behind one within a
    recording: neighbours sound alike, and a detector would know them.
    """
    total, begun = sum(lengths), 0.0
    ends = np.cumsum(list(SHARES.values())) * total
    borders = [0.0, *ends[:-1].tolist(), float(ends[-1]) + 1]
    places = []
    for index, length in enumerate(lengths):
        for i in range(max(0, int((length - seconds + SLACK) / hop) + 1)):
            start = begun + i * hop
            part = int(np.searchsorted(borders, start + SLACK, side="right")) - 1
            behind = borders[part]
            near = behind > begun and start < behind + gap - SLACK
            if start + seconds <= borders[part + 1] + SLACK and not near:
                places.append(Place(index, i * hop, list(SHARES)[part]))
        begun += length
    return places


@pipes_kept()
def cut(
    recordings: Sequence[str | Path],
    out: str | Path,
    machine: str,
    *,
    seconds: float = 10.0,
    hop: float | None = None,
    gap: float | None = None,
    anomaly: bool = False,
    options: ReadOptions = ReadOptions(),
    on_step: OnStep = silent,
) -> dict[str, int]:
    """Write clips of long recordings of one machine; how many of each split.

    ::

        <out>/clips/<type>/{train,test}/normal_<id>_<number>.wav
        <out>/calibration/<type>/<id>/<number>.wav

    The recordings are healthy, in the order in which they were made, and split by
    :func:`split_by_time`; ``hop`` and ``gap`` are ``seconds`` where they are None. Of
    those of a faulty machine (``anomaly``) all clips are for testing. Nothing is
    resampled, what lies in ``out`` stays, and silent clips are left out.

    Raises :class:`AsdError` for times that make no sense, for a machine that is not
    called ``<type>/id_<nn>``, where ``out`` has clips of it already, where too little
    is left of the recordings, and for what cannot be read or written.
    """
    hop, gap = seconds if hop is None else hop, seconds if gap is None else gap
    machine_type, _, machine_id = machine.partition("/")
    if not machine_type or not machine_id.removeprefix("id_").isdigit():
        raise AsdError(
            f"a machine is called {machine!r}: call it <type>/id_<nn>, for example "
            "fan/id_00"
        )
    if not (0 < seconds < np.inf and 0 < hop < np.inf and 0 <= gap < np.inf):
        raise AsdError(
            f"clips of {seconds:g} s every {hop:g} s with gaps of {gap:g} s make no "
            "sense: choose times in seconds"
        )
    if Path(out).exists() and not Path(out).is_dir():
        raise AsdError(f"{out} is a file: name a folder to write clips to, at the end")
    clips = [
        Clip(Path(path), machine_type, machine_id, "train", "normal")
        for path in recordings
    ]
    lengths = []
    for clip in clips:
        with opened(
            clip.path, resample=True, channel=options.channel, partial=options.partial
        ) as file:
            lengths.append(file.frames / file.samplerate)
    places = split_by_time(lengths, seconds=seconds, hop=hop, gap=gap)
    if anomaly:
        whole = range(len(lengths))
        counts = [int((lengths[i] - seconds + SLACK) / hop) + 1 for i in whole]
        places = [Place(i, j * hop, "test") for i in whole for j in range(counts[i])]
    if not places or (not anomaly and places[0].split != "train"):
        raise AsdError(
            f"{sum(lengths):.1f} s of sound give no clips of {seconds:g} s to train "
            "on: record more, or choose shorter clips"
        )
    label = "anomaly" if anomaly else "normal"
    names = {
        split: f"clips/{machine_type}/{split}/{label}_{machine_id}_{{:08}}.wav"
        for split in ("train", "test")
    }
    names["calibration"] = f"calibration/{machine_type}/{machine_id}/{{:08}}.wav"
    return _write(clips, places, seconds, Path(out), names, options, on_step)


def _write(
    clips: Sequence[Clip],
    places: Sequence[Place],
    seconds: float,
    out: Path,
    names: Mapping[str, str],
    options: ReadOptions,
    on_step: OnStep,
) -> dict[str, int]:
    """Write the clips at ``places``, all of them or none, but the silent ones.

    Raises :class:`AsdError` where all clips of a recording are silent.
    """
    counts = dict.fromkeys(SHARES, 0)
    heard: dict[int, AsdError | None] = {}  # of each recording; what is wrong, if any
    still = 0
    targets = []
    for place in places:
        targets.append(out / names[place.split].format(counts[place.split]))
        counts[place.split] += 1
    taken = next((target for target in targets if os.path.lexists(target)), None)
    if taken is not None:
        raise AsdError(f"{taken} exists already and is left as it is: name another OUT")
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".cut-", dir=out))
        try:
            for done, place in enumerate(places, 1):
                try:
                    x, rate = as_recorded(
                        clips[place.recording].path,
                        resample=True,
                        start=place.start,
                        seconds=seconds,
                        channel=options.channel,
                        partial=options.partial,
                    )
                except SilentError as error:
                    heard.setdefault(place.recording, error)
                    counts[place.split] -= 1
                    still += 1
                    continue
                heard[place.recording] = None
                wanted = round(seconds * rate)
                _write_clip(partial / f"{done - 1}.wav", x[:wanted], rate)
                on_step("cut", done, len(places))
            for why in filter(None, heard.values()):
                raise why
            for number, target in enumerate(targets):
                if not (partial / f"{number}.wav").exists():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                (partial / f"{number}.wav").rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or "not all of a clip fits"
        raise AsdError(
            f"cannot write to {out} ({reason}): check space and permissions"
        ) from error
    tell_silent(still)
    return counts


def _write_clip(path: Path, x: np.ndarray, rate: int) -> None:
    """In 16 bits where that is all there is of the sound (samples,), else as floats."""
    steps = x * np.float32(2**15)
    if np.array_equal(steps, np.round(steps)) and np.abs(steps).max() < 2**15:
        soundfile.write(path, steps.astype(np.int16), rate, subtype="PCM_16")
    else:
        soundfile.write(path, x, rate, subtype="FLOAT")
