"""The log-mel front end against the textbook formula, and its config against nonsense."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel


def textbook_log_mel(x, c: FeatureConfig):
    """Log-mel in numpy from its definition, sharing no code with torchaudio."""

    def to_mel(f):
        return 2595 * np.log10(1 + f / 700)

    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(c.n_fft) / c.n_fft)  # periodic Hann
    padded = np.pad(x.astype(np.float64), c.n_fft // 2, mode="reflect")
    frames = np.stack([padded[i * c.hop_length :][: c.n_fft] * window for i in range(1 + len(x) // c.hop_length)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = 700 * (10 ** (np.linspace(to_mel(c.f_min), to_mel(c.f_max), c.n_mels + 2) / 2595) - 1)
    f = np.linspace(0, c.sample_rate / 2, c.n_fft // 2 + 1)
    up = (f[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[None, 2:] - f[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(up, down))
    return 10 * np.log10(np.maximum(power @ filters, 1e-10)).T


@pytest.mark.parametrize(
    "config",
    [FeatureConfig(), FeatureConfig(seconds=2.0, n_mels=64), FeatureConfig(seconds=0.7, n_fft=512, hop_length=160, f_min=50)],
)
def test_log_mel_is_the_textbook_formula(config):
    x = np.random.default_rng(0).normal(0, 0.1, config.samples).astype(np.float32)
    ours = log_mel(x, config).numpy()
    assert ours.shape == (config.n_mels, config.frames)
    np.testing.assert_allclose(ours, textbook_log_mel(x, config), atol=2e-3)  # float32 against float64, in dB


def test_ten_seconds_are_128_by_313():
    config = FeatureConfig()
    assert (config.samples, config.n_mels, config.frames) == (160000, 128, 313)


def test_a_tone_peaks_in_its_own_band_and_doubling_it_adds_six_decibels():
    config = FeatureConfig(seconds=1.0)
    t = np.arange(config.samples) / config.sample_rate
    x = 0.1 * np.sin(2 * np.pi * 1000 * t)
    quiet, loud = log_mel(x, config), log_mel(2 * x, config)
    assert torch.all(quiet[:, 5].argmax() == quiet[:, 20].argmax())
    centre = 2595 * np.log10(1 + 1000 / 700) / (2595 * np.log10(1 + 8000 / 700)) * 129 - 1
    assert abs(quiet[:, 10].argmax().item() - centre) <= 1
    peak = quiet[:, 10].argmax()
    assert (loud - quiet)[peak, 10].item() == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_silence_is_minus_100_decibels():
    config = FeatureConfig(seconds=1.0)
    assert torch.all(log_mel(np.zeros(config.samples), config) == -100)


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1024, 20000), hop=st.sampled_from([160, 256, 512]), mels=st.sampled_from([16, 40]))
def test_frames_are_what_the_config_says_for_any_length(samples, hop, mels):
    config = FeatureConfig(seconds=samples / 16000, n_fft=1024, hop_length=hop, n_mels=mels)
    x = np.random.default_rng(samples).normal(size=(2, config.samples)).astype(np.float32)
    assert log_mel(x, config).shape == (2, mels, config.frames)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_fft": 1023}, "even"),
        ({"n_fft": 0}, "even"),
        ({"hop_length": 0}, "hop_length"),
        ({"hop_length": 2048}, "hop_length"),
        ({"f_max": 9000.0}, "8000"),
        ({"f_min": 8000.0}, "f_min"),
        ({"seconds": 0.01}, "shorter than half a window"),
        ({"seconds": 512 / 16000}, "shorter than half a window"),
        *(({"seconds": value}, f"clips of {value} s make no sense") for value in (0, -1.0, float("nan"), float("inf"))),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(AsdError, match=message):
        FeatureConfig(**change)


@pytest.mark.parametrize("change", [{"hop_length": 1}, {"hop_length": 1024}, {"f_max": 8000.0}, {"f_min": 7999.0}])
def test_settings_at_the_edge_of_sense_are_allowed(change):
    assert FeatureConfig(**change).samples == 160_000
    assert FeatureConfig(seconds=513 / 16000).samples == 513
    assert FeatureConfig(n_fft=2, hop_length=2).samples == 160_000


BROKEN = """
import sys, importlib.abc, importlib.machinery

class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    # Stands where torchaudio loads its compiled extension, and fails as the real one does.
    def find_spec(self, name, path, target=None):
        if name == "torchaudio._extension":
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise {error}

sys.meta_path.insert(0, Broken())
from asdlib.features import FeatureConfig, log_mel
import torch
print(log_mel(torch.ones(16000), FeatureConfig(seconds=1.0)).shape)
"""


@pytest.mark.parametrize(
    "error",
    [
        "OSError('libc10_cuda.so: cannot open shared object file')",  # CPU-only torch
        "RuntimeError('Detected that PyTorch and TorchAudio were compiled with different CUDA versions')",
        "ImportError('undefined symbol')",
    ],
)
def test_the_front_end_works_where_torchaudios_compiled_part_cannot_load(error):
    done = subprocess.run([sys.executable, "-c", BROKEN.format(error=error)], capture_output=True, text=True)
    assert "torch.Size([128, 32])" in done.stdout, done.stderr
