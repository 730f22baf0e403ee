r"""Neighbours told apart by their hours, and heard while they run: separation by
activity.

Lee, Kim and Ok, arXiv 2409.01885, 2024 (code name SSAD). Machines of one type that
stand side by side cannot be told apart in a recording of both, but the plant knows when
each of them runs. That activity steers a separator; an autoencoder then sees, and is
judged by, the times only at which the machine was on:

.. math:: \text{score} = \mathrm{mean}\big(((v - f(v m))\, m)^2\big) / \mathrm{mean}(m)

Here v are stacks of five log-mel frames in dB of the separated sound and m the mask, 1
where the machine runs. The mask stands on decibels: what is off is 0 dB to f, which is
no silence, and does not count.

Essential: the activity goes into the separator twice; masked are the input and the
score. Faithful to the authors' code in what the separator is told and where, its two
losses, the masked input and the score. Our choices: small networks; mixtures of two
machines, silent outside of hours that are drawn (theirs are whole recordings of two to
four, and hours are found in the loudness of the clean sounds); one separator for all
types, whose sources share their layers (theirs, X-UMX, has layers for each machine), so
that the hours are all that tells them apart; it reads logarithms of magnitudes, and no
batch norm stands behind its last layer; the spectral loss is that of the sounds put
together again; no disguises; the wider autoencoder of
:mod:`asdlib.methods.autoencoder`, a network a type (theirs: a machine), which learns
from clips alone, too, for half of the epochs (theirs: one).

Hours come with mixtures: :func:`guided_errors` takes them. Of a clip that comes
without, as all do in a folder of recordings, the machine is taken to be alone and on
throughout. "plain" is the same autoencoder without separator and mask. It reads sound
only: spectra of modulations have no time in which a machine could be off. The paper's
figures were not reached by us.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.device import find_device, seeded
from asdlib.errors import AsdError
from asdlib.learn.batches import batch_of
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._separator import (
    Separator,
    drawn_hours,
    mixture_of,
    partners_of,
    separation_objective,
)
from asdlib.methods.autoencoder import CONTEXT, FrameAutoencoder
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig, log_mel

NAME = "separation by activity (SSAD)"
PAPER = "Lee, Kim and Ok, 2024, arXiv 2409.01885"
IDEA = "neighbours are told apart by their hours, and judged while they run"
INPUTS = ("sound",)
ONLY = "spectra have no time in which a machine could be off"
SCORERS = ("guided", "plain")
BUDGET = StageConfig(14, 64, learning_rate=1e-3, cosine_from=0)
COST = 150.0
CLIPS = 8  # in a batch of the autoencoders: as many stacks as the challenge's has


class ActivityGuided(nn.Module):
    """A separator, and an autoencoder for each machine type, in the order of ``types``.

    ``embed(waveform, log_mel)`` → how badly each of them rebuilds a clip: as the
    separator gives it for a machine alone, and as it is, (B, 2 * types).
    """

    def __init__(self, task: Task):
        super().__init__()
        assert task.features is not None
        self.features, self.machines = task.features, task.machines
        self.types, self.classes = task.types, len(task.machines)
        self.embedding_dim = 2 * len(self.types)
        with seeded(task.seed, "separator"):
            self.separator = Separator(task.features)
        width, networks = CONTEXT * task.features.n_mels, []
        for name in self.types:
            with seeded(task.seed, f"masked {name}"):
                networks.append(FrameAutoencoder(width))
        self.networks = nn.ModuleList(networks)

    def embed(self, *inputs: Tensor) -> Tensor:
        wave, mels = inputs
        hours = alone(len(wave), mels.shape[2]).to(wave)
        guided = guided_errors(self, wave, hours)[:, 0]
        return torch.cat([guided, self.errors(mels, hours[:, 0])], dim=1)

    def errors(self, log_mels: Tensor, mask: Tensor) -> Tensor:
        """How badly each network rebuilds what ``mask`` (B, frames) shows: (B, types).

        Of ``log_mels`` (B, mels, frames) in dB.
        """
        found = [masked_errors(network, log_mels, mask) for network in self.networks]
        return torch.stack(found, dim=1)


def alone(count: int, frames: int) -> Tensor:
    """Hours (count, 2, frames): a machine that is on throughout, one that is off."""
    return torch.tensor([1.0, 0.0])[None, :, None].repeat(count, 1, frames)


def guided_errors(
    model: ActivityGuided, mixtures: Tensor, hours: Tensor, *, masked: bool = True
) -> Tensor:
    """How badly each type's network rebuilds each sound of a mixture: (B, S, types).

    ``mixtures`` (B, samples) in ±1, ``hours`` (B, S, frames), 1 where a source is on;
    where it never is, the error is 0. Not ``masked``, all of what the separator gives
    is judged.
    """
    sounds = model.separator(mixtures, hours)
    mels = log_mel(sounds.flatten(0, 1).cpu(), model.features).to(mixtures)
    mask = hours.flatten(0, 1)
    errors = model.errors(mels, mask if masked else torch.ones_like(mask))
    return errors.view(*hours.shape[:2], -1)


def masked_errors(network: nn.Module, log_mels: Tensor, mask: Tensor) -> Tensor:
    """The mean squared error of a network where ``mask`` (B, frames) is 1: (B,).

    Of ``log_mels`` (B, mels, frames), five frames at a time; what is masked is neither
    seen nor counted.
    """
    shown = stacked(log_mels * mask[:, None])
    counted = stacked(mask[:, None].expand_as(log_mels))
    # Also stacks that are all masked: as many rows for the norms in every process.
    off = (network(shown.flatten(0, 1)).view_as(shown) - shown).square()
    total = (off * counted).sum(dim=(1, 2))
    return total / counted.sum(dim=(1, 2)).clamp(min=1)


def stacked(pictures: Tensor) -> Tensor:
    """Every five consecutive frames as one row: (B, bands, frames) → (B, frames - 4,
    5 · bands)."""
    return pictures.unfold(2, CONTEXT, 1).permute(0, 2, 3, 1).flatten(2)


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> ActivityGuided:
    """Train the separator, then the autoencoders on what it gives.

    Each has half of the epochs of ``budget``, of one epoch all. An epoch of the
    separator mixes each clip once with another, as a rule of another machine of its
    type; the autoencoders learn from a mixture with each clip and from the clip alone.
    Their batches hold :data:`CLIPS` clips. Raises :class:`AsdError` for clips of fewer
    than five frames.
    """
    check_kind(clips, NAME, INPUTS)
    model = untrained(Task.of(clips, seed=seed))
    assert clips.features is not None
    half = budget.of(max(1, budget.epochs // 2))
    types = [name.split("/")[0] for name in model.machines]
    waves = Clips(clips.inputs[:1], clips.machines, clips.features)
    fit(
        model.separator,
        partial(separation_objective, types=types, frames=clips.features.frames),
        waves,
        half,
        stage="separator",
        seed=seed,
        device=device,
        validation=validation,
        folder=folder and folder / "separator",
        on_step=on_step,
    )
    heard = separated(model.separator, waves, types, seed=seed, device=device)
    rest = replace(half, batch_size=CLIPS, accumulation_steps=1, clips_per_label=None)
    for network, (name, own) in zip(model.networks, heard.by_type(), strict=True):
        fit(
            network,
            masked_objective,
            own,
            rest,
            stage=f"masked {name}",
            seed=seed,
            device=device,
            validation=validation,
            folder=folder and folder / name,
            on_step=on_step,
        )
    return model.eval()


@torch.no_grad()
def separated(
    separator: nn.Module, waves: Clips, types: list[str], *, seed: int, device: str
) -> Clips:
    """Each clip of ``waves`` out of a mixture, and then each alone, by the separator.

    As log-mels (2N, mels, frames) in dB, in 16 bits, and masks (2N, frames).
    """
    place, rng = find_device(device), np.random.default_rng([seed, 23])
    features = cast(FeatureConfig, waves.features)
    partner = partners_of(waves.labels, types, rng)
    hours = torch.from_numpy(drawn_hours(rng, len(waves), features.frames))
    hours = torch.cat([hours, alone(len(waves), features.frames)])
    separator.eval().to(place)
    mels = []
    for rows in np.array_split(np.arange(2 * len(waves)), -(-2 * len(waves) // 32)):
        places = rows % len(waves)
        pairs = [batch_of(waves, i, place)[0][0] for i in (places, partner[places])]
        own = hours[rows].to(place)
        mixture, _ = mixture_of(torch.stack(pairs, dim=1), own)
        mels.append(log_mel(separator(mixture, own)[:, 0].cpu(), features).half())
    separator.cpu()
    inputs = torch.cat(mels).numpy(), hours[:, 0].numpy()
    return Clips(inputs, np.tile(waves.machines, 2))


def masked_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """The mean error of rebuilding what masks show, as ``fit`` calls it: a scalar.

    Of log-mels (B, mels, frames) and masks (B, frames).
    """
    return masked_errors(model, *inputs).mean()


def untrained(task: Task) -> ActivityGuided:
    """The networks before any training.

    Raises :class:`AsdError` for clips of fewer than five frames.
    """
    assert task.features is not None
    if task.features.frames < CONTEXT:
        raise AsdError(
            f"clips of {task.features.frames} frames are too short: "
            f"the network reads {CONTEXT} at a time"
        )
    return ActivityGuided(task)


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The errors of the network of the machine's own type, in rows (M, 2 * types).

    Those that are ``known`` (N, 2 * types) are not needed.
    """
    assert isinstance(model, ActivityGuided)
    place = model.types.index(model.machines[label].split("/")[0])
    places = {"guided": place, "plain": len(model.types) + place}
    return {name: partial(_column, place=where) for name, where in places.items()}


def _column(rows: np.ndarray, *, place: int) -> np.ndarray:
    return np.asarray(rows[:, place], np.float64)


score = scored_by(judge)
