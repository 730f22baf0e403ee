"""Disguises of a clip: what may change in a recording while the machine stays the same.

Every disguise is made in the waveform, so that it can be listened to, and so that no
part of an encoder sees the clip undisguised. For spectra there is one: masking.

A disguise takes waveforms (B, samples) and a random generator, and returns waveforms of
the same shape and type; the generator decides everything that is drawn.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from asdlib.errors import AsdError


def time_mask(x: Tensor, rng: np.random.Generator, *, share: float = 0.25) -> Tensor:
    """Silence one stretch of each clip (B, samples), 0.05 to ``share`` of it."""
    length = torch.as_tensor(rng.uniform(0.05, share, len(x)) * x.shape[1])
    start = torch.as_tensor(rng.uniform(0, 1, len(x))) * (x.shape[1] - length)
    time = torch.arange(x.shape[1])
    inside = (time >= start[:, None]) & (time < (start + length)[:, None])
    return x.masked_fill(inside, 0)


def band_mask(x: Tensor, rng: np.random.Generator, *, share: float = 0.25) -> Tensor:
    """Remove one band of frequencies from each clip (B, samples).

    It is 0.05 to ``share`` of the range from 0 to half the sample rate.
    """
    spectrum = torch.fft.rfft(x)
    width = torch.as_tensor(rng.uniform(0.05, share, len(x)) * spectrum.shape[1])
    start = torch.as_tensor(rng.uniform(0, 1, len(x))) * (spectrum.shape[1] - width)
    frequency = torch.arange(spectrum.shape[1])
    inside = (frequency >= start[:, None]) & (frequency < (start + width)[:, None])
    return torch.fft.irfft(spectrum.masked_fill(inside, 0), n=x.shape[1])


def gain(x: Tensor, rng: np.random.Generator, *, decibels: float = 6.0) -> Tensor:
    """Make each clip (B, samples) louder or quieter by up to ``decibels``."""
    change = rng.uniform(-decibels, decibels, (len(x), 1))
    return x * torch.as_tensor(10 ** (change / 20), dtype=x.dtype)


def noise(
    x: Tensor, rng: np.random.Generator, *, quietest: float = 5.0, loudest: float = 20.0
) -> Tensor:
    """Add white noise to each clip (B, samples).

    The clip's level is ``quietest`` to ``loudest`` dB above that of the noise.
    """
    ratio = torch.as_tensor(rng.uniform(quietest, loudest, (len(x), 1)), dtype=x.dtype)
    level = x.square().mean(dim=1, keepdim=True).sqrt() * 10 ** (-ratio / 20)
    return x + level * torch.as_tensor(rng.standard_normal(x.shape, dtype=np.float32))


def shift(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Start each clip (B, samples) at another moment.

    What falls out at the end comes back at the beginning.
    """
    places = rng.integers(0, x.shape[1], len(x)).tolist()
    return torch.stack([row.roll(by) for row, by in zip(x, places, strict=True)])


AUGMENTATIONS: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "time mask": time_mask,
    "band mask": band_mask,
    "gain": gain,
    "noise": noise,
    "shift": shift,
}
# Masked spectrograms: what SimCLR on machine sounds is usually given.
MASKS = ("time mask", "band mask")


def check_names(names: Sequence[str]) -> None:
    """Raise :class:`AsdError` for a name that is not in :data:`AUGMENTATIONS`."""
    for name in names:
        if name not in AUGMENTATIONS:
            raise AsdError(
                f"no augmentation {name!r}: choose from {', '.join(AUGMENTATIONS)}"
            )


def disguise(x: Tensor, names: Sequence[str], rng: np.random.Generator) -> Tensor:
    """``x`` (B, samples) through the augmentations of these ``names``, one by one.

    Of the same shape. Raises :class:`AsdError` for an unknown name.

    >>> x = torch.ones(2, 1000)
    >>> (disguise(x, ["time mask"], np.random.default_rng(0)) == 0).sum(dim=1).tolist()
    [178, 104]
    """
    check_names(names)
    for name in names:
        x = AUGMENTATIONS[name](x, rng)
    return x


def mask_spectra(x: Tensor, mean: Tensor, rng: np.random.Generator) -> Tensor:
    """Hide a stretch of bands and one of modulations of each spectrum.

    ``x`` has shape (B, 1, bands, modulations), as has the result; what is hidden is
    replaced by the ``mean`` (1, bands, modulations). A stretch is one number to a
    quarter of the axis.
    """

    def stretch(size: int) -> np.ndarray:
        length = rng.integers(1, max(1, size // 4) + 1, (len(x), 1))
        start = rng.integers(0, size - length + 1)
        return (np.arange(size) >= start) & (np.arange(size) < start + length)

    bands, modulations = stretch(x.shape[2]), stretch(x.shape[3])
    hidden = torch.from_numpy(bands[:, :, None] | modulations[:, None, :])
    return torch.where(hidden[:, None].to(x.device), mean.to(x.device), x)
