"""The best recipe that the rehearsal found, on the official test clips.

    python benchmarks/real_recipe.py WORK --spectra FILE [--seeds 0 1 2 3 4] [--processes 2]

What is in the recipe was chosen by ``real_levers.py`` on normal clips: several networks, the distances at several depths, their
sum by rank. Beside it, to tell how much of the faults is in the spectra at all, forests that are shown faults: no detector can
be. Writes ``data/results/dcase2020_modspec_recipe.json``: a header and a list of records {method, networks, scorer, seed,
machine, auc, pauc}. About 17 minutes a seed on one core. What this code has finished in WORK is not measured again.
"""

import time
from itertools import chain
from pathlib import Path

import numpy as np
from real_levers import LEVERS, two_stages
from real_machines import options_for, provenance, records
from real_methods import Scores
from real_scores import BEST, all_scores, combined, summed
from results import once, side_by_side, write

from asdlib.spectra import Spectra, read_spectra

# The recipe has the lever that was best in both rehearsals by the best way to score. Beside it the same without that lever, to
# see what it is worth on real faults; that was not known when the recipe was chosen.
RECIPES = {"recipe": "noise of 0.1", "recipe without noise": "none"}
NETWORKS = 3
SCORER = f"{BEST}, by rank"
SEEN = "forests that are shown faults"


def recipe(spectra: Spectra, seed: int, method: str) -> list[dict]:
    """The records of one seed: of the first network by every scorer, and of the sums over the first two, three, ... of them."""
    networks, out = [], []
    for count in range(1, NETWORKS + 1):
        networks.append(all_scores(two_stages(spectra, seed + 100 * (count - 1), **LEVERS[RECIPES[method]]), spectra))
        scores = combined(networks[0]) if count == 1 else summed(networks)
        out += records(spectra, scores, method=method, networks=count, seed=seed)
    return out


def seen(spectra: Spectra, seed: int) -> Scores:
    """Forests that are shown faults of each machine, on those they were not shown (5 folds)."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    scores = np.empty(len(spectra.test))
    for machine in spectra.test.names:
        own = spectra.test.machines == machine
        x, truth = spectra.test.inputs[0][own].reshape(own.sum(), -1), spectra.test_is_anomaly[own]
        forest = RandomForestClassifier(500, min_samples_leaf=2, random_state=seed)
        scores[own] = cross_val_predict(forest, x, truth, cv=folds, method="predict_proba")[:, 1]
    return {"forest": scores}


def measure(path: Path, work: Path, method: str, seed: int) -> dict:
    """The records of one seed, and the seconds they took one core."""
    spectra = read_spectra(path)

    def run():
        started = time.perf_counter()
        if method == SEEN:
            found = records(spectra, seen(spectra, seed), method=method, networks=0, seed=seed)
        else:
            found = recipe(spectra, seed, method)
        return {"records": found, "seconds": time.perf_counter() - started}

    out = once(work / f"{method.replace(' ', '_')}-{seed}.json", run)
    print(method, seed, "done", flush=True)
    return out


def main():
    options = options_for(__doc__.splitlines()[0])
    tasks = [(options.spectra, options.work, method, seed) for method in (*RECIPES, SEEN) for seed in options.seeds]
    found = side_by_side(measure, tasks, processes=options.processes)
    header = provenance(options.spectra) | {
        "command": "python benchmarks/real_recipe.py WORK --spectra FILE --seeds " + " ".join(map(str, options.seeds)),
        "recipe": f"two stages of 8 + 8 epochs with {RECIPES['recipe']}, {NETWORKS} networks, {SCORER}",
        "seconds": [round(result["seconds"]) for result in found[: len(options.seeds)]],
        "selection": "recipe: on the rehearsal of real_levers.py, which is made of normal training clips only; the last epoch",
    }
    write("dcase2020_modspec_recipe", header, list(chain.from_iterable(result["records"] for result in found)))


if __name__ == "__main__":
    main()
