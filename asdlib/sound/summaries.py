"""A clip in a few hundred numbers that nobody had to train: its views.

What is heard of a machine over a whole clip: how loud each band is and how much it
varies, how fast it varies, and the spectrum in many narrow bands, in which the tones of
a machine stand apart. All are in dB. They are computed by torch, so that they
can be a part of a network, on any device.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from asdlib.errors import AsdError
from asdlib.sound.clips import Clips, in_unit
from asdlib.sound.features import FeatureConfig

PERCENTILES = (5, 25, 50, 75, 95)
GROUP = 4  # mel bands whose level is followed together
RATES = 8  # bands of modulation, each as wide in octaves
SLOWEST = 0.75  # Hz
WIDTH = 12.5  # Hz, of the bands of the long spectrum
FLOOR = 1e-10  # power, as in the log-mel
AT_ONCE = 64  # clips


def views_of(clips: Clips) -> dict[str, np.ndarray]:
    """The views of N ``clips``, each (N, d) float32, by name (:func:`views`).

    Raises :class:`AsdError` where there are no clips.
    """
    if not len(clips):
        raise AsdError("no clips to look at: give at least one")
    parts = []
    for start in range(0, len(clips), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        arrays = [np.array(array[rows]) for array in clips.inputs]
        if clips.features is not None:
            arrays[0] = in_unit(arrays[0])
        inputs = [torch.tensor(array) for array in arrays]  # a copy, see as_float
        parts.append(views(inputs, clips.features))
    return {
        name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]
    }


def views(inputs: list[Tensor], config: FeatureConfig | None) -> dict[str, Tensor]:
    """The views of a batch, each (B, d) float32.

    Of sound, ``inputs`` being waveforms (B, samples) in ±1 and log-mels (B, mels,
    frames) in dB: "levels", "modulation" (none of a single frame) and "spectrum". Of
    spectra (B, 1, bands, modulations), where ``config`` is None: "levels", and
    "numbers", which are the spectra themselves.
    """
    if config is None:
        spectra = inputs[0][:, 0].float()
        return {"levels": levels(spectra), "numbers": spectra.flatten(1)}
    waves, log_mels = inputs[0], inputs[1].float()
    found = {
        "levels": levels(log_mels),
        "modulation": modulation(log_mels, config),
        "spectrum": long_spectrum(waves, config),
    }
    return {name: rows for name, rows in found.items() if rows.shape[1]}


def view_widths(
    config: FeatureConfig | None, shape: tuple[int, int] | None = None
) -> dict[str, int]:
    """How many numbers each view has, of sound or, without ``config``, of spectra.

    ``shape`` is that of the spectra, (bands, modulations).

    >>> view_widths(FeatureConfig(seconds=10.0))
    {'levels': 896, 'modulation': 256, 'spectrum': 640}
    """
    if config is None:
        assert shape is not None
        return {"levels": 7 * shape[0], "numbers": shape[0] * shape[1]}
    bands = modulation_bands(config, config.frames)
    widths = {
        "levels": 7 * config.n_mels,
        "modulation": config.n_mels // GROUP * len(bands),
        "spectrum": min(spectrum_bands(config), config.samples // 2),
    }
    return {name: width for name, width in widths.items() if width}


def levels(pictures: Tensor) -> Tensor:
    """Mean, standard deviation and five percentiles of each band of B ``pictures``.

    (B, bands, frames) → (B, 7 · bands).

    >>> levels(torch.tensor([[[0.0, 10.0, 20.0]]])).round().tolist()
    [[10.0, 8.0, 1.0, 5.0, 10.0, 15.0, 19.0]]
    """
    ordered = pictures.sort(dim=2).values
    places = torch.tensor(PERCENTILES, device=pictures.device) / 100
    places = places * (pictures.shape[2] - 1)
    below = ordered[:, :, places.floor().long()]
    above = ordered[:, :, places.ceil().long()]
    found = torch.lerp(below, above, (places - places.floor()).to(below.dtype))
    mean, spread = pictures.mean(dim=2), pictures.std(dim=2, correction=0)
    return torch.cat([mean, spread, *found.unbind(dim=2)], dim=1)


def modulation(log_mels: Tensor, config: FeatureConfig) -> Tensor:
    """How much the level of each four mel bands changes, how fast: (B, d) in dB.

    Of ``log_mels`` (B, mels, frames): the power spectrum of the level over the clip, in
    eight bands from 0.75 Hz to half the rate of the frames, as wide in octaves; those
    that a short clip cannot tell apart are left out.
    """
    count, mels, frames = log_mels.shape
    grouped = log_mels[:, : mels - mels % GROUP].reshape(count, -1, GROUP, frames)
    level = grouped.mean(dim=2)
    level = level - level.mean(dim=2, keepdim=True)
    window = torch.from_numpy(np.hanning(frames + 2)[1:-1]).to(level)
    power = torch.fft.rfft(level * window).abs().square() / window.square().sum()
    bands = [
        power[:, :, first:last].mean(dim=2)
        for first, last in modulation_bands(config, frames)
    ]
    # A change of 0.03 dB is what float16 leaves of a log-mel.
    every = torch.cat(bands, dim=1) if bands else power[:, :, :0].flatten(1)
    return 10 * torch.log10(every + 1e-3)


def modulation_bands(config: FeatureConfig, frames: int) -> list[tuple[int, int]]:
    """First bin, and the one after the last, of each band of modulation."""
    rate = config.sample_rate / config.hop_length
    edges = np.geomspace(min(SLOWEST, rate / 4), rate / 2, RATES + 1).tolist()
    places = [math.ceil(edge * frames / rate) for edge in edges[:-1]]
    places.append(frames // 2 + 1)  # the last band has the last bin, too
    return [(low, high) for low, high in pairwise(places) if high > low]


def spectrum_bands(config: FeatureConfig) -> int:
    """Bands of 12.5 Hz up to half of the sample rate."""
    return max(1, round(config.sample_rate / 2 / WIDTH))


def long_spectrum(waves: Tensor, config: FeatureConfig) -> Tensor:
    """The power of B ``waves`` (B, samples) in ±1, in bands of 12.5 Hz: (B, d) in dB.

    One Fourier transform of the whole clip; the longer it is, the steadier each number.
    """
    power = torch.fft.rfft(waves)[:, 1:].abs().square() / waves.shape[1]
    count = min(spectrum_bands(config), power.shape[1])
    bands = torch.nn.functional.adaptive_avg_pool1d(power[:, None], count)[:, 0]
    return 10 * torch.log10(bands.clamp(min=FLOOR))
