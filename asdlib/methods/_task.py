"""What a detector is made for, and how its rows become scores.

A detector makes one row of numbers of each clip (``model.embed``), in which lies all
that its scores need. What is kept of the healthy clips, and what is asked about, are
such rows; ``judge`` holds the ones against the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.judge.scorers import EMBEDDING_SCORERS, Fitted, fitted, softmax_score
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.embedding import embed
from asdlib.learn.encoder import BOOK_ENCODER
from asdlib.learn.encoders import encoder_for, new_encoder
from asdlib.learn.heads import ArcFace
from asdlib.learn.spectrum_encoder import SpectrumConfig
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig

# By the name of each scorer, rows (M, d) → scores (M,).
Judges = Mapping[str, Fitted]


@dataclass(frozen=True)
class Task:
    """What a model is made for: the ``machines``, sorted, and what clips look like.

    ``features`` are the front end of sound; spectra have a ``shape`` (bands,
    modulations) instead. ``encoder`` is a config of
    :data:`asdlib.learn.encoders.ENCODERS` (None: the small one for these inputs), which
    sees ``window`` seconds of a clip at a time (None: all). ``seed`` decides the
    weights that a model begins with.
    """

    machines: tuple[str, ...]
    features: FeatureConfig | None = None
    shape: tuple[int, int] | None = None
    encoder: Any = None
    window: float | None = None
    seed: int = 0

    @classmethod
    def of(cls, clips: Clips, **options: Any) -> "Task":
        """The task of learning from ``clips``; ``options`` are the last three fields.

        Raises :class:`AsdError` for inputs that are neither sound nor spectra.
        """
        if clips.features is not None:
            return cls(tuple(clips.names), clips.features, **options)
        sizes: Any = encoder_for(clips)
        shape = (sizes.bands, sizes.modulations)
        return cls(tuple(clips.names), None, shape, **options)

    @property
    def types(self) -> list[str]:
        """The machine types, sorted."""
        return sorted({name.split("/")[0] for name in self.machines})

    def new_encoder(self) -> nn.Module:
        """The encoder, untrained."""
        config = self.encoder or self.default_encoder
        return new_encoder(config, self.features, window=self.window, seed=self.seed)

    @property
    def default_encoder(self) -> Any:
        """The config of the small encoder for such inputs."""
        if self.features is not None:
            return BOOK_ENCODER
        assert self.shape is not None
        return SpectrumConfig(*self.shape)


def embedded(
    model: nn.Module, clips: Clips, *, device: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, dim) of ``clips`` by ``model.embed``, and their machines (N,)."""
    function = cast(Callable[..., Tensor], model.embed)
    size = 512 if clips.features is None else 32  # spectra are small
    rows = embed(function, clips.inputs, device=device, batch_size=size)
    return rows, clips.machines


def judged(
    judge: Callable[[nn.Module, np.ndarray, int], Judges],
    model: nn.Module,
    known: Clips,
    asked: Clips,
    *,
    device: str = "auto",
) -> dict[str, np.ndarray]:
    """Scores (M,) of the M clips ``asked``, by each scorer of a method's ``judge``.

    ``known`` are the clips that ``model`` was trained on. Raises :class:`AsdError` for
    a machine of which none are known, and where they are of more or fewer machines than
    the model.
    """
    count = getattr(model, "classes", len(known.names))
    if count != len(known.names):
        raise AsdError(
            f"a detector of {count} machines, and known clips of {len(known.names)}: "
            "give the clips that it was trained on"
        )
    strange = sorted(set(asked.machines.tolist()) - set(known.names))
    if strange:
        raise AsdError(
            f"no training clip of {strange[0]}: "
            "give normal clips of every machine that is to be scored"
        )
    rows, machines = embedded(model, known, device=device)
    new, own = embedded(model, asked, device=device)
    scores: dict[str, np.ndarray] = {}
    for machine in asked.names:
        here = own == machine
        label = known.names.index(machine)
        for name, scorer in judge(model, rows[machines == machine], label).items():
            of_all = scores.setdefault(name, np.empty(len(asked)))
            of_all[here] = scorer(new[here])
    return scores


def scored_by(
    judge: Callable[[nn.Module, np.ndarray, int], Judges],
) -> Callable[..., dict[str, np.ndarray]]:
    """The ``score`` of a method, by what its ``judge`` makes of rows (N, d)."""

    def score(
        model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
    ) -> dict[str, np.ndarray]:
        """Scores (M,) of the M clips ``asked``, by what :func:`judge` offers.

        ``known`` are the clips that ``model`` was trained on. Raises :class:`AsdError`
        for a machine of which none are known, and where they are of more or fewer
        machines than the model.
        """
        return judged(judge, model, known, asked, device=device)

    score.__module__ = judge.__module__
    return score


def by_distance(known: np.ndarray, *, first: str = "knn") -> Judges:
    """Every distance to the ``known`` rows (N, d) of a machine, one of them first.

    Each is fitted to them when it is first asked (:func:`asdlib.judge.scorers.fitted`).
    """
    names = dict.fromkeys([first, *EMBEDDING_SCORERS])
    return {name: fitted(EMBEDDING_SCORERS[name], known) for name in names}


def by_surprise(model: MachineClassifier, label: int) -> Judges:
    """-log p(own machine) of embeddings, of the machine ``label``.

    "softmax" has the margin on the own machine, "softmax-plain" has not; a head without
    a margin has the latter only.
    """
    margins = {"softmax": True, "softmax-plain": False}
    if not isinstance(model.arcface, ArcFace):
        del margins["softmax"]
    return {
        name: partial(surprise, model, label=label, margin=margin)
        for name, margin in margins.items()
    }


@torch.no_grad()
def surprise(
    model: MachineClassifier, embeddings: np.ndarray, *, label: int, margin: bool
) -> np.ndarray:
    """-log p(machine ``label``) (M,) of ``embeddings`` (M, dim).

    With ``margin``, the logit of that machine is the one of training, with ArcFace's
    margin.
    """
    x = torch.as_tensor(embeddings)
    logits = model.arcface(x, torch.full((len(x),), label) if margin else None)
    return softmax_score(logits.numpy(), label)
