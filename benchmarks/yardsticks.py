"""What does the length of an embedding say, and does it help to standardise it by the machine's own clips? On the spectra of
the DCASE 2020 development set.

    python benchmarks/yardsticks.py SPECTRA --work WORK [--seeds 0 1 2 --epochs 4 --processes 1]

SPECTRA is ``dcase2020_modspec.npz``. By each seed a classifier of machines with ArcFace is trained (stage 2 of the two stages
alone), and test clips are held against the training clips of their machine in its embedding, by 2-NN and by the shrunk
Mahalanobis distance: with rows brought to length 1, as scorers of embeddings have it, or as long as they are; and with each
number standardised over the machine's own training clips, as plain scorers have it, or not. Writes
``data/results/yardsticks_modspec.json``: a header and a list of records {seed, scorer, machine, auc, pauc}. Nothing is chosen
on test clips.
"""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from results import FRACTIONS, about_recordings, folder_of_this_code, machine_records, side_by_side, told, write

from asdlib import methods
from asdlib.plain import plain_knn, plain_mahalanobis
from asdlib.scorers import by_machine, distances, fit_distance, unit
from asdlib.spectra import read_spectra

METHOD = "clp_scf/single_stage"
BATCH = 128  # spectra are small


def two_nearest(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The mean distance of each of ``asked`` (M, d) to its two nearest of ``known`` (N, d): (M,)."""
    return np.sort(distances(known, asked), axis=1)[:, :2].mean(axis=1)


def shrunk(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The shrunk Mahalanobis distance, squared, of rows as they are: (M,)."""
    return fit_distance(known)(asked)


def of_length_1(scorer):
    """``scorer`` of rows that are brought to length 1 first."""
    return lambda known, asked: scorer(unit(known), unit(asked))


AS_THEY_ARE = {
    "2-NN": two_nearest,
    "2-NN, standardised": plain_knn,
    "Mahalanobis": shrunk,
    "Mahalanobis, standardised": plain_mahalanobis,
}
YARDSTICKS = {**AS_THEY_ARE, **{f"{name}, length 1": of_length_1(scorer) for name, scorer in AS_THEY_ARE.items()}}


def measured(data: Path, work: Path, seed: int, epochs: int) -> list[dict]:
    """The records of one training."""

    def measure() -> list[dict]:
        spectra = read_spectra(data)
        method = methods.get(METHOD)
        budget = replace(method.BUDGET.of(epochs), batch_size=BATCH)
        model = methods.trained(method, spectra.train, budget=budget, seed=seed, device="cpu")
        known, asked = (methods.embedded(model, clips, device="cpu") for clips in (spectra.train, spectra.test))
        known, asked = ((rows.astype(float), machines) for rows, machines in (known, asked))
        labels = np.where(spectra.test_is_anomaly, "anomaly", "normal")
        found = []
        for name, scorer in YARDSTICKS.items():
            clips = pd.DataFrame({"machine": asked[1], "label": labels, "score": by_machine(scorer, known, asked)})
            found += machine_records(clips, seed=seed, scorer=name)
        return found

    return told(work / f"{seed}-{epochs}.json", f"seed {seed}", measure)


def main() -> None:
    parser = about_recordings(__doc__, seeds=3, epochs="of the classifier")
    parser.set_defaults(epochs=4)
    options = parser.parse_args()
    work = folder_of_this_code(options.work)
    jobs = [(options.data, work, seed, options.epochs) for seed in options.seeds]
    records = [record for found in side_by_side(measured, jobs, processes=options.processes) for record in found]
    seeds = " ".join(map(str, options.seeds))
    header = {
        "data": "the DCASE 2020 development set as modulation spectra, one file, see data/README.md",
        "command": f"python benchmarks/yardsticks.py SPECTRA --work WORK --seeds {seeds} --epochs {options.epochs}",
        "method": METHOD,
        "epochs": options.epochs,
        "versions": {name: version(name) for name in ("asdlib", "torch", "numpy", "scikit-learn")},
        "unit": FRACTIONS,
    }
    write("yardsticks_modspec", header, records)


if __name__ == "__main__":
    main()
