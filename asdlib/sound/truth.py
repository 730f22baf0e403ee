"""The list of truths that a challenge publishes after it has ended.

That of DCASE 2020 Task 2 is ``eval_data_list.csv``: a line with a machine type, then a
line for each of its test clips: its name, the name that it would have with its label,
and 0 (normal) or 1 (anomaly).
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asdlib.errors import AsdError, spelled
from asdlib.sound.data import Clip
from asdlib.sound.layouts import Label

LABELS: dict[str, Label] = {"0": "normal", "1": "anomaly"}


def read_truth(path: str | Path) -> dict[tuple[str, str], Label]:
    """The label of each clip in a published list, by machine type and file name.

    Raises :class:`AsdError` for a file that cannot be read or is no such list.
    """
    found: dict[tuple[str, str], Label] = {}
    machine_type = None
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AsdError(
            f"cannot read the list of truths {path} ({error}): give the challenge's "
            "eval_data_list.csv"
        ) from error
    for number, row in enumerate(rows, 1):
        cells = [cell for cell in row if cell]
        if len(cells) == 1:
            machine_type = cells[0]
        elif len(cells) == 3 and cells[2] in LABELS and machine_type is not None:
            found[machine_type, cells[0]] = LABELS[cells[2]]
        else:
            raise AsdError(
                f"line {number} of {path} is {','.join(row)!r}: a list of truths has "
                "lines with a machine type, and lines with a file name, its name with "
                "the label, and 0 or 1"
            )
    if not found:
        raise AsdError(f"{path} lists no clip: give the challenge's eval_data_list.csv")
    return found


def with_truth(
    clips: Sequence[Clip], truth: dict[tuple[str, str], Label]
) -> list[Clip]:
    """``clips`` with the labels in ``truth``; those that it does not list as they are.

    Raises :class:`AsdError` where it lists none of them, or says otherwise than the
    name of a clip.
    """
    labelled = []
    for clip in clips:
        label = truth.get((clip.machine_type, Path(clip.path).name), clip.label)
        if clip.label not in ("unknown", label):
            raise AsdError(
                f"{clip.path} is called {clip.label}, and the list of truths says "
                f"{label}: rename the file, or leave out "
                f"{spelled('the list', '--truth')}"
            )
        labelled.append(replace(clip, label=label))
    if all((clip.machine_type, Path(clip.path).name) not in truth for clip in clips):
        raise AsdError(
            "the list of truths is about none of these clips: give that of their data"
        )
    return labelled
