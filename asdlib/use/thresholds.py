"""The thresholds that a run keeps: one for each machine and scorer for which one was chosen."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from asdlib.errors import AsdError
from asdlib.files import locked, writable
from asdlib.judge.threshold import Method, Threshold
from asdlib.use.run import is_of, read_config


def keep_threshold(
    run: str | Path, machine: str, scorer: str, threshold: Threshold
) -> None:
    """Write a threshold into the ``thresholds.json`` of a run directory, in the place of an earlier one."""
    run = Path(run)
    with locked(run):
        kept = read_thresholds(run)
        kept.setdefault(machine, {})[scorer] = threshold
        content = {
            m: {name: asdict(t) for name, t in by_scorer.items()}
            for m, by_scorer in sorted(kept.items())
        }
        with writable(run / "thresholds.json") as temporary:
            text = json.dumps(
                {"run": read_config(run).mark, "thresholds": content}, indent=1
            )
            temporary.write_text(text + "\n")


def read_thresholds(run: str | Path) -> dict[str, dict[str, Threshold]]:
    """The thresholds kept in a run directory: machine -> scorer -> threshold; empty where none has been kept."""
    path = Path(run) / "thresholds.json"
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        of_this = is_of(content, read_config(Path(run)))
        found = {
            m: {name: Threshold(**t) for name, t in by.items()}
            for m, by in content["thresholds"].items()
        }
        every = [t for by in found.values() for t in by.values()]
        numbers = [
            x for t in every for x in (t.value, t.expected, t.low, t.high, t.clips)
        ]
        sound = all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers)
        sound = sound and all(t.method in get_args(Method) for t in every)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OSError,
    ) as error:
        raise AsdError(
            f"{path} is damaged ({error}): remove it and calibrate again"
        ) from error
    if not sound:
        raise AsdError(
            f"{path} holds a threshold that makes no sense: remove it and calibrate again"
        )
    if not of_this:
        raise AsdError(
            f"{path} belongs to other settings than the config.json beside it: remove it and calibrate again"
        )
    return found
