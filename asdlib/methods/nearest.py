"""Nothing trained: how far a clip is from the healthy clips of its machine.

What stands beside every network, because a network that loses to it has learned
nothing. Each view of a clip (:mod:`asdlib.sound.summaries`) is held against those of
the machine's healthy clips, by a plain detector (:mod:`asdlib.judge.plain`); the score
is the mean surprise over the views (:mod:`asdlib.judge.fusion`).
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.judge.fusion import surprise
from asdlib.judge.plain import PLAIN_SCORERS
from asdlib.judge.scorers import Scorer, by_machine, cross_scores
from asdlib.learn.training import StageConfig
from asdlib.methods import Judges, Task, check_kind, judged
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig
from asdlib.sound.summaries import view_widths, views, views_of

NAME = "nearest healthy clips"
PAPER = "no paper: the plain detectors that every network should be held against"
IDEA = "how far a clip is from the healthy ones, in numbers nobody had to train"
INPUTS = ("sound", "spectra")
SCORERS = ("mahalanobis", "knn", "svm", "local")
BUDGET = StageConfig(1)
COST = 10.0


class Views(nn.Module):
    """``embed(*inputs)`` → all the views of clips, side by side: (B, dim) float32."""

    def __init__(self, features: FeatureConfig | None, shape: tuple[int, int] | None):
        super().__init__()
        self.features, self.widths = features, view_widths(features, shape)
        self.embedding_dim = sum(self.widths.values())

    def embed(self, *inputs: Tensor) -> Tensor:
        return torch.cat([*views(list(inputs), self.features).values()], dim=1)

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        """Each view of rows (N, dim): (N, its width)."""
        return np.split(rows, np.cumsum([*self.widths.values()])[:-1], axis=1)


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> nn.Module:
    """A module without weights: there is nothing to train, and nothing is drawn.

    Raises :class:`AsdError` for a machine with a single clip.
    """
    check_kind(clips, NAME, INPUTS)
    check_pairs(clips)
    return untrained(Task.of(clips)).eval()


def untrained(task: Task) -> Views:
    """What looks at clips."""
    return Views(task.features, task.shape)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The mean surprise over the views, by each plain scorer.

    ``known`` (N, dim) are rows of two or more healthy clips of a machine.
    """
    assert isinstance(model, Views)

    def surprised(asked: np.ndarray, scorer: Scorer) -> np.ndarray:
        pairs = zip(model.parts(known), model.parts(asked), strict=True)
        return np.mean([view_surprise(*pair, scorer=scorer) for pair in pairs], axis=0)

    return {name: partial(surprised, scorer=PLAIN_SCORERS[name]) for name in SCORERS}


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,) > 0 by each of :data:`asdlib.judge.plain.PLAIN_SCORERS`.

    ``known`` are two or more healthy clips of each machine. Raises :class:`AsdError`
    for fewer, and for a clip of a machine that is not known.
    """
    check_pairs(known)
    return judged(judge, model, known, asked, device=device)


def plain_scores(known: Clips, asked: Clips) -> np.ndarray:
    """As :func:`score`, by the Mahalanobis distance alone: (M,), what an ensemble calls
    "plain"."""
    check_pairs(known)
    scorer = PLAIN_SCORERS["mahalanobis"]
    seen, new = views_of(known), views_of(asked)
    surprises = [
        by_machine(
            partial(view_surprise, scorer=scorer),
            (seen[view], known.machines),
            (new[view], asked.machines),
        )
        for view in seen
    ]
    return np.mean(surprises, axis=0)


def check_pairs(clips: Clips) -> None:
    """Raise :class:`AsdError` for a machine with a single clip."""
    names, counts = np.unique(clips.machines, return_counts=True)
    if (counts < 2).any():
        alone = ", ".join(names[counts < 2].tolist())
        raise AsdError(
            f"only one clip of {alone}: how far apart healthy clips are shows from two "
            "on, so give more or leave it out"
        )


def view_surprise(
    known: np.ndarray, asked: np.ndarray, *, scorer: Scorer
) -> np.ndarray:
    """How surprising one view of ``asked`` (M, d) is to a plain scorer: (M,) > 0.

    ``known`` (N, d) is that view of the healthy clips, each of which is scored against
    the others.
    """
    return surprise(cross_scores(scorer, known), scorer(known, asked))
