"""Every method of the package on the same clips: AUC and pAUC per machine, with their spread over seeds.

    python benchmarks/leaderboard.py DATA [--methods NAME ...] [--seeds 0 1 2] [--epochs 16] [--out FILE]

DATA is a folder of clips as for ``asd train``, or an ``.npz`` file of spectra. Methods are those that are found in
``asdlib/methods``; those that do not read the kind of input are named. All have the same budget: so many passes over the
training clips. Nothing is chosen on test clips. ``--out`` writes a header and a list of records {method, scorer, seed,
machine, auc, pauc} as JSON.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from results import machine_records

from asdlib import methods
from asdlib.cache import features_of
from asdlib.clips import Clips
from asdlib.data import scan, training_clips
from asdlib.files import writable
from asdlib.run import PRESETS
from asdlib.spectra import read_spectra
from asdlib.training import StageConfig


def read(data: Path) -> tuple[Clips, Clips, np.ndarray]:
    """Training clips, labelled test clips, and which of these are anomalous (M,)."""
    if data.suffix == ".npz":
        spectra = read_spectra(data)
        return spectra.train, spectra.test, spectra.test_is_anomaly
    found = scan(data)
    tests = [clip for clip in found if clip.split == "test" and clip.label != "unknown"]
    known, asked = (features_of(part, PRESETS["book"].features) for part in (training_clips(found), tests))
    return known, asked, np.array([clip.label == "anomaly" for clip in tests])


def measured(known: Clips, asked: Clips, truth: np.ndarray, *, names, seeds, budget: StageConfig) -> list[dict]:
    """One record a method, scorer, seed and machine."""
    records = []
    label = np.where(truth, "anomaly", "normal")
    for name in names:
        method = methods.get(name)
        if methods.kind_of(known) not in method.INPUTS:
            print(f"{name}: n/a, it reads {' and '.join(method.INPUTS)}")
            continue
        for seed in seeds:
            model = method.train(known, budget=budget, seed=seed, device="auto")
            for scorer, scores in method.score(model, known, asked, device="auto").items():
                table = pd.DataFrame({"machine": asked.machines, "label": label, "score": scores})
                records += machine_records(table, method=name, scorer=scorer, seed=seed)
            print(name, seed, "done", flush=True)
    return records


def show(records: list[dict]) -> None:
    """Average over the machine types, mean ± standard deviation over seeds, the best first."""
    table = pd.DataFrame(records)
    table["type"] = table.machine.str.split("/").str[0]
    keys = ["method", "scorer", "seed"]
    runs = 100 * table.groupby([*keys, "type"])[["auc", "pauc"]].mean().groupby(level=keys).mean()
    over_seeds = runs.groupby(level=["method", "scorer"]).agg(["mean", "std"]).fillna(0.0)
    for (method, scorer), row in over_seeds.sort_values(("auc", "mean"), ascending=False).iterrows():
        told = "  ".join(f"{name} {row[name, 'mean']:5.1f} ± {row[name, 'std']:.1f}" for name in ("auc", "pauc"))
        print(f"{method:20} {scorer:16} {told}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--methods", nargs="+", default=methods.names())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    budget = StageConfig(options.epochs, 64, 1e-3, cosine_from=0)
    records = measured(*read(options.data), names=options.methods, seeds=options.seeds, budget=budget)
    show(records)
    if options.out:
        header = {"data": str(options.data), "epochs": options.epochs, "seeds": options.seeds}
        with writable(options.out) as temporary:
            temporary.write_text(json.dumps({"header": header, "records": records}))


if __name__ == "__main__":
    main()
