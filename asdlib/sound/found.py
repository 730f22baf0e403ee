"""What was found in a folder: clips, and all that was passed over, with the reason."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asdlib.errors import spelled
from asdlib.sound.data import Clip

NAMED = 3  # so many folders or machines are named in a line


def ways_in() -> str:
    """How to bring in what follows no layout."""
    words = spelled("words=", "--words")
    return f"{words} says what names of folders mean; a list of clips (.csv) says all"


@dataclass(frozen=True)
class Found:
    """What is in a folder: clips, and what was passed over.

    ``layouts`` counts clips by the layout that they follow. ``aside`` are recordings of
    a collection that are no clips, by what they are; ``strange`` are sound files that
    follow no layout; ``others`` counts files of other endings. ``divided`` are the
    machines whose training clips nobody published, ``renamed`` those that were told
    apart by the folder above, and ``several`` those with clips of one kind in several
    folders, by name; ``inner`` are the folders inside those that are called by what is
    in them, by machine, where there are several.
    """

    clips: list[Clip]
    layouts: Counter[str] = field(default_factory=Counter)
    aside: Mapping[str, list[Path]] = field(default_factory=dict)
    strange: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    divided: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    several: Mapping[str, list[str]] = field(default_factory=dict)
    inner: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def endings(self) -> str:
        """How many files of other endings there are, for people."""
        return ", ".join(
            f"{n} .{end}" if end else f"{n} without ending"
            for end, n in self.others.most_common()
        )

    def remarks(self) -> list[str]:
        """A line for everything that should not go without saying."""
        lines = [
            f"passed over: {what}, {by_folder(paths)}"
            for what, paths in self.aside.items()
        ]
        if self.strange:
            lines.append(
                "passed over: sound files that follow no layout, "
                f"{by_folder(self.strange)}; {ways_in()}"
            )
        if self.divided:
            lines.append(
                f"nobody says which clips of {first(self.divided)} are for training: "
                "test clips are, of each machine, as many normal ones as there are "
                "anomalies, at most half, the first by name"
            )
        if self.renamed:
            lines.append(
                "folders of the same name in several places are told apart by the "
                f"folder above: {first(self.renamed)}"
            )
        if self.inner:
            names = first(dict.fromkeys(n for ns in self.inner.values() for n in ns))
            lines.append(
                f"folders inside those of healthy clips, {names}, are not taken for "
                f"machines: all clips in them are of {first(self.inner)}"
            )
        if self.several:
            places = first(dict.fromkeys(p for ps in self.several.values() for p in ps))
            lines.append(
                f"clips of {first(self.several)} lie in several folders and are taken "
                f"for those of one machine, in {places}: leave out copies, and other "
                "machines of the same name"
            )
        return lines


def first(names: Iterable[str]) -> str:
    """A few names, and how many more there are.

    >>> first("abcde")
    'a, b, c and 2 more'
    """
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def by_folder(paths: Iterable[Path]) -> str:
    """How many files there are, and in which folders."""
    counts = Counter(path.parent for path in paths)
    told = first(f"{folder} ({n})" for folder, n in counts.most_common())
    return f"{counts.total()} in {told}"
