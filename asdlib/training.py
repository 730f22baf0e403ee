"""The one training loop of both stages.

``fit`` knows nothing of audio and nothing of the losses: it takes a model, an objective ``(model, inputs, labels) ->
scalar`` and :class:`Examples`, and brings shuffling, the learning-rate schedule, the held-out loss, the log, the
checkpoint and the device (through Lightning Fabric). What a step does depends on the weights and
on (seed, stage, epoch, step) only, so a run that was killed and goes on from its checkpoint ends in the same weights as one
never interrupted: on the same CPU, with the same number of threads, bit for bit.
"""

import ctypes
import math
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asdlib import processes
from asdlib.checkpoint import LOG_COLUMNS, Checkpoint
from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent

Objective = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}  # ours and Fabric's names
SAVE_EVERY = 600.0  # seconds; a long epoch leaves checkpoints on its way


@dataclass(frozen=True)
class Examples:
    """Training clips as arrays: each of ``inputs`` has shape (N, ...), ``labels`` is (N,) integers.

    The inputs are handed to the encoder in this order. int16 arrays are waveforms and become float32 in ±1; other
    arrays become float32. Memory-mapped arrays are read batch by batch.
    """

    inputs: tuple[np.ndarray, ...]
    labels: np.ndarray

    def __post_init__(self):
        for i, array in enumerate(self.inputs):
            if len(array) != len(self.labels):
                raise AsdError(f"input {i} has {len(array)} rows for {len(self.labels)} labels: give one row per clip")

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: np.ndarray, device: torch.device | str = "cpu") -> tuple[tuple[Tensor, ...], Tensor]:
        """The inputs and labels of some rows, as float32 and int64 tensors on ``device``."""
        labels = torch.from_numpy(np.asarray(self.labels[rows], dtype=np.int64)).to(device)
        # As stored, so that half as much travels to a GPU, and made float32 there.
        return tuple(as_float(gathered(array, rows).to(device)) for array in self.inputs), labels


def gathered(array: np.ndarray, rows: np.ndarray) -> Tensor:
    """Some rows of an array (N, ...), which may be a memory map, as they are stored."""
    return torch.from_numpy(np.asarray(array).take(rows, axis=0))


def as_float(stored: Tensor) -> Tensor:
    """Float32, and int16 waveforms in ±1."""
    return stored.float().div_(2**15) if stored.dtype == torch.int16 else stored.float()


@dataclass(frozen=True)
class StageConfig:
    """How long and how fast one stage trains, with Adam."""

    epochs: int
    batch_size: int = 128
    learning_rate: float = 5e-4
    cosine_from: int | None = None  # epoch from which the rate falls to 0 along a cosine; None keeps it constant
    clips_per_label: int | None = None  # a batch is made of so many clips of each machine in it; None: of any clips
    parts: int = 1  # a batch is computed in so many parts one after the other, in less memory; see fit

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if not 0 < getattr(self, name) < math.inf:
                raise AsdError(f"{name} of {getattr(self, name)} makes no sense: choose one above 0")
        if not 0 <= self.learning_rate < math.inf:  # at 0 no weight changes: a control
            raise AsdError(f"learning_rate of {self.learning_rate} makes no sense: choose one above 0")
        if self.parts < 1 or self.batch_size % self.parts:
            raise AsdError(f"batches of {self.batch_size} clips cannot be computed in {self.parts} parts: choose a divisor")
        if self.clips_per_label is not None and (self.clips_per_label < 1 or self.batch_size % self.clips_per_label):
            raise AsdError(
                f"batches of {self.batch_size} clips cannot hold {self.clips_per_label} of each machine: choose a divisor"
            )

    def of(self, epochs: int) -> "StageConfig":
        """The same stage in ``epochs`` epochs, its fall of the rate beginning at the same share of them."""
        start = None if self.cosine_from is None else self.cosine_from * epochs // self.epochs
        return replace(self, epochs=epochs, cosine_from=start)

    def rate(self, epoch: int) -> float:
        """Learning rate of ``epoch`` (0-based)."""
        if self.cosine_from is None or epoch < self.cosine_from:
            return self.learning_rate
        done = (epoch - self.cosine_from) / (self.epochs - self.cosine_from)
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * done))


