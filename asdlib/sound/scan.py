"""Clips on disk: find them.

They lie as one of :data:`asdlib.sound.layouts.LAYOUTS` says, such as that of DCASE 2020
Task 2::

    <root>/.../<machine type>/train/normal_id_<nn>_<number>.wav
    <root>/.../<machine type>/test/{normal_,anomaly_,}id_<nn>_<number>.wav

where a name without prefix leaves the label unknown. Real or simulated, any machine
types and IDs: there is one path. ``<root>`` may be a level or more above the machine
types, so one root can hold the development, additional and evaluation sets side by
side, and collections of several layouts. What follows none of them comes in by a list
(:mod:`asdlib.sound.manifest`).
"""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from asdlib.errors import AsdError, spelled
from asdlib.files import folders_below, is_pipe
from asdlib.sound import layouts
from asdlib.sound.attributes import listed_attributes
from asdlib.sound.data import Clip
from asdlib.sound.dividing import divided
from asdlib.sound.found import Found, by_folder, ways_in
from asdlib.sound.manifest import ENDINGS as MANIFESTS
from asdlib.sound.manifest import read_manifest
from asdlib.sound.naming import Label, Layout, Named, Pairs, path_text, printable
from asdlib.sound.opening import ENDINGS

log = logging.getLogger("asdlib")
ARCHIVES = {"zip", "7z", "001", "tar", "gz", "tgz", "bz2", "xz", "rar"}


def scan(
    root: str | Path,
    layout: str | None = None,
    words: Mapping[str, Label] | None = None,
) -> list[Clip]:
    """Every clip under ``root``, sorted by path; or those in a list (.csv, .json).

    The layout of each is found, or is ``layout``, one of
    :data:`asdlib.sound.layouts.LAYOUTS`; ``words`` are further names of folders, such
    as {"gut": "normal"}. What is passed over, and what had to be decided, is logged.
    Raises :class:`AsdError` when there is no such folder or list, when a folder in it
    cannot be read, when it holds no clip, when the name of a sound file under
    ``train/`` or ``test/`` follows no layout, or when a training clip is called an
    anomaly.
    """
    found = survey(root, layout=layout, words=words)
    for line in found.remarks():
        log.warning("%s", line)
    return found.clips


def survey(
    root: str | Path,
    layout: str | None = None,
    words: Mapping[str, Label] | None = None,
) -> Found:
    """As :func:`scan`, with all that was found. Raises what it raises."""
    rows, root = layouts.rows_for(layout, words), Path(root)
    if root.is_file():
        if root.suffix.lower() not in MANIFESTS:
            raise AsdError(
                f"{root} is no folder: give a folder of recordings, or a list of clips"
            )
        if layout or words:
            raise AsdError(
                f"{root} is a list, which says all itself: leave out "
                f"{spelled('layout= and words=', '--layout and --words')}"
            )
        clips = read_manifest(root)
        return Found(clips, Counter({"a list of clips": len(clips)}))
    if not root.is_dir():
        raise AsdError(f"no folder {root}: give the folder that holds the recordings")
    found = _sorted_out(root.absolute(), rows)
    if not found.clips:
        raise AsdError(
            f"no clips in {root}: expected a layout that is known below it, such as "
            f"{layouts.expected(rows)}" + _instead(found)
        )
    return found


def _sorted_out(root: Path, rows: Mapping[str, Layout]) -> Found:
    below = len(path_text(root).rstrip("/")) + 1
    folders = layouts.split_words(rows)
    # Paths as text, which are quicker than objects: there may be very many.
    files: list[str] = []
    names: list[Named] = []
    keys: list[str] = []
    aside: dict[str, list[Path]] = defaultdict(list)
    strange: list[Path] = []
    others: Counter[str] = Counter()
    found = (
        os.path.join(f, name) for f, names in folders_below(root) for name in names
    )
    for file in sorted(found, key=lambda file: file.split(os.sep)):
        ending = os.path.splitext(file)[1].lower()
        if ending not in ENDINGS:
            others[ending.removeprefix(".")] += 1
            continue
        if is_pipe(file):
            aside["pipes, which nobody may ever fill"].append(Path(file))
            continue
        text = path_text(file)
        key, named = _named(text, rows, below)
        if named is None and "\\" in text:  # a whole path, from an archive of Windows
            key, named = _named(text.replace("\\", "/"), rows, below)
            named = named and named._replace(depth=1)
        if named is not None:
            if named.split == "train" and named.label != "normal":
                raise AsdError(
                    f"{file} is in a train folder and not called normal: "
                    "train on normal clips only, move it to test"
                )
            files.append(file)
            names.append(named)
            keys.append(key)
        elif what := next((w for r in rows.values() if (w := r.set_aside(text))), ""):
            aside[what].append(Path(file))
        elif Path(file).parent.name.lower() in folders:
            raise AsdError(
                f"{file} does not say which machine it is of: call it "
                f"{_same_label(file, layouts.examples(rows))} or move it away"
            )
        else:
            strange.append(Path(file))
    # The folder of each clip's machine type.
    depths = (max(named.depth, 1) for named in names)
    places = [f.rsplit(os.sep, n)[0] for f, n in zip(files, depths, strict=True)]
    names, renamed = _told_apart(files, places, names, keys)
    names, without = divided(names)
    clips = list(map(_clip, files, names, _listed(files, places)))
    counts = _layouts_of(places, clips, keys, rows)
    plain = [i for i, key in enumerate(keys) if key == "folders"]
    return Found(
        clips,
        counts,
        dict(aside),
        strange,
        others,
        without,
        renamed,
        several=_in_several(places, names),
        inner=_inner([(files[i], places[i], names[i]) for i in plain], rows),
    )


