"""Networks of TransAE: of cells in a row one is withheld, and guessed from others."""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.methods import Task

BOTTLENECK, LAYERS, HEADS = 8, 2, 4
AROUND = (-2, -1, 1, 2)  # the frames that are shown, about the one that is not
GROUPS, GROUP_WIDTH, GROUP_HIDDEN = 12, 48, 96


class Guesser(nn.Module):
    """Of cells in a row (B, cells, numbers) one is withheld, and guessed from others.

    ``forward(cells, places)`` does so at ``places`` (B, n), counted from 0: guesses and
    what was withheld, both (B · n, numbers) and standardised, and logits of the
    ``machines`` (B · n, machines).
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, numbers: int, machines: int, *, width: int, hidden: int):
        super().__init__()
        self.numbers, self.width = numbers, width
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("spread", torch.ones(numbers))
        same = width == numbers
        self.enter = nn.Identity() if same else nn.Linear(numbers, width)
        self.encoder = attention(width, hidden)
        self.squeeze = nn.Linear(width, BOTTLENECK)
        self.identify = nn.Sequential(
            nn.Linear(BOTTLENECK, BOTTLENECK),
            nn.LayerNorm(BOTTLENECK),
            nn.ReLU(),
            nn.Linear(BOTTLENECK, machines),
        )
        self.expand = nn.Linear(BOTTLENECK, width)
        self.decoder = attention(width, hidden)
        self.leave = nn.Linear(width, numbers)

    def forward(self, cells: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = (cells - self.mean) / self.spread
        clip = torch.arange(len(z), device=z.device)[:, None]
        own, others = self.split(places)
        tokens = z[clip[..., None], others].flatten(0, 1)
        told, asked = self.codes(own.flatten(), others.flatten(0, 1))
        squeezed = self.squeeze(self.encoder(self.enter(tokens) + told))
        logits = self.identify(squeezed.mean(dim=1) + squeezed.amax(dim=1))
        rebuilt = self.decoder(self.expand(squeezed) + asked)
        return self.leave(rebuilt.mean(dim=1)), z[clip, own].flatten(0, 1), logits

    def choices(self, cells: int) -> int:
        """At how many places one of so many cells can be withheld."""
        raise NotImplementedError

    def split(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """The cells that are withheld (B, n), and those that are shown (B, n, m)."""
        raise NotImplementedError

    def codes(self, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor | float]:
        """What tells the encoder where cells (N, m) lie, and the decoder what is asked.

        Both are added to tokens (N, m, width).
        """
        raise NotImplementedError


class FrameGuesser(Guesser):
    """The frame in the middle of five, from the other four (B, cells, numbers)."""

    code: Tensor

    def __init__(self, numbers: int, machines: int):
        width = HEADS * math.ceil(numbers / HEADS)
        super().__init__(numbers, machines, width=width, hidden=4 * width)
        code = sinusoids(len(AROUND), width)
        self.register_buffer("code", code, persistent=False)
        around = torch.tensor(AROUND) - AROUND[0]
        self.register_buffer("around", around, persistent=False)

    def choices(self, cells: int) -> int:
        return cells - len(AROUND)

    def split(self, places: Tensor) -> tuple[Tensor, Tensor]:
        around = cast(Tensor, self.around)
        return places - AROUND[0], places[..., None] + around

    def codes(self, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor | float]:
        return self.code, 0.0


class GroupGuesser(Guesser):
    """A group of bands, from all the others (B, groups, numbers)."""

    def __init__(self, numbers: int, machines: int, groups: int):
        super().__init__(numbers, machines, width=GROUP_WIDTH, hidden=GROUP_HIDDEN)
        self.mean = torch.zeros(groups, numbers)  # a band is unlike the next one
        self.spread = torch.ones(groups, numbers)
        self.code = nn.Parameter(0.02 * torch.randn(groups, GROUP_WIDTH))
        self.question = nn.Parameter(0.02 * torch.randn(groups, GROUP_WIDTH))
        every = range(groups)
        others = torch.tensor([[i for i in every if i != own] for own in every])
        self.register_buffer("others", others, persistent=False)

    def choices(self, cells: int) -> int:
        return cells

    def split(self, places: Tensor) -> tuple[Tensor, Tensor]:
        return places, cast(Tensor, self.others)[places]

    def codes(self, own: Tensor, others: Tensor) -> tuple[Tensor, Tensor | float]:
        return self.code[others], self.question[own][:, None]


def attention(width: int, hidden: int) -> nn.Sequential:
    """Layers of self-attention, normalised behind: (N, m, width) → the same."""
    return nn.Sequential(
        *(
            nn.TransformerEncoderLayer(
                width, HEADS, hidden, dropout=0.0, batch_first=True
            )
            for _ in range(LAYERS)
        )
    )


def sinusoids(places: int, width: int) -> Tensor:
    """Where a token lies, as sines and cosines of its place: (places, width)."""
    rates = 10_000 ** -(torch.arange(0, width, 2) / width)
    angles = torch.arange(places)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def cells_of(*inputs: Tensor) -> Tensor:
    """What is read of inputs, each (B, ...): (B, cells, numbers).

    The frames of log-mels (B, mels, frames), or groups of bands, the last one filled up
    with zeros, of spectra (B, 1, bands, modulations).
    """
    x = inputs[-1]
    if x.dim() == 3:
        return x.transpose(1, 2)
    groups, size = groups_of(x.shape[2])
    x = F.pad(x[:, 0], (0, 0, 0, groups * size - x.shape[2]))
    return x.reshape(len(x), groups, -1)


def groups_of(bands: int) -> tuple[int, int]:
    """How many groups of how many bands: 12 where there are enough.

    >>> groups_of(60), groups_of(64), groups_of(4)
    ((12, 5), (11, 6), (4, 1))
    """
    size = math.ceil(bands / GROUPS)
    return math.ceil(bands / size), size


def new_guesser(task: Task, machines: int) -> Guesser:
    """The network of a type with so many machines.

    Raises :class:`AsdError` for clips of fewer than five frames, and for spectra of one
    band.
    """
    if task.features is not None:
        if task.features.frames <= len(AROUND):
            raise AsdError(
                f"clips of {task.features.frames} frames are too short: "
                f"the network reads {len(AROUND) + 1} at a time"
            )
        return FrameGuesser(task.features.n_mels, machines)
    assert task.shape is not None
    bands, modulations = task.shape
    if bands < 2:
        raise AsdError(
            "spectra of 1 band: there is nothing to guess it from, "
            "so give 2 or more, or choose another method"
        )
    groups, size = groups_of(bands)
    return GroupGuesser(size * modulations, machines, groups)
