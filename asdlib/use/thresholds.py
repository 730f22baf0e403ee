"""The thresholds that a run keeps: one for each machine and scorer that has one."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from asdlib.errors import AsdError
from asdlib.files import locked, writable
from asdlib.judge.threshold import Method, Threshold
from asdlib.use.bank import UNREADABLE
from asdlib.use.run import is_of, read_config


def keep_threshold(
    run: str | Path, machine: str, scorer: str, threshold: Threshold
) -> None:
    """Write a threshold into the ``thresholds.json`` of a run directory.

    It takes the place of an earlier one of the same machine and scorer. Raises
    :class:`AsdError` where the file cannot be written, another process is at work in
    the directory, or what is there already cannot be read.
    """
    run = Path(run)
    with locked(run):
        kept = read_thresholds(run)
        kept.setdefault(machine, {})[scorer] = threshold
        values = {
            name: {of: asdict(threshold) for of, threshold in by_scorer.items()}
            for name, by_scorer in sorted(kept.items())
        }
        content = {"run": read_config(run).mark, "thresholds": values}
        with writable(run / "thresholds.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_thresholds(run: str | Path) -> dict[str, dict[str, Threshold]]:
    """The thresholds kept in a run directory: machine -> scorer -> threshold.

    Empty where none has been kept. Raises :class:`AsdError` for a file that is damaged,
    holds numbers that make no sense, or belongs to another run.
    """
    path = Path(run) / "thresholds.json"
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        of_this = is_of(content, read_config(Path(run)))
        found = {
            machine: {name: Threshold(**t) for name, t in by_scorer.items()}
            for machine, by_scorer in content["thresholds"].items()
        }
        sound = all(_is_sound(t) for by in found.values() for t in by.values())
    except UNREADABLE as error:
        raise AsdError(
            f"{path} is damaged ({error}): remove it and calibrate again"
        ) from error
    if not sound:
        raise AsdError(
            f"{path} holds a threshold that makes no sense: remove it and calibrate "
            "again"
        )
    if not of_this:
        raise AsdError(
            f"{path} belongs to other settings than the config.json beside it: remove "
            "it and calibrate again"
        )
    return found


def _is_sound(t: Threshold) -> bool:
    """Are its numbers finite, and is its method one that there is?"""
    numbers = (t.value, t.expected, t.low, t.high, t.clips)
    finite = all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers)
    return finite and t.method in get_args(Method)
