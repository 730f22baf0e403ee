"""How far do sums go over networks of different methods, and over networks that hear different parts of a spectrum?

    python benchmarks/real_reach.py WORK --spectra FILE [--seeds 0 1 2 --processes 2]

Candidates are five methods of the gallery, each heard at four depths as in ``real_scores.py``, and the two stages on eight
parts of the spectra: a half of the bands, of the modulations, what is the same at all modulations (the envelope) and what is
left without it, all without its level, and the steps from band to band. All have 16 epochs. They are added up one after the
other, by rank, with equal weights: that comes next which helps most on a *rehearsal* made of normal training clips
(``real_levers.py``), of three kinds: a clip sounds half like a stranger, has half of the stranger's envelope, or half of its
modulations. Beside it, to tell how much the choice costs: the order that the official test clips themselves would choose,
which no detector can know. It is the mean over the seeds that chooses there, and the rehearsal has one seed.

Writes ``data/results/dcase2020_modspec_reach.json``: a header and a list of records {chosen on, count, added, seed,
rehearsal, auc, pauc, mauc}, averages over the five types; the seed "all" is the sum over the networks of all seeds. About
80 minutes of a core. What this code has finished in WORK is not measured again.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from real_levers import FOLDS, half_and_half, rehearsal
from real_machines import options_for, provenance
from real_methods import Scores, stage
from real_scores import BEST, COMBINATIONS, all_scores
from results import arrays_once, side_by_side, write
from stress import averages

from asdlib import methods
from asdlib.clips import Clips
from asdlib.spectra import Spectra, read_spectra

EPOCHS = 16
METHODS = ("clp_scf", "clp_scf/single_stage", "clp_scf/contrast", "sub_cluster", "sub_cluster/adaproj")
Change = Callable[[np.ndarray], np.ndarray]


def only(axis: int, half: int) -> Change:
    """A half of the bands (axis 2) or modulations (axis 3); the other is 0."""

    def change(x: np.ndarray) -> np.ndarray:
        middle = x.shape[axis] // 2
        kept = np.arange(x.shape[axis]) // middle == half
        return x * kept.reshape([-1 if i == axis else 1 for i in range(4)])

    return change


def envelope(x: np.ndarray) -> np.ndarray:
    """The mean over the modulations, (N, 1, bands, 1)."""
    return x.mean(axis=3, keepdims=True)


PARTS: dict[str, Change] = {
    "low bands": only(2, 0),
    "high bands": only(2, 1),
    "slow modulations": only(3, 0),
    "fast modulations": only(3, 1),
    "envelope": lambda x: np.broadcast_to(envelope(x), x.shape),
    "without envelope": lambda x: x - envelope(x),
    "without level": lambda x: x - x.mean(axis=(2, 3), keepdims=True),
    "steps between bands": lambda x: np.diff(x, axis=2, append=x[:, :, -1:]),
}
STRANGERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "sound": half_and_half,
    "envelope": lambda own, foreign: own + (envelope(foreign) - envelope(own)) / 2,
    "modulations": lambda own, foreign: own + (foreign - envelope(foreign) - own + envelope(own)) / 2,
}
REHEARSED = [f"{kind} {fold}" for fold in FOLDS for kind in STRANGERS]


def sets_of(path: Path, on: str) -> dict[str, Spectra]:
    """By name, the official set, or those of a fold of the rehearsal, which are tested by one training."""
    spectra = read_spectra(path)
    if on == "test":
        return {on: spectra}
    fold = int(on.split()[-1])
    return {f"{kind} {fold}": rehearsal(spectra, fold, stranger) for kind, stranger in STRANGERS.items()}


def changed(spectra: Spectra, change: Change) -> Spectra:
    """``spectra`` of which only a part is left."""
    train, test = (
        Clips((np.ascontiguousarray(change(clips.inputs[0]), dtype=np.float32),), clips.machines)
        for clips in (spectra.train, spectra.test)
    )
    return Spectra(train, test, spectra.test_is_anomaly)


def scores_of(path: Path, work: Path, candidate: str, on: str, seed: int) -> Scores:
    """What a candidate says of the clips of each set: the sum over its depths, by rank. Kept in ``work``."""
    kept = work / f"{candidate}-{on}-{seed}.npz".replace(" ", "_").replace("/", "+")

    def trained() -> Scores:
        sets = sets_of(path, on)
        if candidate in PARTS:
            sets = {name: changed(spectra, PARTS[candidate]) for name, spectra in sets.items()}
        method = methods.get("clp_scf" if candidate in PARTS else candidate)
        first = next(iter(sets.values()))
        model = method.train(first.train, budget=stage(EPOCHS), seed=seed, device="cpu")
        found = {}
        for name, spectra in sets.items():
            scores = all_scores(model, spectra)
            found[name] = sum(scores[part] for part in COMBINATIONS[f"{BEST}, by rank"])
        print(candidate, on, seed, "done", flush=True)
        return found

    return arrays_once(kept, trained)


def order(candidates: list[str], auc_of: Callable[[list[str]], float]) -> list[str]:
    """The candidates, that first which is best alone, and each next which helps most."""
    chosen: list[str] = []
    while len(chosen) < len(candidates):
        left = [name for name in candidates if name not in chosen]
        chosen.append(max(left, key=lambda name: auc_of([*chosen, name])))
    return chosen


def main():
    options = options_for(__doc__.splitlines()[0], seeds=3)
    candidates = [*METHODS, *PARTS]
    where = [(f"rehearsal {fold}", 0) for fold in FOLDS] + [("test", seed) for seed in options.seeds]
    tasks = [(options.spectra, options.work, name, on, seed) for on, seed in where for name in candidates]
    finished = dict(zip([task[2:] for task in tasks], side_by_side(scores_of, tasks, processes=options.processes), strict=True))
    sets = {name: spectra for on, _ in where for name, spectra in sets_of(options.spectra, on).items()}

    def total(names: list[str], name: str, seed: int) -> np.ndarray:
        on = "test" if name == "test" else f"rehearsal {name.split()[-1]}"
        return sum(finished[one, on, seed][name] for one in names)

    def judged(spectra: Spectra, scores: np.ndarray) -> dict[str, float]:
        return averages(scores, spectra.test.machines, spectra.test_is_anomaly)

    def rehearsed(names: list[str]) -> float:
        return float(np.mean([judged(sets[name], total(names, name, 0))["auc"] for name in REHEARSED]))

    def tested(names: list[str]) -> float:
        return float(np.mean([judged(sets["test"], total(names, "test", seed))["auc"] for seed in options.seeds]))

    results = []
    for chooser, auc_of in (("rehearsal", rehearsed), ("test clips", tested)):
        chosen = order(candidates, auc_of)
        for count in range(1, len(chosen) + 1):
            names = chosen[:count]
            about = {"chosen on": chooser, "count": count, "added": names[-1], "rehearsal": round(rehearsed(names), 5)}
            each = {seed: total(names, "test", seed) for seed in options.seeds}
            for seed, scores in (each | {"all": sum(each.values())}).items():
                results.append(about | {"seed": seed} | judged(sets["test"], scores))
    header = provenance(options.spectra) | {
        "command": "python benchmarks/real_reach.py WORK --spectra FILE --seeds " + " ".join(map(str, options.seeds)),
        "rehearsal": "one seed, mean AUC over two folds and three kinds of strangers",
        "selection": "on the rehearsal, made of normal training clips only; the order by the test clips is no detector's",
    }
    write("dcase2020_modspec_reach", header, results)


if __name__ == "__main__":
    main()
