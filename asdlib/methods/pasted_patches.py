r"""Is there a patch of another clip in this one? Defects are made, not given.

After the self-predictive family, synthetic defects, in the survey of self-supervised
anomaly detection by Hojjati, Ho and Armanfard, Neural Networks 172 (2024) 106106, arXiv
2205.05173; the best known of its kind is CutPaste (Li et al., CVPR 2021), for
pictures. A rectangle of another clip's spectrogram is pasted into a healthy one, and a
network learns to tell whether that was done:

.. math::

    \text{score}(x) = \log \frac{p(\text{pasted} \mid x)}{1 - p(\text{pasted} \mid x)}

Essential: a defect that is local in time and frequency, a classifier of two classes, no
labels. Our choices: the log-mel, in dB, as the picture, and an encoder that sees
nothing else; a patch of 2 to 15 % of it, in shares of the picture from one to four
times as long as high or as high as long (CutPaste's sizes and shapes, or nearly), which
comes from the same bands of any other clip of the batch, at any moment of it; one
network for all machines. Of spectra a patch comes from the same bands and modulations.
As with CutPaste, distances of the embedding to that of known clips score, too.

Published: nothing for sound that we know of. What it cannot see is a fault without
edges: one that is in all bands at all times alike.
"""

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.pieces import Pieces
from asdlib.learn.spectrum_encoder import SpectrumEncoder
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._serial import LogMelEncoder
from asdlib.methods._task import by_distance
from asdlib.methods.noisy_arcmix import own_encoder
from asdlib.methods.simclr import View, two_views
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig

NAME = "pasted patches (after CutPaste)"
PAPER = "after Hojjati et al., Neural Networks 2024, arXiv 2205.05173"
IDEA = "a classifier finds patches of other clips, pasted into healthy ones"
INPUTS = ("sound", "spectra")
SCORERS = ("pasted", "knn", "mahalanobis", "gmm")
BUDGET = StageConfig(16, 64, learning_rate=1e-3, cosine_from=0)
COST = 190.0
SHARES = 0.02, 0.15  # of a picture: the least and the largest patch
LONGEST = 4.0  # times as long as high, or as high as long


class PatchClassifier(nn.Module):
    """An ``encoder`` and the layer that says whether something was pasted.

    ``forward(*inputs)`` → log odds (N,); ``embed(*inputs)`` → the embedding (N, dim).
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.embedding_dim = cast(int, encoder.embedding_dim)
        self.pasted = nn.Linear(self.embedding_dim, 1)

    def embed(self, *inputs: Tensor) -> Tensor:
        return self.encoder(*inputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.pasted(self.embed(*inputs)).squeeze(1)


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> PatchClassifier:
    """Train a :class:`PatchClassifier`; the machines of ``clips`` are not looked at.

    ``encoder`` has the sizes of the network, an :class:`EncoderConfig` or, of spectra,
    a :class:`SpectrumConfig` (None: the small one), which sees ``window`` seconds of a
    clip at a time (None: all). Raises :class:`AsdError` for another encoder, and a
    window longer than the clips.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, encoder=encoder, window=window, seed=seed))
    piece = model.encoder.piece if isinstance(model.encoder, Pieces) else None
    fit(
        model,
        partial(patch_objective, piece=piece),
        clips,
        budget,
        stage="patches",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task) -> PatchClassifier:
    """The classifier before any training.

    Raises :class:`AsdError` for an encoder of another kind than those sizes, and for a
    window longer than the clips.
    """
    base = own_encoder(task, LogMelEncoder, SpectrumEncoder)
    with seeded(task.seed, "patches"):
        return PatchClassifier(base)


def pasted(x: Tensor, rng: np.random.Generator, *, moved: bool) -> Tensor:
    """Each picture of ``x`` (B, ..., rows, columns) with a patch of another: (B, ...).

    From the same rows and, unless it is ``moved``, from the same columns.
    """
    y, (rows, columns) = x.clone(), x.shape[-2:]
    for i in range(len(x)):
        other = (i + rng.integers(1, max(2, len(x)))) % len(x)
        share, shape = rng.uniform(*SHARES), LONGEST ** rng.uniform(-1, 1)
        high = min(rows, max(1, round(rows * float(share * shape) ** 0.5)))
        long = min(columns, max(1, round(columns * float(share / shape) ** 0.5)))
        top = rng.integers(rows - high + 1)
        left, source = rng.integers(columns - long + 1, size=2)
        source = source if moved else left
        patch = x[other, ..., top : top + high, source : source + long]
        y[i, ..., top : top + high, left : left + long] = patch
    return y


def patch_view(*, frames: int | None, moved: bool) -> View:
    """Pictures (B, ..., rows, columns) → the same, half of them with a patch, and with
    which this was done (B,).

    They are cut to so many ``frames``, all at the same moment, which is drawn, before
    anything is pasted (None: not at all).
    """

    def view(x: Tensor, rng: np.random.Generator) -> tuple[Tensor, ...]:
        if frames is not None:
            start = rng.integers(x.shape[-1] - frames + 1)
            x = x[..., start : start + frames]
        which = torch.from_numpy(rng.integers(2, size=len(x))).to(x.device)
        if len(x) < 2 and not moved:  # its own patch, where it was: there is none
            which.zero_()
        chosen = which.bool().view(-1, *[1] * (x.dim() - 1))
        return torch.where(chosen, pasted(x, rng, moved=moved), x), which

    return view


def patch_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    piece: FeatureConfig | None = None,
) -> Tensor:
    """The cross-entropy of pasted and whole pictures of a batch, a scalar.

    Of spectra (B, 1, bands, modulations), or of waveforms (B, samples) and log-mels (B,
    mels, frames), of which the network sees pieces with the front end ``piece`` (None:
    all of them). Each clip is seen twice, each time with a patch or without. Several
    processes do what one does.
    """
    *waves, picture = inputs
    frames = None if piece is None else piece.frames
    view = patch_view(frames=frames, moved=bool(waves))
    (pictures, which), _ = two_views(picture, view, rng)
    samples = None if piece is None else piece.samples
    unheard = [x[:, :samples].repeat(2, 1) for x in waves]
    logits = model(*unheard, pictures)
    return F.binary_cross_entropy_with_logits(logits, which.to(logits))


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The log odds of a patch, and every distance to ``known`` (N, dim)."""
    assert isinstance(model, PatchClassifier)
    weight = model.pasted.weight[0].detach().double().numpy()
    bias = model.pasted.bias.item()

    def odds(rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows, np.float64) @ weight + bias

    return {"pasted": odds, **by_distance(known)}


score = scored_by(judge)