def fit(
    model: nn.Module,
    objective: Objective,
    examples: Examples,
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

    ``validation`` is the share of each label's clips (all normal) that is held out for the loss curve; nothing is
    selected by it. With a ``folder`` the rows also go to its ``log.csv``, and every epoch, and every ten minutes of a long one,
    leaves a ``checkpoint`` from which a later call with the same arguments goes on. ``precision`` is "32" or "bf16". With
    ``config.parts`` the gradients of the parts of a batch are averaged before the step; batch norms, and a loss that compares
    clips, then see one part at a time, not the batch. Raises :class:`AsdError` when a loss is not finite or a checkpoint does
    not fit.
    """
    fabric = make_fabric(device, precision)
    keep_freed_memory()
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    wrapped, optimizer = fabric.setup(model, optimizer)
    checkpoint = Checkpoint(folder, stage) if folder else None
    first, begun, total = checkpoint.load(model, optimizer) if checkpoint else (0, 0, 0.0)
    train_rows, held_out, size, steps = plan(examples.labels, config, validation=validation, seed=seed)
    log = [row for row in checkpoint.log() if row["epoch"] < first] if checkpoint else []
    checkpoint = checkpoint if processes.is_first() else None  # only one process writes

    for epoch in range(first, config.epochs):
        started = saved = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = config.rate(epoch)
        rng = np.random.default_rng([seed, *stage.encode(), epoch])
        shuffled = shuffle(train_rows, examples.labels, config.clips_per_label, rng)
        total = torch.tensor(total, device=fabric.device)
        model.train()
        for step in range(begun, steps):
            batch = shuffled[step * size : (step + 1) * size]
            optimizer.zero_grad()
            for i, part in enumerate(np.split(batch, config.parts)):
                inputs, labels = examples.batch(share_of(part, fabric), fabric.device)
                more_follow = i + 1 < config.parts  # the processes' gradients meet once a step
                with processes.shared_batch_norms(model), fabric.no_backward_sync(wrapped, enabled=more_follow):
                    loss = objective(wrapped, inputs, labels) / config.parts
                    fabric.backward(loss)
                total += processes.mean_of_all(loss.detach())
            optimizer.step()
            on_step(f"{stage} {epoch + 1}/{config.epochs}", epoch * steps + step + 1, config.epochs * steps)
            if checkpoint and step + 1 < steps and time.perf_counter() - saved >= SAVE_EVERY:
                checkpoint.save(model, optimizer, log, epoch, step + 1, total.item())
                saved = time.perf_counter()
        mean = (total / steps).item()
        if not math.isfinite(mean):
            raise AsdError(f"the loss of stage {stage} became {mean} in epoch {epoch}: lower the learning rate")
        held_out_loss = evaluate_loss(wrapped, objective, examples, held_out, config.batch_size, fabric)
        values = (stage, epoch, config.rate(epoch), mean, held_out_loss, time.perf_counter() - started)
        log.append(dict(zip(LOG_COLUMNS, values, strict=True)))
        if checkpoint:
            checkpoint.save(model, optimizer, log, epoch + 1)
        begun, total = 0, 0.0
    model.cpu().eval()
    return log


def plan(labels: np.ndarray, config: StageConfig, *, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Rows to train on, rows held out, the clips of a step, and the steps of an epoch.

    Raises :class:`AsdError` where the clips of a step cannot be shared out evenly, two at least, to all processes and parts.
    """
    train_rows, held_out = hold_out(labels, validation, seed=seed)
    per_label = config.clips_per_label or 1
    usable = sum(count - count % per_label for count in np.unique(labels[train_rows], return_counts=True)[1])
    shares = config.parts * processes.count()
    size = min(config.batch_size, usable - usable % shares)
    if shares > 1 and (config.batch_size % shares or size < 2 * shares):
        raise AsdError(
            f"batches of {min(config.batch_size, usable)} clips cannot be shared out evenly, two clips at least, to "
            f"{processes.count()} processes with {config.parts} parts each: start fewer processes, or choose fewer parts"
        )
    return train_rows, held_out, size, max(1, usable // config.batch_size)  # what is left over waits for the next shuffle


def share_of(rows: np.ndarray, fabric) -> np.ndarray:
    """This process's rows of a batch: as many as every other process has."""
    return np.split(rows, fabric.world_size)[fabric.global_rank]


@contextmanager
def seeded(seed: int, part: str):
    """New weights that are drawn inside depend on (seed, part) only; the caller's random numbers go on undisturbed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence([seed, *part.encode()]).generate_state(1)[0]))
        yield


def make_fabric(device: str, precision: str):
    """Lightning Fabric on one device, or on one device a process under torchrun: places modules and batches, brings bf16."""
    from lightning_fabric import Fabric  # importing it takes as long as importing torch, and scoring can do without

    if precision not in PRECISIONS:
        raise AsdError(f"no precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    options = {"accelerator": find_device(device).type, "precision": PRECISIONS[precision]}
    options["devices"] = here = processes.count_here()
    if processes.count() > 1:
        options |= {"num_nodes": processes.count() // here, "strategy": "ddp"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hardware that is there and not used: the user chose
        fabric = Fabric(**options)
        fabric.launch()
    return fabric


def find_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. Raises :class:`AsdError` when this machine has none such."""
    if name not in DEVICES:
        raise AsdError(f"no device {name!r}: choose one of {', '.join(DEVICES)}")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    if not there[name]:
        raise AsdError(f"cannot use the device {name!r}: choose one that this machine has")
    return torch.device(name)


def shuffle(rows: np.ndarray, labels: np.ndarray, per_label: int | None, rng: np.random.Generator) -> np.ndarray:
    """``rows`` in random order; with ``per_label``, in groups of so many of one label, those left over waiting."""
    if per_label is None:
        return rng.permutation(rows)
    groups = []
    for label in np.unique(labels[rows]):
        own = rng.permutation(rows[labels[rows] == label])
        groups += np.split(own[: len(own) - len(own) % per_label], len(own) // per_label) if len(own) >= per_label else []
    if not groups:
        raise AsdError(f"no machine has {per_label} training clips: lower clips_per_label")
    return np.concatenate([groups[i] for i in rng.permutation(len(groups))])


def hold_out(labels: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out: ``round(share * n)`` of each label's n clips, drawn by ``seed``."""
    rng = np.random.default_rng([seed, 5])
    held_out = [
        rng.permutation(np.flatnonzero(labels == label))[: round(share * np.sum(labels == label))]
        for label in np.unique(labels)
    ]
    held = np.sort(np.concatenate(held_out)).astype(int)
    return np.setdiff1d(np.arange(len(labels)), held), held


@torch.no_grad()
def evaluate_loss(model, objective, examples: Examples, rows: np.ndarray, batch_size: int, fabric) -> float | None:
    """Mean objective over ``rows`` in evaluation mode, batches weighted by their clips; None where no batch can form it."""
    model.eval()
    rows = np.random.default_rng(5).permutation(rows)  # or a batch would hold the clips of one machine only
    total, count = 0.0, 0
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        inputs, labels = examples.batch(part, fabric.device)
        try:
            total += objective(model, inputs, labels).item() * len(part)
        except AsdError:  # a contrastive loss without a single pair among the few held-out clips
            continue
        count += len(part)
    return total / count if count else None


@cache
def keep_freed_memory() -> None:
    """On Linux, let the C allocator keep freed memory instead of returning it to the kernel after every operation.

    Each activation of a training step is otherwise mapped and zeroed anew; keeping it doubles the speed on CPU.
    """
    if sys.platform == "linux":
        m_trim_threshold, m_mmap_max = -1, -4
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(m_mmap_max, 0)
            libc.mallopt(m_trim_threshold, -1)
        except (OSError, AttributeError):  # another C library, with its own ways
            pass
