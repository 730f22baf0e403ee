"""The one training loop of both stages.

``fit`` knows nothing of audio and nothing of the losses: it takes a model, an objective ``(model, inputs, labels, rng) ->
scalar`` and :class:`Clips`, and brings shuffling, the learning-rate schedule, the held-out loss, the log, the
checkpoint and the device (through Lightning Fabric). What a step does depends on the weights and on (seed, stage, epoch,
step, rank) only: all random numbers of a step, numpy's ``rng`` and torch's own (dropout), are drawn from these. So a run
that was killed and goes on from its checkpoint ends in the same weights as one never interrupted: on the same CPU, with
the same number of threads, bit for bit.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from asdlib import processes
from asdlib.device import find_device, keep_freed_memory, torch_seeded
from asdlib.errors import AsdError
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


def batch_of(
    clips: Clips, rows: np.ndarray, device: torch.device | str = "cpu"
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The inputs and labels of some rows of ``clips``, as float32 and int64 tensors on ``device``."""
    labels = torch.from_numpy(clips.labels[rows]).to(device)
    # As stored, so that half as much travels to a GPU, and made float32 there.
    return tuple(
        as_float(take(array, rows).to(device)) for array in clips.inputs
    ), labels


def take(array: np.ndarray, rows: np.ndarray) -> Tensor:
    """Some rows of an array (N, ...), which may be a memory map, as they are stored."""
    return torch.from_numpy(np.asarray(array.take(rows, axis=0)))


def as_float(stored: Tensor) -> Tensor:
    """Float32, and int16 waveforms in ±1."""
    return stored.float().div_(2**15) if stored.dtype == torch.int16 else stored.float()


@dataclass(frozen=True)
class StageConfig:
    """How long and how fast one stage trains, with Adam."""

    epochs: int
    batch_size: int = 128
    learning_rate: float = 5e-4
    cosine_from: int | None = (
        None  # epoch from which the rate falls to 0 along a cosine; None keeps it constant
    )
    clips_per_label: int | None = (
        None  # a batch is made of so many clips of each machine in it; None: of any clips
    )
    accumulation_steps: int = 1  # a batch is computed in so many parts one after the other, in less memory; see fit

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if not 0 < getattr(self, name) < math.inf:
                raise AsdError(
                    f"{name} of {getattr(self, name)} makes no sense: choose one above 0"
                )
        if not 0 <= self.learning_rate < math.inf:  # at 0 no weight changes: a control
            raise AsdError(
                f"learning_rate of {self.learning_rate} makes no sense: choose one above 0"
            )
        if self.accumulation_steps < 1 or self.batch_size % self.accumulation_steps:
            raise AsdError(
                f"batches of {self.batch_size} clips cannot be computed in {self.accumulation_steps} parts: choose a divisor"
            )
        if self.clips_per_label is not None and (
            self.clips_per_label < 1 or self.batch_size % self.clips_per_label
        ):
            raise AsdError(
                f"batches of {self.batch_size} clips cannot hold {self.clips_per_label} of each machine: choose a divisor"
            )

    def of(self, epochs: int) -> "StageConfig":
        """The same stage in ``epochs`` epochs, its fall of the rate beginning at the same share of them."""
        start = (
            None
            if self.cosine_from is None
            else self.cosine_from * epochs // self.epochs
        )
        return replace(self, epochs=epochs, cosine_from=start)

    def learning_rate_in(self, epoch: int) -> float:
        """Learning rate of ``epoch`` (0-based)."""
        if self.cosine_from is None or epoch < self.cosine_from:
            return self.learning_rate
        done = (epoch - self.cosine_from) / (self.epochs - self.cosine_from)
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * done))


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
    """Train ``model`` in place and return one log row per epoch (keys :data:`LOG_COLUMNS`).

    ``validation`` is the share of each machine's clips (all normal) that is held out for the loss curve; nothing is
    selected by it. With a ``folder`` the rows also go to its ``log.csv``, and every epoch, and every ten minutes of a long one,
    leaves a ``checkpoint`` from which a later call with the same arguments goes on. ``precision`` is "32" or "bf16". With
    ``config.accumulation_steps`` the gradients of the parts of a batch are averaged before the step; batch norms, and a loss
    that compares clips, then see one part at a time, not the batch. Raises :class:`AsdError` when a loss is not finite or a
    checkpoint does not fit.
    """
    fabric = make_fabric(device, precision)
    keep_freed_memory()
    model.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    wrapped, optimizer = fabric.setup(model, adam)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(folder, stage) if folder else None
    begun = checkpoint.load(model, optimizer) if checkpoint else Place()
    plan = plan_batches(clips.labels, config, validation=validation, seed=seed)
    log = (
        [row for row in checkpoint.log() if row["epoch"] < begun.epoch]
        if checkpoint
        else []
    )
    checkpoint = checkpoint if processes.is_first() else None  # only one process writes

    def save(place: Place) -> None:
        if checkpoint:
            checkpoint.save(model, optimizer, log, place)

    for epoch in range(begun.epoch, config.epochs):
        started = time.perf_counter()
        place = begun if epoch == begun.epoch else Place(epoch)
        mean = train_epoch(
            wrapped,
            objective,
            clips,
            config,
            optimizer,
            fabric,
            plan,
            place,
            stage=stage,
            seed=seed,
            save=save,
            on_step=on_step,
        )
        if not math.isfinite(mean):
            raise AsdError(
                f"the loss of stage {stage} became {mean} in epoch {epoch}: lower the learning rate"
            )
        held_out = evaluate_loss(
            wrapped,
            objective,
            clips,
            plan.held_out,
            config.batch_size,
            fabric,
            seed=seed,
            stage=stage,
        )
        values = (
            stage,
            epoch,
            config.learning_rate_in(epoch),
            mean,
            held_out,
            time.perf_counter() - started,
        )
        log.append(dict(zip(LOG_COLUMNS, values, strict=True)))
        save(Place(epoch + 1))
    model.cpu().eval()
    return log


