"""Does a network that knows the simulated park know a strange, real machine from a few of its healthy recordings?

    python benchmarks/enrol.py DATA --work WORK [--name mimii_minus6db --seeds 0 1 2]

The network of the book (preset ``book``, trained on the simulated park with each seed) stays as it is: a real machine is
*enrolled*, that is, its healthy training recordings are embedded, and test recordings scored by their cosine distance to the
two nearest. Recordings are heard in pieces as long as the network's clips; the scores of the pieces are averaged. Beside it, of
the same pieces, 2-NN on mean and deviation of the log-mel, standardised per machine, and the same network before any training.
Writes ``data/results/enrol_<name>.json``: a header and a list of records {network, seed, machine, auc, pauc}. Nothing is
chosen on test clips.
"""

from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from results import FRACTIONS, about_recordings, folder_of_this_code, machine_records, once, park_clips, write

from asdlib.cache import clip_of
from asdlib.contrastive import with_new_head
from asdlib.data import Clip, read, scan
from asdlib.detector import embed, train
from asdlib.plain import plain_knn
from asdlib.run import PRESETS, new_encoder
from asdlib.scorers import knn_score

BOOK = replace(PRESETS["book"], least_steps=0)  # as the chapters train it
Rows = tuple[np.ndarray, np.ndarray]


def pieces(clips: list[Clip]) -> tuple[Rows, np.ndarray]:
    """Waveforms (P, samples) and log-mels (P, mels, frames) of all whole pieces, and of which clip (P,) each is."""
    features, found, owner = BOOK.features, [], []
    for index, clip in enumerate(clips):
        x = read(clip.path, sample_rate=features.sample_rate)
        for start in range(0, len(x) - features.samples + 1, features.samples):
            found.append(clip_of(x[start : start + features.samples], features))
            owner.append(index)
    return tuple(np.stack(part) for part in zip(*found, strict=True)), np.array(owner)


def levels(inputs: Rows) -> np.ndarray:
    """Mean and deviation of each band (P, 2 mels)."""
    log_mel = inputs[1].astype(np.float32)
    return np.concatenate([log_mel.mean(axis=2), log_mel.std(axis=2)], axis=1)


def enrolled(data: Path, rows_of, score, **about) -> list[dict]:
    """One record a machine: ``rows_of(inputs)`` (P, d) of its pieces, judged by ``score(known, asked)`` (P,)."""
    clips, tables = scan(data), []
    for machine in sorted({clip.machine for clip in clips}):
        own = [clip for clip in clips if clip.machine == machine]
        known, asked = ([clip for clip in own if clip.split == split] for split in ("train", "test"))
        inputs, owner = pieces(asked)
        scores = score(rows_of(pieces(known)[0]), rows_of(inputs))
        means = pd.Series(scores).groupby(owner).mean().to_numpy()
        tables.append(pd.DataFrame({"machine": machine, "label": [clip.label for clip in asked], "score": means}))
    return machine_records(pd.concat(tables, ignore_index=True), **about)


def network(data: Path, work: Path, seed: int) -> list[dict]:
    training, _ = park_clips(work)
    config = replace(BOOK, seed=seed)
    trained = train(training, work / f"book-{seed}", config, resume=True).model
    untrained = with_new_head(new_encoder(config)).eval()
    rows = []
    for name, model in (("untrained", untrained), ("trained on the park", trained)):
        rows += enrolled(data, partial(embed, model.embed), knn_score, network=name, seed=seed)
    return rows


def main() -> None:
    options = about_recordings(__doc__.splitlines()[0], seeds=3).parse_args()
    work, name = folder_of_this_code(options.work), options.name or options.data.name
    records = once(
        work / f"{name}-plain.json", lambda: enrolled(options.data, levels, plain_knn, network="none (mean and deviation)")
    )
    for seed in options.seeds:
        records += once(work / f"{name}-{seed}.json", partial(network, options.data, work, seed))
    print(pd.DataFrame(records).groupby("network")[["auc", "pauc"]].mean().mul(100).round(1).to_string())
    header = {
        "data": name,
        "command": f"python benchmarks/enrol.py DATA --work WORK --name {name} --seeds {' '.join(map(str, options.seeds))}",
        "versions": {package: version(package) for package in ("asdlib", "torch", "numpy", "scikit-learn")},
        "unit": FRACTIONS,
    }
    write(f"enrol_{name}", header, records)


if __name__ == "__main__":
    main()
