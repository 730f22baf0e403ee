"""How much better can it be made, if every choice must be made on normal clips?

    python benchmarks/real_levers.py WORK --spectra FILE [--seeds 0] [--processes 2]

Each lever changes one thing in the two stages. It is judged on a *rehearsal* made of normal training clips alone: one machine
of every type is kept from the training, and its clips, mixed half and half in power with held-out clips of another machine of
the type, play the faults of that other machine. Two such folds. The effect on the official test clips is measured as well,
only to be reported. Then scores are added up: of several layers, of several networks. Writes
``data/results/dcase2020_modspec_levers.json``: a header and a list of records {lever, on, scorer, seed, machine, auc, pauc}.
About 40 minutes on two cores. What this code has finished in WORK is not measured again.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from real_machines import options_for, provenance, records
from real_methods import Scores
from real_scores import all_scores, combined, summed
from results import arrays_once, side_by_side, write
from torch import Tensor, nn

from asdlib.classifier import MachineClassifier, classification_objective
from asdlib.clips import Clips
from asdlib.contrastive import contrastive_objective, with_new_head
from asdlib.device import seeded
from asdlib.encoders import encoder_for, new_encoder
from asdlib.heads import ArcFace, SubCentres
from asdlib.spectra import Spectra, read_spectra
from asdlib.training import StageConfig, batch_of, fit

OPTIONS = {"device": "cpu", "validation": 0.0}  # nothing is held out, because nothing is chosen
HELD_OUT = 0.1  # of a machine's clips, the normal ones of the rehearsal
FOLDS = (0, 1)


def half_and_half(own: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """Both machines at once, log power (N, 1, bands, modulations)."""
    return np.log10((10**own + 10**foreign) / 2)


def rehearsal(spectra: Spectra, fold: int, stranger: Callable[[np.ndarray, np.ndarray], np.ndarray] = half_and_half) -> Spectra:
    """A set whose training and test clips are all normal training clips of ``spectra``; nothing of its test set is in it.

    ``stranger(own, foreign)`` makes faults of a machine's held-out clips and of those of a machine that is not trained on.
    """
    rng, train = np.random.default_rng(fold), spectra.train
    x, machines = train.inputs[0], train.machines
    of_type: dict[str, list[str]] = {}
    for name in train.names:
        of_type.setdefault(name.split("/")[0], []).append(name)
    held = np.concatenate([
        (own := rng.permutation(np.flatnonzero(machines == name)))[: round(HELD_OUT * len(own))] for name in train.names
    ])  # fmt: skip
    strangers = [names[fold] for names in of_type.values()]
    known = np.setdiff1d(np.flatnonzero(~np.isin(machines, strangers)), held)
    parts = []
    for names in of_type.values():
        foreign = x[machines == names[fold]]
        for name in names[:fold] + names[fold + 1 :]:
            own = x[held[machines[held] == name]]
            mixed = stranger(own, foreign[rng.choice(len(foreign), len(own))])
            parts += [(own, name, False), (mixed.astype(np.float32), name, True)]
    played = np.concatenate([rows for rows, _, _ in parts])
    of = np.concatenate([[name] * len(rows) for rows, name, _ in parts])
    truth = np.concatenate([[anomalous] * len(rows) for rows, _, anomalous in parts])
    return Spectra(train.only(known), Clips((played,), of), truth)


# ------------------------------------------------------------------------------------------------------------ the levers


def mixed_within_machines(x: Tensor, labels: Tensor, rng: np.random.Generator) -> Tensor:
    """Each spectrum mixed with another of its machine in the batch (or with itself, where it is alone)."""
    order = rng.permutation(len(x))
    partner = np.empty(len(x), int)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        partner[own] = np.roll(own, 1)
    share = torch.from_numpy(rng.uniform(0.5, 1, (len(x), 1, 1, 1)).astype(np.float32))
    return share * x + (1 - share) * x[partner]


def with_noise(x: Tensor, labels: Tensor, rng: np.random.Generator, *, size: float) -> Tensor:
    """Independent noise on each number."""
    return x + size * torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32))


class Average:
    """The mean of a model's weights over the last quarter of a training."""

    def __init__(self, model: nn.Module, steps: int):
        self.model, self.left, self.averaged = model, 3 * steps // 4, torch.optim.swa_utils.AveragedModel(model)

    def step(self) -> None:
        self.left -= 1
        if self.left <= 0:
            self.averaged.update_parameters(self.model)

    def finished(self, clips: Clips) -> nn.Module:
        """The averaged model, its batch norms' statistics measured anew."""
        model = self.averaged.module
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.reset_running_stats()
                module.momentum = None
        model.train()
        with torch.no_grad():
            for rows in np.array_split(np.random.default_rng(0).permutation(len(clips)), max(1, len(clips) // 128)):
                model.embed(*batch_of(clips, rows)[0])
        return model.eval()


def two_stages(
    spectra: Spectra, seed: int, *, first=8, second=8, augment=None, temperature=0.1, centres=1, average=False,
    clips_per_label=None, rate=1e-3, **arcface,
) -> MachineClassifier:  # fmt: skip
    """The two stages with one lever or several."""
    clips = spectra.train
    model = with_new_head(new_encoder(encoder_for(clips), None, seed=seed), seed=seed)

    def augmented(objective, after_step=lambda: None):
        def run(model, inputs, labels, rng):
            after_step()
            x = augment(inputs[0], labels, rng) if augment else inputs[0]
            return objective(model, (x,), labels, rng)

        return run

    stage = partial(StageConfig, batch_size=128, learning_rate=rate, cosine_from=0, clips_per_label=clips_per_label)
    contrast = partial(contrastive_objective, temperature=temperature)
    if first:
        fit(model, augmented(contrast), clips, stage(first), stage="pretrain", seed=seed, **OPTIONS)
    with seeded(seed, "classifier"):
        head = partial(SubCentres, centres=centres, **arcface) if centres > 1 else partial(ArcFace, **arcface)
        model = MachineClassifier(model, len(clips.names), head=head)
    averaged = Average(model, second * (len(clips) // 128)) if average else None
    objective = augmented(classification_objective, averaged.step if averaged else lambda: None)
    fit(model, objective, clips, stage(second), stage="finetune", seed=seed, **OPTIONS)
    return averaged.finished(clips) if averaged else model


LEVERS = {
    "none": {},
    "no stage 1, stage 2 as long as both": {"first": 0, "second": 16},
    "scale 15": {"scale": 15.0},
    "margin 0.5": {"margin": 0.5},
    "4 clips of each machine in a batch": {"clips_per_label": 4},
    "4 sub-centres": {"centres": 4},
    "mixing clips of a machine": {"augment": mixed_within_machines},
    "noise of 0.1": {"augment": partial(with_noise, size=0.1)},
    "noise of 0.2": {"augment": partial(with_noise, size=0.2)},
    "temperature 0.05": {"temperature": 0.05},
    "rate of 3e-3": {"rate": 3e-3},
    "averaged weights": {"average": True},
    "twice the epochs": {"first": 16, "second": 16},
}
# Further networks, that differ from "none" by their seed only.
AGAIN = {"none, another seed": ("none", 100), "none, a third seed": ("none", 200)}
# Sums of the scores of several networks: one recipe from several seeds, or as many recipes.
SUMS = {
    "sum of three seeds": (("none", 0), *AGAIN.values()),
    "sum of three recipes": (("none", 0), ("4 sub-centres", 0), ("noise of 0.1", 0)),
}


def scores_of(path: Path, work: Path, lever: str, on: str, seed: int) -> Scores:
    """The scores of one network, on the official test clips ("test") or on a fold of the rehearsal; kept in ``work``."""
    kept = work / f"{lever}-{on}-{seed}.npz".replace(" ", "_").replace(",", "")

    def trained() -> Scores:
        spectra = set_of(path, on)
        scores = all_scores(two_stages(spectra, seed, **LEVERS[lever]), spectra)
        print(lever, on, seed, "done", flush=True)
        return scores

    return arrays_once(kept, trained)


def set_of(path: Path, on: str) -> Spectra:
    """The official set, or a fold of the rehearsal."""
    return read_spectra(path) if on == "test" else rehearsal(read_spectra(path), int(on.split()[-1]))


def main():
    options = options_for(__doc__.splitlines()[0], seeds=1)
    where = [(f"rehearsal {fold}", fold) for fold in FOLDS] + [("test", seed) for seed in options.seeds]
    names = {lever: (lever, 0) for lever in LEVERS} | AGAIN
    tasks = [(options.spectra, options.work, lever, on, seed + more) for on, seed in where for lever, more in names.values()]
    finished = dict(zip([task[2:] for task in tasks], side_by_side(scores_of, tasks, processes=options.processes), strict=True))
    results = []
    for on, seed in where:
        spectra = set_of(options.spectra, on)
        for name, (lever, more) in names.items():
            results += records(spectra, combined(finished[lever, on, seed + more]), lever=name, on=on, seed=seed)
        for name, members in SUMS.items():
            together = [finished[lever, on, seed + more] for lever, more in members]
            results += records(spectra, summed(together), lever=name, on=on, seed=seed)
    header = provenance(options.spectra) | {
        "command": "python benchmarks/real_levers.py WORK --spectra FILE --seeds " + " ".join(map(str, options.seeds)),
        "selection": "on the rehearsal, which is made of normal training clips only; the test clips are measured to report",
    }
    write("dcase2020_modspec_levers", header, results)


if __name__ == "__main__":
    main()
