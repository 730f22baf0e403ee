"""Do both stages find as much when they are trained in bf16 as in float32?

    python benchmarks/precision.py DATA --work WORK --name NAME [--seeds 0 1 2] [--epochs 12] [--processes 1]

DATA is a folder of recordings as ``asd`` reads it, or an .npz file of spectra as ``asd compare`` does. The encoders are the
small ones, the epochs half and half. Writes ``data/results/precision_NAME.json``: a header and a list of records {precision,
scorer, seed, machine, auc, pauc}, of the same seeds in both, so that they can be held against each other in pairs.
"""

from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pandas as pd
from peers import seconds_of
from results import FRACTIONS, about_recordings, machine_records, side_by_side, told, write

from asdlib.cache import features_now
from asdlib.classifier import finetune
from asdlib.contrastive import pretrain
from asdlib.data import scan
from asdlib.encoders import encoder_for, new_encoder
from asdlib.features import FeatureConfig
from asdlib.methods import clp_scf
from asdlib.spectra import read_spectra
from asdlib.training import PRECISIONS


def clips_of(data: Path) -> tuple:
    """Training clips, test clips, and which of the latter are faulty."""
    if data.suffix == ".npz":
        spectra = read_spectra(data)
        return spectra.train, spectra.test, spectra.test_is_anomaly
    clips = scan(data)
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    known, asked = (features_now(part, FeatureConfig(seconds=seconds_of(training))) for part in (training, test))
    return known, asked, [clip.label == "anomaly" for clip in test]


def measure(precision: str, data: Path, seed: int, epochs: int) -> list[dict]:
    """The records of one precision with one seed."""
    known, asked, faulty = clips_of(data)
    half = clp_scf.BUDGET.of(epochs // 2)
    how = {"seed": seed, "device": "cpu", "validation": 0.0, "precision": precision}
    model = new_encoder(encoder_for(known), known.features, window=None, seed=seed)
    model, _ = pretrain(model, known, half, **how)
    model, log = finetune(model, known, half, **how)
    print(f"{precision}, seed {seed}: {sum(row['seconds'] for row in log):.0f} s in stage 2", flush=True)
    scores = clp_scf.score(model, known, asked, device="cpu")
    table = pd.DataFrame({"machine": asked.machines, "label": ["anomaly" if yes else "normal" for yes in faulty]})
    about = {"precision": precision, "seed": seed}
    return [r for scorer, s in scores.items() for r in machine_records(table.assign(score=s), **about, scorer=scorer)]


def kept(path: Path, precision: str, data: Path, seed: int, epochs: int) -> list[dict]:
    """As :func:`measure`, once; told when it is done."""
    return told(path, f"{precision}, seed {seed}", partial(measure, precision, data, seed, epochs))


def main() -> None:
    parser = about_recordings(__doc__.splitlines()[0], seeds=3, epochs="in all, half in each stage")
    options = parser.parse_args()
    name = options.name or options.data.stem
    jobs = [
        (options.work / f"precision {name} {precision} {seed}.json", precision, options.data, seed, options.epochs)
        for seed in options.seeds
        for precision in PRECISIONS
    ]
    records = list(chain.from_iterable(side_by_side(kept, jobs, processes=options.processes)))
    header = {
        "data": name,
        "command": f"python benchmarks/precision.py DATA --work WORK --name {name} --seeds {' '.join(map(str, options.seeds))}",
        "epochs": f"{options.epochs} in all, half in each stage",
        "versions": {package: version(package) for package in ("asdlib", "torch", "numba", "numpy", "scikit-learn")},
        "unit": FRACTIONS,
    }
    write(f"precision_{name}", header, records)


if __name__ == "__main__":
    main()
