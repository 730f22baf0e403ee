"""What stands on an encoder: the projection head of stage 1, and the class heads.

A class head tells machines apart. It is called as ``head(embeddings (N, D), labels (N,)
or None)`` and returns logits (N, classes). With labels it may make the true class
harder (a margin); without, it scores.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.errors import AsdError

MARGIN, SCALE = 1.0, 30.0


class ProjectionHead(nn.Module):
    """Three bias-free linear layers (N, dim) → (N, dim).

    Each has a batch norm, the first two a ReLU. ``first`` (linear and batch norm, no
    ReLU) survives into stage 2 (Chen et al., NeurIPS 2020, "SimCLRv2").
    """

    def __init__(self, dim: int):
        super().__init__()
        self.first = linear_bn(dim)
        self.rest = nn.Sequential(nn.ReLU(), linear_bn(dim), nn.ReLU(), linear_bn(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.first(x))


def linear_bn(dim: int) -> nn.Sequential:
    """A bias-free linear layer (N, dim) → (N, dim) with batch norm."""
    return nn.Sequential(nn.Linear(dim, dim, bias=False), nn.BatchNorm1d(dim))


class ArcFace(nn.Module):
    r"""Class logits from angles, with an additive angular margin on the true class.

    ``forward(embeddings (N, D), labels (N,) or None)`` → logits (N, classes). Without
    labels :math:`s \cos\theta_j`, with :math:`\theta_j` the angle between the embedding
    and the weight of class j. With labels the true class gets :math:`s \cos(\theta +
    m)`; beyond :math:`\theta = \pi - m`, where that would rise again, :math:`s
    (\cos\theta - m \sin m)`. ``margin`` in radians, from 0 to below π; ``scale`` above
    0, up to 1000. Finite, with finite gradients, at :math:`\cos\theta = \pm 1` too.
    Raises :class:`AsdError` for another margin or scale.
    """

    def __init__(
        self, dim: int, classes: int, *, margin: float = MARGIN, scale: float = SCALE
    ):
        super().__init__()
        if not 0 <= margin < math.pi:
            raise AsdError(
                f"an ArcFace margin of {margin} is not an angle: choose 0 to 3.14 "
                "radians"
            )
        if not 0 < scale <= 1000:
            raise AsdError(
                f"an ArcFace scale of {scale:g} makes no sense: choose one above 0 and "
                "up to 1000, for example 30"
            )
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        # bf16 resolves an angle to no better than 5 degrees.
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine = self.cosine(embeddings)
            if labels is None:
                return self.scale * cosine
            own = labels[:, None]
            harder = self.shifted(cosine.gather(1, own))
            return self.scale * cosine.scatter(1, own, harder)

    def cosine(self, embeddings: Tensor) -> Tensor:
        """Cosines (N, classes) of the angles between embeddings (N, D) and classes.

        In float32, or in float64 where the embeddings are.
        """
        x = embeddings.float() if embeddings.dtype != torch.float64 else embeddings
        products = F.linear(x, F.normalize(self.weight.to(x.dtype)))
        # The products are fewer numbers to divide than the embeddings.
        return products / x.norm(dim=1, keepdim=True).clamp(min=1e-12)

    def shifted(self, cosine: Tensor) -> Tensor:
        """The cosine of the angle plus the margin, of a cosine of any shape.

        Its continuation where that would rise again.
        """
        # Floored: the root's slope is infinite at 0, and infinity times 0 is nan.
        sine = (1 - cosine**2).clamp(min=1e-7).sqrt()
        beyond = cosine <= -math.cos(self.margin)
        turned = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        return torch.where(beyond, cosine - self.margin * math.sin(self.margin), turned)


class SubCentres(ArcFace):
    """ArcFace with several ``centres`` a class, of which the nearest counts.

    Deng et al., ECCV 2020, "Sub-center ArcFace". Called and checked as
    :class:`ArcFace`; ``weight`` has shape (classes · centres, dim), the centres of a
    class in a row. Raises :class:`AsdError` for fewer centres than one, too.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        centres: int,
        margin: float = MARGIN,
        scale: float = SCALE,
    ):
        if centres < 1:
            raise AsdError(f"{centres} centres a class make no sense: choose 1 or more")
        super().__init__(dim, classes * centres, margin=margin, scale=scale)
        self.centres = centres

    def cosine(self, embeddings: Tensor) -> Tensor:
        """(N, dim) → (N, classes): to the nearest centre of each class."""
        return super().cosine(embeddings).unflatten(1, (-1, self.centres)).amax(dim=2)


