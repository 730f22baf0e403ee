"""The lists of truths that a challenge publishes after it has ended.

* ``eval_data_list.csv`` of DCASE 2020 Task 2, and those of the baseline systems of
  later years: a line with a machine type, then a line for each of its test clips: its
  name, the name that it would have with its label and, in 2020, 0 (normal) or 1
  (anomaly).
* ``ground_truth_<type>_section_<nn>_test.csv`` of later years' evaluators: of each clip
  its name and 0 or 1; in the folder ``ground_truth_domain`` 0 (source) or 1 (target);
  in ``ground_truth_attributes`` the name with its label. In 2021,
  ``..._section_<nn>_source_test.csv`` and ``..._target_test.csv``.

A folder of such files is read as one. Clips are found by machine type and name: lines
are not sorted, and the number in the labelled name may be another.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from asdlib.errors import AsdError, spelled
from asdlib.files import files_below
from asdlib.sound.data import Clip
from asdlib.sound.naming import (
    Domain,
    Label,
    Pairs,
    attribute_pairs,
    composed,
    printable,
)

LABELS: dict[str, Label] = {"0": "normal", "1": "anomaly"}
_DOMAINS: dict[str, Domain] = {"0": "source", "1": "target"}
OWN_FILE = re.compile(
    r"ground_truth_(?P<type>.+)_section_\d+_(?:(?P<domain>source|target)_)?test\.csv"
)
LIST = re.compile(r"eval_data_list.*\.csv")
LABELLED = re.compile(
    r"(?:(?P<label>normal|anomaly)_id_\d+_.*"
    r"|section_\d+_(?P<domain>source|target)_test_(?P<later>normal|anomaly)_\d+"
    r"(?:_(?P<attributes>.*))?)"
)
GIVE = "give the challenge's eval_data_list.csv, or its folder ground_truth_data"


class Truth(NamedTuple):
    """What a list says of a clip."""

    label: Label = "unknown"
    domain: Domain = "unknown"
    attributes: Pairs = ()


Truths = dict[tuple[str, str], Truth]


def read_truth(path: str | Path) -> Truths:
    """What published lists say of each clip, by machine type and name without ending.

    ``path`` is such a list or a folder of them. Raises :class:`AsdError` for what
    cannot be read or is no such list, and for lists that contradict each other.
    """
    path = Path(path)
    if not path.is_dir():
        return _read(path)
    found: Truths = {}
    for file in sorted(files_below(path)):
        if OWN_FILE.fullmatch(file.name) or LIST.fullmatch(file.name):
            for key, truth in _read(file).items():
                found[key] = _joined(
                    found.get(key, Truth()), truth, f"{file}, {key[1]}"
                )
    if not found:
        raise AsdError(f"{path} holds no list of truths: {GIVE}")
    return found


def _joined(one: Truth, other: Truth, where: str) -> Truth:
    for known, said in zip(one[:2], other[:2], strict=True):
        if "unknown" not in (known, said) and known != said:
            raise AsdError(
                f"{where} is {said}, and {known} in another list: remove one of them"
            )
    return Truth(
        other.label if one.label == "unknown" else one.label,
        other.domain if one.domain == "unknown" else one.domain,
        one.attributes or other.attributes,
    )


def _read(path: Path) -> Truths:
    found: Truths = {}
    try:
        # Names of files are bytes, which need not be UTF-8.
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
        if "\0" in text:
            raise csv.Error("it is no text")
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=max(",;\t", key=text.count)
        )
        rows = [[composed(cell.strip()) for cell in row] for row in reader if row]
    except (OSError, csv.Error) as error:
        raise AsdError(
            f"cannot read the list of truths {path} ({error}): {GIVE}"
        ) from error
    own = OWN_FILE.fullmatch(path.name)
    machine_type = own["type"] if own else None
    for number, row in enumerate(rows, 1):
        cells = [cell for cell in row if cell]
        if len(cells) == 1 and own is None:
            machine_type = printable(cells[0])
            continue
        truth = _truth(cells[1:], path) if machine_type is not None else None
        if truth is None:
            raise AsdError(
                f"line {number} of {path} is {','.join(row)!r}: a list of truths has "
                "lines with a machine type, unless the file is called by it, and lines "
                "with a file name, and 0 or 1, its name with the label, or both"
            )
        if own and own["domain"]:
            domain: Domain = "source" if own["domain"] == "source" else "target"
            truth = truth._replace(domain=domain)
        assert machine_type is not None
        found[machine_type, _stem(cells[0])] = truth
    if not found:
        raise AsdError(f"{path} lists no clip: {GIVE}")
    return found


def _truth(cells: list[str], path: Path) -> Truth | None:
    """What the cells after a clip's name say; None where that is nothing."""
    digits = [cell for cell in cells if cell in LABELS]
    names = [LABELLED.fullmatch(_stem(cell)) for cell in cells if cell not in LABELS]
    if len(digits) > 1 or len(names) > 2 or not cells or None in names:
        return None
    truth = Truth()
    if digits and path.parent.name == "ground_truth_domain":
        truth = Truth(domain=_DOMAINS[digits[0]])
    elif digits:
        truth = Truth(LABELS[digits[0]])
    for said in names:
        if said is not None:
            named = Truth(
                "anomaly" if "anomaly" in (said["label"], said["later"]) else "normal",
                _DOMAINS["1" if said["domain"] == "target" else "0"]
                if said["domain"]
                else "unknown",
                attribute_pairs(said["attributes"] or ""),
            )
            truth = _joined(truth, named, f"{path}, {said[0]}")
    return truth


def _stem(name: str) -> str:
    """A name without its ending: lists say .wav, or nothing; files may be FLAC."""
    return re.sub(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", "", composed(name))


def with_truth(clips: Sequence[Clip], truth: Truths) -> list[Clip]:
    """``clips`` with what ``truth`` says of them; those not listed as they are.

    Raises :class:`AsdError` where it lists none of them, or says otherwise than the
    name of a clip.
    """
    labelled, listed = [], 0
    for clip in clips:
        said = truth.get((clip.machine_type, _stem(Path(clip.path).name)))
        if said is None:
            labelled.append(clip)
            continue
        listed += 1
        for known, other in ((clip.label, said.label), (clip.domain, said.domain)):
            if "unknown" not in (known, other) and known != other:
                raise AsdError(
                    f"{clip.path} is called {known}, and the list of truths says "
                    f"{other}: rename the file, or leave out "
                    f"{spelled('the list', '--truth')}"
                )
        own = Truth(clip.label, clip.domain, clip.attributes)
        now = _joined(own, said, str(clip.path))
        labelled.append(replace(clip, **now._asdict()))
    if not listed:
        raise AsdError(
            "the list of truths is about none of these clips: give that of their data"
        )
    return labelled
