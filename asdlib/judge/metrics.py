"""From scores to AUC, pAUC and mAUC.

Conventions: truth is 1 for anomalous and 0 for normal clips; a score is larger the more anomalous a clip is. Metrics are
fractions, 0 to 1, per machine ID first; a machine type has the arithmetic mean over its IDs (DCASE 2020 Task 2), and the
worst of them, the mAUC. Pooling the IDs of a type into one ROC curve gives other numbers, not comparable with these.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asdlib.errors import AsdError
from asdlib.files import atomic_write
from asdlib.progress import OnStep, silent

if TYPE_CHECKING:  # what scores one clip does not wait for pandas, nor for scipy
    import pandas as pd

MAX_FPR = 0.1  # of the pAUC, as in the challenge


def _validate(truth, scores) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != scores.shape:
        raise AsdError(
            f"truth has shape {truth.shape} and scores {scores.shape}: give one of each per clip"
        )
    if not np.isin(truth, (0, 1)).all():
        raise AsdError(
            "truth holds other values than 0 (normal) and 1 (anomalous): recode it"
        )
    if not np.isfinite(scores).all():
        raise AsdError(
            f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite: look at those clips first"
        )
    truth = truth.astype(bool)
    if truth.all() or not truth.any():
        kind = "anomalous" if truth.any() else "normal"
        raise AsdError(
            f"all {len(truth)} clips are {kind}: a ROC curve needs both normal and anomalous clips"
        )
    return truth, scores


def auc(truth, scores) -> float:
    """Area under the ROC curve: the chance that an anomalous clip scores above a normal one, ties counting half.

    ``truth`` (N,) of 0 and 1, ``scores`` (N,). Raises :class:`AsdError` for bad shapes or values, or a single class.
    """
    truth, scores = _validate(truth, scores)
    normal = np.sort(scores[~truth])
    below = np.searchsorted(
        normal, scores[truth], side="left"
    )  # normal clips under each anomalous one
    not_above = np.searchsorted(normal, scores[truth], side="right")
    return float((below + not_above).mean() / 2 / len(normal))


def pauc(
    truth, scores, *, max_fpr: float = MAX_FPR, standardized: bool = True
) -> float:
    """Partial AUC up to the false-positive rate ``max_fpr``.

    ``standardized`` (McClish 1989) maps chance to 0.5 and perfection to 1, as scikit-learn and the challenge's code do.
    Otherwise the area divided by ``max_fpr``, which is the formula of the task description wherever ``max_fpr`` times the
    number of normal clips is whole: chance is ``max_fpr / 2``. Raises as :func:`auc`.
    """
    truth, scores = _validate(truth, scores)
    if not 0 < max_fpr <= 1:
        raise AsdError(
            f"max_fpr is {max_fpr}: choose a false-positive rate above 0 and up to 1"
        )
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    tpr = np.append(0, np.cumsum(truth[order])[last_of_tie] / truth.sum())
    fpr = np.append(0, np.cumsum(~truth[order])[last_of_tie] / (~truth).sum())
    inside = np.searchsorted(fpr, max_fpr, side="right")
    x, y = (
        np.append(fpr[:inside], max_fpr),
        np.append(tpr[:inside], np.interp(max_fpr, fpr, tpr)),
    )
    area = float(np.trapezoid(y, x))
    if not standardized:
        return area / max_fpr
    return (
        0.5 * (1 + (area - max_fpr**2 / 2) / (max_fpr - max_fpr**2 / 2))
        if max_fpr < 1
        else area
    )


def bootstrap_interval(
    truth,
    scores,
    *,
    metric: Callable = auc,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of ``metric(truth, scores)``, resampling normal and anomalous clips each on their own.

    It covers the luck of the test clips, not that of the training run: for that, train with several seeds.
    """
    truth, scores = _validate(truth, scores)
    rng = np.random.default_rng(seed)
    groups = np.flatnonzero(truth), np.flatnonzero(~truth)
    values = []
    for _ in range(resamples):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        values.append(metric(truth[rows], scores[rows]))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


# ----------------------------------------------------------------------------------------------------------- tables


def machine_table(
    clips: "pd.DataFrame", *, resamples: int = 1000, on_step: OnStep = silent
) -> "pd.DataFrame":
    """One row per machine that has normal and anomalous test clips, from one row per clip.

    ``clips`` has the columns ``machine`` (``type/id``), ``label`` ("normal", "anomaly", "unknown") and ``score``. The
    result is indexed by machine: ``clips`` (count), ``auc``, ``pauc``, and the 95 % bootstrap interval ``auc_low``,
    ``auc_high`` (``resamples=0`` leaves it out).
    """
    import pandas as pd

    rows = {}
    for done, (machine, group) in enumerate(
        clips[clips.label != "unknown"].groupby("machine"), 1
    ):
        on_step("intervals", done, clips.machine.nunique())
        if group.label.nunique() < 2:
            continue
        truth, scores = (group.label == "anomaly").to_numpy(int), group.score.to_numpy()
        rows[machine] = {
            "clips": len(group),
            "auc": auc(truth, scores),
            "pauc": pauc(truth, scores),
        }
        if resamples:
            low, high = bootstrap_interval(truth, scores, resamples=resamples)
            rows[machine] |= {"auc_low": low, "auc_high": high}
    columns = ["clips", "auc", "pauc", *(["auc_low", "auc_high"] if resamples else [])]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(
        "machine"
    )


def type_table(per_machine: "pd.DataFrame") -> "pd.DataFrame":
    """One row per machine type, and ``average``, the mean over the types: ``auc``, ``pauc``, ``mauc`` (the worst ID)."""
    import pandas as pd

    by_type = per_machine.groupby(per_machine.index.str.split("/").str[0], sort=False)
    table = pd.DataFrame(
        {
            "auc": by_type.auc.mean(),
            "pauc": by_type.pauc.mean(),
            "mauc": by_type.auc.min(),
        }
    )
    table.loc["average"] = table.mean()
    return table.rename_axis("machine_type")


def write_challenge_csv(clips: "pd.DataFrame", folder: str | Path) -> list[Path]:
    """The challenge's files, ``anomaly_score_<type>_id_<nn>.csv`` with one ``name,score`` line a clip; their paths.

    ``clips`` has the columns ``machine``, ``name`` (the WAV file's) and ``score``.
    """
    paths = []
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for machine, group in clips.groupby("machine"):
            paths.append(
                Path(folder) / f"anomaly_score_{machine.replace('/', '_')}.csv"
            )
            with atomic_write(paths[-1]) as temporary:
                group.sort_values("name")[["name", "score"]].to_csv(
                    temporary, header=False, index=False
                )
    except OSError as error:
        raise AsdError(
            f"cannot write CSV files to {folder} ({error.strerror}): name another folder or free some space"
        ) from error
    return paths
