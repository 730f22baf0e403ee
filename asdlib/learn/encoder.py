"""The encoder of the two-stage method: two spectrograms, MobileFaceNet over both.

::

    waveform (B, samples) ─► TgramNet ─► (B, mels, frames) ┐
                                                           ├─► two image channels
    log-mel (B, mels, frames) ─────────────────────────────┘          │
                                                                      ▼
                                                   MobileFaceNet ─► (B, 128)

TgramNet learns a second "spectrogram" on the same time grid from the waveform (Liu et
al., ICASSP 2022, "STgram-MFN"); MobileFaceNet (Chen et al., CCBR 2018) is a small image
network. Everything that the published code fixes at 10 s (a layer norm over 313 frames,
a global convolution over 8×20) follows here from the config, so any clip length works.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from asdlib.errors import AsdError
from asdlib.learn.norm_prelu import ConvNorm
from asdlib.learn.prelu import PReLU
from asdlib.sound.features import FeatureConfig

# Rows of (expansion t, channels c, repeats n, stride s of the first), as in
# MobileNetV2's table.
ORIGINAL_TABLE = (
    (2, 64, 5, 2),
    (4, 128, 1, 2),
    (2, 128, 6, 1),
    (4, 128, 1, 2),
    (2, 128, 2, 1),
)
TABLE_2023 = ((2, 128, 2, 2), (4, 128, 2, 2), (4, 128, 2, 2))
BOOK_TABLE = ((2, 32, 2, 2), (2, 64, 2, 2), (2, 64, 1, 2))


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder. The defaults are the preset ``paper``."""

    NAME: ClassVar[str] = "stgram-mfn"
    embedding_dim: int = 128
    stem_channels: int = 64
    table: tuple[tuple[int, int, int, int], ...] = ORIGINAL_TABLE
    last_channels: int = 512  # of the map that the global depthwise convolution reads

    def __post_init__(self) -> None:
        # JSON knows no tuples; a config that went through a file must equal the one
        # that did not.
        object.__setattr__(self, "table", tuple(tuple(row) for row in self.table))


PAPER_ENCODER = EncoderConfig()
BOOK_ENCODER = EncoderConfig(stem_channels=24, table=BOOK_TABLE, last_channels=128)


class TgramNet(nn.Module):
    """Waveform (B, samples) → learned time-frequency map (B, mels, frames).

    It lies on the grid of the log-mel. One strided convolution whose kernel is as long
    as the STFT window, then three blocks of layer norm *over time*, leaky ReLU and a
    3-tap convolution.
    """

    def __init__(self, features: FeatureConfig):
        super().__init__()
        mels, window, hop = features.n_mels, features.n_fft, features.hop_length
        self.filters = nn.Conv1d(
            1, mels, window, stride=hop, padding=window // 2, bias=False
        )
        blocks = []
        for _ in range(3):
            norm, activation = nn.LayerNorm(features.frames), nn.LeakyReLU(0.2)
            conv = nn.Conv1d(mels, mels, 3, padding=1, bias=False)
            blocks.append(nn.Sequential(norm, activation, conv))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, waveform: Tensor) -> Tensor:
        return self.blocks(self.filters(waveform.unsqueeze(1)))


