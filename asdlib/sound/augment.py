"""Disguises of a clip: what may change in a recording while the machine stays the same.

Every disguise is made in the waveform, so that it can be listened to, and so that no
part of an encoder sees the clip undisguised. For spectra there is masking, and more in
:func:`spectrum_disguises`.

A disguise takes waveforms (B, samples) and a random generator, and returns waveforms of
the same shape and type; the generator decides everything that is drawn.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from asdlib.errors import AsdError

Disguise = Callable[[Tensor, np.random.Generator], Tensor]
WINDOW = 1024  # samples, of the phase vocoder


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


def unchanged(x: Tensor, rng: np.random.Generator) -> Tensor:
    """The clips (B, samples) themselves."""
    return x.clone()


def fade(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Fade each clip (B, samples) in and out, over up to half of it at either end.

    In one of five shapes: linear, a quarter or a half of a sine, exponential or
    logarithmic.
    """
    faded, samples = [], x.shape[1]
    for row in x:
        shape = FADES[rng.integers(len(FADES))]
        for _ in range(2):  # the beginning; then, turned round, the end
            length = int(rng.integers(2, max(2, samples // 2) + 1))
            rise = shape(torch.linspace(0, 1, length, dtype=torch.float64)).clip(0, 1)
            row = torch.cat([row[:length] * rise.to(row), row[length:]]).flip(0)
        faded.append(row)
    return torch.stack(faded)


FADES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t,
    lambda t: torch.sin(t * math.pi / 2),
    lambda t: (1 - torch.cos(t * math.pi)) / 2,
    lambda t: t * 2 ** (t - 1),
    lambda t: 1 + torch.log10(0.1 + t),
)


def stretch(x: Tensor, rng: np.random.Generator, *, most: float = 2.0) -> Tensor:
    """Play each clip (B, samples) up to ``most`` times faster or slower.

    At the old pitch. What is too long is cut, what is too short begins again.
    """
    rates = most ** rng.uniform(-1, 1, len(x))
    paced = (at_pace(row, rate) for row, rate in zip(x, rates.tolist(), strict=True))
    whole = (row.repeat(-(-x.shape[1] // len(row))) for row in paced)
    return torch.stack([row[: x.shape[1]] for row in whole])


def pitch(x: Tensor, rng: np.random.Generator, *, semitones: float = 10.0) -> Tensor:
    """Move the pitch of each clip (B, samples) up or down by up to ``semitones``.

    At the old pace: the clip is stretched, and read that much faster.
    """
    ratios = 2 ** (rng.uniform(-semitones, semitones, len(x)) / 12)
    moved = [
        torch.nn.functional.interpolate(
            at_pace(row, 1 / ratio)[None, None], x.shape[1], mode="linear"
        )[0, 0]
        for row, ratio in zip(x, ratios.tolist(), strict=True)
    ]
    return torch.stack(moved)


def at_pace(x: Tensor, rate: float) -> Tensor:
    """A clip (samples,) played ``rate`` times as fast: (samples / rate,).

    By a phase vocoder: the pitch stays.
    """
    from asdlib.sound._torchaudio import torchaudio

    # Phases add up to thousands of turns, which float32 knows to a hundredth only.
    wide, hop = x.double(), WINDOW // 4
    window = torch.hann_window(WINDOW).to(wide)
    spectrum = torch.stft(
        wide, WINDOW, hop, window=window, pad_mode="constant", return_complex=True
    )
    advance = math.pi * hop * torch.arange(len(spectrum)).to(wide) / (WINDOW // 2)
    paced = torchaudio.functional.phase_vocoder(spectrum, rate, advance[:, None])
    length = max(1, round(len(x) / rate))
    return torch.istft(paced, WINDOW, hop, window=window, length=length).to(x)


# The eight of Hojjati and Armanfard (ICASSP 2022), each alone.
DISGUISES: dict[str, Disguise] = {
    "noise": partial(noise, quietest=-6.0, loudest=6.0),
    "fade": fade,
    "band mask": partial(band_mask, share=0.1),
    "time mask": partial(time_mask, share=0.1),
    "shift": shift,
    "none": unchanged,
    "stretch": stretch,
    "pitch": pitch,
}
AUGMENTATIONS: dict[str, Disguise] = {
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
    bands, modulations = (stretches(len(x), size, rng) for size in x.shape[2:])
    hidden = torch.from_numpy(bands[:, :, None] | modulations[:, None, :])
    return torch.where(hidden[:, None].to(x.device), mean.to(x.device), x)


def stretches(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Truth values (count, size): a stretch of one to a quarter of each row is true."""
    length = rng.integers(1, max(1, size // 4) + 1, (count, 1))
    start = rng.integers(0, size - length + 1)
    return (np.arange(size) >= start) & (np.arange(size) < start + length)


def spectrum_disguises(mean: Tensor) -> dict[str, Disguise]:
    """Five disguises of spectra (B, 1, bands, modulations), log10 of a power.

    What is masked is replaced by the ``mean`` (1, bands, modulations).
    """

    def band_mask(x: Tensor, rng: np.random.Generator) -> Tensor:
        hidden = torch.from_numpy(stretches(len(x), x.shape[2], rng)).to(x.device)
        return torch.where(hidden[:, None, :, None], mean.to(x.device), x)

    def modulation_mask(x: Tensor, rng: np.random.Generator) -> Tensor:
        hidden = torch.from_numpy(stretches(len(x), x.shape[3], rng)).to(x.device)
        return torch.where(hidden[:, None, None], mean.to(x.device), x)

    def noise(x: Tensor, rng: np.random.Generator) -> Tensor:
        """-6 to 6 dB below the clip, with the same mean power in every number."""
        decibels = torch.as_tensor(rng.uniform(-6, 6, (len(x), 1, 1, 1))).to(x)
        power = 10**x
        added = power.mean(dim=(1, 2, 3), keepdim=True) * 10 ** (-decibels / 10)
        chance = torch.as_tensor(rng.exponential(size=x.shape)).to(x)  # of a power
        return torch.log10(power + added * chance)

    def gain(x: Tensor, rng: np.random.Generator) -> Tensor:
        """Up to 6 dB louder or quieter."""
        return x + torch.as_tensor(rng.uniform(-0.6, 0.6, (len(x), 1, 1, 1))).to(x)

    def band_shift(x: Tensor, rng: np.random.Generator) -> Tensor:
        """Up to a tenth of the bands up or down; at the edge the last band stays."""
        most, bands = max(1, x.shape[2] // 10), x.shape[2]
        by = rng.integers(1, most + 1, (len(x), 1)) * rng.choice([-1, 1], (len(x), 1))
        source = torch.from_numpy((np.arange(bands) - by).clip(0, bands - 1))
        return x.gather(2, source[:, None, :, None].to(x.device).expand_as(x))

    return {
        "band mask": band_mask,
        "modulation mask": modulation_mask,
        "noise": noise,
        "gain": gain,
        "band shift": band_shift,
    }


def disguise_each(
    x: Tensor,
    which: np.ndarray,
    disguises: Sequence[Disguise],
    rng: np.random.Generator,
) -> Tensor:
    """Each clip of ``x`` (B, ...) through the disguise number ``which`` (B,): (B, ...).

    >>> x = torch.ones(3, 100)
    >>> some = [unchanged, time_mask]
    >>> y = disguise_each(x, np.array([0, 1, 0]), some, np.random.default_rng(0))
    >>> (y == 0).any(dim=1).tolist()
    [False, True, False]
    """
    y = torch.empty_like(x)
    for number in np.unique(which).tolist():
        rows = torch.from_numpy(np.flatnonzero(which == number)).to(x.device)
        y[rows] = disguises[number](x[rows], rng)
    return y
