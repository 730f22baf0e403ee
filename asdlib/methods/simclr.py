r"""Contrast of two disguised views of a clip, which the paper argues against.

The positives of a clip are its own disguises, not its machine's other clips (SimCLR,
Chen, Kornblith, Norouzi and Hinton, ICML 2020, arXiv 2002.05709). Of sound the waveform
is disguised (:mod:`asdlib.sound.augment`); of spectra, bands and modulations are
masked. The score is the Mahalanobis distance of the embedding to those of the machine's
known clips, or another distance.

.. math::

    L = -\log \frac{e^{z_i z_j / \tau}}{\sum_{a \ne i} e^{z_i z_a / \tau}}

for the views i and j of a clip, where a runs over all other views of the batch.

Essential: two views of the same clip, and a disguise that changes what does not matter
and nothing else. After the paper: it is about pictures, so the disguises are ours, as
are the encoder and the distance. For this task there are no published figures of it
alone; with a head that names the disguise it is :mod:`asdlib.methods.aadcl`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.learn.contrastive import (
    TEMPERATURE,
    ContrastiveModel,
    supervised_contrastive_loss,
    with_new_head,
)
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._task import by_distance
from asdlib.processes import all_gather, rank
from asdlib.progress import OnStep, silent
from asdlib.sound.augment import MASKS, check_names, disguise, mask_spectra
from asdlib.sound.clips import Clips
from asdlib.sound.features import LogMel

NAME = "contrast of two views (SimCLR)"
PAPER = "Chen et al., ICML 2020, arXiv 2002.05709"
IDEA = "two disguises of a clip are told from the disguises of others"
INPUTS = ("sound", "spectra")
SCORERS = ("mahalanobis", "knn", "gmm")
BUDGET = StageConfig(16, 64, learning_rate=1e-3, cosine_from=0)
COST = 190.0

# The first input of some clips (B, ...) → one disguise of each, as the model's inputs.
View = Callable[[Tensor, np.random.Generator], tuple[Tensor, ...]]


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    augmentations: Sequence[str] = MASKS,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> ContrastiveModel:
    """Train an encoder and a head to find the other view of each clip.

    ``encoder`` is a config of :data:`asdlib.learn.encoders.ENCODERS` (None: the small
    one for these inputs), which sees ``window`` seconds of a clip at a time (None:
    all); the rest as in :func:`pretrain`.
    """
    check_kind(clips, NAME, INPUTS)
    task = Task.of(clips, encoder=encoder, window=window, seed=seed)
    model, _ = pretrain(
        task.new_encoder(),
        clips,
        budget,
        augmentations=augmentations,
        temperature=temperature,
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def pretrain(
    encoder: nn.Module,
    clips: Clips,
    config: StageConfig,
    *,
    augmentations: Sequence[str] = MASKS,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    **fit_options: Any,
) -> tuple[ContrastiveModel, list[dict]]:
    """Train ``encoder`` (in place) under a new head; both, and the log of the training.

    ``augmentations`` are names of :data:`asdlib.sound.augment.AUGMENTATIONS`, for
    sound; spectra are masked. The machines of the clips decide only which are held out:
    the loss never sees them. ``fit_options`` go to :func:`asdlib.learn.training.fit`.
    Raises :class:`AsdError` for an unknown augmentation.
    """
    check_names(augmentations)
    view = sound_view(clips, augmentations) if clips.features else masked_view(clips)

    def objective(
        model: nn.Module,
        inputs: tuple[Tensor, ...],
        labels: Tensor,
        rng: np.random.Generator,
    ) -> Tensor:
        return two_view_loss(model, inputs[0], view, rng, temperature=temperature)

    model = with_new_head(encoder, seed=seed)
    # The log-mels are left out: each view of a waveform has its own.
    first = Clips(clips.inputs[:1], clips.machines, clips.features)
    options = {"stage": "pretrain", "seed": seed, **fit_options}
    return model, fit(model, objective, first, config, **options)


def two_view_loss(
    model: nn.Module,
    x: Tensor,
    view: View,
    rng: np.random.Generator,
    *,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """The NT-Xent loss of two views of the clips ``x`` (B, ...), a scalar.

    The loss compares the views of all processes that share a batch.
    """
    views, clip = two_views(x, view, rng)
    z, clip = all_gather(model(*views), clip)
    # With one positive each, the other view, this is the NT-Xent loss.
    return supervised_contrastive_loss(z, clip, temperature=temperature)


def two_views(
    x: Tensor, view: View, rng: np.random.Generator
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Two views of the clips ``x`` (B, ...), each part (2B, ...), and the number of the
    clip in its batch (2B,).

    Where several processes share a batch, each disguises the whole of it, as the first
    process's ``rng`` says, and keeps the views of its own clips. So many processes do
    what one does.
    """
    drawn = torch.tensor([rng.integers(2**62)], device=x.device)
    drawn, whole = all_gather(drawn, x)
    common = np.random.default_rng(int(drawn[0]))
    shared_out = len(whole) > len(x)  # clips that are held out are not
    begin = rank() * len(x) if shared_out else 0
    own = slice(begin, begin + len(x))
    with torch.no_grad():
        views = [[part[own] for part in view(whole, common)] for _ in range(2)]
    clip = torch.arange(len(whole), device=x.device)[own].repeat(2)
    return tuple(torch.cat(parts) for parts in zip(*views, strict=True)), clip


def sound_view(clips: Clips, augmentations: Sequence[str]) -> View:
    """Waveforms (B, samples) → disguised ones, and their log-mels (B, mels, frames)."""
    assert clips.features is not None
    front_end = LogMel(clips.features)

    def view(x: Tensor, rng: np.random.Generator) -> tuple[Tensor, ...]:
        disguised = disguise(x.cpu(), augmentations, rng)
        return disguised.to(x.device), front_end(disguised).to(x.device)

    return view


def masked_view(clips: Clips) -> View:
    """Spectra (B, 1, bands, modulations) → masked ones; the mean of ``clips`` hides."""
    mean = torch.from_numpy(clips.inputs[0].mean(axis=0, dtype=np.float32))
    return lambda x, rng: (mask_spectra(x, mean, rng),)


def untrained(task: Task) -> ContrastiveModel:
    """The encoder and its head before any training."""
    return ContrastiveModel(task.new_encoder())


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """Every distance to the embeddings of the ``known`` clips (N, dim)."""
    return by_distance(known, first="mahalanobis")


score = scored_by(judge)
