"""How many channels of a network fit into a limit of memory, and which.

Channels that the same layers make (:mod:`asdlib.learn.channels`) form a group, which
has one number to be chosen: how many of them stay. At each step of the network the
memory alive (:func:`asdlib.learn.tracing.kept_alive`) is a sum over the groups, so that
a limit can be kept without building anything.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.learn.channels import FIXED, Channels, Conv
from asdlib.learn.tracing import Embedding, kept_alive, numbers_in, traced

MOST = 0.875  # of the channels of a group may go
# Of many channels multiples of so many stay: others are slow in oneDNN, and a 1×1
# convolution that skips places writes beyond its memory there, where it has 4 of them
# (PyTorch 2.13).
STEP, MANY = 8, 24


@dataclass(frozen=True)
class Group:
    """Channels among which some are to be chosen.

    ``classes`` (n,) are the numbers of their classes, ``makers`` the names of the
    layers that make them. So many stay as are a multiple of ``step``, and not fewer
    than ``fewest``.
    """

    classes: np.ndarray
    makers: tuple[str, ...]
    step: int
    fewest: int


@dataclass(frozen=True)
class Plan:
    """A network's ``groups``, and what is in memory at each of its M steps.

    ``rows`` and ``columns`` are, for each layer by name, the classes along the first
    and the second axis of its weights, (channels,). Where ``kept`` (groups,) channels
    stay, there are ``fixed`` + ``each`` @ kept numbers in memory, of shapes (M,) and
    (M, groups): so many bytes in 8 bits, as on a microcontroller.
    """

    groups: tuple[Group, ...]
    rows: dict[str, np.ndarray]
    columns: dict[str, np.ndarray]
    fixed: np.ndarray
    each: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """How many channels the groups have: (groups,)."""
        return np.array([len(group.classes) for group in self.groups], int)

    @property
    def fewest(self) -> np.ndarray:
        """How many channels of the groups stay at least: (groups,)."""
        return np.array([group.fewest for group in self.groups], int)

    def peak(self, kept: np.ndarray | None = None) -> int:
        """Bytes in 8 bits at the fullest step, where ``kept`` (groups,) channels stay
        (None: all)."""
        kept = self.counts if kept is None else kept
        return round(float((self.fixed + self.each @ kept).max()))

    def least_share(self, group: int, kept: np.ndarray, limit: float) -> float:
        """The least share of a group's channels that must go for ``limit`` bytes.

        ``kept`` (groups,) are those that stay in the others.
        """
        here, count = self.groups[group], len(self.groups[group].classes)
        others = kept.copy()
        others[group] = 0
        uses = self.each[:, group] > 0
        left = limit - (self.fixed + self.each @ others)[uses]
        room = np.min(left / self.each[uses, group], initial=count)
        steps = max(0, int((room + 1e-6) // here.step))
        return 1 - steps * here.step / count

    def within(self, shares: np.ndarray, limit: float) -> np.ndarray:
        """How many channels of each group stay: (groups,).

        From the first group to the last ``shares`` (groups,) of them go, or as many
        more as must go for ``limit`` bytes, even if of the groups behind only the
        fewest stay. Raises :class:`AsdError` where not even the
        fewest fit.
        """
        if self.peak(self.fewest) > limit:
            raise AsdError(
                f"a limit of {limit:.0f} bytes cannot be kept: with the fewest channels"
                f" there are {self.peak(self.fewest)} in memory, so give that many"
            )
        kept = self.fewest
        for i in range(len(self.groups)):
            share = max(float(shares[i]), self.least_share(i, kept, limit))
            kept[i] = self.left(i, share)
        return kept

    def left(self, group: int, share: float) -> int:
        """How many channels of a group stay where a ``share`` of them goes."""
        here = self.groups[group]
        steps = round((1 - share) * len(here.classes) / here.step)
        return max(here.fewest, steps * here.step)


def plan_of(model: nn.Module, inputs: tuple[Tensor, ...]) -> Plan:
    """The channels of ``model.embed`` that may go, for ``inputs``, each (1, ...).

    Raises :class:`AsdError` for a network that cannot be followed (:func:`traced`).
    """
    network = Embedding(model)
    graph = traced(network, inputs)
    channels = Channels(network, graph)
    groups = _groups(channels)
    group_of = {
        number: i for i, group in enumerate(groups) for number in group.classes.tolist()
    }
    alive = kept_alive(network, graph)
    fixed, each = np.zeros(len(alive)), np.zeros((len(alive), len(groups)))
    for m, pieces in enumerate(alive):
        for piece in pieces:
            size, owners = numbers_in(piece.meta["value"]), channels.of[piece]
            fixed[m] += size * (np.mean(owners == FIXED) if len(owners) else 1)
            for owner in owners[owners != FIXED].tolist():
                i = group_of[owner]
                each[m, i] += size / len(owners) / len(groups[i].classes)
    return Plan(groups, channels.rows, channels.columns, fixed, each)


def _groups(channels: Channels) -> tuple[Group, ...]:
    """The groups in the order of the graph."""
    made_by: dict[int, list[str]] = {}
    for maker in channels.makers:
        for number in channels.rows[maker].tolist():
            made_by.setdefault(number, []).append(maker)
    made_by.pop(FIXED, None)
    together: dict[tuple[str, ...], list[int]] = {}
    for number, makers in made_by.items():
        together.setdefault(tuple(dict.fromkeys(makers)), []).append(number)
    return tuple(
        Group(np.array(classes), makers, *_steps(channels, classes))
        for makers, classes in together.items()
    )


def _steps(channels: Channels, classes: list[int]) -> tuple[int, int]:
    """In which steps channels may go, and how many stay at least."""
    count = len(classes)
    whole = count % STEP == 0
    step = STEP if whole and count >= MANY else 1
    for layer in channels.makers:
        module = channels.network.get_submodule(layer)
        if not isinstance(module, Conv) or max(module.kernel_size) > 1:
            continue
        touched = {*channels.rows[layer].tolist(), *channels.columns[layer].tolist()}
        if max(module.stride) > 1 and touched.intersection(classes):
            step = STEP if whole else count
    return step, step * -(-round((1 - MOST) * count) // step) or step


# ------------------------------------------------------------------------ which of them


def sizes_of(model: nn.Module, plan: Plan) -> list[np.ndarray]:
    """The L1 norms of the filters of each channel of each group: (n,) each.

    In units of the mean of their layer; where several layers make a channel, the mean
    over them.
    """
    network, found = Embedding(model), []
    for group in plan.groups:
        total = np.zeros(len(group.classes))
        for maker in group.makers:
            weight = network.get_parameter(f"{maker}.weight").detach()
            norms = weight.cpu().double().abs().flatten(1).sum(dim=1).numpy()
            norms /= max(norms.mean(), 1e-12)
            mine = plan.rows[maker][:, None] == group.classes
            total += norms @ mine / mine.sum(axis=0)
        found.append(total / len(group.makers))
    return found


def largest(plan: Plan, sizes: list[np.ndarray], kept: np.ndarray) -> set[int]:
    """The classes that stay, of each group the ``kept`` (groups,) with the largest
    ``sizes``, each (n,)."""
    return {
        number
        for group, size, count in zip(plan.groups, sizes, kept.tolist(), strict=True)
        for number in group.classes[np.argsort(-size, kind="stable")[:count]].tolist()
    }


# ---------------------------------------------------------------- without any searching


def uniform(plan: Plan, limit: float) -> np.ndarray:
    """How many channels of each group stay, where the same share of each goes that is
    in memory when there is too much: (groups,).

    Raises :class:`AsdError` where not even the fewest fit.
    """
    full = plan.fixed + plan.each @ plan.counts > limit
    tight = (plan.each[full] > 0).any(axis=0)
    for share in np.linspace(0, MOST, 141):
        kept = np.array([plan.left(i, share * yes) for i, yes in enumerate(tight)], int)
        if plan.peak(kept) <= limit:
            return kept
    return plan.within(MOST * tight, limit)


def by_magnitude(plan: Plan, sizes: list[np.ndarray], limit: float) -> np.ndarray:
    """How many channels of each group stay, where those with the smallest ``sizes``,
    each (n,), go first, whatever their group: (groups,).

    Raises :class:`AsdError` where not even the fewest fit.
    """
    for threshold in [0.0, *np.unique(np.concatenate(sizes))]:
        shares = [(size < threshold).mean() for size in sizes]
        kept = np.array([plan.left(i, share) for i, share in enumerate(shares)], int)
        if plan.peak(kept) <= limit:
            return kept
    return plan.within(np.full(len(sizes), MOST), limit)
