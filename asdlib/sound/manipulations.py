"""What a recording chain may do to a clip without the machine having changed.

The manipulations by which Wu et al. ("CLAD", 2024, arXiv 2404.15854) try detectors of
forged voices, carried over to machines: another level, noise, another pace, an echo,
another beginning, a fade, and a clock that goes wrong. The strengths are those of the
authors' evaluation. Left out are their seven recorded noises, which we have not; a roll
is the same share of a clip as with them, because two of their seconds are the whole of
a clip here.

Unlike the disguises of :mod:`asdlib.sound.augment` each has one strength. A
manipulation takes waveforms (B, samples) in ±1 and a random generator, and returns
waveforms of the same shape and type; only noise draws from the generator.

Not all of them are harmless to machines: who does not hear another pace or pitch does
not hear a machine that runs slower, either.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from asdlib.errors import AsdError
from asdlib.sound import augment
from asdlib.sound.augment import Disguise, at_pace

RATE = 16000  # Hz; at which the strengths in samples and in Hz are meant
# The five shapes of a fade, as torchaudio calls them.
SHAPES: dict[str, Callable[[Tensor], Tensor]] = dict(
    zip(
        ("linear", "quarter_sine", "half_sine", "exponential", "logarithmic"),
        augment.FADES,
        strict=True,
    )
)


def gain(x: Tensor, rng: np.random.Generator, *, factor: float) -> Tensor:
    """Clips (B, samples) ``factor`` times as loud."""
    return x * factor


def noise(x: Tensor, rng: np.random.Generator, *, decibels: float) -> Tensor:
    """Clips (B, samples) in white noise whose level is ``decibels`` below theirs."""
    return augment.noise(x, rng, quietest=decibels, loudest=decibels)


def stretch(x: Tensor, rng: np.random.Generator, *, pace: float) -> Tensor:
    """Clips (B, samples) played ``pace`` times as fast, at the old pitch.

    What is too long is cut, what is too short begins again.
    """
    return as_long(torch.stack([at_pace(row, pace) for row in x]), x.shape[1])


def echo(x: Tensor, rng: np.random.Generator, *, delay: int, share: float) -> Tensor:
    """Clips (B, samples) and, ``delay`` samples later, a ``share`` of them again."""
    later = torch.zeros_like(x)
    later[:, delay:] = x[:, : max(0, x.shape[1] - delay)]
    return x + share * later


def roll(x: Tensor, rng: np.random.Generator, *, share: float) -> Tensor:
    """Clips (B, samples) that begin a ``share`` of their length later.

    What falls out at the end comes back at the beginning.
    """
    return x.roll(round(share * x.shape[1]), dims=1)


def fade(x: Tensor, rng: np.random.Generator, *, share: float, shape: str) -> Tensor:
    """Clips (B, samples) faded in and out, over a ``share`` of them at either end.

    ``shape`` is one of :data:`SHAPES`. Raises :class:`AsdError` for another.
    """
    if shape not in SHAPES:
        raise AsdError(f"no fade is {shape!r}: choose one of {', '.join(SHAPES)}")
    length = max(2, round(share * x.shape[1]))
    rise = SHAPES[shape](torch.linspace(0, 1, length, dtype=torch.float64)).clip(0, 1)
    y = x.clone()
    y[:, :length] *= rise.to(x)
    y[:, -length:] *= rise.flip(0).to(x)
    return y


def resample(x: Tensor, rng: np.random.Generator, *, rate: int) -> Tensor:
    """Clips (B, samples) recorded at ``rate`` Hz and taken for ones of :data:`RATE`.

    Pitch and pace become RATE / ``rate`` times what they were. What is too long is cut,
    what is too short begins again.
    """
    from asdlib.sound._torchaudio import torchaudio

    return as_long(torchaudio.functional.resample(x, RATE, rate), x.shape[1])


def as_long(x: Tensor, samples: int) -> Tensor:
    """Clips (B, n) as (B, samples): cut, or begun again."""
    return x.repeat(1, -(-samples // x.shape[1]))[:, :samples]


# By its kind and its strength.
MANIPULATIONS: dict[str, dict[str, Disguise]] = {
    "gain": {f"{x:g}": partial(gain, factor=x) for x in (0.5, 0.1)},
    "noise": {f"{x} dB": partial(noise, decibels=x) for x in (25, 20, 15)},
    "stretch": {f"{x:g}": partial(stretch, pace=x) for x in (0.9, 0.95, 1.05, 1.1)},
    "echo": {
        f"{delay} samples, {share:g}": partial(echo, delay=delay, share=share)
        for delay in (1000, 2000)
        for share in (0.2, 0.5)
    },
    "roll": {f"{x:g}": partial(roll, share=x) for x in (0.025, 0.25, 0.5)},
    "fade": {
        f"{share:g}, {shape}": partial(fade, share=share, shape=shape)
        for share in (0.1, 0.3, 0.5)
        for shape in SHAPES
    },
    "resample": {
        f"{x} Hz": partial(resample, rate=x) for x in (15000, 15500, 16500, 17000)
    },
}


def shifted(x: Tensor, rng: np.random.Generator, *, bands: float) -> Tensor:
    """Spectra (B, 1, bands, modulations) moved up by so many, also broken, ``bands``.

    What lies between two bands is interpolated, and the last band goes on for ever.
    """
    place = (torch.arange(x.shape[2]) - bands).clip(0, x.shape[2] - 1)
    below = place.floor().long()
    above = (below + 1).clip(max=x.shape[2] - 1)
    weight = (place - below).to(x)[:, None]
    return torch.lerp(x[:, :, below], x[:, :, above], weight)


def louder(x: Tensor, rng: np.random.Generator, *, factor: float) -> Tensor:
    """Spectra (B, 1, bands, modulations), log10 of a power, of clips ``factor`` times
    as loud."""
    return x + 2 * float(np.log10(factor))


def noisier(x: Tensor, rng: np.random.Generator, *, decibels: float) -> Tensor:
    """Spectra (B, 1, bands, modulations), log10 of a power, with noise added.

    Its mean power is the same in every number, ``decibels`` below the mean of the clip;
    what it is in each is drawn, as that of noise is.
    """
    power = 10**x
    added = power.mean(dim=(1, 2, 3), keepdim=True) * 10 ** (-decibels / 10)
    chance = torch.as_tensor(rng.exponential(size=x.shape)).to(x)
    return torch.log10(power + added * chance)


# Of spectra: a gain is exact, noise and another clock are nearly what they are of
# sound; a roll changes nothing, and what else there is of sound has no likeness.
OF_SPECTRA: dict[str, dict[str, Disguise]] = {
    "gain": {f"{x:g}": partial(louder, factor=x) for x in (0.5, 0.1)},
    "noise": {f"{x} dB": partial(noisier, decibels=x) for x in (25, 20, 15)},
    "resample": {f"{x:g} bands": partial(shifted, bands=x) for x in (-1, -0.5, 0.5, 1)},
}


def draw(
    x: Tensor,
    rng: np.random.Generator,
    *,
    kinds: Sequence[dict[str, Disguise]],
) -> Tensor:
    """Each clip of ``x`` (B, ...) through one manipulation, or through none: (B, ...).

    Which of the ``kinds``, or none, is drawn with equal chances, and of a kind each
    strength with equal chances.

    >>> x, rng = torch.ones(2000, 8), np.random.default_rng(0)
    >>> y = draw(x, rng, kinds=[MANIPULATIONS["gain"]])
    >>> round((y[:, 0] == 1).float().mean().item(), 1)  # as they were
    0.5
    """
    kind = rng.integers(len(kinds) + 1, size=len(x))
    luck = rng.uniform(size=len(x))
    y = x.clone()
    for number, strengths in enumerate(kinds):
        which = (luck * len(strengths)).astype(int)
        for place, manipulation in enumerate(strengths.values()):
            here = np.flatnonzero((kind == number) & (which == place))
            if len(here):
                rows = torch.from_numpy(here).to(x.device)
                y[rows] = manipulation(x[rows], rng)
    return y
