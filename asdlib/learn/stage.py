"""The settings of one stage of training: how long, how fast, in which batches."""

import math
from dataclasses import dataclass, replace

from asdlib.errors import AsdError


@dataclass(frozen=True)
class StageConfig:
    """How long and how fast one stage trains, with Adam.

    ``cosine_from`` is the epoch from which the learning rate falls to 0 along a cosine;
    None keeps it constant. With ``clips_per_label`` a batch is made of so many clips of
    each machine in it; None: of any clips. With ``accumulation_steps`` a batch is
    computed in so many parts one after the other, in less memory; see
    :func:`asdlib.learn.training.fit`. Raises :class:`AsdError` for settings that make
    no sense.

    >>> config = StageConfig(epochs=4, learning_rate=1.0, cosine_from=2)
    >>> [round(config.learning_rate_in(epoch), 3) for epoch in range(4)]
    [1.0, 1.0, 1.0, 0.5]
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 5e-4
    cosine_from: int | None = None
    clips_per_label: int | None = None
    accumulation_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if not 0 < getattr(self, name) < math.inf:
                raise AsdError(
                    f"{name} of {getattr(self, name)} makes no sense: choose one "
                    "above 0"
                )
        if not 0 <= self.learning_rate < math.inf:  # at 0 no weight changes: a control
            raise AsdError(
                f"learning_rate of {self.learning_rate} makes no sense: "
                "choose one above 0, for example 0.0005"
            )
        if self.accumulation_steps < 1 or self.batch_size % self.accumulation_steps:
            raise AsdError(
                f"batches of {self.batch_size} clips cannot be computed in "
                f"{self.accumulation_steps} parts: choose a divisor"
            )
        if self.clips_per_label is not None and (
            self.clips_per_label < 1 or self.batch_size % self.clips_per_label
        ):
            raise AsdError(
                f"batches of {self.batch_size} clips cannot hold "
                f"{self.clips_per_label} of each machine: choose a divisor"
            )

    def of(self, epochs: int) -> "StageConfig":
        """The same stage in ``epochs`` epochs.

        The fall of its learning rate begins at the same share of them.
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
