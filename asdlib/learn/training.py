"""The one training loop of both stages.

``fit`` knows nothing of audio and nothing of the losses: it takes a model, an objective
``(model, inputs, labels, rng) -> scalar`` and :class:`Clips`, and brings the
learning-rate schedule, the held-out loss, the log, the checkpoint and the device
(through Lightning Fabric).

What a step does depends on the weights and on (seed, stage, epoch, step, rank) only:
all random numbers of a step, numpy's ``rng`` and torch's own (dropout), are drawn from
these. So a run that was killed and goes on from its checkpoint ends in the same weights
as one never interrupted: on the same CPU, with the same number of threads, bit for bit.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asdlib import processes
from asdlib.device import find_device, keep_freed_memory, torch_seeded
from asdlib.errors import AsdError
from asdlib.learn.batches import (
    BatchPlan,
    StageConfig,
    batch_of,
    plan_batches,
    shuffle,
)
from asdlib.learn.checkpoint import LOG_COLUMNS, Checkpoint, Place
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Objective = Callable[
    [nn.Module, tuple[Tensor, ...], Tensor, np.random.Generator], Tensor
]
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}  # ours and Fabric's names
SAVE_EVERY = 600.0  # seconds; a long epoch leaves checkpoints on its way


class NothingToCompareError(AsdError):
    """A loss that compares clips has been given none that can be compared."""


@dataclass(frozen=True)
class _Training:
    """What stays the same from epoch to epoch."""

    model: Any  # as Fabric has wrapped it
    objective: Objective
    clips: Clips
    config: StageConfig
    plan: BatchPlan
    optimizer: torch.optim.Optimizer
    fabric: "Fabric"
    stage: str
    seed: int
    on_step: OnStep


def fit(
    model: nn.Module,
    objective: Objective,
    clips: Clips,
    config: StageConfig,
    *,
    stage: str,
    seed: int = 0,
    validation: float = 0.05,
    device: str = "auto",
    precision: str = "32",
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> list[dict]:
    """Train ``model`` in place; a log with one row per epoch (:data:`LOG_COLUMNS`).

    ``validation`` is the share of each machine's clips (all normal) that is held out
    for the loss curve; nothing is selected by it. With a ``folder`` the rows also go to
    its ``log.csv``, and every epoch, and every ten minutes of a long one, leaves a
    ``checkpoint`` from which a later call with the same arguments goes on.
    ``precision`` is "32" or "bf16".

    With ``config.accumulation_steps`` the gradients of the parts of a batch are
    averaged before the step; batch norms, and a loss that compares clips, then see one
    part at a time, not the batch. Raises :class:`AsdError` when a loss is not finite or
    a checkpoint does not fit.
    """
    fabric = make_fabric(device, precision)
    keep_freed_memory()
    cast(Any, model).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    wrapped, optimizer = fabric.setup(model, adam)
    plan = plan_batches(clips.labels, config, validation=validation, seed=seed)
    begun, log, checkpoint = Place(), [], None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = Checkpoint(folder, stage)
        begun = checkpoint.load(model, optimizer)
        log = [row for row in checkpoint.log() if row["epoch"] < begun.epoch]

    def save(place: Place) -> None:
        if checkpoint and processes.is_first():  # only one process writes
            checkpoint.save(model, optimizer, log, place)

    training = _Training(
        wrapped, objective, clips, config, plan, optimizer, fabric, stage, seed, on_step
    )
    for epoch in range(begun.epoch, config.epochs):
        started = time.perf_counter()
        place = begun if epoch == begun.epoch else Place(epoch)
        mean = train_epoch(training, place, save)
        if not math.isfinite(mean):
            raise AsdError(
                f"the loss of stage {stage} became {mean} in epoch {epoch}: lower the "
                "learning rate"
            )
        held_out, rate = evaluate_loss(training), config.learning_rate_in(epoch)
        seconds = time.perf_counter() - started
        values = stage, epoch, rate, mean, held_out, seconds
        log.append(dict(zip(LOG_COLUMNS, values, strict=True)))
        save(Place(epoch + 1))
    model.cpu().eval()
    return log


def train_epoch(
    training: _Training, place: Place, save: Callable[[Place], None]
) -> float:
    """Train what is left of an epoch, from ``place``; the mean loss of all of it."""
    model, fabric = training.model, training.fabric
    config, plan = training.config, training.plan
    epoch, parts = place.epoch, config.accumulation_steps
    for group in training.optimizer.param_groups:
        group["lr"] = config.learning_rate_in(epoch)
    rng = np.random.default_rng([training.seed, *training.stage.encode(), epoch])
    of = training.clips.labels
    order = shuffle(plan.train, of, config.clips_per_label, rng)
    total, saved = torch.tensor(place.total, device=fabric.device), time.perf_counter()
    model.train()
    for step in range(place.step, plan.steps):
        batch = order[step * plan.size : (step + 1) * plan.size]
        training.optimizer.zero_grad()
        with step_randomness(training.seed, training.stage, epoch, step) as rng:
            for i, part in enumerate(np.split(batch, parts)):
                own = share_of(part, fabric)
                inputs, labels = batch_of(training.clips, own, fabric.device)
                # The processes' gradients meet once a step.
                alone = fabric.no_backward_sync(model, enabled=i + 1 < parts)
                with processes.synced_batch_norms(model), alone:
                    loss = training.objective(model, inputs, labels, rng) / parts
                    fabric.backward(loss)
                total += processes.all_reduce_mean(loss.detach())
        training.optimizer.step()
        text, done = f"{training.stage} {epoch + 1}/{config.epochs}", epoch * plan.steps
        training.on_step(text, done + step + 1, config.epochs * plan.steps)
        if step + 1 < plan.steps and time.perf_counter() - saved >= SAVE_EVERY:
            save(Place(epoch, step + 1, total.item()))
            saved = time.perf_counter()
    return (total / plan.steps).item()


@torch.no_grad()
def evaluate_loss(training: _Training) -> float | None:
    """Mean objective over the held-out clips, in evaluation mode.

    Batches are weighted by their clips; None where no batch can form it. The
    objective's random numbers are the same in every epoch, so that epochs can be
    compared.
    """
    training.model.eval()
    # Or a batch would hold the clips of one machine only.
    rows = np.random.default_rng(5).permutation(training.plan.held_out)
    total, count, size = 0.0, 0, training.config.batch_size
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        inputs, labels = batch_of(training.clips, part, training.fabric.device)
        stage = f"{training.stage} held out"
        try:
            with step_randomness(training.seed, stage, 0, start) as rng:
                loss = training.objective(training.model, inputs, labels, rng)
        except NothingToCompareError:  # not a single pair among the few held-out clips
            continue
        total += loss.item() * len(part)
        count += len(part)
    return total / count if count else None


@contextmanager
def step_randomness(
    seed: int, stage: str, epoch: int, step: int
) -> Iterator[np.random.Generator]:
    """numpy's generator of a step.

    It, and inside torch's own generators, depend on (seed, stage, epoch, step, rank)
    only.
    """
    numbers = seed, *stage.encode(), epoch, step, processes.rank()
    with torch_seeded(*numbers):
        yield np.random.default_rng(numbers)


def share_of(rows: np.ndarray, fabric: "Fabric") -> np.ndarray:
    """This process's rows of a batch: as many as every other process has."""
    return np.split(rows, fabric.world_size)[fabric.global_rank]


def make_fabric(device: str, precision: str) -> "Fabric":
    """Lightning Fabric: places modules and batches, brings bf16.

    On one device, or on one device a process under torchrun. Raises :class:`AsdError`
    for an unknown device or precision.
    """
    # Importing it takes as long as importing torch, and scoring can do without.
    from lightning_fabric import Fabric

    if precision not in PRECISIONS:
        names = ", ".join(PRECISIONS)
        raise AsdError(f"no precision {precision!r}: choose one of {names}")
    here, several = processes.local_world_size(), processes.world_size() > 1
    with warnings.catch_warnings():
        # Of hardware that is there and not used: the user chose.
        warnings.simplefilter("ignore")
        fabric = Fabric(
            accelerator=find_device(device).type,
            precision=cast(Any, PRECISIONS[precision]),
            devices=here,
            num_nodes=processes.world_size() // here if several else 1,
            strategy="ddp" if several else "auto",
        )
        fabric.launch()
    return fabric
