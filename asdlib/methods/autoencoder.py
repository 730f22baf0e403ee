"""The baseline of DCASE 2020 Task 2: an autoencoder of log-mel frames, one for each machine type.

Five consecutive frames of 128 mel bands are squeezed through 8 numbers and rebuilt; what the network rebuilds badly is
unlike what it has learned (Koizumi et al., DCASE Workshop 2020). It knows nothing of machine IDs.
"""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent
from asdlib.training import seeded

CONTEXT = 5  # frames


class FrameAutoencoder(nn.Module):
    """(N, width) → (N, width) by way of 8 numbers: four hidden layers of 128 on either side, with batch norm and ReLU."""

    def __init__(self, width: int, *, hidden: int = 128, bottleneck: int = 8):
        super().__init__()
        sizes = [width, *[hidden] * 4, bottleneck, *[hidden] * 4]
        layers = []
        for cin, cout in itertools.pairwise(sizes):
            layers += [nn.Linear(cin, cout), nn.BatchNorm1d(cout), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def stacked_frames(log_mels: np.ndarray, context: int = CONTEXT) -> np.ndarray:
    """Every c = ``context`` consecutive frames as one row: (N, mels, frames) → (N, frames - c + 1, c · mels) float32."""
    if log_mels.shape[-1] < context:
        raise AsdError(f"clips of {log_mels.shape[-1]} frames are too short: the autoencoder reads {context} at a time")
    windows = sliding_window_view(log_mels, context, axis=2)  # (N, mels, frames - context + 1, context)
    return windows.transpose(0, 2, 3, 1).reshape(len(log_mels), windows.shape[2], -1).astype(np.float32)


def train(
    log_mels: np.ndarray,
    machine_types: list[str],
    *,
    epochs: int = 100,
    batch_size: int = 512,
    context: int = CONTEXT,
    seed: int = 0,
    on_step: OnStep = silent,
) -> dict[str, FrameAutoencoder]:
    """One autoencoder per machine type, from the ``log_mels`` (N, mels, frames) of its clips, ``context`` frames at a time."""
    types = _one_each(log_mels, machine_types)
    models = {}
    for machine_type in sorted(set(machine_types)):
        rows = stacked_frames(log_mels[types == machine_type], context).reshape(-1, context * log_mels.shape[1])
        with seeded(seed, f"autoencoder {machine_type}"):
            model = FrameAutoencoder(rows.shape[1])
        _fit(model, torch.from_numpy(rows), epochs, batch_size, np.random.default_rng([seed, 7]))
        models[machine_type] = model.eval()
        on_step("autoencoder", len(models), len(set(machine_types)))
    return models


def _one_each(log_mels: np.ndarray, machine_types: list[str]) -> np.ndarray:
    if len(machine_types) != len(log_mels) or not len(log_mels):
        raise AsdError(f"{len(log_mels)} clips and {len(machine_types)} machine types: give one type for each clip")
    return np.asarray(machine_types)


def _fit(model: nn.Module, rows: Tensor, epochs: int, batch_size: int, rng: np.random.Generator) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(len(rows)))
        for batch in order.split(batch_size):
            if len(batch) == 1:
                continue  # one row has no spread for the batch norm
            x = rows[batch]
            loss = F.mse_loss(model(x), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def rebuilt(model: FrameAutoencoder, log_mel: np.ndarray, *, context: int = CONTEXT) -> np.ndarray:
    """What the network makes of one clip (mels, frames): the middle frame of every stack, (mels, frames - context + 1)."""
    out = model(torch.from_numpy(stacked_frames(log_mel[None], context)[0])).numpy()
    return out.reshape(len(out), context, len(log_mel))[:, context // 2].T


@torch.no_grad()
def score(
    models: dict[str, FrameAutoencoder], log_mels: np.ndarray, machine_types: list[str], *, context: int = CONTEXT
) -> np.ndarray:
    """Anomaly scores (N,): the mean squared error (dB²) of rebuilding each clip's stacked frames."""
    _one_each(log_mels, machine_types)
    scores = []
    for log_mel, machine_type in zip(log_mels, machine_types, strict=True):
        if machine_type not in models:
            raise AsdError(f"no autoencoder of the type {machine_type!r}: train on clips of that type first")
        x = torch.from_numpy(stacked_frames(log_mel[None], context)[0])
        scores.append(F.mse_loss(models[machine_type](x), x).item())
    return np.array(scores)
