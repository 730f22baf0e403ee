r"""The moments of each band in order of loudness, weighted by rank, then Gaussians.

Faithful to the code of Guan, Liu, Zhu, Zheng, Han and Wang, "Time-weighted Frequency
Domain Audio Representation with GMM Estimator for Anomalous Sound Detection", ICASSP
2023, arXiv 2305.03328. Each mel band x_f is sorted over time, the loudest frame first,
and averaged with weights that fall with the rank:

.. math::

    g_f(r) = \sum_{i=1}^{T} r^{i-1} x_{f,(i)} \Big/ \sum_{i=1}^{T} r^{i-1},
    \qquad \text{score} = -\max_k \log N(g; \mu_k, \Sigma_k)

With r = 1 that is the mean over time, which hears a hum, with r = 0 the maximum, which
hears a knock; each type of machine has the r that suits it. Few numbers, no network,
and no weights of the mixture in the score.

Essential: pooling by rank, an r for each type, Gaussians of each machine. The authors
choose r and the number K of Gaussians by the AUC on labelled test clips. Ours are
chosen without a fault, r of seven and K of one and two: by a rehearsal
(:mod:`asdlib.sound.rehearsal`), in which the Gaussians of some clips tell the other
clips from mixtures with strange machines; where no machine can be spared, r is 0.9 and
K is 1. Ours, too, as there are fewer clips than bands: with K = 1 the covariance is
shrunk as Ledoit and Wolf (2004) say, with K = 2 the Gaussians lie in the 16 directions
in which clips differ most, and in all the others the variance is the same.

It reads sound only: in spectra of modulations the time is averaged out already, and
there is nothing left to be sorted. Published: DCASE 2022 development data, AUC of the
source and target domain and pAUC 84.2, 73.2 and 63.3 (%).
"""

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.judge.metrics import auc
from asdlib.judge.scorers import Distance, Fitted, Rows, fit_distance
from asdlib.learn.training import StageConfig
from asdlib.methods import Judges, Task, check_kind, embedded, scored_by
from asdlib.methods.ensemble import rehearsal_rows
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.rehearsal import play_of

NAME = "time-weighted frequencies and Gaussians (TWFR-GMM)"
PAPER = "Guan et al., ICASSP 2023, arXiv 2305.03328"
IDEA = "each band's loudest moments count more, then a Gaussian mixture"
INPUTS = ("sound",)
ONLY = "it pools over time, which spectra have averaged out"
SCORERS = ("likelihood",)
BUDGET = StageConfig(1)
COST = 7.0
GRID = (0.9, 0.0, 0.5, 0.8, 0.95, 0.98, 1.0)  # of r; the first where none can be chosen
COMPONENTS = (1, 2)  # of K, likewise
DIRECTIONS = 16  # in which two Gaussians may differ
LEAST = 1e-6  # dB², variance in every direction, as in the authors' code


class TimeWeighted(nn.Module):
    """``embed(*inputs)`` → a clip pooled with each r of :data:`GRID`: (B, 7 · mels).

    ``chosen`` (types, 2) are the places of r and K of each machine type in
    :data:`GRID` and :data:`COMPONENTS`. Nothing else is found by training.
    """

    chosen: Tensor

    def __init__(self, machines: tuple[str, ...], mels: int):
        super().__init__()
        self.machines, self.mels = machines, mels
        self.classes, self.embedding_dim = len(machines), len(GRID) * mels
        self.types = sorted({name.split("/")[0] for name in machines})
        self.register_buffer("chosen", torch.zeros(len(self.types), 2, dtype=torch.int))

    def embed(self, *inputs: Tensor) -> Tensor:
        return torch.cat([pooled(inputs[-1], r) for r in GRID], dim=1)

    def rows_of(self, rows: np.ndarray, place: int) -> np.ndarray:
        """What r number ``place`` gave, of rows (N, dim): (N, mels)."""
        return rows[:, place * self.mels : (place + 1) * self.mels]

    def settings(self, machine_type: str) -> tuple[int, int]:
        """The places of r and K of a type."""
        place, count = self.chosen[self.types.index(machine_type)].tolist()
        return place, count


def pooled(log_mels: Tensor, r: float) -> Tensor:
    """Global weighted ranking pooling: (B, mels, frames) in dB → (B, mels).

    >>> pooled(torch.tensor([[[1.0, 4.0, 2.0]]]), 0.5).tolist()
    [[3.0]]
    """
    loudest_first = log_mels.sort(dim=2, descending=True).values
    weights = float(r) ** torch.arange(log_mels.shape[2], dtype=torch.float64)
    weights = (weights / weights.sum()).to(loudest_first)  # 0 to the power of 0 is 1
    return loudest_first @ weights


# --------------------------------------------------------------------------- Gaussians


@dataclass(frozen=True)
class Gaussians:
    """Gaussians side by side: rows (M, d) → -log density of the likeliest (M,)."""

    parts: tuple[Distance, ...]

    def __call__(self, asked: np.ndarray) -> np.ndarray:
        return np.min([surprise(part, asked) for part in self.parts], axis=0)


