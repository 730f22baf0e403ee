"""An encoder of spectra, small enough for a laptop."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.sound.features import FeatureConfig


@dataclass(frozen=True)
class SpectrumConfig:
    """Sizes of a :class:`SpectrumEncoder`."""

    NAME: ClassVar[str] = "spectrum"
    bands: int
    modulations: int
    width: int = 64
    embedding_dim: int = 128


class SpectrumEncoder(nn.Module):
    """Spectra (B, 1, bands, modulations) → embedding (B, embedding_dim).

    Each number is first brought to mean 0 and variance 1 over the training clips (a
    batch norm without weights). Then five convolutions run along the bands; the
    modulations are their channels, because neighbouring bands hold the same kind of
    thing and neighbouring modulations do not. Raises :class:`AsdError` for other
    shapes.
    """

    def __init__(self, config: SpectrumConfig, features: FeatureConfig | None = None):
        super().__init__()
        bands, modulations, width = config.bands, config.modulations, config.width
        self.embedding_dim = config.embedding_dim
        self.shape = (1, bands, modulations)
        self.standardise = nn.BatchNorm1d(bands * modulations, affine=False)
        self.layers = nn.Sequential(
            conv_bn_relu(modulations, width),
            conv_bn_relu(width, width, stride=2),
            conv_bn_relu(width, 2 * width),
            conv_bn_relu(2 * width, 2 * width, stride=2),
            conv_bn_relu(2 * width, 2 * width),
        )
        left = (bands + 3) // 4  # after two strides of 2, rounded up
        self.project = nn.Sequential(
            nn.Linear(2 * width * left, config.embedding_dim, bias=False),
            nn.BatchNorm1d(config.embedding_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise AsdError(
                f"the encoder expects spectra of shape (B, {expected}), not "
                f"{tuple(x.shape)}"
            )
        x = self.standardise(x.flatten(1)).view(-1, *self.shape[1:]).transpose(1, 2)
        return self.project(self.layers(x).flatten(1))


def conv_bn_relu(cin: int, cout: int, *, stride: int = 1) -> nn.Sequential:
    """Bias-free 3-tap convolution along the bands, batch norm, ReLU.

    (B, cin, bands) → (B, cout, bands / stride), rounded up.
    """
    return nn.Sequential(
        nn.Conv1d(cin, cout, 3, stride, 1, bias=False),
        nn.BatchNorm1d(cout),
        nn.ReLU(inplace=True),
    )
