r"""A clip is as bad as its worst quarter of a second: for squeak and rattle.

Ours, for a problem of which only a title could be found: SRAD-CLF, Liu et al. 2024,
which we take to be about squeak and rattle. Nothing of that work is in here. What
squeaks or rattles does so for moments, and an embedding of a whole clip averages them
away. So what is embedded are windows of a quarter of a second, each half a window after
the one before, and the score of a clip is the largest over its windows of the distance
to the two nearest windows of its machine's known clips.

The windows learn by contrast. The two views of a window, i and i', are to be found
among the windows of *other* machines:

.. math::

    L_i = -\log \frac{e^{\cos(z_i, z_{i'}) / \tau}}
        {e^{\cos(z_i, z_{i'}) / \tau}
         + \sum_{m(a) \ne m(i)} e^{\cos(z_i, z_a) / \tau}}

Two windows of the same machine m, of the same clip or not, are no negatives of each
other: between two strokes of a valve, or along the hum of a fan, they sound alike, and
the usual loss (NT-Xent) would push them apart.

Essential: short windows, the worst of which counts, and these negatives. A view begins
up to a quarter of a window earlier or later, is up to 3 dB louder or quieter, and lacks
up to a tenth of its bands. The network sees the log-mel alone. It reads sound only: a
spectrum has no moments.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.errors import AsdError
from asdlib.judge.scorers import fit_knn
from asdlib.learn.contrastive import TEMPERATURE
from asdlib.learn.encoder import EncoderConfig
from asdlib.learn.heads import ProjectionHead
from asdlib.learn.pieces import piece_of
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._serial import LogMelEncoder
from asdlib.methods.simclr import two_views
from asdlib.processes import all_gather
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig

NAME = "contrast of windows (ours)"
PAPER = "ours, for a problem of which only the title could be found: SRAD-CLF, 2024"
IDEA = "a clip is as strange as the strangest of its many short windows"
INPUTS = ("sound",)
ONLY = "spectra have no time to cut windows from"
SCORERS = ("worst", "mean")
BUDGET = StageConfig(32, 64, learning_rate=1e-3, cosine_from=0)
COST = 185.0
SECONDS = 0.25  # of a window
EACH = 2  # windows of a clip at a time; the batch has two times as many
DECIBELS, HIDDEN = 3.0, 0.1  # of a view: the gain, and the share of bands


class WindowModel(nn.Module):
    """An encoder of windows of clips with ``features``, and a head that is compared.

    ``forward(windows)`` (N, mels, frames of a window) → z (N, dim); ``embed(waveform,
    log_mel)`` → the embeddings of all windows of a clip side by side (B, windows ·
    dim).
    """

    def __init__(self, config: EncoderConfig, features: FeatureConfig):
        super().__init__()
        piece = window_of(features)
        self.frames = piece.frames
        self.encoder = LogMelEncoder(config, piece)
        self.dim = config.embedding_dim
        self.head = ProjectionHead(self.dim)
        self.embedding_dim = self.dim * len(self.starts(features.frames))

    def starts(self, frames: int) -> list[int]:
        """Where the windows of a clip of so many ``frames`` begin; the last one ends
        with it."""
        last = frames - self.frames
        return [*range(0, last, self.frames // 2), last]

    def embed(self, *inputs: Tensor) -> Tensor:
        log_mel = inputs[-1]
        size, starts = self.frames, self.starts(log_mel.shape[2])
        windows = torch.stack([log_mel[:, :, s : s + size] for s in starts], dim=1)
        rows = self.of_windows(windows.flatten(0, 1))
        return rows.view(len(log_mel), -1)

    def of_windows(self, windows: Tensor) -> Tensor:
        """(N, mels, frames of a window) → (N, dim)."""
        return self.encoder(windows, windows)  # what comes first is not looked at

    def forward(self, windows: Tensor) -> Tensor:
        return self.head(self.of_windows(windows))


def window_of(features: FeatureConfig) -> FeatureConfig:
    """The front end of a window of clips with ``features``.

    Raises :class:`AsdError` for clips that are shorter, and for windows of a single
    frame, or shorter than half a Fourier transform.
    """
    samples = round(SECONDS * features.sample_rate)
    if samples < features.n_fft // 2:
        raise AsdError(
            f"a window of {SECONDS:g} s has {samples} samples, too few for a Fourier "
            f"transform of {features.n_fft}: choose a shorter one, or another method"
        )
    piece = piece_of(features, SECONDS)
    if piece.frames < 2:
        raise AsdError(
            f"a window of {SECONDS:g} s has one frame, with a hop of "
            f"{features.hop_length} samples at {features.sample_rate} Hz: choose a "
            "shorter hop, or another method"
        )
    return piece


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
) -> WindowModel:
    """Train a :class:`WindowModel` on windows of all ``clips``.

    ``encoder`` has the sizes of the network, an :class:`EncoderConfig` (None: the small
    one). An epoch sees four windows of each clip. Of a single machine nothing is
    learned: its windows have none of another machine to be apart from. Raises
    :class:`AsdError` for another encoder, for clips shorter than a window, and for
    windows of a single frame, or too short for a Fourier transform.
    """
    check_kind(clips, NAME, INPUTS)
    assert clips.features is not None
    model = untrained(Task.of(clips, encoder=encoder, seed=seed))
    fit(
        model,
        partial(window_objective, frames=model.frames),
        # The waveforms are left out: nobody listens to them.
        Clips((clips.log_mels,), clips.machines, clips.features),
        budget,
        stage="windows",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task) -> WindowModel:
    """The model before any training.

    Raises :class:`AsdError` as :func:`train`.
    """
    assert task.features is not None
    sizes = task.encoder or task.default_encoder
    if not isinstance(sizes, EncoderConfig):
        raise AsdError(
            f"the sizes of the encoder {sizes.NAME} do not fit the network of this "
            f"method: choose {EncoderConfig.NAME}, or none"
        )
    with seeded(task.seed, "windows"):
        return WindowModel(sizes, task.features)


def pairs_of(x: Tensor, rng: np.random.Generator, *, frames: int) -> Tensor:
    """Two views of each of :data:`EACH` windows of log-mels ``x`` (B, mels, frames).

    (B, EACH, 2, mels, ``frames``), in dB. The windows are drawn, and how the views
    differ.
    """
    last, mels = x.shape[2] - frames, x.shape[1]
    begin = rng.integers(last + 1, size=(len(x), EACH, 1))
    near = rng.integers(-(frames // 4), frames // 4 + 1, size=(len(x), EACH, 2))
    starts = (begin + near).clip(0, last)
    place = torch.from_numpy(starts)[..., None] + torch.arange(frames)
    clip = torch.arange(len(x)).view(-1, 1, 1, 1)
    views = x.cpu()[clip, :, place].transpose(3, 4)
    wide = rng.integers(round(HIDDEN * mels) + 1, size=starts.shape)[..., None]
    low = rng.uniform(size=starts.shape)[..., None] * (mels - wide)
    band = np.arange(mels)
    hidden = torch.from_numpy((band >= low) & (band < low + wide))[..., None]
    gain = torch.from_numpy(rng.uniform(-DECIBELS, DECIBELS, starts.shape)).to(views)
    louder = views + gain[..., None, None]
    # What is hidden is as loud as the window is on average.
    mean = louder.mean(dim=(3, 4), keepdim=True)
    return torch.where(hidden, mean, louder).to(x.device)


def window_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    frames: int,
) -> Tensor:
    """The loss of a batch of log-mels (B, mels, frames), as ``fit`` calls it: a scalar.

    It compares the windows of all processes. Several do what one does.
    """
    (pairs,), _ = two_views(
        inputs[0], lambda x, rng: (pairs_of(x, rng, frames=frames),), rng
    )
    z = model(pairs.flatten(0, 2))
    machines = labels.repeat(2).repeat_interleave(2 * EACH)
    return window_loss(*all_gather(z, machines))


def window_loss(
    z: Tensor, machines: Tensor, *, temperature: float = TEMPERATURE
) -> Tensor:
    """The mean loss L_i of the views ``z`` (2N, D) of N windows, a scalar.

    The two of a window follow each other; ``machines`` (2N,) says of which machine each
    is. Without a window of another machine it is 0.
    """
    cosine = F.normalize(z) @ F.normalize(z).T / temperature
    place = torch.arange(len(z), device=z.device)
    partner = place ^ 1
    alike = machines[:, None] == machines[None, :]
    alike[place, partner] = False
    # Not -inf: a weight of 0 times -inf would be nan.
    return F.cross_entropy(cosine.masked_fill(alike, torch.finfo(z.dtype).min), partner)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The distances of windows to those of ``known`` clips (N, dim of all windows).

    The largest over a clip's windows, and their mean.
    """
    assert isinstance(model, WindowModel)
    dim = model.dim
    far = fit_knn(known.reshape(-1, dim))

    def of_windows(rows: np.ndarray) -> np.ndarray:
        return far(rows.reshape(-1, dim)).reshape(len(rows), -1)

    return {
        "worst": lambda rows: of_windows(rows).max(axis=1),
        "mean": lambda rows: of_windows(rows).mean(axis=1),
    }


score = scored_by(judge)
