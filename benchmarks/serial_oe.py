"""Serial-OE with 0, 1 and 4 real faults of each machine, on the spectra of the DCASE 2020 development set.

    python benchmarks/serial_oe.py SPECTRA --work WORK [--seeds 0 1 2 --epochs 8 --processes 1]

SPECTRA is ``dcase2020_modspec.npz``. By each seed four faulty test clips of every machine are drawn; a training is given the
first 0, 1 or 4 of them as known faults, and all of them are left out of the test, for all three alike. Writes
``data/results/serial_oe_modspec.json``: a header and a list of records {anomalies, seed, scorer, machine, auc, pauc}. Nothing
is chosen on test clips.
"""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from results import FRACTIONS, about_recordings, folder_of_this_code, machine_records, side_by_side, told, write

from asdlib.methods import serial_oe
from asdlib.spectra import read_spectra

KNOWN = (0, 1, 4)  # faults of each machine


def known_faults(truth: np.ndarray, machines: np.ndarray, *, seed: int) -> list[np.ndarray]:
    """Of each machine the rows of the faulty test clips that may be known, the most of :data:`KNOWN`, in a random order."""
    rng = np.random.default_rng([seed, 17])
    rows = [np.flatnonzero(truth & (machines == name)) for name in np.unique(machines)]
    return [rng.permutation(own)[: max(KNOWN)] for own in rows]


def measured(data: Path, work: Path, count: int, seed: int, epochs: int) -> list[dict]:
    """The records of one training with ``count`` known faults of each machine."""

    def measure() -> list[dict]:
        spectra = read_spectra(data)
        drawn = known_faults(spectra.test_is_anomaly, spectra.test.machines, seed=seed)
        left = np.setdiff1d(np.arange(len(spectra.test)), np.concatenate(drawn))
        known = spectra.test.only(np.concatenate([rows[:count] for rows in drawn])) if count else None
        budget = replace(serial_oe.BUDGET.of(epochs), batch_size=64)
        model = serial_oe.train(spectra.train, budget=budget, anomalies=known, seed=seed, device="cpu")
        asked = spectra.test.only(left)
        labels = np.where(spectra.test_is_anomaly[left], "anomaly", "normal")
        found = []
        for scorer, scores in serial_oe.score(model, spectra.train, asked, device="cpu").items():
            clips = pd.DataFrame({"machine": asked.machines, "label": labels, "score": scores})
            found += machine_records(clips, anomalies=count, seed=seed, scorer=scorer)
        return found

    return told(work / f"{count}-{seed}-{epochs}.json", f"{count} known faults, seed {seed}", measure)


def main() -> None:
    parser = about_recordings(__doc__, seeds=3, epochs="of each type's network")
    parser.set_defaults(epochs=8)
    options = parser.parse_args()
    work = folder_of_this_code(options.work)
    jobs = [(options.data, work, count, seed, options.epochs) for seed in options.seeds for count in KNOWN]
    records = [record for found in side_by_side(measured, jobs, processes=options.processes) for record in found]
    seeds = " ".join(map(str, options.seeds))
    header = {
        "data": "the DCASE 2020 development set as modulation spectra, one file, see data/README.md",
        "command": f"python benchmarks/serial_oe.py SPECTRA --work WORK --seeds {seeds} --epochs {options.epochs}",
        "epochs": options.epochs,
        "versions": {name: version(name) for name in ("asdlib", "torch", "numpy", "scikit-learn")},
        "unit": FRACTIONS,
    }
    write("serial_oe_modspec", header, records)


if __name__ == "__main__":
    main()
