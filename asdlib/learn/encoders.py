"""The encoders by name: a table of config and module.

One more row is all that a new encoder takes. It is made as ``encoder(config,
features)``, has an ``embedding_dim``, and maps its inputs to (B, embedding_dim). Its
config is a frozen dataclass with a ``NAME``, which is kept in the config of a run.
``features`` are the front end's settings, None for inputs other than sound.
"""

from collections.abc import Callable
from dataclasses import Field, asdict
from typing import Any, ClassVar, Protocol

from torch import nn

from asdlib.device import seeded
from asdlib.errors import AsdError
from asdlib.learn.encoder import BOOK_ENCODER, EncoderConfig, STgramMFN
from asdlib.learn.pieces import Pieces, piece_of
from asdlib.learn.spectrogram_encoder import SpectrogramConfig, SpectrogramEncoder
from asdlib.learn.spectrum_encoder import SpectrumConfig, SpectrumEncoder
from asdlib.sound.clips import Clips
from asdlib.sound.features import FeatureConfig


class Sizes(Protocol):
    """The config of an encoder: a frozen dataclass with the encoder's name."""

    NAME: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


ENCODERS: dict[str, tuple[type, Callable[..., nn.Module]]] = {
    EncoderConfig.NAME: (EncoderConfig, STgramMFN),
    SpectrumConfig.NAME: (SpectrumConfig, SpectrumEncoder),
    SpectrogramConfig.NAME: (SpectrogramConfig, SpectrogramEncoder),
}


def new_encoder(
    config: Sizes,
    features: FeatureConfig | None,
    *,
    window: float | None = None,
    seed: int = 0,
) -> nn.Module:
    """An untrained encoder with the initial weights that ``seed`` gives.

    It sees ``window`` seconds of a clip at a time (:class:`Pieces`), or clips as a
    whole where that is None or as long. Raises :class:`AsdError` for a config that is
    in no row of :data:`ENCODERS`, and for a window longer than the clips.
    """
    if features is not None and window is not None and window != features.seconds:
        piece = piece_of(features, window)
        return Pieces(new_encoder(config, piece, seed=seed), piece)
    name = getattr(config, "NAME", type(config).__name__)
    if name not in ENCODERS:
        raise AsdError(f"no encoder {name!r}: choose one of {', '.join(ENCODERS)}")
    with seeded(seed, "encoder"):
        return ENCODERS[name][1](config, features)


def encoder_for(clips: Clips) -> EncoderConfig | SpectrumConfig:
    """The config of the small encoder that suits the inputs of ``clips``.

    They are sound, or spectra (N, 1, bands, modulations). Raises :class:`AsdError` for
    other shapes.

    >>> encoder_for(Clips((np.zeros((2, 1, 60, 8)),), ["fan/0", "fan/1"]))
    SpectrumConfig(bands=60, modulations=8, width=64, embedding_dim=128)
    """
    if clips.features is not None:
        return BOOK_ENCODER
    shapes = [array.shape for array in clips.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 1:
        raise AsdError(
            f"no encoder reads inputs of shape {', '.join(map(str, shapes))}: give "
            "sound, or spectra (N, 1, bands, modulations)"
        )
    return SpectrumConfig(shapes[0][2], shapes[0][3])


def config_of(values: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """The config class that the kept ``values`` name, and its fields.

    Raises :class:`AsdError` for an unknown name.

    >>> kind, fields = config_of(as_kept(BOOK_ENCODER))
    >>> kind(**fields) == BOOK_ENCODER
    True
    """
    fields = dict(values)
    # Runs of version 0.1 knew one encoder only.
    name = fields.pop("name", EncoderConfig.NAME)
    if name not in ENCODERS:
        raise AsdError(
            f"no encoder {name!r} in this version: upgrade asdlib, or choose one of "
            f"{', '.join(ENCODERS)}"
        )
    return ENCODERS[name][0], fields


def as_kept(config: Sizes) -> dict[str, Any]:
    """The inverse of :func:`config_of`, for JSON."""
    return {"name": config.NAME} | asdict(config)