class SubClusterAdaCos(nn.Module):
    r"""Several centres a class, all of which count: sub-cluster AdaCos.

    Wilkinghoff, IJCNN 2021. ``forward(embeddings (N, D), labels=None)`` → logits (N,
    classes), the logarithms of :math:`\sum_k \exp(s \cos\theta_{jk})` over the
    ``centres`` of class j: their softmax is the sum of the softmax over all centres. No
    margin, so labels are not needed, and may be soft. The scale is that of AdaCos
    (Zhang et al., CVPR 2019) before it adapts, :math:`s = \sqrt2 \log(CK - 1)`, kept
    fixed. With ``frozen`` the centres stay where they are drawn, too. Raises
    :class:`AsdError` for fewer centres than one.
    """

    def __init__(
        self, dim: int, classes: int, *, centres: int = 16, frozen: bool = False
    ):
        super().__init__()
        if centres < 1:
            raise AsdError(f"{centres} centres a class make no sense: choose 1 or more")
        self.centres = centres
        # One class with one centre has nothing to tell apart, at any scale.
        self.scale = math.sqrt(2) * math.log(max(2, classes * centres - 1))
        weight = torch.randn(classes * centres, dim)
        self.weight: Tensor
        if frozen:
            self.register_buffer("weight", weight)
        else:
            self.weight = nn.Parameter(weight)

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            x = F.normalize(embeddings.float())
            logits = self.scale * F.linear(x, F.normalize(self.weight))
            return logits.unflatten(1, (-1, self.centres)).logsumexp(dim=2)


class AdaProj(nn.Module):
    r"""A subspace for each class, frozen as it was drawn: AdaProj.

    Wilkinghoff, DCASE Workshop 2024 (arXiv 2403.14179). ``forward(embeddings (N, D),
    labels=None)`` → logits (N, classes) from 0 to ``scale``: with the embedding brought
    to length 1, :math:`s \langle x, P_c / |P_c| \rangle`, where :math:`P_c = \sum_j
    \langle x, w_{cj} \rangle w_{cj}` sums over the ``axes`` of class c, of length 1
    each. Were they at right angles, this would be the cosine of the angle between the
    embedding and the subspace. ``weight`` (classes, axes, D) is never trained. The
    scale is that of :class:`SubClusterAdaCos` with as many centres, fixed (a choice of
    ours: one that adapts shrinks where clips are mixed, and the loss stalls). Raises
    :class:`AsdError` for fewer axes than one.
    """

    def __init__(self, dim: int, classes: int, *, axes: int = 32):
        super().__init__()
        if axes < 1:
            raise AsdError(f"{axes} axes of a subspace make no sense: choose 1 or more")
        self.scale = math.sqrt(2) * math.log(max(2, classes * axes - 1))
        self.weight: Tensor
        rows = F.normalize(torch.randn(classes, axes, dim), dim=2)
        self.register_buffer("weight", rows)

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            x = F.normalize(embeddings.float())
            along = torch.einsum("nd,ckd->nck", x, self.weight)
            angles = self.weight @ self.weight.mT  # cosines between the axes
            length = torch.einsum("nck,ckl,ncl->nc", along, angles, along)
            onto = along.square().sum(dim=2)  # <x, P>
            return self.scale * onto / length.clamp(min=1e-12).sqrt()


class LinearHead(nn.Module):
    """The logits of a plain softmax classifier: (N, dim) → (N, classes).

    It takes labels and needs none.
    """

    def __init__(self, dim: int, classes: int):
        super().__init__()
        self.linear = nn.Linear(dim, classes)

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.linear(embeddings)
