"""The networks of Serial-OE: for each machine type one that hears the log-mel alone."""

from typing import cast

import torch
from torch import Tensor, nn

from asdlib.device import seeded
from asdlib.learn.encoder import EncoderConfig, MobileFaceNet
from asdlib.learn.pieces import Pieces, piece_of
from asdlib.methods import Task
from asdlib.sound.features import FeatureConfig


class LogMelEncoder(nn.Module):
    """MobileFaceNet on log-mels (B, mels, frames) in dB → (B, embedding_dim)."""

    def __init__(self, config: EncoderConfig, features: FeatureConfig):
        super().__init__()
        self.embedding_dim = config.embedding_dim
        self.standardise = nn.BatchNorm2d(1, affine=False)
        self.layers = MobileFaceNet(
            config, mels=features.n_mels, frames=features.frames, channels=1
        )

    def forward(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        image = self.standardise(log_mel[:, None])
        return self.layers(image.contiguous(memory_format=torch.channels_last))


class TypeNetwork(nn.Module):
    """``forward(*inputs)`` → is it of the type (B,), and which machine (B, machines).

    Both are logits, of embeddings z (B, dim) by ``encoder``. ``done`` counts the parts
    of the training.
    """

    def __init__(self, encoder: nn.Module, machines: int):
        super().__init__()
        self.encoder, self.dim = encoder, cast(int, encoder.embedding_dim)
        self.alpha = nn.Parameter(torch.tensor(1.0))
        self.beta = nn.Parameter(torch.tensor(-1.0))  # |z|² / d is 1 at first
        self.machine = nn.Linear(self.dim, machines, bias=False)
        self.done: Tensor
        self.register_buffer("done", torch.tensor(0))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(self.encoder(*inputs))

    def logits(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Of embeddings (B, dim): (B,) and (B, machines)."""
        length = z.square().sum(dim=1) / self.dim
        return self.alpha * length + self.beta, self.machine(z)


class SerialNetworks(nn.Module):
    """A network for each machine type, in the order of ``types``.

    ``embed(*inputs)`` → their embeddings (B, embedding_dim), side by side.
    """

    def __init__(self, task: Task):
        super().__init__()
        self.machines, self.types = task.machines, task.types
        self.classes = len(task.machines)
        networks = []
        for name in self.types:
            with seeded(task.seed, f"serial {name}"):
                own = len(self.machines_of(name))
                networks.append(TypeNetwork(encoder_of(task), own))
        self.networks = nn.ModuleList(networks)
        self.dim = networks[0].dim
        self.embedding_dim = self.dim * len(networks)

    def machines_of(self, machine_type: str) -> list[str]:
        """The machines of a type, sorted."""
        return [name for name in self.machines if name.split("/")[0] == machine_type]

    def embed(self, *inputs: Tensor) -> Tensor:
        networks = cast(list[TypeNetwork], self.networks)
        return torch.cat([network.encoder(*inputs) for network in networks], dim=1)


def encoder_of(task: Task) -> nn.Module:
    """The encoder of a type, untrained: of sound it hears the log-mel alone."""
    config, features = task.encoder or task.default_encoder, task.features
    if features is None or not isinstance(config, EncoderConfig):
        return task.new_encoder()
    if task.window is None or task.window == features.seconds:
        return LogMelEncoder(config, features)
    piece = piece_of(features, task.window)
    return Pieces(LogMelEncoder(config, piece), piece)
