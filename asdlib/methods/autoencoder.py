r"""The baseline of DCASE 2020 Task 2: an autoencoder of log-mel frames for each type.

Five consecutive frames of 128 mel bands are squeezed through 8 numbers and rebuilt;
what the network f rebuilds badly is unlike what it has learned (Koizumi et al., DCASE
Workshop 2020, arXiv 2006.05822). It knows nothing of machine IDs.

.. math::

    \text{score} = \frac{1}{T - 4} \sum_t \frac{1}{640} \lVert x_t - f(x_t) \rVert^2

Essential: the narrow middle, and one network for a whole machine type. Faithful: the
organisers' code was read. Our choices: the budget; and of spectra (bands, modulations),
which have no frames, a whole one is read at a time.

Published on the development set of DCASE 2020, AUC and pAUC in %: 73.66 and 59.67 by
the organisers, 69.52 and 58.73 as trained again by the authors of the two stages.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from asdlib.device import find_device, seeded
from asdlib.errors import AsdError
from asdlib.learn.embedding import ready
from asdlib.learn.training import Objective, StageConfig, fit
from asdlib.methods import Judges, Task, check_kind
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "autoencoder"
PAPER = "Koizumi et al., DCASE Workshop 2020, arXiv 2006.05822"
IDEA = "frames are squeezed through 8 numbers and rebuilt, by one network a type"
INPUTS = ("sound", "spectra")
SCORERS = ("reconstruction",)
BUDGET = StageConfig(40, 64, learning_rate=1e-3)
COST = 55.0
CONTEXT = 5  # frames
STACKS = 512  # in a batch, as in the baseline


class FrameAutoencoder(nn.Module):
    """(N, width) → (N, width), or (N, out), by way of 8 numbers.

    Four hidden layers of 128 on either side, with batch norm and ReLU.
    """

    def __init__(
        self,
        width: int,
        out: int | None = None,
        *,
        hidden: int = 128,
        bottleneck: int = 8,
    ):
        super().__init__()
        sizes = [width, *[hidden] * 4, bottleneck, *[hidden] * 4]
        layers: list[nn.Module] = []
        for cin, cout in itertools.pairwise(sizes):
            layers += [nn.Linear(cin, cout), nn.BatchNorm1d(cout), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, out or width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TypeAutoencoders(nn.Module):
    """One autoencoder for each machine type: ``networks`` in the order of ``names``.

    Each reads ``context`` frames at a time. ``embed(*inputs)`` → how badly each of them
    rebuilds a clip (B, types).
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        *,
        context: int,
        machines: Sequence[str] = (),
    ):
        super().__init__()
        self.names, self.context = list(networks), context
        self.machines, self.embedding_dim = tuple(machines), len(networks)
        self.networks = nn.ModuleList(networks.values())  # a name may have a dot

    def embed(self, *inputs: Tensor) -> Tensor:
        stacks = (
            self.picture(inputs)
            .unfold(2, self.context, 1)
            .permute(0, 2, 3, 1)
            .flatten(2)
        )
        errors = [
            self.error(network, stacks.flatten(0, 1))
            .view(-1, stacks.shape[1])
            .mean(dim=1)
            for network in self.networks
        ]
        return torch.stack(errors, dim=1)

    def picture(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """What is read of inputs, each (B, ...): (B, bands, frames)."""
        return inputs[-1] if len(inputs) > 1 else inputs[0][:, 0]

    def error(self, network: nn.Module, stacks: Tensor) -> Tensor:
        """The mean squared error of each of some stacks (n, width): (n,)."""
        return (network(stacks) - stacks).square().mean(dim=1)

    def of(self, machine_type: str) -> nn.Module:
        """The network of a type. Raises :class:`AsdError` where there is none."""
        if machine_type not in self.names:
            raise AsdError(
                f"no autoencoder of the type {machine_type!r}: "
                "train on clips of that type first"
            )
        return self.networks[self.names.index(machine_type)]


def stacked_frames(pictures: np.ndarray, context: int = CONTEXT) -> np.ndarray:
    """Every c = ``context`` consecutive frames of ``pictures`` as one row.

    (N, bands, frames) → (N, frames - c + 1, c · bands) float32, one frame after the
    other in a row. Raises :class:`AsdError` where there are fewer than c frames.

    >>> stacked_frames(np.array([[[1, 2, 3], [10, 20, 30]]]), 2).tolist()
    [[[1.0, 10.0, 2.0, 20.0], [2.0, 20.0, 3.0, 30.0]]]
    """
    if pictures.shape[-1] < context:
        raise AsdError(
            f"clips of {pictures.shape[-1]} frames are too short: "
            f"the network reads {context} at a time"
        )
    windows = sliding_window_view(np.asarray(pictures), context, axis=2)
    count, bands, stacks, _ = windows.shape
    rows = windows.transpose(0, 2, 3, 1).reshape(count, stacks, context * bands)
    return rows.astype(np.float32)


def pictures_of(clips: Clips) -> tuple[np.ndarray, int]:
    """What is read of ``clips``, (N, bands, frames), and how many frames at a time."""
    if clips.features is not None:
        return clips.log_mels, CONTEXT
    return clips.inputs[0][:, 0], clips.inputs[0].shape[-1]


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> TypeAutoencoders:
    """One autoencoder for each machine type.

    An epoch of the budget sees every stack of frames of every clip once. Of sound, a
    batch holds :data:`STACKS` of them instead of the budget's number of clips.
    ``validation`` is a share of the stacks, not of the clips. Raises :class:`AsdError`
    for clips that are too short, and for a type of which there is one stack only.
    """
    check_kind(clips, NAME, INPUTS)
    if clips.features is not None:
        budget = replace(budget, accumulation_steps=1, clips_per_label=None)
        budget = replace(budget, batch_size=STACKS)
    networks = one_a_type(
        clips,
        FrameAutoencoder,
        rebuilding_objective,
        budget,
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    _, context = pictures_of(clips)
    return TypeAutoencoders(networks, context=context, machines=clips.names).eval()


def one_a_type(
    clips: Clips,
    new_network: Callable[[int], nn.Module],
    objective: Objective,
    budget: StageConfig,
    *,
    read: Callable[[Clips], tuple[np.ndarray, int]] = pictures_of,
    name: str = "autoencoder",
    seed: int = 0,
    folder: Path | None = None,
    **fit_options: Any,
) -> dict[str, nn.Module]:
    """A network for each machine type, trained on the stacks of what ``read`` reads.

    ``new_network(width)`` makes one for stacks of so many numbers; ``name`` is its
    stage in the log. ``fit_options`` go to :func:`asdlib.learn.training.fit`. Raises
    :class:`AsdError` for a type of which there is one stack only.
    """
    networks: dict[str, nn.Module] = {}
    for machine_type, own in clips.by_type():
        stacks = stacked_frames(*read(own))
        machines = np.repeat(own.machines, stacks.shape[1])
        if len(machines) < 2:
            raise AsdError(
                f"only one clip of the type {machine_type}: batch norms need a spread, "
                "so give two or more, or leave it out"
            )
        with seeded(seed, f"{name} {machine_type}"):
            networks[machine_type] = new_network(stacks.shape[2])
        fit(
            networks[machine_type],
            objective,
            Clips((stacks.reshape(len(machines), -1),), machines),
            budget,
            stage=f"{name} {machine_type}",
            seed=seed,
            folder=folder and folder / machine_type,
            **fit_options,
        )
    return networks


def untrained(task: Task) -> TypeAutoencoders:
    """The autoencoders before any training."""
    if task.features is not None:
        bands, context = task.features.n_mels, CONTEXT
    else:
        assert task.shape is not None
        bands, context = task.shape
    networks: dict[str, nn.Module] = {
        name: FrameAutoencoder(bands * context) for name in task.types
    }
    return TypeAutoencoders(networks, context=context, machines=task.machines)


def rebuilding_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """The mean squared error of rebuilding a batch (B, width), a scalar.

    In the form that :func:`asdlib.learn.training.fit` calls.
    """
    return F.mse_loss(model(*inputs), inputs[0])


@torch.no_grad()
def rebuilt(
    network: nn.Module, picture: np.ndarray, *, context: int = CONTEXT
) -> np.ndarray:
    """What the network of a type makes of one clip (bands, frames).

    The middle frame of every stack: (bands, frames - context + 1).
    """
    stacks = torch.from_numpy(stacked_frames(picture[None], context)[0])
    out = network(stacks).numpy()
    return out.reshape(len(out), context, len(picture))[:, context // 2].T


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The error of the network of the machine's own type, in rows (M, types)."""
    assert isinstance(model, TypeAutoencoders)
    place = model.names.index(model.machines[label].split("/")[0])
    return {"reconstruction": lambda rows: np.asarray(rows[:, place], np.float64)}


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """The scorer "reconstruction" (M,): mean squared error of a clip's stacked frames.

    ``model`` is a :class:`TypeAutoencoders`; ``known`` is not used. Raises
    :class:`AsdError` for a clip of a machine type that it has not been trained on.
    """
    assert isinstance(model, TypeAutoencoders)
    place, scores = find_device(device), np.empty(len(asked))
    pictures, _ = pictures_of(asked)
    for machine_type in np.unique(asked.types).tolist():
        rebuild = ready(model.of(machine_type), place)
        for row in np.flatnonzero(asked.types == machine_type):
            stacks = stacked_frames(pictures[row][None], model.context)[0]
            x = torch.from_numpy(stacks)
            scores[row] = F.mse_loss(rebuild(x.to(place)), x).item()
    return {"reconstruction": scores}
