"""Nothing trained: how far a clip is from the healthy clips of its machine.

What stands beside every network, because a network that loses to it has learned
nothing. Each view of a clip (:mod:`asdlib.sound.summaries`) is held against those of
the machine's healthy clips, by a plain detector (:mod:`asdlib.judge.plain`); the score
is the mean surprise over the views (:mod:`asdlib.judge.fusion`).
"""

from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from asdlib.errors import AsdError
from asdlib.judge.fusion import surprise
from asdlib.judge.plain import PLAIN_SCORERS
from asdlib.judge.scorers import Scorer, by_machine, cross_scores
from asdlib.learn.training import StageConfig
from asdlib.methods import check_kind
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.summaries import views_of

NAME = "nearest healthy clips"
PAPER = "no paper: the plain detectors that every network should be held against"
INPUTS = ("sound", "spectra")


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
    return nn.Identity().eval()


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,) > 0 by each of :data:`asdlib.judge.plain.PLAIN_SCORERS`.

    ``known`` are two or more healthy clips of each machine. Raises :class:`AsdError`
    for fewer, and for a clip of a machine that is not known.
    """
    check_pairs(known)
    views = views_of(known), views_of(asked)
    return {
        name: mean_surprise(
            scorer, (views[0], known.machines), (views[1], asked.machines)
        )
        for name, scorer in PLAIN_SCORERS.items()
    }


def plain_scores(known: Clips, asked: Clips) -> np.ndarray:
    """As :func:`score`, by the Mahalanobis distance alone: (M,), what an ensemble calls
    "plain"."""
    check_pairs(known)
    views = (views_of(known), known.machines), (views_of(asked), asked.machines)
    return mean_surprise(PLAIN_SCORERS["mahalanobis"], *views)


Views = tuple[dict[str, np.ndarray], np.ndarray]  # rows (N, d) by view, machines (N,)


def mean_surprise(scorer: Scorer, known: Views, asked: Views) -> np.ndarray:
    """How surprising clips are to a plain scorer, mean over the views: (M,) > 0."""
    surprises = [
        by_machine(
            partial(view_surprise, scorer=scorer),
            (rows, known[1]),
            (asked[0][view], asked[1]),
        )
        for view, rows in known[0].items()
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
