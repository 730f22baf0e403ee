r"""A transformer guesses the frame that is withheld, and says which machine it is of.

After Guan, Liu, Kong, Xiao, Zhu, Tian and Wang, "Transformer-based autoencoder with ID
constraint for unsupervised anomalous sound detection", EURASIP Journal on Audio,
Speech, and Music Processing 2023, arXiv 2310.08950 (IDC-TransAE); faithful in what is
essential: the authors' code was read. An autoencoder of frames soon fits anomalies as
well. Here the frame in the middle of five is withheld, the other four are tokens of a
transformer, each is squeezed through 8 numbers z, and these must tell which machine of
its type is heard:

.. math::

    L = \frac{1}{128} \lVert x_c - \hat x_c \rVert^2 + w \, CE(\mathrm{ID}),
    \qquad \text{score} = \sum_k r^k e_{(k)} \Big/ \sum_k r^k

The errors e of a clip's frames are sorted, the largest first, and weighted by rank, so
that what is short counts (:func:`asdlib.methods.twfr_gmm.pooled`).

Essential: the withheld frame, the narrow bottleneck, the machine told from all of its
tokens (their mean + their maximum), the pooling by rank; one network a type. The public
code has w = 0, with a 4 in a comment, pools by the mean (pooling by rank, r = 0.99, is
named and not defined), and keeps the epoch that is best on test clips, of 300 in
batches of 128; the paper's w is not known to us. Published are positions by the phase
of the STFT or by sinusoids. Our choices: w = 4, sinusoids, bands standardised for each
type, 8 random windows of a clip in an epoch, 30 epochs, and that r = 0.99 is for the
309 windows of 10 s, with the same weights at the same shares of other lengths. "id" is
-log p(own machine) by the mean logits of a clip; of a type with a single machine, where
there is nothing to tell apart, it is the error again.

Spectra (bands, modulations) have no time. Of them 12 groups of bands are the tokens,
with learned codes; one is withheld, the decoder is told which, and errors are averaged.
That is our analogue, and not what the paper does. No published figures were reached by
us.
"""

from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.judge.scorers import softmax_score
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind
from asdlib.methods._mixing import draws
from asdlib.methods._scales import mean_and_spread
from asdlib.methods._task import judged
from asdlib.methods._withheld import FrameGuesser, Guesser, cells_of, new_guesser
from asdlib.methods.twfr_gmm import pooled
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "transformer autoencoder with ID constraint (IDC-TransAE)"
PAPER = "Guan et al., EURASIP J. Audio Speech Music Process. 2023, arXiv 2310.08950"
IDEA = "a transformer guesses the frame withheld, by 8 numbers that tell the machine"
INPUTS = ("sound", "spectra")
SCORERS = ("reconstruction", "id")
BUDGET = StageConfig(30, 16, learning_rate=1e-3, cosine_from=0)
COST = 160.0
ID_WEIGHT = 4.0
WINDOWS = 8  # of a clip in an epoch
RANK, PUBLISHED = 0.99, 309  # r, and of how many windows


