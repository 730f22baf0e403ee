"""Contrast of two augmented views of a clip (SimCLR, Chen et al., ICML 2020), the pretraining that the paper argues against.

The positives of a clip are its own disguises, not its machine's other clips. Every disguise is made in the waveform, so that
it can be listened to, and so that no part of the encoder sees the clip undisguised.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.contrastive import TEMPERATURE, ContrastiveModel, supervised_contrastive_loss, with_new_head
from asdlib.errors import AsdError
from asdlib.evaluation import mahalanobis_score
from asdlib.features import FeatureConfig, LogMel
from asdlib.training import Examples, StageConfig, fit

# Each takes waveforms (B, samples) and a random generator, and returns waveforms of the same shape.


def time_mask(x: Tensor, rng: np.random.Generator, *, share: float = 0.25) -> Tensor:
    """Silence one stretch of each clip, up to ``share`` of it."""
    length = torch.as_tensor(rng.uniform(0.05, share, len(x)) * x.shape[1])
    start = torch.as_tensor(rng.uniform(0, 1, len(x))) * (x.shape[1] - length)
    time = torch.arange(x.shape[1])
    inside = (time >= start[:, None]) & (time < (start + length)[:, None])
    return x.masked_fill(inside, 0)


def band_mask(x: Tensor, rng: np.random.Generator, *, share: float = 0.25) -> Tensor:
    """Remove one band of frequencies from each clip, up to ``share`` of the range."""
    spectrum = torch.fft.rfft(x)
    width = torch.as_tensor(rng.uniform(0.05, share, len(x)) * spectrum.shape[1])
    start = torch.as_tensor(rng.uniform(0, 1, len(x))) * (spectrum.shape[1] - width)
    frequency = torch.arange(spectrum.shape[1])
    inside = (frequency >= start[:, None]) & (frequency < (start + width)[:, None])
    return torch.fft.irfft(spectrum.masked_fill(inside, 0), n=x.shape[1])


def gain(x: Tensor, rng: np.random.Generator, *, decibels: float = 6.0) -> Tensor:
    """Make each clip louder or quieter by up to ``decibels``."""
    change = rng.uniform(-decibels, decibels, (len(x), 1))
    return x * torch.as_tensor(10 ** (change / 20), dtype=x.dtype)


def noise(x: Tensor, rng: np.random.Generator, *, quietest: float = 5.0, loudest: float = 20.0) -> Tensor:
    """Add white noise at a signal-to-noise ratio of ``quietest`` to ``loudest`` dB (the clip's level above the noise)."""
    ratio = torch.as_tensor(rng.uniform(quietest, loudest, (len(x), 1)), dtype=x.dtype)
    level = x.square().mean(dim=1, keepdim=True).sqrt() * 10 ** (-ratio / 20)
    return x + level * torch.as_tensor(rng.standard_normal(x.shape, dtype=np.float32))


def shift(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Start each clip at another moment; what falls out at the end comes back at the beginning."""
    return torch.stack([row.roll(int(by)) for row, by in zip(x, rng.integers(0, x.shape[1], len(x)), strict=True)])


AUGMENTATIONS: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "time mask": time_mask,
    "band mask": band_mask,
    "gain": gain,
    "noise": noise,
    "shift": shift,
}
MASKS = ("time mask", "band mask")  # masked spectrograms: what SimCLR on machine sounds is usually given


def disguise(x: Tensor, names: Sequence[str], rng: np.random.Generator) -> Tensor:
    """``x`` (B, samples) through the augmentations of these ``names``, one after the other."""
    for name in names:
        if name not in AUGMENTATIONS:
            raise AsdError(f"no augmentation {name!r}: choose from {', '.join(AUGMENTATIONS)}")
        x = AUGMENTATIONS[name](x, rng)
    return x


def train(
    encoder: nn.Module,
    waveforms: np.ndarray,
    labels: np.ndarray,
    features: FeatureConfig,
    config: StageConfig,
    *,
    augmentations: Sequence[str] = MASKS,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    **fit_options,
) -> tuple[ContrastiveModel, list[dict]]:
    """Train ``encoder`` (in place) and a new head to find the other view of each clip; both, and the log of ``fit``.

    ``waveforms`` (N, samples) int16. The ``labels`` (N,) decide only which clips are held out; the loss never sees them.
    """
    disguise(torch.zeros(1, 64), augmentations, np.random.default_rng(0))  # an unknown name is refused before the training
    model, front_end, rng = with_new_head(encoder, seed=seed), LogMel(features), np.random.default_rng([seed, 11])

    def objective(model, inputs, labels):
        (x,) = inputs
        both = torch.cat([disguise(x.cpu(), augmentations, rng) for _ in range(2)])
        with torch.no_grad():
            picture = front_end(both)
        z = model(both.to(x.device), picture.to(x.device))
        clip = torch.arange(len(x), device=x.device).repeat(2)
        return supervised_contrastive_loss(z, clip, temperature=temperature)  # one positive each: the NT-Xent loss

    log = fit(model, objective, Examples((waveforms,), labels), config, stage="pretrain", seed=seed, **fit_options)
    return model, log


def score(training: np.ndarray, training_machines: list[str], test: np.ndarray, test_machines: list[str]) -> np.ndarray:
    """Anomaly scores (N,) of ``test`` embeddings: Mahalanobis distance to the ``training`` embeddings of the same machine."""
    for rows, names in ((training, training_machines), (test, test_machines)):
        if len(rows) != len(names):
            raise AsdError(f"{len(rows)} embeddings and {len(names)} machine names: give one name for each clip")
    own, asked = np.asarray(training_machines), np.asarray(test_machines)
    scores = np.full(len(test), np.nan)
    for machine in sorted(set(test_machines)):
        if not (own == machine).any():
            raise AsdError(f"no training clip of {machine}: give normal clips of every machine that is to be scored")
        scores[asked == machine] = mahalanobis_score(training[own == machine], test[asked == machine])
    return scores
