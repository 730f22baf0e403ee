"""Plain detectors and a network, side by side, what earns its place kept.

A clip is looked at in several ways that nobody had to train
(:mod:`asdlib.sound.summaries`) and by a network, as a rule that of
:mod:`asdlib.methods.sub_cluster`, or that of another method.
Each way gives a distance to the healthy clips of the machine, each distance becomes a
surprise by clips that the network has not learned from (:mod:`asdlib.judge.fusion`),
and the score is their mean. Which ways are kept is decided without any fault: by a
rehearsal (:mod:`asdlib.sound.rehearsal`) with a network that has neither heard the
clips that are asked nor the machines that play the strangers.

A recipe of this package, not of a paper.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from asdlib.errors import AsdError
from asdlib.judge.fusion import cross_scales, known_levels, learned_scales
from asdlib.judge.rehearsal import Play, Rehearsal
from asdlib.judge.scorers import Rows
from asdlib.learn.training import StageConfig
from asdlib.methods import (
    Judges,
    Task,
    check_kind,
    detector,
    embedded,
    sub_cluster,
    trained,
)
from asdlib.methods._parts import (
    NETWORK,
    Ensemble,
    judge_of,
    scorer_of,
    surprises,
    with_sums,
)
from asdlib.methods.nearest import check_pairs
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.rehearsal import play_of, strangers_of
from asdlib.sound.summaries import view_widths

NAME = "plain detectors and a network, side by side"
PAPER = "a recipe of this package; its parts: Wilkinghoff 2021, Fisher 1932"
IDEA = "plain detectors and a network, whatever earns its place in a rehearsal"
INPUTS = ("sound", "spectra")
SCORERS = ("fused", "plain")  # and each part
BUDGET = sub_cluster.BUDGET
COST = 125.0
HELD = 0.2  # share of a machine's clips that the network of the rehearsal does not hear


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    network: str | Callable[..., nn.Module] = "sub_cluster",
    seed: int = 0,
    device: str = "auto",
    precision: str = "32",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> Ensemble:
    """Train the network twice: for the rehearsal, and on all clips.

    ``budget`` is that of each, and the method ``network`` trains it (or a function that
    is called as a method's ``train``), of ``encoder``, which sees ``window`` seconds of
    a clip at a time (None: as the method says). What was found is in the
    ``rehearsal`` of the model. Raises :class:`AsdError` for a machine with a single
    clip, too, and for a method whose network cannot be a part (:func:`network_of`).
    """
    check_kind(clips, NAME, INPUTS)
    check_pairs(clips)
    if isinstance(network, str):
        network_of(network, Task.of(clips, encoder=encoder, window=window))  # or refuse
        network = partial(trained, detector(network))
    cut = {} if window is None else {"window": window}
    learned, asked, strange = rehearsal_rows(clips, seed=seed)

    def learner(rows: np.ndarray, name: str) -> tuple[Ensemble, np.ndarray]:
        """A network that has learned from some rows, and how it sees all."""
        able = network(
            clips.only(rows),
            budget=budget,
            encoder=encoder,
            **cut,
            stage=name,
            seed=seed,
            device=device,
            precision=precision,
            validation=validation,
            folder=folder and folder / name,
            on_step=on_step,
        )
        model = around(able, clips)
        return model, embedded(model, clips, device=device)[0]

    first, rows = learner(learned, "rehearsal")
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
    whole, rows_of_whole = learner(np.arange(len(clips)), "network")
    seen = whole.parts_of(rows_of_whole)[NETWORK]
    levels = known_levels(scorer_of(NETWORK), seen, clips.labels)
    whole.set_scales([*fixed, (levels + rises, spread)])
    if len(strange) and len(asked):
        whole.rehearsal = rehearse(
            first,
            (rows[learned], clips.machines[learned]),
            clips.only(asked),
            clips.only(strange),
            names=clips.names,
            seed=seed,
            device=device,
        )
        kept = [part in whole.rehearsal.kept for part in whole.widths]
        whole.kept.copy_(torch.tensor(kept))
    return whole


def untrained(task: Task, network: str = "sub_cluster") -> Ensemble:
    """The views and the network before any training."""
    model, count = network_of(network, task), len(task.machines)
    widths = view_widths(task.features, task.shape)
    return Ensemble(model, task.features, widths, count)


def network_of(name: str, task: Task) -> nn.Module:
    """The model of the method ``name`` before training, to be a part of an ensemble.

    Raises :class:`AsdError` where its clips are not embeddings of one encoder, which
    have distances.
    """
    method = detector(name)
    if "mahalanobis" in method.SCORERS:
        model = method.untrained(task)
        if hasattr(model, "encoder"):
            return model
    raise AsdError(
        f"{name} cannot be the network of an ensemble: it does not score distances "
        "between the embeddings of one encoder; choose another, such as sub_cluster"
    )


def around(network: nn.Module, clips: Clips) -> Ensemble:
    """The views of ``clips`` and a network that has been trained, as one."""
    shape = None if clips.features else clips.inputs[0].shape[2:]
    widths = view_widths(clips.features, shape)
    return Ensemble(network, clips.features, widths, len(clips.names)).eval()


def rehearsal_rows(
    clips: Clips, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (n,) that the network of the rehearsal learns from, those that it is asked
    about, and those of the machines that play the strangers.

    Of the last none, where none can be spared.
    """
    heard = ~np.isin(clips.machines, strangers_of(clips.names, turn=seed))
    fresh = fresh_rows(clips, seed=seed)
    learned = np.setdiff1d(np.flatnonzero(heard), fresh)
    return learned, fresh[heard[fresh]], np.flatnonzero(~heard)


def fresh_rows(clips: Clips, *, seed: int) -> np.ndarray:
    """Rows (n,) that the network of the rehearsal does not learn from.

    Drawn by ``seed``: a fifth of each machine's clips, one at least, none of two.
    """
    rng = np.random.default_rng([seed, 7])
    rows = []
    for label in range(len(clips.names)):
        own = rng.permutation(np.flatnonzero(clips.labels == label))
        rows.append(own[: max(1, round(HELD * len(own)))] if len(own) > 2 else own[:0])
    return np.sort(np.concatenate(rows))


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
    clips = play_of(healthy, strangers, seed=seed)
    repeats = len(clips) - 1
    asked = [embedded(model, part, device=device) for part in clips]
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


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The scores by the names of :func:`with_sums`, "fused" first; ``known`` are rows
    (N, dim) of a machine's healthy clips."""
    assert isinstance(model, Ensemble)
    parts = judge_of(model, known, label)

    def named(rows: np.ndarray, name: str) -> np.ndarray:
        return with_sums(model, parts(rows))[name]

    names = (*SCORERS, *model.widths)
    return {name: partial(named, name=name) for name in names}


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,) > 0 by the names of :func:`with_sums`, "fused" first.

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
    return with_sums(model, surprises(model, rows[0], rows[1], known.names))
