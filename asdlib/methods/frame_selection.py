r"""The frames that carry the machine, the bands that count, then an autoencoder.

After Wang, Zhang, Zhang and Zhang, "A lightweight framework for unsupervised anomalous
sound detection based on selective learning of time-frequency domain features", Applied
Acoustics 2025, 110308 (SFS-AEFS), of which we have read the title and the beginning of
the abstract; how frames are chosen, a third party tells. A frame x_t is like the
others where its spectrum goes up and down with theirs:

.. math:: c_t = \sum_{u \ne t} \mathrm{Cov}(x_t, x_u), \qquad
          \text{score} = \operatorname{mean}_{t\ \text{kept}} \tfrac{1}{F}
          \lVert z_t - f(z_t \cdot s(z_t)) \rVert^2

The covariance is over the mel bands. Of machines that run steadily the n frames with
the largest c are kept, of others those with the smallest, which are the events. Each
band of such a frame z, standardised, is multiplied by a gate s between 0 and 1 before
an autoencoder f rebuilds all of it. A network a type; it knows nothing of machine IDs.

Essential is the order: select frames, weigh bands, rebuild. Which types run steadily
and how many frames are kept is prior knowledge of six types (:data:`SELECTIONS`),
which a third party ascribes to the paper and which may have been tuned on labelled test
clips; of any other type all frames are kept. How the paper scales bands is not known
to us. Ours are the gate, of a small network that begins near 1; the single frames, for
those that are kept do not follow each other; seven frames at least; the mean over them;
and the sizes. The
gate weighs what goes in and never the error: one that weighs both finds its peace in
the few bands that are easy to rebuild. No published figure was reached.

Of spectra (bands, modulations) there are no frames to be chosen: they are read whole,
behind a gate with a number for each band.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.training import StageConfig
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods.autoencoder import (
    FrameAutoencoder,
    TypeAutoencoders,
    one_a_type,
    pictures_of,
)
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "selected frames and gated bands"
PAPER = "after Wang et al., Applied Acoustics 2025"
IDEA = "the frames that carry the machine, rebuilt from bands behind a gate"
INPUTS = ("sound", "spectra")
SCORERS = ("reconstruction",)
BUDGET = StageConfig(30, 64, learning_rate=1e-3)
COST = 90.0
FRAMES = 128  # in a batch
AT_ONCE = 64  # clips whose frames are weighed, so that memory holds what is kept
LEAST = 7  # frames of a clip, or all of them
INSIDE = 16  # numbers inside the gate
OPEN = 3.0  # its logit in the beginning: 0.95 of every band goes through


@dataclass(frozen=True)
class Selection:
    """Which frames of a type are kept: a ``share``, 0 to 1, of those most like others
    where the type is ``steady``, else of those least like them."""

    share: float = 1.0
    steady: bool = True


# Frames of the 313 of a clip of 10 s.
SELECTIONS = {
    "fan": Selection(270 / 313),
    "pump": Selection(250 / 313),
    "slider": Selection(7 / 313, steady=False),
    "valve": Selection(7 / 313, steady=False),
    "ToyCar": Selection(230 / 313),
    "ToyConveyor": Selection(130 / 313),
}


def likeness(log_mels: Tensor) -> Tensor:
    """c of each frame, in dB²: log-mels (B, mels, frames) → (B, frames).

    The sum of its covariances with all other frames of the clip.

    >>> likeness(torch.tensor([[[1.0, 1.0, 2.0], [3.0, 3.0, 0.0]]])).tolist()
    [[0.0, 0.0, -4.0]]
    """
    centred = log_mels - log_mels.mean(dim=1, keepdim=True)
    others = centred.sum(dim=2, keepdim=True) - centred
    return (centred * others).sum(dim=1) / (log_mels.shape[1] - 1)


def selected(log_mels: Tensor, selection: Selection) -> Tensor:
    """The frames that are kept: (B, mels, frames) → (B, mels, n), in their order."""
    frames = log_mels.shape[2]
    count = min(frames, max(LEAST, round(selection.share * frames)))
    kept = likeness(log_mels).topk(count, dim=1, largest=selection.steady).indices
    places = kept.sort(dim=1).values[:, None]
    return log_mels.gather(2, places.expand(-1, log_mels.shape[1], -1))


class GatedAutoencoder(nn.Module):
    """Rows (N, width) of one or more frames of ``bands`` → (N, width), rebuilt.

    Both in units of how far training clips are spread. ``gate`` gives of standardised
    rows a number from 0 to 1 for each band, the same in all frames of a row.
    """

    def __init__(self, width: int, *, bands: int):
        super().__init__()
        self.repeats = width // bands
        self.standardise = nn.BatchNorm1d(width, affine=False)
        inner, outer = nn.Linear(width, INSIDE), nn.Linear(INSIDE, bands)
        nn.init.constant_(outer.bias, OPEN)
        self.gate = nn.Sequential(inner, nn.ReLU(), outer, nn.Sigmoid())
        self.network = FrameAutoencoder(width)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What was to be rebuilt, and what became of it, both (N, width)."""
        z = self.standardise(rows)
        return z, self.network(z * self.gate(z).repeat(1, self.repeats))

    def errors(self, rows: Tensor) -> Tensor:
        """The mean squared error of each row: (N, width) → (N,)."""
        z, rebuilt = self(rows)
        return (rebuilt - z).square().mean(dim=1)


