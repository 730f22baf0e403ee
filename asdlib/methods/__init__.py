"""Methods of anomalous sound detection, one a file, all of one shape (:class:`Method`), found by looking into this folder.

A new method is one new file here: it then appears in :func:`names`, in the leaderboard and in the book's reference.
"""

import pkgutil
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

import numpy as np
from torch import nn

from asdlib.errors import AsdError
from asdlib.learn.embedding import embed
from asdlib.learn.training import StageConfig
from asdlib.progress import OnStep
from asdlib.sound.clips import Clips

KINDS = ("sound", "spectra")


@runtime_checkable
class Method(Protocol):
    """What a module in this folder offers.

    ``NAME`` is what people call it, ``PAPER`` where it comes from, ``INPUTS`` the kinds of inputs that it reads
    (:data:`KINDS`).
    """

    NAME: str
    PAPER: str
    INPUTS: tuple[str, ...]

    def train(
        self,
        clips: Clips,
        *,
        budget: StageConfig,
        seed: int,
        device: str,
        on_step: OnStep,
    ) -> nn.Module:
        """A model that has learned from ``clips``, all normal, at least two of each machine; on the CPU, evaluation mode.

        ``budget`` says how many passes over the clips there are in all, how large batches are and how fast is learned; what
        else can be set are further keywords with defaults, among them ``folder``, from whose checkpoints a training that was
        interrupted goes on. The result depends on the arguments only. Raises :class:`AsdError` for clips of a kind that is
        not in ``INPUTS``.
        """

    def score(
        self, model: nn.Module, known: Clips, asked: Clips, *, device: str
    ) -> dict[str, np.ndarray]:
        """Anomaly scores (M,) of the clips ``asked`` by each scorer; larger is more anomalous.

        ``known`` are normal clips of the same machines, as a rule those of the training. Raises :class:`AsdError` for a
        machine of which none are known.
        """


def names() -> list[str]:
    """The methods that there are, by the names of their files, sorted."""
    return sorted(
        found.name
        for found in pkgutil.iter_modules(__path__)
        if not found.name.startswith("_")
    )


def get(name: str) -> Method:
    """The method in the file ``<name>.py`` of this folder. Raises :class:`AsdError` where there is none."""
    if name not in names():
        raise AsdError(f"no method {name!r}: choose one of {', '.join(names())}")
    return cast(Method, import_module(f"{__name__}.{name}"))


def kind_of(clips: Clips) -> str:
    """What the inputs of ``clips`` are: "sound" or "spectra"."""
    return "spectra" if clips.features is None else "sound"


def check_kind(clips: Clips, method: str, inputs: tuple[str, ...]) -> None:
    """Raise :class:`AsdError` where a method does not read the inputs of ``clips``, or where there is no clip."""
    if kind_of(clips) not in inputs:
        raise AsdError(
            f"{method} reads {' or '.join(inputs)}, and these clips are {kind_of(clips)}: choose another method"
        )
    if not len(clips):
        raise AsdError("no clips: give normal clips of each machine")


def embedded(
    model: nn.Module, clips: Clips, *, device: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """The embeddings (N, dim) of ``clips`` by ``model.embed``, and their machines (N,)."""
    size = 512 if clips.features is None else 32  # spectra are small
    rows = embed(model.embed, clips.inputs, device=device, batch_size=size)
    return rows, clips.machines