def _named(
    text: str, rows: Mapping[str, Layout], below: int
) -> tuple[str, Named | None]:
    """The first row that a path follows, and what it says; ("", None) where none."""
    for key, row in rows.items():
        if (named := row.parse(text, below)) is not None:
            return key, named
    return "", None


def _inner(
    plain: list[tuple[str, str, Named]], rows: Mapping[str, Layout]
) -> dict[str, list[str]]:
    """The folders that the healthy clips of plain folders lie in, where it is several.

    By machine; ``plain`` are file, place and what they say. They may be days, or
    machines whose names stand below the words for what is in them.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for file, place, named in plain:
        parts = iter(path_text(file[len(place) + 1 :]).split("/")[:-1])
        next(part for part in parts if part.lower() in rows["folders"].labels)
        inner = next((p for p in parts if p.lower() not in layouts.SPLITS), None)
        if named.label == "normal" and inner is not None:
            found[f"{named.machine_type}/{named.machine_id}"].add(printable(inner))
    return {m: sorted(own) for m, own in sorted(found.items()) if len(own) > 1}


def _in_several(places: list[str], names: list[Named]) -> dict[str, list[str]]:
    """Folders of each machine that has clips of one kind in several of them.

    They may be copies, or other machines of that name. Mixtures of one recording, which
    differ in an attribute of their folders, are neither.
    """
    folders: dict[tuple, set[str]] = defaultdict(set)
    for place, named in zip(places, names, strict=True):
        if named.depth:  # else files alone say what they are, wherever they lie
            kind = named.split, named.label, dict(named.attributes).get("snr")
            folders[named.machine_type, named.machine_id, kind].add(place)
    found: dict[str, set[str]] = defaultdict(set)
    for (machine_type, machine_id, _), own in folders.items():
        if len(own) > 1:
            found[f"{machine_type}/{machine_id}"] |= own
    return {machine: sorted(own) for machine, own in sorted(found.items())}


def _listed(files: list[str], places: list[str]) -> list[Pairs]:
    """What tables beside the clips, in the machines' folders, say of each."""
    tables = {place: listed_attributes(Path(place)) for place in sorted(set(places))}
    if not any(tables.values()):
        return [()] * len(files)
    stems = [path_text(Path(file).stem) for file in files]
    return [tables[at].get(stem, ()) for at, stem in zip(places, stems, strict=True)]


def _clip(file: str, named: Named, listed: Pairs) -> Clip:
    assert named.split is not None
    return Clip(
        Path(file),
        named.machine_type,
        named.machine_id,
        named.split,
        named.label,
        named.domain,
        named.attributes or listed,
    )


def _same_label(file: str, examples: str) -> str:
    """Advice about a name must not make a normal clip of an anomaly."""
    words = [w for w, label in layouts.WORDS.items() if label == "anomaly"]
    name = os.path.basename(file).lower()
    if not any(word in name for word in words if len(word) > 3):
        return examples
    return examples.replace("train", "test").replace("normal", "anomaly")


def _told_apart(
    files: list[str], places: list[str], names: list[Named], keys: list[str]
) -> tuple[list[Named], list[str]]:
    """Plain folders of one name in several places are machines of several types.

    Their type is then the folder above, and their ID the folder's own name. Where there
    are folders of IDs in them, those stay, and the type has both names.
    """
    homes: dict[str, set[Path]] = defaultdict(set)
    plain = [index for index, key in enumerate(keys) if key == "folders"]
    for index in plain:
        homes[names[index].machine_type].add(_home(places[index]))
    if not any(len(above) > 1 for above in homes.values()):
        return names, []
    done, machines = list(names), set()
    for index in plain:
        named, home = names[index], _home(places[index])
        above = printable(path_text(home.name))
        own = named.machine_type, named.machine_id
        below = files[index][len(places[index]) :].lower().split(os.sep)
        if above and named.machine_id not in below:
            own = above, named.machine_type
        elif above and len(homes[named.machine_type]) > 1:
            own = f"{above}_{named.machine_type}", named.machine_id
        if own != named[:2]:
            done[index] = named._replace(machine_type=own[0], machine_id=own[1])
            machines.add("/".join(own))
    return done, sorted(machines)


def _home(place: str) -> Path:
    """The folder above that of a machine, and above ``train`` or ``test``."""
    above = Path(place).parent
    return above.parent if above.name.lower() in layouts.SPLITS else above


def _layouts_of(
    places: list[str], clips: list[Clip], keys: list[str], rows: Mapping[str, Layout]
) -> Counter[str]:
    """How many clips follow each layout, by its name.

    A folder of a machine is of one layout; where several are possible, that of its test
    clips.
    """
    tests: dict[str, Counter[str]] = defaultdict(Counter)
    for place, clip, key in zip(places, clips, keys, strict=True):
        if clip.split == "test":
            tests[place][key] += 1
    sure = {place: found.most_common(1)[0][0] for place, found in tests.items()}
    best = (sure.get(place, key) for place, key in zip(places, keys, strict=True))
    return Counter(rows[key].among or rows[key].name for key in best)


def _instead(found: Found) -> str:
    """What is there where no clip is, and what to do with it."""
    told = ""
    strange = [*found.strange, *(p for ps in found.aside.values() for p in ps)]
    if strange:
        told += f"; other sound files are there, {by_folder(strange)}; {ways_in()}"
    if found.others:
        told += f"; other files are there, {found.endings}"
    if ARCHIVES & set(found.others):
        told += ": unpack the archives first"
    return told
