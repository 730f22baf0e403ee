"""Contrast of two augmented views against contrast by machine ID: what is each augmentation worth, on the simulated park?

    python benchmarks/augmentations.py WORK [--seeds 0 1 2]

Stage 1 alone for each augmentation, 8 epochs, half of the preset ``book``; then, for the masked spectrograms and for the
machine IDs, stage 2 on top, 8 epochs. Writes ``data/results/park_augmentations.json``: a header and a list of records
{pretraining, stage, seed, machine, auc, pauc, silhouette}. About 25 minutes a seed on one core.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import silhouette_score

from asdlib.cache import features_of
from asdlib.classifier import finetune
from asdlib.contrastive import pretrain, with_new_head
from asdlib.data import scan
from asdlib.detector import embed
from asdlib.evaluation import machine_table
from asdlib.files import replacing
from asdlib.machines import simulate
from asdlib.methods import views
from asdlib.run import PRESETS, new_encoder
from asdlib.training import Examples

OUT = Path(__file__).parents[1] / "data" / "results" / "park_augmentations.json"
BOOK = PRESETS["book"]
PRETRAIN, FINETUNE = BOOK.pretrain.of(8), BOOK.finetune.of(8)
VIEWS = {name: (name,) for name in views.AUGMENTATIONS} | {"both masks": views.MASKS, "all five": tuple(views.AUGMENTATIONS)}


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
    results = []

    def measure(model, pretraining, stage, seed):
        own, new = (embed(model.embed, features.arrays) for features in (known, asked))
        scores = views.score(own, [clip.machine for clip in training], new, [clip.machine for clip in test])
        normal = np.array([clip.label == "normal" for clip in test])
        silhouette = float(silhouette_score(new[normal], np.array([c.machine for c in test])[normal], metric="cosine"))
        table = {"machine": [c.machine for c in test], "label": [c.label for c in test], "score": scores}
        for machine, row in machine_table(pd.DataFrame(table), resamples=0).iterrows():
            about = {"pretraining": pretraining, "stage": stage, "seed": seed, "machine": machine}
            results.append({**about, "auc": round(row.auc, 5), "pauc": round(row.pauc, 5), "silhouette": round(silhouette, 4)})
        print(seed, pretraining, stage, round(100 * np.mean([r["auc"] for r in results[-23:]]), 1), flush=True)

    for seed in options.seeds:
        config = replace(BOOK, seed=seed)
        measure(with_new_head(new_encoder(config), seed=seed), "none", "untrained", seed)
        models = {"machine ID": pretrain(new_encoder(config), Examples(known.arrays, labels), PRETRAIN, seed=seed)[0]}
        for name, augmentations in VIEWS.items():
            stage = {"augmentations": augmentations, "seed": seed}
            model, _ = views.train(new_encoder(config), known.waveforms, labels, config.features, PRETRAIN, **stage)
            measure(model, name, "stage 1", seed)
            if name == "both masks":
                models[name] = model
        for name, model in models.items():
            if name == "machine ID":
                measure(model, name, "stage 1", seed)
            tuned, _ = finetune(model, Examples(known.arrays, labels), FINETUNE, classes=len(names), seed=seed)
            measure(tuned, name, "stage 2", seed)
    header = {
        "what": "our measurements on simulated clips (asdlib.machines, preset book, park seed 0); not real machines",
        "command": "python benchmarks/augmentations.py WORK --seeds " + " ".join(map(str, options.seeds)),
        "epochs": "8 of stage 1, and 8 of stage 2 where the record says so: half of the preset book",
        "score": "Mahalanobis distance of the embedding to the training embeddings of the same machine",
        "unit": "fractions, per machine; silhouette of all normal test clips by machine, cosine distance",
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with replacing(OUT) as temporary:
        lines = ",\n".join(json.dumps(record) for record in results)
        temporary.write_text(f'{{"header": {json.dumps(header, indent=1)},\n"records": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
