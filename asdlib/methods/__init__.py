"""Methods of anomalous sound detection, one a file, all of one shape (:class:`Method`).

They are found by looking into this folder: a new method is one new file here, and then
appears in :func:`names`, in the leaderboard and in the book's reference.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

import numpy as np
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.learn.embedding import embed
from asdlib.learn.training import StageConfig
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

KINDS = ("sound", "spectra")  # of inputs


@runtime_checkable
class Method(Protocol):
    """What a module in this folder offers.

    ``NAME`` is what people call it, ``PAPER`` where it comes from, and ``INPUTS`` are
    the kinds of inputs that it reads (:data:`KINDS`).
    """

    NAME: str
    PAPER: str
    INPUTS: tuple[str, ...]

    def train(
        self,
        clips: Clips,
        *,
        budget: StageConfig,
        seed: int = 0,
        device: str = "auto",
        on_step: OnStep = silent,
    ) -> nn.Module:
        """A model that has learned from normal ``clips``, two or more of a machine.

        It is on the CPU, in evaluation mode, and depends on the arguments only.
        ``budget`` says how many passes over the clips there are in all, how large
        batches are and how fast is learned. What else can be set are further keywords
        with defaults: ``validation``, the share of the clips that is held out for the
        loss curve, and ``folder``, from whose checkpoints an interrupted training goes
        on, are among those of every method here.

        Raises :class:`AsdError` where there are no clips, or of a kind that is not in
        ``INPUTS``.
        """

    def score(
        self, model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
    ) -> dict[str, np.ndarray]:
        """Scores (M,) float64 of the M clips ``asked``, by each scorer of the method.

        Larger is more anomalous. ``known`` are normal clips of the same machines, as a
        rule those of the training. Raises :class:`AsdError` for a clip of a machine (or
        of a machine type, where a method tells no more apart) that is not known.
        """


def names() -> list[str]:
    """The methods that there are, by the names of their files, sorted.

    >>> [name for name in names() if "clp" in name]
    ['clp_scf']
    """
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_"))


def get(name: str) -> Method:
    """The method in the file ``<name>.py`` of this folder.

    Raises :class:`AsdError` where there is none, or where the file has not all that a
    :class:`Method` has.
    """
    if name not in names():
        raise AsdError(f"no method {name!r}: choose one of {', '.join(names())}")
    method = import_module(f"{__name__}.{name}")
    if not isinstance(method, Method):
        raise AsdError(
            f"{method.__file__} is no method: "
            "it must have NAME, PAPER, INPUTS, train and score"
        )
    return method


def kind_of(clips: Clips) -> str:
    """What the inputs of ``clips`` are, one of :data:`KINDS`.

    Raises :class:`AsdError` for arrays that are neither.
    """
    if clips.features is not None:
        return "sound"
    shapes = [array.shape for array in clips.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 1:
        raise AsdError(
            f"no method reads inputs of shape {', '.join(map(str, shapes))}: "
            "give sound, or spectra (N, 1, bands, modulations)"
        )
    return "spectra"


def check_kind(clips: Clips, method: str, inputs: tuple[str, ...]) -> None:
    """Raise :class:`AsdError` where ``method`` cannot learn from ``clips``.

    It may read other ``inputs`` only, or there is no clip.
    """
    if kind_of(clips) not in inputs:
        raise AsdError(
            f"{method} reads {' or '.join(inputs)}, "
            f"and these clips are {kind_of(clips)}: choose another method"
        )
    if not len(clips):
        raise AsdError("no clips: give normal clips of each machine")


def embedded(
    model: nn.Module, clips: Clips, *, device: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, dim) of ``clips`` by ``model.embed``, and their machines (N,)."""
    function = cast(Callable[..., Tensor], model.embed)
    size = 512 if clips.features is None else 32  # spectra are small
    rows = embed(function, clips.inputs, device=device, batch_size=size)
    return rows, clips.machines
