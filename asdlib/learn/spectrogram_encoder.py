"""An encoder of magnitudes: what moves in the spectrogram, and the spectrum of the
whole clip.

After the networks of Wilkinghoff (ICASSP 2023 and 2024): one branch sees the linear
magnitudes of a spectrogram minus their mean over time, so only what changes; the other
the spectrum of the whole clip, so only what stays, as fine as the clip allows. Neither
takes a logarithm: what is loud counts.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.sound.features import FeatureConfig

BINS = 1.0  # Hz, the finest that the whole spectrum is looked at


@dataclass(frozen=True)
class SpectrogramConfig:
    """Sizes of a :class:`SpectrogramEncoder`.

    ``seconds`` is how much of a clip the first branch sees at a time; ``parts`` names
    the branches that there are: "moving", "steady", or "both".
    """

    NAME: ClassVar[str] = "spectrogram"
    seconds: float = 2.0
    width: int = 16
    embedding_dim: int = 256
    parts: str = "both"


class SpectrogramEncoder(nn.Module):
    """Waveforms (B, samples) in ±1 → embedding (B, embedding_dim).

    What else is given, such as log-mels, is not looked at. In training the first branch
    sees a random piece of each clip, as long as ``config.seconds``; in evaluation mode
    all pieces, one after the other, and their embeddings are averaged. Clips may be of
    any length. Raises :class:`AsdError` for sizes that make no sense, and for inputs
    other than sound.
    """

    def __init__(self, config: SpectrogramConfig, features: FeatureConfig | None):
        super().__init__()
        if features is None:
            raise AsdError(
                f"the encoder {config.NAME} reads sound: choose another for spectra"
            )
        if config.parts not in ("moving", "steady", "both"):
            raise AsdError(
                f"there is no part {config.parts!r}: choose moving, steady or both"
            )
        # A 1×1 convolution of stride 2 with 4 channels writes beyond its memory in
        # oneDNN, as PyTorch 2.13 has it.
        if config.width < 8 or config.width % 8:
            raise AsdError(
                f"a width of {config.width} channels makes no sense: choose 8, 16, ..."
            )
        both = config.parts == "both"
        if config.embedding_dim < 2 or (both and config.embedding_dim % 2):
            raise AsdError(
                f"{config.embedding_dim} numbers cannot be shared by two branches: "
                "choose an even embedding_dim"
            )
        self.embedding_dim = config.embedding_dim
        dim = config.embedding_dim // 2 if both else config.embedding_dim
        if config.parts != "steady":
            self.moving = Moving(dim, config, features)
        if config.parts != "moving":
            self.steady = Steady(dim, 4 * config.width, features)

    def forward(self, waveform: Tensor, *others: Tensor) -> Tensor:
        return torch.cat([branch(waveform) for branch in self.children()], dim=1)


class Moving(nn.Module):
    """Waveforms (B, samples) → (B, dim): a residual network on moving magnitudes."""

    def __init__(self, dim: int, config: SpectrogramConfig, features: FeatureConfig):
        super().__init__()
        self.n_fft, self.hop = features.n_fft, features.hop_length
        seconds = min(config.seconds, features.seconds)
        self.frames = int(seconds * features.sample_rate) // self.hop + 1
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        channels = [config.width * 2**i for i in range(4)]
        self.layers = nn.Sequential(
            nn.BatchNorm2d(1),
            nn.Conv2d(1, channels[0], 7, 4, 3, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
            *(Residual(cin, cout) for cin, cout in pairwise(channels)),
        )
        rows = self.n_fft // 2  # without the constant
        for _ in range(5):  # halved twice by the first convolution, once by each block
            rows = (rows + 1) // 2
        self.project = nn.Sequential(
            nn.BatchNorm1d(channels[-1] * rows),
            nn.Linear(channels[-1] * rows, dim, bias=False),
        )

    def forward(self, waveform: Tensor) -> Tensor:
        spectrogram = torch.stft(
            waveform, self.n_fft, self.hop, window=self.window, return_complex=True
        )
        magnitude = spectrogram.abs()[:, 1:]
        moving = magnitude - magnitude.mean(dim=2, keepdim=True)
        if self.training:
            return self.of_pieces(self.one_piece(moving))
        pieces = [self.of_pieces(piece) for piece in self.all_pieces(moving)]
        return torch.stack(pieces).mean(dim=0)

    def of_pieces(self, pieces: Tensor) -> Tensor:
        """(B, bins, frames) → (B, dim): the strongest of each feature over time."""
        features = self.layers(pieces[:, None]).amax(dim=3)
        return self.project(features.flatten(1))

    def one_piece(self, x: Tensor) -> Tensor:
        """A random piece of each clip: (B, bins, frames) → (B, bins, self.frames)."""
        last = max(0, x.shape[2] - self.frames)
        starts = torch.randint(last + 1, (len(x),)).tolist()
        pieces = [
            clip[:, start : start + self.frames]
            for clip, start in zip(x, starts, strict=True)
        ]
        return torch.stack(pieces)

    def all_pieces(self, x: Tensor) -> list[Tensor]:
        """Pieces of ``self.frames`` side by side, the last one up to the end."""
        last = max(0, x.shape[2] - self.frames)
        starts = [*range(0, last, self.frames), last]
        return [x[:, :, start : start + self.frames] for start in starts]


class Residual(nn.Module):
    """Two 3×3 convolutions and a way past them: (B, cin, h, w) → (B, cout, h/2, w/2),
    rounded up."""

    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(cin, cout, 3, 2, 1, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(inplace=True),
            nn.Conv2d(cout, cout, 3, 1, 1, bias=False),
            nn.BatchNorm2d(cout),
        )
        self.past = nn.Sequential(
            nn.Conv2d(cin, cout, 1, 2, bias=False), nn.BatchNorm2d(cout)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layers(x) + self.past(x))


class Steady(nn.Module):
    """Waveforms (B, samples) → (B, dim): convolutions along the whole spectrum.

    Its bins are 1 Hz wide, whatever the clip's length, each the mean of the magnitudes
    in it (Wilkinghoff takes every bin of clips that are all alike long).
    """

    def __init__(self, dim: int, width: int, features: FeatureConfig):
        super().__init__()
        self.bins = round(features.sample_rate / 2 / BINS)
        self.layers = nn.Sequential(
            nn.BatchNorm1d(1),
            *conv_bn_relu(1, width, 128, 32),
            *conv_bn_relu(width, 2 * width, 32, 16),
            *conv_bn_relu(2 * width, 2 * width, 8, 4),
            nn.Flatten(),
        )
        left = self.bins
        for step in (32, 16, 4):
            left = left // step + 1
        sizes = [2 * width * left, *[2 * width] * 4]
        dense: list[nn.Module] = []
        for cin, cout in pairwise(sizes):
            dense += [nn.Linear(cin, cout, bias=False), nn.BatchNorm1d(cout), nn.ReLU()]
        self.dense = nn.Sequential(*dense, nn.Linear(sizes[-1], dim, bias=False))

    def forward(self, waveform: Tensor) -> Tensor:
        size = max(
            waveform.shape[1], 2 * self.bins
        )  # a short clip is padded with zeros
        magnitude = torch.fft.rfft(waveform, size).abs()[:, None, 1:]
        spectrum = nn.functional.adaptive_avg_pool1d(magnitude, self.bins)
        return self.dense(self.layers(spectrum))


def conv_bn_relu(cin: int, cout: int, taps: int, step: int) -> list[nn.Module]:
    """Bias-free convolution, batch norm, ReLU.

    (B, cin, n) → (B, cout, n // step + 1), of an even number of ``taps``.
    """
    return [
        nn.Conv1d(cin, cout, taps, step, taps // 2, bias=False),
        nn.BatchNorm1d(cout),
        nn.ReLU(inplace=True),
    ]
