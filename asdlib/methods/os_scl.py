r"""One training with two losses: classify mixed clips, and contrast them by machine ID.

Huang, Fang and He, "Noise Supervised Contrastive Learning and Feature-Perturbed for
Anomalous Sound Detection", arXiv 2509.13853, 2025 (one-stage supervised contrastive
learning, OS-SCL). Others contrast first and classify then; here a classifier of machine
IDs with an angular margin and the contrast by machine ID are trained at once, on
mixtures of two clips. What is contrasted is the mixture, as if it were of its first
clip's machine only: that is the noise. A small head in front of both losses squeezes
the embedding to 64 numbers and back (the feature perturbation), and stays when
clips are scored.

.. math::

    L = \lambda\,\mathrm{CE}(A(z, a), a) + (1 - \lambda)\,\mathrm{CE}(A(z, a), b)
        + w\,\mathrm{SupCon}_\tau(z, a), \qquad z = \mathrm{head}(h)

Here h is the embedding of a mixture with the share λ of a clip of machine a, from a
Beta(½, ½) distribution, A(z, a) the ArcFace logits with the margin on a, τ = 0.02, and
w = τ / 0.07.

Essential is that both losses see the same perturbed mixture. Faithful to the training
in the authors' code but for our choices: the small encoder with its Tgram, where the
paper has log-mels alone, or a wider wave front end (TFgram) beside; no running average
of the weights (theirs forgets in 10,000 steps, and there are 400 here); Adam with 1e-3
for 20 epochs (theirs: AdamW with 1e-4 for 300, and of these the epoch with the lowest
loss on clips held out; one ROC curve for all machines of a type). The mean of the
contrast is over the clips that have a partner.

Published on DCASE 2020: AUC 94.64 %, pAUC 88.42 %, mAUC 89.24 % with log-mels alone,
95.71 %, 90.23 %, 91.23 % with the TFgram.
"""

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.judge.scorers import scorer_names
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.contrastive import supervised_contrastive_loss
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, noisy_arcmix, scored_by
from asdlib.methods.noisy_arcmix import mixed
from asdlib.processes import all_gather
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "one stage, two losses (OS-SCL)"
PAPER = "Huang, Fang and He, 2025, arXiv 2509.13853"
IDEA = "contrast and classifier at once, on mixed clips and squeezed embeddings"
INPUTS = ("sound", "spectra")
SCORERS = scorer_names()
BUDGET = StageConfig(20, 64, learning_rate=1e-3, cosine_from=0)
COST = 110.0
MARGIN, SCALE = 0.4, 30.0
TEMPERATURE = 0.02
WEIGHT = TEMPERATURE / 0.07  # of the contrast
SQUEEZED = 64  # numbers inside the perturbation head


class Perturbed(nn.Module):
    """An ``encoder`` and the head that squeezes its embedding: inputs → (B, dim)."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.embedding_dim = dim = cast(int, encoder.embedding_dim)
        self.head = perturbation_head(dim)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.head(self.encoder(*inputs))


def perturbation_head(dim: int) -> nn.Sequential:
    """(B, dim) → (B, SQUEEZED) → (B, dim), each with ReLU and then batch norm."""
    down = nn.Linear(dim, SQUEEZED), nn.ReLU(), nn.BatchNorm1d(SQUEEZED)
    up = nn.Linear(SQUEEZED, dim), nn.ReLU(), nn.BatchNorm1d(dim)
    return nn.Sequential(*down, *up)


class Both(nn.Module):
    """What the losses see: inputs → embeddings (B, dim), logits (B, classes).

    With ``labels`` (B,) the logits have the margin on them.
    """

    def __init__(self, classifier: MachineClassifier):
        super().__init__()
        self.classifier = classifier

    def forward(
        self, *inputs: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        embeddings = self.classifier.embed(*inputs)
        return embeddings, self.classifier.arcface(embeddings, labels)


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    weight: float = WEIGHT,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> MachineClassifier:
    """Train a :class:`MachineClassifier` of the machines of ``clips`` by both losses.

    ``encoder`` is a config of :data:`asdlib.learn.encoders.ENCODERS` (None: the small
    one for these inputs), which sees ``window`` seconds of a clip at a time (None:
    all). ``weight`` and ``temperature`` are those of the contrast.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, encoder=encoder, window=window, seed=seed))
    fit(
        Both(model),
        partial(one_stage_objective, weight=weight, temperature=temperature),
        clips,
        budget,
        stage="one stage",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task) -> MachineClassifier:
    """The classifier before any training."""
    base = task.new_encoder()
    with seeded(task.seed, "one stage"):
        model = MachineClassifier(
            Perturbed(base), len(task.machines), margin=MARGIN, scale=SCALE
        )
    model.first = nn.Sequential()  # nothing: the head stands in its place
    return model


def one_stage_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    weight: float = WEIGHT,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Both losses of a batch of mixtures, as ``fit`` calls it: a scalar.

    Of inputs, each (B, ...), and of labels (B,). The contrast compares the clips of all
    processes. In evaluation mode nothing is mixed, and it is the cross-entropy with the
    margin.
    """
    if not model.training:
        return F.cross_entropy(model(*inputs, labels=labels)[1], labels)
    blends, others, share = mixed(inputs, labels, rng)
    embeddings, logits = model(*blends, labels=labels)
    losses = F.cross_entropy(logits, labels), F.cross_entropy(logits, others)
    loss = share * losses[0] + (1 - share) * losses[1]
    embeddings, every = all_gather(embeddings, labels)
    if len(every.unique()) == len(every):  # no two of the batch are of one machine
        return loss
    contrast = supervised_contrastive_loss(embeddings, every, temperature=temperature)
    return loss + weight * contrast


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The surprise at embeddings, and their distances to ``known`` (N, dim)."""
    return noisy_arcmix.judge(model, known, label)


score = scored_by(judge)
