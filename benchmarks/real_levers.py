"""How much better can it be made, if every choice must be made on normal clips?

    python benchmarks/real_levers.py WORK --spectra FILE [--seeds 0] [--processes 2]

Each lever changes one thing in the two stages. It is judged on a *rehearsal* made of normal training clips alone: one machine
of every type is kept from the training, and its clips, mixed half and half in power with held-out clips of another machine of
the type, play the faults of that other machine. Two such folds. The effect on the official test clips is measured as well,
only to be reported. Then scores are added up: of several layers, of several networks. Writes
``data/results/dcase2020_modspec_levers.json``: a header and a list of records {lever, on, scorer, seed, machine, auc, pauc}.
About 40 minutes on two cores. What this code has finished in WORK is not measured again.
"""

import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from real_machines import options_for, provenance, records
from real_methods import OPTIONS, Scores
from real_scores import all_scores, combined, summed
from results import side_by_side, write
from torch import Tensor, nn

from asdlib.classifier import ArcFace, MachineClassifier, classification_objective
from asdlib.contrastive import contrastive_objective, with_new_head
from asdlib.files import atomic_write
from asdlib.spectra import Spectra, SpectrumEncoder, read_spectra
from asdlib.training import Examples, StageConfig, fit, seeded

HELD_OUT = 0.1  # of a machine's clips, the normal ones of the rehearsal
FOLDS = (0, 1)


def rehearsal(spectra: Spectra, fold: int) -> Spectra:
    """A set whose training and test clips are all normal training clips of ``spectra``; nothing of its test set is in it."""
    rng = np.random.default_rng(fold)
    of_type: dict[str, list[str]] = {}
    for name in spectra.machines:
        of_type.setdefault(name.split("/")[0], []).append(name)
    held = np.concatenate([
        (own := rng.permutation(np.flatnonzero(spectra.train_machine == name)))[: round(HELD_OUT * len(own))]
        for name in spectra.machines
    ])  # fmt: skip
    strangers = [names[fold] for names in of_type.values()]
    known = np.setdiff1d(np.flatnonzero(~np.isin(spectra.train_machine, strangers)), held)
    parts = []
    for names in of_type.values():
        foreign = spectra.train[spectra.train_machine == names[fold]]
        for name in names[:fold] + names[fold + 1 :]:
            own = spectra.train[held[spectra.train_machine[held] == name]]
            mixed = np.log10((10**own + 10 ** foreign[rng.choice(len(foreign), len(own))]) / 2)
            parts += [(own, name, False), (mixed.astype(np.float32), name, True)]
    return Spectra(
        spectra.train[known],
        spectra.train_machine[known],
        np.concatenate([x for x, _, _ in parts]),
        np.concatenate([[name] * len(x) for x, name, _ in parts]),
        np.concatenate([[anomalous] * len(x) for x, _, anomalous in parts]),
    )


# ------------------------------------------------------------------------------------------------------------ the levers


class SubCentres(ArcFace):
    """ArcFace with several centres a machine, of which the nearest counts (Deng et al., ECCV 2020)."""

    def __init__(self, dim: int, classes: int, *, centres: int, **options):
        super().__init__(dim, classes * centres, **options)
        self.centres = centres

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        cosine = F.linear(F.normalize(embeddings), F.normalize(self.weight)).view(len(embeddings), -1, self.centres).amax(dim=2)
        if labels is None:
            return self.scale * cosine
        true = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        shifted = torch.cos(true.acos() + self.margin)
        shifted = torch.where(true <= -math.cos(self.margin), true - self.margin * math.sin(self.margin), shifted)
        return self.scale * cosine.scatter(1, labels[:, None], shifted)


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

    def finished(self, examples: Examples) -> nn.Module:
        """The averaged model, its batch norms' statistics measured anew."""
        model = self.averaged.module
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.reset_running_stats()
                module.momentum = None
        model.train()
        with torch.no_grad():
            for rows in np.array_split(np.random.default_rng(0).permutation(len(examples)), max(1, len(examples) // 128)):
                model.embed(*examples.batch(rows)[0])
        return model.eval()


def two_stages(
    spectra: Spectra, seed: int, *, first=8, second=8, augment=None, temperature=0.1, centres=1, average=False,
    clips_per_label=None, rate=1e-3, **arcface,
) -> MachineClassifier:  # fmt: skip
    """The two stages with one lever or several."""
    rng, examples = np.random.default_rng([seed, 13]), Examples((spectra.train,), spectra.labels)
    with seeded(seed, "encoder"):
        encoder = SpectrumEncoder(*spectra.train.shape[2:])
    model = with_new_head(encoder, seed=seed)

    def augmented(objective, after_step=lambda: None):
        def run(model, inputs, labels):
            after_step()
            x = augment(inputs[0], labels, rng) if augment else inputs[0]
            return objective(model, (x,), labels)

        return run

    stage = partial(StageConfig, batch_size=128, learning_rate=rate, cosine_from=0, clips_per_label=clips_per_label)
    contrast = partial(contrastive_objective, temperature=temperature)
    if first:
        fit(model, augmented(contrast), examples, stage(first), stage="pretrain", seed=seed, **OPTIONS)
    with seeded(seed, "classifier"):
        model = MachineClassifier(model, len(spectra.machines), **arcface)
        if centres > 1:
            model.arcface = SubCentres(encoder.embedding_dim, len(spectra.machines), centres=centres, **arcface)
    averaged = Average(model, second * (len(examples) // 128)) if average else None
    objective = augmented(classification_objective, averaged.step if averaged else lambda: None)
    fit(model, objective, examples, stage(second), stage="finetune", seed=seed, **OPTIONS)
    return averaged.finished(examples) if averaged else model


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
    if not kept.exists():
        spectra = set_of(path, on)
        scores = all_scores(two_stages(spectra, seed, **LEVERS[lever]), spectra)
        work.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept) as temporary, open(temporary, "wb") as file:
            np.savez(file, **scores)
        print(lever, on, seed, "done", flush=True)
    with np.load(kept) as file:
        return dict(file)


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
