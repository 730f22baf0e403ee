r"""Many centres for each machine: sub-cluster AdaCos.

Wilkinghoff, "Sub-cluster AdaCos: Learning Representations for Anomalous Sound
Detection", IJCNN 2021, with the two branches and the choices of ICASSP 2023. A
classifier of machine IDs learns which embeddings go together, and is thrown away: what
scores are distances. Sixteen centres a machine leave room for the ways in which it
runs, and mixtures of clips, whose labels are mixed alike, keep the classifier from
becoming sure. One branch of the encoder sees what changes in a spectrogram, the other
what stays (:mod:`asdlib.learn.spectrogram_encoder`).

.. math::

    p(c) = \frac{\sum_k e^{s \cos \theta_{ck}}}
        {\sum_{c'} \sum_k e^{s \cos \theta_{c'k}}} \qquad
    s = \sqrt 2 \, \log(CK - 1)

Essential: centres that share a class, soft labels, no bias, distances as the score. Our
choices: the sizes of the branches, bins of 1 Hz, pieces of 2 s, a scale that stays.
Faithful but for these: the papers' code was read. Published, by four trainings of a
larger network with trainable centres on DCASE 2020 (mean of AUC and pAUC): 90.6 on the
development set and 92.0 on the evaluation set.

Two variants by the same author, whose code was read as well:

* "adaproj" gives a class a subspace instead of centres
  (:class:`asdlib.learn.heads.AdaProj`): for the projection P of an embedding x to the
  axes of the class, the logit is s ⟨x, P / ‖P‖⟩; published for DCASE 2023, of another
  kind of score: 62.9 and 64.5;
* "feat_ex" exchanges the embeddings of the branches between clips
  (:mod:`asdlib.methods._feat_ex`); published as above: 89.9 and 91.7.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.heads import AdaProj, SubClusterAdaCos
from asdlib.learn.spectrogram_encoder import SpectrogramConfig
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._feat_ex import ExchangeHead, branches, exchange_objective
from asdlib.methods._mixing import blended, gathered
from asdlib.methods._task import by_distance
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "sub-cluster AdaCos"
PAPER = "Wilkinghoff, IJCNN 2021 and ICASSP 2023"
IDEA = "a classifier of machine IDs with many centres each, on mixed clips"
INPUTS = ("sound", "spectra")
SCORERS = ("knn", "mahalanobis", "gmm")
BUDGET = StageConfig(12, 64, learning_rate=1e-3, cosine_from=0)
COST = 70.0
ENCODER = SpectrogramConfig()
CENTRES = 16
MIXED = 0.5  # share of the batches that are mixed
VARIANTS: dict[str, dict[str, Any]] = {
    "adaproj": {
        "NAME": "AdaProj",
        "PAPER": "Wilkinghoff, DCASE Workshop 2024, arXiv 2403.14179",
        "IDEA": "a classifier of machine IDs with a random subspace for each",
    },
    "feat_ex": {
        "NAME": "feature exchange (FeatEx)",
        "PAPER": "Wilkinghoff, ICASSP 2024, arXiv 2312.09578",
        "IDEA": "a classifier that also tells halves of two clips from a whole one",
    },
}


class SubClusterClassifier(nn.Module):
    """An encoder and a class head with ``centres`` centres for each of ``classes``.

    Or with another ``head``. ``forward(*inputs)`` → logits (N, classes);
    ``embed(*inputs)`` → the embedding (N, dim) that scores.
    """

    def __init__(
        self,
        encoder: nn.Module,
        classes: int,
        *,
        centres: int = CENTRES,
        head: nn.Module | None = None,
    ):
        super().__init__()
        self.encoder, self.classes = encoder, classes
        self.embedding_dim = cast(int, encoder.embedding_dim)
        self.head = head or SubClusterAdaCos(
            self.embedding_dim, classes, centres=centres
        )

    def embed(self, *inputs: Tensor) -> Tensor:
        return self.encoder(*inputs)

    def forward(self, *inputs: Tensor, **of_head: Any) -> Any:
        return self.head(self.embed(*inputs), **of_head)


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    variant: str = "",
    encoder: Any = None,
    window: float | None = None,
    centres: int = CENTRES,
    mixed: float = MIXED,
    stage: str = "sub-cluster",
    seed: int = 0,
    device: str = "auto",
    precision: str = "32",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> SubClusterClassifier:
    """Train a :class:`SubClusterClassifier` of the machines of ``clips``.

    ``encoder`` is a config of :data:`asdlib.learn.encoders.ENCODERS` (None: of sound
    the two branches, of spectra the small one), which sees ``window`` seconds of a clip
    at a time (None: as it says itself, or all), ``mixed`` the share of the batches that
    are mixed, ``stage`` what the training is called in the log. An encoder that looks
    at log-mels is shown mixtures of log-mels in dB. ``variant`` is one of
    :data:`VARIANTS`, or none.
    """
    check_kind(clips, NAME, INPUTS)
    task = Task.of(clips, encoder=encoder, window=window, seed=seed)
    model = untrained(task, variant=variant, centres=centres)
    objective = exchange_objective if variant == "feat_ex" else mixed_objective
    fit(
        model,
        partial(objective, mixed=mixed),
        seen_by(with_encoder(task).encoder, clips),
        budget,
        stage=stage,
        seed=seed,
        device=device,
        precision=precision,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def with_encoder(task: Task) -> Task:
    """``task`` with the encoder of this method, where it names none."""
    default = ENCODER if task.features else task.default_encoder
    return replace(task, encoder=task.encoder or default)


def untrained(
    task: Task, *, variant: str = "", centres: int = CENTRES
) -> SubClusterClassifier:
    """The classifier before any training."""
    task, classes = with_encoder(task), len(task.machines)
    if variant == "feat_ex":
        base: nn.Module = branches(task)
        with seeded(task.seed, "feature exchange"):
            head: nn.Module = ExchangeHead(
                cast(int, base.embedding_dim), classes, centres=centres
            )
        return SubClusterClassifier(base, classes, head=head)
    base = task.new_encoder()
    with seeded(task.seed, "sub-cluster"):
        if variant == "adaproj":
            head = AdaProj(cast(int, base.embedding_dim), classes)
            return SubClusterClassifier(base, classes, head=head)
        return SubClusterClassifier(base, classes, centres=centres)


def seen_by(encoder: Any, clips: Clips) -> Clips:
    """``clips`` without the log-mels, where ``encoder`` does not look at them."""
    if not isinstance(encoder, SpectrogramConfig):
        return clips
    return Clips(clips.inputs[:1], clips.machines, clips.features)


def mixed_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    mixed: float = MIXED,
) -> Tensor:
    """The cross-entropy of a batch, mixed or not, as ``fit`` calls it: a scalar.

    Of inputs, each (B, ...), and of labels (B,). A mixture has a share λ of a clip and
    1 - λ of another of the batch, and of their labels; λ is uniform (mixup, Zhang et
    al., ICLR 2018). In evaluation mode nothing is mixed. Several processes mix what one
    would.
    """
    if not model.training:
        return F.cross_entropy(model(*inputs), labels)
    common, own, every, wholes = gathered(rng, labels, *inputs)
    if common.uniform() >= mixed:
        return F.cross_entropy(model(*inputs), labels)
    partner = torch.from_numpy(common.permutation(len(every)))[own].to(labels.device)
    share = common.uniform(size=len(every)).astype(np.float32)[own]
    kept = torch.from_numpy(share).to(labels.device)
    blends = blended(inputs, wholes, partner, kept)
    logits = model(*blends)
    losses = [
        F.cross_entropy(logits, y, reduction="none") for y in (labels, every[partner])
    ]
    return (kept * losses[0] + (1 - kept) * losses[1]).mean()


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """Every distance to the embeddings of the ``known`` clips (N, dim)."""
    return by_distance(known)


score = scored_by(judge)
