"""Stage 2: a classifier of machine IDs; surprise at a clip's own ID is its score.

ArcFace (Deng et al., CVPR 2019, arXiv 1801.07698) on the encoder and the first layer of
the pretrained projection head, everything trained on (Guan et al., ICASSP 2023).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.batches import StageConfig
from asdlib.learn.contrastive import ContrastiveModel
from asdlib.learn.heads import MARGIN, SCALE, ArcFace, linear_bn
from asdlib.learn.training import fit
from asdlib.sound.clips import Clips


class MachineClassifier(nn.Module):
    """Encoder, the projection head's first layer, and a class head.

    The class head is :class:`ArcFace`, or another one of :mod:`asdlib.learn.heads`,
    made by ``head(dim, classes)``. ``forward(*inputs, labels=None)`` → logits (N,
    classes); ``embed(*inputs)`` → the embedding (N, dim) that the distance-based
    scorers use.

    Built from a pretrained :class:`ContrastiveModel`, whose encoder and first head
    layer it shares, or from a bare encoder (the single-stage method: same network,
    nothing pretrained).
    """

    def __init__(
        self,
        base: Any,
        classes: int,
        *,
        margin: float = MARGIN,
        scale: float = SCALE,
        head: Callable[[int, int], nn.Module] | None = None,
    ):
        super().__init__()
        pretrained = isinstance(base, ContrastiveModel)
        self.encoder: Any = base.encoder if pretrained else base
        dim = self.encoder.embedding_dim
        self.first: nn.Module = base.head.first if pretrained else linear_bn(dim)
        make = head or partial(ArcFace, margin=margin, scale=scale)
        self.arcface: Any = make(dim, classes)

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
    """The loss of one batch, as :func:`asdlib.learn.training.fit` calls it."""
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
    """Stage 2: train a :class:`MachineClassifier` on ``base``, nothing frozen.

    Returns the model and the log of :func:`asdlib.learn.training.fit`, to which
    ``fit_options`` go. ``head(dim, classes)`` makes another class head than ArcFace.
    """
    classes = len(clips.names)
    with seeded(seed, "classifier"):
        model = MachineClassifier(base, classes, margin=margin, scale=scale, head=head)
    options = {"stage": "finetune", "seed": seed, **fit_options}
    return model, fit(model, classification_objective, clips, config, **options)
