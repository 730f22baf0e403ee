"""What a domain shift does to detectors, and what a local distance gives back.

    python benchmarks/shift.py WORK [--seeds 0 1 2]

For each seed the simulated park of two domains (preset ``shift``, near microphone) is made with other machines, and the
two stages (preset ``book``) are trained with that seed. Beside them stands 2-NN on mean and deviation of the log-mel, which
also hears the parks in which one thing alone changes. "local" are distances in
units of the known clip's own mean distance to the four known clips around it. Writes ``data/results/shift.json``: a header and
a list of records {park, method, scorer, seed, machine, auc_source, auc_target, pauc}. Nothing is chosen on test clips.
"""

from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from results import arguments, once, write

from asdlib.cache import ReadOptions, features_now
from asdlib.challenge import official_parts
from asdlib.data import Clip, scan
from asdlib.detector import embed, train
from asdlib.domain_shift import FACTORS
from asdlib.evaluation import by_machine
from asdlib.features import FeatureConfig
from asdlib.machines import PARKS, simulate
from asdlib.normalise import knn_local
from asdlib.plain import plain_knn, plain_local
from asdlib.run import PRESETS

CHANNEL = 0  # the near microphone


def park(work: Path, preset: str, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Training and test clips of a park, made if it is not there."""
    folder = work / f"{preset}-{seed}"
    if not folder.exists():
        simulate(folder, preset=preset, seed=seed)
    clips = scan(folder)
    return tuple([clip for clip in clips if clip.split == split] for split in ("train", "test"))


def records_of(test: list[Clip], scores: np.ndarray, **about) -> list[dict]:
    """One record a machine."""
    rows = [(clip.machine, clip.label, clip.domain) for clip in test]
    table = pd.DataFrame(rows, columns=["machine", "label", "domain"]).assign(score=scores)
    parts = official_parts(table, "mixed")
    return [{**about, "machine": machine, **row.round(5).to_dict()} for machine, row in parts.iterrows()]


def plain(work: Path, preset: str, seed: int) -> list[dict]:
    """2-NN on mean and deviation of each band, standardised over the machine's training clips."""
    training, test = park(work, preset, seed)
    features = FeatureConfig(seconds=PARKS[preset].seconds)
    known, asked = (features_now(part, features, options=ReadOptions(channel=CHANNEL)) for part in (training, test))

    def numbers(clips):
        x = np.asarray(clips.log_mels, np.float32)
        return np.concatenate([x.mean(axis=2), x.std(axis=2)], axis=1), clips.machines

    about = {"park": preset, "method": "2-NN", "seed": seed}
    rows = []
    for scorer, function in (("plain", plain_knn), ("local", plain_local)):
        scores = by_machine(function, numbers(known), numbers(asked))
        rows += records_of(test, scores, **about, scorer=scorer)
    return rows


def network(work: Path, seed: int) -> list[dict]:
    """Every score of the two stages, and a local distance between embeddings."""
    training, test = park(work, "shift", seed)
    config = replace(PRESETS["book"], seed=seed, reading=ReadOptions(channel=CHANNEL))
    detector = train(training, work / f"two stages-{seed}", config, resume=True)
    about = {"park": "shift", "method": "two stages", "seed": seed}
    asked = features_now(test, detector.config.features, options=config.reading)
    table = detector.score_features(asked, test)
    scores = {name: table[name].to_numpy() for name in detector.scorers}
    names = np.array(detector.config.machines)
    known = detector.bank, names[detector.bank_labels]
    rows = embed(detector.model.embed, asked.inputs), asked.machines
    scores["local"] = by_machine(knn_local, known, rows)
    return [row for name, s in scores.items() for row in records_of(test, s, **about, scorer=name)]


def main() -> None:
    options = arguments(__doc__.splitlines()[0], seeds=3).parse_args()
    work, records = options.work, []
    presets = ["shift", *(f"shift-{name}" for name in FACTORS)]
    jobs = {(name, seed): partial(plain, work, name, seed) for name in presets for seed in options.seeds}
    jobs |= {("two stages", seed): partial(network, work, seed) for seed in options.seeds}
    for (name, seed), measure in jobs.items():
        found = once(work / f"{name}-{seed}.json", measure)
        rows = pd.DataFrame(found).groupby("scorer")[["auc_source", "auc_target", "pauc"]].mean()
        print(f"{name}, seed {seed}\n{(100 * rows).round(1).to_string()}", flush=True)
        records += found
    header = {
        "data": "our measurements on simulated clips (asdlib.machines, presets shift and shift-...), channel 0",
        "command": f"python benchmarks/shift.py WORK --seeds {' '.join(map(str, options.seeds))}",
        "versions": {package: version(package) for package in ("asdlib", "torch", "numpy", "scikit-learn")},
        "unit": "fractions; auc_source and auc_target: normal clips of that domain against the anomalies of both; pauc of all, "
        "McClish-standardised at a false-positive rate of 0.1; per machine",
    }
    write("shift", header, records)


if __name__ == "__main__":
    main()
