"""Which channels of a network can only go together.

A channel that a convolution or a dense layer makes goes through norms and activations
to the layers that read it, and where two ways meet in a sum, a channel of the one is
tied to one of the other. Followed along the graph of a network
(:mod:`asdlib.learn.tracing`), channels fall into classes, which stay or go as one. What
is not known to make silence of silence ties the channels that it reads down: they stay.
"""

from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from asdlib.learn.tracing import name_of

FIXED = -1  # of no class: it stays
# What makes silence of silence, each channel by itself.
QUIET = {
    "relu", "tanh", "abs", "square", "contiguous", "clone", "ReLU", "LeakyReLU", "ELU",
    "Tanh", "Identity", "Dropout", "MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d",
}  # fmt: skip
OVER = {"amax", "mean", "sum"}  # some of the axes
Conv = nn.Conv1d | nn.Conv2d
Norm = nn.BatchNorm1d | nn.BatchNorm2d


class Channels:
    """The classes of the channels of ``network``, whose ``graph`` is given.

    ``rows`` and ``columns`` are, for each layer by name, those along the first and the
    second axis of its weights, (channels,); ``makers`` the layers that make channels,
    in the order of the graph. ``of`` is, for each step, the class of each place along
    axis 1 of what it comes to; empty where there is no such axis.
    """

    def __init__(self, network: nn.Module, graph: fx.Graph):
        self.network = network
        self.parent: list[int] = []  # of each class, one that it is tied to, or itself
        self.rows: dict[str, np.ndarray] = {}
        self.columns: dict[str, np.ndarray] = {}
        self.makers: list[str] = []
        self.of: dict[fx.Node, np.ndarray] = {}
        for node in graph.nodes:
            if node.op == "output":
                for x in node.all_input_nodes:
                    self.fix(self.of[x])
            else:
                self.of[node] = self.passed(node)
        places: list[dict[Any, np.ndarray]] = [self.rows, self.columns, self.of]
        for found in places:
            found |= {key: self.found(some) for key, some in found.items()}

    def passed(self, node: fx.Node) -> np.ndarray:
        """The classes along axis 1 of what ``node`` makes: (width,).

        Classes of what it reads are tied as need be.
        """
        read = [self.of[x] for x in node.all_input_nodes]
        found = None
        if node.op == "call_module":
            layer = str(node.target)
            found = self.through(layer, self.network.get_submodule(layer), node, read)
        if found is None and node.op.startswith("call"):
            found = self.past(node, read)
        if found is None:
            for some in read:
                self.fix(some)
            found = np.full(_width(node), FIXED)
        return found

    def through(
        self, layer: str, module: nn.Module, node: fx.Node, read: list[np.ndarray]
    ) -> np.ndarray | None:
        """As :meth:`passed`, of a layer with weights; None of any other."""
        if isinstance(module, Conv) and module.groups == 1:
            return self.made(layer, module.out_channels, read[0])
        if isinstance(module, nn.Linear) and node.meta["value"].dim() == 2:
            return self.made(layer, module.out_features, read[0])
        one_by_one = isinstance(module, Conv) and (
            module.groups == module.in_channels == module.out_channels
        )
        if one_by_one or isinstance(module, Norm):
            return self.noted(self.rows, layer, read[0])
        if isinstance(module, nn.PReLU):
            many = len(module.weight) > 1
            return self.noted(self.rows, layer, read[0]) if many else read[0]
        return None

    def past(self, node: fx.Node, read: list[np.ndarray]) -> np.ndarray | None:
        """As :meth:`passed`, of a step without weights; None of what is not known."""
        name, sources = name_of(self.network, node), node.all_input_nodes
        if name in QUIET and len(read) == 1:
            return read[0]
        if name in OVER and all(axis >= 2 for axis in _axes(node)):
            return read[0]
        if name in ("flatten", "Flatten") and _width(node) and len(read[0]):
            shapes = [x.meta["value"].shape for x in (node, *sources)]
            if len(shapes[0]) == 2 and shapes[0][0] == shapes[1][0]:
                return np.repeat(read[0], _width(node) // len(read[0]))
        if name in ("add", "iadd") and len(sources) == 2:
            one, other = (x.meta["value"].shape for x in sources)
            if one == other:
                self.tie(*read)
                return read[0]
        if name == "cat" and _axes(node) == [1]:
            parts: Any = node.args[0]
            return np.concatenate([self.of[x] for x in parts])
        return None

    def made(self, layer: str, count: int, read: np.ndarray) -> np.ndarray:
        """New classes (count,), of a layer that reads channels (n,)."""
        self.noted(self.columns, layer, read)
        if layer not in self.makers:
            self.makers.append(layer)
            self.rows[layer] = np.arange(count) + len(self.parent)
            self.parent += self.rows[layer].tolist()
        return self.rows[layer]

    def noted(
        self, places: dict[str, np.ndarray], layer: str, some: np.ndarray
    ) -> np.ndarray:
        """Classes (n,) that a layer has in its weights; the same at its every use."""
        if layer in places:
            self.tie(places[layer], some)
        return places.setdefault(layer, some)

    def tie(self, some: np.ndarray, others: np.ndarray) -> None:
        """Let classes (n,) stay or go as other classes (n,) do."""
        for pair in zip(some.tolist(), others.tolist(), strict=True):
            low, high = sorted(map(self.root, pair))
            if low != high:
                self.parent[high] = low

    def fix(self, some: np.ndarray) -> None:
        """Let classes (n,) stay."""
        self.tie(some, np.full_like(some, FIXED))

    def root(self, x: int) -> int:
        """The class that stands for all that ``x`` is tied to."""
        while x != FIXED and self.parent[x] != x:
            x = self.parent[x]
        return x

    def found(self, some: np.ndarray) -> np.ndarray:
        """The classes that stand for ``some`` (n,): (n,)."""
        return np.array([self.root(x) for x in some.tolist()], int)


def _width(node: fx.Node) -> int:
    """The size of axis 1 of what a step comes to; 0 where it has none."""
    value = node.meta["value"]
    return value.shape[1] if isinstance(value, Tensor) and value.dim() > 1 else 0


def _axes(node: fx.Node) -> list[int]:
    """The axes that a step is told to go over; the first where it is told none."""
    told: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    source = node.all_input_nodes[0].meta["value"]
    axes = told if isinstance(told, tuple | list) else [told]
    return [axis % source.dim() for axis in axes]
