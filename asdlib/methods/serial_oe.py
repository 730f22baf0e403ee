r"""Is this my type, and which machine of it: Serial-OE, with outliers of other types.

Kuroyanagi, Hayashi, Takeda and Toda, "Serial-OE: Anomalous sound detection based on
serial method with outlier exposure capable of using small amounts of anomalous data for
training", 2025, arXiv 2505.18982. A network for each machine type learns from the
length of its embedding z whether a clip is of the type at all, with clips of the other
types as pretended anomalies, and from its direction which machine it is. The density of
a machine's embeddings gives the score.

.. math:: L = BCE(\alpha |z|^2 / d + \beta, \text{own type?})
          + 10 \, BCE(W z, \text{which machine?})

An outlier's type loss pulls z straight to the origin. Half of a batch are outliers;
they are no machine (all targets 0), which counts only where a batch is mixed: with the
probability p of :func:`mixing`, which rises from 0 to 1 in the first half of the
training, each clip and its labels are mixed with another's.

Essential: the type loss by length, the loss of the machine, the outliers, the density.
Faithful in these: the authors' code was read. Our choices: small encoders (of sound,
MobileFaceNet on the log-mel alone) in the place of a pretrained EfficientNet, z without
further layers, a density of all known clips instead of a sixth held out, of embeddings
that are the mean over a clip's pieces, with few components and a ridge; and that of the
outliers an eighth are real anomalies where there are any. No published figures were
reached by us.

Its point are few real anomalies: :func:`train` takes the clips that are known to be
faulty as ``anomalies``, and ``benchmarks/serial_oe.py`` compares none, one and four of
each machine (``data/results/serial_oe_modspec.json``).
"""

import math
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.judge.scorers import Fitted, Scorer, knn_score, mahalanobis_score
from asdlib.judge.scorers import fitted as fitted_once
from asdlib.learn.batches import batch_of, plan_batches
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, scored_by
from asdlib.methods._mixing import blended, gathered
from asdlib.methods._serial import SerialNetworks, TypeNetwork
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips

NAME = "serial outlier exposure (Serial-OE)"
PAPER = "Kuroyanagi et al., 2025, arXiv 2505.18982"
IDEA = "own type or another, then which machine, and a density of what is learned"
INPUTS = ("sound", "spectra")
SCORERS = ("density", "type", "id", "knn", "mahalanobis")
BUDGET = StageConfig(12, 16, learning_rate=1e-3, cosine_from=0)
COST = 105.0
ID_WEIGHT = 10.0
BETA = 0.2  # of the shares of a mixture
REAL = 1 / 8  # share of the outliers that are real anomalies, where there are any
COMPONENTS, CLIPS_EACH, RIDGE = 4, 200, 0.1  # of a density; in mean variances


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    anomalies: Clips | None = None,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> SerialNetworks:
    """Train a network for each machine type, each with outliers of the others.

    An epoch sees each clip of the type once, with as many outliers. ``encoder`` is a
    config of :data:`asdlib.learn.encoders.ENCODERS` (None: the small one for these
    inputs, of sound without the waveform), which sees ``window`` seconds of a clip at a
    time (None: all). ``anomalies`` are clips of known faults: those of its own type are
    outliers to a network, too. Raises :class:`AsdError` for clips of a single type.
    """
    check_kind(clips, NAME, INPUTS)
    task = Task.of(clips, encoder=encoder, window=window, seed=seed)
    if len(task.types) < 2:
        raise AsdError(
            f"all clips are of the type {task.types[0]}: what is learned from are "
            "clips of other types, so give two types or more, or choose another method"
        )
    model = untrained(task)
    for network, (name, own) in zip(model.networks, clips.by_type(), strict=True):
        outliers = [clips.only(clips.types != name)]
        if anomalies is not None and (anomalies.types == name).any():
            outliers.append(anomalies.only(anomalies.types == name))
        plan = plan_batches(own.labels, budget, validation=validation, seed=seed)
        parts = budget.epochs * plan.steps * budget.accumulation_steps
        fit(
            network,
            partial(serial_objective, outliers=outliers, parts=parts),
            own,
            budget,
            stage=f"serial {name}",
            seed=seed,
            device=device,
            validation=validation,
            folder=folder and folder / name,
            on_step=on_step,
        )
    return model.eval()


def untrained(task: Task) -> SerialNetworks:
    """The networks before any training."""
    return SerialNetworks(task)


