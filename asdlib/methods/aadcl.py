r"""Contrast of two disguises, and a guess which disguise each of them wears: AADCL.

Faithful to the code of Hojjati and Armanfard, "Self-Supervised Acoustic Anomaly
Detection via Contrastive Learning", ICASSP 2022, doi 10.1109/ICASSP43922.2022.9746207.
As in :mod:`asdlib.methods.simclr` the two views of a clip are to be found among the
views of others; but each view wears one disguise, drawn from eight that suit sound, and
a second head has to say which. So the embedding h does not lose what a disguise
changes:

.. math::

    L = \text{NT-Xent}(z) + 0.1 \; \text{CE}(W h, \text{disguise}),
    \qquad \text{score} = (h - \mu)^T \Sigma^{-1} (h - \mu)

Essential: one disguise a view, the second head, and the Mahalanobis distance between
embeddings (not projections) of clips that wear no disguise.

Our choices: one network for all machines, where the authors train one for each machine
ID, with the small encoder of this package instead of a ResNet-18, its projection head
and its temperature; mean and covariance come from all training clips undisguised, and
are shrunk, where the authors' code takes a single batch of disguised ones and inverts a
singular matrix; a stretched clip is cut or begins again, where the authors resample it
to its length. Spectra have five disguises of their own: a band mask, a modulation mask,
noise, a gain and a shift along the bands.

Published on MIMII. Others report AUC 77.03 and pAUC 61.31 (%) on the development data
of DCASE 2020 Task 2.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.contrastive import TEMPERATURE, supervised_contrastive_loss
from asdlib.learn.heads import ProjectionHead
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._task import by_distance
from asdlib.methods.simclr import View, two_views
from asdlib.processes import all_gather
from asdlib.progress import OnStep, silent
from asdlib.sound.augment import (
    DISGUISES,
    Disguise,
    disguise_each,
    spectrum_disguises,
)
from asdlib.sound.clips import Clips
from asdlib.sound.features import LogMel

NAME = "contrast that names its disguises (AADCL)"
PAPER = "Hojjati and Armanfard, ICASSP 2022"
IDEA = "two disguises of a clip are found among others, and named"
INPUTS = ("sound", "spectra")
SCORERS = ("mahalanobis", "knn", "gmm")
BUDGET = StageConfig(8, 64, learning_rate=1e-3, cosine_from=0)
COST = 135.0
WEIGHT = 0.1  # of the second head's loss


class DisguiseModel(nn.Module):
    """An encoder, a head whose outputs are compared, and one that names disguises.

    ``forward(*inputs)`` → z (N, dim) and logits (N, disguises); ``embed(*inputs)`` →
    the embedding h (N, dim), which both heads see.
    """

    def __init__(self, encoder: nn.Module, disguises: int):
        super().__init__()
        self.encoder = encoder
        self.embedding_dim = cast(int, encoder.embedding_dim)
        self.head = ProjectionHead(self.embedding_dim)
        self.namer = nn.Linear(self.embedding_dim, disguises)

    def embed(self, *inputs: Tensor) -> Tensor:
        return self.encoder(*inputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        h = self.embed(*inputs)
        return self.head(h), self.namer(h)


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
) -> DisguiseModel:
    """Train a :class:`DisguiseModel`; the machines of ``clips`` are not looked at.

    ``encoder`` is a config of :data:`asdlib.learn.encoders.ENCODERS` (None: the small
    one for these inputs), which sees ``window`` seconds of a clip at a time (None:
    all). ``weight`` is that of the second head's loss.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, encoder=encoder, window=window, seed=seed))
    objective = partial(
        naming_objective,
        view=named_view(clips),
        weight=weight,
        temperature=temperature,
    )
    # The log-mels are left out: each view of a waveform has its own.
    first = Clips(clips.inputs[:1], clips.machines, clips.features)
    fit(
        model,
        objective,
        first,
        budget,
        stage="aadcl",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task) -> DisguiseModel:
    """The encoder and its two heads before any training."""
    base = task.new_encoder()
    count = len(DISGUISES if task.features else spectrum_disguises(torch.zeros(1)))
    with seeded(task.seed, "head"):
        return DisguiseModel(base, count)


def disguises_for(clips: Clips) -> Sequence[Disguise]:
    """The disguises of the first input of ``clips``, in the order of their numbers.

    What hides a part of a spectrum puts the mean of ``clips`` there.
    """
    if clips.features is not None:
        return list(DISGUISES.values())
    mean = clips.inputs[0].mean(axis=0, dtype=np.float32)
    return list(spectrum_disguises(torch.from_numpy(mean)).values())


def named_view(clips: Clips) -> View:
    """The first input of clips (B, ...) → inputs in disguise, and which it is (B,)."""
    disguises = disguises_for(clips)
    front_end = None if clips.features is None else LogMel(clips.features)

    def view(x: Tensor, rng: np.random.Generator) -> tuple[Tensor, ...]:
        which = rng.integers(len(disguises), size=len(x))
        y = disguise_each(x.cpu(), which, disguises, rng)
        parts = [y, torch.from_numpy(which)]
        if front_end is not None:
            parts.insert(1, front_end(y))
        return tuple(part.to(x.device) for part in parts)

    return view


def naming_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    view: View,
    weight: float = WEIGHT,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """The loss of a batch (B, ...), as ``fit`` calls it: a scalar.

    NT-Xent of two views of each clip, plus ``weight`` times the cross-entropy of the
    disguises. Several processes do what one does.
    """
    (*views, which), clip = two_views(inputs[0], view, rng)
    z, logits = model(*views)
    z, clip = all_gather(z, clip)
    contrast = supervised_contrastive_loss(z, clip, temperature=temperature)
    return contrast + weight * F.cross_entropy(logits, which)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """Every distance to the embeddings of the ``known`` clips (N, dim)."""
    return by_distance(known, first="mahalanobis")


score = scored_by(judge)
