"""A network that takes a mixture apart, told when each of its sounds was on."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.methods._mixing import gathered
from asdlib.sound.features import FeatureConfig

FLOOR = 1e-3  # added to magnitudes before their logarithm
ALWAYS, NEVER = 0.3, 0.15  # how often a machine is on throughout; its partner off
SHORTEST = 8  # a machine stays on, or off, for an eighth of a clip, or to its end
SDR_WEIGHT = 10.0


class Separator(nn.Module):
    """Mixtures (B, samples) and hours (B, S, frames) → sounds (B, S, samples).

    ``hours`` are 1 where a source is on and 0 where it is off, in the frames of the
    log-mel of ``features``; spectra are half as long as those. All sources go through
    the same layers: nothing but its hours tells the network which sound is whose, and
    hours that are swapped swap the sounds. They are told twice, at the beginning and
    again before the masks.
    """

    def __init__(self, features: FeatureConfig, *, width: int = 64):
        super().__init__()
        self.n_fft = features.n_fft // 2
        # No more than half a window, or nothing could be put together again.
        self.hop = max(1, min(features.hop_length, self.n_fft) // 2)
        bins = self.n_fft // 2 + 1
        self.standardise = nn.BatchNorm1d(bins, affine=False)
        # No bias in front of a batch norm: it has no gradient but for rounding.
        self.enter = nn.Linear(bins, width, bias=False)
        self.told = nn.Linear(1, width, bias=False)
        self.first = nn.BatchNorm1d(width)
        self.over_time = nn.LSTM(
            width, width // 2, batch_first=True, bidirectional=True
        )
        self.leave = nn.Linear(2 * width, width, bias=False)
        self.again = nn.Linear(1, width, bias=False)
        self.second = nn.BatchNorm1d(width)
        self.mask = nn.Linear(width, bins)

    def forward(self, mixture: Tensor, hours: Tensor) -> Tensor:
        spectrum = spectrum_of(mixture, self.n_fft, self.hop)
        seen = self.standardise(torch.log(spectrum.abs() + FLOOR)).transpose(1, 2)
        told = F.interpolate(hours, spectrum.shape[2])[..., None]  # (B, S, T, 1)
        each = self.enter(seen)[:, None] + self.told(told)
        common = torch.tanh(normed(self.first, each)).mean(dim=1)
        context = torch.cat([common, self.over_time(common)[0]], dim=2)
        each = self.leave(context)[:, None] + self.again(told)
        masks = F.relu(self.mask(F.relu(normed(self.second, each)))).transpose(2, 3)
        parts = (masks * spectrum[:, None]).flatten(0, 1)
        window = torch.hann_window(self.n_fft, device=mixture.device)
        sounds = torch.istft(
            parts, self.n_fft, self.hop, window=window, length=mixture.shape[1]
        )
        return sounds.view(*hours.shape[:2], -1)


def spectrum_of(x: Tensor, n_fft: int, hop: int) -> Tensor:
    """(..., samples) → complex (..., bins, T)."""
    rows, window = x.reshape(-1, x.shape[-1]), torch.hann_window(n_fft, device=x.device)
    found = torch.stft(rows, n_fft, hop, window=window, return_complex=True)
    return found.view(*x.shape[:-1], *found.shape[1:])


def normed(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """``norm`` over the last axis of x (..., width): (..., width)."""
    return norm(x.flatten(0, -2)).view(x.shape)


# --------------------------------------------------------------------------- mixtures


def drawn_hours(rng: np.random.Generator, count: int, frames: int) -> np.ndarray:
    """When two machines run that stand side by side: (count, 2, frames), 0 or 1.

    The first is on for a while in every clip.

    >>> drawn_hours(np.random.default_rng(7), 1, 12)[0].astype(int)
    array([[1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1],
           [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]])
    """
    hours = np.zeros((count, 2, frames), np.float32)
    shortest = max(1, frames // SHORTEST)
    for clip in hours:
        for row, never in zip(clip, (0.0, NEVER), strict=True):
            chance, on, place = rng.uniform(), rng.integers(2), 0
            if chance < ALWAYS + never:
                row[:] = chance < ALWAYS
                continue
            while place < frames:
                length = int(rng.integers(shortest, max(2, frames // 2) + shortest))
                row[place : place + length] = on
                on, place = 1 - on, place + length
        if not clip[0].any():
            clip[0] = 1
    return hours


def mixture_of(sounds: Tensor, hours: Tensor) -> tuple[Tensor, Tensor]:
    """What is heard of machines with some hours, and what each adds to it.

    ``sounds`` (B, S, samples), as if each were on throughout, and ``hours`` (B, S,
    frames) → (B, samples) and (B, S, samples). From one frame to the next they fade.
    """
    gates = F.interpolate(hours, sounds.shape[2], mode="linear", align_corners=True)
    parts = gates * sounds
    return parts.sum(dim=1), parts


def partners_of(
    labels: np.ndarray, types: Sequence[str], rng: np.random.Generator
) -> np.ndarray:
    """For each clip of a machine ``labels`` (B,) the place of a clip beside it: (B,).

    Of another machine of the same type where there is one, else of another machine, or
    else of any. ``types`` are those of the machines.

    >>> rng = np.random.default_rng(0)
    >>> partners_of(np.array([0, 1, 2]), ["fan", "fan", "pump"], rng)[:2].tolist()
    [1, 0]
    """
    of_type = np.unique(types, return_inverse=True)[1][labels]
    found = []
    for label, kind in zip(labels, of_type, strict=True):
        other = labels != label
        for fitting in (other & (of_type == kind), other, np.ones(len(labels), bool)):
            if fitting.any():
                found.append(rng.choice(np.flatnonzero(fitting)))
                break
    return np.array(found)


# ------------------------------------------------------------------------------ losses


def separation_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    types: Sequence[str],
    frames: int,
) -> Tensor:
    """The loss of a batch of mixtures, as ``fit`` calls it: a scalar.

    Of waveforms (B, samples) and labels (B,): each is mixed with another of the batch,
    with hours that are drawn, in ``frames``. Several processes mix what one would.
    """
    if model.training:
        rng, own, every, (whole,) = gathered(rng, labels, *inputs)
    else:
        own, every, whole = slice(None), labels, inputs[0]
    partner = torch.from_numpy(partners_of(every.cpu().numpy(), types, rng))
    hours = torch.from_numpy(drawn_hours(rng, len(every), frames)).to(whole.device)
    pairs = torch.stack([whole, whole[partner.to(whole.device)]], dim=1)
    mixture, parts = mixture_of(pairs[own], hours[own])
    sizes = cast(int, model.n_fft), cast(int, model.hop)
    return separation_loss(model(mixture, hours[own]), parts, mixture, *sizes)


def separation_loss(
    sounds: Tensor, parts: Tensor, mixture: Tensor, n_fft: int, hop: int
) -> Tensor:
    """How far ``sounds`` are from the ``parts`` (B, S, samples) of a mixture (B,
    samples): a scalar.

    The squared differences of the magnitudes, plus ten times the weighted SDR loss.
    """
    found, right = (spectrum_of(x, n_fft, hop).abs() for x in (sounds, parts))
    sdr = weighted_sdr(sounds, parts, mixture[:, None])
    return F.mse_loss(found, right) + SDR_WEIGHT * (1 + sdr.mean())


def weighted_sdr(estimate: Tensor, truth: Tensor, mixture: Tensor) -> Tensor:
    """-1 where an estimate is the truth, up to 1: (...).

    Minus the cosine between both, and that between what else is in the mixture and
    what the estimate leaves of it, weighted by their powers (Choi et al., ICLR 2019).
    Each is (..., samples).
    """
    rest, left = mixture - truth, mixture - estimate
    powers = [x.square().sum(dim=-1) for x in (truth, rest)]
    share = powers[0] / (powers[0] + powers[1]).clamp(min=1e-12)
    own = F.cosine_similarity(truth, estimate, dim=-1)
    others = F.cosine_similarity(rest, left, dim=-1)
    return -(share * own + (1 - share) * others)


def sdr(estimate: Tensor, truth: Tensor) -> Tensor:
    """The signal-to-distortion ratio in dB: (..., samples) → (...)."""
    off = (estimate - truth).square().sum(dim=-1).clamp(min=1e-12)
    return 10 * torch.log10(truth.square().sum(dim=-1).clamp(min=1e-12) / off)
