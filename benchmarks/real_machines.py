"""How well do the two stages and their rivals find faults of real machines?

    python benchmarks/real_machines.py WORK --spectra FILE [--seeds 0 1 2 3 4] [--processes 2]

FILE is a file of spectra (see ``asdlib.spectra``) of the DCASE 2020 Task 2 development set. Every method of
``real_methods.py`` is trained with each seed, and every scorer is measured on the official test clips. Fixed recipes, the
last epoch, nothing chosen on test clips. Writes ``data/results/dcase2020_modspec.json``: a header and a list of records
{method, scorer, seed, machine, auc, pauc}. About 12 minutes a seed on one core. What this code has finished in WORK is not
measured again.
"""

import argparse
import hashlib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pandas as pd
from real_methods import EPOCHS, METHODS
from results import FRACTIONS, arguments, machine_records, once, side_by_side, write

from asdlib.spectra import Spectra, read_spectra


def records(spectra: Spectra, scores: dict, **about) -> list[dict]:
    """One record per scorer and machine."""
    out = []
    for scorer, values in scores.items():
        label = ["anomaly" if anomalous else "normal" for anomalous in spectra.test_is_anomaly]
        clips = pd.DataFrame({"machine": spectra.test.machines, "label": label, "score": values})
        out += machine_records(clips, **about, scorer=scorer)
    return out


def measure(path: Path, work: Path, method: str, seed: int | None) -> list[dict]:
    """The records of one method with one seed."""
    spectra = read_spectra(path)
    name = f"{method}-{seed}".replace(" ", "_").replace(",", "")
    out = once(work / f"{name}.json", lambda: records(spectra, METHODS[method](spectra, seed), method=method, seed=seed))
    print(method, seed, "done", flush=True)
    return out


def sha256(path: Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def provenance(path: Path) -> dict:
    """What the header says of the data and of the software."""
    return {
        "what": "our measurements on real recordings: DCASE 2020 Task 2, development set, official training and test clips",
        "data": "60 x 8 modulation spectra (60 bands from 125 Hz, 8 modulation bands from 4 to 128 Hz, mean over the clip), "
        "computed and published by L. A. Sandhu and others (MIT licence), stored as log10 in float16",
        "sha256": sha256(path),
        "versions": {name: version(name) for name in ("asdlib", "torch", "numpy", "scikit-learn")},
        "unit": FRACTIONS,
    }


def options_for(description: str, *, seeds: int = 5) -> argparse.Namespace:
    """What all benchmarks on real spectra are asked; the folder to work in is one for these spectra."""
    parser = arguments(description, seeds=seeds)
    parser.add_argument("--spectra", type=Path, required=True, help="the .npz file of the spectra")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.work /= sha256(options.spectra)[:12]
    return options


def main():
    options = options_for(__doc__.splitlines()[0])
    tasks = [(options.spectra, options.work, "raw spectra", None)]
    tasks += [(options.spectra, options.work, method, seed) for seed in options.seeds for method in list(METHODS)[1:]]
    results = list(chain.from_iterable(side_by_side(measure, tasks, processes=options.processes)))
    header = provenance(options.spectra) | {
        "command": "python benchmarks/real_machines.py WORK --spectra FILE --seeds " + " ".join(map(str, options.seeds)),
        "epochs": f"{EPOCHS} in all for every network, halves where there are two stages; the autoencoders have 100",
        "selection": "none: fixed recipes, last epoch",
    }
    write("dcase2020_modspec", header, results)


if __name__ == "__main__":
    main()
