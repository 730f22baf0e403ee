r"""Which of eight disguises does this clip wear? No machine ID is needed.

After the family of transformation recognition in the survey of self-supervised anomaly
detection by Hojjati, Ho and Armanfard, Neural Networks 172 (2024) 106106, arXiv
2205.05173. Who can tell how a normal clip has been changed knows what normal clips are
like; of a strange one it is not so clear. A network learns to name the disguise of
normal clips, and a clip that is asked about puts on all of them, T_1 to T_8, one after
the other:

.. math::

    \text{score}(x) = -\frac{1}{8} \sum_{k=1}^{8} \log p(k \mid T_k(x))

Essential: the labels are made, not given; the score is the surprise at disguises that
are known. Our choices: the disguises, which are those of :mod:`asdlib.methods.aadcl`,
the encoder, and one network for all machines. When it scores, each disguise has one
strength, the same for every clip, so that a score is no lottery.

It reads sound only. The few disguises of a spectrum leave traces that can be told
without knowing the machine, such as a stretch of bands that is exactly the mean, and
faults make such a trace clearer as often as less clear.

The same idea, with other transformations, is known as ATAC; its authors report AUC
79.38 and pAUC 71.05 (%) on the development data of DCASE 2020 Task 2.
"""

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods.aadcl import named_view
from asdlib.methods.simclr import View, two_views
from asdlib.progress import OnStep, silent
from asdlib.sound.augment import DISGUISES, Disguise
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig, log_mel

NAME = "which disguise is it?"
PAPER = "after Hojjati et al., Neural Networks 2024, arXiv 2205.05173"
IDEA = "a classifier of disguises is unsure where a clip is strange"
INPUTS = ("sound",)
ONLY = "its disguises are made of waveforms"
SCORERS = ("surprise",)
BUDGET = StageConfig(8, 64, learning_rate=1e-3, cosine_from=0)
COST = 145.0


class DisguiseClassifier(nn.Module):
    """An encoder of sound with ``features``, and a linear layer that names disguises.

    ``forward(*inputs)`` → logits (N, 8); ``embed(*inputs)`` → how surprising the name
    of each disguise is when the clips wear it (N, 8).
    """

    def __init__(self, encoder: nn.Module, features: FeatureConfig):
        super().__init__()
        self.encoder, self.features = encoder, features
        self.embedding_dim = len(DISGUISES)
        width = cast(int, encoder.embedding_dim)
        self.namer = nn.Linear(width, self.embedding_dim)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.namer(self.encoder(*inputs))

    def embed(self, *inputs: Tensor) -> Tensor:
        return torch.stack(
            [
                self.surprise(inputs[0], number, disguise)
                for number, disguise in enumerate(DISGUISES.values())
            ],
            dim=1,
        )

    def surprise(self, x: Tensor, number: int, disguise: Disguise) -> Tensor:
        """-log p of the ``number`` of what waveforms (B, samples) wear: (B,).

        In front of the encoder is the front end of ``features``.
        """
        # Each clip alone, so that all are disguised alike whatever stands beside them.
        alone = [
            disguise(row, np.random.default_rng(number)) for row in x.cpu().split(1)
        ]
        worn = torch.cat(alone)
        parts = (worn, log_mel(worn, self.features))
        logits = self(*(part.to(x.device) for part in parts))
        others = logits.clone()
        others[:, number] = -torch.inf
        # As log(1 + Σ exp(other - own)): a log-softmax rounds what is near 0 to 0.
        return F.softplus(others.logsumexp(dim=1) - logits[:, number])


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> DisguiseClassifier:
    """Train a :class:`DisguiseClassifier`; the machines of ``clips`` are not looked at.

    ``encoder`` is a config of :data:`asdlib.learn.encoders.ENCODERS` (None: the small
    one for these inputs), which sees ``window`` seconds of a clip at a time (None:
    all).
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, encoder=encoder, window=window, seed=seed))
    # The log-mels are left out: each disguised waveform has its own.
    first = Clips(clips.inputs[:1], clips.machines, clips.features)
    fit(
        model,
        partial(disguise_objective, view=named_view(clips)),
        first,
        budget,
        stage="disguises",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task) -> DisguiseClassifier:
    """The encoder and the layer that names, before any training."""
    assert task.features is not None
    base = task.new_encoder()
    with seeded(task.seed, "disguises"):
        return DisguiseClassifier(base, task.features)


def disguise_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    view: View,
) -> Tensor:
    """The cross-entropy of the disguises of a batch (B, samples), a scalar.

    Each clip is seen twice, in disguises that are drawn. Several processes do what one
    does.
    """
    (*views, which), _ = two_views(inputs[0], view, rng)
    return F.cross_entropy(model(*views), which)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The mean of rows (M, 8); the ``known`` (N, 8) are not needed."""
    return {"surprise": lambda rows: np.asarray(rows, np.float64).mean(axis=1)}


score = scored_by(judge)
