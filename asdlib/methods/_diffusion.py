r"""Diffusion: noise is added to pictures by steps, and taken away again by a network.

A picture x_0 after t steps, with noise ε from N(0, 1) (Ho, Jain and Abbeel, 2020):

.. math:: x_t = \sqrt{\bar\alpha_t} \, x_0 + \sqrt{1 - \bar\alpha_t} \, \epsilon

The way back by a stride k, without new noise (DDIM; Song, Meng and Ermon, 2021):

.. math::

    \hat x_0 = \frac{x_t - \sqrt{1 - \bar\alpha_t} \, \epsilon_\theta}
    {\sqrt{\bar\alpha_t}}, \qquad
    x_{t-k} = \sqrt{\bar\alpha_{t-k}} \, \hat x_0
    + \sqrt{1 - \bar\alpha_{t-k}} \, \epsilon_\theta
"""

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.methods import Judges, Task
from asdlib.methods._denoisers import Flat, UNet
from asdlib.methods._mixing import draws
from asdlib.methods._scales import mean_and_spread
from asdlib.sound.clips import Clips

STEPS, FIRST, LAST = 1000, 1e-4, 0.02  # of the noising; β of the first and the last
START, STRIDE = 280, 40  # of the way back
TALL, WIDE = 64, 32  # cells of a picture of sound, at most
TOP = 0.1  # share of the cells that the filter counts
AT_ONCE = 64  # pictures that are rebuilt at a time


def shares() -> Tensor:
    """ᾱ (STEPS,): the share of a picture's power that is left after each step."""
    betas = torch.linspace(FIRST, LAST, STEPS, dtype=torch.float64)
    return (1 - betas).cumprod(dim=0).float()


