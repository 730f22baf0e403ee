"""Stage 1: contrastive pretraining in which clips of one machine ID are the positives.

Guan et al., ICASSP 2023 (arXiv 2304.03588), with the supervised contrastive loss of
Khosla et al., NeurIPS 2020 (arXiv 2004.11362). There are no augmented views: a batch
holds each clip once, and its partners are the other clips of its machine.
"""

from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.errors import AsdError
from asdlib.learn.heads import ProjectionHead
from asdlib.learn.training import NothingToCompareError, StageConfig, fit
from asdlib.processes import all_gather
from asdlib.sound.clips import Clips

TEMPERATURE = 0.1


class ContrastiveModel(nn.Module):
    """An encoder with an ``embedding_dim``, and a head whose outputs are compared.

    ``forward(*inputs)`` → z (N, dim); ``embed(*inputs)`` → the representation (N, dim)
    that stage 2 goes on from.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.embedding_dim = cast(int, encoder.embedding_dim)
        self.head = ProjectionHead(self.embedding_dim)

    def embed(self, *inputs: Tensor) -> Tensor:
        return self.head.first(self.encoder(*inputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.head.rest(self.embed(*inputs))


def with_new_head(encoder: nn.Module, *, seed: int = 0) -> ContrastiveModel:
    """``encoder`` under a projection head with new weights: where stage 1 starts.

    They are drawn by ``seed``.
    """
    with seeded(seed, "head"):
        return ContrastiveModel(encoder)


def supervised_contrastive_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float = TEMPERATURE,
    self_in_denominator: bool = False,
) -> Tensor:
    r"""Loss of ``embeddings`` (N, D), of any length, with integer ``labels`` (N,).

    .. math::

        L_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log \frac
            {\exp(\cos(z_i, z_p) / \tau)}
            {\sum_{a \ne i} \exp(\cos(z_i, z_a) / \tau)}

    averaged over the anchors i that have positives P(i), the other clips of the same
    label (Khosla et al., eq. 2). ``self_in_denominator`` also counts a = i there, as
    the paper's public code does. A scalar, float32 (float64 of float64).

    Raises :class:`NothingToCompareError` when no two clips share a label (on a GPU it
    is nan instead: to ask would make the host wait for all that is still being
    computed), and :class:`AsdError` for other shapes, or for a temperature that is not
    above 0.

    >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    >>> loss = supervised_contrastive_loss(z, torch.tensor([0, 0, 1]), temperature=1.0)
    >>> print(f"{loss:.4f} = log(1 + e^-2)")
    0.1269 = log(1 + e^-2)
    """
    if not temperature > 0:
        raise AsdError(
            f"a temperature of {temperature:g} makes no sense: choose one above 0, for "
            "example 0.1"
        )
    if embeddings.dim() != 2 or labels.shape != embeddings.shape[:1]:
        raise AsdError(
            f"embeddings of shape {tuple(embeddings.shape)} and labels of shape "
            f"{tuple(labels.shape)}: give (N, D) and (N,)"
        )
    double = embeddings.dtype == torch.float64
    z = F.normalize(embeddings if double else embeddings.float())
    similarity = z @ z.T / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    positives = ((labels[:, None] == labels[None, :]) & ~itself).to(z.dtype)
    count = positives.sum(dim=1)
    anchors = (count > 0).sum()
    if anchors.device.type == "cpu" and anchors == 0:
        raise NothingToCompareError(
            f"no two of the {len(z)} clips in the batch are of the same machine, so "
            "there is nothing to pull together: use larger batches, fewer parts "
            "(accumulation_steps) or fewer machines"
        )
    if not self_in_denominator:
        # Not -inf: a positive's weight of 0 times -inf would be nan.
        similarity = similarity.masked_fill(itself, torch.finfo(z.dtype).min)
    # An anchor without positives weighs nothing.
    targets = positives / count.clamp(min=1)[:, None]
    return F.cross_entropy(similarity, targets, reduction="sum") / anchors


def contrastive_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    temperature: float = TEMPERATURE,
    self_in_denominator: bool = False,
) -> Tensor:
    """The loss of a batch, as :func:`asdlib.learn.training.fit` calls it.

    Of inputs, each (B, ...), and of labels (B,): one number, of shape (). The clips of
    all processes are compared.
    """
    z, labels = all_gather(model(*inputs), labels)
    return supervised_contrastive_loss(
        z, labels, temperature=temperature, self_in_denominator=self_in_denominator
    )


def pretrain(
    encoder: nn.Module,
    clips: Clips,
    config: StageConfig,
    *,
    temperature: float = TEMPERATURE,
    self_in_denominator: bool = False,
    seed: int = 0,
    **fit_options: Any,
) -> tuple[ContrastiveModel, list[dict[str, Any]]]:
    """Stage 1: train ``encoder`` (in place) and a new projection head.

    Returns both as one model, and the log of :func:`asdlib.learn.training.fit`, to
    which ``fit_options`` go (device, precision, folder, ...) and whose errors it
    raises. Raises :class:`AsdError` also where a machine has a single clip.
    """
    labels, counts = torch.unique(torch.as_tensor(clips.labels), return_counts=True)
    if (counts < 2).any():
        alone = ", ".join(clips.names[label] for label in labels[counts < 2].tolist())
        raise AsdError(
            f"only one clip of {alone}: contrast needs pairs, so give two or more "
            "clips or leave it out"
        )
    model = with_new_head(encoder, seed=seed)
    objective = partial(
        contrastive_objective,
        temperature=temperature,
        self_in_denominator=self_in_denominator,
    )
    options: dict[str, Any] = {"stage": "pretrain", "seed": seed} | fit_options
    return model, fit(model, objective, clips, config, **options)
