"""Lists of clips, for recordings that follow no layout: a CSV or a JSON file.

A row a clip, with the columns of :data:`COLUMNS`; ``type`` and ``id`` may stand in
place of ``machine``. Any other column is an attribute::

    path,machine,split,label,domain,start,end,speed
    monday.flac,pump/id_00,train,normal,source,0,10,4
    monday.flac,pump/id_00,test,anomaly,target,600,610,8

Paths are relative to the list. What is empty or not there takes its default: the label
of a training clip is normal, that of a test clip unknown, the domain unknown, and a
clip is all of its file. JSON is a list of objects with the same keys. ``asd info DATA
--csv clips.csv`` writes such a list of what it found. What spreadsheets make of one is
read alike: semicolons (then with commas in numbers) or tabs, UTF-16, spaces behind
commas, columns in capitals or without a name, backslashes in paths.
"""

import codecs
import csv
import io
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from asdlib.errors import AsdError
from asdlib.files import writable
from asdlib.sound.data import Clip
from asdlib.sound.naming import Domain, Label, Split, composed, printable

COLUMNS = ("path", "machine", "split", "label", "domain", "start", "end")
OWN = {*COLUMNS, "type", "id"}
ENDINGS = (".csv", ".tsv", ".json")
NUMBERS = {"start", "end"}
PREFIX = "attribute."  # of an attribute that is called as a column
CHOICES = {
    "split": get_args(Split),
    "label": get_args(Label),
    "domain": get_args(Domain),
}
TOLD = 10  # lines named for one mistake, and mistakes named


def read_manifest(path: str | Path) -> list[Clip]:
    """The clips of a list, in its order.

    Raises :class:`AsdError` for a file that cannot be read, and for the mistakes in it,
    all at once, with the numbers of their lines (in JSON: of their clips).
    """
    path = Path(path)
    rows = _rows_of(path)
    mistakes: dict[str, list[int]] = defaultdict(list)
    clips, lines = [], []
    for number, row in rows:
        try:
            clips.append(_clip(row, path.absolute().parent))
            lines.append(number)
        except AsdError as error:
            for mistake in str(error).split("\n"):
                mistakes[mistake].append(number)
    for mistake, number in _clashes(clips, lines):
        mistakes[mistake].append(number)
    unit = "clip" if path.suffix.lower() == ".json" else "line"
    if mistakes:
        raise AsdError(f"{path} has mistakes: {_told(mistakes, unit)}: correct them")
    if not clips:
        raise AsdError(f"{path} lists no clip: add a {unit} for each")
    return clips


def write_manifest(path: str | Path, clips: Sequence[Clip]) -> None:
    """Write a list that :func:`read_manifest` reads as the same clips.

    The attributes of a clip come back in the order in which the list first has them.
    Raises :class:`AsdError` where it cannot be written, or where a clip has an
    attribute twice.
    """
    if (path := Path(path)).name and path.suffix.lower() not in ENDINGS:
        raise AsdError(f"{path} would be no list: end its name in {ENDINGS[0]}")
    names = list(dict.fromkeys(name for clip in clips for name, _ in clip.attributes))
    rows = []
    for clip in clips:
        attributes = dict(clip.attributes)
        if len(attributes) < len(clip.attributes):
            raise AsdError(
                f"{clip.path} has an attribute twice, which a list cannot say: "
                "rename the file"
            )
        place = _relative(clip.path, path.absolute().parent)
        end = "" if clip.end is None else repr(clip.end)
        about = (clip.machine, clip.split, clip.label, clip.domain)
        values = [attributes.get(name, "") for name in names]
        rows.append([place, *about, repr(clip.start), end, *values])
    columns = [*COLUMNS, *map(_column, names)]
    with writable(path) as temporary:
        if path.suffix.lower() == ".json":
            found = [dict(zip(columns, row, strict=True)) for row in rows]
            text = json.dumps(found, indent=1) + "\n"
        else:
            file = io.StringIO()
            csv.writer(file).writerows([columns, *rows])
            text = file.getvalue()
        # Names of files are bytes; those that are no UTF-8 stay as they are.
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def _relative(path: Path, folder: Path) -> str:
    path = path.absolute()
    below = path.relative_to(folder) if path.is_relative_to(folder) else path
    return below.as_posix()


