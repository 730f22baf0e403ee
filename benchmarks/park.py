"""How well do the two stages find faults in the simulated park, compared with one stage and with none?

    python benchmarks/park.py WORK [--seeds 0 1 2]

Trains on the preset ``book`` of the park, in the folder WORK, for each seed: the two stages; the single stage with the same
epochs of classification; the single stage with as many epochs in all. Raw features, a 2-NN on the time-averaged log-mel, need
no training. Writes ``data/results/park_book.json``: a header and a list of records {method, scorer, seed, machine, auc, pauc}.
About 7 minutes a seed on two cores. Simulated machines: this shows how the method works, not how well on real ones.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from results import SIMULATED, write

from asdlib.cache import features_of
from asdlib.data import scan
from asdlib.detector import train
from asdlib.evaluation import SCORERS, machine_table
from asdlib.machines import simulate
from asdlib.run import PRESETS

BOOK = PRESETS["book"]
METHODS = {
    "two stages": BOOK,
    "single stage": replace(BOOK, pretrain=None),
    "single stage, equal epochs": replace(BOOK, pretrain=None, finetune=BOOK.finetune.of(32)),
}


def raw_2nn(training, test):
    """Mean Euclidean distance of each test clip's time-averaged log-mel to the two nearest of its own machine."""
    own, asked = (features_of(clips, BOOK.features).log_mels.mean(axis=2, dtype=np.float32) for clips in (training, test))
    machines = np.array([clip.machine for clip in training])
    scores = []
    for clip, x in zip(test, asked, strict=True):
        distance = np.linalg.norm(own[machines == clip.machine] - x, axis=1)
        scores.append(np.sort(distance)[:2].mean())
    return np.array(scores)


def records(table, scores, **about):
    """One record a machine."""
    for machine, row in machine_table(table.assign(score=scores), resamples=0).iterrows():
        yield {**about, "machine": machine, "auc": round(row.auc, 5), "pauc": round(row.pauc, 5)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    if not (options.work / "park").exists():
        simulate(options.work / "park", preset="book", seed=0)
    clips = scan(options.work / "park")
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    results = []
    for seed in options.seeds:
        for method, config in METHODS.items():
            run = options.work / f"{method.replace(', ', '-').replace(' ', '-')}-{seed}"
            table = train(clips, run, replace(config, seed=seed), resume=True).score_clips(test)
            for scorer in SCORERS:
                results += records(table, table[scorer], method=method, scorer=scorer, seed=seed)
            print(method, seed, "done", flush=True)
    results += records(table, raw_2nn(training, test), method="raw features", scorer="2-NN on mean log-mel", seed=None)
    header = {
        "what": SIMULATED,
        "command": "python benchmarks/park.py WORK --seeds " + " ".join(map(str, options.seeds)),
        "epochs": {name: [c.pretrain.epochs if c.pretrain else 0, c.finetune.epochs] for name, c in METHODS.items()},
        "unit": "fractions; auc and McClish-standardised pauc at a false-positive rate of 0.1, per machine",
    }
    write("park_book", header, results)


if __name__ == "__main__":
    main()
