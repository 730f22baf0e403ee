"""How many epochs fit into the time that there is: a few steps are timed first."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from asdlib import methods, processes
from asdlib.errors import AsdError, spelled
from asdlib.learn.batches import plan_batches
from asdlib.learn.classifier import finetune
from asdlib.learn.contrastive import pretrain
from asdlib.learn.stage import StageConfig
from asdlib.methods import embedded, ensemble, sub_cluster
from asdlib.sound.clips import Clips
from asdlib.use.config import RunConfig
from asdlib.use.run import new_encoder

log = logging.getLogger("asdlib")
TIMED = 6  # steps of a training; the first one is not counted
RESERVE = 0.1  # of the budget, for what is not foreseen
LOOKS = 6  # times that an ensemble's training looks at every clip without learning
NOTHING = 1e-3  # seconds; what an epoch takes where nothing is trained
FEW_STEPS = 250  # below which a network is known to be poor

Train = Callable[..., nn.Module]


def within(
    config: RunConfig, clips: Clips, seconds: float, *, device: str = "auto"
) -> RunConfig:
    """``config`` with as many epochs as ``seconds`` of training allow, on this machine.

    Some steps on ``clips`` are timed; the stages keep their shares of the epochs. What
    is found is said in the log. Raises :class:`AsdError` where not one epoch fits, and
    in several processes, which would not agree.
    """
    if processes.world_size() > 1:
        raise AsdError(
            "a budget of time is for one process: give several of them "
            f"{spelled('epochs (in config)', '--epochs')} instead"
        )
    begun = time.perf_counter()
    looking, of_stages = costs(config, clips, device=device)
    left = (1 - RESERVE) * seconds - looking - (time.perf_counter() - begun)
    once = sum(of_stages)  # an epoch of each stage
    if once <= NOTHING:
        return config
    if left < once:
        raise AsdError(
            f"{seconds:.0f} s are left of the budget, and one epoch takes "
            f"{seconds - left + once:.0f} s here, all included: give more"
        )
    epochs = [stage.epochs for stage in config.stages]
    share = left / np.dot(epochs, of_stages)
    fitted = [stage.of(max(1, int(share * stage.epochs))) for stage in config.stages]
    first = None if config.pretrain is None else fitted[0]
    steps = [steps_of(stage, clips, config) * stage.epochs for stage in fitted]
    log.warning(
        "%.0f s: %s epochs, %d steps of training",
        seconds,
        " and ".join(str(stage.epochs) for stage in fitted),
        sum(steps),
    )
    if min(steps) < FEW_STEPS:
        log.warning("so few steps make a poor network: give more time, if you can")
    return replace(config, pretrain=first, finetune=fitted[-1])


def with_epochs_of(config: RunConfig, earlier: RunConfig) -> RunConfig:
    """``config`` with the epochs of a run that was begun within a budget."""
    if config.pretrain is not None and earlier.pretrain is not None:
        first = config.pretrain.of(earlier.pretrain.epochs)
        config = replace(config, pretrain=first)
    last = config.finetune.of(earlier.finetune.epochs)
    return replace(config, finetune=last)


def costs(config: RunConfig, clips: Clips, *, device: str) -> tuple[float, list[float]]:
    """Seconds for all looks at the clips, and for an epoch of each stage."""
    own = config.method == "ensemble" and config.network == "sub_cluster"
    if config.method != "clp_scf" and not own:
        return cost_of_other(config, clips, device=device)
    looks, networks = 1, 1.0
    if config.method == "ensemble":
        learned, _, _ = ensemble.rehearsal_rows(clips, seed=config.seed)
        looks, networks = LOOKS, 1 + len(learned) / len(clips)
    timed = []
    for stage, train in trainings(config, device):
        step, model, some = time_of_step(train, clips, stage)
        timed.append(step * steps_of(stage, clips, config) * networks)
    begun = time.perf_counter()
    embedded(model, some, device=device)
    look = (time.perf_counter() - begun) / len(some)
    return looks * look * len(clips), timed


def cost_of_other(
    config: RunConfig, clips: Clips, *, device: str
) -> tuple[float, list[float]]:
    """As :func:`costs`, of a method whose steps are its own affair.

    By what two epochs more take on some of the clips.
    """
    method, stage = methods.detector(config.method), config.finetune
    some, seconds = some_of(clips, stage), []
    how: dict[str, Any] = {
        "encoder": config.encoder,
        "window": config.window,
        "seed": config.seed,
        "device": device,
        "network": config.network,
    }
    for epochs in (1, 3):
        begun = time.perf_counter()
        short = replace(stage, clips_per_label=None).of(epochs)
        model = methods.trained(method, some, budget=short, **how)
        seconds.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    embedded(model, some, device=device)
    looks = LOOKS if config.method == "ensemble" else 1
    share = len(clips) / len(some)
    looking = looks * share * (time.perf_counter() - begun)
    return looking, [max(share * (seconds[1] - seconds[0]) / 2, NOTHING)]


def trainings(config: RunConfig, device: str) -> list[tuple[StageConfig, Train]]:
    """Each stage, and what trains it: ``(clips, stage, **fit options) -> model``."""
    options: dict[str, Any] = {
        "seed": config.seed,
        "precision": config.precision,
        "device": device,
    }

    def network(clips: Clips, stage: StageConfig, **how: Any) -> nn.Module:
        encoder = config.encoder
        how |= options
        learner = sub_cluster.train(clips, budget=stage, encoder=encoder, **how)
        return ensemble.around(learner, clips)

    def of_stage(function: Callable[..., Any]) -> Train:
        return lambda clips, stage, **how: function(
            new_encoder(config), clips, stage, **how, **options
        )[0]

    if config.method == "ensemble":
        return [(config.finetune, network)]
    both = [(config.pretrain, of_stage(pretrain))] if config.pretrain else []
    return [*both, (config.finetune, of_stage(finetune))]


def steps_of(stage: StageConfig, clips: Clips, config: RunConfig) -> int:
    """Steps in an epoch."""
    share, seed = config.validation, config.seed
    return plan_batches(clips.labels, stage, validation=share, seed=seed).steps


def some_of(clips: Clips, stage: StageConfig) -> Clips:
    """A few batches of ``clips``, as many of each machine, two at least."""
    each = max(2, -(-TIMED * stage.batch_size // len(clips.names)))
    firsts = [np.flatnonzero(clips.labels == i)[:each] for i in range(len(clips.names))]
    return clips.only(np.sort(np.concatenate(firsts)))


def time_of_step(
    train: Train, clips: Clips, stage: StageConfig
) -> tuple[float, nn.Module, Clips]:
    """Seconds that a step takes, the model that was trained, and the clips."""
    some = some_of(clips, stage)
    epochs = -(-TIMED // max(1, len(some) // stage.batch_size))
    short = replace(stage, clips_per_label=None).of(epochs)
    ticks: list[float] = []

    def tick(text: str, done: int, total: int) -> None:
        ticks.append(time.perf_counter())

    model = train(some, short, validation=0.0, on_step=tick)
    return float(np.mean(np.diff(ticks))), model, some
