"""Contrast of two disguised views of a clip (SimCLR, Chen et al., ICML 2020), which the paper argues against.

The positives of a clip are its own disguises, not its machine's other clips. Of sound the waveform is disguised
(:mod:`asdlib.sound.augment`); of spectra, bands and modulations are masked. The score is the Mahalanobis distance of the
embedding to those of the machine's known clips, or another distance.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.judge.scorers import distance_scores
from asdlib.learn.contrastive import (
    TEMPERATURE,
    ContrastiveModel,
    supervised_contrastive_loss,
    with_new_head,
)
from asdlib.learn.encoders import encoder_for, new_encoder
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import check_kind, embedded
from asdlib.processes import all_gather, rank
from asdlib.progress import OnStep, silent
from asdlib.sound.augment import MASKS, disguise, mask_spectra
from asdlib.sound.clips import Clips
from asdlib.sound.features import LogMel

NAME = "contrast of two views (SimCLR)"
PAPER = "Chen et al., ICML 2020, arXiv 2002.05709"
INPUTS = ("sound", "spectra")


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
    **options: Any,
) -> nn.Module:
    """Train an encoder and a head to find the other view of each clip; a :class:`ContrastiveModel`.

    ``encoder`` is a config of :data:`asdlib.learn.encoders.ENCODERS` (None: the small one for these inputs). The machines of
    the clips decide only which clips are held out; the loss never sees them. ``options`` go to :func:`pretrain`.
    """
    check_kind(clips, NAME, INPUTS)
    model = new_encoder(encoder or encoder_for(clips), clips.features, seed=seed)
    options |= {
        "seed": seed,
        "device": device,
        "validation": validation,
        "folder": folder,
        "on_step": on_step,
    }
    return pretrain(model, clips, budget, **options)[0]


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
    """Train ``encoder`` (in place) under a new head; both, and the log of :func:`asdlib.learn.training.fit`.

    ``augmentations`` are names of :data:`asdlib.sound.augment.AUGMENTATIONS`, for sound. Raises :class:`AsdError` for an
    unknown one.
    """
    disguise(
        torch.zeros(1, 64), augmentations, np.random.default_rng(0)
    )  # refused now, not in the training
    view = (
        _sound_view(clips, augmentations) if clips.features else _spectrum_view(clips)
    )

    def objective(
        model: nn.Module,
        inputs: tuple[Tensor, ...],
        labels: Tensor,
        rng: np.random.Generator,
    ) -> Tensor:
        return two_view_loss(model, inputs[0], view, rng, temperature=temperature)

    model = with_new_head(encoder, seed=seed)
    # Of sound, the log-mel is computed anew from each view: the one in the cache is of the clip undisguised.
    heard = Clips(clips.inputs[:1], clips.machines, clips.features)
    return model, fit(
        model, objective, heard, config, stage="pretrain", seed=seed, **fit_options
    )


def two_view_loss(
    model: nn.Module,
    x: Tensor,
    view: Any,
    rng: np.random.Generator,
    *,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """The NT-Xent loss of the clips ``x`` (B, ...): ``view(x, rng)`` makes the inputs of the model from one disguise of them.

    Where several processes share a batch, each disguises all of it alike and keeps its own rows, so that many do what one does.
    """
    first, whole = all_gather(torch.tensor([rng.integers(2**62)], device=x.device), x)
    begin = (
        rank() * len(x) if len(whole) > len(x) else 0
    )  # held-out clips are not shared out
    own, common = slice(begin, begin + len(x)), np.random.default_rng(int(first[0]))
    with torch.no_grad():
        views = [[part[own] for part in view(whole, common)] for _ in range(2)]
    z = model(*(torch.cat(parts) for parts in zip(*views, strict=True)))
    clip = torch.arange(len(whole), device=x.device)[own].repeat(2)
    z, clip = all_gather(z, clip)
    return supervised_contrastive_loss(
        z, clip, temperature=temperature
    )  # one positive each


def _sound_view(clips: Clips, augmentations: Sequence[str]) -> Any:
    front_end = LogMel(clips.features)

    def view(x: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        disguised = disguise(x.cpu(), augmentations, rng)
        return disguised.to(x.device), front_end(disguised).to(x.device)

    return view


def _spectrum_view(clips: Clips) -> Any:
    mean = torch.from_numpy(np.asarray(clips.inputs[0]).mean(axis=0))
    return lambda x, rng: (mask_spectra(x, mean, rng),)


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,) by every distance between embeddings."""
    rows = [embedded(model, clips, device=device) for clips in (known, asked)]
    return distance_scores(*rows)
