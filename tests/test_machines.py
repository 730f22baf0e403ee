"""The simulated park: reproducible clip by clip, and a fault changes what it says and nothing else."""

import hashlib
import json

import numpy as np
import pytest
import soundfile

from asdlib import machines
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig, log_mel
from asdlib.machine_types import MACHINE_TYPES

# Of the park's sounds, in 16 bits, so that the last bits of another processor's sine do not count.
GOLDEN = "c68e7e52f832811da4305c7f6c9a1ef9f5d8fed5b65ee24d5da4df961b878905"
FAULTS = [(f"{name}/{kind.ids[0]}", fault) for name, kind in MACHINE_TYPES.items() for fault in kind.faults]


def test_the_park_has_the_23_machines_of_the_challenge():
    names = machines.machines()
    assert len(names) == 23
    assert {m for m in names if m.startswith("ToyConveyor")} == {f"ToyConveyor/id_0{i}" for i in (1, 2, 3)}
    assert {m for m in names if m.startswith("fan")} == {f"fan/id_0{i}" for i in (0, 2, 4, 6)}


@pytest.mark.parametrize("machine", [f"{name}/{kind.ids[-1]}" for name, kind in MACHINE_TYPES.items()])
def test_a_clip_depends_on_its_key_only(machine):
    first = machines.render(machine, 5, seed=1, seconds=1.0).waveform
    machines.render(machine, 6, seed=1)  # another clip in between changes nothing
    again = machines.render(machine, 5, seed=1, seconds=1.0).waveform
    np.testing.assert_array_equal(first, again)
    assert first.shape == (16000,)
    assert first.dtype == np.float32
    for other in (
        machines.render(machine, 4, seed=1, seconds=1.0),
        machines.render(machine, 5, seed=2, seconds=1.0),
        machines.render(machine, 5, seed=1, split="test", seconds=1.0),
    ):
        assert not np.allclose(first, other.waveform)


@pytest.mark.parametrize(("machine", "fault"), FAULTS)
def test_a_fault_moves_its_own_parameters_out_of_tolerance_and_leaves_the_rest(machine, fault):
    healthy = machines.render(machine, 3)
    faulty = machines.render(machine, 3, fault=fault, severity=1.0)
    moved = {name for name in healthy.identity if healthy.identity[name] != faulty.identity[name]}
    kind = MACHINE_TYPES[machine.split("/")[0]]
    assert moved == set(kind.faults[fault])
    assert healthy.nuisance == faulty.nuisance
    shift = {name: abs(np.log(faulty.identity[name] / healthy.identity[name])) for name in moved}
    assert max(shift[name] / kind.parameters[name].tolerance for name in moved) > 4
    assert not np.allclose(healthy.waveform, faulty.waveform, atol=1e-3)


@pytest.mark.parametrize(("machine", "fault"), FAULTS)
def test_severity_zero_is_healthy_and_a_worse_fault_sounds_further_away(machine, fault):
    healthy = machines.render(machine, 3).waveform
    np.testing.assert_allclose(machines.render(machine, 3, fault=fault, severity=0.0).waveform, healthy, atol=1e-6)
    config = FeatureConfig(seconds=2.0, n_mels=64)

    def distance(severity):
        other = machines.render(machine, 3, fault=fault, severity=severity).waveform
        return (log_mel(other, config) - log_mel(healthy, config)).abs().mean()

    assert 0.01 < distance(0.3) < distance(1.0) < distance(2.0)


@pytest.mark.parametrize("severity", [0.0, 1.0])
@pytest.mark.parametrize(("machine", "fault"), [("pump/id_00", "cavitation"), ("slider/id_02", "loose rail")])
def test_the_surroundings_are_the_same_with_and_without_a_fault(machine, fault, severity):
    """Nothing else is heard of a machine that makes no sound, but draws more random numbers when it is faulty."""
    kind = MACHINE_TYPES[machine.split("/")[0]]
    drawn = []

    def mute(values, nuisance, rng, n, sample_rate):
        healthy = all(values[name] == normal[name] for name in normal)
        drawn.append(rng.normal(size=3 if healthy else 30))
        return np.zeros(n)

    normal = machines.render(machine, 3, seconds=1.0).identity
    typical = kind.render
    object.__setattr__(kind, "render", mute)  # of a frozen dataclass
    try:
        healthy = machines.render(machine, 3, seconds=1.0)
        faulty = machines.render(machine, 3, fault=fault, severity=severity, seconds=1.0)
    finally:
        object.__setattr__(kind, "render", typical)
    assert [len(numbers) for numbers in drawn] == [3, 30 if severity else 3]
    np.testing.assert_array_equal(drawn[0], drawn[1][:3])  # the machine's own noise starts alike, too
    assert np.abs(healthy.waveform).max() > 1e-4
    np.testing.assert_array_equal(healthy.waveform, faulty.waveform)


