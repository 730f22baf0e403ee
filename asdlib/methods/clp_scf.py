"""The book's method: contrast by machine ID, then a classifier of machine IDs, whose surprise is the score.

Guan et al., "Anomalous Sound Detection using Audio Representation with Machine ID based Contrastive Learning Pretraining",
ICASSP 2023 (arXiv 2304.03588). Stage 1 pulls clips of the same machine together (:mod:`asdlib.learn.contrastive`), stage 2
trains ArcFace on what stage 1 has learned (:mod:`asdlib.learn.classifier`); the score is -log p(own machine). Without stage 1
this is the single-stage method (STgram-MFN, Liu et al., ICASSP 2022); without stage 2 it is the contrast alone, by distances.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

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
    pretraining: Callable[..., nn.Module] | None = None,
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
    """Train both stages; a :class:`MachineClassifier`, or a :class:`ContrastiveModel` where ``first`` is 1.

    ``first`` is the share of the budget's epochs that stage 1 has: 0 is the single-stage method. ``encoder`` is a config of
    :data:`asdlib.learn.encoders.ENCODERS` (None: the small one for these inputs). ``pretraining`` is another stage 1, called
    as :func:`asdlib.learn.contrastive.pretrain` and returning the model only. The rest as in the two stages.
    """
    check_kind(clips, NAME, INPUTS)
    model = new_encoder(encoder or encoder_for(clips), clips.features, seed=seed)
    options: dict[str, Any] = {
        "seed": seed,
        "device": device,
        "validation": validation,
        "on_step": on_step,
    }
    epochs = round(first * budget.epochs)
    if epochs:
        stage_1 = pretraining or by_machine_id
        model = stage_1(
            model,
            clips,
            budget.of(epochs),
            temperature=temperature,
            folder=folder and folder / "stage 1",
            **options,
        )
    if epochs < budget.epochs:
        stage_2 = budget.of(budget.epochs - epochs)
        if second_rate is not None:
            stage_2 = replace(stage_2, learning_rate=second_rate)
        options |= {
            "margin": margin,
            "scale": scale,
            "head": head,
            "folder": folder and folder / "stage 2",
        }
        model, _ = finetune(model, clips, stage_2, **options)
    return model


def by_machine_id(
    encoder: nn.Module, clips: Clips, config: StageConfig, **options: Any
) -> nn.Module:
    """Stage 1 of the paper: :func:`asdlib.learn.contrastive.pretrain`, without its log."""
    return pretrain(encoder, clips, config, **options)[0]


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,): the distances between embeddings and, of a classifier, the surprise at the own machine.

    Machines of ``known``, sorted, are the classes of the classifier: give the clips that it was trained on. "softmax" has the
    margin on the own machine, "softmax-plain" has not; a head without a margin has the latter only.
    """
    rows = [embedded(model, clips, device=device) for clips in (known, asked)]
    scores = distance_scores(*rows)
    if isinstance(model, MachineClassifier):
        for scorer, margin in (("softmax", True), ("softmax-plain", False)):
            if not margin or isinstance(model.arcface, ArcFace):
                scores[scorer] = surprise(model, *rows[1], known.names, margin=margin)
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
    """-log p(own machine) (M,) of ``embeddings`` (M, dim); ``names`` are the machines in label order."""
    scores = np.empty(len(machines))
    for machine in np.unique(machines):
        own, label = machines == machine, names.index(machine)
        labels = torch.full((int(own.sum()),), label) if margin else None
        scores[own] = softmax_score(
            model.arcface(torch.from_numpy(embeddings[own]), labels).numpy(), label
        )
    return scores
