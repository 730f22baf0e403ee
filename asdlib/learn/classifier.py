"""Stage 2: a classifier of machine IDs.

Its surprise at a clip's own ID is the anomaly score. ArcFace (Deng et al., CVPR 2019,
arXiv 1801.07698) on the encoder and the first layer of the pretrained projection head,
everything trained on (Guan et al., ICASSP 2023).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.contrastive import ContrastiveModel
from asdlib.learn.heads import MARGIN, SCALE, ArcFace, linear_bn
from asdlib.learn.training import StageConfig, fit
from asdlib.sound.clips import Clips

ClassHead = Callable[[int, int], nn.Module]  # (dim, classes) → the head


class MachineClassifier(nn.Module):
    """Encoder, the projection head's first layer, and a class head.

    ``forward(*inputs, labels=None)`` → logits (N, classes), with ``labels`` (N,) int64
    as the class head takes them; ``embed(*inputs)`` → the embedding (N, dim) that the
    distance-based scorers use, dim = ``embedding_dim``.

    Built from a pretrained :class:`ContrastiveModel`, whose encoder and first head
    layer it shares, or from a bare encoder (the single-stage method: same network,
    nothing pretrained). ``head(dim, classes)`` makes another class head than
    :class:`ArcFace`, which takes ``margin`` and ``scale``. Raises :class:`AsdError`
    where they make no sense.
    """

    def __init__(
        self,
        base: ContrastiveModel | nn.Module,
        classes: int,
        *,
        margin: float = MARGIN,
        scale: float = SCALE,
        head: ClassHead | None = None,
    ):
        super().__init__()
        self.encoder: nn.Module
        if isinstance(base, ContrastiveModel):
            self.encoder, self.first = base.encoder, base.head.first
        else:
            self.encoder = base
            self.first = linear_bn(cast(int, base.embedding_dim))
        if head is None:
            head = partial(ArcFace, margin=margin, scale=scale)
        self.classes = classes
        self.embedding_dim = cast(int, self.encoder.embedding_dim)
        # By this name in the weights of every run, whichever head it is.
        self.arcface = head(self.embedding_dim, classes)

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
    """The cross-entropy of a batch, as :func:`asdlib.learn.training.fit` calls it.

    Of inputs, each (B, ...), and of labels (B,): one number, of shape ().
    """
    return F.cross_entropy(model(*inputs, labels=labels), labels)


def finetune(
    base: ContrastiveModel | nn.Module,
    clips: Clips,
    config: StageConfig,
    *,
    margin: float = MARGIN,
    scale: float = SCALE,
    head: ClassHead | None = None,
    seed: int = 0,
    **fit_options: Any,
) -> tuple[MachineClassifier, list[dict[str, Any]]]:
    """Stage 2: train a :class:`MachineClassifier` on ``base``, nothing frozen.

    Its classes are the machines of the N ``clips``. Returns the model and the log of
    :func:`asdlib.learn.training.fit`, to which ``fit_options`` go (device, precision,
    folder, ...) and whose errors it raises.
    """
    with seeded(seed, "classifier"):
        model = MachineClassifier(
            base, len(clips.names), margin=margin, scale=scale, head=head
        )
    options: dict[str, Any] = {"stage": "finetune", "seed": seed} | fit_options
    return model, fit(model, classification_objective, clips, config, **options)
