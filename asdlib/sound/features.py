"""The log-mel front end: what the network sees beside the waveform.

16 kHz, a 1024-sample Hann window every 512 samples, 128 mel bands (HTK scale, no area
normalisation) from 0 to 8 kHz, power, then 10·log10(max(x, 1e-10)) dB. No mean or
variance is removed. A 10 s clip becomes 128 × 313 numbers.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.errors import AsdError


@dataclass(frozen=True)
class FeatureConfig:
    """Settings of the front end. The defaults are those of the paper's code.

    Raises :class:`AsdError` for settings that make no sense together.

    >>> FeatureConfig(sample_rate=48000, seconds=2.0, f_max=24000.0).frames
    188
    """

    sample_rate: int = 16000  # Hz
    seconds: float = 10.0  # length of every clip that reaches the network
    n_fft: int = 1024  # samples; window and transform length
    hop_length: int = 512  # samples
    n_mels: int = 128
    f_min: float = 0.0  # Hz
    f_max: float = 8000.0  # Hz

    def __post_init__(self) -> None:
        if self.n_fft % 2 or self.n_fft < 2:
            raise AsdError(
                f"n_fft is {self.n_fft}: "
                "choose an even number, so that log-mel and Tgram share one time grid"
            )
        if not 1 <= self.hop_length <= self.n_fft:
            raise AsdError(
                f"hop_length is {self.hop_length}: "
                f"choose 1 to n_fft ({self.n_fft}) samples"
            )
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise AsdError(
                f"bands from {self.f_min:g} to {self.f_max:g} Hz do not fit a rate of "
                f"{self.sample_rate} Hz: "
                f"choose 0 <= f_min < f_max <= {self.sample_rate / 2:g}"
            )
        if not 0 < self.seconds < math.inf:
            raise AsdError(
                f"clips of {self.seconds} s make no sense: choose a length in seconds"
            )
        if self.samples <= self.n_fft // 2:
            raise AsdError(
                f"clips of {self.seconds:g} s are shorter than half a window: "
                f"choose at least {self.n_fft} samples"
            )

    @property
    def samples(self) -> int:
        """Samples of a clip."""
        return round(self.seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Frames of the (centred) log-mel of a clip."""
        return self.samples // self.hop_length + 1


class LogMel(nn.Module):
    """Waveform (..., samples) in ±1 → log-mel (..., n_mels, frames) in dB, float32."""

    def __init__(self, config: FeatureConfig):
        super().__init__()
        from asdlib.sound._torchaudio import torchaudio

        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=config.sample_rate,
            n_fft=config.n_fft,
            win_length=config.n_fft,
            hop_length=config.hop_length,
            f_min=config.f_min,
            f_max=config.f_max,
            n_mels=config.n_mels,
            power=2.0,
            center=True,
            pad_mode="reflect",
            norm=None,
            mel_scale="htk",
        )
        self.decibel = torchaudio.transforms.AmplitudeToDB(stype="power", top_db=None)

    def forward(self, waveform: Tensor) -> Tensor:
        return self.decibel(self.mel(waveform))


@lru_cache(maxsize=8)
def _front_end(config: FeatureConfig) -> LogMel:
    # Built once: rebuilding window and filterbank for each clip halves the speed.
    return LogMel(config)


@torch.no_grad()
def log_mel(waveform: np.ndarray | Tensor, config: FeatureConfig) -> Tensor:
    """Log-mel spectrogram in dB, (..., n_mels, frames), of ``waveform`` in ±1.

    That is an array or tensor (..., samples).
    """
    return _front_end(config)(torch.as_tensor(waveform, dtype=torch.float32))
