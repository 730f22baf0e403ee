r"""Two spectral and two temporal views of a clip, and which of them to trust.

After Kong, Yu and Yuan, "Multi-Spectral and Multi-Temporal Features Fusion With SE
Network for Anomalous Sound Detection", IEEE Access 12, 167262-167277, 2024, of which we
have read the title and two re-implementations by students, not the paper or its code.
Four pictures of a clip, all of mels × frames, are laid on each other like the colours
of an image: the log-mel; what convolutions make of the spectrum of the whole clip
(SpecNet), where the second axis is frequency again, as fine as the clip allows; and of
its waveform a Tgram and the output of a small WaveNet, whose dilated causal
convolutions look far back. Squeeze and excitation (Hu et al., CVPR 2018) then gives
each of the four pictures V one weight a clip,

.. math:: s = \sigma(W_2\,\mathrm{ReLU}(W_1\,\mathrm{mean}(V))), \qquad V' = s \cdot V

and MobileFaceNet learns the machine IDs of V' under ArcFace.

Essential are the spectrum of the whole clip beside the spectrogram, the two views of
the waveform, and the weights. Our choices are where these stand, which nobody tells (on
the four stacked pictures, two numbers inside), all sizes, the small MobileFaceNet,
and that spectrum and pictures are first standardised over the clips of a batch: the
log-mel's decibels would open or close all gates for good. Margin 0.5 and scale 30 are
those of a re-implementation, which has no squeeze and excitation. Of the paper's
figures none was reached; with one ROC curve a type, that re-implementation, which joins
such views with Noisy-ArcMix, reports AUC 95.56 % and pAUC 89.81 % on average on DCASE
2020.

It reads sound only: spectra of modulations have neither waveform nor frames, so that of
the four views none is left to be weighed.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.judge.scorers import scorer_names
from asdlib.learn.classifier import MachineClassifier, classification_objective
from asdlib.learn.encoder import EncoderConfig, MobileFaceNet, TgramNet
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, noisy_arcmix, scored_by
from asdlib.methods.noisy_arcmix import own_encoder
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig

NAME = "four views under squeeze and excitation"
PAPER = "after Kong et al., IEEE Access 2024"
IDEA = "two spectral and two temporal views of a clip, each with a weight"
INPUTS = ("sound",)
ONLY = "spectra have neither a waveform nor frames"
SCORERS = scorer_names()
BUDGET = StageConfig(16, 64, learning_rate=1e-3, cosine_from=0)
COST = 245.0
MARGIN, SCALE = 0.5, 30.0
SPECTRUM = ((9, 8), (9, 8), (5, 4))  # (taps, stride) of the convolutions along it
SPECTRUM_WIDTH = 32
WAVE_WIDTH, DILATIONS = 64, (1, 2, 4, 8)
LEAST = 1e-10  # power, as in the log-mel


class SpecNet(nn.Module):
    """Waveform (B, samples) → (B, mels, frames) of its whole spectrum, in dB.

    The second axis is frequency, cut into as many places as there are frames. A clip
    that is shifted round and round has the same spectrum, and so the same picture.
    """

    def __init__(self, features: FeatureConfig):
        super().__init__()
        self.frames = features.frames
        self.standardise = nn.BatchNorm1d(1, affine=False)
        layers: list[nn.Module] = []
        widths = pairwise([1, SPECTRUM_WIDTH, SPECTRUM_WIDTH, features.n_mels])
        for (taps, stride), (cin, cout) in zip(SPECTRUM, widths, strict=True):
            layers += [nn.Conv1d(cin, cout, taps, stride, taps // 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, waveform: Tensor) -> Tensor:
        power = torch.fft.rfft(waveform).abs().square() / waveform.shape[1]
        decibels = 10 * power.clamp(min=LEAST).log10()[:, None]
        picture = self.layers(self.standardise(decibels))
        # At half a window a hop there are as many places as frames already.
        return F.adaptive_avg_pool1d(picture, self.frames)


class Dilated(nn.Module):
    """A gated causal convolution of WaveNet: (B, C, frames) → the input of the next
    block, and what this one adds to the output, both (B, C, frames).

    The ``last`` block has no weights for a next one.
    """

    def __init__(self, width: int, dilation: int, *, last: bool = False):
        super().__init__()
        self.reach = 2 * dilation  # frames back
        self.conv = nn.Conv1d(width, 2 * width, 3, dilation=dilation)
        self.on = nn.Identity() if last else nn.Conv1d(width, width, 1)
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, gate = self.conv(F.pad(x, (self.reach, 0))).chunk(2, dim=1)
        y = torch.tanh(value) * torch.sigmoid(gate)
        return x + self.on(y), self.out(y)


class WaveNetGram(nn.Module):
    """Waveform (B, samples) → (B, mels, frames) by a small WaveNet.

    Learned filters on the grid of the log-mel, then a gated block for each of
    :data:`DILATIONS`. A frame sees itself and those before it.
    """

    def __init__(self, features: FeatureConfig):
        super().__init__()
        window, hop = features.n_fft, features.hop_length
        self.filters = nn.Conv1d(
            1, WAVE_WIDTH, window, stride=hop, padding=window // 2, bias=False
        )
        self.blocks = nn.ModuleList(
            Dilated(WAVE_WIDTH, by, last=by == DILATIONS[-1]) for by in DILATIONS
        )
        self.project = nn.Conv1d(WAVE_WIDTH, features.n_mels, 1)

    def forward(self, waveform: Tensor) -> Tensor:
        x = self.filters(waveform[:, None])
        total = torch.zeros_like(x)
        for block in self.blocks:
            x, part = block(x)
            total = total + part
        return self.project(F.relu(total))


class SqueezeExcitation(nn.Module):
    """Channels of an image (B, C, H, W), each times a weight from 0 to 1.

    The weights are computed from the means of all channels, through C /
    ``reduction`` numbers.
    """

    def __init__(self, channels: int, *, reduction: int = 2):
        super().__init__()
        self.down = nn.Linear(channels, channels // reduction)
        self.up = nn.Linear(channels // reduction, channels)
        # The means are near 0: a bias below that would turn a unit off for every clip.
        nn.init.zeros_(self.down.bias)

    def weights(self, image: Tensor) -> Tensor:
        """The weight of each channel: (B, C, H, W) → (B, C)."""
        return torch.sigmoid(self.up(F.relu(self.down(image.mean(dim=(2, 3))))))

    def forward(self, image: Tensor) -> Tensor:
        return image * self.weights(image)[:, :, None, None]


class FourViews(nn.Module):
    """Log-mel, whole spectrum, Tgram and WaveNet-gram, weighed, into MobileFaceNet.

    ``forward(waveform, log_mel)`` takes (B, samples) in ±1 and (B, mels, frames) in dB,
    and returns (B, embedding_dim).
    """

    def __init__(self, config: EncoderConfig, features: FeatureConfig):
        super().__init__()
        self.embedding_dim = config.embedding_dim
        self.of_waveform = nn.ModuleList(
            view(features) for view in (SpecNet, TgramNet, WaveNetGram)
        )
        self.standardise = nn.BatchNorm2d(4, affine=False)
        self.excitation = SqueezeExcitation(4)
        sizes = {"mels": features.n_mels, "frames": features.frames}
        self.mobilefacenet = MobileFaceNet(config, channels=4, **sizes)

    def views(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        """The four pictures, standardised: (B, 4, mels, frames)."""
        others = [view(waveform) for view in self.of_waveform]
        image = torch.stack([log_mel, *others], dim=1)
        return self.standardise(image.contiguous(memory_format=torch.channels_last))

    def forward(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        return self.mobilefacenet(self.excitation(self.views(waveform, log_mel)))


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
) -> MachineClassifier:
    """Train a :class:`MachineClassifier` of the machines of ``clips``.

    ``encoder`` has the sizes of MobileFaceNet, an :class:`EncoderConfig` (None: the
    small one), and the network sees ``window`` seconds of a clip at a time (None: all).
    Raises :class:`AsdError` for another encoder, and a window longer than the clips.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, encoder=encoder, window=window, seed=seed))
    fit(
        model,
        classification_objective,
        clips,
        budget,
        stage="four views",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task) -> MachineClassifier:
    """The classifier before any training.

    Raises :class:`AsdError` for an encoder of another kind than those sizes, and for a
    window longer than the clips.
    """
    base = own_encoder(task, FourViews)
    with seeded(task.seed, "classifier"):
        return MachineClassifier(base, len(task.machines), margin=MARGIN, scale=SCALE)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The surprise at embeddings, and their distances to ``known`` (N, dim)."""
    return noisy_arcmix.judge(model, known, label)


score = scored_by(judge)
