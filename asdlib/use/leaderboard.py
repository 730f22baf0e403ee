"""What a comparison has found: one row a method and budget, with its chances and costs.

What counts is each method's own scorer, the first of its ``SCORERS``, and nothing is
chosen on test clips: the other scorers are there to be looked at.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asdlib import methods
from asdlib.errors import AsdError
from asdlib.files import atomic_write
from asdlib.judge.chance import FIGURES, areas_of, differences, interval
from asdlib.judge.metrics import machine_table, type_table
from asdlib.judge.ranks import agreement, ranking, shares_below
from asdlib.use.jobs import EXAMPLES, REHEARSAL, Job, Plan
from asdlib.use.results import Result, read

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("asdlib", "torch", "numpy", "scikit-learn")
COSTS = ("parameters", "macs", "train", "score", "memory", "epochs")
TIMES = ("train", "score")


def leaderboard(
    plan: Plan,
    folder: Path,
    jobs: Sequence[Job],
    machines: np.ndarray,
    labels: np.ndarray,
    *,
    against: str | None = None,
) -> dict[str, Any]:
    """All that can be said of finished ``jobs``, as plain values for JSON.

    ``machines`` (M,) and ``labels`` (M,) are those of the test clips. ``rows`` has one
    entry for each budget and method, the best AUC first: under ``scorers`` AUC, pAUC
    and mAUC of each seed (fractions), under ``machines`` the AUC of each, ``intervals``
    of the three (``interval`` is that of the AUC), ``difference`` to the method
    ``against`` (None: the first that is named), and the costs: means over the seeds,
    but of times the least, since whatever else a machine does only adds to them.
    ``ranking`` has the ranks for each budget.

    Where there were rehearsals, the rows of EXAMPLES have under ``rehearsal`` the AUC
    in them, with its spread, and ``trust`` says whether they put the methods into the
    order in which they find the faults of the test clips. Of sound, ``above`` has for
    each budget and method what :func:`above_healthy` gives, as text.
    """
    results = {job: read(job.path(folder)) for job in jobs}
    names = list(dict.fromkeys(job.method for job in jobs))
    rows: list[dict[str, Any]] = []
    ranks: dict[str, Any] = {}
    above: dict[str, dict[str, str]] = {}
    budgets = dict.fromkeys(job.budget for job in jobs)
    for budget in (budget for budget in budgets if budget != REHEARSAL):
        of_budget = {
            name: [
                results[job]
                for job in jobs
                if (job.method, job.budget) == (name, budget)
            ]
            for name in names
        }
        found = {
            name: standing(name, some, machines, labels)
            for name, some in of_budget.items()
        }
        able = [name for name in names if "error" not in found[name]]
        scores = {
            name: np.stack([x.scores[found[name]["scorer"]] for x in of_budget[name]])
            for name in able
        }
        if Path(plan.data).suffix != ".npz":  # what can be heard
            above[budget] = {
                name: " ".join(map(str, above_healthy(x, machines, labels)))
                for name, x in scores.items()
            }
        known = labels != "unknown"
        truth = (labels[known] == "anomaly").astype(int)
        asked = {name: x[:, known] for name, x in scores.items()}
        chance_of = {
            figure: areas_of(truth, machines[known], asked, figure=figure)
            for figure in FIGURES
        }
        chances = chance_of["auc"]
        base = against if against in able else next(iter(able), None)
        gains = differences(chances, base) if base else {}
        for name in able:
            found[name]["interval"] = interval(chances[name])
            found[name]["intervals"] = {
                figure: interval(areas[name]) for figure, areas in chance_of.items()
            }
            if name in gains:
                found[name]["difference"] = vars(gains[name]) | {"against": base}
        rows += [{"method": name, "budget": budget, **found[name]} for name in names]
        areas = {name: np.array([*found[name]["machines"].values()]) for name in able}
        if len(able) > 2 and len(next(iter(areas.values()))) > 1:
            told = ranking(areas)
            ranks[budget] = vars(told) | {"alike": told.alike}
    rehearse(rows, results)
    rows.sort(key=lambda row: (row["budget"], -row.get("auc", [0.0, 0.0])[0]))
    return {
        "data": Path(plan.data).name,
        "digest": plan.digest,
        "clips": len(labels),
        "epochs": plan.epochs,
        "seconds": plan.seconds,
        "seeds": sorted({job.seed for job in jobs}),
        "unit": "fractions, 0 to 1; seconds of a core; MB",
        "versions": {name: version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "rows": rows,
        "ranking": ranks,
        "trust": trust_of(rows),
        "above": above,
    }


def above_healthy(
    scores: np.ndarray, machines: np.ndarray, labels: np.ndarray
) -> list[int]:
    """How many % of the healthy test clips of its machine score below each clip: M.

    ``scores`` (S, M), a row a seed; -1 where there are no healthy ones.
    """
    found = np.full(len(labels), -1)
    for machine in np.unique(machines):
        own = np.flatnonzero(machines == machine)
        healthy = labels[own] == "normal"
        if healthy.any():
            shares = shares_below(scores[:, own], healthy)
            found[own] = np.round(100 * shares).astype(int)
    return found.tolist()


def rehearse(rows: Sequence[dict[str, Any]], results: Mapping[Job, Result]) -> None:
    """Fill in ``rehearsal`` where there were any."""
    for row in rows:
        played = [
            table_of(result.scores[row["scorer"]], result.machines, result.labels)
            for job, result in results.items()
            if (job.method, job.budget) == (row["method"], REHEARSAL)
            and row["budget"] == EXAMPLES
            and not result.error
            and "error" not in row
        ]
        if played:
            areas = [type_table(x).loc["average"].to_dict()["auc"] for x in played]
            row["rehearsal"] = [float(np.mean(areas)), spread(areas)]


def trust_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """How well the rehearsals put the methods in order; None of fewer than three."""
    pairs = [(row["rehearsal"][0], row["auc"][0]) for row in rows if "rehearsal" in row]
    if len(pairs) < 3 or any(len(set(x)) < 2 for x in zip(*pairs, strict=True)):
        return None
    return vars(agreement(*zip(*pairs, strict=True)))


def standing(
    name: str, results: Sequence[Result], machines: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """One row: figures by scorer, a list of one a seed, and what they cost.

    ``machines`` (M,) and ``labels`` (M,) are those of the test clips.
    """
    method = methods.get(name)
    about: dict[str, Any] = {"name": method.NAME, "paper": method.PAPER}
    about["idea"] = getattr(method, "IDEA", "")
    errors = [result.error for result in results if result.error]
    if errors:
        return about | {"error": errors[0]}
    scorers = getattr(method, "SCORERS", ()) or tuple(results[0].scores)
    of_scorer, by_machine = {}, {}
    for scorer in results[0].scores:
        tables = [table_of(x.scores[scorer], machines, labels) for x in results]
        averages = [type_table(table).loc["average"] for table in tables]
        of_scorer[scorer] = {
            key: [float(average.to_dict()[key]) for average in averages]
            for key in FIGURES
        }
        if scorer == scorers[0]:
            areas = np.mean([table.auc.to_numpy() for table in tables], axis=0)
            by_machine = dict(
                zip(map(str, tables[0].index), areas.tolist(), strict=True)
            )
    own = of_scorer[scorers[0]]
    figures = {key: [float(np.mean(own[key])), spread(own[key])] for key in FIGURES}
    costs = {
        key: float((min if key in TIMES else np.mean)([r.costs[key] for r in results]))
        for key in COSTS
        if all(key in result.costs for result in results)
    }
    about |= {"scorer": scorers[0], **figures, "costs": costs}
    return about | {"scorers": of_scorer, "machines": by_machine}


def table_of(
    scores: np.ndarray, machines: np.ndarray, labels: np.ndarray
) -> "pd.DataFrame":
    """AUC and pAUC of each machine by ``scores`` (M,).

    Raises :class:`AsdError` where no machine has healthy and faulty test clips.
    """
    import pandas as pd

    columns = {"machine": machines, "label": labels, "score": scores}
    table = machine_table(pd.DataFrame(columns), resamples=0)
    if not len(table):
        raise AsdError(
            "no machine has normal and anomalous test clips: "
            "without both there is nothing to compare by"
        )
    return table


def spread(values: Sequence[float]) -> float:
    """Standard deviation over the seeds; 0 of one, and of equal ones."""
    return float(np.std(values, ddof=1)) if len(set(values)) > 1 else 0.0


def write(found: dict[str, Any], folder: Path) -> None:
    """Write ``leaderboard.json`` and ``leaderboard.csv``, in % where people read it."""
    import pandas as pd

    with atomic_write(folder / "leaderboard.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n")
    rows = []
    for row in found["rows"]:
        if "error" not in row:
            ranks = found["ranking"].get(row["budget"], {}).get("ranks", {})
            rank = {"rank": round(ranks[row["method"]], 2)} if ranks else {}
            rows.append(flat(row) | rank)
    with atomic_write(folder / "leaderboard.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the leaderboard for a spreadsheet: figures in %, costs beside them."""
    out: dict[str, Any] = {key: row[key] for key in ("method", "budget", "scorer")}
    for key in FIGURES:
        out[key], out[f"{key} spread"] = (round(100 * x, 2) for x in row[key])
        ends = (round(100 * x, 2) for x in row["intervals"][key])
        out[f"{key} from"], out[f"{key} to"] = ends
    if "difference" in row:
        gain = row["difference"]
        out[f"ahead of {gain['against']}"] = round(100 * gain["mean"], 2)
        out["ahead from"] = round(100 * gain["low"], 2)
        out["ahead to"] = round(100 * gain["high"], 2)
        out["p"] = round(gain["p"], 4)
    if "rehearsal" in row:
        out["rehearsal"] = round(100 * row["rehearsal"][0], 2)
    return out | {key: round(value, 2) for key, value in row["costs"].items()}
