"""What a recording's path says of it, by one way of naming: the class of a row.

The rows themselves are in :mod:`asdlib.sound.layouts`.
"""

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Literal, NamedTuple

from asdlib.sound.published import Part

Split = Literal["train", "test"]
Label = Literal["normal", "anomaly", "unknown"]
Domain = Literal["source", "target", "unknown"]  # conditions of training, or changed
DOMAINS: dict[str, Domain] = {"source": "source", "target": "target"}
FIELDS = {"type", "id", "label", "domain", "attributes", "event"}
Pairs = tuple[tuple[str, str], ...]


class Named(NamedTuple):
    """What the path of a recording says about it.

    The first six are fields of a clip; ``split`` is None where none is published.
    Recordings of one ``event`` are the same sound, by several microphones. ``depth`` is
    how many folders below that of the machine type the file lies, itself included.
    """

    machine_type: str
    machine_id: str
    split: Split | None
    label: Label
    domain: Domain = "unknown"
    attributes: Pairs = ()
    event: str = ""
    depth: int = 0


class Aside(NamedTuple):
    """Recordings of a collection that are no clips of its machines.

    They are passed over with a line that says what they are. ``pattern`` is a regular
    expression of the end of their paths.
    """

    pattern: str
    what: str


@dataclass(frozen=True)
class Layout:
    """One way of naming recordings of machines.

    ``pattern`` is a regular expression of the end of a recording's path, in letters of
    any case, with the groups ``type``, ``id`` (not there: ``id_00``) and, where paths
    tell them, ``split``, ``label``, ``domain``, ``attributes`` and ``event``; any other
    group is an attribute. Parts of the path are separated by ``/``. ``splits`` and
    ``labels`` say what the words mean that ``split`` and ``label`` find, in small
    letters; the label is unknown where no such group takes part. ``above`` is looked
    for in front of the type, and adds its groups. Where labels and splits are folders
    of any name, ``only_below`` lets them count below the folder that is searched alone.
    ``tree`` and ``example`` describe for people what is expected.

    >>> row = Layout("a", r"(?P<type>[^/]+)/(?P<split>train|test)/.+", "-", "-")
    >>> row.parse("data/fan/test/1.wav")[:4]
    ('fan', 'id_00', 'test', 'unknown')
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
    above: str = ""
    only_below: bool = False
    aside: tuple[Aside, ...] = ()
    among: str = ""  # what it is called where it is found, if others are named alike
    parts: Mapping[str, Part] = field(default_factory=dict)  # none: cannot be had here
    machine_types: tuple[str, ...] = ()  # of each part that does not say its own
    licence: str = ""
    citation: str = ""
    # Of AUCs in its challenge: the keys of :data:`asdlib.judge.challenge.FORMULAE`.
    mean: Literal["arithmetic", "harmonic", "mixed"] = "arithmetic"
    sample_rate: int | None = None  # Hz; None: not checked, or whatever people have
    channels: int | None = None

    @cached_property
    def _path(self) -> re.Pattern[str]:
        return re.compile(rf"(?s:.*/)?{self.pattern}", re.IGNORECASE)

    def parse(self, path: str | PurePath, below: int = 0) -> Named | None:
        """What ``path`` says by its name; None where it does not follow this layout.

        The first ``below`` characters of it are the folder that is searched. Machine
        types and IDs are in Unicode's composed form (NFC); bytes that are no UTF-8 are
        written out, as ``\\xfc``.
        """
        text = path_text(path)
        match = self._path.fullmatch(text)
        if match is None:
            return None
        said = {key: value for key, value in match.groupdict().items() if value}
        if self.only_below and match.start("label") < below:
            return None
        if self.above:
            above = text[: match.start("type")]
            for found in re.finditer(self.above, above, re.IGNORECASE):
                said |= self._from_above(found, below)
        # A folder may stand in several places: of each there is a group split...
        splits = [said.pop(key) for key in list(said) if key.startswith("split")]
        split = self.splits[splits[0].lower()] if splits else None
        pairs = attribute_pairs(said.get("attributes", ""))
        others = [(k, v) for k, v in said.items() if k not in FIELDS]
        return Named(
            printable(said["type"]),
            printable(said.get("id", "id_00").lower()),
            split,
            self.labels.get(said.get("label", "").lower(), "unknown"),
            DOMAINS.get(said.get("domain", "").lower(), "unknown"),
            (*pairs, *others),
            said.get("event", text),
            text.count("/", match.end("type")),
        )

    def set_aside(self, path: str | PurePath) -> str:
        """What a recording is that is no clip of a machine; else empty."""
        text = path_text(path)
        for aside in self.aside:
            if re.fullmatch(f"(?s:.*/)?{aside.pattern}", text, re.IGNORECASE):
                return aside.what
        return ""

    def _from_above(self, found: re.Match[str], below: int) -> dict[str, str]:
        groups = {key: value for key, value in found.groupdict().items() if value}
        if "split" in groups and found.start("split") < below:
            del groups["split"]
        return groups

    def types_of(self, part: str) -> tuple[str, ...]:
        """The machine types of which there is a file in a part."""
        return self.parts[part].machine_types or self.machine_types

    @property
    def checksums(self) -> str:
        """How many of its files have an md5 that was known beforehand, for people."""
        names = [
            (part, name) for part in self.parts.values() for name in part.all_files()
        ]
        known = sum(name in part.md5 for part, name in names)
        return (
            f"md5 of {known} of {len(names)} files known beforehand; "
            "md5 and size of each in its record"
        )


def path_text(path: str | PurePath) -> str:
    """A path as layouts compare it: with slashes, in Unicode's composed form (NFC)."""
    return composed(str(path).replace(os.sep, "/"))


def composed(text: str) -> str:
    """``text`` in Unicode's composed form (NFC): ü is one letter, not u and dots."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def printable(name: str) -> str:
    """``name`` with bytes that are no UTF-8 written out, as ``\\xfc``."""
    if name.isascii():
        return name
    # The escapes of single bytes that Python puts for what is no UTF-8.
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def attribute_pairs(text: str) -> Pairs:
    """Names and values in ``vel_4_noise_1``; none in ``noAttribute``.

    What does not come in pairs of different names is kept as one attribute.

    >>> attribute_pairs("vel_4_noise_1"), attribute_pairs("serial_no_3")
    ((('vel', '4'), ('noise', '1')), (('attributes', 'serial_no_3'),))
    """
    words = [word for word in text.split("_") if word]
    if not words or [word.lower() for word in words] == ["noattribute"]:
        return ()
    if len(words) % 2 or len(set(words[::2])) < len(words) // 2:
        return (("attributes", "_".join(words)),)
    return tuple(zip(words[::2], words[1::2], strict=True))
