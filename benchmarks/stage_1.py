"""Does pretraining by machine ID help an encoder that is strong already?

    python benchmarks/stage_1.py DATA --work WORK [--seeds 0 1 2 3 4] [--epochs 12] [--processes 1] [--name NAME]

DATA is a folder of recordings as ``asd`` reads it. The paper's two stages, contrast by machine ID and then ArcFace, and ArcFace
alone, at equal epochs in all, on the encoder of ``sub_cluster`` (what moves in the spectrogram, and the spectrum of the whole
clip), instead of the paper's. Writes ``data/results/stage_1_NAME.json``: a header and
a list of records {method, scorer, seed, machine, auc, pauc}. Nothing is chosen on test clips.
"""

from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pandas as pd
from peers import STEPS, budget_for, seconds_of
from results import FRACTIONS, about_recordings, machine_records, side_by_side, told, write

from asdlib.cache import features_now
from asdlib.data import scan
from asdlib.features import FeatureConfig
from asdlib.learn.spectrogram_encoder import SpectrogramConfig
from asdlib.methods import clp_scf

METHODS = {"single stage": 0.0, "two stages": 0.5}  # the share of the epochs that stage 1 has


def measure(name: str, data: Path, seed: int, epochs: int) -> list[dict]:
    """The records of one method with one seed."""
    clips = scan(data)
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    features = FeatureConfig(seconds=seconds_of(training))
    known, asked = (features_now(part, features) for part in (training, test))
    how = {"encoder": SpectrogramConfig(), "first": METHODS[name]}
    model = clp_scf.train(known, budget=budget_for(known, epochs), seed=seed, device="cpu", **how)
    scores = clp_scf.score(model, known, asked, device="cpu")
    table = pd.DataFrame({"machine": asked.machines, "label": [clip.label for clip in test]})
    about = {"method": name, "seed": seed}
    return [r for scorer, s in scores.items() for r in machine_records(table.assign(score=s), **about, scorer=scorer)]


def kept(path: Path, name: str, data: Path, seed: int, epochs: int) -> list[dict]:
    """As :func:`measure`, once; told when it is done."""
    return told(path, f"{name}, seed {seed}", partial(measure, name, data, seed, epochs))


def main() -> None:
    parser = about_recordings(__doc__.splitlines()[0], seeds=5, epochs="in all, more where there are few clips")
    options = parser.parse_args()
    name = options.name or options.data.name
    jobs = [
        (options.work / f"stage 1 {name} {method} {seed}.json", method, options.data, seed, options.epochs)
        for seed in options.seeds
        for method in METHODS
    ]
    records = list(chain.from_iterable(side_by_side(kept, jobs, processes=options.processes)))
    header = {
        "data": name,
        "command": f"python benchmarks/stage_1.py DATA --work WORK --name {name} --seeds {' '.join(map(str, options.seeds))}",
        "epochs": f"{options.epochs} in all, or so many that there are {STEPS} steps",
        "versions": {package: version(package) for package in ("asdlib", "torch", "numpy", "scikit-learn")},
        "unit": FRACTIONS,
    }
    write(f"stage_1_{name}", header, records)


if __name__ == "__main__":
    main()
