r"""The frame in the middle is withheld and guessed: an interpolating network.

After Suefusa, Nishida, Purohit, Tanabe, Endo and Kawaguchi, "Anomalous sound detection
based on interpolation deep neural network", ICASSP 2020, arXiv 2005.09234. An
autoencoder is shown what it shall rebuild, and may simply pass it on; and at the edges
of its five frames it must guess with neighbours on one side only. Here the network sees
frames t-2, t-1, t+1 and t+2 and guesses frame t, so that a short knock, which is hard
to foresee, no longer hides what can be foreseen:

.. math::

    \text{score} = \frac{1}{T - 4} \sum_t \frac{1}{128}
        \lVert x_t - f(x_{t-2}, x_{t-1}, x_{t+1}, x_{t+2}) \rVert^2

Essential: the frame that is scored is not seen. Our choices: the network is the one of
:mod:`asdlib.methods.autoencoder` with another number of inputs and outputs, as in
public re-implementations, the loss is the mean squared error, and the budget is ours.
One network a machine type; it knows nothing of machine IDs. Spectra (bands,
modulations) have no time in which a frame could lie in the middle: of them a band, with
all its modulations, is guessed from the two bands below and the two above. That is the
nearest thing, and not what the paper does: neighbouring bands need not resemble each
other as neighbouring moments do, and of real machines it tells little.

On the development data of DCASE 2020 Task 2 a public re-implementation gives AUC 75.44
and pAUC 62.06 (%; valve 82.14, where the autoencoder has 55.57).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.learn.training import StageConfig
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods.autoencoder import (
    CONTEXT,
    STACKS,
    FrameAutoencoder,
    TypeAutoencoders,
    one_a_type,
)
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "interpolation (IDNN)"
PAPER = "Suefusa et al., ICASSP 2020, arXiv 2005.09234"
IDEA = "the frame in the middle of five is guessed from the other four"
INPUTS = ("sound", "spectra")
SCORERS = ("interpolation",)
BUDGET = StageConfig(40, 64, learning_rate=1e-3)
COST = 45.0


class Interpolator(nn.Module):
    """Stacks of five frames (N, 5 · bands) → a guess at the middle one (N, bands).

    The middle one is cut out of a stack before the network sees it.
    """

    def __init__(self, width: int):
        super().__init__()
        self.bands = width // CONTEXT
        self.network = FrameAutoencoder(width - self.bands, self.bands)

    def forward(self, stacks: Tensor) -> Tensor:
        outer = CONTEXT // 2 * self.bands
        before, _, after = stacks.split([outer, self.bands, outer], dim=1)
        return self.network(torch.cat([before, after], dim=1))


def middle_of(stacks: Tensor) -> Tensor:
    """The frame in the middle (N, bands) of stacks (N, 5 · bands)."""
    return stacks.chunk(CONTEXT, dim=1)[CONTEXT // 2]


class TypeInterpolators(TypeAutoencoders):
    """One :class:`Interpolator` for each machine type.

    ``embed(*inputs)`` → how badly each of them guesses the frames of a clip (B, types).
    """

    @property
    def classes(self) -> int:
        """How many machines there are."""
        return len(self.machines)

    def picture(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """What is read of inputs, each (B, ...): (B, numbers, places in a row)."""
        return inputs[-1] if len(inputs) > 1 else inputs[0][:, 0].transpose(1, 2)

    def error(self, network: nn.Module, stacks: Tensor) -> Tensor:
        """The mean squared error of the middle frames of stacks (n, width): (n,)."""
        return (network(stacks) - middle_of(stacks)).square().mean(dim=1)


def read(clips: Clips) -> tuple[np.ndarray, int]:
    """What is read of ``clips``, (N, numbers, places), and how many places at a time.

    The places in a row are the frames of a sound, and the bands of a spectrum.
    """
    if clips.features is not None:
        return clips.log_mels, CONTEXT
    return clips.inputs[0][:, 0].transpose(0, 2, 1), CONTEXT


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> TypeInterpolators:
    """One network for each machine type.

    An epoch of the budget sees every five frames of every clip once; a batch holds
    :data:`asdlib.methods.autoencoder.STACKS` of them instead of the budget's number of
    clips. ``validation`` is a share of them, not of the clips. Raises :class:`AsdError`
    for clips of fewer than five frames, and for a type of which there are five only.
    """
    check_kind(clips, NAME, INPUTS)
    networks = one_a_type(
        clips,
        Interpolator,
        guessing_objective,
        replace(budget, batch_size=STACKS, accumulation_steps=1, clips_per_label=None),
        read=read,
        name="interpolation",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return TypeInterpolators(networks, context=CONTEXT, machines=clips.names).eval()


def untrained(task: Task) -> TypeInterpolators:
    """The networks before any training."""
    if task.features is not None:
        numbers = task.features.n_mels
    else:
        assert task.shape is not None
        numbers = task.shape[1]
    networks: dict[str, nn.Module] = {
        name: Interpolator(CONTEXT * numbers) for name in task.types
    }
    return TypeInterpolators(networks, context=CONTEXT, machines=task.machines)


def guessing_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """The mean squared error of the guesses at a batch of stacks (B, width), a scalar.

    In the form that :func:`asdlib.learn.training.fit` calls.
    """
    return F.mse_loss(model(*inputs), middle_of(inputs[0]))


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The error of the network of the machine's own type, in rows (M, types)."""
    assert isinstance(model, TypeInterpolators)
    place = model.names.index(model.machines[label].split("/")[0])
    return {"interpolation": lambda rows: np.asarray(rows[:, place], np.float64)}


score = scored_by(judge)
