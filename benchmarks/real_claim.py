"""Where does pretraining by machine ID pay on real machines, if it does?

    python benchmarks/real_claim.py WORK --spectra FILE [--seeds 0 1 2] [--processes 2]

The single stage (ArcFace alone) and the two stages at equal epochs in all, while one thing is varied: the budget, the training
clips of each machine at equal steps, how the budget is split, whether machine types are trained together, the learning rate
of stage 2, the margin. Writes ``data/results/dcase2020_modspec_claim.json``: a header and a list of records {study, setting,
method, scorer, seed, machine, auc, pauc}. About 27 minutes a seed on one core, and 15 for the fresh seeds. What this
code has finished in WORK is not measured again.
"""

from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from real_machines import options_for, provenance, records
from real_methods import HALF, staged
from results import once, side_by_side, write

from asdlib.spectra import Spectra, read_spectra


def halves(epochs: int) -> dict:
    """The two methods at ``epochs`` in all."""
    return {
        "single stage": partial(staged, second=epochs),
        "two stages": partial(staged, first=epochs // 2, second=epochs // 2),
    }


def of_each(spectra: Spectra, clips: int, seed: int) -> Spectra:
    """The set with so many training clips of each machine, drawn by ``seed``."""
    rng = np.random.default_rng([seed, 3])
    machines = spectra.train.machines
    return spectra.only(np.concatenate([rng.permutation(np.flatnonzero(machines == m))[:clips] for m in spectra.train.names]))


def few_clips(clips: int, method: str):
    """8 epochs' worth of steps on few clips of each machine: as many steps as 8 epochs of all clips have."""

    def run(spectra: Spectra, seed: int):
        few = of_each(spectra, clips, seed)
        return halves(2 * round(HALF * len(spectra.train) / len(few.train) / 2))[method](few, seed)

    return run


def type_by_type(method: str):
    """One network a machine type: together they see every clip as often as the one network of all types."""

    def run(spectra: Spectra, seed: int):
        scores = {}
        for kind in sorted({name.split("/")[0] for name in spectra.test.machines.tolist()}):
            ours = np.char.startswith(spectra.train.machines, f"{kind}/")
            tested = np.char.startswith(spectra.test.machines, f"{kind}/")
            for scorer, values in halves(2 * HALF)[method](spectra.only(np.flatnonzero(ours)), seed).items():
                scores.setdefault(scorer, np.empty(len(tested)))[tested] = values
        return scores

    return run


def two(first: int, second: int, **options):
    """Two stages of so many epochs."""
    return partial(staged, first=first, second=second, **options)


# (study, setting, method) -> function(spectra, seed). Those of real_machines.py are the common middle: 16 epochs, all clips.
STUDIES = {
    ("clips of each machine", n, m): few_clips(n, m) for n in (20, 50, 200) for m in halves(2)
} | {
    ("epochs in all", n, m): method for n in (4, 8, 16) for m, method in halves(n).items()
} | {
    ("types trained together", "one type", m): type_by_type(m) for m in halves(2)
} | {
    ("epochs of stage 1, of 16", n, "two stages"): two(n, 16 - n) for n in (4, 12)
} | {
    ("rate of stage 2", rate, "two stages"): two(HALF, HALF, rate=rate) for rate in (1e-4, 3e-4)
} | {
    ("margin", margin, m): partial(method, margin=margin) for margin in (0.0, 0.5) for m, method in halves(16).items()
} | {
    ("epochs in all", 32, m): method for m, method in halves(32).items()
}  # fmt: skip
# Without a margin, and in no other setting, each of three seeds favoured the two stages by every scorer. That was seen on the
# test clips, so the setting was named, and measured once more with seeds of its own.
FRESH = {("margin, fresh seeds", 0.0, m): STUDIES["margin", 0.0, m] for m in halves(2)}
FRESH_SEEDS = range(100, 105)


def measure(path: Path, work: Path, key: tuple, seed: int) -> list[dict]:
    """The records of one setting with one seed."""
    spectra = read_spectra(path)
    study, setting, method = key
    about = {"study": study, "setting": setting, "method": method, "seed": seed}
    name = "-".join(map(str, (*key, seed))).replace(" ", "_").replace(",", "")
    out = once(work / f"{name}.json", lambda: records(spectra, (STUDIES | FRESH)[key](spectra, seed), **about))
    print(*key, seed, "done", flush=True)
    return out


def main():
    options = options_for(__doc__.splitlines()[0], seeds=3)
    tasks = [(options.spectra, options.work, key, seed) for seed in options.seeds for key in STUDIES]
    tasks += [(options.spectra, options.work, key, seed) for seed in FRESH_SEEDS for key in FRESH]
    results = list(chain.from_iterable(side_by_side(measure, tasks, processes=options.processes)))
    header = provenance(options.spectra) | {
        "command": "python benchmarks/real_claim.py WORK --spectra FILE --seeds " + " ".join(map(str, options.seeds)),
        "epochs": "16 in all where the study says nothing else; few clips are trained for the steps of 8 epochs of all clips",
        "selection": "none: fixed recipes, last epoch; which setting has fresh seeds was chosen on the first three",
    }
    write("dcase2020_modspec_claim", header, results)


if __name__ == "__main__":
    main()
