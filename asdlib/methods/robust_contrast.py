r"""A clip among others, however it was recorded, and short where it is at home.

After Wu et al., "CLAD: Robust Audio Deepfake Detection Against Manipulation Attacks
with Contrastive Learning", 2024, arXiv 2404.15854, which tells real from forged voices.
Stage A contrasts (MoCo, He et al., CVPR 2020): a clip, manipulated, is to be found by
the same clip manipulated otherwise, its key, among the keys of a thousand others,

.. math::

    L_c = -\log \frac{e^{q \cdot k / \tau}}
        {e^{q \cdot k / \tau} + \sum_j e^{q \cdot n_j / \tau}}

The keys come from a second encoder, which follows the first slowly (k' ← m k' + (1 -
m) k, of weights), and wait in a queue. So what a recording chain does to a clip
(:mod:`asdlib.sound.manipulations`) is no longer heard. A second loss draws the
embeddings of real voices to 0 and pushes those of forged ones beyond a margin. Stage B
puts a classifier on top.

Essential: contrast with manipulations, and the loss of the lengths. There is nothing
forged among healthy machines, so the lengths are our own: each machine c has eight
directions, in which its clips are short, :math:`\lVert W_c f \rVert \to 0`, and
those of all others longer than m = 4. The score is the length of a clip in the
directions of its own machine, or its distance to known clips. Our choices, too: the
small encoder, a queue of 1,024 keys, in which a clip is never its own negative, a
momentum of 0.99, one manipulation of a clip at a time, and stage B, which trains
everything on clips as they are, with a linear classifier of machines beside the
lengths. (Theirs, in an earlier version of their repository: 6,144 keys, 0.999, 150
epochs in batches of 24, several manipulations with strengths from ranges, no head
between embedding and key, lengths of real voices nine times as heavy, and in stage B an
encoder that stays. The margin, and the weight 2 of the lengths, are theirs. Batch norms
are not shuffled, as there and unlike MoCo.) Spectra have manipulations of their own.

Published for voices only, as shares of forged ones that pass as real at the threshold
with as many mistakes of either kind on clean clips: 1.1 % of clean ones, 1.6 % under
the manipulation that is worst for it; others let 30 to 50 % pass under theirs.
Who does not hear a manipulation does not hear a fault that sounds like it: a machine
that is only louder, or slower.
"""

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.errors import AsdError
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._moco import QUEUE, follow, info_nce, pushed, weightless
from asdlib.methods._task import by_distance
from asdlib.methods.simclr import View, two_views
from asdlib.processes import all_gather
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import LogMel
from asdlib.sound.manipulations import MANIPULATIONS, OF_SPECTRA, draw

NAME = "contrast under manipulations (after CLAD)"
PAPER = "after Wu et al., 2024, arXiv 2404.15854"
IDEA = "a manipulated clip is found among others, and short in its machine's directions"
INPUTS = ("sound", "spectra")
SCORERS = ("length", "knn", "mahalanobis", "gmm")
BUDGET = StageConfig(15, 64, learning_rate=1e-3, cosine_from=0)
COST = 225.0
FIRST = 2 / 3  # of the epochs: stage A
PROJECTED = 64  # numbers of a key
DIRECTIONS, MARGIN, WEIGHT = 8, 4.0, 2.0  # of each machine; of the loss of the lengths


