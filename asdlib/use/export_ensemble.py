"""An ensemble with its judgement as torch modules, so that it can be written as ONNX.

The numbers are those of :func:`asdlib.methods._parts.judge_of`, which runs on numpy and
scipy: what was fitted to the healthy clips of the machines is kept as constants, in
float64 as there, because distances are differences of large numbers.
"""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.judge.fusion import TINY
from asdlib.judge.plain import Standard, standard
from asdlib.judge.scorers import LEAST, Distance, fit_distance, unit
from asdlib.methods._parts import NETWORK, Ensemble
from asdlib.sound.features import LogMel
from asdlib.use.detector import Detector

# log(erfc(x) / t) + x², where t = 1 / (1 + x/2), as a polynomial in t: for x ≥ 0 erfc
# is off by less than 1.2e-7 of it (Press et al., Numerical Recipes, 6.2).
ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806,
    0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277,
)  # fmt: skip


class WholeEnsemble(nn.Module):
    """From waveforms to scores, with every step of the front end in between.

    ``forward(waveform)``: (B, samples) float32 in ±1 → the fused score of each machine
    that a clip might be of (B, machines), what the parts say (B, machines, parts), and
    the numbers (B, dim) that they look at.
    """

    def __init__(self, detector: Detector):
        super().__init__()
        model, bank = detector.model, detector.bank
        assert isinstance(model, Ensemble)
        self.front = LogMel(detector.config.features)
        self.model = deepcopy(model).eval()
        self.widths = list(model.widths.values())
        self.kept = [i for i, yes in enumerate(model.kept.tolist()) if yes]
        own = [detector.bank_labels == i for i in range(len(detector.config.machines))]
        self.judges = nn.ModuleList(
            SurpriseOfPart(
                [fitted(rows[of_machine], part) for of_machine in own],
                model.mean[place],
                model.spread[place],
                of_unit_length=part == NETWORK,
            )
            for place, (part, rows) in enumerate(model.parts_of(bank).items())
        )

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # As the clips of training were kept: log-mels in 16 bits.
        log_mel = self.front(waveform).half().float()
        rows = self.model.embed(waveform, log_mel)
        seen = rows.double().split(self.widths, dim=1)
        judged = [judge(x) for judge, x in zip(self.judges, seen, strict=True)]
        parts = torch.stack(judged, dim=2)
        return parts[:, :, self.kept].mean(dim=2).float(), parts.float(), rows


Judged = tuple[Standard, Distance, int]  # how rows are standardised, measured, divided


def fitted(known: np.ndarray, part: str) -> Judged:
    """What a part's scorer is for one machine, by its healthy clips (N, d)."""
    dim = known.shape[1]
    if part == NETWORK:
        as_they_are = Standard(np.zeros(dim), np.ones(dim))
        return as_they_are, fit_distance(unit(known), least=LEAST), 1
    scale = standard(known)
    return scale, fit_distance(scale(known)), dim


class Ellipsoids(nn.Module):
    """Squared Mahalanobis distances to the healthy clips of K machines, per dimension
    where they are to be: (B, d) → (B, K), both float64."""

    def __init__(self, machines: Sequence[Judged], *, of_unit_length: bool):
        super().__init__()
        self.of_unit_length = of_unit_length
        longest = max(len(distance.axes) for _, distance, _ in machines)

        def constant(of_each: Sequence[np.ndarray]) -> nn.Parameter:
            values = torch.from_numpy(np.stack(of_each)).double()
            return nn.Parameter(values, requires_grad=False)

        def filled(rows: np.ndarray, value: float) -> np.ndarray:
            more = [(0, longest - len(rows))] + [(0, 0)] * (rows.ndim - 1)
            return np.pad(rows, more, constant_values=value)

        self.centre = constant([s.mean + s.spread * d.mean for s, d, _ in machines])
        self.unit = constant([s.spread for s, _, _ in machines])
        self.axes = constant([filled(d.axes, 0.0) for _, d, _ in machines])
        self.inside = constant([filled(d.inside, 1.0) for _, d, _ in machines])
        self.rest = constant([np.array([d.rest]) for _, d, _ in machines])
        self.divisor = machines[0][2]

    def forward(self, x: Tensor) -> Tensor:
        if self.of_unit_length:
            x = of_length_1(x)
        off = (x - self.centre[:, None]) / self.unit[:, None]  # (K, B, d)
        along = (off @ self.axes.transpose(1, 2)).square()
        across = off.square().sum(dim=2) - along.sum(dim=2)
        distance = (along / self.inside[:, None]).sum(dim=2)
        distance = distance + across.clamp(min=0) / self.rest
        return distance.T / self.divisor


def of_length_1(x: Tensor) -> Tensor:
    """Rows (N, d) brought to length 1."""
    return x / x.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)


class SurpriseOfPart(nn.Module):
    """How surprising a part finds clips, for each of K machines: (B, d) → (B, K).

    Both float64. ``mean`` and ``spread`` (K,) are those of the log scores of healthy
    clips.
    """

    def __init__(
        self,
        machines: Sequence[Judged],
        mean: Tensor,
        spread: Tensor,
        *,
        of_unit_length: bool,
    ):
        super().__init__()
        self.distances = Ellipsoids(machines, of_unit_length=of_unit_length)
        self.mean, self.spread = (
            nn.Parameter(x.double().clone(), requires_grad=False)
            for x in (mean, spread)
        )

    def forward(self, x: Tensor) -> Tensor:
        logs = torch.log(self.distances(x) + TINY)
        return surprise((logs - self.mean) / self.spread)


def surprise(z: Tensor) -> Tensor:
    """-log of the chance that a standard normal number is above ``z``: (...) float64.

    In operations that ONNX has, and exact where the chance is tiny.

    >>> surprise(torch.tensor([0.0, 6.0], dtype=torch.float64))
    tensor([ 0.6931, 20.7368], dtype=torch.float64)
    """
    x = z.abs() / 2**0.5
    t = 1 / (1 + x / 2)
    series = torch.zeros_like(t)
    for coefficient in reversed(ERFC):
        series = series * t + coefficient
    beyond = torch.log(t / 2) - x.square() + series  # log of the chance beyond |z|
    return -torch.where(z >= 0, beyond, torch.log1p(-torch.exp(beyond)))
