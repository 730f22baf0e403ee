"""What came of a job of a comparison, and the file in which it is kept."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from asdlib.errors import AsdError
from asdlib.files import atomic_write


@dataclass(frozen=True)
class Result:
    """What came of a job: ``scores`` (M,) of test clips by scorer, and what it cost.

    In a rehearsal of other clips, and ``machines`` (M,) and ``labels`` (M,) tell which.
    ``costs`` are "parameters", "macs" (multiply-adds to embed a clip; none where they
    are not known), "train" and "score" in seconds of a core, "wall" in seconds in all,
    "memory" in MB and "epochs". ``error`` says why there are no scores.
    """

    scores: dict[str, np.ndarray]
    costs: dict[str, float]
    error: str = ""
    machines: np.ndarray = field(default_factory=lambda: np.array([], np.str_))
    labels: np.ndarray = field(default_factory=lambda: np.array([], np.str_))


def keep(path: Path, result: Result) -> None:
    """Write a job's result."""
    path.parent.mkdir(exist_ok=True)
    about = json.dumps({"costs": result.costs, "error": result.error})
    arrays = {f"score {name}": values for name, values in result.scores.items()}
    arrays |= {"machines": result.machines, "labels": result.labels}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, about=np.array(about), **arrays)  # type: ignore[arg-type]


def read(path: Path) -> Result:
    """The result that :func:`keep` wrote.

    Raises :class:`AsdError` for a file that is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            names = [name for name in arrays.files if name.startswith("score ")]
            scores = {name.removeprefix("score "): arrays[name] for name in names}
            asked = arrays["machines"], arrays["labels"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise AsdError(
            f"{path} is damaged ({error}): remove it, and it is computed again"
        ) from error
    return Result(scores, about["costs"], about["error"], *asked)
