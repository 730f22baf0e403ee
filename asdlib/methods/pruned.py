r"""A network cut down to a limit of memory: memory-oriented structural pruning.

After Yang, Lo, Tsai and Wu, "MOSP", APCCAS 2024, merged into "An Efficient Anomalous
Sound Detection System for Microcontrollers", Sensors 2024, 24(23), 7478: of both we
have read the outline only. On a microcontroller it is not the weights that do not fit,
it is what is alive between two layers. An agent chooses what share of its channels each
layer loses; the memory sets the least:

.. math:: s_t = \min(s_\max, \max(s_t^\min(B), s_t^{agent}))

Here B is the limit, and :math:`s_t^\min` the least share with which all that is in
memory while layer t works is no more than B bytes in 8 bits, given what is left of the
layers before it. (The equation is our reading. The outline has one more term, a first
share by a method that it cites and that we have not seen; it is left out.)

Essential: a limit on activations, whole channels, a share for each layer that is
learned. Ours is everything else, as it was not to be read: what is tied together by the
graph counts as a layer, the weakest filters (L1) go first, and the agent, which learns
by reinforcement there, is a cross-entropy search, which asks how far the embeddings of
healthy clips, held out, have moved from those of the whole network. What is left takes
its batch norms' statistics anew before it is judged; without, every draw looks as bad
as the next. In the end it is trained on to give the embeddings of the whole. No label
is needed for any of this, so
:func:`prune` cuts down networks of convolutions and dense layers that embed clips;
where there is nothing of that kind to cut, it refuses. The method itself does it to the
single-stage classifier of :mod:`asdlib.methods.clp_scf`. No figure was published that
we could reach.
"""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.errors import AsdError
from asdlib.judge.scorers import scorer_names
from asdlib.learn.batches import hold_out
from asdlib.learn.pieces import Pieces
from asdlib.learn.pruning import Plan, plan_of
from asdlib.learn.slimming import heard, slimmed, widened
from asdlib.learn.tracing import Embedding
from asdlib.learn.training import StageConfig, fit
from asdlib.methods import Judges, Task, check_kind, clp_scf, embedded, scored_by
from asdlib.methods._draws import Draws, embedding, searched
from asdlib.progress import OnStep, silent
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig

NAME = "pruned under a limit of memory (after MOSP)"
PAPER = "after Yang et al., APCCAS 2024; Sensors 2024, 24(23), 7478"
IDEA = "a trained network loses the channels that do not fit into a small memory"
INPUTS = ("sound", "spectra")
SCORERS = scorer_names()
BUDGET = StageConfig(16, 64, learning_rate=1e-3, cosine_from=0)
COST = 150.0
# Of the epochs are for the whole network, the rest for what is left; all, if all is.
WHOLE = 0.75
HELD = 0.1  # share of a machine's clips by which draws are judged
SHARE = 0.5  # of the whole network's memory, where no limit is given


