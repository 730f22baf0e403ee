"""A clip: one recording, of which machine it is, and what is known about it.

:mod:`asdlib.sound.scan` finds clips on disk, :mod:`asdlib.sound.reading` reads them.
"""

import logging
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import get_args

from asdlib.errors import AsdError, spelled
from asdlib.sound.layouts import Domain, Label, Split

log = logging.getLogger("asdlib")
WORDS = {"split": get_args(Split), "label": get_args(Label), "domain": get_args(Domain)}


@dataclass(frozen=True)
class Clip:
    """One recording: where it is, of which machine, and what is known about it.

    ``domain`` tells the conditions of training (source) from changed ones (target).
    ``attributes`` are pairs of a name and a value, such as ("speed", "4"). Of a longer
    recording, a clip is what lies from ``start`` to ``end``, in seconds (None: to its
    end). The path may be given as text, an ID as a whole number, attributes as a
    dictionary. Names of machines are kept in one of the forms in which Unicode writes
    the same letters (NFC). Raises :class:`AsdError` for a path that is none.

    >>> Clip("a.wav", "fan", "id_00", "train", "normal").path.name
    'a.wav'
    """

    path: Path
    machine_type: str
    machine_id: str
    split: Split
    label: Label
    domain: Domain = "unknown"
    attributes: tuple[tuple[str, str], ...] = ()
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, Path):
            try:
                object.__setattr__(self, "path", Path(os.fsdecode(self.path)))
            except TypeError as error:
                raise AsdError(
                    f"a clip's path is {self.path!r}: give the path of a recording"
                ) from error
        for name in ("machine_type", "machine_id"):
            value = getattr(self, name)
            if isinstance(value, Integral) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and not value.isascii():
                value = unicodedata.normalize("NFC", value)
            object.__setattr__(self, name, value)
        if not isinstance(self.attributes, tuple):  # clips are keys of dictionaries
            pairs = dict(self.attributes).items()
            object.__setattr__(self, "attributes", tuple(pairs))

    @property
    def machine(self) -> str:
        """The machine as ``type/id``, for example ``fan/id_00``."""
        return f"{self.machine_type}/{self.machine_id}"

    @property
    def called(self) -> str:
        """What people call it: the path, and where in the recording it begins."""
        return f"{self.path} from {self.start:g} s" if self.start else str(self.path)


def listed(clips: Iterable[Clip]) -> list[Clip]:
    """``clips``, which may be read once only, as a list.

    Raises :class:`AsdError` for anything that is no clip, such as a path.
    """
    given: object = clips
    single = isinstance(given, str) or not isinstance(given, Iterable)
    found: list = [given] if single else list(clips)
    for clip in found:
        if not isinstance(clip, Clip):
            raise AsdError(
                f"{str(clip)!r} is no clip: give a list of Clip(path, ...), such as "
                "scan(folder) gives"
            )
    return found


def check_clips(clips: Iterable[Clip]) -> None:
    """Raise :class:`AsdError` for a clip that cannot be.

    One of a machine whose names are no text, empty or have a slash, one with other
    words than those of ``split``, ``label`` and ``domain``, an anomaly among training
    clips, and one that ends before it starts.
    """
    for clip in clips:
        for name in (clip.machine_type, clip.machine_id):
            if not isinstance(name, str):
                raise AsdError(
                    f"{clip.path} is of the machine {name!r}: give its type and ID as "
                    "text"
                )
            if not name or "/" in name:
                raise AsdError(
                    f"{clip.path} is of the machine {clip.machine!r}: call it "
                    "<type>/<id>, for example fan/id_00, with one slash"
                )
        for field, words in WORDS.items():
            if (value := getattr(clip, field)) not in words:
                raise AsdError(
                    f"{clip.path} has the {field} {value!r}: choose "
                    f"{', '.join(words[:-1])} or {words[-1]}"
                )
        if clip.split == "train" and clip.label == "anomaly":
            raise AsdError(
                f"{clip.path} is a training clip with the label 'anomaly': "
                "train on normal clips only, make it a test clip"
            )
        times = (clip.start, 0 if clip.end is None else clip.end)
        if not all(isinstance(t, Real) and math.isfinite(t) for t in times):
            raise AsdError(
                f"{clip.path} has the start {clip.start!r} and the end {clip.end!r}: "
                "give seconds, or no end (None)"
            )
        if clip.start < 0 or (clip.end is not None and not clip.end > clip.start):
            raise AsdError(
                f"{clip.path} from {clip.start:g} s to {clip.end} s is no clip: choose "
                "an end behind its start"
            )


def training_clips(clips: list[Clip], *, skip_single: bool = False) -> list[Clip]:
    """The training clips of ``clips``, at least two of each machine.

    Raises :class:`AsdError` for clips that cannot be (:func:`check_clips`), when there
    is none, when one is there twice, or when a machine has a single one, unless
    ``skip_single`` leaves such machines out.
    """
    check_clips(clips)
    chosen = [clip for clip in clips if clip.split == "train"]
    if not chosen:
        raise AsdError(
            "there is no training clip: "
            "put normal recordings under <machine type>/train/"
        )
    places = Counter((clip.path, clip.start, clip.end) for clip in chosen)
    twice = [str(path) for (path, *_), count in places.items() if count > 1]
    if twice:
        raise AsdError(
            f"{len(twice)} training clips are given twice, such as {twice[0]}: "
            "give each once"
        )
    counts = Counter(clip.machine for clip in chosen)
    single = sorted(machine for machine, count in counts.items() if count < 2)
    if single and not skip_single:
        raise AsdError(
            f"only one training clip of {', '.join(single)}: "
            "contrast needs pairs, so add clips or leave such machines out "
            f"({spelled('skip_single=True', '--skip-single')})"
        )
    if single:
        log.warning("left out, a single training clip: %s", ", ".join(single))
    chosen = [clip for clip in chosen if clip.machine not in single]
    if not chosen:
        raise AsdError("no machine has two training clips: add normal recordings")
    return chosen
