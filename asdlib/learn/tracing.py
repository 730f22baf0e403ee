"""What a network computes of a clip, step by step, and the memory that it takes.

The steps are a graph of torch.fx. It is drawn while a real clip goes through, so that a
network may ask for the shapes of what it computes and branch by them; what the drawing
holds for is therefore clips of that size.
"""

import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn

from asdlib.errors import AsdError
from asdlib.learn.prelu import PReLU

# What makes no numbers of its own: another look at what is there.
LOOKS = {
    "view", "reshape", "flatten", "transpose", "permute", "unsqueeze", "squeeze",
    "getattr", "expand", "contiguous", "getitem", "chunk", "split", "unbind", "unfold",
    "T", "mT", "detach", "Identity", "Dropout", "Flatten",
}  # fmt: skip
# What may be written over what it is made of, where nobody reads that any more.
IN_PLACE = {
    "relu", "sigmoid", "tanh", "add", "iadd", "sub", "mul", "imul", "truediv", "abs",
    "square", "ReLU", "LeakyReLU", "PReLU", "ELU", "Sigmoid", "Tanh", "BatchNorm1d",
    "BatchNorm2d", "LayerNorm",
}  # fmt: skip


class Embedding(nn.Module):
    """``model.embed`` as a module of its own: (B, ...), of sound twice → (B, dim)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        inputs = (x,) if other is None else (x, other)
        return cast(Callable[..., Tensor], self.model.embed)(*inputs)


class _Known(fx.Proxy):
    """What stands for a value while a graph is drawn, and knows the value."""

    value: Any

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__dict__["value"], name)
        if _is_data(found):
            return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        return super().__getattr__(name) if callable(found) else found

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (operator.getitem(cast(Any, self), i) for i in range(len(self)))


class _Tracer(fx.Tracer):
    """Draws the graph of a module while ``inputs`` go through it."""

    def __init__(self, inputs: tuple[Tensor, ...]):
        super().__init__()
        self.given = iter(inputs)
        self.computing = False  # and not drawing

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        layer = nn.Conv1d | nn.Conv2d | PReLU  # those of our own, too
        return isinstance(m, layer) or super().is_leaf_module(m, module_qualified_name)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        if self.computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        if self.computing:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def create_node(self, kind: str, target: Any, *more: Any, **named: Any) -> fx.Node:
        node = super().create_node(kind, target, *more, **named)
        if kind == "get_attr":
            node.meta["value"] = self.computed(kind, target, (), {})
        return node

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Known(node, self)

    def create_proxy(
        self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **named: Any
    ) -> Any:
        def value_of(x: Any) -> Any:
            return x.value if isinstance(x, _Known) else x

        values = fx.node.map_aggregate((args, kwargs), value_of)
        value = self.computed(kind, target, *cast(Any, values))
        if kind != "output" and not _is_data(value):
            if isinstance(value, np.ndarray | float):
                raise fx.proxy.TraceError(f"{target} leaves the tensors")
            return value  # a size: what comes of it is drawn, not itself
        proxy: Any = super().create_proxy(kind, target, args, kwargs, *more, **named)
        proxy.value = value
        proxy.node.meta["value"] = value
        return proxy

    def computed(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """The value of a step."""
        was, self.computing = self.computing, True
        try:
            return self.done(kind, target, args, kwargs)
        finally:
            self.computing = was

    def done(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        """As :meth:`computed`, while nothing is drawn."""
        if kind == "placeholder":
            return next(self.given, None)
        if kind == "call_module":  # not by its name, which is what is being traced
            return self.root.get_submodule(target).forward(*args, **kwargs)
        if kind == "call_function":
            return target(*args, **kwargs)
        if kind == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        if kind == "get_attr":
            return operator.attrgetter(target)(self.root)
        return args[0]


def _is_data(value: Any) -> bool:
    """A tensor, or several."""
    if isinstance(value, tuple | list):
        return bool(value) and all(isinstance(x, Tensor) for x in value)
    return isinstance(value, Tensor)


@torch.no_grad()
def traced(network: nn.Module, inputs: tuple[Tensor, ...]) -> fx.Graph:
    """The steps of ``network`` in evaluation mode, of ``inputs``, each (1, ...).

    Each step has what it came to there in ``meta["value"]``. Raises :class:`AsdError`
    for a network that leaves torch on its way, such as one that disguises clips first.
    """
    training = [module for module in network.modules() if module.training]
    network.eval()
    names = list(inspect.signature(network.forward).parameters)[len(inputs) :]
    try:
        graph = _Tracer(inputs).trace(network, dict.fromkeys(names))
    except (fx.proxy.TraceError, NameError, TypeError, RuntimeError, KeyError) as error:
        raise AsdError(
            f"this network cannot be followed step by step ({error}): give one that "
            "computes with tensors from its inputs to the end"
        ) from error
    finally:
        for module in training:
            module.training = True
    return graph


def name_of(network: nn.Module, node: fx.Node) -> str:
    """What a step does: the name of the function or method, or the kind of layer."""
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        kinds = (nn.Conv1d, nn.Conv2d, nn.PReLU)
        return next((k for k in kinds if isinstance(module, k)), type(module)).__name__
    return str(getattr(node.target, "__name__", node.target)).rstrip("_")


def numbers_in(value: Any) -> int:
    """How many real numbers a tensor (...) or some of them hold.

    >>> numbers_in([torch.zeros(2, 3), torch.zeros(4, dtype=torch.complex64)])
    14
    """
    if isinstance(value, tuple | list):
        return sum(map(numbers_in, value))
    return value.numel() * (2 if value.is_complex() else 1)


def kept_alive(network: nn.Module, graph: fx.Graph) -> list[list[fx.Node]]:
    """For each step what must be in memory while it is done, one node a piece.

    Steps are done one after the other. What a step reads and what it makes are there at
    once, and so is all that a later step reads; a look at what is there takes no
    memory, and norms, activations and sums are written over what they read, if they are
    the last to read it. Weights do not count.
    """
    steps = [node for node in graph.nodes if node.op not in ("get_attr", "output")]
    place = {node: i for i, node in enumerate(steps)}
    end = len(steps)
    owner: dict[fx.Node, fx.Node] = {}  # whose memory a node's value lies in
    last: dict[fx.Node, int] = {}  # the step at which it is read for the last time
    readers = {
        node: max((place.get(user, end) for user in node.users), default=place[node])
        for node in steps
    }

    def read_last(piece: fx.Node) -> int:
        return max(readers[node] for node in owner if owner[node] is piece)

    for i, node in enumerate(steps):
        read = [owner[x] for x in node.all_input_nodes if x in owner]
        owner[node] = node
        if node.op == "placeholder":
            continue
        name = name_of(network, node)
        if name in LOOKS and read:
            owner[node] = read[0]
        elif name in IN_PLACE:
            size = numbers_in(node.meta["value"])
            for x in node.all_input_nodes:
                free = x in owner and read_last(owner[x]) == i
                if free and numbers_in(x.meta["value"]) == size:
                    owner[node] = owner[x]
                    break
    first = {piece: place[piece] for piece in set(owner.values())}
    last = {piece: read_last(piece) for piece in first}
    return [
        [piece for piece in first if first[piece] <= i <= last[piece]]
        for i in range(len(steps))
    ]
