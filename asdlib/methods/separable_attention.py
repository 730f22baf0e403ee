r"""A learned spectrogram that costs little, and a map of where to look.

Neri and Carli, "Low-complexity Attention-based Unsupervised Anomalous Sound Detection
exploiting Separable Convolutions and Angular Loss", IEEE Sensors Letters 2024, arXiv
2410.08919. The wave front end on which others spend 280,000 multiplications a frame
(Tgram) is made of a depthwise and a pointwise convolution; it and the log-mel are
multiplied by a map of both, which can be looked at. What learns is a classifier of
machine IDs with an angular margin.

.. math::

    g = \mathrm{Sep}_{1 \to 128}(w) \qquad V = (X, g) \qquad
    H = \sigma(\mathrm{Sep}_{64 \to 2}(\mathrm{ELU}\,\mathrm{BN}\,
        \mathrm{Sep}_{16 \to 64}(\mathrm{ELU}\,\mathrm{BN}\,\mathrm{Sep}_{2 \to 16} V)))

MobileFaceNet reads V · H. In Sep, a depthwise convolution, then a pointwise one, each
is followed by a batch norm and a ReLU, as in the package that the authors use. That
has two consequences: the wavegram g is one number a frame, written into 128 rows by a
line and a ReLU each, and H is 0.5 at least, so that it can halve and never remove.
With ``linear`` there is nothing in between, which is not the published network.

Essential are the separable wavegram, the map, and the angular loss. Faithful to the
authors' code but for our choices: the small MobileFaceNet; the map is computed from
means of 2 × 2 numbers; the log-mels in dB are mixed with the same share as the
waveforms, not computed from the mixed ones; Adam with 1e-3 (theirs: AdamW with 1e-4 for
300 epochs, and of these the one with the best AUC on the test clips). The loss is that
of :mod:`asdlib.methods.noisy_arcmix`, with scale 40 and shares from Beta(0.2, 0.2). Of
spectra only the map is separable: that of the numbers, standardised, as an image, in
front of the small encoder. No table of figures was reached; the published weights are
in a file that is called 93.44, it does not say of what.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.judge.scorers import scorer_names
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.encoder import EncoderConfig, MobileFaceNet
from asdlib.learn.spectrum_encoder import SpectrumConfig, SpectrumEncoder
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, noisy_arcmix, scored_by
from asdlib.methods.noisy_arcmix import arcmix_objective, own_encoder
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig

NAME = "separable attention"
PAPER = "Neri and Carli, IEEE Sensors Letters 2024, arXiv 2410.08919"
IDEA = "separable convolutions and a map of where to look, under ArcFace"
INPUTS = ("sound", "spectra")
SCORERS = scorer_names()
BUDGET = StageConfig(16, 64, learning_rate=1e-3, cosine_from=0)
COST = 150.0
MARGIN, SCALE = 0.7, 40.0
ALPHA = 0.2  # the shares of a mixture come from Beta(ALPHA, ALPHA)
WIDTHS = (16, 64)  # channels inside the map


def separable(
    cin: int,
    cout: int,
    kernel: int,
    *,
    dims: int,
    stride: int = 1,
    padding: int = 0,
    bias: bool = True,
    linear: bool = False,
) -> nn.Sequential:
    """A depthwise and a pointwise convolution over ``dims`` axes, 1 or 2.

    (B, cin, ...) → (B, cout, ...). Each has a batch norm and a ReLU behind it, or, if
    ``linear``, nothing.
    """
    conv = nn.Conv1d if dims == 1 else nn.Conv2d
    norm = nn.BatchNorm1d if dims == 1 else nn.BatchNorm2d
    deep = conv(cin, cin, kernel, stride, padding, groups=cin, bias=bias)
    point = conv(cin, cout, 1, bias=bias)
    if linear:
        return nn.Sequential(deep, point)
    return nn.Sequential(deep, norm(cin), nn.ReLU(), point, norm(cout), nn.ReLU())


class AttentionMap(nn.Module):
    """How much each number of an image counts: (B, channels, H, W) → the same, 0 to 1.

    It is computed from means of ``shrink`` × ``shrink`` numbers, through ``widths``
    channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        widths: tuple[int, int] = WIDTHS,
        shrink: int = 1,
        linear: bool = False,
    ):
        super().__init__()
        self.shrink = shrink
        first, second = widths
        layer = partial(separable, dims=2, linear=linear)
        self.layers = nn.Sequential(
            layer(channels, first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ELU(),
            layer(first, second, 3, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ELU(),
            layer(second, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        if self.shrink == 1:
            return self.layers(image)
        small = F.avg_pool2d(image, self.shrink, ceil_mode=True)
        whole = F.interpolate(self.layers(small), scale_factor=float(self.shrink))
        return whole[:, :, :height, :width]


class SeparableAttention(nn.Module):
    """Log-mel and separable wavegram, times their map, into MobileFaceNet.

    ``forward(waveform, log_mel)`` takes (B, samples) in ±1 and (B, mels, frames) in dB,
    and returns (B, embedding_dim).
    """

    def __init__(
        self, config: EncoderConfig, features: FeatureConfig, *, linear: bool = False
    ):
        super().__init__()
        self.embedding_dim = config.embedding_dim
        mels, window = features.n_mels, features.n_fft
        layer = partial(separable, stride=features.hop_length, padding=window // 2)
        self.wavegram = layer(1, mels, window, dims=1, linear=linear)
        self.map = AttentionMap(2, shrink=2, linear=linear)
        self.mobilefacenet = MobileFaceNet(config, mels=mels, frames=features.frames)

    def forward(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        image = torch.stack((log_mel, self.wavegram(waveform[:, None])), dim=1)
        image = image.contiguous(memory_format=torch.channels_last)
        return self.mobilefacenet(image * self.map(image))


class AttendedSpectra(nn.Module):
    """Spectra (B, 1, bands, modulations), times their map, into the small encoder →
    (B, embedding_dim)."""

    def __init__(self, config: SpectrumConfig, *, linear: bool = False):
        super().__init__()
        self.embedding_dim = config.embedding_dim
        cells = config.bands * config.modulations
        self.standardise = nn.BatchNorm1d(cells, affine=False)
        self.map = AttentionMap(1, linear=linear)
        self.convolutions = SpectrumEncoder(config)

    def forward(self, x: Tensor) -> Tensor:
        z = self.standardise(x.flatten(1)).view(x.shape)
        return self.convolutions(z * self.map(z))


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    linear: bool = False,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> MachineClassifier:
    """Train a :class:`MachineClassifier` of the machines of ``clips`` on mixtures.

    ``encoder`` has the sizes of the network, an :class:`EncoderConfig` or, of spectra,
    a :class:`SpectrumConfig` (None: the small one), which sees ``window`` seconds of a
    clip at a time (None: all). If ``linear``, wavegram and map have neither batch norm
    nor ReLU inside.
    """
    check_kind(clips, NAME, INPUTS)
    task = Task.of(clips, encoder=encoder, window=window, seed=seed)
    model = untrained(task, linear=linear)
    fit(
        model,
        partial(arcmix_objective, alpha=ALPHA),
        clips,
        budget,
        stage="attention",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task, *, linear: bool = False) -> MachineClassifier:
    """The classifier before any training.

    Raises :class:`AsdError` for an encoder of another kind than those sizes.
    """
    base = own_encoder(
        task,
        partial(SeparableAttention, linear=linear),
        partial(AttendedSpectra, linear=linear),
    )
    with seeded(task.seed, "classifier"):
        return MachineClassifier(base, len(task.machines), margin=MARGIN, scale=SCALE)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The surprise at embeddings, and their distances to ``known`` (N, dim)."""
    return noisy_arcmix.judge(model, known, label)


score = scored_by(judge)
