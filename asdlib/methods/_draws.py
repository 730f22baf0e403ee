"""What is left of a network by some draw, how good that is, and a search for better."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.device import find_device, torch_seeded
from asdlib.learn.batches import batch_of
from asdlib.learn.pruning import MOST, Plan, largest, sizes_of, uniform
from asdlib.learn.slimming import settle, slimmed
from asdlib.sound.clips import Clips

SEEN, BATCH = 256, 64  # clips at most by which norms settle, or draws are judged
DRAWS, SPREAD = 12, 0.15  # of a generation; of the shares in the first


class Draws:
    """What is left of ``model`` by some draw, and how far it is from the whole.

    Batch norms settle on ``clips``, and the distance is that of the embeddings of
    ``judged``, some of each where there are many.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        clips: Clips,
        judged: Clips,
        *,
        seed: int,
        device: str,
    ):
        place = find_device(device)
        rng = np.random.default_rng([seed, 17])

        def some(of: Clips) -> list[tuple[Tensor, ...]]:
            rows = rng.permutation(len(of))[:SEEN]
            parts = np.array_split(rows, -(-len(rows) // BATCH))
            return [batch_of(of, part, place)[0] for part in parts]

        self.plan, self.seed, self.sizes = plan, seed, sizes_of(model, plan)
        self.whole = deepcopy(model).eval().to(place)
        self.heard, self.asked = some(clips), some(judged)
        with torch.no_grad():
            self.targets = [embedding(self.whole, *inputs) for inputs in self.asked]
        known = self.targets
        if sum(map(len, known)) < 2:  # one clip does not vary
            with torch.no_grad():
                known = [embedding(self.whole, *inputs) for inputs in self.heard]
        spread = torch.cat(known).var(dim=0, correction=0).sum().item()
        self.scale = max(spread, 1e-12)

    def stay(self, kept: np.ndarray) -> set[int]:
        """The classes that stay where ``kept`` (groups,) channels do."""
        return largest(self.plan, self.sizes, kept)

    def left(self, kept: np.ndarray) -> nn.Module:
        """What is left where ``kept`` (groups,) channels stay, the norms settled."""
        model = slimmed(self.whole, self.plan, self.stay(kept))
        with torch_seeded(self.seed, 19):  # which pieces of long clips are heard
            settle(model, self.heard)
        return model

    @torch.no_grad()
    def loss(self, kept: np.ndarray) -> float:
        """How far embeddings are from those of the whole, squared, in variances, where
        ``kept`` (groups,) channels stay."""
        model = self.left(kept)
        off = [
            (embedding(model, *inputs) - target).square().sum(dim=1)
            for inputs, target in zip(self.asked, self.targets, strict=True)
        ]
        return torch.cat(off).mean().item() / self.scale


def searched(
    plan: Plan,
    limit: float,
    loss: Callable[[np.ndarray], float],
    *,
    generations: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """How many channels of each group stay: (groups,), by a cross-entropy search.

    The first generation is drawn around :func:`asdlib.learn.pruning.uniform`, which
    stays if the mean of the good draws is no better; a single draw is never taken,
    because the best of many is flattered by the few clips that judge. Raises
    :class:`AsdError` for a ``limit`` that cannot be kept.
    """
    first = uniform(plan, limit)
    if not len(first) or (first == plan.counts).all():
        return first
    mean = 1 - first / plan.counts
    spread = np.full(len(mean), SPREAD)
    for _ in range(generations):
        shares = mean + spread * rng.standard_normal((DRAWS, len(mean)))
        drawn = [plan.within(row, limit) for row in shares.clip(0, MOST)]
        losses = np.array([loss(kept) for kept in drawn])
        # By weights instead of ranks: what rounding does to a loss, it does to a mean.
        weights = np.exp(-2 * (losses - losses.min()) / (losses.std() + 1e-12))
        weights /= weights.sum()
        shares = 1 - np.array(drawn) / plan.counts
        mean = weights @ shares
        spread = np.sqrt(weights @ (shares - mean) ** 2).clip(0.02)
    return min((first, plan.within(mean, limit)), key=loss)


def embedding(model: nn.Module, *inputs: Tensor) -> Tensor:
    """``model.embed`` of inputs, each (B, ...): (B, dim)."""
    return model.embed(*inputs)  # type: ignore[operator]