def test_the_park_sounds_as_it_always_did():
    """A change of the park's sounds changes every number in the book: here it is noticed, bit by bit."""
    digest = hashlib.sha256()
    for name, kind in MACHINE_TYPES.items():
        for fault in (None, *kind.faults):
            clip = machines.render(f"{name}/{kind.ids[0]}", 3, seed=1, fault=fault, seconds=1.0)
            digest.update(np.round(clip.waveform * 2**15).astype("<i2").tobytes())
    assert digest.hexdigest() == GOLDEN


def test_machines_of_a_type_lie_near_each_other_and_none_coincide():
    identities = [machines.identity(f"fan/{i}", seed=0) for i in MACHINE_TYPES["fan"].ids]
    for name, parameter in MACHINE_TYPES["fan"].parameters.items():
        logs = sorted(np.log([identity[name] for identity in identities]))
        assert min(np.diff(logs)) > 0.3 * parameter.spread  # no two coincide
        assert logs[-1] - logs[0] < 4 * parameter.spread  # none lies far away


def test_the_files_are_those_of_the_challenge_and_park_json_tells_their_making(park):
    assert sorted(p.name for p in park.iterdir()) == sorted([*MACHINE_TYPES, "park.json"])
    facts = json.loads((park / "park.json").read_text())
    files = {str(p.relative_to(park)) for p in park.rglob("*.wav")}
    assert files == set(facts["clips"])
    assert len(files) == 23 * (6 + 4 + 4)
    audio = soundfile.info(park / "pump" / "train" / "normal_id_06_00000005.wav")
    assert (audio.samplerate, audio.channels, audio.subtype, audio.frames) == (16000, 1, "PCM_16", 16000)
    for name, fact in facts["clips"].items():
        assert (fact["fault"] is not None) == ("anomaly" in name)
    anomaly = facts["clips"]["fan/test/anomaly_id_02_00000001.wav"]
    assert anomaly["fault"] in machines.faults("fan/id_02")
    assert 0.6 <= anomaly["severity"] <= 1.4


def test_a_file_holds_the_rendered_clip(park):
    x, _ = soundfile.read(park / "valve" / "train" / "normal_id_04_00000002.wav", dtype="int16")
    clip = machines.render("valve/id_04", 2, seed=0, seconds=1.0)
    np.testing.assert_array_equal(x, np.round(clip.waveform * 2**15).astype(np.int16))


def test_the_challenge_preset_has_the_challenge_counts():
    names = [name for name, _ in machines.clip_plan("dcase")]
    assert len(names) == len(set(names))
    assert sum("/train/" in name for name in names) == 20119
    assert sum("/test/" in name for name in names) == 10868  # the development test set, all 23 machines


def test_an_existing_folder_is_left_alone_and_nothing_half_made_stays(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("x")
    with pytest.raises(AsdError, match="exists already"):
        machines.simulate(tmp_path / "mine", preset="tiny")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machines.wavfile, "write", full)
    with pytest.raises(AsdError, match="No space left"):
        machines.simulate(tmp_path / "new", preset="tiny")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: machines.render("fan/id_01", 0), "no machine 'fan/id_01'"),
        (lambda: machines.render("fan/id_00", 0, fault="rust"), "no fault 'rust'"),
        (lambda: machines.simulate("x", preset="huge"), "no preset 'huge'"),
    ],
)
def test_unknown_names_are_refused_with_the_choices(call, message):
    with pytest.raises(AsdError, match=message):
        call()
