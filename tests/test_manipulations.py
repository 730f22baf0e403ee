"""What may happen to a clip on its way: each manipulation by hand or by torchaudio, and the generator decides the rest."""

import math

import numpy as np
import pytest
import torch

from asdlib import manipulations
from asdlib.errors import AsdError
from asdlib.manipulations import MANIPULATIONS, OF_SPECTRA, SHAPES
from asdlib.sound._torchaudio import torchaudio

RATE = manipulations.RATE
ALL = [(kind, strength) for kind, strengths in MANIPULATIONS.items() for strength in strengths]
OF_ALL_SPECTRA = [(kind, strength) for kind, strengths in OF_SPECTRA.items() for strength in strengths]


def rng(seed=0):
    return np.random.default_rng(seed)


def noisy(n=3, samples=8000, *, seed=0):
    return torch.from_numpy(0.1 * rng(seed).normal(size=(n, samples))).float()


def tone(hertz, *, samples=2 * RATE):
    return 0.3 * torch.sin(2 * math.pi * hertz * torch.arange(samples, dtype=torch.float64) / RATE).float()[None]


def pitch(x):
    """The strongest frequency of a clip, in Hz, in its first half, where nothing has begun again."""
    half = x[0, : x.shape[1] // 2].double() * torch.hann_window(x.shape[1] // 2, dtype=torch.float64)
    return torch.fft.rfft(half).abs().argmax().item() * RATE / len(half)


def test_the_strengths_are_those_of_the_published_ones():
    assert {kind: list(strengths) for kind, strengths in MANIPULATIONS.items()} == {
        "gain": ["0.5", "0.1"],
        "noise": ["25 dB", "20 dB", "15 dB"],
        "stretch": ["0.9", "0.95", "1.05", "1.1"],
        "echo": ["1000 samples, 0.2", "1000 samples, 0.5", "2000 samples, 0.2", "2000 samples, 0.5"],
        "roll": ["0.025", "0.25", "0.5"],
        "fade": [f"{share}, {shape}" for share in (0.1, 0.3, 0.5) for shape in SHAPES],
        "resample": ["15000 Hz", "15500 Hz", "16500 Hz", "17000 Hz"],
    }
    for samples, share in zip((1600, 16000, 32000), (0.025, 0.25, 0.5), strict=True):
        assert samples / 64600 == pytest.approx(share, rel=0.02)  # of the clips there


@pytest.mark.parametrize(("kind", "strength"), ALL)
def test_a_clip_keeps_its_shape_and_type_and_is_changed_alike_in_any_company(kind, strength):
    manipulation, x = MANIPULATIONS[kind][strength], noisy()
    before = x.clone()
    y = manipulation(x, rng(1))
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert torch.equal(x, before)
    assert not torch.equal(y, x)
    assert torch.isfinite(y).all()
    assert torch.equal(manipulation(x, rng(1)), y)
    other = manipulation(x, rng(2))
    assert torch.equal(other, y) == (kind != "noise")
    if kind != "noise":
        torch.testing.assert_close(manipulation(x[1:2], rng(1)), y[1:2])


@pytest.mark.parametrize("factor", [0.5, 0.1])
def test_a_gain_is_a_factor(factor):
    x = noisy()
    torch.testing.assert_close(MANIPULATIONS["gain"][f"{factor:g}"](x, rng()), factor * x)


@pytest.mark.parametrize("decibels", [25, 20, 15])
def test_noise_is_white_and_as_far_below_the_clip_as_it_says(decibels):
    x = torch.stack([tone(440)[0], 0.01 * tone(440)[0]])
    added = (MANIPULATIONS["noise"][f"{decibels} dB"](x, rng()) - x).double()
    ratio = 10 * torch.log10(x.double().square().mean(dim=1) / added.square().mean(dim=1))
    torch.testing.assert_close(ratio, torch.full((2,), float(decibels), dtype=torch.float64), atol=0.1, rtol=0)
    power = torch.fft.rfft(added[0]).abs().square()
    assert power[: len(power) // 2].mean() == pytest.approx(power[len(power) // 2 :].mean().item(), rel=0.05)


@pytest.mark.parametrize("pace", [0.9, 0.95, 1.05, 1.1])
def test_a_stretch_changes_the_pace_and_not_the_pitch(pace):
    stretched = MANIPULATIONS["stretch"][f"{pace:g}"](tone(1000), rng())
    assert pitch(stretched) == pytest.approx(1000, abs=3)
    bursts = torch.zeros(1, 2 * RATE)
    bursts[:, RATE : RATE + 800] = tone(2000, samples=800)  # at one second
    found = MANIPULATIONS["stretch"][f"{pace:g}"](bursts, rng())[0].square()
    middle = (found[: int(1.7 * RATE)] * torch.arange(int(1.7 * RATE))).sum() / found[: int(1.7 * RATE)].sum()
    assert middle.item() == pytest.approx((RATE + 400) / pace, abs=200)


@pytest.mark.parametrize(("delay", "share"), [(1000, 0.2), (1000, 0.5), (2000, 0.2), (2000, 0.5)])
def test_an_echo_is_a_share_of_what_was_and_nothing_before_that(delay, share):
    x = noisy(samples=3000)
    y = MANIPULATIONS["echo"][f"{delay} samples, {share:g}"](x, rng())
    expected = x.numpy().copy()
    for t in range(delay, 3000):
        expected[:, t] += share * x.numpy()[:, t - delay]
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-7)
    short = noisy(samples=700)
    assert torch.equal(MANIPULATIONS["echo"][f"{delay} samples, {share:g}"](short, rng()), short)  # it is over before


@pytest.mark.parametrize("share", [0.025, 0.25, 0.5])
def test_a_roll_is_that_of_numpy(share):
    x = noisy()
    y = MANIPULATIONS["roll"][f"{share:g}"](x, rng())
    np.testing.assert_array_equal(y.numpy(), np.roll(x.numpy(), round(share * 8000), axis=1))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_fade_is_that_of_torchaudio(share, shape):
    x = noisy()
    length = round(share * 8000)
    expected = torchaudio.transforms.Fade(length, length, fade_shape=shape)(x)
    torch.testing.assert_close(MANIPULATIONS["fade"][f"{share:g}, {shape}"](x, rng()), expected, atol=1e-6, rtol=1e-5)


def test_an_unknown_fade_is_refused_with_the_choices():
    with pytest.raises(AsdError, match="no fade is 'square': choose one of linear, quarter_sine, half_sine, exponential, l"):
        manipulations.fade(noisy(), rng(), share=0.1, shape="square")


@pytest.mark.parametrize("rate", [15000, 15500, 16500, 17000])
def test_another_clock_changes_pitch_and_pace_by_the_same_factor(rate):
    y = MANIPULATIONS["resample"][f"{rate} Hz"](tone(1000), rng())
    assert pitch(y) == pytest.approx(1000 * RATE / rate, abs=2)
    kept = 2 * rate  # samples of the whole clip at that rate
    if kept < 2 * RATE:
        torch.testing.assert_close(y[:, kept:], y[:, : 2 * RATE - kept])  # what is missing begins again
    click = torch.zeros(1, 2 * RATE)
    click[:, RATE] = 1
    assert MANIPULATIONS["resample"][f"{rate} Hz"](click, rng()).abs().argmax().item() == pytest.approx(rate, abs=1)


# ------------------------------------------------------------------------------------------------------------- spectra


def spectra(n=4, bands=12, modulations=4):
    return torch.from_numpy(rng(3).normal(-5, 1, size=(n, 1, bands, modulations))).float()


@pytest.mark.parametrize(("kind", "strength"), OF_ALL_SPECTRA)
def test_a_spectrum_keeps_its_shape_and_the_generator_decides(kind, strength):
    x, manipulation = spectra(), OF_SPECTRA[kind][strength]
    y = manipulation(x, rng(1))
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert not torch.equal(y, x)
    assert torch.equal(manipulation(x, rng(1)), y)
    assert torch.equal(manipulation(x, rng(2)), y) == (kind != "noise")


@pytest.mark.parametrize("factor", [0.5, 0.1])
def test_a_gain_of_a_spectrum_is_that_of_the_sound(factor):
    """Exactly: a power is the square of a level."""
    wave = noisy(1, 4096)
    power = lambda x: torch.fft.rfft(x.double()).abs().square().view(-1)[:2048].log10().view(1, 1, 512, 4)  # noqa: E731
    quieter = OF_SPECTRA["gain"][f"{factor:g}"](power(wave), rng())
    torch.testing.assert_close(quieter, power(MANIPULATIONS["gain"][f"{factor:g}"](wave, rng())), atol=1e-5, rtol=0)


@pytest.mark.parametrize("decibels", [25, 20, 15])
def test_noise_in_spectra_has_the_mean_power_that_it_should(decibels):
    x = spectra(200, 30, 8).double()
    added = 10 ** OF_SPECTRA["noise"][f"{decibels} dB"](x, rng()) - 10**x
    assert (added > 0).all()
    ratio = 10 * torch.log10((10**x).mean(dim=(1, 2, 3)) / added.mean(dim=(1, 2, 3)))
    assert ratio.mean().item() == pytest.approx(decibels, abs=0.1)


def test_bands_move_by_whole_ones_and_by_halves():
    x = torch.arange(5.0).square().view(1, 1, 5, 1)  # 0 1 4 9 16
    moved = {name: f(x, rng()).flatten().tolist() for name, f in OF_SPECTRA["resample"].items()}
    assert moved == {
        "-1 bands": [1, 4, 9, 16, 16],
        "-0.5 bands": [0.5, 2.5, 6.5, 12.5, 16],
        "0.5 bands": [0, 0.5, 2.5, 6.5, 12.5],
        "1 bands": [0, 0, 1, 4, 9],
    }


# ------------------------------------------------------------------------------------------------------------- drawing


def test_what_is_drawn_is_one_of_them_or_none_with_equal_chances():
    x, names = torch.ones(6000, 8), list(MANIPULATIONS)
    kinds = [{kind: lambda x, _, i=i: x + i + 1} for i, kind in enumerate(names)]
    y = manipulations.draw(x, rng(), kinds=kinds)
    assert (y == y[:, :1]).all()
    counts = np.bincount((y[:, 0] - 1).int().numpy(), minlength=len(names) + 1)
    assert len(counts) == len(names) + 1
    np.testing.assert_allclose(counts / 6000, 1 / (len(names) + 1), rtol=0.15)


def test_of_a_kind_every_strength_is_drawn_alike():
    y = manipulations.draw(torch.ones(6000, 8), rng(), kinds=[{str(i): lambda x, _, i=i: x + i + 1 for i in range(3)}])
    counts = np.bincount((y[:, 0] - 1).int().numpy())
    np.testing.assert_allclose(counts / 6000, [1 / 2, *[1 / 6] * 3], rtol=0.1)


def test_the_generator_decides_what_is_drawn_and_the_clips_stay_as_they_are():
    x = noisy(12)
    before = x.clone()
    first, again, other = (manipulations.draw(x, rng(seed), kinds=list(MANIPULATIONS.values())) for seed in (0, 0, 1))
    assert torch.equal(x, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    changed = ~(first == x).all(dim=1)
    assert 0 < changed.sum() <= 12
