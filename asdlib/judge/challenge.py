"""The official score of each year of the DCASE challenge's Task 2.

From 2021 on, a test clip comes from the *source* domain, the conditions of most of the
training, or from the *target* domain, changed ones. Three formulae have been official:
the rows of :data:`FORMULAE`, as the organisers' evaluators compute them. AUC and pAUC
are those of :mod:`asdlib.judge.metrics`, the pAUC up to a false-positive rate of 0.1,
after McClish; all numbers are fractions, 0 to 1.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.metrics import auc, pauc, refuse_other_labels

if TYPE_CHECKING:
    import pandas as pd

DOMAINS = ("source", "target")
LABELS = {"normal": "normal", "anomaly": "anomalous"}  # and what such a clip is called
TEXTS = ("machine", "label", "domain")  # columns
EPSILON = sys.float_info.epsilon  # what an AUC of 0 counts as in a harmonic mean
Parts = Callable[[np.ndarray, np.ndarray, np.ndarray], list[float]]


def _whole(truth: np.ndarray, domain: np.ndarray, scores: np.ndarray) -> list[float]:
    return [auc(truth, scores), pauc(truth, scores)]


def _apart(truth: np.ndarray, domain: np.ndarray, scores: np.ndarray) -> list[float]:
    """Each domain by its own clips."""
    own = [(truth[domain == d], scores[domain == d]) for d in DOMAINS]
    return [metric(*pair) for metric in (auc, pauc) for pair in own]


def _mixed(truth: np.ndarray, domain: np.ndarray, scores: np.ndarray) -> list[float]:
    """The normal clips of each domain against the anomalies of both."""
    rows = [(domain == d) | (truth == 1) for d in DOMAINS]
    return [*(auc(truth[r], scores[r]) for r in rows), pauc(truth, scores)]


@dataclass(frozen=True)
class Formula:
    """An official score: of which ``years``, and what it is made of.

    ``parts`` are the numbers that a machine has in it, and ``function(truth, domain,
    scores)`` gives them, of (N,) each. ``by_domain`` are the labels whose clips must be
    of a known domain, and be there in both. A harmonic mean joins the parts of all
    machines, or an ``arithmetic`` one, of machines within their type first.
    """

    years: str
    parts: tuple[str, ...]
    by_domain: tuple[str, ...]
    function: Parts
    arithmetic: bool = False


FORMULAE: dict[str, Formula] = {
    "arithmetic": Formula("2020", ("auc", "pauc"), (), _whole, arithmetic=True),
    "harmonic": Formula(
        "2021",
        ("auc_source", "auc_target", "pauc_source", "pauc_target"),
        ("normal", "anomaly"),
        _apart,
    ),
    "mixed": Formula(
        "2022-2026", ("auc_source", "auc_target", "pauc"), ("normal",), _mixed
    ),
}


def formula_of(kind: str) -> Formula:
    """The row of :data:`FORMULAE`; raises :class:`AsdError` where there is none."""
    if kind not in FORMULAE:
        names = ", ".join(FORMULAE)
        raise AsdError(f"no official score {kind!r}: choose one of {names}")
    return FORMULAE[kind]


def usual_kind(clips: "pd.DataFrame") -> str | None:
    """Which official score clips ask for: "mixed" where any domain is known, or None.

    ``clips`` has one row per clip and the column ``domain``.
    """
    return "mixed" if clips.domain.astype(str).isin(DOMAINS).any() else None


def lacking(clips: "pd.DataFrame", kind: str) -> list[str]:
    """Why there is no official score of ``clips``: what machines lack, in words.

    ``clips`` has one row per clip and the columns ``machine`` (``type/id``), ``label``
    ("normal", "anomaly", "unknown") and ``domain`` ("source", "target", "unknown"; not
    there: unknown). A machine of which no label is known is not judged. Of every other
    one all clips count, so a clip that nobody can place is a reason as well. Raises
    :class:`AsdError` for columns or values that do not belong there.
    """
    formula, found = formula_of(kind), []
    for machine, group in _judged(clips):
        count = group.groupby(["label", "domain"]).size().to_dict()
        told = []
        if unlabelled := int((group.label == "unknown").sum()):
            told.append(f"clips of unknown label ({unlabelled})")
        for label, called in LABELS.items():
            if label not in formula.by_domain:
                if not (group.label == label).any():
                    told.append(f"no {called} clip")
                continue
            for domain in DOMAINS:
                if (label, domain) not in count:
                    told.append(f"no {called} clip of the {domain} domain")
            if unplaced := count.get((label, "unknown")):
                told.append(f"{called} clips of unknown domain ({unplaced})")
        if told:
            found.append(f"{machine} has {', '.join(told)}")
    return found


def _judged(clips: "pd.DataFrame") -> "list[tuple[str, pd.DataFrame]]":
    """Each machine with a labelled clip, and its rows, values as plain text."""
    missing = [name for name in ("machine", "label") if name not in clips]
    if missing:
        raise AsdError(f"the table has no column {missing[0]}: give one for each clip")
    refuse_other_labels(clips.label)
    domain = clips.domain if "domain" in clips else "unknown"
    clips = clips.assign(domain=domain)
    clips = clips.assign(**{n: clips[n].astype(object).map(str) for n in TEXTS})
    others = set(clips.domain) - {*DOMAINS, "unknown"}
    if others:
        raise AsdError(
            f"a clip is of the domain {min(others)!r}: "
            "write source, target or unknown, in small letters"
        )
    groups = clips.groupby("machine", sort=False)
    return [(str(m), g) for m, g in groups if (g.label != "unknown").any()]


def official_parts(clips: "pd.DataFrame", kind: str) -> "pd.DataFrame":
    """The numbers that the official score ``kind`` is the mean of, a row per machine.

    ``clips`` as :func:`lacking` takes it, with a column ``score`` besides. The columns
    are those that :data:`FORMULAE` names. Raises :class:`AsdError` where a machine
    lacks something, or all do, for scores that are not finite, and as :func:`lacking`.
    """
    import pandas as pd

    formula, rows = formula_of(kind), {}
    if "score" not in clips:
        raise AsdError("the table has no column score: give one for each clip")
    lacks = lacking(clips, kind)
    if lacks:
        raise AsdError(
            f"no official score of {formula.years} ({kind}), {'; '.join(lacks)}: "
            "give what is missing, or leave such machines out"
        )
    for machine, group in _judged(clips):
        truth = (group.label == "anomaly").to_numpy(int)
        scores = group.score.to_numpy(float)
        if not np.isfinite(scores).all():
            raise AsdError(
                f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores of {machine} "
                "are not finite: look at those clips first"
            )
        rows[machine] = formula.function(truth, group.domain.to_numpy(str), scores)
    if not rows:
        raise AsdError(
            "no clip is known to be normal or anomalous: give labels, without which "
            "there is no official score"
        )
    parts = pd.DataFrame.from_dict(rows, orient="index", columns=formula.parts)
    return parts.rename_axis("machine")


def official_mean(parts: "pd.DataFrame", kind: str) -> float:
    """The official score, of what :func:`official_parts` gives or others published.

    "harmonic" and "mixed": the harmonic mean of all the numbers of all machines, none
    of them counting as less than the float's epsilon. "arithmetic": the mean AUC and
    pAUC of a machine type's IDs, then of the types, then of both; 2020's evaluator
    stops at the types, and this is how papers go on. Raises :class:`AsdError` where a
    column is missing, there is no row, or a number is not within 0 and 1.

    >>> import pandas as pd
    >>> halves = pd.DataFrame({"auc_source": [0.9], "auc_target": [0.6], "pauc": [0.6]})
    >>> round(official_mean(halves, "mixed"), 4)
    0.675
    """
    formula = formula_of(kind)
    missing = [name for name in formula.parts if name not in parts]
    if missing:
        raise AsdError(
            f"the table has no column {missing[0]}: "
            f"the official score {kind} is made of {', '.join(formula.parts)}"
        )
    numbers = parts[list(formula.parts)].astype(float)
    if numbers.empty or not ((numbers >= 0) & (numbers <= 1)).all(axis=None):
        raise AsdError(
            f"{len(numbers)} rows of AUC and pAUC are not all numbers from 0 to 1: "
            "give fractions, of one machine at least"
        )
    if formula.arithmetic:
        types = numbers.index.astype(str).str.split("/").str[0]
        return float(numbers.groupby(types).mean().to_numpy().mean())
    return float(1 / np.mean(1 / numbers.clip(lower=EPSILON).to_numpy()))


def official_score(clips: "pd.DataFrame", kind: str) -> float:
    """The official score ``kind`` of scored clips, 0 to 1.

    :func:`official_mean` of :func:`official_parts`, which say what ``clips`` must have
    and what is raised.
    """
    return official_mean(official_parts(clips, kind), kind)