def train(
    clips: Clips,
    *,
    budget: StageConfig,
    encoder: Any = None,
    window: float | None = None,
    limit: float | None = None,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> nn.Module:
    """Train a classifier of the machines of ``clips``, and :func:`prune` it.

    A tenth of the clips is kept out of all training, to judge draws by; of few clips,
    those of the training judge. ``encoder`` is a config of
    :data:`asdlib.learn.encoders.ENCODERS` (None: the small one for these inputs), which
    sees ``window`` seconds of a clip at a time (None: all). ``limit`` is in bytes, as
    in :func:`prune`, and refused like there.
    """
    check_kind(clips, NAME, INPUTS)
    learned, held = hold_out(clips.labels, HELD, seed=seed)
    options: dict[str, Any] = {
        "seed": seed,
        "device": device,
        "validation": validation,
        "on_step": on_step,
    }
    with seeded(seed, "plan"):  # of a network that is not trained: sizes are all alike
        begun = untrained(Task.of(clips, encoder=encoder, window=window))
    plan = plan_of(begun, example(begun, clips.features, clips.inputs[0].shape[1:]))
    fits = limit_of(plan, limit) >= plan.peak()
    plan.within(np.zeros(len(plan.groups)), limit_of(plan, limit))  # or it is refused
    first = budget.epochs if fits else max(1, round(WHOLE * budget.epochs))
    whole = clp_scf.train(
        clips.only(learned),
        variant="single_stage",
        budget=budget.of(first),
        encoder=encoder,
        window=window,
        folder=folder and folder / "whole",
        **options,
    )
    left = budget.epochs - first
    return prune(
        whole,
        clips.only(learned),
        judged=clips.only(held if len(held) else learned),
        limit=limit,
        budget=budget.of(left) if left else None,
        generations=max(1, budget.epochs // 3),
        folder=folder and folder / "pruned",
        **options,
    )


def prune(
    model: nn.Module,
    clips: Clips,
    *,
    judged: Clips,
    budget: StageConfig | None,
    limit: float | None = None,
    generations: int = 5,
    seed: int = 0,
    device: str = "auto",
    validation: float = 0.0,
    folder: Path | None = None,
    on_step: OnStep = silent,
) -> nn.Module:
    """A copy of ``model`` that ``limit`` bytes of activations are enough for.

    ``model`` is any that has learned from ``clips`` and has an ``embed``; the copy has
    the same shape, and zeros in the place of what went (:func:`small` is without).
    ``limit`` counts activations in 8 bits (None: half of what the whole takes, or the
    least that can be). ``generations`` of draws are judged by ``judged``, normal clips;
    the mean of the good ones is trained as ``budget`` says (None: not at all). Raises
    :class:`AsdError` for a network that cannot be followed, or of which nothing can go,
    and for a limit that cannot be kept.
    """
    plan = plan_of(model, example(model, clips.features, clips.inputs[0].shape[1:]))
    if not plan.groups:
        raise AsdError(
            "nothing of this network can go: there are no convolutions or dense layers "
            "on the way to its embedding"
        )
    limit = limit_of(plan, limit)
    draws = Draws(model, plan, clips, judged, seed=seed, device=device)
    rng = np.random.default_rng([seed, 13])
    kept = searched(plan, limit, draws.loss, generations=generations, rng=rng)
    if (kept == plan.counts).all():  # there is room for all
        return deepcopy(model).eval()
    left = draws.left(kept).cpu()
    if budget is not None:
        keep_only_embedding(left, draws.asked[0])
        targets, _ = embedded(model, clips, device=device)
        fit(
            Embedding(left),
            partial(matching_objective, scale=draws.scale),
            Clips((*clips.inputs, targets), clips.machines, clips.features),
            budget,
            stage="pruned",
            seed=seed,
            device=device,
            validation=validation,
            folder=folder,
            on_step=on_step,
        )
    return widened(left, model, plan, draws.stay(kept)).eval()


def limit_of(plan: Plan, limit: float | None) -> float:
    """The limit in bytes; where it is None, half of what the whole takes, or the least
    that can be."""
    least = max(plan.peak(plan.fewest), SHARE * plan.peak())
    return least if limit is None else limit


def small(
    model: nn.Module, features: FeatureConfig | None, shape: tuple[int, ...] = ()
) -> nn.Module:
    """``model`` without the channels of which nothing is heard.

    Of sound; of spectra where ``shape`` is that of their inputs.
    """
    plan = plan_of(model, example(model, features, shape))
    return slimmed(model, plan, heard(model, plan))


def in_use(model: nn.Module, clips: Clips) -> nn.Module:
    """:func:`small`, whatever ``clips`` are of."""
    return small(model, clips.features, clips.inputs[0].shape[1:])


def example(
    model: nn.Module, features: FeatureConfig | None, shape: tuple[int, ...] = ()
) -> tuple[Tensor, ...]:
    """Silence, as long as ``model`` looks at a time: inputs, each (1, ...).

    Of sound; of spectra zeros of ``shape``.
    """
    if features is None:
        return (torch.zeros(1, *shape),)
    for module in model.modules():
        if isinstance(module, Pieces):
            features = module.piece
    mels = torch.zeros(1, features.n_mels, features.frames)
    return torch.zeros(1, features.samples), mels


def keep_only_embedding(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Make constants, in place, of the weights that ``model.embed`` does not use.

    By ``inputs``, each (B, ...). There is no gradient by which they could learn.
    """
    trial = deepcopy(model).eval()
    embedding(trial, *(x[:1].cpu() for x in inputs)).sum().backward()
    for name, weight in trial.named_parameters():
        if weight.grad is None:
            layer, _, own = name.rpartition(".")
            module = model.get_submodule(layer)
            value = module._parameters.pop(own)
            assert value is not None
            module.register_buffer(own, value.detach())


def matching_objective(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    rng: np.random.Generator,
    *,
    scale: float,
) -> Tensor:
    """How far embeddings are from those of the whole network, squared: a scalar.

    As ``fit`` calls it, in units of ``scale``, of inputs, each (B, ...), and last those
    embeddings (B, dim); the labels (B,) are not looked at.
    """
    *given, target = inputs
    return (model(*given) - target).square().sum(dim=1).mean() / scale


def untrained(task: Task) -> nn.Module:
    """The whole classifier before any training."""
    return clp_scf.untrained(task, variant="single_stage")


def judge(model: nn.Module, known: np.ndarray, label: int) -> Judges:
    """The surprise at embeddings, and their distances to ``known`` (N, dim)."""
    return clp_scf.judge(model, known, label)


score = scored_by(judge)