def _column(name: str) -> str:
    own = name.strip().lower() in OWN or name.startswith(PREFIX)
    return f"{PREFIX}{name}" if own else name


def _rows_of(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Each row's number and content."""
    try:
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig", "surrogateescape")
        if path.suffix.lower() == ".json":
            return _json_rows(text)
        return _csv_rows(text)
    except OSError as error:
        raise AsdError(
            f"cannot read {path} ({error.strerror}): check the file and its permissions"
        ) from error
    except (ValueError, csv.Error) as error:
        raise AsdError(
            f"{path} is no list of clips ({error}): give a table with the columns "
            f"{', '.join(COLUMNS)}"
        ) from error


def _csv_rows(text: str) -> list[tuple[int, dict[str, str]]]:
    head = next((line for line in text.splitlines() if _names(line)), "")
    separator = max(",;\t", key=head.count)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        strict=True,
        # Whoever sets a space behind each comma does not mean it.
        skipinitialspace=head.count(separator) == head.count(f"{separator} "),
    )
    names = next((cells for cells in reader if _names(separator.join(cells))), [])
    header = [n.strip().lower() if n.strip().lower() in OWN else n for n in names]
    missing = [name for name in ("path", "split") if name not in header]
    if not ("machine" in header or {"type", "id"} <= set(header)):
        missing.append("machine (or type and id)")
    first = f"line {reader.line_num or 1}"
    if missing:
        raise ValueError(f"{', '.join(missing)} is not in {first}")
    if doubled := {name for name in header if name and header.count(name) > 1}:
        raise ValueError(f"{first} has the column {min(doubled)} twice")
    rows, last = [], reader.line_num
    for cells in reader:
        number, last = last + 1, reader.line_num
        if any(cells):
            row = {n: cell for n, cell in zip(header, cells, strict=False) if n}
            if any(cells[len(header) :]):
                row[""] = f"more cells than {first} has names"
            if separator == ";":  # where that separates, a comma is a decimal point
                row |= {n: row[n].replace(",", ".") for n in NUMBERS & set(row)}
            rows.append((number, row))
    return rows


def _names(line: str) -> bool:
    """May a line be that of the columns' names? Spreadsheets put sep=; before it."""
    return bool(line.strip(" ,;\t\r\n")) and not re.fullmatch(r'"?sep=.?"?\s*', line)


def _json_rows(text: str) -> list[tuple[int, dict[str, str]]]:
    content = json.loads(text)
    if not isinstance(content, list) or not all(isinstance(x, dict) for x in content):
        raise ValueError("JSON must be a list of objects")

    def plain(value: Any) -> str:
        nothing = value is None or value != value  # the second is not a number
        return "" if nothing else value if isinstance(value, str) else repr(value)

    return [
        (number, {key: plain(value) for key, value in row.items()})
        for number, row in enumerate(content, 1)
    ]


