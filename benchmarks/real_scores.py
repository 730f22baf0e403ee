"""Scores of real spectra that can be added: distances at several depths of a network, of the same scale in each machine."""

from collections.abc import Iterable

import numpy as np
import torch
from real_methods import Scores
from torch import nn

from asdlib.learn.spectrum_encoder import SpectrumEncoder
from asdlib.spectra import Spectra

NEAREST, AROUND = 2, 20  # training clips that a clip is compared with, and those that tell how close clips lie around each
DEPTHS = ("spectrum", "third convolution", "last convolution", "embedding")
HIDDEN = DEPTHS[:-1]
BEST = "2-NN of the embedding + local 2-NN of the rest"  # on the rehearsal of real_levers.py
COMBINATIONS = {
    "2-NN, embedding + last convolution": ("2-NN, embedding", "2-NN, last convolution"),
    "2-NN, all depths": tuple(f"2-NN, {depth}" for depth in DEPTHS),
    "local 2-NN, all depths": tuple(f"local 2-NN, {depth}" for depth in DEPTHS),
    BEST: ("2-NN, embedding", *(f"local 2-NN, {depth}" for depth in HIDDEN)),
    f"{BEST}, by rank": ("rank of 2-NN, embedding", *(f"rank of local 2-NN, {depth}" for depth in HIDDEN)),
}


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def mean_of_least(x: np.ndarray, count: int) -> np.ndarray:
    """The mean of the ``count`` least values of each row: (N, M) → (N,)."""
    return np.partition(x, count - 1, axis=1)[:, :count].mean(axis=1)


def distances(known: np.ndarray, asked: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By name of the distance: what a machine's training clips (N, dim) score among the others of them, and what ``asked``
    (M, dim) scores.

    The 2-NN score is the mean cosine distance to the nearest training clips. The local one first divides the distance to a
    training clip by that clip's own mean distance to the training clips around it, so that far means far for that region
    (Wilkinghoff et al., 2025, arXiv:2509.10951, after the local outlier factor of Breunig et al., SIGMOD 2000).
    """
    among, to = (1 - unit(x) @ unit(known).T for x in (known, asked))
    np.fill_diagonal(among, np.inf)
    around = mean_of_least(among, min(AROUND, len(known) - 1))
    return {
        "2-NN": (mean_of_least(among, NEAREST), mean_of_least(to, NEAREST)),
        "local 2-NN": (mean_of_least(among / around, NEAREST), mean_of_least(to / around, NEAREST)),
    }


@torch.no_grad()
def activations(model: nn.Module, x: np.ndarray) -> dict[str, np.ndarray]:
    """What clips (N, 1, bands, modulations) are at each of :data:`DEPTHS`: (N, dim) each."""
    encoder = next(part for part in model.eval().modules() if isinstance(part, SpectrumEncoder))
    parts: dict[str, list[torch.Tensor]] = {depth: [] for depth in DEPTHS}
    for start in range(0, len(x), 512):
        spectra = torch.from_numpy(x[start : start + 512])
        layer = encoder.standardise(spectra.flatten(1)).view(-1, *encoder.shape[1:]).transpose(1, 2)
        parts["spectrum"].append(layer.flatten(1))
        for i, convolution in enumerate(encoder.layers):
            layer = convolution(layer)
            if i == 2:
                parts["third convolution"].append(layer.flatten(1))
        parts["last convolution"].append(layer.flatten(1))
        parts["embedding"].append(model.embed(spectra))
    return {depth: torch.cat(part).numpy() for depth, part in parts.items()}


def all_scores(model: nn.Module, spectra: Spectra) -> Scores:
    """Both distances at every depth, with mean 0 and variance 1 over the machine's training clips, and their ranks among those:
    the surprise of so high a score, -log of the share of training clips that reach it."""
    scores: Scores = {}
    known, asked = (activations(model, clips.inputs[0]) for clips in (spectra.train, spectra.test))
    for depth in DEPTHS:
        for machine in spectra.test.names:
            tested = spectra.test.machines == machine
            a, b = known[depth][spectra.train.machines == machine], asked[depth][tested]
            if depth in ("spectrum", "third convolution"):  # still in units of all machines: bring them to this one's
                mean, spread = a.mean(axis=0), a.std(axis=0) + 1e-3
                a, b = (a - mean) / spread, (b - mean) / spread
            for name, (usual, new) in distances(a, b).items():
                reach = len(usual) - np.searchsorted(np.sort(usual), new)
                for label, values in {
                    f"{name}, {depth}": (new - usual.mean()) / usual.std(),
                    f"rank of {name}, {depth}": -np.log((1 + reach) / (1 + len(usual))),
                }.items():
                    scores.setdefault(label, np.empty(len(tested)))[tested] = values
    return scores


def combined(scores: Scores) -> Scores:
    """``scores`` without ranks, and the sums of :data:`COMBINATIONS`."""
    sums = {name: sum(scores[part] for part in parts) for name, parts in COMBINATIONS.items()}
    return {name: values for name, values in scores.items() if not name.startswith("rank")} | sums


def summed(several: Iterable[Scores]) -> Scores:
    """The sums over several networks."""
    several = [combined(scores) for scores in several]
    return {name: sum(scores[name] for scores in several) for name in several[0]}
