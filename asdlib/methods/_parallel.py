"""Convolutions that are trained as a sum of branches, and used as one.

Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021. Several ways
side by side are easier to train, and since a convolution and a batch norm that has
stopped learning are linear, their sum is a convolution again: what was gained costs
nothing in use.
"""

from functools import reduce
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Parallel(nn.Module):
    """A convolution (B, cin, ...) → (B, cout, ...) over ``dims`` axes, 1 or 2.

    In training it is a sum of branches, each with a batch norm: the convolution, one
    that sees a single place, and, where shapes allow, the input itself. In evaluation
    mode it is one convolution. If not ``branched`` there is the first branch only.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int,
        *,
        dims: int,
        stride: int = 1,
        groups: int = 1,
        branched: bool = True,
    ):
        super().__init__()
        conv = nn.Conv1d if dims == 1 else nn.Conv2d
        norm = nn.BatchNorm1d if dims == 1 else nn.BatchNorm2d
        self.conv = F.conv1d if dims == 1 else F.conv2d
        self.options = {"stride": stride, "padding": kernel // 2, "groups": groups}
        sizes = sorted({kernel, 1} if branched else {kernel}, reverse=True)
        self.branches = nn.ModuleList(
            conv(cin, cout, k, stride, k // 2, groups=groups, bias=False) for k in sizes
        )
        self.norms = nn.ModuleList(norm(cout) for _ in sizes)
        past = branched and stride == 1 and cin == cout
        self.past = norm(cin) if past else None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            weight, bias = self.folded()
            return self.conv(x, weight, bias, **self.options)
        pairs = zip(self.branches, self.norms, strict=True)
        parts = [norm(branch(x)) for branch, norm in pairs]
        if self.past is not None:
            parts.append(self.past(x))
        return reduce(torch.add, parts)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias (cout,) of the one convolution that does the same."""
        kernels = [cast(Tensor, branch.weight) for branch in self.branches]
        norms, whole = list(self.norms), kernels[0]
        if self.past is not None:
            itself = whole.new_zeros(whole.shape)
            channel, places = torch.arange(len(whole)), itself.flatten(2)
            places[channel, channel % whole.shape[1], places.shape[2] // 2] = 1
            kernels.append(itself)
            norms.append(self.past)
        weight, bias = torch.zeros_like(whole), whole.new_zeros(len(whole))
        for kernel, norm in zip(
            kernels, cast(list[nn.BatchNorm2d], norms), strict=True
        ):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            margin = (whole.shape[2] - kernel.shape[2]) // 2
            wide = F.pad(kernel, [margin] * 2 * (kernel.dim() - 2))
            weight = weight + wide * scale.view(-1, *[1] * (kernel.dim() - 1))
            bias = bias + norm.bias - norm.running_mean * scale
        return weight, bias