def _clip(row: Mapping[str, str], folder: Path) -> Clip:
    """A row as a clip; raises :class:`AsdError`, a line for each mistake."""
    mistakes = []
    if row.get(""):
        mistakes.append(row[""])
    path = _file(row.get("path", ""), folder, mistakes)
    kind, own = _machine(row, mistakes)
    said = {name: row.get(name, "").strip().lower() for name in CHOICES}
    for name, word in said.items():
        if word not in CHOICES[name] and (word or name == "split"):
            mistakes.append(f"no {name} {word!r}: {', '.join(CHOICES[name])}")
    training = said["split"] == "train"
    label = said["label"] or ("normal" if training else "unknown")
    if training and label != "normal":
        mistakes.append(f"a training clip called {label}")
    start, end = _seconds(row, "start", mistakes), _seconds(row, "end", mistakes)
    start = start or 0.0
    if end is not None and end <= start:
        mistakes.append("it ends where it starts, or before")
    if mistakes:
        raise AsdError("\n".join(mistakes))
    pairs = tuple(
        (name.removeprefix(PREFIX), value)
        for name, value in row.items()
        if name not in OWN and name and value
    )
    about: dict[str, Any] = {**said, "label": label}
    about["domain"] = said["domain"] or "unknown"
    return Clip(path, kind, own, **about, attributes=pairs, start=start, end=end)


def _file(place: str, folder: Path, mistakes: list[str]) -> Path:
    if not place:
        mistakes.append("no path")
        return folder
    for name in (place, place.replace("\\", "/")):  # the latter of Windows
        if "\0" not in name and (folder / name).is_file():
            return folder / name
    mistakes.append(f"no file {place}")
    return folder


def _machine(row: Mapping[str, str], mistakes: list[str]) -> tuple[str, str]:
    """Type and ID, which may be said in one column, in two, or in all three alike."""
    kind, slash, own = map(composed, row.get("machine", "").partition("/"))
    other = composed(row.get("type", "")), composed(row.get("id", ""))
    if not slash:
        kind, own = other[0] or kind, other[1]
    elif any(b and a != b for a, b in zip((kind, own), other, strict=True)):
        mistakes.append(f"the machine {kind}/{own}, and {'/'.join(other)} as type/id")
    if not kind or not own or "/" in kind + own:
        mistakes.append(f"no machine {f'{kind}/{own}'!r}: write type/id")
    elif printable(kind + own) != kind + own:
        name = printable(f"{kind}/{own}")
        mistakes.append(f"the machine {name} is not in UTF-8: save the list in it")
    return kind, own


def _seconds(row: Mapping[str, str], name: str, mistakes: list[str]) -> float | None:
    text = row.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        mistakes.append(f"no {name} {text!r}: seconds, from 0")
        return None
    return value


def _clashes(clips: Sequence[Clip], lines: Sequence[int]) -> list[tuple[str, int]]:
    """Clips that are listed twice, or that are training and test at once."""
    found = []
    by_file: dict[Path, list[tuple[float, float, str, int]]] = defaultdict(list)
    for clip, line in zip(clips, lines, strict=True):
        end = math.inf if clip.end is None else clip.end
        key = Path(os.path.normpath(clip.path))
        by_file[key].append((clip.start, end, clip.split, line))
    for pieces in by_file.values():
        last: dict[
            str, tuple[float, float, int]
        ] = {}  # by split: what reaches farthest
        for start, end, split, line in sorted(pieces):
            for other, (begin, reach, earlier) in last.items():
                if other != split and start < reach:
                    found.append((f"it overlaps {earlier}, of the other split", line))
                elif (start, end) == (begin, reach):
                    found.append((f"the same as {earlier}", line))
            if split not in last or end > last[split][1]:
                last[split] = (start, end, line)
    return found


def _told(mistakes: Mapping[str, Sequence[int]], unit: str) -> str:
    def where(numbers: Sequence[int]) -> str:
        named = ", ".join(map(str, numbers[:TOLD]))
        more = f" and {len(numbers) - TOLD} more" if len(numbers) > TOLD else ""
        return f"{unit}{'s' * (len(numbers) > 1)} {named}{more}"

    in_order = sorted(mistakes.items(), key=lambda item: list(item[1]))
    told = [f"{where(numbers)}: {mistake}" for mistake, numbers in in_order]
    more = [f"and {len(told) - TOLD} other mistakes"] if len(told) > TOLD else []
    return "; ".join([*told[:TOLD], *more])