class TypeGuessers(nn.Module):
    """A :class:`Guesser` for each machine type, in the order of ``types``.

    ``embed(*inputs)`` → of each its error, and its mean logits of the machines of that
    type (B, embedding_dim).
    """

    def __init__(self, task: Task):
        super().__init__()
        self.machines, self.types = task.machines, task.types
        self.classes = len(task.machines)
        self.embedding_dim = len(self.types) + self.classes
        networks = []
        for name in self.types:
            with seeded(task.seed, f"transformer {name}"):
                networks.append(new_guesser(task, len(self.machines_of(name))))
        self.networks = nn.ModuleList(networks)

    def machines_of(self, machine_type: str) -> list[str]:
        """The machines of a type, sorted."""
        return [name for name in self.machines if name.split("/")[0] == machine_type]

    def columns_of(self, machine_type: str) -> slice:
        """Where a row has what is said by the network of a type."""
        before = self.types[: self.types.index(machine_type)]
        start = sum(1 + len(self.machines_of(name)) for name in before)
        return slice(start, start + 1 + len(self.machines_of(machine_type)))

    def embed(self, *inputs: Tensor) -> Tensor:
        cells = cells_of(*inputs)
        parts = [self.heard_by(cast(Guesser, net), cells) for net in self.networks]
        return torch.cat(parts, dim=1)

    def heard_by(self, network: Guesser, cells: Tensor) -> Tensor:
        """The error, and logits, of cells (B, cells, numbers): (B, 1 + machines)."""
        count = network.choices(cells.shape[1])
        places = torch.arange(count, device=cells.device).expand(len(cells), count)
        guess, withheld, logits = network(cells, places)
        errors = (guess - withheld).square().mean(dim=1).view(len(cells), 1, count)
        frames = isinstance(network, FrameGuesser)
        r = RANK ** (PUBLISHED / count) if frames else 1.0
        mean = logits.view(len(cells), count, -1).mean(dim=1)
        return torch.cat([pooled(errors, r), mean], dim=1)


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    id_weight: float = ID_WEIGHT,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> TypeGuessers:
    """A network for each machine type.

    An epoch sees :data:`WINDOWS` random places of each clip. ``id_weight``, 0 or more,
    is how much telling the machines counts. Raises :class:`AsdError` for clips of fewer
    than five frames, and for spectra of one band.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, seed=seed))
    for module, (name, own) in zip(model.networks, clips.by_type(), strict=True):
        network = cast(Guesser, module)
        own = Clips((own.inputs[-1],), own.machines)  # no waveforms
        found = mean_and_spread(own, partial(numbers_of, network))
        network.mean, network.spread = (x.view_as(network.mean) for x in found)
        fit(
            network,
            partial(guessing_objective, id_weight=id_weight),
            own,
            budget,
            stage=f"transformer {name}",
            seed=seed,
            device=device,
            validation=validation,
            folder=folder and folder / name,
            on_step=on_step,
        )
    return model.eval()


def numbers_of(network: Guesser, *inputs: Tensor) -> Tensor:
    """Of inputs, each (B, ...), what is standardised on its own: (B, places, k).

    Each number of a frame, wherever it is, but each number of each group of bands.
    """
    cells = cells_of(*inputs)
    return cells if network.mean.dim() == 1 else cells.flatten(1)[:, None]


def untrained(task: Task) -> TypeGuessers:
    """The networks before any training.

    Raises :class:`AsdError` for clips of fewer than five frames, and for spectra of one
    band.
    """
    return TypeGuessers(task)


def guessing_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    id_weight: float = ID_WEIGHT,
) -> Tensor:
    """The error of a batch (B, ...), and how badly machines are told: a scalar.

    At random places of each clip; ``labels`` (B,) are those of its type. In the form
    that :func:`asdlib.learn.training.fit` calls.
    """
    cells = cells_of(*inputs)
    common, own, count = draws(model, rng, labels)
    choices = cast(Guesser, model).choices(cells.shape[1])
    drawn = common.integers(choices, size=(count, WINDOWS))[own]
    guess, withheld, logits = model(cells, torch.from_numpy(drawn).to(labels.device))
    wrong = F.cross_entropy(logits, labels.repeat_interleave(WINDOWS))
    return F.mse_loss(guess, withheld) + id_weight * wrong


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """What the network of the machine's own type says, in rows (M, dim)."""
    assert isinstance(model, TypeGuessers)
    machine = model.machines[label]
    name = machine.split("/")[0]
    columns, machines = model.columns_of(name), model.machines_of(name)

    def error(rows: np.ndarray) -> np.ndarray:
        return rows[:, columns.start].astype(np.float64)

    def surprise(rows: np.ndarray) -> np.ndarray:
        logits = rows[:, columns][:, 1:]
        return softmax_score(logits, machines.index(machine))

    return {"reconstruction": error, "id": surprise if len(machines) > 1 else error}


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """Scores (M,) of the M clips ``asked``, by what :func:`judge` offers.

    Of the ``known`` clips, nothing but whose they are is used. Raises
    :class:`AsdError` for a machine of which none are known, and where they are of more
    or fewer machines than the model.
    """
    few = known.only(np.unique(known.labels, return_index=True)[1])
    return judged(judge, model, few, asked, device=device)
