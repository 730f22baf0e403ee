"""The encoders by name: a table of config and module.

One more row is all that a new encoder takes.

An encoder is made as ``encoder(config, features)``, has an ``embedding_dim``, and maps
its inputs to (B, embedding_dim). Its config is a frozen dataclass with a ``NAME``,
which is kept in the config of a run. ``features`` are the front end's settings, None
for inputs other than sound.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from torch import nn

from asdlib.device import seeded
from asdlib.errors import AsdError
from asdlib.learn.encoder import BOOK_ENCODER, EncoderConfig, STgramMFN
from asdlib.learn.spectrum_encoder import SpectrumConfig, SpectrumEncoder
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig

ENCODERS: dict[str, tuple[type, Callable[..., nn.Module]]] = {
    EncoderConfig.NAME: (EncoderConfig, STgramMFN),
    SpectrumConfig.NAME: (SpectrumConfig, SpectrumEncoder),
}


def new_encoder(
    config: Any, features: FeatureConfig | None, *, seed: int = 0
) -> nn.Module:
    """An untrained encoder with the initial weights that ``seed`` gives.

    Raises :class:`AsdError` for an unknown config.
    """
    name = getattr(config, "NAME", type(config).__name__)
    if name not in ENCODERS:
        raise AsdError(f"no encoder {name!r}: choose one of {', '.join(ENCODERS)}")
    with seeded(seed, "encoder"):
        return ENCODERS[name][1](config, features)


def encoder_for(clips: Clips) -> Any:
    """The config of the small encoder that suits the inputs of ``clips``.

    Sound, or spectra (N, 1, bands, modulations).
    """
    if clips.features is not None:
        return BOOK_ENCODER
    shape = clips.inputs[0].shape
    if len(clips.inputs) != 1 or len(shape) != 4 or shape[1] != 1:
        shapes = ", ".join(str(array.shape) for array in clips.inputs)
        raise AsdError(
            f"no encoder reads inputs of shape {shapes}: give sound, or spectra (N, 1, "
            "bands, modulations)"
        )
    return SpectrumConfig(shape[2], shape[3])


def config_of(values: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """The config class that the kept ``values`` name, and its fields.

    Raises :class:`AsdError` for an unknown name.
    """
    values = dict(values)
    name = values.pop(
        "name", EncoderConfig.NAME
    )  # runs of version 0.1 knew one encoder only
    if name not in ENCODERS:
        raise AsdError(
            f"no encoder {name!r} in this version: upgrade asdlib, or choose one of "
            f"{', '.join(ENCODERS)}"
        )
    return ENCODERS[name][0], values


def as_kept(config: Any) -> dict[str, Any]:
    """The inverse of :func:`config_of`, for JSON."""
    return {"name": config.NAME} | asdict(config)