def surprise(gaussian: Distance, asked: np.ndarray) -> np.ndarray:
    """-log N of rows (M, d) under a Gaussian: (M,)."""
    across = asked.shape[1] - len(gaussian.inside)
    size = np.log(gaussian.inside).sum() + across * math.log(gaussian.rest)
    return (gaussian(asked) + size + asked.shape[1] * math.log(2 * math.pi)) / 2


def fit_gaussians(known: np.ndarray, count: int) -> Gaussians:
    """``count`` Gaussians (1 or 2) of ``known`` (N, d); 1 where there are few rows."""
    known = np.asarray(known, np.float64)
    clips, dimensions = known.shape
    if count == 1 or clips < 6:
        return Gaussians((fit_distance(known, least=LEAST),))
    from sklearn.mixture import GaussianMixture

    mean = known.mean(axis=0)
    _, singular, axes = np.linalg.svd(known - mean, full_matrices=False)
    kept = min(DIRECTIONS, clips // 3, dimensions)
    left = np.sum(singular[kept:] ** 2) / clips
    rest = left / max(1, dimensions - kept) + LEAST
    inside = axes[:kept]
    # A Gaussian is nowhere narrower than clips differ in the directions left out.
    mixture = GaussianMixture(count, tol=1e-6, reg_covar=rest, random_state=0)
    mixture.fit((known - mean) @ inside.T)
    parts = []
    for centre, covariance in zip(mixture.means_, mixture.covariances_, strict=True):
        variances, turned = np.linalg.eigh(covariance)
        centre = mean + centre @ inside
        parts.append(Distance(centre, turned.T @ inside, variances, rest))
    return Gaussians(tuple(parts))


# ---------------------------------------------------------------------------- choosing


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> TimeWeighted:
    """Choose r and K of each machine type by a rehearsal; no step is trained.

    ``seed`` decides which machines play the strangers in it.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips)).eval()
    learned, asked, strange = rehearsal_rows(clips, seed=seed)
    if not len(asked) or not len(strange):
        return model
    healthy, strangers = clips.only(asked), clips.only(strange)
    (usual, own), *faults = (
        embedded(model, part, device=device)
        for part in play_of(healthy, strangers, seed=seed)
    )
    known, machines = embedded(model, clips.only(learned), device=device)
    rows, sources = map(np.concatenate, zip(*faults, strict=True))
    choose(model, (known, machines), (usual, own), (rows, sources))
    return model


def choose(model: TimeWeighted, known: Rows, healthy: Rows, faults: Rows) -> None:
    """Fill in r and K of each machine type by how they tell some rows apart.

    Rows (N, dim) to fit the Gaussians, of healthy clips, and of what plays the faults,
    each with their machines (N,). A type without healthy clips is left as it is.
    """
    for label, machine_type in enumerate(model.types):
        own = [n for n in model.machines if n.split("/")[0] == machine_type]
        parts = [
            (
                known[0][known[1] == n],
                healthy[0][healthy[1] == n],
                faults[0][faults[1] == n],
            )
            for n in own
            if (healthy[1] == n).any()
        ]
        if parts:
            best = best_settings(model, parts)
            model.chosen[label] = torch.tensor(best, dtype=torch.int)


def best_settings(
    model: TimeWeighted, parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> tuple[int, int]:
    """The places of the r and K with the highest AUC, mean over some machines.

    Of each there are rows (N, dim) to fit, of healthy clips, and of rehearsed faults.
    The first of equals.
    """

    def found(places: tuple[int, int]) -> float:
        return float(np.mean([told_apart(model, places, *rows) for rows in parts]))

    choices = product(range(len(GRID)), range(len(COMPONENTS)))
    return max(sorted(choices, key=lambda places: places[1]), key=found)


def told_apart(
    model: TimeWeighted,
    places: tuple[int, int],
    known: np.ndarray,
    healthy: np.ndarray,
    faults: np.ndarray,
) -> float:
    """The AUC of a machine's Gaussians of ``known``, at rows (N, dim) of each kind."""
    fitted = fitted_to(model, known, places)
    scores = np.concatenate([fitted(healthy), fitted(faults)])
    return auc(np.repeat([0, 1], [len(healthy), len(faults)]), scores)


def fitted_to(
    model: TimeWeighted, known: np.ndarray, places: tuple[int, int]
) -> Fitted:
    """What scores rows (M, dim), by some r and K, fitted to ``known`` (N, dim)."""
    gaussians = fit_gaussians(model.rows_of(known, places[0]), COMPONENTS[places[1]])
    return lambda rows: gaussians(model.rows_of(rows, places[0]).astype(np.float64))


def untrained(task: Task) -> TimeWeighted:
    """The pooling, with r = 0.9 and K = 1 for every type."""
    assert task.features is not None
    return TimeWeighted(task.machines, task.features.n_mels)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """-log density under the Gaussians of ``known`` (N, dim), rows of one machine."""
    assert isinstance(model, TimeWeighted)
    places = model.settings(model.machines[label].split("/")[0])
    return {"likelihood": fitted_to(model, known, places)}


score = scored_by(judge)
