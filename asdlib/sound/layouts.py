"""How collections of recordings are laid out and named: a row for each.

Whatever differs from collection to collection stands in :data:`LAYOUTS`: which machine
a file is of, by its path; where the files are published, and under which conditions.
Finding clips (:mod:`asdlib.sound.scan`) and downloading them
(:mod:`asdlib.sound.download`) read these rows, so another collection is another row.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

Split = Literal["train", "test"]
Label = Literal["normal", "anomaly", "unknown"]
Domain = Literal["source", "target", "unknown"]  # conditions of training, or changed
DOMAINS: dict[str, Domain] = {"source": "source", "target": "target"}


class Part(NamedTuple):
    """A part of a collection: its record on Zenodo, and what its ZIPs are called there.

    ``{}`` in ``file`` stands for the machine type.
    """

    record: int
    file: str


@dataclass(frozen=True)
class Layout:
    """One way of naming recordings of machines.

    ``pattern`` is a regular expression of the end of a recording's path, with the
    groups ``type``, ``id``, ``split`` and, where names tell them, ``label``, ``domain``
    and ``attributes``; parts of the path are separated by ``/``. ``splits`` and
    ``labels`` say what the words mean that ``split`` and ``label`` find, in small
    letters; the label is unknown where no such group takes part. ``tree`` and
    ``example`` describe for people what is expected.

    >>> path = Path("dev/fan/test/anomaly_id_02_00000007.wav")
    >>> LAYOUTS["dcase2020"].parse(path)[:4]
    ('fan', 'id_02', 'test', 'anomaly')
    """

    name: str
    pattern: str
    tree: str
    example: str
    splits: Mapping[str, Split] = field(
        default_factory=lambda: {"train": "train", "test": "test"}
    )
    labels: Mapping[str, Label] = field(
        default_factory=lambda: {"normal": "normal", "anomaly": "anomaly"}
    )
    parts: Mapping[str, Part] = field(default_factory=dict)  # none: cannot be had here
    machine_types: tuple[str, ...] = ()  # of which there is a ZIP in each part
    checksums: str = ""  # what a ZIP is compared with when it has arrived
    licence: str = ""
    mean: Literal["arithmetic", "harmonic"] = "arithmetic"  # of AUCs, in its challenge

    def parse(self, path: Path) -> "Named | None":
        """What ``path`` says by its name; None where it does not follow this layout."""
        match = re.fullmatch(rf"(?s:.*/)?{self.pattern}", path.as_posix())
        if match is None:
            return None
        said = match.groupdict()
        label, domain = ((said.get(name) or "").lower() for name in ("label", "domain"))
        return Named(
            match["type"],
            match["id"].lower(),
            self.splits[match["split"].lower()],
            self.labels.get(label, "unknown"),
            DOMAINS.get(domain, "unknown"),
            _pairs(said.get("attributes") or ""),
        )


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Names and values in ``vel_4_noise_1``; none in ``noAttribute``."""
    words = [word for word in text.split("_") if word]
    return tuple(zip(words[::2], words[1::2], strict=False))


class Named(NamedTuple):
    """What the name of a recording says about it, as the fields of a clip."""

    machine_type: str
    machine_id: str
    split: Split
    label: Label
    domain: Domain = "unknown"
    attributes: tuple[tuple[str, str], ...] = ()


LAYOUTS: dict[str, Layout] = {
    "dcase2020": Layout(
        name="DCASE 2020 Task 2",
        pattern=r"(?P<type>[^/]+)/(?P<split>train|test)/"
        r"(?i:(?:(?P<label>normal|anomaly)_)?(?P<id>id_\d+)_.+\.wav)",
        tree="<machine type>/{train,test}/{normal,anomaly}_id_<nn>_<number>.wav",
        example="normal_id_<nn>_<number>.wav",
        parts={
            "dev": Part(3678171, "dev_data_{}.zip"),
            "add": Part(3727685, "eval_data_train_{}.zip"),
            "eval": Part(3841772, "eval_data_test_{}.zip"),
        },
        machine_types=("fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor"),
        checksums="md5 and size of each ZIP, in its record",
        licence="CC BY-NC-SA 4.0",
        mean="arithmetic",
    ),
    "dcase2022": Layout(
        name="DCASE 2022 Task 2",
        pattern=r"(?P<type>[^/]+)/(?P<split>train|test)/"
        r"(?i:(?P<id>section_\d+)_(?:(?P<domain>source|target)_(?:train|test)_"
        r"(?P<label>normal|anomaly)_)?\d+(?:_(?P<attributes>.*))?\.wav)",
        tree="<machine type>/{train,test}/section_<nn>_{source,target}_{train,test}_"
        "{normal,anomaly}_<number>_<attributes>.wav",
        example="section_<nn>_source_train_normal_<number>.wav",
        mean="harmonic",
    ),
}


def parse(path: Path) -> Named | None:
    """What ``path`` says by the first layout that it follows; None where by none."""
    found = (layout.parse(path) for layout in LAYOUTS.values())
    return next((named for named in found if named is not None), None)


def split_words() -> set[str]:
    """Names of folders that hold clips, in any layout."""
    return {word for layout in LAYOUTS.values() for word in layout.splits}


def expected() -> str:
    """The trees of all layouts, for people."""
    return " or ".join(layout.tree for layout in LAYOUTS.values())


def examples() -> str:
    """An example of a name in each of the layouts, for people."""
    return " or ".join(layout.example for layout in LAYOUTS.values())