def mixing(done: float) -> float:
    """How probable a mixed batch is when the share ``done`` of the training is.

    >>> [round(mixing(share), 3) for share in (0, 0.25, 0.5, 1)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return 0.5 * (1 - math.cos(min(math.pi, 2 * math.pi * done)))


def serial_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    outliers: list[Clips],
    parts: int,
) -> Tensor:
    """The loss of a batch, a scalar, of inputs, each (B, ...), and of labels (B,).

    As many ``outliers`` join it: of each of the lists :data:`REAL`, of the first the
    rest. ``parts`` are those of the whole training. In evaluation mode nothing is
    mixed. Several processes do what one would.
    """
    if model.training:
        common, own, every, wholes = gathered(rng, labels, *inputs)
        mixed = common.uniform() < mixing(int(cast(Tensor, model.done)) / parts)
        cast(Tensor, model.done).add_(1)
    else:
        common, own, every, wholes = rng, slice(None), labels, list(inputs)
        mixed = False
    others = drawn(outliers, len(every), common, labels.device)
    wholes = [torch.cat(pair) for pair in zip(wholes, others, strict=True)]
    places = torch.arange(len(every), device=labels.device)[own]
    places = torch.cat([places, places + len(every)])
    machines = cast(nn.Linear, model.machine).out_features
    which = F.one_hot(every, machines).float()
    which = torch.cat([which, torch.zeros_like(which)])
    given = [whole[places] for whole in wholes]
    if not mixed:
        type_logit, logits = model(*given)
        count = len(labels)  # outliers are behind
        return loss_of(
            type_logit, logits[:count], which[places][:count], places < len(every)
        )
    partner = torch.from_numpy(common.permutation(len(which))).to(labels.device)
    share = common.beta(BETA, BETA, len(which)).astype(np.float32)
    kept = torch.from_numpy(share).to(labels.device)
    target = torch.cat([which.new_ones(len(every)), which.new_zeros(len(every))])
    which = torch.lerp(which[partner], which, kept[:, None])
    target = torch.lerp(target[partner], target, kept)
    type_logit, logits = model(*blended(given, wholes, partner[places], kept[places]))
    return loss_of(type_logit, logits, which[places], target[places])


def loss_of(
    type_logit: Tensor, logits: Tensor, which: Tensor, target: Tensor
) -> Tensor:
    """The loss, a scalar: is it of the type (B,), and which machine (n, machines)."""
    of_type = F.binary_cross_entropy_with_logits(type_logit, target.float())
    return of_type + ID_WEIGHT * F.binary_cross_entropy_with_logits(logits, which)


def drawn(
    outliers: list[Clips], count: int, rng: np.random.Generator, device: torch.device
) -> list[Tensor]:
    """``count`` of the outliers: each input (count, ...)."""
    first, *real = outliers
    each = max(1, round(REAL * count)) if real else 0
    parts = [(first, count - each * len(real)), *((some, each) for some in real)]
    found = [
        batch_of(some, rng.integers(0, len(some), n), device)[0] for some, n in parts
    ]
    return [torch.cat(part) for part in zip(*found, strict=True)]


def fit_density(known: np.ndarray) -> Fitted:
    """-log density of rows (M, d) → (M,): a mixture of Gaussians of ``known`` (N, d).

    Of full covariances with a ridge, a component for every 200 clips, four at most.
    """
    from sklearn.mixture import GaussianMixture

    known = np.asarray(known, np.float64)
    ridge = RIDGE * known.var(axis=0).mean() + 1e-6
    components = min(COMPONENTS, max(1, len(known) // CLIPS_EACH))
    mixture = GaussianMixture(components, reg_covar=ridge, random_state=0)
    # scikit-learn wants two rows at least
    mixture.fit(known if len(known) > 1 else np.repeat(known, 2, axis=0))
    return lambda asked: -mixture.score_samples(np.asarray(asked, np.float64))


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The density of the ``known`` clips (N, dim), in the network of their type.

    "type" is its doubt that a clip is of the type at all, "id" -log p(own machine).
    """
    assert isinstance(model, SerialNetworks)
    machine = model.machines[label]
    name = machine.split("/")[0]
    place, own = model.types.index(name), model.machines_of(name).index(machine)
    network = cast(TypeNetwork, model.networks[place])

    def embedding(rows: np.ndarray) -> np.ndarray:
        return rows[:, place * model.dim : (place + 1) * model.dim].astype(np.float64)

    @cache
    def fitted() -> Fitted:
        return fit_density(embedding(known))

    def doubt(rows: np.ndarray) -> np.ndarray:
        length = np.square(embedding(rows)).sum(axis=1) / model.dim
        return -(network.alpha.item() * length + network.beta.item())

    def surprise(rows: np.ndarray) -> np.ndarray:
        weight = network.machine.weight[own].detach().numpy().astype(np.float64)
        return np.logaddexp(0, -(embedding(rows) @ weight))

    def distance(scorer: Scorer) -> Fitted:
        once = fitted_once(scorer, embedding(known))
        return lambda rows: once(embedding(rows))

    return {
        "density": lambda rows: fitted()(embedding(rows)),
        "type": doubt,
        "id": surprise,
        "knn": distance(knn_score),
        "mahalanobis": distance(mahalanobis_score),
    }


score = scored_by(judge)
