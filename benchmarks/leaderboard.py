"""Which method finds the faults in your clips? Every method of the package, trained alike, with several seeds.

    python benchmarks/leaderboard.py DATA [--seeds 0 1 2] [--epochs 16] [--out FILE]

DATA is a folder of recordings as ``asd`` reads it, or an .npz file of spectra (see ``asdlib.spectra``). The methods are those
in ``asdlib/methods``, whichever there are: each has as many epochs in all, batches of 128 clips and a learning rate that falls
from 1e-3 to 0. Prints the mean over the machine types and its standard deviation over the seeds, the best AUC first, and
writes to FILE: a header and a list of records {method, scorer, seed, machine, auc, pauc}. Nothing is chosen on test clips, and
neither should you: the first place of many on the same test clips is flattered.
"""

import argparse
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from results import FRACTIONS, machine_records, write

from asdlib import methods
from asdlib.cache import features_of
from asdlib.clips import Clips
from asdlib.data import scan
from asdlib.evaluation import type_table
from asdlib.run import PRESETS
from asdlib.spectra import read_spectra
from asdlib.training import StageConfig


def parts_of(data: Path, *, seconds: float) -> tuple[Clips, Clips, np.ndarray]:
    """Training clips, test clips, and of each test clip whether it is "normal", "anomaly" or "unknown"."""
    if data.suffix == ".npz":
        spectra = read_spectra(data)
        return spectra.train, spectra.test, np.where(spectra.test_is_anomaly, "anomaly", "normal")
    features, clips = replace(PRESETS["book"].features, seconds=seconds), scan(data)
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    return features_of(training, features), features_of(test, features), np.array([clip.label for clip in test])


def measure(name: str, parts: tuple[Clips, Clips, np.ndarray], seed: int, *, budget: StageConfig, device: str) -> list[dict]:
    """The records of one method with one seed."""
    known, asked, labels = parts
    model = methods.get(name).train(known, budget=budget, seed=seed, device=device)
    records = []
    for scorer, scores in methods.get(name).score(model, known, asked, device=device).items():
        table = pd.DataFrame({"machine": asked.machines, "label": labels, "score": scores})
        records += machine_records(table, method=name, scorer=scorer, seed=seed)
    return records


def ranking(records: list[dict]) -> pd.DataFrame:
    """By (method, scorer): mean and standard deviation over the seeds of auc and pauc, in %, the best AUC first."""
    runs = {
        key: 100 * type_table(run.set_index("machine")).loc["average", ["auc", "pauc"]]
        for key, run in pd.DataFrame(records).groupby(["method", "scorer", "seed"])
    }
    over_seeds = pd.DataFrame(runs).T.groupby(level=[0, 1]).agg(["mean", "std"])
    return over_seeds.sort_values(("auc", "mean"), ascending=False)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder of recordings, or an .npz file of spectra")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=16, help="in all, for every method")
    parser.add_argument("--seconds", type=float, default=PRESETS["book"].features.seconds, help="length of a recording")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file for the records")
    options = parser.parse_args(words)
    parts, budget = parts_of(options.data, seconds=options.seconds), StageConfig(options.epochs, 128, 1e-3, cosine_from=0)
    able = [name for name in methods.names() if methods.kind_of(parts[0]) in methods.get(name).INPUTS]
    records = []
    for seed in options.seeds:
        for name in able:
            records += measure(name, parts, seed, budget=budget, device=options.device)
            print(f"{name}, seed {seed}: done", flush=True)
    for (name, scorer), row in ranking(records).iterrows():
        auc, pauc = (f"{row[part, 'mean']:5.1f} ± {row[part, 'std']:.1f}".replace("nan", "?") for part in ("auc", "pauc"))
        print(f"{name:<16} {scorer:<16} AUC {auc}   pAUC {pauc}")
    for name in sorted(set(methods.names()) - set(able)):
        print(f"{name:<16} n/a: reads {' and '.join(methods.get(name).INPUTS)} only")
    if options.out:
        versions = {package: version(package) for package in ("asdlib", "torch", "numpy", "scikit-learn")}
        header = {"data": options.data.name, "epochs": options.epochs, "versions": versions, "unit": FRACTIONS}
        write(options.out.stem, header, records, folder=options.out.parent)


if __name__ == "__main__":
    main()
