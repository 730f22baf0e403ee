"""Stage 2: a classifier of machine IDs whose surprise at a clip's own ID is the anomaly score.

ArcFace (Deng et al., CVPR 2019, arXiv 1801.07698) on the encoder and the first layer of the pretrained projection head,
everything trained on (Guan et al., ICASSP 2023).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.contrastive import ContrastiveModel
from asdlib.learn.heads import MARGIN, SCALE, ArcFace, linear_bn
from asdlib.learn.training import StageConfig, fit
from asdlib.sound.clips import Clips


class MachineClassifier(nn.Module):
    """Encoder, the head's first layer, and a class head: :class:`ArcFace`, or another one of :mod:`asdlib.learn.heads`.

    ``forward(*inputs, labels=None)`` → logits (N, classes); ``embed(*inputs)`` → the embedding (N, dim) that the
    distance-based scorers use. Built from a pretrained :class:`ContrastiveModel`, whose encoder and first head layer it
    shares, or from a bare encoder (the single-stage method: same network, nothing pretrained).
    """

    def __init__(
        self,
        base: ContrastiveModel | nn.Module,
        classes: int,
        *,
        margin: float = MARGIN,
        scale: float = SCALE,
        head: Callable[[int, int], nn.Module] | None = None,
    ):
        super().__init__()
        pretrained = isinstance(base, ContrastiveModel)
        self.encoder = base.encoder if pretrained else base
        self.first = base.head.first if pretrained else linear_bn(base.embedding_dim)
        head = partial(ArcFace, margin=margin, scale=scale) if head is None else head
        self.arcface = head(self.encoder.embedding_dim, classes)

    def embed(self, *inputs: Tensor) -> Tensor:
        return self.first(self.encoder(*inputs))

    def forward(self, *inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.arcface(self.embed(*inputs), labels)


def classification_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """The loss of one batch, in the form that :func:`asdlib.learn.training.fit` calls."""
    return F.cross_entropy(model(*inputs, labels=labels), labels)


def finetune(
    base: ContrastiveModel | nn.Module,
    clips: Clips,
    config: StageConfig,
    *,
    margin: float = MARGIN,
    scale: float = SCALE,
    head: Callable[[int, int], nn.Module] | None = None,
    seed: int = 0,
    **fit_options: Any,
) -> tuple[MachineClassifier, list[dict]]:
    """Stage 2: train a :class:`MachineClassifier` on ``base``, nothing frozen; the model and the log of :func:`fit`.

    ``head(dim, classes)`` makes another class head than ArcFace. ``fit_options`` go to :func:`asdlib.learn.training.fit`.
    """
    with seeded(seed, "classifier"):
        model = MachineClassifier(
            base, len(clips.names), margin=margin, scale=scale, head=head
        )
    return model, fit(
        model,
        classification_objective,
        clips,
        config,
        stage="finetune",
        seed=seed,
        **fit_options,
    )