def train_epoch(
    model: nn.Module,
    objective: Objective,
    clips: Clips,
    config: StageConfig,
    optimizer: torch.optim.Optimizer,
    fabric: "Fabric",
    plan: "BatchPlan",
    place: Place,
    *,
    stage: str,
    seed: int,
    save: Callable[[Place], None],
    on_step: OnStep,
) -> float:
    """Train for what is left of one epoch, from ``place``; the mean loss of the whole epoch."""
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate_in(place.epoch)
    epoch, saved = place.epoch, time.perf_counter()
    shuffled = shuffle(
        plan.train,
        clips.labels,
        config.clips_per_label,
        np.random.default_rng([seed, *stage.encode(), epoch]),
    )
    total = torch.tensor(place.total, device=fabric.device)
    model.train()
    for step in range(place.step, plan.steps):
        batch = shuffled[step * plan.size : (step + 1) * plan.size]
        optimizer.zero_grad()
        with step_randomness(seed, stage, epoch, step) as rng:
            for i, part in enumerate(np.split(batch, config.accumulation_steps)):
                inputs, labels = batch_of(clips, share_of(part, fabric), fabric.device)
                more_follow = (
                    i + 1 < config.accumulation_steps
                )  # the processes' gradients meet once a step
                with (
                    processes.synced_batch_norms(model),
                    fabric.no_backward_sync(model, enabled=more_follow),
                ):
                    loss = (
                        objective(model, inputs, labels, rng)
                        / config.accumulation_steps
                    )
                    fabric.backward(loss)
                total += processes.all_reduce_mean(loss.detach())
        optimizer.step()
        on_step(
            f"{stage} {epoch + 1}/{config.epochs}",
            epoch * plan.steps + step + 1,
            config.epochs * plan.steps,
        )
        if step + 1 < plan.steps and time.perf_counter() - saved >= SAVE_EVERY:
            save(Place(epoch, step + 1, total.item()))
            saved = time.perf_counter()
    return (total / plan.steps).item()


@contextmanager
def step_randomness(
    seed: int, stage: str, epoch: int, step: int
) -> Iterator[np.random.Generator]:
    """numpy's generator of a step; inside, torch's own generators, too, depend on (seed, stage, epoch, step, rank) only."""
    numbers = seed, *stage.encode(), epoch, step, processes.rank()
    with torch_seeded(*numbers):
        yield np.random.default_rng(numbers)


@dataclass(frozen=True)
class BatchPlan:
    """Rows to ``train`` on and rows ``held_out``, the ``size`` of a step in clips, and the ``steps`` of an epoch."""

    train: np.ndarray
    held_out: np.ndarray
    size: int
    steps: int


