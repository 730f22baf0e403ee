"""What a thinner memory bank loses: AUC against the share of the training clips that is kept, on real spectra.

    python benchmarks/thinning.py dcase2020_modspec.npz [--shares 0.5 0.1 --seeds 0 1 2]

The rows are the spectra themselves, standardised over the machine's training clips, so nothing is trained; the score is the
mean distance to the two nearest of those that stay (:func:`asdlib.plain.plain_knn`), and, beside it, the same by the cosine.
Clips are left out by both methods of :mod:`asdlib.thin` and, for comparison, by lot with each seed. Writes
``data/results/thinning.json``: a header and a list of records {method, share, seed, scorer, machine, auc, pauc}. Nothing is
chosen on test clips.
"""

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from results import FRACTIONS, machine_records, write

from asdlib.plain import plain_knn, standardised
from asdlib.scorers import knn_score, unit
from asdlib.spectra import Spectra, read_spectra
from asdlib.thin import METHODS, thinned

# Of each scorer, by what rows are near to it.
SCORERS = {"2-NN": (plain_knn, np.asarray), "2-NN by cosine": (knn_score, unit)}
SHARES = [0.5, 0.25, 0.1, 0.05, 0.02]


def left(rows: np.ndarray, share: float, method: str, seed: int) -> np.ndarray:
    """The places of those that stay."""
    keep = max(2, round(share * len(rows)))
    if method == "all":
        return np.arange(len(rows))
    if method == "lot":
        return np.sort(np.random.default_rng(seed).choice(len(rows), keep, replace=False))
    return thinned(rows, keep, method, seed=seed)


def measured(spectra: Spectra, share: float, method: str, seed: int) -> list[dict]:
    """One record a machine and scorer."""
    tables = {name: [] for name in SCORERS}
    for machine in spectra.test.names:
        here = spectra.test.machines == machine
        parts = (spectra.train.of(machine).inputs[0], spectra.test.inputs[0][here])
        known, asked = standardised(*(part.reshape(len(part), -1) for part in parts))
        labels = np.where(spectra.test_is_anomaly[here], "anomaly", "normal")
        for name, (scorer, seen) in SCORERS.items():
            kept = known[left(seen(known), share, method, seed)]
            table = {"machine": machine, "label": labels, "score": scorer(kept, asked)}
            tables[name].append(pd.DataFrame(table))
    about = {"method": method, "share": share, "seed": seed}
    return [row for name, parts in tables.items() for row in machine_records(pd.concat(parts), **about, scorer=name)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a file of spectra")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the clips that are drawn by lot")
    options = parser.parse_args()
    spectra = read_spectra(options.data)
    records = measured(spectra, 1.0, "all", 0)
    for share in options.shares:
        for method in METHODS:
            records += measured(spectra, share, method, 0)
        for seed in options.seeds:
            records += measured(spectra, share, "lot", seed)
    table = pd.DataFrame(records).groupby(["scorer", "method", "share"])["auc"].mean().mul(100).round(1)
    print(table.unstack("share").to_string())
    header = {
        "data": options.data.name,
        "command": f"python benchmarks/thinning.py {options.data.name}",
        "versions": {package: version(package) for package in ("asdlib", "numpy", "scikit-learn")},
        "unit": FRACTIONS,
    }
    write("thinning", header, records)


if __name__ == "__main__":
    main()
