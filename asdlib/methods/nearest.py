r"""Nothing trained: how far a clip is from the healthy clips of its machine.

What stands beside every network, because a network that loses to it has learned
nothing. Each view of a clip (:mod:`asdlib.sound.summaries`) is held against those of
the machine's healthy clips, by a plain detector (:mod:`asdlib.judge.plain`); the score
is the mean surprise over the views (:mod:`asdlib.judge.fusion`).

.. math:: D^2(x) = (x - \mu)^\top \Sigma^{-1} (x - \mu)

is the first scorer's distance, with the covariance of the machine's clips shrunk as by
Ledoit and Wolf (2004). Essential: numbers that leave out what varies in health, and a
scale of the machine's own. All of it is put together by us from what is in textbooks;
the views and the sum are our choices.

Four more scorers look at a clip's numbers alone: those of a spectrum, of sound the mean
and the 95th percentile of each band of the log-mel.

* "cosine" is the cosine distance to the nearest, of the numbers as they are, and
* "ldn" the same in units of how far apart the four clips around that one lie (local
  density normalisation, Wilkinghoff et al., ICASSP 2025, whose code was read and has
  one neighbour where nothing else is said): min over y of D(x, y) / mean over k of
  D(y, y_k).
* "bands" does so for every five bands on their own, with Euclidean distances, and takes
  the mean (after BEAM, 2026, arXiv 2603.13749, known to us in outline only; that each
  of them is normalised locally is our addition);
* "raw" is the Mahalanobis distance with a small ridge. For these two each number has
  mean 0 and variance 1 over the training clips of all machines.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.judge.fusion import surprise
from asdlib.judge.normalise import fit_knn_local
from asdlib.judge.plain import (
    PLAIN_SCORERS,
    fit_ridged_mahalanobis,
    fit_sub_bands,
)
from asdlib.judge.scorers import (
    Fitted,
    Scorer,
    by_machine,
    cross_scores,
    fit_knn,
    fitted,
)
from asdlib.learn.training import StageConfig
from asdlib.methods import Judges, Task, check_kind, embedded, judged
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig
from asdlib.sound.summaries import view_widths, views, views_of

NAME = "nearest healthy clips"
PAPER = "no paper: the plain detectors that every network should be held against"
IDEA = "how far a clip is from the healthy ones, in numbers nobody had to train"
INPUTS = ("sound", "spectra")
SCORERS = ("mahalanobis", "knn", "svm", "local", "cosine", "ldn", "bands", "raw")
BUDGET = StageConfig(1)
COST = 10.0
SUB_BAND = 5  # bands


class Views(nn.Module):
    """``embed(*inputs)`` → all the views of clips, side by side: (B, dim) float32.

    ``mean`` and ``spread`` (d,) are those of the :meth:`numbers` of training clips.
    """

    def __init__(self, features: FeatureConfig | None, shape: tuple[int, int] | None):
        super().__init__()
        self.features, self.widths = features, view_widths(features, shape)
        self.embedding_dim = sum(self.widths.values())
        if features is not None:
            shape = features.n_mels, 2
        assert shape is not None
        self.bands, self.each = shape
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("mean", torch.zeros(self.bands * self.each))
        self.register_buffer("spread", torch.ones(self.bands * self.each))

    def embed(self, *inputs: Tensor) -> Tensor:
        return torch.cat([*views(list(inputs), self.features).values()], dim=1)

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        """Each view of rows (N, dim): (N, its width)."""
        return np.split(rows, np.cumsum([*self.widths.values()])[:-1], axis=1)

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """What lies in rows (N, dim) of the numbers themselves: (N, d).

        d is ``bands`` times ``each``: one band after the other. Of sound these are the
        mean and the 95th percentile of a band.
        """
        by_name = dict(zip(self.widths, self.parts(rows), strict=True))
        if self.features is None:
            return by_name["numbers"]
        levels = by_name["levels"].reshape(len(rows), -1, self.bands)
        return levels[:, [0, -1]].swapaxes(1, 2).reshape(len(rows), -1)

    def fit(self, rows: np.ndarray) -> None:
        """Take mean and spread over rows (N, dim)."""
        numbers = self.numbers(rows).astype(np.float64)
        spread = numbers.std(axis=0)
        self.mean.copy_(torch.from_numpy(numbers.mean(axis=0)))
        self.spread.copy_(torch.from_numpy(np.where(spread > 0, spread, 1.0)))

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        """:meth:`numbers` of rows (N, dim), less the mean, in units of the spread."""
        return (self.numbers(rows) - self.mean.numpy()) / self.spread.numpy()


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

    It keeps how much numbers vary over ``clips``. Raises :class:`AsdError` for a
    machine with a single clip.
    """
    check_kind(clips, NAME, INPUTS)
    check_pairs(clips)
    model = untrained(Task.of(clips)).eval()
    model.fit(embedded(model, clips, device=device)[0])
    return model


def untrained(task: Task) -> Views:
    """What looks at clips."""
    return Views(task.features, task.shape)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The mean surprise over the views, by each plain scorer, and the four others.

    ``known`` (N, dim) are rows of two or more healthy clips of a machine.
    """
    assert isinstance(model, Views)
    parts = model.parts

    @cache
    def views(name: str) -> list[tuple[np.ndarray, Fitted]]:
        scorer = PLAIN_SCORERS[name]
        return [(cross_scores(scorer, x), fitted(scorer, x)) for x in parts(known)]

    def surprised(asked: np.ndarray, name: str) -> np.ndarray:
        pairs = zip(views(name), parts(asked), strict=True)
        return np.mean([surprise(usual, new(x)) for (usual, new), x in pairs], axis=0)

    def seen(fit: Callable[[np.ndarray], Fitted], look: Fitted) -> Fitted:
        once = cache(lambda: fit(look(known)))
        return lambda asked: once()(look(asked))

    by_band = partial(fit_sub_bands, width=SUB_BAND * model.each)
    return {
        **{name: partial(surprised, name=name) for name in SCORERS[:4]},
        "cosine": seen(partial(fit_knn, neighbours=1), model.numbers),
        "ldn": seen(fit_knn_local, model.numbers),
        "bands": seen(by_band, model.scaled),
        "raw": seen(fit_ridged_mahalanobis, model.scaled),
    }


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,) ≥ 0 by each of :data:`SCORERS`.

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