def noised(x: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Pictures (B, ...) of which only a ``share`` (B, 1, ...) of the power is left."""
    return share.sqrt() * x + (1 - share).sqrt() * noise


def denoised(
    noise_of: Callable[[Tensor, int], Tensor],
    x: Tensor,
    kept: Tensor,
    *,
    start: int = START,
    stride: int = STRIDE,
) -> Tensor:
    """The way back of pictures (B, ...) from the step ``start``, by ``stride`` steps.

    ``noise_of(x, t)`` (B, ...) is the noise in what is seen after step t, counted from
    0; ``kept`` (STEPS,) is what :func:`shares` says, ``start`` 0 to 999, ``stride`` 1
    or more.
    """
    for t in range(start, -1, -stride):
        noise = noise_of(x, t)
        clean = (x - (1 - kept[t]).sqrt() * noise) / kept[t].sqrt()
        x = noised(clean, noise, kept[t - stride]) if t >= stride else clean
    return x


def picture_of(*inputs: Tensor) -> Tensor:
    """What is read of inputs, each (B, ...): (B, height, width).

    Spectra (B, 1, bands, modulations) as they are; of log-mels (B, mels, frames) means
    over so many mels and frames that 64 × 32 are left at most.
    """
    x = inputs[-1]
    if x.dim() == 4:
        return x[:, 0]
    sizes = math.ceil(x.shape[1] / TALL), math.ceil(x.shape[2] / WIDE)
    return F.avg_pool2d(x[:, None], sizes, ceil_mode=True)[:, 0]


class Diffusion(nn.Module):
    """A network that takes noise away, told the machine, and what it needs beside.

    ``embed(*inputs)`` → the picture of a clip (B, embedding_dim), which
    :meth:`rebuilt` takes. ``forward(*inputs, noise=, times=, labels=)`` → the noise
    that is found (B, height, width) in what ``noise`` and ``times`` (B,) have left.
    """

    kept: Tensor
    mean: Tensor
    spread: Tensor
    noise: Tensor
    type_of: Tensor

    def __init__(self, task: Task):
        super().__init__()
        self.machines, self.types = task.machines, task.types
        self.classes = len(task.machines)
        sound = task.features is not None
        self.shape = shape_of(task)
        self.embedding_dim = self.shape[0] * self.shape[1]
        with seeded(task.seed, "diffusion"):
            network = UNet if sound else Flat
            self.network = network(self.shape, self.classes)
        # A band is one at all times; each cell of a spectrum is one of its own.
        scales = (len(self.types), self.shape[0], 1 if sound else self.shape[1])
        self.register_buffer("mean", torch.zeros(scales))
        self.register_buffer("spread", torch.ones(scales))
        # The same for every clip, so that scores can be compared, and asked for again.
        with seeded(task.seed, "noise"):
            noise = torch.randn(1 if sound else 4, *self.shape)
        self.register_buffer("noise", noise)
        self.register_buffer("kept", shares(), persistent=False)
        places = [self.types.index(name.split("/")[0]) for name in self.machines]
        self.register_buffer("type_of", torch.tensor(places), persistent=False)

    def set_scales(self, clips: Clips) -> None:
        """Fill in mean and spread of each type by ``clips``."""
        bands = self.mean.shape[2] == 1

        def numbers(*inputs: Tensor) -> Tensor:
            x = picture_of(*inputs)
            return x.transpose(1, 2) if bands else x.flatten(1)[:, None]

        for place, (_, own) in enumerate(clips.by_type()):
            mean, spread = mean_and_spread(own, numbers)
            self.mean[place] = mean.view(self.mean.shape[1:])
            self.spread[place] = spread.view(self.spread.shape[1:])

    def embed(self, *inputs: Tensor) -> Tensor:
        return picture_of(*inputs).flatten(1)

    def standardised(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """Pictures (B, height, width) of machines ``labels`` (B,), by their types."""
        places = self.type_of[labels]
        return (pictures - self.mean[places]) / self.spread[places]

    def forward(
        self, *inputs: Tensor, noise: Tensor, times: Tensor, labels: Tensor
    ) -> Tensor:
        x = self.standardised(picture_of(*inputs), labels)
        share = self.kept[times][:, None, None]
        return self.noise_in(noised(x, noise, share), times, labels)

    def noise_in(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        """The noise in pictures (B, height, width) after ``times`` (B,) steps."""
        found = self.network(x, times, labels)
        if self.network.PREDICTS == "noise":
            return found
        share = self.kept[times][:, None, None]
        return (x - share.sqrt() * found) / (1 - share).sqrt()

    def weights(self, times: Tensor) -> Tensor:
        """How much an error of the noise counts after ``times`` (B,) steps: (B,)."""
        share = self.kept[times]
        return (self.network.CAP * (1 - share) / share).clamp(max=1)

    @torch.no_grad()
    def rebuilt(
        self, rows: np.ndarray, label: int, *, start: int = START, stride: int = STRIDE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows (M, dim) of one machine, standardised, and what is made of them.

        Noise is added up to the step ``start`` and taken away again, by ``stride``
        steps at a time; the mean over the draws of the noise. Both (M, height, width)
        float32.
        """
        before, after = [], []
        for begin in range(0, len(rows), AT_ONCE):
            part = torch.as_tensor(rows[begin : begin + AT_ONCE])
            labels = torch.full((len(part),), label)
            x = self.standardised(part.view(-1, *self.shape), labels)

            def noise_of(y: Tensor, t: int, labels: Tensor = labels) -> Tensor:
                return self.noise_in(y, torch.full_like(labels, t), labels)

            found = [
                denoised(
                    noise_of,
                    noised(x, noise, self.kept[start]),
                    self.kept,
                    start=start,
                    stride=stride,
                )
                for noise in self.noise
            ]
            before.append(x)
            after.append(torch.stack(found).mean(dim=0))
        return torch.cat(before).numpy(), torch.cat(after).numpy()


class Rebuilding(nn.Module):
    """A :class:`Diffusion` as it is used.

    ``embed(*inputs)`` → what is made of pictures (B, embedding_dim) of the first
    machine, standardised.
    """

    def __init__(self, model: Diffusion):
        super().__init__()
        self.model = model

    def embed(self, *inputs: Tensor) -> Tensor:
        _, after = self.model.rebuilt(self.model.embed(*inputs).numpy(), 0)
        return torch.from_numpy(after).flatten(1)


def in_use(model: nn.Module, clips: Clips) -> Rebuilding:
    """The network, run as often as a score asks for it."""
    assert isinstance(model, Diffusion)
    return Rebuilding(model)


def shape_of(task: Task) -> tuple[int, int]:
    """Height and width of the pictures of a task."""
    if task.features is None:
        assert task.shape is not None
        return task.shape
    x = torch.zeros(1, task.features.n_mels, task.features.frames)
    height, width = picture_of(x).shape[1:]
    return height, width


def drawn(
    model: nn.Module, labels: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """For clips with ``labels`` (B,): times (B,), and noise (B, height, width)."""
    common, own, count = draws(model, rng, labels)
    shape = cast(Diffusion, model).shape
    times = common.integers(STEPS, size=count)[own]
    noise = common.standard_normal((count, *shape), np.float32)[own]
    device = labels.device
    return torch.from_numpy(times).to(device), torch.from_numpy(noise).to(device)


def noise_loss(model: nn.Module, found: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """How far ``found`` is from the ``noise``, both (B, height, width): a scalar.

    The mean square, weighted by the ``times`` (B,) where the network says so.
    """
    weights = cast(Diffusion, model).weights(times)
    return (weights * (found - noise).square().mean(dim=(1, 2))).mean()


# --------------------------------------------------------------------------- the scores


def beyond(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The filter: what pictures have beyond what was made of them, (M, h, w) both.

    The mean of the top tenth of the cells, (M,); where there is too little, 0.
    """
    more = np.maximum(before - after, 0).reshape(len(before), -1).astype(np.float64)
    count = max(1, round(TOP * more.shape[1]))
    return np.sort(more, axis=1)[:, -count:].mean(axis=1)


def apart(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The mean distance of pictures from what was made of them, (M, h, w) both: (M,).

    In either direction.
    """
    return np.abs(before - after).mean(axis=(1, 2), dtype=np.float64)


def by_rebuilding(model: Diffusion, label: int) -> Judges:
    """ "filter" and "error" of rows (M, dim) of the machine ``label``."""
    last: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def both(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = rows.tobytes()
        if key not in last:  # several scorers are asked about the same rows in turn
            last.clear()
            last[key] = model.rebuilt(rows, label)
        return last[key]

    return {
        "filter": lambda rows: beyond(*both(rows)),
        "error": lambda rows: apart(*both(rows)),
    }
