r"""Mixed clips, and the margin always on the label of the first: Noisy-ArcMix.

Choi and Choi, "Noisy-ArcMix: Additive Noisy Angular Margin Loss Combined With Mixup For
Anomalous Sound Detection", ICASSP 2024, pp. 516-520, arXiv 2310.06364. A classifier of
machine IDs is shown mixtures of two clips and asked for both labels. ArcFace's margin
stands on the first label only, in the term that asks for the second, too: that wrong
margin keeps the classes compact for whatever lies between them.

.. math::

    L = \lambda\,\mathrm{CE}(A(h, a), a) + (1 - \lambda)\,\mathrm{CE}(A(h, a), b)

Here h is the embedding of :math:`\lambda x_a + (1 - \lambda) x_b`, both of waveforms
and of log-mels in dB, A(h, a) the logits with the margin on a, and λ one number a
batch, from a Beta(½, ½) distribution. ArcMix has A(h, b) in the second term. The
network (TASTgram) sees a third channel beside the log-mel X and the Tgram, the frames
of X behind a gate without weights: σ(max + mean over the bands) · X.

Essential is the loss. The gate is not: where all levels lie well below 0 dB it is
closed. Faithful to the paper and the authors' code but for our choices: the small
encoder, this front end, Adam with 1e-3 for 20 epochs (theirs: AdamW with 1e-4 for 300,
and of these the epoch with the lowest loss on clips held out). Of spectra the numbers,
standardised, are gated in each band by their max + mean over the modulations, and join
the ungated as more channels of the convolutions.

Published on DCASE 2020: AUC 94.65 %, pAUC 89.31 %, mAUC 89.78 % on average, by one ROC
curve a type with all its machines in one; here each machine has its own.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.errors import AsdError
from asdlib.judge.scorers import scorer_names
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.encoder import EncoderConfig, MobileFaceNet, TgramNet
from asdlib.learn.heads import ArcFace
from asdlib.learn.pieces import Pieces, piece_of
from asdlib.learn.spectrum_encoder import SpectrumConfig, SpectrumEncoder
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._task import by_distance, by_surprise
from asdlib.processes import all_gather, rank
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig

NAME = "Noisy-ArcMix"
PAPER = "Choi and Choi, ICASSP 2024, arXiv 2310.06364"
IDEA = "mixed clips, asked for both labels, with the margin on the first only"
INPUTS = ("sound", "spectra")
SCORERS = scorer_names()
BUDGET = StageConfig(20, 64, learning_rate=1e-3, cosine_from=0)
COST = 110.0
MARGIN, SCALE = 0.7, 30.0
ALPHA = 0.5  # the shares of a mixture come from Beta(ALPHA, ALPHA)


class TASTgram(nn.Module):
    """Tgram, log-mel and gated log-mel, fused by MobileFaceNet.

    ``forward(waveform, log_mel)`` takes (B, samples) in ±1 and (B, mels, frames) in dB,
    and returns (B, embedding_dim).
    """

    def __init__(self, config: EncoderConfig, features: FeatureConfig):
        super().__init__()
        self.embedding_dim = config.embedding_dim
        self.tgram = TgramNet(features)
        sizes = {"mels": features.n_mels, "frames": features.frames}
        self.mobilefacenet = MobileFaceNet(config, channels=3, **sizes)

    def forward(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        maps = (self.tgram(waveform), log_mel, gated(log_mel, over=1))
        image = torch.stack(maps, dim=1)
        return self.mobilefacenet(image.contiguous(memory_format=torch.channels_last))


class GatedSpectra(nn.Module):
    """Spectra (B, 1, bands, modulations), and gated ones beside them → (B, dim)."""

    def __init__(self, config: SpectrumConfig):
        super().__init__()
        self.embedding_dim = config.embedding_dim
        cells = config.bands * config.modulations
        self.standardise = nn.BatchNorm1d(cells, affine=False)
        twice = replace(config, modulations=2 * config.modulations)
        self.convolutions = SpectrumEncoder(twice)

    def forward(self, x: Tensor) -> Tensor:
        z = self.standardise(x.flatten(1)).view(x.shape)
        return self.convolutions(torch.cat([z, gated(z, over=3)], dim=3))


def gated(x: Tensor, *, over: int) -> Tensor:
    """``x`` (...) times the sigmoid of its max + mean over one axis, (...) again."""
    level = x.amax(dim=over, keepdim=True) + x.mean(dim=over, keepdim=True)
    return torch.sigmoid(level) * x


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    noisy: bool = True,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> MachineClassifier:
    """Train a :class:`MachineClassifier` of the machines of ``clips`` on mixtures.

    ``encoder`` has the sizes of the network, an :class:`EncoderConfig` or, of spectra,
    a :class:`SpectrumConfig` (None: the small one), which sees ``window`` seconds of a
    clip at a time (None: all). Not ``noisy`` is ArcMix.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, encoder=encoder, window=window, seed=seed))
    fit(
        model,
        partial(arcmix_objective, noisy=noisy),
        clips,
        budget,
        stage="arcmix",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task) -> MachineClassifier:
    """The classifier before any training.

    Raises :class:`AsdError` for an encoder of another kind than those sizes.
    """
    base = own_encoder(task, TASTgram, GatedSpectra)
    with seeded(task.seed, "classifier"):
        return MachineClassifier(base, len(task.machines), margin=MARGIN, scale=SCALE)