class SelectiveAutoencoders(TypeAutoencoders):
    """One :class:`GatedAutoencoder` for each machine type, each with its frames.

    ``shares`` and ``steady`` (types,) are the :class:`Selection` of each.
    ``embed(*inputs)`` → how badly each of them rebuilds the frames that it would keep
    (B, types).
    """

    shares: Tensor
    steady: Tensor

    def __init__(
        self,
        networks: dict[str, nn.Module],
        selections: Mapping[str, Selection],
        *,
        context: int,
        machines: tuple[str, ...],
    ):
        super().__init__(networks, context=context, machines=machines)
        chosen = [selections.get(name, Selection()) for name in self.names]
        shares, steady = ([x.share for x in chosen], [x.steady for x in chosen])
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float64))
        self.register_buffer("steady", torch.tensor(steady))

    @property
    def classes(self) -> int:
        """How many machines there are."""
        return len(self.machines)

    def embed(self, *inputs: Tensor) -> Tensor:
        pictures = self.picture(inputs)
        errors = []
        for place, network in enumerate(self.networks):
            rows = self.rows_of(pictures, place)
            each = cast(GatedAutoencoder, network).errors(rows.flatten(0, 1))
            errors.append(each.view(len(rows), -1).mean(dim=1))
        return torch.stack(errors, dim=1)

    def rows_of(self, pictures: Tensor, place: int) -> Tensor:
        """What network number ``place`` reads of (B, bands, frames): (B, n, width)."""
        if self.context > 1:  # a spectrum, modulation after modulation
            return pictures.transpose(1, 2).flatten(1)[:, None]
        own = Selection(float(self.shares[place]), bool(self.steady[place]))
        return selected(pictures, own).transpose(1, 2)


def read(clips: Clips, selections: Mapping[str, Selection]) -> tuple[np.ndarray, int]:
    """What is read of ``clips`` of one type: (N, bands, n), and how much at a time."""
    pictures, context = pictures_of(clips)
    if clips.features is None:
        return pictures, context
    own = selections.get(clips.types[0].item(), Selection())
    kept = [
        selected(torch.from_numpy(np.asarray(part, np.float32)), own).numpy()
        for part in np.array_split(pictures, range(AT_ONCE, len(pictures), AT_ONCE))
    ]
    return np.concatenate(kept), 1


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    selections: Mapping[str, Selection] = SELECTIONS,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> SelectiveAutoencoders:
    """One network for each machine type.

    ``selections`` says by type which frames are kept; of a type that is not in it all
    are. An epoch of the budget sees each of them once; of sound, a batch holds
    :data:`FRAMES` of them instead of the budget's number of clips. ``validation`` is a
    share of the frames, not of the clips. Raises :class:`AsdError` for a type of which
    there is one spectrum only.
    """
    check_kind(clips, NAME, INPUTS)
    bands, context = sizes_of(Task.of(clips))
    if clips.features is not None:
        budget = replace(budget, accumulation_steps=1, clips_per_label=None)
        budget = replace(budget, batch_size=FRAMES)
    networks = one_a_type(
        clips,
        partial(GatedAutoencoder, bands=bands),
        rebuilding_objective,
        budget,
        read=partial(read, selections=selections),
        name="selection",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    machines = tuple(clips.names)
    return SelectiveAutoencoders(
        networks, selections, context=context, machines=machines
    ).eval()


def sizes_of(task: Task) -> tuple[int, int]:
    """How many bands there are, and how many columns of them are read at a time."""
    if task.features is not None:
        return task.features.n_mels, 1
    assert task.shape is not None
    return task.shape


def untrained(task: Task) -> SelectiveAutoencoders:
    """The networks before any training."""
    bands, context = sizes_of(task)
    networks: dict[str, nn.Module] = {}
    for name in task.types:
        with seeded(task.seed, f"selection {name}"):
            networks[name] = GatedAutoencoder(bands * context, bands=bands)
    return SelectiveAutoencoders(
        networks, SELECTIONS, context=context, machines=task.machines
    )


def rebuilding_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """The mean squared error of rebuilding a batch (B, width), a scalar.

    In the form that :func:`asdlib.learn.training.fit` calls.
    """
    z, rebuilt = model(*inputs)
    return (rebuilt - z).square().mean()


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The error of the network of the machine's own type, in rows (M, types)."""
    assert isinstance(model, SelectiveAutoencoders)
    place = model.names.index(model.machines[label].split("/")[0])
    return {"reconstruction": lambda rows: np.asarray(rows[:, place], np.float64)}


score = scored_by(judge)
