"""Stage 2: a classifier of machine IDs whose surprise at a clip's own ID is the anomaly score.

ArcFace (Deng et al., CVPR 2019, arXiv 1801.07698) on the encoder and the first layer of the pretrained projection head,
everything trained on (Guan et al., ICASSP 2023).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.contrastive import ContrastiveModel, linear_bn
from asdlib.errors import AsdError
from asdlib.training import Examples, StageConfig, fit, seeded

MARGIN, SCALE = 1.0, 30.0


class ArcFace(nn.Module):
    r"""Class logits from angles, with an additive angular margin on the true class.

    ``forward(embeddings (N, D), labels (N,) or None)`` → logits (N, classes). Without labels
    :math:`s \cos\theta_j`, with :math:`\theta_j` the angle between the embedding and the weight of class j. With labels
    the true class gets :math:`s \cos(\theta + m)`; beyond :math:`\theta = \pi - m`, where that would rise again,
    :math:`s (\cos\theta - m \sin m)`. ``margin`` in radians, 0 to π. Finite, with finite gradients, at
    :math:`\cos\theta = \pm 1` too.
    """

    def __init__(self, dim: int, classes: int, *, margin: float = MARGIN, scale: float = SCALE):
        super().__init__()
        if not 0 <= margin < math.pi:
            raise AsdError(f"an ArcFace margin of {margin} is not an angle: choose 0 to 3.14 radians")
        if not 0 < scale <= 1000:
            raise AsdError(f"an ArcFace scale of {scale:g} makes no sense: choose one above 0 and up to 1000, for example 30")
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):  # bf16 resolves an angle to no better than 5 degrees
            x = embeddings.float() if embeddings.dtype != torch.float64 else embeddings
            cosine = F.linear(F.normalize(x), F.normalize(self.weight.to(x.dtype)))
            if labels is None:
                return self.scale * cosine
            return self.scale * cosine.scatter(1, labels[:, None], self.shifted(cosine.gather(1, labels[:, None])))

    def shifted(self, cosine: Tensor) -> Tensor:
        """The cosine of the angle plus the margin, and its continuation where that would rise again."""
        sine = (1 - cosine**2).clamp(min=1e-7).sqrt()  # the root's slope is infinite at 0, and infinity times 0 is nan
        beyond = cosine <= -math.cos(self.margin)
        turned = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        return torch.where(beyond, cosine - self.margin * math.sin(self.margin), turned)


class MachineClassifier(nn.Module):
    """Encoder, the head's first layer, ArcFace.

    ``forward(*inputs, labels=None)`` → logits (N, classes); ``embed(*inputs)`` → the embedding (N, dim) that the
    distance-based scorers use. Built from a pretrained :class:`ContrastiveModel`, whose encoder and first head layer it
    shares, or from a bare encoder (the single-stage method: same network, nothing pretrained).
    """

    def __init__(self, base: ContrastiveModel | nn.Module, classes: int, *, margin: float = MARGIN, scale: float = SCALE):
        super().__init__()
        pretrained = isinstance(base, ContrastiveModel)
        self.encoder = base.encoder if pretrained else base
        self.first = base.head.first if pretrained else linear_bn(base.embedding_dim)
        self.arcface = ArcFace(self.encoder.embedding_dim, classes, margin=margin, scale=scale)

    def embed(self, *inputs: Tensor) -> Tensor:
        return self.first(self.encoder(*inputs))

    def forward(self, *inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.arcface(self.embed(*inputs), labels)


def classification_objective(model, inputs, labels) -> Tensor:
    """The loss of one batch, in the form that :func:`asdlib.training.fit` calls."""
    return F.cross_entropy(model(*inputs, labels=labels), labels)


def finetune(
    base: ContrastiveModel | nn.Module,
    examples: Examples,
    config: StageConfig,
    *,
    classes: int,
    margin: float = MARGIN,
    scale: float = SCALE,
    seed: int = 0,
    **fit_options,
) -> tuple[MachineClassifier, list[dict]]:
    """Stage 2: train a :class:`MachineClassifier` on ``base``, nothing frozen; the model and the log of :func:`fit`.

    ``examples.labels`` are 0 to ``classes`` - 1. ``fit_options`` go to :func:`asdlib.training.fit`.
    """
    if not 0 <= min(examples.labels) <= max(examples.labels) < classes:
        raise AsdError(f"labels run from {min(examples.labels)} to {max(examples.labels)} with {classes} classes: count from 0")
    with seeded(seed, "classifier"):
        model = MachineClassifier(base, classes, margin=margin, scale=scale)
    return model, fit(model, classification_objective, examples, config, stage="finetune", seed=seed, **fit_options)
