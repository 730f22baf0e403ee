"""What mended it? The ensemble with one cause taken away at a time, and what the rehearsal would have said.

    python benchmarks/causes.py DATA --work WORK [--seeds 0 1 2] [--epochs 12] [--processes 1] [--name NAME]

DATA is a folder of recordings as ``asd`` reads it. Each variant is an ensemble trained as ``asd train`` does, on whole
clips: with the first 2 s of every clip only, with few steps, without the branch of the whole spectrum, without mixtures, with
one centre a machine, with the log-mel encoder of the book. Before all of them the two stages as ``asd train`` had them: 16 + 16
epochs, of few clips a step each, on the first 2 s. Each part of the ensemble alone is a scorer, and so are "plain" (nothing
trained), "all", "fused" (what the rehearsal kept) and "softmax", the classifier's own surprise. Writes to
``data/results/causes_NAME.json`` a header and a list of records {variant, scorer, seed, machine, auc, pauc, rehearsal}, the
last one the AUC of the same scorer in the rehearsal (None: not rehearsed). Nothing is chosen on test clips.
"""

from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from peers import STEPS, WINDOW, budget_for, seconds_of
from results import FRACTIONS, about_recordings, machine_records, side_by_side, told, write

from asdlib.cache import features_now
from asdlib.data import scan
from asdlib.encoder import BOOK_ENCODER
from asdlib.evaluation import softmax_score
from asdlib.features import FeatureConfig
from asdlib.learn.spectrogram_encoder import SpectrogramConfig
from asdlib.methods import clp_scf, embedded, ensemble, sub_cluster
from asdlib.methods._parts import NETWORK
from asdlib.training import StageConfig

BEFORE, FIRST, FEW = "the two stages as they were", "the first 2 s of every clip", "12 epochs, of few clips a step each"
VARIANTS = {
    BEFORE: {},
    "all of it": {},
    FIRST: {},
    FEW: {},
    "no whole spectrum in the network": {"encoder": SpectrogramConfig(parts="moving")},
    "no mixtures": {"network": partial(sub_cluster.train, mixed=0.0)},
    "one centre a machine": {"network": partial(sub_cluster.train, centres=1)},
    "the book's encoder, of log-mels": {"encoder": BOOK_ENCODER, "network": partial(sub_cluster.train, window=WINDOW)},
}


def measure(variant: str, data: Path, seed: int, epochs: int) -> list[dict]:
    """The records of one variant with one seed."""
    clips = scan(data)
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    seconds = WINDOW if variant in (BEFORE, FIRST) else seconds_of(training)
    known, asked = (features_now(part, FeatureConfig(seconds=seconds)) for part in (training, test))
    table = pd.DataFrame({"machine": asked.machines, "label": [clip.label for clip in test]})
    if variant == BEFORE:
        model = clp_scf.train(
            known, budget=StageConfig(32, 64, 1e-3, cosine_from=8), encoder=BOOK_ENCODER, seed=seed, device="cpu"
        )
        return records_of(table, clp_scf.score(model, known, asked, device="cpu"), {}, variant=variant, seed=seed)
    budget = StageConfig(epochs, 64, 1e-3, cosine_from=0) if variant == FEW else budget_for(known, epochs)
    model = ensemble.train(known, budget=budget, seed=seed, device="cpu", **VARIANTS[variant])
    scores = ensemble.score(model, known, asked, device="cpu")
    scores["all"] = np.mean([scores[part] for part in model.widths], axis=0)
    rows = model.parts_of(embedded(model, asked, device="cpu")[0])[NETWORK]
    with torch.no_grad():
        logits = model.network.head(torch.from_numpy(rows)).numpy()
    labels = np.searchsorted(known.names, asked.machines)
    scores["softmax"] = np.array([softmax_score(row[None], label)[0] for row, label in zip(logits, labels, strict=True)])
    rehearsed = model.rehearsal.auc | {"fused": model.rehearsal.auc.get("kept")}
    return records_of(table, scores, rehearsed, variant=variant, seed=seed)


def records_of(table: pd.DataFrame, scores: dict, rehearsed: dict, **about) -> list[dict]:
    """The records of all scorers, with what the rehearsal says of each."""
    return [
        {**record, "rehearsal": rehearsed.get(scorer)}
        for scorer, found in scores.items()
        for record in machine_records(table.assign(score=found), **about, scorer=scorer)
    ]


def kept(path: Path, variant: str, data: Path, seed: int, epochs: int) -> list[dict]:
    """As :func:`measure`, once; told when it is done."""
    return told(path, f"{variant}, seed {seed}", partial(measure, variant, data, seed, epochs))


def main() -> None:
    parser = about_recordings(__doc__.splitlines()[0], seeds=3, epochs="of each network, more where there are few clips")
    options = parser.parse_args()
    name = options.name or options.data.name
    training = [clip for clip in scan(options.data) if clip.split == "train"]
    variants = [v for v in VARIANTS if v != FIRST or seconds_of(training) > WINDOW]
    jobs = [
        (options.work / f"causes {name} {variant} {seed}.json", variant, options.data, seed, options.epochs)
        for seed in options.seeds
        for variant in variants
    ]
    records = list(chain.from_iterable(side_by_side(kept, jobs, processes=options.processes)))
    header = {
        "data": name,
        "command": f"python benchmarks/causes.py DATA --work WORK --name {name}",
        "epochs": f"{options.epochs} of each network, or so many that there are {STEPS} steps",
        "versions": {package: version(package) for package in ("asdlib", "torch", "numpy", "scikit-learn")},
        "unit": f"{FRACTIONS}; rehearsal: AUC, mean over the machine types",
    }
    write(f"causes_{name}", header, records)


if __name__ == "__main__":
    main()
