"""Networks that say which noise a picture holds: a small U-Net, and one for spectra.

``forward(x, times, labels)`` takes pictures (B, height, width) with noise, how far the
noising went (B,) and whose they are (B,), or None where that shall not be said, and
returns a picture (B, height, width). ``middle`` is its first half: numbers (B,
``middle_width``) among other things. Which picture is returned says ``PREDICTS``: the
"noise", or the "clean" one, from which the noise follows. ``CAP`` is the largest weight
of an error of the clean picture in the loss.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, GROUPS = 16, 8  # channels of the U-Net, and of its group norms
EMBEDDING = 64  # numbers that say time and label
HIDDEN, BLOCKS = 384, 3  # of the network of spectra


class Condition(nn.Module):
    """Times (B,) and labels (B,), or None → numbers (B, dim)."""

    rates: Tensor

    def __init__(self, labels: int, dim: int = EMBEDDING):
        super().__init__()
        rates = 10_000 ** -(torch.arange(dim // 2) / (dim // 2))
        self.register_buffer("rates", rates, persistent=False)
        self.of_time = nn.Sequential(
            nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim)
        )
        self.of_label = nn.Embedding(labels, dim)

    def forward(self, times: Tensor, labels: Tensor | None) -> Tensor:
        angles = times[:, None] * self.rates
        told = self.of_time(torch.cat([angles.sin(), angles.cos()], dim=1))
        return F.silu(told if labels is None else told + self.of_label(labels))


class Block(nn.Module):
    """Two 3×3 convolutions beside a way around: (B, cin, h, w) → (B, cout, h, w)."""

    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(GROUPS, cin), nn.SiLU(), nn.Conv2d(cin, cout, 3, padding=1)
        )
        self.told = nn.Linear(EMBEDDING, cout)
        self.second = nn.Sequential(
            nn.GroupNorm(GROUPS, cout), nn.SiLU(), nn.Conv2d(cout, cout, 3, padding=1)
        )
        self.around = nn.Conv2d(cin, cout, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.first(x) + self.told(told)[:, :, None, None]
        return self.around(x) + self.second(h)


class UNet(nn.Module):
    """For pictures (B, height, width) of any size, at three scales."""

    PREDICTS: ClassVar[str] = "noise"
    CAP: ClassVar[float] = math.inf

    def __init__(self, shape: tuple[int, int], labels: int):
        super().__init__()
        one, two, four = WIDTH, 2 * WIDTH, 4 * WIDTH
        self.middle_width = four
        self.condition = Condition(labels)
        self.enter = nn.Conv2d(1, one, 3, padding=1)
        self.down = nn.ModuleList([Block(one, one), Block(one, two)])
        self.deep = nn.ModuleList([Block(two, four), Block(four, four)])
        self.up = nn.ModuleList([Block(four + two, two), Block(two + one, one)])
        self.leave = nn.Sequential(
            nn.GroupNorm(GROUPS, one), nn.SiLU(), nn.Conv2d(one, 1, 3, padding=1)
        )

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        told = self.condition(times, labels)
        h, seen = self.descend(x, told)
        for block, beside in zip(self.up, reversed(seen), strict=True):
            h = F.interpolate(h, size=beside.shape[2:])
            h = block(torch.cat([h, beside], dim=1), told)
        return self.leave(h)[:, 0]

    def descend(self, x: Tensor, told: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What lies deepest (B, channels, h, w), and what was seen on the way there.

        Of pictures (B, height, width), with the numbers ``told`` (B, dim).
        """
        h, seen = self.enter(x[:, None]), []
        for block in self.down:
            h = block(h, told)
            seen.append(h)
            h = F.avg_pool2d(h, 2, ceil_mode=True)
        for block in self.deep:
            h = block(h, told)
        return h, seen

    def middle(self, x: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        """What lies deepest, mean over the picture: (B, middle_width)."""
        h, _ = self.descend(x, self.condition(times, labels))
        return h.mean(dim=(2, 3))


class Flat(nn.Module):
    """For pictures (B, height, width) that are small: all of their cells at once."""

    PREDICTS: ClassVar[str] = "clean"
    CAP: ClassVar[float] = 5.0

    def __init__(self, shape: tuple[int, int], labels: int):
        super().__init__()
        self.middle_width = HIDDEN
        self.condition = Condition(labels)
        cells = shape[0] * shape[1]
        self.enter = nn.Linear(cells, HIDDEN)
        self.told = nn.ModuleList(nn.Linear(EMBEDDING, HIDDEN) for _ in range(BLOCKS))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(HIDDEN),
                nn.Linear(HIDDEN, HIDDEN),
                nn.SiLU(),
                nn.Linear(HIDDEN, HIDDEN),
            )
            for _ in range(BLOCKS)
        )
        self.leave = nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, cells))

    def forward(self, x: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        return self.leave(self.through(x, times, labels, BLOCKS)).view(x.shape)

    def through(
        self, x: Tensor, times: Tensor, labels: Tensor | None, blocks: int
    ) -> Tensor:
        """Pictures (B, height, width) after some of the blocks: (B, HIDDEN)."""
        told = self.condition(times, labels)
        h = self.enter(x.flatten(1))
        for i in range(blocks):
            h = h + self.blocks[i](h + self.told[i](told))
        return h

    def middle(self, x: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        """What there is after all but the last of the blocks: (B, middle_width)."""
        return self.through(x, times, labels, BLOCKS - 1)
