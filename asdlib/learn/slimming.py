"""A network without some of its channels, in three forms that compute the same.

Channels that are to go are silenced in a network of the old shape: all that makes them,
or stands between them and the next layer, is 0. Or they are cut out, and the network is
small. Or a small one, trained on, is written back into the old shape. What is kept in
files has the old shape; what computes can be small.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from asdlib.learn.channels import FIXED
from asdlib.learn.pruning import Plan
from asdlib.learn.tracing import Embedding

# What a layer says of its own sizes: by the first and the second axis of its weights.
FIRST = ("out_channels", "out_features", "num_features", "num_parameters")
SECOND = ("in_channels", "in_features")


def _tensors(
    model: nn.Module, plan: Plan
) -> Iterator[tuple[nn.Module, str, str, Tensor]]:
    """Every tensor with channels in it: its layer, the layer's name, its own name."""
    network = Embedding(model)
    for layer in plan.rows:
        module = network.get_submodule(layer)
        own: list[tuple[str, Tensor]] = [*module.named_parameters(recurse=False)]
        for name, tensor in [*own, *module.named_buffers(recurse=False)]:
            if tensor.dim():  # not how many batches a norm has seen
                yield module, layer, name, tensor


def _places(numbers: np.ndarray, stay: set[int]) -> Tensor:
    """Where along an axis is what stays."""
    here = [number == FIXED or number in stay for number in numbers.tolist()]
    return torch.from_numpy(np.flatnonzero(here))


def silenced(model: nn.Module, plan: Plan, stay: set[int]) -> nn.Module:
    """A copy of ``model`` in which only the classes ``stay`` are heard."""
    quiet = deepcopy(model)
    with torch.no_grad():
        for _, layer, _, tensor in _tensors(quiet, plan):
            gone = torch.ones(len(tensor), dtype=torch.bool)
            gone[_places(plan.rows[layer], stay)] = False
            tensor[gone.to(tensor.device)] = 0
    return quiet


def heard(model: nn.Module, plan: Plan) -> set[int]:
    """The classes of ``model`` that are not silenced."""
    loud = set()
    for _, layer, name, tensor in _tensors(model, plan):
        if name != "running_var":
            some = tensor.detach().flatten(1) if tensor.dim() > 1 else tensor[:, None]
            loud |= set(plan.rows[layer][some.ne(0).any(dim=1).cpu().numpy()].tolist())
    return loud - {FIXED}


def slimmed(model: nn.Module, plan: Plan, stay: set[int]) -> nn.Module:
    """A copy of ``model`` of which only the classes ``stay`` are left, and small."""
    small = deepcopy(model)
    for module, layer, name, tensor in list(_tensors(small, plan)):
        cut = tensor.detach()[_places(plan.rows[layer], stay)]
        if layer in plan.columns and name == "weight":
            cut = cut[:, _places(plan.columns[layer], stay)]
        if isinstance(tensor, nn.Parameter):
            cut = nn.Parameter(cut, requires_grad=tensor.requires_grad)
        setattr(module, name, cut)
    network = Embedding(small)
    for layer, numbers in plan.rows.items():
        sized: Any = network.get_submodule(layer)
        for attributes, axis in ((FIRST, numbers), (SECOND, plan.columns.get(layer))):
            for name in attributes:
                if axis is not None and hasattr(sized, name):
                    setattr(sized, name, len(_places(axis, stay)))
        if layer not in plan.columns and hasattr(sized, "groups"):
            sized.groups = sized.in_channels = sized.out_channels
    return small


def widened(
    small: nn.Module, model: nn.Module, plan: Plan, stay: set[int]
) -> nn.Module:
    """What is left of ``model`` in ``small``, in the shape of ``model``, silenced."""
    wide = silenced(model, plan, stay)
    theirs = {(layer, name): x for _, layer, name, x in _tensors(small, plan)}
    ours = {id(x) for _, _, _, x in _tensors(wide, plan)}
    with torch.no_grad():
        for _, layer, name, tensor in _tensors(wide, plan):
            first = _places(plan.rows[layer], stay)
            if layer in plan.columns and name == "weight":
                second = _places(plan.columns[layer], stay)
                tensor.zero_()
                tensor[first[:, None], second] = theirs[layer, name]
            else:
                tensor[first] = theirs[layer, name]
        rest = small.state_dict()
        for name, tensor in wide.state_dict(keep_vars=True).items():
            if id(tensor) not in ours:
                tensor.copy_(rest[name])
    return wide


@torch.no_grad()
def settle(model: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Let the batch norms of ``model.embed``, in place, take their statistics anew.

    They become the mean over ``batches`` of inputs, each (B, ...). What is left of a
    network makes other numbers than the whole did, and is not to be judged by the norms
    of the whole. The model is in evaluation mode afterwards.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    model.train()
    for inputs in batches:
        model.embed(*inputs)  # type: ignore[operator]
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
