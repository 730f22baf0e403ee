"""How well do the simplest detectors do on the simulated park: distances between raw features, and an autoencoder?

    python benchmarks/baselines.py WORK [--seeds 0 1 2] [--epochs 100]

Writes ``data/results/park_baselines.json``: a header and a list of records {method, seed, machine, auc, pauc}. About 4 minutes
a seed on two cores.
"""

import numpy as np
import pandas as pd
from results import FRACTIONS, SIMULATED, arguments, machine_records, park_clips, write

from asdlib.cache import features_of
from asdlib.evaluation import by_machine, mahalanobis_score
from asdlib.methods import autoencoder
from asdlib.run import PRESETS
from asdlib.training import StageConfig


def nearest_two(known, asked):
    """Mean Euclidean distance to the two nearest of ``known``."""
    return np.sort(np.linalg.norm(asked[:, None] - known[None], axis=2), axis=1)[:, :2].mean(axis=1)


def main():
    parser = arguments(__doc__.splitlines()[0], seeds=3)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    training, test = park_clips(options.work)
    known, asked = (features_of(group, PRESETS["book"].features) for group in (training, test))
    results = []

    def keep(method, seed, scores):
        table = pd.DataFrame({"machine": asked.machines, "label": [clip.label for clip in test], "score": scores})
        results.extend(machine_records(table, method=method, seed=seed))

    means = [(clips.log_mels.astype(np.float32).mean(axis=2), clips.machines) for clips in (known, asked)]
    keep("2-NN on mean log-mel", None, by_machine(nearest_two, *means))
    keep("Mahalanobis on mean log-mel", None, by_machine(mahalanobis_score, *means))
    for seed in options.seeds:
        budget = StageConfig(options.epochs, learning_rate=1e-3)
        models = autoencoder.train(known, budget=budget, seed=seed)
        keep("autoencoder", seed, autoencoder.score(models, known, asked)["reconstruction"])
        print("autoencoder", seed, "done", flush=True)
    header = {
        "what": SIMULATED,
        "command": f"python benchmarks/baselines.py WORK --seeds {' '.join(map(str, options.seeds))} --epochs {options.epochs}",
        "unit": FRACTIONS,
    }
    write("park_baselines", header, results)


if __name__ == "__main__":
    main()
