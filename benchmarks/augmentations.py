"""Contrast of two augmented views against contrast by machine ID: what is each augmentation worth, on the simulated park?

    python benchmarks/augmentations.py WORK [--seeds 0 1 2]

Stage 1 alone for each augmentation, 4 epochs, a quarter of the preset ``book``; then, for the masked spectrograms and for
the machine IDs, stage 2 on top, 4 epochs. Writes ``data/results/park_augmentations.json``: a header and a list of records
{pretraining, stage, seed, machine, auc, pauc, silhouette}. About 12 minutes a seed on one core. What this code
has finished in WORK is not measured again.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from results import SIMULATED, arguments, machine_records, once, park_clips, write
from sklearn.metrics import silhouette_score

from asdlib.augment import AUGMENTATIONS, MASKS
from asdlib.cache import features_of
from asdlib.classifier import finetune
from asdlib.contrastive import pretrain, with_new_head
from asdlib.detector import embed
from asdlib.evaluation import by_machine, machine_table, mahalanobis_score
from asdlib.methods import simclr
from asdlib.run import PRESETS, new_encoder

BOOK = replace(PRESETS["book"], least_steps=0)  # epochs as they are said
PRETRAIN, FINETUNE = BOOK.pretrain.of(4), BOOK.finetune.of(4)
# The rivals first, so that an unfinished run says the most.
VIEWS = {"both masks": MASKS, **{name: (name,) for name in AUGMENTATIONS}}
TUNED = ("machine ID", "both masks")  # those that stage 2 goes on from


def main():
    options = arguments(__doc__.splitlines()[0], seeds=3).parse_args()
    training, test = park_clips(options.work)
    known, asked = (features_of(group, BOOK.features) for group in (training, test))
    normal = np.array([clip.label == "normal" for clip in test])
    about = {"machine": [clip.machine for clip in test], "label": [clip.label for clip in test]}

    def measure(model, name, stage, seed):
        own, new = (embed(model.embed, clips.inputs) for clips in (known, asked))
        scores = by_machine(mahalanobis_score, (own, known.machines), (new, asked.machines))
        silhouette = float(silhouette_score(new[normal], np.array(about["machine"])[normal], metric="cosine"))
        clips = pd.DataFrame({**about, "score": scores})
        print(seed, name, stage, round(100 * machine_table(clips, resamples=0).auc.mean(), 1), flush=True)
        return machine_records(clips, pretraining=name, stage=stage, seed=seed, silhouette=round(silhouette, 4))

    def run(name, seed):
        """All that is measured of one pretraining."""
        encoder = new_encoder(replace(BOOK, seed=seed))
        if name == "none":
            return measure(with_new_head(encoder, seed=seed), name, "untrained", seed)
        if name == "machine ID":
            model, _ = pretrain(encoder, known, PRETRAIN, seed=seed)
        else:
            model, _ = simclr.pretrain(encoder, known, PRETRAIN, augmentations=VIEWS[name], seed=seed)
        records = measure(model, name, "stage 1", seed)
        if name in TUNED:
            tuned, _ = finetune(model, known, FINETUNE, seed=seed)
            records += measure(tuned, name, "stage 2", seed)
        return records

    results = []
    for seed in options.seeds:
        for name in ("none", "machine ID", *VIEWS):
            path = options.work / f"augmentations-{name.replace(' ', '_')}-{seed}.json"
            results += once(path, partial(run, name, seed))
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
