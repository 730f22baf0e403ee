"""A clip: one recording, of which machine it is, and what is known about it.

:mod:`asdlib.sound.scan` finds clips on disk, :mod:`asdlib.sound.reading` reads them.
"""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from asdlib.errors import AsdError
from asdlib.sound.layouts import Domain, Label, Split

log = logging.getLogger("asdlib")


@dataclass(frozen=True)
class Clip:
    """One recording: where it is, of which machine, and what is known about it.

    ``domain`` tells the conditions of training (source) from changed ones (target).
    ``attributes`` are pairs of a name and a value, such as ("speed", "4"). Of a longer
    recording, a clip is what lies from ``start`` to ``end``, in seconds (None: to its
    end).
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

    @property
    def machine(self) -> str:
        """The machine as ``type/id``, for example ``fan/id_00``."""
        return f"{self.machine_type}/{self.machine_id}"


def training_clips(clips: list[Clip], *, skip_single: bool = False) -> list[Clip]:
    """The training clips of ``clips``, at least two of each machine.

    Raises :class:`AsdError` when there is none, or when a machine has a single one,
    unless ``skip_single`` leaves such machines out.
    """
    chosen = [clip for clip in clips if clip.split == "train"]
    if not chosen:
        raise AsdError(
            "there is no training clip: "
            "put normal recordings under <machine type>/train/"
        )
    counts = Counter(clip.machine for clip in chosen)
    single = sorted(machine for machine, count in counts.items() if count < 2)
    if single and not skip_single:
        raise AsdError(
            f"only one training clip of {', '.join(single)}: "
            "contrast needs pairs, so add clips or leave such machines out "
            "(--skip-single)"
        )
    if single:
        log.warning("left out, a single training clip: %s", ", ".join(single))
    chosen = [clip for clip in chosen if clip.machine not in single]
    if not chosen:
        raise AsdError("no machine has two training clips: add normal recordings")
    return chosen
