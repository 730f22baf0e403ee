"""The training loop: seeded, resumable, on CPU or GPU, in one process or many."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from asdlib import processes
from asdlib.device import CPU, find_device, keep_freed_memory, torch_seeded
from asdlib.errors import AsdError
from asdlib.learn.batches import (
    BatchPlan,
    batch_of,
    batches_of,
    plan_batches,
    shuffle,
)
from asdlib.learn.checkpoint import LOG_COLUMNS, Checkpoint, Place
from asdlib.learn.stage import StageConfig
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule

Inputs = tuple[Tensor, ...]
Objective = Callable[[nn.Module, Inputs, Tensor, np.random.Generator], Tensor]
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}  # ours and Fabric's names
SAVE_EVERY = 600.0  # seconds; a long epoch leaves checkpoints on its way


class NothingToCompareError(AsdError):
    """A loss that compares clips has been given none that can be compared."""


@dataclass(frozen=True)
class Stage:
    """What stays the same from epoch to epoch of a training."""

    name: str
    seed: int
    model: "_FabricModule"
    optimizer: torch.optim.Optimizer
    objective: Objective
    clips: Clips
    config: StageConfig
    plan: BatchPlan
    fabric: "Fabric"


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
) -> list[dict[str, Any]]:
    """Train ``model`` in place; one log row per epoch (keys :data:`LOG_COLUMNS`).

    ``objective(model, inputs, labels, rng)`` is the loss of a batch: of inputs, each
    (B, ...) float32, of labels (B,) int64, and of random numbers which, as torch's own,
    belong to the step. ``validation`` is the share of each machine's clips (all normal)
    that is held out for the loss curve; nothing is selected by it. With a ``folder``
    the rows also go to its ``log.csv``, and every epoch, and every ten minutes of a
    long one, leaves a ``checkpoint`` from which a later call with the same arguments
    goes on. ``precision`` is "32" or "bf16". With ``config.accumulation_steps`` the
    gradients of the parts of a batch are averaged before the step; batch norms, and a
    loss that compares clips, then see one part at a time, not the batch.

    Raises :class:`AsdError` when a loss is not finite, a checkpoint does not fit, the
    clips cannot be shared out (:func:`plan_batches`), or for an unknown device or
    precision.
    """
    plan = plan_batches(clips.labels, config, validation=validation, seed=seed)
    with processes.process_group(find_device(device).type):
        fabric = make_fabric(device, precision)
        keep_freed_memory()
        # PyTorch's stubs do not know memory formats alone.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
        wrapped, optimizer = fabric.setup(model, adam)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        checkpoint = Checkpoint(folder, stage) if folder else None
        begun = checkpoint.load(model, optimizer) if checkpoint else Place()
        log = checkpoint.log() if checkpoint else []
        log = [row for row in log if row["epoch"] < begun.epoch]

        def save(place: Place) -> None:
            if checkpoint and processes.is_first():
                checkpoint.save(model, optimizer, log, place)

        whole = Stage(
            stage, seed, wrapped, optimizer, objective, clips, config, plan, fabric
        )
        for epoch in range(begun.epoch, config.epochs):
            started = time.perf_counter()
            place = begun if epoch == begun.epoch else Place(epoch)
            loss = train_epoch(whole, place, save=save, on_step=on_step)
            if not math.isfinite(loss):
                raise AsdError(
                    f"the loss of stage {stage} became {loss} in epoch {epoch}: lower "
                    "the learning rate"
                )
            held_out, rate = evaluate_loss(whole), config.learning_rate_in(epoch)
            seconds = time.perf_counter() - started
            row = (stage, epoch, rate, loss, held_out, seconds)
            log.append(dict(zip(LOG_COLUMNS, row, strict=True)))
            save(Place(epoch + 1))
        model.cpu().eval()
    return log


def train_epoch(
    stage: Stage, place: Place, *, save: Callable[[Place], None], on_step: OnStep
) -> float:
    """Train for what is left of one epoch, from ``place``; its mean loss, as a whole.

    Each process computes its share of each part of each batch.
    """
    model, config, plan, fabric = stage.model, stage.config, stage.plan, stage.fabric
    epoch, parts, saved = place.epoch, config.accumulation_steps, time.perf_counter()
    for group in stage.optimizer.param_groups:
        group["lr"] = config.learning_rate_in(epoch)
    rng = np.random.default_rng([stage.seed, *stage.name.encode(), epoch])
    rows = shuffle(plan.train, stage.clips.labels, config.clips_per_label, rng)
    total = torch.tensor(place.total, device=fabric.device)
    model.train()
    steps = range(place.step, plan.steps)
    cut = [rows[step * plan.size : (step + 1) * plan.size] for step in steps]
    shares = (share_of(p, fabric) for batch in cut for p in np.split(batch, parts))
    batches = batches_of(stage.clips, shares, fabric.device)
    for step in steps:
        stage.optimizer.zero_grad()
        with step_randomness(
            stage.seed, stage.name, epoch, step, device=fabric.device
        ) as rng:
            for i, (inputs, labels) in enumerate(islice(batches, parts)):
                # The processes' gradients meet once a step.
                alone = fabric.no_backward_sync(model, enabled=i + 1 < parts)
                with processes.synced_batch_norms(model), alone:
                    loss = stage.objective(model, inputs, labels, rng) / parts
                    fabric.backward(loss)
                total += processes.all_reduce_mean(loss.detach())
        stage.optimizer.step()
        done, of = epoch * plan.steps + step + 1, config.epochs * plan.steps
        on_step(f"{stage.name} {epoch + 1}/{config.epochs}", done, of)
        if step + 1 < plan.steps and time.perf_counter() - saved >= SAVE_EVERY:
            save(Place(epoch, step + 1, total.item()))
            saved = time.perf_counter()
    return (total / plan.steps).item()


@torch.no_grad()
def evaluate_loss(stage: Stage) -> float | None:
    """Mean objective over the clips held out, in evaluation mode.

    Batches are weighted by their clips; None where no batch can form the loss. The
    objective's random numbers are the same in every epoch, so that epochs can be
    compared.
    """
    stage.model.eval()
    # In an order drawn once, or a batch would hold the clips of one machine only.
    rows = np.random.default_rng(5).permutation(stage.plan.held_out)
    device, name = stage.fabric.device, f"{stage.name} held out"
    total, count = 0.0, 0
    for start in range(0, len(rows), stage.config.batch_size):
        part = rows[start : start + stage.config.batch_size]
        inputs, labels = batch_of(stage.clips, part, device)
        try:
            with step_randomness(stage.seed, name, 0, start, device=device) as rng:
                loss = stage.objective(stage.model, inputs, labels, rng)
        except NothingToCompareError:  # no pair among the few held-out clips
            continue
        value = loss.item()
        if device.type != "cpu" and math.isnan(value):  # the same, on a GPU
            continue
        total += value * len(part)
        count += len(part)
    return total / count if count else None


@contextmanager
def step_randomness(
    seed: int, stage: str, epoch: int, step: int, *, device: torch.device = CPU
) -> Iterator[np.random.Generator]:
    """A step's own random numbers: numpy's generator, and inside torch's, too.

    Those of the CPU and of ``device`` depend on (seed, stage, epoch, step, rank) only;
    the caller's go on undisturbed.
    """
    numbers = seed, *stage.encode(), epoch, step, processes.rank()
    with torch_seeded(*numbers, device=device):
        yield np.random.default_rng(numbers)


def share_of(rows: np.ndarray, fabric: "Fabric") -> np.ndarray:
    """This process's rows of a batch (n,): as many as every other process has."""
    return np.split(rows, fabric.world_size)[fabric.global_rank]


def make_fabric(device: str, precision: str) -> "Fabric":
    """Lightning Fabric, which places modules and batches and brings bf16.

    On one device, or on one device a process under torchrun. Raises :class:`AsdError`
    for an unknown device or precision.
    """
    # Importing it takes as long as importing torch, and scoring can do without.
    from lightning_fabric import Fabric

    if precision not in PRECISIONS:
        choices = ", ".join(PRECISIONS)
        raise AsdError(f"no precision {precision!r}: choose one of {choices}")
    here = processes.local_world_size()
    options: dict[str, Any] = {
        "accelerator": find_device(device).type,
        "precision": PRECISIONS[precision],
        "devices": here,
    }
    if processes.world_size() > 1:
        options |= {"num_nodes": processes.world_size() // here, "strategy": "ddp"}
    with warnings.catch_warnings():
        # Of hardware that is there and not used: the user chose.
        warnings.simplefilter("ignore")
        fabric = Fabric(**options)
        fabric.launch()
    return fabric
