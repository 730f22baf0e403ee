"""Clips as arrays, with the name of the machine that each is of.

The one form in which they are trained on and scored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from asdlib.errors import AsdError
from asdlib.sound.features import FeatureConfig
from asdlib.sound.rows import Rows


def in_unit(waveforms: np.ndarray) -> np.ndarray:
    """Waveforms (...) as float32 of the same shape: int16 in ±1, floats as they are."""
    x = waveforms.astype(np.float32, copy=False)
    return x / 2**15 if waveforms.dtype == np.int16 else x


@dataclass(frozen=True, eq=False)
class Clips:
    """N clips: ``inputs``, each (N, ...), and the machine of each, ``machines`` (N,).

    A machine is named ``type/id``. The inputs are handed to the encoder in this order.
    int16 arrays are waveforms and become float32 in ±1; other arrays become float32.
    Memory-mapped arrays are read batch by batch. ``features`` are the settings of the
    front end where the inputs are sound (waveforms and log-mels), and None where they
    are something else, such as spectra. Raises :class:`AsdError` where lengths differ
    or a machine is not called ``type/id``.

    >>> clips = Clips((np.zeros((3, 60, 8)),), ["fan/id_02", "fan/id_00", "fan/id_02"])
    >>> clips.names, clips.labels, len(clips.of("fan/id_02"))
    (['fan/id_00', 'fan/id_02'], array([1, 0, 1]), 2)
    """

    inputs: tuple[np.ndarray, ...]
    machines: np.ndarray
    features: FeatureConfig | None = None

    def __post_init__(self) -> None:
        machines = np.asarray(self.machines, dtype=np.str_)
        object.__setattr__(self, "machines", machines)
        for i, array in enumerate(self.inputs):
            if len(array) != len(machines):
                raise AsdError(
                    f"input {i} has {len(array)} rows for {len(machines)} machine "
                    "names: give one for each clip"
                )
        for name in self.names:
            if name.count("/") != 1 or name.startswith("/") or name.endswith("/"):
                raise AsdError(
                    f"a machine is called {name!r}: "
                    "call it <type>/<id>, for example fan/id_00"
                )

    def __len__(self) -> int:
        return len(self.machines)

    @cached_property
    def names(self) -> list[str]:
        """The machines, sorted: in the order of their labels."""
        return np.unique(self.machines).tolist()

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of each clip (N,), its machine's place among ``names``."""
        return np.searchsorted(self.names, self.machines).astype(np.int64)

    @cached_property
    def types(self) -> np.ndarray:
        """The machine type of each clip (N,)."""
        return np.array(
            [name.split("/")[0] for name in self.machines.tolist()], dtype=np.str_
        )

    @property
    def waveforms(self) -> np.ndarray:
        """Sound: the waveforms (N, samples) float32, or int16."""
        return self._part(0)

    @property
    def log_mels(self) -> np.ndarray:
        """Sound: the log-mels (N, mels, frames) float16, in dB."""
        return self._part(1)

    def _part(self, i: int) -> np.ndarray:
        if self.features is None:
            raise AsdError(
                "these clips are no sound: "
                "they have inputs, but no waveforms and log-mels"
            )
        return self.inputs[i]

    def of(self, machine: str) -> "Clips":
        """The clips of one machine, in order; none where it has none."""
        return self.only(np.flatnonzero(self.machines == machine))

    def only(self, rows: np.ndarray) -> "Clips":
        """Some of the clips: ``rows`` are places, or a truth value for each clip.

        Labels count the machines that are left.
        """
        return Clips(
            tuple(
                array.only(rows) if isinstance(array, Rows) else array[rows]
                for array in self.inputs
            ),
            self.machines[rows],
            self.features,
        )

    def by_type(self) -> Iterator[tuple[str, "Clips"]]:
        """Each machine type with its clips, sorted by name."""
        for machine_type in np.unique(self.types).tolist():
            yield machine_type, self.only(np.flatnonzero(self.types == machine_type))
