"""Writes golden/metrics.json with scikit-learn: ``python -m tests.make_golden``. Kept so that the file can be checked."""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score


def cases():
    rng = np.random.default_rng(2020)
    for name, normal, anomalous, shift, decimals in [
        ("separable", 30, 20, 6.0, 6),
        ("chance", 100, 100, 0.0, 6),
        ("typical", 100, 300, 1.2, 6),
        ("many ties", 50, 50, 0.7, 0),
        ("worse than chance", 40, 60, -1.0, 6),
        ("few clips", 3, 2, 0.5, 6),
        ("all tied", 10, 10, 0.0, -3),
    ]:
        scores = np.concatenate([rng.normal(0, 1, normal), rng.normal(shift, 1.3, anomalous)]).round(decimals)
        truth = np.repeat([0, 1], [normal, anomalous])
        expected = {"auc": roc_auc_score(truth, scores), "pauc": roc_auc_score(truth, scores, max_fpr=0.1)}
        yield {"name": name, "truth": truth.tolist(), "scores": scores.tolist(), **expected}


if __name__ == "__main__":
    path = Path(__file__).parent / "golden" / "metrics.json"
    path.write_text(json.dumps(list(cases())) + "\n")
