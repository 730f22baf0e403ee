"""The book's method: contrast by machine ID, then a classifier of machine IDs.

Guan et al., "Anomalous Sound Detection using Audio Representation with Machine ID
based Contrastive Learning Pretraining", ICASSP 2023 (arXiv 2304.03588). Stage 1 pulls
clips of the same machine together (:mod:`asdlib.learn.contrastive`), stage 2 trains
ArcFace on what stage 1 has learned (:mod:`asdlib.learn.classifier`); the score is the
surprise at the clip's own ID, -log p(own machine). Without stage 1 this is the
single-stage method (STgram-MFN, Liu et al., ICASSP 2022); without stage 2 it is the
contrast alone, by distances.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from asdlib.errors import AsdError
from asdlib.judge.scorers import distance_scores, softmax_score
from asdlib.learn.classifier import MachineClassifier, finetune
from asdlib.learn.contrastive import TEMPERATURE, pretrain
from asdlib.learn.encoders import encoder_for, new_encoder
from asdlib.learn.heads import MARGIN, SCALE, ArcFace
from asdlib.learn.training import StageConfig
from asdlib.methods import check_kind, embedded
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "two stages (CLP-SCF)"
PAPER = "Guan et al., ICASSP 2023, arXiv 2304.03588"
INPUTS = ("sound", "spectra")


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    first: float = 0.5,
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
    single-stage method, 1 the contrast alone, a :class:`ContrastiveModel`. ``encoder``
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


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,): distances between embeddings and, of a classifier, the surprise.

    Surprise is -log p(own machine). "softmax" has the margin on the own machine,
    "softmax-plain" has not; a head without a margin has the latter only. The machines
    of ``known``, sorted, are the classes: give the clips that the classifier was
    trained on. Raises :class:`AsdError` for a machine that is not among them, and where
    they are more or fewer than the classes.
    """
    rows = [embedded(model, clips, device=device) for clips in (known, asked)]
    scores = distance_scores(*rows)
    if isinstance(model, MachineClassifier):
        if isinstance(model.arcface, ArcFace):
            scores["softmax"] = surprise(model, *rows[1], known.names, margin=True)
        scores["softmax-plain"] = surprise(model, *rows[1], known.names, margin=False)
    return scores


@torch.no_grad()
def surprise(
    model: MachineClassifier,
    embeddings: np.ndarray,
    machines: np.ndarray,
    names: list[str],
    *,
    margin: bool,
) -> np.ndarray:
    """-log p(own machine) (M,) of ``embeddings`` (M, dim) of these ``machines`` (M,).

    ``names`` are the machines in the order of the classes. Raises :class:`AsdError`
    where they are more or fewer than the classes.
    """
    x, scores = torch.from_numpy(embeddings), np.empty(len(machines))
    classes = model.arcface(x[:1]).shape[1]
    if classes != len(names):
        raise AsdError(
            f"a classifier of {classes} machines, and known clips of {len(names)}: "
            "give the clips that it was trained on"
        )
    for machine in np.unique(machines):
        own, label = machines == machine, names.index(machine)
        labels = torch.full((int(own.sum()),), label) if margin else None
        scores[own] = softmax_score(model.arcface(x[own], labels).numpy(), label)
    return scores
