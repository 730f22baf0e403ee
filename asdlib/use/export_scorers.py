"""The scorers of embeddings as torch modules, so that they can be written as ONNX.

Each takes embeddings (B, dim) and gives the score of each of the K machines that a clip
might be of, (B, K): the numbers of :mod:`asdlib.judge.scorers`, in float64 as there.
"""

import numpy as np
import torch
from torch import Tensor, nn

from asdlib import methods
from asdlib.errors import AsdError
from asdlib.judge.plain import Standard
from asdlib.judge.scorers import EMBEDDING_SCORERS, LEAST, fit_distance, unit
from asdlib.learn.heads import ArcFace
from asdlib.methods.autoencoder import TypeAutoencoders
from asdlib.methods.idnn import TypeInterpolators
from asdlib.use.detector import Detector
from asdlib.use.export_ensemble import Ellipsoids, of_length_1

NEIGHBOURS = 2  # of knn_score


class Surprise(nn.Module):
    """-log p(own machine), with ArcFace's margin on it or without: (B, K)."""

    def __init__(self, arcface: ArcFace, *, margin: bool):
        super().__init__()
        self.arcface, self.margin = arcface, margin

    def forward(self, embedding: Tensor) -> Tensor:
        plain = self.arcface(embedding)
        own = plain
        if self.margin:
            scale = self.arcface.scale
            own = scale * self.arcface.shifted(plain / scale)
        itself = torch.eye(plain.shape[1], dtype=torch.bool)
        others = plain[:, None, :].masked_fill(itself, -1e9).logsumexp(dim=2)
        return nn.functional.softplus(others - own)


class Nearest(nn.Module):
    """Mean cosine distance to the nearest two of a machine's clips: (B, K)."""

    def __init__(self, banks: list[np.ndarray]):
        super().__init__()
        rows = (torch.from_numpy(bank).clone() for bank in banks)
        self.banks = nn.ParameterList(
            nn.Parameter(r, requires_grad=False) for r in rows
        )

    def forward(self, embedding: Tensor) -> Tensor:
        x, scores = of_length_1(embedding.double()), []
        for bank in self.banks:
            distance = 1 - x @ of_length_1(bank.double()).T
            count = min(NEIGHBOURS, len(bank))
            near = distance.topk(count, dim=1, largest=False).values
            scores.append(near.mean(dim=1).clamp(min=0))
        return torch.stack(scores, dim=1)


class Mahalanobis(nn.Module):
    """Squared Mahalanobis distance to the mean of a machine's clips: (B, K)."""

    def __init__(self, banks: list[np.ndarray]):
        super().__init__()
        dim = banks[0].shape[1]
        as_it_is = Standard(np.zeros(dim), np.ones(dim))
        fitted = [(as_it_is, fit_distance(unit(b), least=LEAST), 1) for b in banks]
        self.distances = Ellipsoids(fitted, of_unit_length=True)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.distances(embedding.double())


class OfOwnType(nn.Module):
    """Of the errors of a network a type, that of a machine's own: (B, types) → (B, K).

    ``places`` (K,) are those of the machines' types.
    """

    places: Tensor

    def __init__(self, places: list[int]):
        super().__init__()
        self.register_buffer("places", torch.tensor(places))

    def forward(self, errors: Tensor) -> Tensor:
        return errors[:, self.places]


def scorer_module(detector: Detector, model: nn.Module, name: str) -> nn.Module:
    """The scorer ``name`` of rows that ``model`` makes of clips: (B, dim) → (B, K).

    Raises :class:`AsdError` for one that is no graph of tensors here.
    """
    machines = detector.config.machines
    if type(model) in (TypeAutoencoders, TypeInterpolators):  # of one, errors alone
        assert isinstance(model, TypeAutoencoders)
        types = [machine.split("/")[0] for machine in machines]
        return OfOwnType([model.names.index(kind) for kind in types])
    banks = [detector.bank[detector.bank_labels == i] for i in range(len(machines))]
    arcface = getattr(model, "arcface", None)
    if name in ("softmax", "softmax-plain") and isinstance(arcface, ArcFace):
        return Surprise(arcface, margin=name == "softmax")
    if name in EMBEDDING_SCORERS and is_distance(detector, name):
        if name == "knn":
            return Nearest(banks)
        if name == "mahalanobis":
            return Mahalanobis(banks)
    raise AsdError(
        f"the scorer {name} of {detector.config.method} cannot be exported: what can "
        "be is an ensemble, the error of an autoencoder or of IDNN, the surprise of a "
        "classifier of machine IDs, and the distances knn and mahalanobis between "
        "embeddings; choose one of these, or score with asdlib"
    )


def is_distance(detector: Detector, name: str) -> bool:
    """Whether a method means by ``name`` the distance between rows that others do.

    Some have a scorer of this name that looks at other numbers, or piece by piece.
    """
    method = methods.detector(detector.config.method)
    known = detector.bank[detector.bank_labels == 0]
    told = method.judge(detector.model, known, 0)[name](detector.bank[:8])
    return np.array_equal(told, EMBEDDING_SCORERS[name](known, detector.bank[:8]))
