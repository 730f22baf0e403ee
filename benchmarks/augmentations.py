"""Contrast of two augmented views against contrast by machine ID: what is each augmentation worth, on the simulated park?

    python benchmarks/augmentations.py WORK [--seeds 0 1 2]

Stage 1 alone for each augmentation, 4 epochs, a quarter of the preset ``book``; then, for the masked spectrograms and for
the machine IDs, stage 2 on top, 4 epochs. Writes ``data/results/park_augmentations.json``: a header and a list of records
{pretraining, stage, seed, machine, auc, pauc, silhouette}. About 12 minutes a seed on one core. What is finished
in WORK is not measured again.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from results import SIMULATED, write
from sklearn.metrics import silhouette_score

from asdlib.cache import features_of
from asdlib.classifier import finetune
from asdlib.contrastive import pretrain, with_new_head
from asdlib.data import scan
from asdlib.detector import embed
from asdlib.evaluation import machine_table
from asdlib.machines import simulate
from asdlib.methods import views
from asdlib.run import PRESETS, new_encoder
from asdlib.training import Examples

BOOK = PRESETS["book"]
PRETRAIN, FINETUNE = BOOK.pretrain.of(4), BOOK.finetune.of(4)
# The rivals first, so that an unfinished run says the most.
VIEWS = {"both masks": views.MASKS, **{name: (name,) for name in views.AUGMENTATIONS}}
TUNED = ("machine ID", "both masks")  # those that stage 2 goes on from


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    if not (options.work / "park").exists():
        simulate(options.work / "park", preset="book", seed=0)
    clips = scan(options.work / "park")
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    names = sorted({clip.machine for clip in clips})
    labels = np.array([names.index(clip.machine) for clip in training])
    known, asked = (features_of(group, BOOK.features) for group in (training, test))
    normal = np.array([clip.label == "normal" for clip in test])
    about = {"machine": [clip.machine for clip in test], "label": [clip.label for clip in test]}

    def measure(model, name, stage, seed):
        own, new = (embed(model.embed, features.arrays) for features in (known, asked))
        scores = views.score(own, [clip.machine for clip in training], new, about["machine"])
        silhouette = float(silhouette_score(new[normal], np.array(about["machine"])[normal], metric="cosine"))
        table = machine_table(pd.DataFrame({**about, "score": scores}), resamples=0)
        print(seed, name, stage, round(100 * table.auc.mean(), 1), flush=True)
        return [
            {"pretraining": name, "stage": stage, "seed": seed, "machine": machine, "auc": round(row.auc, 5),
             "pauc": round(row.pauc, 5), "silhouette": round(silhouette, 4)}
            for machine, row in table.iterrows()
        ]  # fmt: skip

    def run(name, seed):
        """All that is measured of one pretraining."""
        encoder = new_encoder(replace(BOOK, seed=seed))
        if name == "none":
            return measure(with_new_head(encoder, seed=seed), name, "untrained", seed)
        if name == "machine ID":
            model, _ = pretrain(encoder, Examples(known.arrays, labels), PRETRAIN, seed=seed)
        else:
            how = {"augmentations": VIEWS[name], "seed": seed}
            model, _ = views.train(encoder, known.waveforms, labels, BOOK.features, PRETRAIN, **how)
        records = measure(model, name, "stage 1", seed)
        if name in TUNED:
            tuned, _ = finetune(model, Examples(known.arrays, labels), FINETUNE, classes=len(names), seed=seed)
            records += measure(tuned, name, "stage 2", seed)
        return records

    results = []
    for seed in options.seeds:
        for name in ("none", "machine ID", *VIEWS):
            path = options.work / f"augmentations-{name.replace(' ', '_')}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(run(name, seed)))
            results += json.loads(path.read_text())
    header = {
        "what": SIMULATED,
        "command": "python benchmarks/augmentations.py WORK --seeds " + " ".join(map(str, options.seeds)),
        "epochs": "4 of stage 1, and 4 of stage 2 where the record says so: a quarter of the preset book",
        "score": "Mahalanobis distance of the embedding to the training embeddings of the same machine",
        "unit": "fractions, per machine; silhouette of all normal test clips by machine, cosine distance",
    }
    write("park_augmentations", header, results)


if __name__ == "__main__":
    main()
