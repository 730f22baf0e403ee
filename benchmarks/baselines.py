"""How well do the simplest detectors do on the simulated park: distances between raw features, and an autoencoder?

    python benchmarks/baselines.py WORK [--seeds 0 1 2] [--epochs 100]

Writes ``data/results/park_baselines.json``: a header and a list of records {method, seed, machine, auc, pauc}. About 4 minutes
a seed on two cores.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from results import SIMULATED, write

from asdlib.cache import features_of
from asdlib.data import scan
from asdlib.evaluation import machine_table, mahalanobis_score
from asdlib.machines import simulate
from asdlib.methods import autoencoder
from asdlib.run import PRESETS


def distance_scores(known, own_machines, asked, machines, function) -> np.ndarray:
    """``function(training rows, test rows)`` for each machine on its own."""
    scores = np.empty(len(asked))
    for machine in np.unique(machines):
        scores[machines == machine] = function(known[own_machines == machine], asked[machines == machine])
    return scores


def nearest_two(known, asked):
    """Mean Euclidean distance to the two nearest of ``known``."""
    return np.sort(np.linalg.norm(asked[:, None] - known[None], axis=2), axis=1)[:, :2].mean(axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    if not (options.work / "park").exists():
        simulate(options.work / "park", preset="book", seed=0)
    clips = scan(options.work / "park")
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    known, asked = (features_of(c, PRESETS["book"].features).log_mels.astype(np.float32) for c in (training, test))
    own, machines = (np.array([clip.machine for clip in group]) for group in (training, test))
    results = []

    def keep(method, seed, scores):
        table = pd.DataFrame({"machine": machines, "label": [clip.label for clip in test], "score": scores})
        for machine, row in machine_table(table, resamples=0).iterrows():
            about = {"method": method, "seed": seed, "machine": machine}
            results.append({**about, "auc": round(row.auc, 5), "pauc": round(row.pauc, 5)})

    means = known.mean(axis=2), asked.mean(axis=2)
    keep("2-NN on mean log-mel", None, distance_scores(means[0], own, means[1], machines, nearest_two))
    keep("Mahalanobis on mean log-mel", None, distance_scores(means[0], own, means[1], machines, mahalanobis_score))
    for seed in options.seeds:
        models = autoencoder.train(known, [clip.machine_type for clip in training], epochs=options.epochs, seed=seed)
        keep("autoencoder", seed, autoencoder.score(models, asked, [clip.machine_type for clip in test]))
        print("autoencoder", seed, "done", flush=True)
    header = {
        "what": SIMULATED,
        "command": f"python benchmarks/baselines.py WORK --seeds {' '.join(map(str, options.seeds))} --epochs {options.epochs}",
        "unit": "fractions; auc and McClish-standardised pauc at a false-positive rate of 0.1, per machine",
    }
    write("park_baselines", header, results)


if __name__ == "__main__":
    main()
