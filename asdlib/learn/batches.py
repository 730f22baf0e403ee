"""Which clips make a batch: how long a stage is, what is held out, in which order."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from asdlib import processes
from asdlib.errors import AsdError
from asdlib.sound.clips import Clips


@dataclass(frozen=True)
class StageConfig:
    """How long and how fast one stage trains, with Adam.

    From the epoch ``cosine_from`` the learning rate falls to 0 along a cosine; None
    keeps it constant. A batch holds ``clips_per_label`` clips of each machine in it;
    None: any clips. It is computed in ``accumulation_steps`` parts, one after the
    other, in less memory; see :func:`asdlib.learn.training.fit`. Raises
    :class:`AsdError` for numbers that make no sense.

    >>> StageConfig(epochs=10, cosine_from=4).of(50).cosine_from
    20
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 5e-4
    cosine_from: int | None = None
    clips_per_label: int | None = None
    accumulation_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise AsdError(f"{name} of {value} makes no sense: choose one above 0")
        if not 0 <= self.learning_rate < math.inf:  # at 0 no weight changes: a control
            raise AsdError(
                f"learning_rate of {self.learning_rate} makes no sense: choose one "
                "above 0"
            )
        parts, per_label = self.accumulation_steps, self.clips_per_label
        if parts < 1 or self.batch_size % parts:
            raise AsdError(
                f"batches of {self.batch_size} clips cannot be computed in {parts} "
                "parts: choose a divisor"
            )
        if per_label is not None and (per_label < 1 or self.batch_size % per_label):
            raise AsdError(
                f"batches of {self.batch_size} clips cannot hold {per_label} of each "
                "machine: choose a divisor"
            )

    def of(self, epochs: int) -> "StageConfig":
        """The same stage in ``epochs`` epochs.

        The fall of the learning rate begins at the same share of them.
        """
        start = self.cosine_from
        if start is not None:
            start = start * epochs // self.epochs
        return replace(self, epochs=epochs, cosine_from=start)

    def learning_rate_in(self, epoch: int) -> float:
        """Learning rate of ``epoch`` (0-based)."""
        if self.cosine_from is None or epoch < self.cosine_from:
            return self.learning_rate
        done = (epoch - self.cosine_from) / (self.epochs - self.cosine_from)
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * done))


def batch_of(
    clips: Clips, rows: np.ndarray, device: torch.device | str = "cpu"
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The inputs (B, ...) and labels (B,) of some rows, float32 and int64."""
    labels = torch.from_numpy(clips.labels[rows]).to(device)
    return inputs_of(clips.inputs, rows, device), labels


def inputs_of(
    arrays: tuple[np.ndarray, ...], rows: np.ndarray, device: torch.device | str = "cpu"
) -> tuple[Tensor, ...]:
    """Some rows of each array (N, ...) as the float32 inputs (B, ...) of a network."""
    # As stored, so that half as much travels to a GPU, and made float32 there.
    return tuple(as_float(take(array, rows).to(device)) for array in arrays)


def take(array: np.ndarray, rows: np.ndarray) -> Tensor:
    """Some rows of an array (N, ...), which may be a memory map, as they are stored."""
    return torch.from_numpy(np.asarray(array.take(rows, axis=0)))


def as_float(stored: Tensor) -> Tensor:
    """Float32, and int16 waveforms in ±1; the same shape."""
    return stored.float().div_(2**15) if stored.dtype == torch.int16 else stored.float()


@dataclass(frozen=True)
class BatchPlan:
    """Rows to ``train`` on (N,) and rows ``held_out`` (M,).

    ``size`` is the clips of a step, ``steps`` those of an epoch.
    """

    train: np.ndarray
    held_out: np.ndarray
    size: int
    steps: int


def plan_batches(
    labels: np.ndarray, config: StageConfig, *, validation: float, seed: int
) -> BatchPlan:
    """How the clips with these ``labels`` (N,) are shared out to steps.

    Raises :class:`AsdError` where the clips of a step cannot be shared out evenly, two
    at least, to all processes and parts.
    """
    train, held_out = hold_out(labels, validation, seed=seed)
    per_label = config.clips_per_label or 1
    counts = np.unique(labels[train], return_counts=True)[1]
    usable = int(sum(counts - counts % per_label))
    processes_there, parts = processes.world_size(), config.accumulation_steps
    shares = parts * processes_there
    size = min(config.batch_size, usable - usable % shares)
    if shares > 1 and (config.batch_size % shares or size < 2 * shares):
        raise AsdError(
            f"batches of {min(config.batch_size, usable)} clips cannot be shared out "
            f"evenly, two clips at least, to {processes_there} processes with {parts} "
            "parts each: start fewer processes, or choose fewer parts"
        )
    # What is left over waits for the next shuffle.
    return BatchPlan(train, held_out, size, max(1, usable // config.batch_size))


def hold_out(
    labels: np.ndarray, share: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, sorted, of clips with these ``labels`` (N,).

    Held out are ``round(share * n)`` of each label's n clips, drawn by ``seed``. Raises
    :class:`AsdError` for a share outside 0..1.
    """
    if not 0 <= share < 1:
        raise AsdError(
            f"a held-out share of {share:g} makes no sense: choose one from 0 up to, "
            "not "
            "including, 1"
        )
    rng = np.random.default_rng([seed, 5])
    drawn = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        drawn.append(rng.permutation(own)[: round(share * len(own))])
    held = np.sort(np.concatenate(drawn)).astype(int)
    return np.setdiff1d(np.arange(len(labels)), held), held


def shuffle(
    rows: np.ndarray,
    labels: np.ndarray,
    per_label: int | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """``rows`` in random order, of clips with these ``labels`` (N,).

    With ``per_label``, in groups of so many of one label; those left over wait. Raises
    :class:`AsdError` where no label has so many.
    """
    if per_label is None:
        return rng.permutation(rows)
    groups = []
    for label in np.unique(labels[rows]):
        own = rng.permutation(rows[labels[rows] == label])
        count = len(own) // per_label
        if count:
            groups += np.split(own[: count * per_label], count)
    if not groups:
        raise AsdError(
            f"no machine has {per_label} training clips: lower clips_per_label"
        )
    return np.concatenate([groups[i] for i in rng.permutation(len(groups))])
