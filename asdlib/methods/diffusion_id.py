r"""Diffusion with an ID constraint: the network must also tell the machine.

After the title of Yin, Zhang, Zhang and Gao, "Self-Supervised Augmented Diffusion Model
for Anomalous Sound Detection", APSIPA ASC 2024, and after nothing but the title:
neither the text nor an abstract was reached, and this is no re-implementation of it. We
read it as: a diffusion model, helped by a self-supervised task. The model is that of
:mod:`asdlib.methods.asd_diffusion`; the task is to tell the machine by the numbers in
the middle of the network, of the same clip with the same noise at the step
:math:`\lfloor 0.3 t \rfloor`, one of the first 300 of 1,000:

.. math:: L = \lVert \epsilon - \epsilon_\theta(x_t, t) \rVert^2
          + 0.1 \, CE(\mathrm{ID} \mid x_{\lfloor 0.3 t \rfloor})

Everything is our choice. For that task the network is not told which machine it is,
as it is otherwise, or it could say what it was told; the type it could guess, for
pictures are standardised by their type. The scorers are those of the model alone, and
"id", -log p(own machine) of the clip without noise; of a single machine, "id" is the
filter again. With a weight of 0 instead of 0.1, it is the model alone. Published, as a
table in another paper tells: AUC 68.1 % on the development data of DCASE 2023.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.judge.scorers import softmax_score
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._diffusion import (
    AT_ONCE,
    STEPS,
    Diffusion,
    by_rebuilding,
    drawn,
    noise_loss,
    noised,
    picture_of,
)
from asdlib.methods._diffusion import in_use as in_use
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "diffusion with ID constraint"
PAPER = "after the title of Yin et al., APSIPA ASC 2024"
IDEA = "noise is added and taken away by a network that also tells the machines"
INPUTS = ("sound", "spectra")
SCORERS = ("filter", "error", "id")
BUDGET = StageConfig(8, 64, learning_rate=1e-3, cosine_from=0)
COST = 200.0
ID_WEIGHT = 0.1
EARLY = 300  # steps of the noising at which a machine can be told


class IDDiffusion(Diffusion):
    """A :class:`Diffusion` whose ``forward`` returns logits (B, machines), too."""

    def __init__(self, task: Task):
        super().__init__(task)
        with seeded(task.seed, "identify"):
            self.identify = nn.Linear(self.network.middle_width, self.classes)

    def forward(  # type: ignore[override]
        self, *inputs: Tensor, noise: Tensor, times: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        found = super().forward(*inputs, noise=noise, times=times, labels=labels)
        early = times * EARLY // STEPS
        x = self.standardised(picture_of(*inputs), labels)
        x = noised(x, noise, self.kept[early][:, None, None])
        return found, self.logits(x, early)

    def logits(self, x: Tensor, times: Tensor) -> Tensor:
        """Of standardised pictures (B, height, width) after ``times`` (B,) steps.

        (B, machines), without being told the machine.
        """
        return self.identify(self.network.middle(x, times, None))


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
) -> IDDiffusion:
    """One network of all machines.

    ``id_weight``, 0 or more, is how much telling them counts.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, seed=seed))
    model.set_scales(clips)
    fit(
        model,
        partial(constrained_objective, id_weight=id_weight),
        Clips((clips.inputs[-1],), clips.machines),  # no waveforms
        budget,
        stage="diffusion",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder,
        on_step=on_step,
    )
    return model


def untrained(task: Task) -> IDDiffusion:
    """The network before any training."""
    return IDDiffusion(task)


def constrained_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    id_weight: float = ID_WEIGHT,
) -> Tensor:
    """How badly noise is found, and machines are told, of a batch (B, ...): a scalar.

    ``labels`` (B,) are the machines. In the form that
    :func:`asdlib.learn.training.fit` calls.
    """
    times, noise = drawn(model, labels, rng)
    found, logits = model(*inputs, noise=noise, times=times, labels=labels)
    loss = noise_loss(model, found, noise, times)
    return loss + id_weight * F.cross_entropy(logits, labels)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """What is beyond the rebuilt, as without the ID constraint, and -log p(machine)."""
    assert isinstance(model, IDDiffusion)

    @torch.no_grad()
    def logits(rows: Tensor) -> Tensor:
        labels = torch.full((len(rows),), label)
        x = model.standardised(rows.view(-1, *model.shape), labels)
        return model.logits(x, torch.zeros_like(labels))

    def surprise(rows: np.ndarray) -> np.ndarray:
        parts = [logits(part) for part in torch.as_tensor(rows).split(AT_ONCE)]
        return softmax_score(torch.cat(parts).numpy(), label)

    found = by_rebuilding(model, label)
    alone = len(model.machines) < 2  # nothing to tell apart
    return {**found, "id": found[SCORERS[0]] if alone else surprise}


score = scored_by(judge)
