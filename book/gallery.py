"""What the chapters of the gallery share: the kept leaderboards, and the park's clips of one machine type.

The leaderboards (``data/results/leaderboard_*.json``) were measured by ``asd compare``; how long that takes, and why nothing here
can be computed while a page is built, is told in the chapter "The leaderboard".
"""

import numpy as np
import pandas as pd

from asdlib.clips import Clips
from asdlib.data import Clip
from chapter import features, recordings, result

BOARDS = {
    "park": "the park",
    "mimii": "MIMII, −6 dB",
    "modspec": "DCASE 2020, spectra",
}


def board(name: str) -> dict:
    """The leaderboard on the park ("park"), on MIMII at −6 dB ("mimii"), or on the spectra of DCASE 2020 ("modspec")."""
    return result(f"leaderboard_{name}")


def rows(name: str, budget: str = "examples") -> pd.DataFrame:
    """A row a method of one board, the best AUC first: auc, pauc and mauc with their spread over the seeds, in per cent; seconds of a
    core to train it, and to score all test clips; parameters, and multiply-adds of a clip. ``budget`` is "examples" (the same clips
    seen) or "seconds" (the same time).
    """
    table = {}
    for row in board(name)["rows"]:
        if row["budget"] == budget and "error" not in row:
            figures = {
                key: 100 * row[key][0] for key in ("auc", "pauc", "mauc")
            }
            figures |= {
                f"{key} spread": 100 * row[key][1]
                for key in ("auc", "pauc", "mauc")
            }
            costs = {
                key: row["costs"][key]
                for key in ("train", "score", "parameters", "macs")
            }
            table[row["method"]] = {"name": row["name"], **figures, **costs}
    return pd.DataFrame(table).T.infer_objects().rename_axis("method")


def standing(chosen: list[str], budget: str = "examples") -> pd.DataFrame:
    """AUC of the methods ``chosen`` on all three boards, as text "mean ± spread over the seeds"; "–" where a method is not there."""
    columns = {}
    for name, title in BOARDS.items():
        table = rows(name, budget)
        columns[title] = [
            f"{table.auc[method]:.1f} ± {table['auc spread'][method]:.1f}"
            if method in table.index
            else "–"
            for method in chosen
        ]
    names = {
        row["method"]: row["name"]
        for name in BOARDS
        for row in board(name)["rows"]
    }
    return pd.DataFrame(
        columns, [names[method] for method in chosen]
    ).rename_axis("method")


def ahead(
    method: str, other: str, name: str, budget: str = "examples"
) -> float:
    """By how many points of AUC ``method`` is ahead of ``other`` on one board."""
    table = rows(name, budget)
    return float(table.auc[method] - table.auc[other])


def above(method: str, budget: str = "examples") -> np.ndarray:
    """Of each test clip of the park, in the order of ``recordings("test")``: how many per cent of the healthy test clips of its
    machine ``method`` scores below it (mean over the seeds)."""
    return np.array(board("park")["above"][budget][method].split(), int)


def found_by(
    method: str, others: list[str], count: int = 3, machine: str = ""
) -> list[tuple[Clip, int, int]]:
    """Faulty test clips of the park that ``method`` puts above far more healthy ones than the ``others`` do: ``count`` clips, each with
    how many per cent of the healthy ones lie below it by ``method``, and by the best of the others."""
    clips = recordings("test")
    own, best = (
        above(method),
        np.max([above(other) for other in others], axis=0),
    )
    faulty = [
        i
        for i, clip in enumerate(clips)
        if clip.label == "anomaly" and clip.machine.startswith(machine)
    ]
    chosen = sorted(faulty, key=lambda i: best[i] - own[i])[:count]
    return [(clips[i], int(own[i]), int(best[i])) for i in chosen]


def of_type(machine_type: str) -> tuple[Clips, Clips, np.ndarray]:
    """Training clips and test clips of one type of the park (its machines are the classes), and which of the latter are faulty."""
    test = recordings("test", machine=f"{machine_type}/")
    faulty = np.array([clip.label == "anomaly" for clip in test])
    return (
        features(recordings("train", machine=f"{machine_type}/")),
        features(test),
        faulty,
    )