def plan_batches(
    labels: np.ndarray, config: StageConfig, *, validation: float, seed: int
) -> BatchPlan:
    """How the clips with these ``labels`` (N,) are shared out to steps.

    Raises :class:`AsdError` where the clips of a step cannot be shared out evenly, two at least, to all processes and parts.
    """
    train_rows, held_out = hold_out(labels, validation, seed=seed)
    per_label = config.clips_per_label or 1
    usable = sum(
        count - count % per_label
        for count in np.unique(labels[train_rows], return_counts=True)[1]
    )
    shares = config.accumulation_steps * processes.world_size()
    size = min(config.batch_size, usable - usable % shares)
    if shares > 1 and (config.batch_size % shares or size < 2 * shares):
        raise AsdError(
            f"batches of {min(config.batch_size, usable)} clips cannot be shared out evenly, two clips at least, to "
            f"{processes.world_size()} processes with {config.accumulation_steps} parts each: start fewer processes, or choose fewer parts"
        )
    steps = max(
        1, usable // config.batch_size
    )  # what is left over waits for the next shuffle
    return BatchPlan(train_rows, held_out, size, steps)


def share_of(rows: np.ndarray, fabric: "Fabric") -> np.ndarray:
    """This process's rows of a batch: as many as every other process has."""
    return np.split(rows, fabric.world_size)[fabric.global_rank]


def make_fabric(device: str, precision: str) -> "Fabric":
    """Lightning Fabric on one device, or on one device a process under torchrun: places modules and batches, brings bf16."""
    from lightning_fabric import (
        Fabric,
    )  # importing it takes as long as importing torch, and scoring can do without

    if precision not in PRECISIONS:
        raise AsdError(
            f"no precision {precision!r}: choose one of {', '.join(PRECISIONS)}"
        )
    options = {
        "accelerator": find_device(device).type,
        "precision": PRECISIONS[precision],
    }
    options["devices"] = here = processes.local_world_size()
    if processes.world_size() > 1:
        options |= {"num_nodes": processes.world_size() // here, "strategy": "ddp"}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of hardware that is there and not used: the user chose
        fabric = Fabric(**options)
        fabric.launch()
    return fabric


def shuffle(
    rows: np.ndarray,
    labels: np.ndarray,
    per_label: int | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """``rows`` in random order; with ``per_label``, in groups of so many of one label, those left over waiting."""
    if per_label is None:
        return rng.permutation(rows)
    groups = []
    for label in np.unique(labels[rows]):
        own = rng.permutation(rows[labels[rows] == label])
        groups += (
            np.split(own[: len(own) - len(own) % per_label], len(own) // per_label)
            if len(own) >= per_label
            else []
        )
    if not groups:
        raise AsdError(
            f"no machine has {per_label} training clips: lower clips_per_label"
        )
    return np.concatenate([groups[i] for i in rng.permutation(len(groups))])


def hold_out(
    labels: np.ndarray, share: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out: ``round(share * n)`` of each label's n clips, drawn by ``seed``."""
    if not 0 <= share < 1:
        raise AsdError(
            f"a held-out share of {share:g} makes no sense: choose one from 0 up to, not including, 1"
        )
    rng = np.random.default_rng([seed, 5])
    held_out = [
        rng.permutation(np.flatnonzero(labels == label))[
            : round(share * np.sum(labels == label))
        ]
        for label in np.unique(labels)
    ]
    held = np.sort(np.concatenate(held_out)).astype(int)
    return np.setdiff1d(np.arange(len(labels)), held), held


@torch.no_grad()
def evaluate_loss(
    model: nn.Module,
    objective: Objective,
    clips: Clips,
    rows: np.ndarray,
    batch_size: int,
    fabric: "Fabric",
    *,
    seed: int,
    stage: str,
) -> float | None:
    """Mean objective over ``rows`` in evaluation mode, batches weighted by their clips; None where no batch can form it.

    The objective's random numbers are the same in every epoch, so that epochs can be compared.
    """
    model.eval()
    rows = np.random.default_rng(5).permutation(
        rows
    )  # or a batch would hold the clips of one machine only
    total, count = 0.0, 0
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        inputs, labels = batch_of(clips, part, fabric.device)
        try:
            with step_randomness(seed, f"{stage} held out", 0, start) as rng:
                total += objective(model, inputs, labels, rng).item() * len(part)
        except (
            NothingToCompareError
        ):  # a contrastive loss without a single pair among the few held-out clips
            continue
        count += len(part)
    return total / count if count else None