def own_encoder(
    task: Task,
    of_sound: Callable[[EncoderConfig, FeatureConfig], nn.Module],
    of_spectra: Callable[[SpectrumConfig], nn.Module] | None = None,
) -> nn.Module:
    """A network of the sizes that ``task`` names, on pieces where it has a window.

    What reads sound only has no network ``of_spectra``. Raises :class:`AsdError` for
    sizes of another kind of network.
    """
    sizes = task.encoder or task.default_encoder
    kind = EncoderConfig if task.features else SpectrumConfig
    if not isinstance(sizes, kind):
        raise AsdError(
            f"the sizes of the encoder {sizes.NAME} do not fit the network of this "
            f"method: choose {kind.NAME}, or none"
        )
    with seeded(task.seed, "encoder"):
        if task.features is None:
            assert of_spectra is not None
            return of_spectra(cast(SpectrumConfig, sizes))
        seconds = task.features.seconds if task.window is None else task.window
        piece = piece_of(task.features, seconds)
        network = of_sound(cast(EncoderConfig, sizes), piece)
    return network if piece == task.features else Pieces(network, piece)


def mixed(
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    alpha: float = ALPHA,
) -> tuple[tuple[Tensor, ...], Tensor, float]:
    """Each clip with another of the batch: the mixtures, the others' labels, the share.

    ``inputs`` are each (B, ...), as are the mixtures, ``labels`` (B,). The share of the
    first clip, from Beta(``alpha``, ``alpha``), is the same in all of them. Several
    processes mix what one would.
    """
    drawn = torch.tensor([rng.integers(2**62)], device=labels.device)
    drawn, every, *wholes = all_gather(drawn, labels, *inputs)
    common = np.random.default_rng(int(drawn[0]))
    share = float(common.beta(alpha, alpha))
    own = slice(rank() * len(labels), (rank() + 1) * len(labels))
    partner = torch.from_numpy(common.permutation(len(every)))[own].to(labels.device)
    blends = [
        torch.lerp(whole[partner], x, share)
        for x, whole in zip(inputs, wholes, strict=True)
    ]
    return tuple(blends), every[partner], share


def arcmix_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    noisy: bool = True,
    alpha: float = ALPHA,
) -> Tensor:
    """The loss of a batch of mixtures, as ``fit`` calls it: a scalar.

    Of inputs, each (B, ...), and of labels (B,). In evaluation mode nothing is mixed,
    and it is the cross-entropy with the margin.
    """
    if not model.training:
        return F.cross_entropy(model(*inputs, labels=labels), labels)
    blends, others, share = mixed(inputs, labels, rng, alpha=alpha)
    plain = model(*blends)
    head = cast(ArcFace, model.arcface)
    first = with_margin(head, plain, labels)
    second = first if noisy else with_margin(head, plain, others)
    losses = F.cross_entropy(first, labels), F.cross_entropy(second, others)
    return share * losses[0] + (1 - share) * losses[1]


def with_margin(head: ArcFace, logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (N, classes) without a margin → those with it on ``labels`` (N,)."""
    own = labels[:, None]
    harder = head.scale * head.shifted(logits.gather(1, own) / head.scale)
    return logits.scatter(1, own, harder)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The surprise at embeddings, and their distances to ``known`` (N, dim)."""
    classifier = cast(MachineClassifier, model)
    return {**by_surprise(classifier, label), **by_distance(known)}


score = scored_by(judge)