class StridedDepthwise(nn.Conv2d):
    """A depthwise convolution that skips places: (B, C, H, W) → (B, C, H', W').

    Under autocast on a CPU it stays in float32: in bf16 its gradient goes to another
    kernel of oneDNN, which takes five to ten times as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))


def conv_bn(
    cin: int,
    cout: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    activation: bool = True,
) -> ConvNorm:
    """Bias-free convolution, batch norm and, unless it is to stay linear, PReLU.

    (B, cin, H, W) → (B, cout, H', W').
    """
    kind = StridedDepthwise if stride > 1 and groups > 1 else nn.Conv2d
    conv = kind(cin, cout, kernel, stride, padding, groups=groups, bias=False)
    layers = [conv, nn.BatchNorm2d(cout)]
    return ConvNorm(*layers, *([PReLU(cout)] if activation else []))


class Bottleneck(nn.Module):
    """Inverted residual (B, cin, H, W) → (B, cout, H / stride, W / stride), rounded up.

    1×1 up to t·c channels, 3×3 depthwise, linear 1×1 down; added to its input where
    shapes allow.
    """

    def __init__(self, cin: int, cout: int, *, expansion: int, stride: int):
        super().__init__()
        wide = cin * expansion
        self.layers = nn.Sequential(
            conv_bn(cin, wide, 1),
            conv_bn(wide, wide, 3, stride=stride, padding=1, groups=wide),
            conv_bn(wide, cout, 1, activation=False),
        )
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skip else self.layers(x)


class MobileFaceNet(nn.Module):
    """Image (B, channels, mels, frames) → embedding (B, embedding_dim).

    Instead of averaging over time and frequency, a depthwise convolution as large as
    the last map gives each place in it a weight of its own: the low bands of a fan and
    of a valve need not count alike.
    """

    def __init__(
        self, config: EncoderConfig, *, mels: int, frames: int, channels: int = 2
    ):
        super().__init__()
        stem = config.stem_channels
        layers: list[nn.Module] = [
            conv_bn(channels, stem, 3, stride=2, padding=1),
            conv_bn(stem, stem, 3, padding=1, groups=stem),
        ]
        wide, height, width = stem, _halved(mels), _halved(frames)
        for expansion, cout, repeats, stride in config.table:
            for i in range(repeats):
                step = stride if i == 0 else 1
                layers.append(Bottleneck(wide, cout, expansion=expansion, stride=step))
                wide = cout
                if step == 2:
                    height, width = _halved(height), _halved(width)
        self.map_size = (height, width)
        self.layers = nn.Sequential(*layers, conv_bn(wide, config.last_channels, 1))
        last = config.last_channels
        self.pool = conv_bn(last, last, self.map_size, groups=last, activation=False)
        self.project = conv_bn(last, config.embedding_dim, 1, activation=False)
        for module in self.modules():
            # He initialisation by fan-out, as in the published network.
            if isinstance(module, nn.Conv2d):
                k = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0.0, (2.0 / k) ** 0.5)

    def forward(self, image: Tensor) -> Tensor:
        return self.project(self.pool(self.layers(image))).flatten(1)


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Merge, in place, every batch norm behind a convolution into it.

    The same function in evaluation mode, in fewer passes.
    """
    for block in module.modules():
        if not isinstance(block, nn.Sequential) or len(block) < 2:
            continue
        conv, norm = block[0], block[1]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            block[0], block[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return module


def _halved(size: int) -> int:
    """Size after a 3-wide convolution of stride 2 with padding 1."""
    return (size - 1) // 2 + 1


class STgramMFN(nn.Module):
    """Spectrogram and Tgram fused by MobileFaceNet.

    ``forward(waveform, log_mel)`` takes (B, samples) in ±1 and (B, mels, frames) in dB,
    and returns (B, embedding_dim). Raises :class:`AsdError` when a clip has another
    length than the config says.
    """

    def __init__(self, config: EncoderConfig, features: FeatureConfig):
        super().__init__()
        self.features = features
        self.embedding_dim = config.embedding_dim
        self.tgram = TgramNet(features)
        self.mobilefacenet = MobileFaceNet(
            config, mels=features.n_mels, frames=features.frames
        )

    def forward(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        samples, mels = self.features.samples, self.features.n_mels
        frames = self.features.frames
        if (waveform.shape[1:], log_mel.shape[1:]) != ((samples,), (mels, frames)):
            raise AsdError(
                f"the encoder expects waveforms of shape (B, {samples}) and log-mels "
                f"of shape (B, {mels}, {frames}), not {tuple(waveform.shape)} and "
                f"{tuple(log_mel.shape)}: crop or repeat the clips to the length in "
                "the feature config"
            )
        image = torch.stack((log_mel, self.tgram(waveform)), dim=1)
        return self.mobilefacenet(image.contiguous(memory_format=torch.channels_last))
