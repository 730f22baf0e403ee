"""From clips to batches: which clips are held out, which come together, in what order.

Every order is drawn by a seed, so that a training can be repeated and taken up again.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from asdlib import processes
from asdlib.errors import AsdError
from asdlib.learn.stage import StageConfig
from asdlib.sound.clips import Clips

T = TypeVar("T")


def batch_of(
    clips: Clips, rows: np.ndarray, device: torch.device | str = "cpu"
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Some ``rows`` (n,) of ``clips``, on ``device``.

    The inputs, each (n, ...) float32, and the labels (n,) int64.

    >>> clips = Clips((np.array([[0, 16384], [-32768, 0]], np.int16),), ["a/0", "b/0"])
    >>> batch_of(clips, np.array([1, 0]))
    ((tensor([[-1.0000,  0.0000],
            [ 0.0000,  0.5000]]),), tensor([1, 0]))
    """
    return _sent(_stored(clips, rows), device)


def batches_of(
    clips: Clips, every_rows: Iterable[np.ndarray], device: torch.device | str = "cpu"
) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    """:func:`batch_of` for each of ``every_rows``, each (n,).

    For a GPU the next is read while the one before is computed, into memory from which
    it travels by itself. A CPU has nobody else to read it.
    """
    if torch.device(device).type != "cuda":
        yield from (batch_of(clips, rows, device) for rows in every_rows)
        return
    read = partial(_stored, clips, pinned=True)
    yield from (_sent(stored, device) for stored in ahead(read, every_rows))


def ahead(function: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
    """``function`` of each item, in order, while the caller uses the one before.

    In a thread. What ``function`` raises is raised in its turn.

    >>> list(ahead(abs, [1, -2]))
    [1, 2]
    """
    with ThreadPoolExecutor(1) as thread:
        waiting = None
        for item in items:
            coming = thread.submit(function, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()


def _stored(clips: Clips, rows: np.ndarray, *, pinned: bool = False) -> list[Tensor]:
    """The inputs of some rows as they are stored, and last their labels."""
    labels = torch.from_numpy(clips.labels[rows])
    tensors = [*(take(array, rows) for array in clips.inputs), labels]
    return [tensor.pin_memory() for tensor in tensors] if pinned else tensors


def _sent(
    stored: list[Tensor], device: torch.device | str
) -> tuple[tuple[Tensor, ...], Tensor]:
    # As stored, so that half as much travels to a GPU, and made float32 there.
    *inputs, labels = (tensor.to(device, non_blocking=True) for tensor in stored)
    return tuple(as_float(x) for x in inputs), labels


def take(array: np.ndarray, rows: np.ndarray) -> Tensor:
    """Some ``rows`` (n,) of an array (N, ...), (n, ...) of the type it is stored in.

    The array may be a memory map: no other rows are read.
    """
    return torch.from_numpy(np.asarray(array.take(rows, axis=0)))


def as_float(stored: Tensor) -> Tensor:
    """An array (...) as float32 of the same shape, int16 waveforms in ±1.

    Always in memory of torch's own: where an array of numpy's begins is chance, and
    sums over it round in another way each time.
    """
    x = stored.to(torch.float32, copy=True)
    return x.div_(2**15) if stored.dtype == torch.int16 else x


def hold_out(
    labels: np.ndarray, share: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, of clips with ``labels`` (N,).

    Held out are ``round(share * n)`` of each label's n clips, drawn by ``seed``. Raises
    :class:`AsdError` for a share that is not in [0, 1).

    >>> train, held_out = hold_out(np.repeat([0, 1], [10, 20]), 0.1, seed=0)
    >>> len(train), [int(np.sum(held_out < 10)), int(np.sum(held_out >= 10))]
    (27, [1, 2])
    """
    if not 0 <= share < 1:
        raise AsdError(
            f"a held-out share (validation) of {share:g} makes no sense: choose one "
            "from 0 to below 1"
        )
    rng = np.random.default_rng([seed, 5])
    held_out = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        held_out.append(rng.permutation(own)[: round(share * len(own))])
    held = np.sort(np.concatenate(held_out)).astype(int)
    return np.setdiff1d(np.arange(len(labels)), held), held


@dataclass(frozen=True)
class BatchPlan:
    """How clips are shared out to the steps of an epoch.

    Rows to ``train`` on and rows ``held_out``, the ``size`` of a step in clips, and the
    ``steps`` of an epoch.
    """

    train: np.ndarray
    held_out: np.ndarray
    size: int
    steps: int


def plan_batches(
    labels: np.ndarray, config: StageConfig, *, validation: float, seed: int
) -> BatchPlan:
    """How clips with ``labels`` (N,) are shared out, the share ``validation`` held out.

    Raises :class:`AsdError` where the clips of a step cannot be shared out evenly, two
    at least, to all processes and parts, and for a ``validation`` outside [0, 1).

    >>> labels = np.arange(100) % 4
    >>> plan = plan_batches(labels, StageConfig(1, 32), validation=0, seed=0)
    >>> plan.size, plan.steps
    (32, 3)
    """
    train_rows, held_out = hold_out(labels, validation, seed=seed)
    per_label = config.clips_per_label or 1
    counts = np.unique(labels[train_rows], return_counts=True)[1]
    usable = int(np.sum(counts - counts % per_label))
    shares = config.accumulation_steps * processes.world_size()
    size = min(config.batch_size, usable - usable % shares)
    if shares > 1 and (config.batch_size % shares or size < 2 * shares):
        raise AsdError(
            f"batches of {min(config.batch_size, usable)} clips cannot be shared out "
            f"evenly, two clips at least, to {processes.world_size()} processes with "
            f"{config.accumulation_steps} parts each: start fewer processes, or choose "
            "fewer parts"
        )
    # What is left over waits for the next shuffle.
    steps = max(1, usable // config.batch_size)
    return BatchPlan(train_rows, held_out, size, steps)


def shuffle(
    rows: np.ndarray,
    labels: np.ndarray,
    per_label: int | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """``rows`` (n,) of clips with ``labels`` (N,) in random order.

    With ``per_label`` they come in groups of so many of one label, and those left over
    are missing. Raises :class:`AsdError` where that leaves none.
    """
    if per_label is None:
        return rng.permutation(rows)
    groups: list[np.ndarray] = []
    for label in np.unique(labels[rows]):
        own = rng.permutation(rows[labels[rows] == label])
        groups.extend(own[: len(own) - len(own) % per_label].reshape(-1, per_label))
    if not groups:
        raise AsdError(
            f"no machine has {per_label} training clips: lower clips_per_label"
        )
    return np.concatenate([groups[i] for i in rng.permutation(len(groups))])
