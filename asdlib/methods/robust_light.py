r"""A small network that is to shrug off loudness and background: three measures.

After Tsai, Lo and Wu, AICAS 2024, and "An Efficient Anomalous Sound Detection System
for Microcontrollers", Sensors 2024, 24(23), 7478, of which we have read the abstract
and the headings, no equation and no figure. What varies in a factory without a fault is
called the difficulty, and front end, network and loss are each made robust at no
further cost. What stands behind each heading is our guess:

* *dynamic signal processing*: per-channel energy normalisation (PCEN, Wang et al.,
  ICASSP 2017) instead of the logarithm. Each mel band's energy E is divided by a slow
  average M of its own past, which takes the loudness out and leaves what changes:

.. math:: M_t = (1 - s) M_{t-1} + s E_t, \qquad
          y = (E / (\varepsilon + M)^\alpha + \delta)^r - \delta^r

* *structural learning*: five depthwise separable blocks, each convolution trained as
  a sum of parallel branches (3 × 3, 1 × 1, identity; Ding et al., CVPR 2021), which in
  use are one convolution (:mod:`asdlib.methods._parallel`);
* *reformulation of objectives*: the cross-entropy of machine IDs of two versions of a
  clip, louder or quieter and with more noise, plus half of 1 - cos between their two
  embeddings.

The score is the distance to the two nearest known clips. Essential is robustness
without a larger network (58,839 parameters for 23 machines, 56,823 when folded), which
can be measured: ``dynamic``, ``branched`` and ``consistency`` of
:func:`train` switch each off. Of spectra, which have no frames, the first measure is to
take each clip's mean level off its numbers, and convolutions run along the bands. What
is shrugged off is not heard: a fault that only makes a machine louder is lost.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.heads import LinearHead
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._parallel import Parallel
from asdlib.methods._task import by_distance
from asdlib.methods.os_scl import Both
from asdlib.methods.simclr import View, two_views
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "robust and light"
PAPER = "after Tsai et al., AICAS 2024, and Sensors 2024, 24(23), 7478"
IDEA = "slow levels divided out, parallel branches, two versions of a clip alike"
INPUTS = ("sound", "spectra")
SCORERS = ("knn", "mahalanobis", "gmm")
BUDGET = StageConfig(14, 64, learning_rate=2e-3, cosine_from=0)
COST = 240.0
CONSISTENCY = 0.5  # weight of 1 - cos
# PCEN, the customary values: s, alpha, delta, r and epsilon.
SMOOTH, ALPHA, DELTA, ROOT, LEAST = 0.025, 0.98, 2.0, 0.5, 1e-6
GAIN = 10.0  # dB, up or down
NOISE = (10.0, 30.0)  # dB below the mean power of a clip
STEM, EMBEDDING = 32, 64
BLOCKS = ((48, 2), (48, 1), (64, 2), (64, 1), (64, 2))  # (channels, stride)


# --------------------------------------------------------------------------- front end


def pcen(log_mels: Tensor) -> Tensor:
    """Per-channel energy normalisation: (B, mels, frames) in dB → the same shape, ≥ 0.

    M begins with the energy of the first frame.
    """
    energy = 10 ** (log_mels / 10)
    return (energy / (LEAST + slow(energy)) ** ALPHA + DELTA) ** ROOT - DELTA**ROOT


def slow(energy: Tensor) -> Tensor:
    """M of E, both (B, mels, frames), in one multiplication."""
    frame = torch.arange(energy.shape[2], device=energy.device)
    back = frame - frame[:, None]  # of each frame (columns) to each (rows)
    weight = (1 - SMOOTH) ** back.clamp(min=0).to(energy) * (back >= 0)
    return energy @ torch.cat([weight[:1], SMOOTH * weight[1:]])


class Front(nn.Module):
    """What the convolutions see: log-mels (B, mels, frames) → (B, 1, mels, frames), or
    spectra (B, 1, bands, modulations) → (B, modulations, bands).

    Levels are divided out, or, of spectra, taken off, unless not ``dynamic``; then all
    is standardised, by a batch norm without weights.
    """

    def __init__(self, numbers: int, *, sound: bool, dynamic: bool):
        super().__init__()
        self.sound, self.dynamic = sound, dynamic
        self.standardise = nn.BatchNorm1d(numbers, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.sound:
            return self.standardise(pcen(x) if self.dynamic else x)[:, None]
        if self.dynamic:
            x = x - x.mean(dim=(2, 3), keepdim=True)
        return self.standardise(x.flatten(1)).view(x.shape)[:, 0].transpose(1, 2)


# ----------------------------------------------------------------------------- network


class LightEncoder(nn.Module):
    """Sound (waveforms that are not looked at, log-mels (B, mels, frames) in dB), or
    spectra (B, 1, bands, modulations) → embedding (B, 64).

    Clips may have any length: the last map is averaged over time.
    """

    def __init__(self, task: Task, *, dynamic: bool = True, branched: bool = True):
        super().__init__()
        self.embedding_dim = EMBEDDING
        if task.features is not None:
            dims, channels, rows = 2, 1, task.features.n_mels
            numbers = rows
        else:
            assert task.shape is not None
            (rows, channels), dims = task.shape, 1
            numbers = rows * channels
        self.front = Front(numbers, sound=dims == 2, dynamic=dynamic)
        layer = partial(Parallel, dims=dims, branched=branched)
        layers: list[nn.Module] = [layer(channels, STEM, 3, stride=2), nn.ReLU()]
        wide, rows = STEM, (rows + 1) // 2
        for cout, stride in BLOCKS:
            layers += [layer(wide, wide, 3, stride=stride, groups=wide), nn.ReLU()]
            layers += [layer(wide, cout, 1), nn.ReLU()]
            wide, rows = cout, (rows - 1) // stride + 1
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(wide * rows, EMBEDDING)

    def forward(self, *inputs: Tensor) -> Tensor:
        maps = self.layers(self.front(inputs[-1]))
        if maps.dim() == 4:
            maps = maps.mean(dim=3)
        return self.project(maps.flatten(1))


# ---------------------------------------------------------------------------- training


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    dynamic: bool = True,
    branched: bool = True,
    consistency: float = CONSISTENCY,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> MachineClassifier:
    """Train a :class:`MachineClassifier` of the machines of ``clips``.

    Not ``dynamic``: levels stay as they are. Not ``branched``: convolutions are trained
    as they are used. ``consistency``, 0 or more, is the weight of 1 - cos between two
    versions.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, seed=seed), dynamic=dynamic, branched=branched)
    ten = 1.0 if clips.features is None else 10.0  # what a factor of 10 adds
    # The waveforms are left out: the network does not look at them.
    seen = Clips(clips.inputs[-1:], clips.machines, clips.features)
    fit(
        Both(model),
        partial(robust_objective, view=partial(version, ten=ten), weight=consistency),
        seen,
        budget,
        stage="robust",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(
    task: Task, *, dynamic: bool = True, branched: bool = True
) -> MachineClassifier:
    """The classifier before any training."""
    with seeded(task.seed, "robust"):
        encoder = LightEncoder(task, dynamic=dynamic, branched=branched)
        return MachineClassifier(encoder, len(task.machines), head=LinearHead)


def version(x: Tensor, rng: np.random.Generator, *, ten: float) -> tuple[Tensor]:
    """Clips (B, ...), logarithms of powers, with noise and a gain: a tuple of (B, ...).

    A factor of 10 adds ``ten`` to the numbers. The noise is as strong in every number,
    but for chance, and :data:`NOISE` below the mean power; the gain is up to
    :data:`GAIN`.
    """

    def drawn(low: float, high: float) -> Tensor:
        decibels = rng.uniform(low, high, (len(x), *[1] * (x.dim() - 1)))
        return torch.as_tensor(decibels / 10).to(x)

    power = 10 ** (x / ten)
    every = tuple(range(1, x.dim()))
    level = power.mean(dim=every, keepdim=True) * 10 ** -drawn(*NOISE)
    chance = torch.as_tensor(rng.standard_exponential(x.shape, np.float32)).to(x)
    noisy = (power + level * chance).log10()
    return (ten * (noisy + drawn(-GAIN, GAIN)),)


def robust_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    view: View,
    weight: float = CONSISTENCY,
) -> Tensor:
    """The loss of a batch (B, ...), as ``fit`` calls it: a scalar.

    The cross-entropy of two versions of each clip, plus ``weight`` times 1 - cos of
    their embeddings. Several processes do what one does.
    """
    (views,), _ = two_views(inputs[0], view, rng)
    embeddings, logits = model(views)
    one, other = embeddings.chunk(2)
    apart = 1 - F.cosine_similarity(one, other, dim=1)
    return F.cross_entropy(logits, labels.repeat(2)) + weight * apart.mean()


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """Every distance to the embeddings of the ``known`` clips (N, dim)."""
    return by_distance(known)


score = scored_by(judge)
