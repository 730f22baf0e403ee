"""Methods of anomalous sound detection, one a file, all of one shape (:class:`Method`).

They are found by looking into this folder: a new method is one new file here, and then
appears in :func:`names`, in the leaderboard and in the book's reference. Methods of
your own may lie in another folder, or several, that ``$ASDLIB_METHODS`` names.
"""

import inspect
import os
import pkgutil
from functools import partial
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import nn

from asdlib.errors import AsdError
from asdlib.learn.training import StageConfig
from asdlib.methods._task import Judges, Task, embedded, judged, scored_by
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

__all__ = ["Judges", "Task", "embedded", "judged", "scored_by"]

KINDS = ("sound", "spectra")  # of inputs
FOLDERS = "ASDLIB_METHODS"
__path__ += [place for place in os.environ.get(FOLDERS, "").split(os.pathsep) if place]


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


@runtime_checkable
class Detecting(Method, Protocol):
    """A method whose models can be kept, and asked about one clip at a time.

    ``IDEA`` is what it does, in a sentence; ``SCORERS`` are the names of its scorers,
    the one that it is published with first; ``BUDGET`` is how it is trained where
    nobody says otherwise, and ``COST`` how many seconds of a core that takes on 1,380
    clips of 2 s.
    """

    IDEA: str
    SCORERS: tuple[str, ...]
    BUDGET: StageConfig
    COST: float

    def untrained(self, task: Task) -> nn.Module:
        """The model for ``task`` before training: ``embed(*inputs)`` → rows (N, dim).

        Its ``embedding_dim`` is dim. What training finds lies in its parameters and
        buffers, whose shapes depend on ``task`` only.
        """

    def judge(self, model: nn.Module, known: np.ndarray, label: int) -> Judges:
        """What scores rows of one machine, by the names of :attr:`SCORERS`.

        ``known`` (N, dim) are the rows of its healthy clips, ``label`` its place among
        the machines.
        """


class Variant:
    """A method of a file with some of it changed.

    A file names its variants in ``VARIANTS``: of each what it offers that is not as in
    the file. Its ``train`` and ``untrained`` take the name of the ``variant``.
    """

    def __init__(self, module: Any, name: str):
        self._module, self._own = module, module.VARIANTS[name]
        self.train = partial(module.train, variant=name)
        self.untrained = partial(module.untrained, variant=name)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__["_own"]
        return own[name] if name in own else getattr(self.__dict__["_module"], name)


def names() -> list[str]:
    """The methods that there are, by the names of their files, sorted.

    >>> [name for name in names() if "clp" in name]
    ['clp_scf']
    """
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_"))


def every_name() -> list[str]:
    """As :func:`names`, with the variants of each as ``<name>/<variant>`` behind it.

    >>> [name for name in every_name() if "clp" in name]
    ['clp_scf', 'clp_scf/contrast', 'clp_scf/single_stage']
    """
    return [name for file in names() for name in (file, *_variants(file))]


def _variants(file: str) -> list[str]:
    offered = getattr(import_module(f"{__name__}.{file}"), "VARIANTS", {})
    return [f"{file}/{variant}" for variant in sorted(offered)]


def get(name: str) -> Method:
    """The method in the file ``<name>.py`` of this folder, or a variant of one.

    Raises :class:`AsdError` where there is none, or where the file has not all that a
    :class:`Method` has.
    """
    file, _, variant = name.partition("/")
    if file not in names() or (variant and name not in _variants(file)):
        raise AsdError(f"no method {name!r}: choose one of {', '.join(every_name())}")
    method = import_module(f"{__name__}.{file}")
    if not isinstance(method, Method):
        raise AsdError(
            f"{method.__file__} is no method: "
            "it must have NAME, PAPER, INPUTS, train and score"
        )
    return Variant(method, variant) if variant else method


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


def cannot_read(name: str, kind: str) -> str:
    """Why a method does not read a kind of inputs, one of :data:`KINDS`; "" if it does.

    A file says it in ``ONLY``, which is optional.

    >>> cannot_read("twfr_gmm", "spectra")
    'reads sound only: it pools over time, which spectra have averaged out'
    """
    method = get(name)
    if kind in method.INPUTS:
        return ""
    why = getattr(method, "ONLY", "")
    return f"reads {' and '.join(method.INPUTS)} only" + f": {why}" * bool(why)


def in_use(name: str, model: nn.Module, clips: Clips) -> nn.Module:
    """What of a trained model a device needs that scores ``clips``, by its ``embed``.

    It is the model itself, unless the file of the method has an ``in_use(model,
    clips)`` of its own: where a part is needed for the training only, where channels
    are zeros and can go, or where a network runs behind the embedding.
    """
    own = getattr(get(name), "in_use", None)
    return own(model, clips) if own else model


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


def detector(name: str) -> Detecting:
    """As :func:`get`, a method that can be kept.

    Raises :class:`AsdError` for one that cannot.
    """
    method = get(name)
    if not isinstance(method, Detecting):
        raise AsdError(
            f"the method {name} can be compared, but not kept: its file lacks some of "
            "IDEA, SCORERS, BUDGET, COST, untrained and judge"
        )
    return method


def trained(
    method: Method, clips: Clips, *, budget: StageConfig, **options: Any
) -> nn.Module:
    """``method.train`` with those of the ``options`` that it has."""
    known = inspect.signature(method.train).parameters
    some = {name: value for name, value in options.items() if name in known}
    return method.train(clips, budget=budget, **some)