class RobustModel(nn.Module):
    """An encoder, eight directions for each of ``classes`` machines, and a classifier.

    ``forward(*inputs)`` → lengths and logits, each (N, classes); ``embed(*inputs)`` →
    the embedding f (N, dim), of which both are made.
    """

    def __init__(self, encoder: nn.Module, classes: int):
        super().__init__()
        self.encoder, self.classes = encoder, classes
        self.embedding_dim = cast(int, encoder.embedding_dim)
        self.directions = nn.Linear(
            self.embedding_dim, classes * DIRECTIONS, bias=False
        )
        self.namer = nn.Linear(self.embedding_dim, classes)

    def embed(self, *inputs: Tensor) -> Tensor:
        return self.encoder(*inputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        f = self.embed(*inputs)
        return lengths_of(self.directions(f)), self.namer(f)


def lengths_of(along: Tensor) -> Tensor:
    """The length of each class's part: (N, classes · DIRECTIONS) → (N, classes)."""
    return along.unflatten(1, (-1, DIRECTIONS)).norm(dim=2)


class Contrast(nn.Module):
    """What stage A sees: the ``model``, its slow copy and the queue of keys.

    ``forward(views, others)``, each a tuple of inputs of N clips → queries and keys of
    length 1 (N, PROJECTED), and lengths (N, classes) of the views. In training mode the
    copy first takes a step after the model.
    """

    def __init__(self, model: RobustModel):
        super().__init__()
        self.encoder, self.directions = model.encoder, model.directions
        dim = model.embedding_dim
        self.head = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, PROJECTED)
        )
        self.slow, self.slow_head = weightless(self.encoder), weightless(self.head)
        self.queue: Tensor
        self.owners: Tensor
        keys = F.normalize(torch.randn(QUEUE, PROJECTED))
        self.register_buffer("queue", keys)
        self.register_buffer("owners", torch.full((QUEUE,), -1.0))  # nobody's

    def forward(
        self, views: tuple[Tensor, ...], others: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            if self.training:
                follow(self.slow, self.encoder)
                follow(self.slow_head, self.head)
            keys = F.normalize(self.slow_head(self.slow(*others)))
        f = self.encoder(*views)
        return F.normalize(self.head(f)), keys, lengths_of(self.directions(f))


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    first: float = FIRST,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> RobustModel:
    """Train both stages; a :class:`RobustModel` of the machines of ``clips``.

    ``encoder`` is a config of :data:`asdlib.learn.encoders.ENCODERS` (None: the small
    one for these inputs), which sees ``window`` seconds of a clip at a time (None:
    all). ``first`` is the share of the budget's epochs that stage A has. Raises
    :class:`AsdError` for one outside 0 to 1, and for a window longer than the clips.
    """
    check_kind(clips, NAME, INPUTS)
    if not 0 <= first <= 1:
        raise AsdError(
            f"a share of {first:g} of the epochs for stage A makes no sense: "
            "choose one from 0 to 1"
        )
    model = untrained(Task.of(clips, encoder=encoder, window=window, seed=seed))
    options: dict[str, Any] = {
        "seed": seed,
        "device": device,
        "validation": validation,
        "on_step": on_step,
    }
    epochs = round(first * budget.epochs)
    if epochs:
        with seeded(seed, "contrast"):
            contrast = Contrast(model)
        fit(
            contrast,
            partial(contrast_objective, view=manipulated_view(clips)),
            numbered(clips),
            budget.of(epochs),
            stage="manipulations",
            folder=folder and folder / "stage A",
            **options,
        )
    if epochs < budget.epochs:
        fit(
            model,
            naming_objective,
            clips,
            budget.of(budget.epochs - epochs),
            stage="machines",
            folder=folder and folder / "stage B",
            **options,
        )
    return model.eval()


def untrained(task: Task) -> RobustModel:
    """The model before any training."""
    base = task.new_encoder()
    with seeded(task.seed, "robust"):
        return RobustModel(base, len(task.machines))


def numbered(clips: Clips) -> Clips:
    """The first input of ``clips``, and beside it the number of each.

    The log-mels are left out: each manipulated waveform has its own.
    """
    numbers = np.arange(len(clips), dtype=np.float32)
    return Clips((clips.inputs[0], numbers), clips.machines, clips.features)


def manipulated_view(clips: Clips) -> View:
    """The first input of clips (B, ...) → inputs that are manipulated, each otherwise.

    Or not at all: :func:`asdlib.sound.manipulations.draw`.
    """
    if clips.features is None:
        return lambda x, rng: (draw(x, rng, kinds=list(OF_SPECTRA.values())),)
    front_end = LogMel(clips.features)

    def view(x: Tensor, rng: np.random.Generator) -> tuple[Tensor, ...]:
        y = draw(x.cpu(), rng, kinds=list(MANIPULATIONS.values()))
        return y.to(x.device), front_end(y).to(x.device)

    return view


def contrast_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    view: View,
) -> Tensor:
    """Both losses of stage A of a batch, as ``fit`` calls it: a scalar.

    Of clips (B, ...), their numbers (B,) and labels (B,). In training mode their keys
    then join the queue of the :class:`Contrast`. Several processes do what one does.
    """
    x, numbers = inputs
    parts, _ = two_views(x, view, rng)
    views, others = zip(*(part.chunk(2) for part in parts), strict=True)
    queries, keys, lengths = model(views, others)
    queue, owners = cast(Tensor, model.queue), cast(Tensor, model.owners)
    itself = owners == numbers[:, None]
    # A copy: the queue is another one before the gradient is computed.
    loss = info_nce(queries, keys, queue.clone(), itself)
    loss = loss + WEIGHT * length_loss(lengths, labels)
    if model.training:
        newest = pushed(queue, owners, *all_gather(keys, numbers))
        queue.copy_(newest[0])
        owners.copy_(newest[1])
    return loss


def length_loss(lengths: Tensor, labels: Tensor, *, margin: float = MARGIN) -> Tensor:
    """How long clips are where they are at home, and how short elsewhere: a scalar.

    Of ``lengths`` (N, classes) and ``labels`` (N,): the mean of the own ones, and of
    what the others lack to ``margin``.
    """
    own = labels[:, None]
    lacking = (margin - lengths).clamp(min=0).scatter(1, own, 0.0)
    others = lacking.sum(dim=1) / max(1, lengths.shape[1] - 1)
    return (lengths.gather(1, own).squeeze(1) + others).mean()


def naming_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """The loss of stage B of a batch, as ``fit`` calls it: a scalar.

    Of inputs, each (B, ...), and of labels (B,): the cross-entropy of the machines, and
    the loss of the lengths.
    """
    lengths, logits = model(*inputs)
    return F.cross_entropy(logits, labels) + WEIGHT * length_loss(lengths, labels)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The length in the own directions, and every distance to ``known`` (N, dim)."""
    assert isinstance(model, RobustModel)
    directions = model.directions.weight.detach().double().numpy()
    own = directions.reshape(model.classes, DIRECTIONS, -1)[label]

    def length(rows: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.asarray(rows, np.float64) @ own.T, axis=1)

    return {"length": length, **by_distance(known)}


score = scored_by(judge)
