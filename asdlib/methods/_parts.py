"""The model of the ensemble: what its parts see, and how they are brought together.

Of each clip the model makes one row of numbers, the views' and the network's, so that
whatever keeps embeddings, or asks for them, keeps all that the parts need.
"""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.judge.fusion import logarithms, surprise_at
from asdlib.judge.plain import fit_plain_mahalanobis, plain_mahalanobis
from asdlib.judge.rehearsal import Rehearsal
from asdlib.judge.scorers import (
    Rows,
    Scorer,
    cross_scores,
    fit_mahalanobis,
    mahalanobis_score,
)
from asdlib.sound.features import FeatureConfig
from asdlib.sound.summaries import views

NETWORK = "network"  # the part that is trained, the last one
Judge = Callable[[np.ndarray], dict[str, np.ndarray]]  # rows → surprises by part


class Ensemble(nn.Module):
    """Views and a network: ``embed(*inputs)`` → all of their numbers (B, dim).

    ``widths`` says how many numbers each view has
    (:func:`asdlib.sound.summaries.view_widths`), and then, by the name of each part,
    the network last.
    ``mean`` and ``spread`` (parts, machines) are those of the log scores of healthy
    clips, ``kept`` (parts,) says which parts the score is made of.
    """

    def __init__(
        self,
        network: nn.Module,
        features: FeatureConfig | None,
        widths: dict[str, int],
        machines: int,
    ):
        super().__init__()
        self.network, self.features = network, features
        dim = cast(int, network.embedding_dim)
        self.widths = widths | {NETWORK: dim}
        self.rehearsal = Rehearsal()
        self.mean: Tensor
        self.spread: Tensor
        self.kept: Tensor
        shape = (len(self.widths), machines)
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("kept", torch.ones(len(self.widths), dtype=torch.bool))

    def set_scales(self, scales: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Fill in mean and spread (machines,) of each part."""
        for i, (mean, spread) in enumerate(scales):
            self.mean[i] = torch.from_numpy(mean)
            self.spread[i] = torch.from_numpy(spread)

    def embed(self, *inputs: Tensor) -> Tensor:
        seen = views(list(inputs), self.features)
        own = self.network.embed(*inputs)  # type: ignore[operator]
        return torch.cat([*seen.values(), own], dim=1)

    def parts_of(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers of each part: (N, dim) → (N, its width)."""
        ends = np.cumsum(list(self.widths.values()))[:-1]
        return dict(zip(self.widths, np.split(rows, ends, axis=1), strict=True))


def scorer_of(part: str) -> Scorer:
    """The distance by which a part scores."""
    return mahalanobis_score if part == NETWORK else plain_mahalanobis


def judge_of(model: Ensemble, known: np.ndarray, label: int) -> Judge:
    """How surprising clips of one machine are: rows (M, dim) → {part: (M,) > 0}.

    ``known`` (N, dim) are the rows of its healthy clips, ``label`` its place among the
    machines. Fitted once, for many calls.
    """
    fitted = {
        part: fit_mahalanobis(x) if part == NETWORK else fit_plain_mahalanobis(x)
        for part, x in model.parts_of(known).items()
    }
    scales = torch.stack([model.mean[:, label], model.spread[:, label]], dim=1)
    on = dict(zip(fitted, scales.tolist(), strict=True))

    def judge(rows: np.ndarray) -> dict[str, np.ndarray]:
        return {
            part: surprise_at(logarithms(fitted[part](x)), *on[part])
            for part, x in model.parts_of(rows).items()
        }

    return judge


def cross_surprises(
    model: Ensemble, known: np.ndarray, label: int
) -> dict[str, np.ndarray]:
    """As :func:`judge_of`, of a machine's own clips (N, dim), each held against the
    others.

    The network has learned from them: how surprising they are to it is told by how they
    lie among each other.
    """
    found = {}
    for i, (part, x) in enumerate(model.parts_of(known).items()):
        logs = logarithms(cross_scores(scorer_of(part), x))
        mean = logs.mean() if part == NETWORK else model.mean[i, label].item()
        found[part] = surprise_at(logs, mean, model.spread[i, label].item())
    return found


def with_sums(model: Ensemble, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The scores (M,) by every name: "fused", "plain", and each part.

    The first is the mean of the parts that were kept, the second that of all but the
    network.
    """
    kept = [name for name, yes in zip(found, model.kept.tolist(), strict=True) if yes]
    sums = {"fused": kept, "plain": [name for name in found if name != NETWORK]}
    return {
        name: np.mean([found[part] for part in parts], axis=0)
        for name, parts in sums.items()
    } | found


def surprises(
    model: Ensemble, known: Rows, asked: Rows, names: list[str]
) -> dict[str, np.ndarray]:
    """How surprising each part finds what is asked: (M,) > 0, by the part's name.

    ``known`` and ``asked`` are rows (N, dim) and (M, dim) with their machines, of which
    ``names`` are all, in the order of the scales. Raises :class:`AsdError` for a
    machine of which nothing is known.
    """

    found = {part: np.empty(len(asked[1])) for part in model.widths}
    for machine in np.unique(asked[1]).tolist():
        own, here = known[0][known[1] == machine], asked[1] == machine
        if not len(own):
            raise AsdError(
                f"no training clip of {machine}: "
                "give normal clips of every machine that is to be scored"
            )
        judge = judge_of(model, own, names.index(machine))
        for part, scores in judge(asked[0][here]).items():
            found[part][here] = scores
    return found
