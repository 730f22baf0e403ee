"""The baseline of DCASE 2020 Task 2: an autoencoder of log-mel frames, one for each machine type.

Five consecutive frames of 128 mel bands are squeezed through 8 numbers and rebuilt; what the network rebuilds badly is
unlike what it has learned (Koizumi et al., DCASE Workshop 2020). It knows nothing of machine IDs. Of spectra (bands,
modulations) a whole one is read at a time.
"""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from asdlib.device import find_device, seeded
from asdlib.errors import AsdError
from asdlib.learn.embedding import ready
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import check_kind
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "autoencoder"
PAPER = "Koizumi et al., DCASE Workshop 2020, arXiv 2006.05822"
INPUTS = ("sound", "spectra")
CONTEXT = 5  # frames
STACKS = 512  # in a batch, as in the baseline


class FrameAutoencoder(nn.Module):
    """(N, width) → (N, width) by way of 8 numbers: four hidden layers of 128 on either side, with batch norm and ReLU."""

    def __init__(self, width: int, *, hidden: int = 128, bottleneck: int = 8):
        super().__init__()
        sizes = [width, *[hidden] * 4, bottleneck, *[hidden] * 4]
        layers: list[nn.Module] = []
        for cin, cout in itertools.pairwise(sizes):
            layers += [nn.Linear(cin, cout), nn.BatchNorm1d(cout), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TypeAutoencoders(nn.Module):
    """One autoencoder for each machine type, ``networks`` in the order of ``names``, and
    the frames that they read at a time."""

    def __init__(self, of: dict[str, FrameAutoencoder], *, context: int):
        super().__init__()
        self.names, self.context = list(of), context
        self.networks = nn.ModuleList(of.values())  # a name may have a dot


def stacked_frames(pictures: np.ndarray, context: int = CONTEXT) -> np.ndarray:
    """Every c = ``context`` consecutive frames as one row: (N, mels, frames) → (N, frames - c + 1, c · mels) float32."""
    if pictures.shape[-1] < context:
        raise AsdError(
            f"clips of {pictures.shape[-1]} frames are too short: the autoencoder reads {context} at a time"
        )
    windows = sliding_window_view(
        pictures, context, axis=2
    )  # (N, mels, frames - context + 1, context)
    return (
        windows.transpose(0, 2, 3, 1)
        .reshape(len(pictures), windows.shape[2], -1)
        .astype(np.float32)
    )


def pictures_of(clips: Clips) -> tuple[np.ndarray, int]:
    """What the autoencoder reads of each clip, (N, bands, frames), and how many frames at a time."""
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
) -> nn.Module:
    """One autoencoder for each machine type; a :class:`TypeAutoencoders`.

    An epoch of the budget sees every frame of every clip once. Of sound, a batch holds :data:`STACKS` stacks of frames
    instead of the budget's number of clips.
    """
    check_kind(clips, NAME, INPUTS)
    stage = (
        budget
        if clips.features is None
        else replace(
            budget, batch_size=STACKS, accumulation_steps=1, clips_per_label=None
        )
    )
    models = {}
    for machine_type, own in clips.by_type():
        pictures, context = pictures_of(own)
        stacks = stacked_frames(pictures, context)
        rows = Clips(
            (stacks.reshape(-1, stacks.shape[2]),),
            np.repeat(own.machines, stacks.shape[1]),
        )
        with seeded(seed, f"autoencoder {machine_type}"):
            model = FrameAutoencoder(stacks.shape[2])
        fit(
            model, rebuilding_objective, rows, stage, stage=f"autoencoder {machine_type}", seed=seed, device=device,
            validation=validation, folder=folder and folder / machine_type, on_step=on_step,
        )  # fmt: skip
        models[machine_type] = model
    return TypeAutoencoders(models, context=context).eval()


def rebuilding_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """The mean squared error of rebuilding a batch, in the form that :func:`asdlib.learn.training.fit` calls."""
    return F.mse_loss(model(*inputs), inputs[0])


@torch.no_grad()
def rebuilt(
    model: nn.Module, picture: np.ndarray, *, context: int = CONTEXT
) -> np.ndarray:
    """What the network of a type makes of one clip (bands, frames).

    The middle frame of every stack: (bands, frames - context + 1).
    """
    stacks = torch.from_numpy(stacked_frames(picture[None], context)[0])
    out = model(stacks).numpy()
    return out.reshape(len(out), context, len(picture))[:, context // 2].T


def _of_type(model: TypeAutoencoders, machine_type: str) -> nn.Module:
    if machine_type not in model.names:
        raise AsdError(
            f"no autoencoder of the type {machine_type!r}: train on clips of that type "
            "first"
        )
    return model.networks[model.names.index(machine_type)]


def score(
    model: nn.Module, known: Clips, asked: Clips, *, device: str = "auto"
) -> dict[str, np.ndarray]:
    """The scorer "reconstruction" (M,): the mean squared error of rebuilding each clip's stacked frames.

    ``known`` is not used.
    """
    place, scores = find_device(device), np.empty(len(asked))
    for machine_type in np.unique(asked.types).tolist():
        rebuild = ready(_of_type(model, machine_type), place)
        rows = np.flatnonzero(asked.types == machine_type)
        pictures, _ = pictures_of(asked)
        for row in rows:
            stacks = torch.from_numpy(
                stacked_frames(pictures[row][None], model.context)[0]
            )
            scores[row] = F.mse_loss(rebuild(stacks.to(place)), stacks).item()
    return {"reconstruction": scores}
