"""Faults made of healthy clips: which machines are kept out, and what a mixture holds."""

import numpy as np

from asdlib.clips import Clips
from asdlib.features import FeatureConfig, log_mel
from asdlib.rehearsal import rehearsed_faults, strangers_of

FEATURES = FeatureConfig(seconds=0.5)
PARK = [f"{t}/{i}" for t, n in (("fan", 3), ("pump", 1), ("valve", 2)) for i in range(n)]


def test_one_machine_of_each_type_with_two_or_more_is_kept_out_in_turn():
    assert [strangers_of(PARK * 4, turn) for turn in range(4)] == [
        ["fan/0", "valve/0"],
        ["fan/1", "valve/1"],
        ["fan/2", "valve/0"],
        ["fan/0", "valve/1"],
    ]


def test_nobody_is_kept_out_where_that_would_leave_nothing_to_tell_apart():
    assert strangers_of(["fan/0", "fan/1"]) == []
    assert strangers_of(["fan/0", "pump/0", "valve/0"]) == []
    assert strangers_of(["fan/0", "fan/1", "fan/2"]) == ["fan/0"]


def tones(machines, hertz):
    time = np.arange(FEATURES.samples) / FEATURES.sample_rate
    waves = np.round(2**15 * 0.2 * np.sin(2 * np.pi * np.array(hertz)[:, None] * time)).astype(np.int16)
    mels = np.stack([log_mel(wave / np.float32(2**15), FEATURES).numpy() for wave in waves]).astype(np.float16)
    return Clips((waves, mels), machines, FEATURES)


def test_a_mixture_holds_half_of_the_power_of_each_and_of_its_own_type_where_there_is_one():
    healthy = tones(["fan/1", "fan/2", "pump/0", "valve/1"], [500, 600, 700, 800])
    strangers = tones(["fan/0", "fan/0", "valve/0"], [3000, 3100, 4000])
    mixed = rehearsed_faults(healthy, strangers, seed=3)
    np.testing.assert_array_equal(mixed.machines, healthy.machines)
    spectra = np.abs(np.fft.rfft(mixed.waveforms))
    whole = np.abs(np.fft.rfft(healthy.waveforms.astype(np.float32) / 2**15)).max()
    at = np.fft.rfftfreq(FEATURES.samples, 1 / FEATURES.sample_rate)
    for row, own in zip(spectra, (500, 600, 700, 800), strict=True):
        loud = at[row > 0.65 * whole]
        np.testing.assert_allclose(row[row > 0.65 * whole], whole / 2**0.5, rtol=0.02)
        assert loud[0] == own
        assert len(loud) == 2
        assert loud[1] in {500: (3000, 3100), 600: (3000, 3100), 700: (3000, 3100, 4000), 800: (4000,)}[own]
    own_log_mel = log_mel(mixed.waveforms[0], FEATURES).numpy()
    np.testing.assert_allclose(mixed.log_mels[0], own_log_mel, atol=0.05)
    again, other = (rehearsed_faults(healthy, strangers, seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(again.waveforms, mixed.waveforms)
    assert not np.array_equal(other.waveforms, mixed.waveforms)


def test_of_spectra_the_powers_are_mixed():
    healthy = Clips((np.log10([[[[1.0, 10.0]]]]),), ["fan/1"])
    strangers = Clips((np.log10([[[[3.0, 30.0]]]]),), ["fan/0"])
    np.testing.assert_allclose(10 ** rehearsed_faults(healthy, strangers).inputs[0][0, 0], [[2.0, 20.0]], rtol=1e-6)
