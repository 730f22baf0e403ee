r"""The book's method: contrast by machine ID, then a classifier of machine IDs.

Guan et al., "Anomalous Sound Detection using Audio Representation with Machine ID
based Contrastive Learning Pretraining", ICASSP 2023 (arXiv 2304.03588). Stage 1 pulls
clips of the same machine together (:mod:`asdlib.learn.contrastive`), stage 2 trains
ArcFace on what stage 1 has learned (:mod:`asdlib.learn.classifier`); the score is the
surprise at the clip's own ID. Without stage 1 this is the single-stage method
(STgram-MFN, Liu et al., ICASSP 2022); without stage 2 it is the contrast alone, by
distances.

.. math::

    L_1 = -\frac{1}{|P(i)|} \sum_{p \in P(i)}
        \log \frac{e^{z_i z_p / \tau}}{\sum_a e^{z_i z_a / \tau}} \qquad
    L_2 = \text{score} = -\log \frac{e^{s \cos(\theta_y + m)}}
        {e^{s \cos(\theta_y + m)} + \sum_{c \ne y} e^{s \cos \theta_c}}

Essential: the other clips of a machine as the positives P(i), of a clip i that is
disguised in no way; the first layer of the projection head, which stays; the margin, in
the score as well. Faithful: the authors' code was read, and the preset ``paper`` is
their network. Our choices as a method of the gallery: half of the epochs for each
stage, the batches and the learning rate that all methods share, a smaller network; the
sum over a leaves out the clip itself, which is in it in the authors' code
(``self_in_denominator``); and the single stage has the margin of the two stages, 1.0,
where its authors have 0.7, so that stage 1 is all the difference. Both tables of the
network, of 2022 and of 2023, are in :mod:`asdlib.learn.encoder`.

Published on the development set of DCASE 2020, AUC and pAUC in %, at the epoch that is
best on the test clips: 93.75 and 88.48, the single stage 92.36 and 86.34.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from asdlib.errors import AsdError
from asdlib.judge.scorers import EMBEDDING_SCORERS, scorer_names
from asdlib.learn.classifier import MachineClassifier, finetune
from asdlib.learn.contrastive import TEMPERATURE, ContrastiveModel, pretrain
from asdlib.learn.encoders import encoder_for, new_encoder
from asdlib.learn.heads import MARGIN, SCALE
from asdlib.learn.training import StageConfig
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._task import by_distance, by_surprise
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "two stages (CLP-SCF)"
PAPER = "Guan et al., ICASSP 2023, arXiv 2304.03588"
IDEA = "contrast by machine ID, then a classifier of machine IDs"
INPUTS = ("sound", "spectra")
SCORERS = scorer_names()
BUDGET = StageConfig(32, 64, learning_rate=1e-3, cosine_from=8)
COST = 165.0
SHARES = {"": 0.5, "single_stage": 0.0, "contrast": 1.0}  # of stage 1
VARIANTS: dict[str, dict[str, Any]] = {
    "single_stage": {
        "NAME": "single stage (STgram-MFN)",
        "IDEA": "a classifier of machine IDs with an angular margin",
        "PAPER": "Liu et al., ICASSP 2022, arXiv 2201.05510",
    },
    "contrast": {
        "NAME": "contrast by machine ID alone",
        "IDEA": "clips of one machine are pulled together, nothing else",
        "SCORERS": tuple(EMBEDDING_SCORERS),
    },
}


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    variant: str = "",
    first: float | None = None,
    encoder: Any = None,
    window: float | None = None,
    pretraining: Callable[..., tuple[nn.Module, list[dict]]] = pretrain,
    temperature: float = TEMPERATURE,
    margin: float = MARGIN,
    scale: float = SCALE,
    head: Callable[[int, int], nn.Module] | None = None,
    second_rate: float | None = None,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> nn.Module:
    """Train both stages; a :class:`MachineClassifier`.

    ``first`` is the share of the budget's epochs that stage 1 has: 0 is the
    single-stage method, 1 the contrast alone, a :class:`ContrastiveModel` (None: what
    ``variant`` says, half of them where it is none of :data:`VARIANTS`). ``encoder``
    is a config of :data:`asdlib.learn.encoders.ENCODERS` (None: the small one for these
    inputs), which sees ``window`` seconds of a clip at a time (None: all).
    ``pretraining`` may be another stage 1, called as
    :func:`asdlib.learn.contrastive.pretrain` is; ``second_rate`` another learning rate
    in stage 2 than the budget's. ``margin`` and ``scale`` are those of ArcFace, and
    ``head(dim, classes)`` makes another class head.

    Raises :class:`AsdError` for a share outside 0 to 1 and, where there is a stage 1,
    for a machine with one clip only.
    """
    check_kind(clips, NAME, INPUTS)
    first = SHARES[variant] if first is None else first
    if not 0 <= first <= 1:
        raise AsdError(
            f"a share of {first:g} of the epochs for stage 1 makes no sense: "
            "choose one from 0 to 1"
        )
    model = new_encoder(
        encoder or encoder_for(clips), clips.features, window=window, seed=seed
    )
    options: dict[str, Any] = {
        "seed": seed,
        "device": device,
        "validation": validation,
        "on_step": on_step,
    }
    epochs = round(first * budget.epochs)
    if epochs:
        options["folder"] = folder and folder / "stage 1"
        how = {"temperature": temperature, **options}
        model, _ = pretraining(model, clips, budget.of(epochs), **how)
    if epochs < budget.epochs:
        second = budget.of(budget.epochs - epochs)
        if second_rate is not None:
            second = replace(second, learning_rate=second_rate)
        options["folder"] = folder and folder / "stage 2"
        how = {"margin": margin, "scale": scale, "head": head, **options}
        model, _ = finetune(model, clips, second, **how)
    return model


def untrained(task: Task, *, variant: str = "") -> nn.Module:
    """The classifier before any training; what stage 1 trains where it is alone."""
    encoder = task.new_encoder()
    if variant == "contrast":
        return ContrastiveModel(encoder)
    return MachineClassifier(encoder, len(task.machines))


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The surprise at embeddings, of a classifier, and their distances to ``known``
    (N, dim)."""
    if not isinstance(model, MachineClassifier):
        return by_distance(known)
    return {**by_surprise(model, label), **by_distance(known)}


score = scored_by(judge)
