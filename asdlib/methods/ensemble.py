"""Plain detectors and a network, side by side, what earns its place kept.

A clip is looked at in several ways that nobody had to train
(:mod:`asdlib.sound.summaries`) and by a network (:mod:`asdlib.methods.sub_cluster`).
Each way gives a distance to the healthy clips of the machine, each distance becomes a
surprise by clips that the network has not learned from (:mod:`asdlib.judge.fusion`),
and the score is their mean. Which ways are kept is decided without any fault: by a
rehearsal (:mod:`asdlib.sound.rehearsal`) with a network that has neither heard the
clips that are asked nor the machines that play the strangers.

A recipe of this package, not of a paper.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.judge.fusion import (
    cross_scales,
    known_levels,
    learned_scales,
    logarithms,
    surprise_at,
)
from asdlib.judge.plain import plain_mahalanobis
from asdlib.judge.rehearsal import Play, Rehearsal
from asdlib.judge.scorers import (
    Rows,
    Scorer,
    by_machine,
    mahalanobis_score,
)
from asdlib.learn.training import StageConfig
from asdlib.methods import check_kind, embedded, sub_cluster
from asdlib.methods.nearest import check_pairs
from asdlib.methods.sub_cluster import SubClusterClassifier
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig
from asdlib.sound.rehearsal import rehearsed_faults, strangers_of
from asdlib.sound.summaries import views

NAME = "plain detectors and a network, side by side"
PAPER = "a recipe of this package; its parts: Wilkinghoff 2021, Fisher 1932"
INPUTS = ("sound", "spectra")
NETWORK = "network"  # the part that is trained
HELD = 0.2  # share of a machine's clips that the network of the rehearsal does not hear
REHEARSED = 12  # faults of each machine, at least


class Ensemble(nn.Module):
    """Views and a network: ``embed(*inputs)`` → all of their numbers (B, dim).

    ``widths`` is how many of them each part has, by its name, the network last.
    ``mean`` and ``spread`` (parts, machines) are those of the log scores of healthy
    clips, ``kept`` (parts,) says which parts the score is made of.
    """

    def __init__(
        self,
        network: SubClusterClassifier,
        features: FeatureConfig | None,
        widths: dict[str, int],
        machines: int,
    ):
        super().__init__()
        self.network, self.features, self.widths = network, features, widths
        self.rehearsal = Rehearsal()
        self.mean: Tensor
        self.spread: Tensor
        self.kept: Tensor
        shape = (len(widths), machines)
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("kept", torch.ones(len(widths), dtype=torch.bool))

    def set_scales(self, scales: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Fill in mean and spread (machines,) of each part."""
        for i, (mean, spread) in enumerate(scales):
            self.mean[i] = torch.from_numpy(mean)
            self.spread[i] = torch.from_numpy(spread)

    def embed(self, *inputs: Tensor) -> Tensor:
        seen = views(list(inputs), self.features)
        return torch.cat([*seen.values(), self.network.embed(*inputs)], dim=1)

    def parts_of(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers of each part: (N, dim) → (N, its width)."""
        ends = np.cumsum(list(self.widths.values()))[:-1]
        return dict(zip(self.widths, np.split(rows, ends, axis=1), strict=True))


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> Ensemble:
    """Train the network twice: for the rehearsal, and on all clips.

    ``budget`` is that of each; ``encoder`` goes to :mod:`asdlib.methods.sub_cluster`.
    What was found is in the ``rehearsal`` of the model. Raises :class:`AsdError` for a
    machine with a single clip, too.
    """
    check_kind(clips, NAME, INPUTS)
    check_pairs(clips)
    strangers = strangers_of(clips.names, turn=seed)
    heard = ~np.isin(clips.machines, strangers)
    fresh = fresh_rows(clips, seed=seed)
    learned = np.setdiff1d(np.flatnonzero(heard), fresh)
    asked = fresh[heard[fresh]]

    def trained(rows: np.ndarray, name: str) -> tuple[Ensemble, np.ndarray]:
        """A network that has learned from some rows, and how it sees all."""
        network = sub_cluster.train(
            clips.only(rows),
            budget=budget,
            encoder=encoder,
            seed=seed,
            device=device,
            validation=validation,
            folder=folder and folder / name,
            on_step=on_step,
        )
        model = around(network, clips)
        return model, embedded(model, clips, device=device)[0]

    first, rows = trained(learned, "rehearsal")
    parts = first.parts_of(rows)
    fixed = [
        cross_scales(scorer_of(part), x, clips.labels)
        for part, x in parts.items()
        if part != NETWORK
    ]
    levels, rises, spread = learned_scales(
        scorer_of(NETWORK), parts[NETWORK], clips.labels, learned=learned, asked=asked
    )
    first.set_scales([*fixed, (levels + rises, spread)])
    # What it has learned from all clips, none of them can tell: the rise is taken over.
    whole, rows_of_whole = trained(np.arange(len(clips)), "network")
    seen = whole.parts_of(rows_of_whole)[NETWORK]
    levels = known_levels(scorer_of(NETWORK), seen, clips.labels)
    whole.set_scales([*fixed, (levels + rises, spread)])
    if strangers and len(asked):
        whole.rehearsal = rehearse(
            first,
            (rows[learned], clips.machines[learned]),
            clips.only(asked),
            clips.only(~heard),
            names=clips.names,
            seed=seed,
            device=device,
        )
        kept = [part in whole.rehearsal.kept for part in whole.widths]
        whole.kept.copy_(torch.tensor(kept))
    return whole


def around(network: SubClusterClassifier, clips: Clips) -> Ensemble:
    """The views of ``clips`` and a network that has been trained, as one."""
    example = [torch.from_numpy(np.array(array[:1])) for array in clips.inputs]
    widths = {name: x.shape[1] for name, x in views(example, clips.features).items()}
    widths[NETWORK] = cast(int, network.encoder.embedding_dim)
    return Ensemble(network, clips.features, widths, len(clips.names)).eval()


def fresh_rows(clips: Clips, *, seed: int) -> np.ndarray:
    """Rows that the network of the rehearsal does not learn from, drawn by ``seed``.

    A fifth of each machine's clips, one at least, and none of two clips.
    """
    rng = np.random.default_rng([seed, 7])
    rows = []
    for label in range(len(clips.names)):
        own = rng.permutation(np.flatnonzero(clips.labels == label))
        rows.append(own[: max(1, round(HELD * len(own)))] if len(own) > 2 else own[:0])
    return np.sort(np.concatenate(rows))


# ------------------------------------------------------------------------ on one scale


def scorer_of(part: str) -> Scorer:
    """The distance by which a part scores."""
    return mahalanobis_score if part == NETWORK else plain_mahalanobis


def surprises(
    model: Ensemble, known: Rows, asked: Rows, names: list[str]
) -> dict[str, np.ndarray]:
    """How surprising each part finds what is asked: (M,) > 0, by the part's name.

    ``known`` and ``asked`` are rows (N, dim) and (M, dim) with their machines, of which
    ``names`` are all, in the order of the scales.
    """
    found, place = {}, np.searchsorted(names, asked[1])
    parts = model.parts_of(known[0]), model.parts_of(asked[0])
    for i, part in enumerate(model.widths):
        scores = by_machine(
            scorer_of(part), (parts[0][part], known[1]), (parts[1][part], asked[1])
        )
        mean, spread = model.mean[i].numpy()[place], model.spread[i].numpy()[place]
        found[part] = surprise_at(logarithms(scores), mean, spread)
    return found


# --------------------------------------------------------------------------- rehearsal


def rehearse(
    model: Ensemble,
    known: Rows,
    healthy: Clips,
    strangers: Clips,
    *,
    names: list[str],
    seed: int,
    device: str,
) -> Rehearsal:
    """Which parts find ``strangers`` in clips, and which are worth keeping.

    ``known`` are the rows that the network has learned from and their machines.
    """
    repeats = -(-REHEARSED * len(healthy.names) // len(healthy))
    faults = [
        rehearsed_faults(healthy, strangers, seed=seed + 1000 * i)
        for i in range(repeats)
    ]
    asked = [embedded(model, clips, device=device) for clips in (healthy, *faults)]
    rows = tuple(np.concatenate(part) for part in zip(*asked, strict=True))
    found = surprises(model, known, cast(Rows, rows), names)
    truth = np.repeat([0, 1], [len(healthy), repeats * len(healthy)])
    types = np.tile(healthy.types, 1 + repeats)
    play = Play(found, truth, types, np.tile(np.arange(len(healthy)), 1 + repeats))
    kept = play.worth_keeping()
    plain = tuple(part for part in found if part != NETWORK)
    gains = play.gains(kept, plain)
    low, high = np.quantile(gains, [0.025, 0.975]).tolist()
    choices: dict[str, tuple[str, ...]] = {part: (part,) for part in found}
    choices |= {"plain": plain, "all": tuple(found), "kept": kept}
    return Rehearsal(
        tuple(strangers.names),
        len(healthy),
        int(truth.sum()),
        {name: play.auc(parts) for name, parts in choices.items()},
        kept,
        play.auc(kept) - play.auc(plain),
        low,
        high,
    )


# ------------------------------------------------------------------------------ scores


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,) > 0: "fused", the mean surprise of the parts kept, and each part's.

    ``known`` are the clips that the model was trained on. Raises :class:`AsdError` for
    a machine of which none are known, and for other machines than those of the
    training.
    """
    assert isinstance(model, Ensemble)
    if model.mean.shape[1] != len(known.names):
        raise AsdError(
            f"an ensemble for {model.mean.shape[1]} machines, and known clips of "
            f"{len(known.names)}: give the clips that it was trained on"
        )
    rows = [embedded(model, clips, device=device) for clips in (known, asked)]
    found = surprises(model, rows[0], rows[1], known.names)
    kept = [
        found[part]
        for part, used in zip(found, model.kept.tolist(), strict=True)
        if used
    ]
    return {"fused": np.mean(kept, axis=0)} | found
