"""How well do the two stages find faults in the simulated park, compared with one stage and with none?

    python benchmarks/park.py WORK [--seeds 0 1 2]

Trains on the preset ``book`` of the park, in the folder WORK, for each seed: the two stages; the single stage with the same
epochs of classification; the single stage with as many epochs in all. Raw features, a 2-NN on the time-averaged log-mel, need
no training. Writes ``data/results/park_book.json``: a header and a list of records {method, scorer, seed, machine, auc, pauc}.
About 7 minutes a seed on two cores. Simulated machines: this shows how the method works, not how well on real ones.
"""

from dataclasses import replace

import numpy as np
from results import FRACTIONS, SIMULATED, arguments, machine_records, park_clips, write

from asdlib.cache import features_of
from asdlib.detector import train
from asdlib.evaluation import SCORERS, by_machine
from asdlib.run import PRESETS

BOOK = replace(PRESETS["book"], least_steps=0)  # epochs as they are said
METHODS = {
    "two stages": BOOK,
    "single stage": replace(BOOK, pretrain=None),
    "single stage, equal epochs": replace(BOOK, pretrain=None, finetune=BOOK.finetune.of(32)),
}


def raw_2nn(training, test):
    """Mean Euclidean distance of each test clip's time-averaged log-mel to the two nearest of its own machine."""

    def nearest_two(known, asked):
        return np.array([np.sort(np.linalg.norm(known - x, axis=1))[:2].mean() for x in asked])

    clips = (features_of(clips, BOOK.features) for clips in (training, test))
    return by_machine(nearest_two, *((part.log_mels.mean(axis=2, dtype=np.float32), part.machines) for part in clips))


def main():
    options = arguments(__doc__.splitlines()[0], seeds=3).parse_args()
    training, test = park_clips(options.work)
    results = []
    for seed in options.seeds:
        for method, config in METHODS.items():
            run = options.work / f"{method.replace(', ', '-').replace(' ', '-')}-{seed}"
            table = train(training, run, replace(config, seed=seed), resume=True).score_clips(test)
            for scorer in SCORERS:
                results += machine_records(table.assign(score=table[scorer]), method=method, scorer=scorer, seed=seed)
            print(method, seed, "done", flush=True)
    raw = table.assign(score=raw_2nn(training, test))
    results += machine_records(raw, method="raw features", scorer="2-NN on mean log-mel", seed=None)
    header = {
        "what": SIMULATED,
        "command": "python benchmarks/park.py WORK --seeds " + " ".join(map(str, options.seeds)),
        "epochs": {name: [c.pretrain.epochs if c.pretrain else 0, c.finetune.epochs] for name, c in METHODS.items()},
        "unit": FRACTIONS,
    }
    write("park_book", header, results)


if __name__ == "__main__":
    main()
