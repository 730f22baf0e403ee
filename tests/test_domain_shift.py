"""The park of two domains: they differ in what is said, and the far microphone hears the same machine, later and less of it."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import correlate

from asdlib import domain_shift, machines
from asdlib.data import scan
from asdlib.domain_shift import FACTORS, SECTIONS, ShiftPreset, render_pair
from asdlib.errors import AsdError
from asdlib.layouts import parse
from asdlib.machine_types import MACHINE_TYPES

# As that of the other parks in test_machines: of the sounds in 16 bits.
GOLDEN = "07b8f625118ceaa00b8f461272169fbf7b06c69d1c42ac339a226da85c22e79e"


def near(clip):
    return clip.waveform[:, 0].astype(np.float64)


def far(clip):
    return clip.waveform[:, 1].astype(np.float64)


def rms(x):
    return np.sqrt(np.mean(x**2))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A park of two domains, with few and short clips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(machines.PARKS, "shift", ShiftPreset(seconds=0.5, train=(4, 2), test=5))
        return machines.simulate(tmp_path_factory.mktemp("data") / "shift", preset="shift", seed=1)


def test_a_park_has_few_target_clips_in_training_and_as_many_of_all_kinds_in_testing():
    named = [parse(Path(name)) for name, _ in machines.clip_plan("shift")]
    assert None not in named
    counts = Counter((f"{n.machine_type}/{n.machine_id}", n.split, n.domain, n.label) for n in named)
    size = machines.PARKS["shift"]
    expected = {}
    for section in SECTIONS:
        expected[section, "train", "source", "normal"], expected[section, "train", "target", "normal"] = size.train
        for domain in ("source", "target"):
            expected |= {(section, "test", domain, label): size.test for label in ("normal", "anomaly")}
    assert counts == expected
    assert size.train[0] >= 10 * size.train[1] > 0
    assert {section.split("/")[1] for section in SECTIONS} == {"section_00", "section_01"}


@pytest.mark.parametrize("preset", ["shift", *(f"shift-{factor}" for factor in FACTORS)])
def test_names_say_what_differs_between_the_domains_and_no_moment_comes_twice(preset):
    plan = list(machines.clip_plan(preset, seed=4))
    assert len({name for name, _ in plan}) == len(plan)
    moments = {(a["section"], a["split"], a["number"]) for _, a in plan}
    assert len(moments) == len(plan)
    values = {"source": set(), "target": set()}
    for name, arguments in plan:
        named = parse(Path(name))
        assert named.domain == arguments["domain"]
        assert (named.label == "anomaly") == ("fault" in arguments)
        values[named.domain].add(named.attributes)
    (source,), (target,) = values["source"], values["target"]
    assert [name for name, _ in source] == [factor.attribute for factor in FACTORS.values()]
    moved = {a for (a, here), (b, there) in zip(source, target, strict=True) if a == b and here != there}
    asked = FACTORS if preset == "shift" else [preset.removeprefix("shift-")]
    assert moved == {FACTORS[name].attribute for name in asked}


def test_files_are_found_with_domain_and_attributes_and_hold_both_microphones(small):
    clips = scan(small)
    assert len(clips) == len(SECTIONS) * (4 + 2 + 4 * 5)
    clip = next(c for c in clips if c.machine == "valve/section_01" and c.domain == "target" and c.label == "anomaly")
    assert clip.attributes == (("spd", "85"), ("load", "140"), ("mic", "B"), ("room", "hall"), ("noise", "high"))
    x, rate = soundfile.read(clip.path, dtype="int16")
    assert (rate, x.shape) == (16000, (8000, 2))
    plan = dict(machines.clip_plan("shift", seed=1))  # of the full size: no other clips, but of other lengths and numbers
    name = "fan/train/section_00_source_train_normal_0003_spd_100_load_100_mic_A_room_cabin_noise_low.wav"
    rendered = render_pair(**plan[name] | {"seconds": 0.5})
    np.testing.assert_array_equal(soundfile.read(small / name, dtype="int16")[0], np.round(rendered.waveform * 2**15))


def test_faults_take_turns_and_park_json_tells_of_them(small):
    facts = json.loads((small / "park.json").read_text())["clips"]
    assert facts.keys() == {str(path.relative_to(small)) for path in small.rglob("*.wav")}
    for domain in ("source", "target"):
        start = f"fan/test/section_00_{domain}_test_anomaly"
        found = [fact["fault"] for name, fact in sorted(facts.items()) if name.startswith(start)]
        kinds = machines.faults("fan/id_00")
        assert found == [kinds[i % len(kinds)] for i in range(5)]
    assert all((fact["fault"] is None) == ("_normal_" in name) for name, fact in facts.items())


@pytest.mark.parametrize("section", SECTIONS)
def test_a_clip_depends_on_its_key_only(section):
    first = render_pair(section, 5, seed=1, seconds=0.5).waveform
    render_pair(section, 6, seed=1, seconds=0.5)
    np.testing.assert_array_equal(first, render_pair(section, 5, seed=1, seconds=0.5).waveform)
    assert first.shape == (8000, 2)
    assert first.dtype == np.float32
    for other in (
        render_pair(section, 4, seed=1, seconds=0.5),
        render_pair(section, 5, seed=2, seconds=0.5),
        render_pair(section, 5, seed=1, split="test", seconds=0.5),
    ):
        assert not np.allclose(first, other.waveform)


def test_the_park_sounds_as_it_always_did():
    digest = hashlib.sha256()
    for section in SECTIONS:
        for domain, fault in (("source", None), ("target", None), ("target", machines.faults(SECTIONS[section])[0])):
            clip = render_pair(section, 3, seed=1, domain=domain, fault=fault, seconds=1.0)
            digest.update(np.round(clip.waveform * 2**15).astype("<i2").tobytes())
    assert digest.hexdigest() == GOLDEN


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("section", ["fan/section_00", "valve/section_01"])
def test_a_factor_moves_its_own_fields_as_far_as_it_says_and_no_other(section, name):
    here = render_pair(section, 2, factors=[name], seconds=0.5)
    there = render_pair(section, 2, factors=[name], domain="target", seconds=0.5)
    moved = {key for key in here.nuisance if here.nuisance[key] != there.nuisance[key]}
    source, target = FACTORS[name].source[1], FACTORS[name].target[1]
    assert moved == {key for key in source if source[key] != target[key]} == set(source)
    for key in moved:
        typical, other = (np.array([here.nuisance[key], there.nuisance[key]]), np.array([source[key], target[key]]))
        if key in domain_shift.RATIOS:
            typical, other = np.log(typical), np.log(other)
        assert typical[1] - typical[0] == pytest.approx(other[1] - other[0])
    assert here.identity == there.identity
    assert not np.allclose(here.waveform, there.waveform, atol=1e-4)


def test_domains_that_differ_in_nothing_are_one():
    here, there = (render_pair("ToyCar/section_00", 2, factors=[], domain=d, seconds=0.5) for d in ("source", "target"))
    np.testing.assert_array_equal(here.waveform, there.waveform)


def test_all_factors_together_are_each_of_them():
    there = render_pair("fan/section_00", 2, domain="target", seconds=0.5)
    for name in FACTORS:
        alone = render_pair("fan/section_00", 2, domain="target", factors=[name], seconds=0.5)
        for key in FACTORS[name].target[1]:
            assert there.nuisance[key] == alone.nuisance[key]


def machine_alone(section, **moment):
    """What a fault changes in a recording: of the hall's noise nothing is left."""
    fault = machines.faults(SECTIONS[section])[0]
    healthy = render_pair(section, 7, seconds=1.0, **moment)
    faulty = render_pair(section, 7, seconds=1.0, fault=fault, **moment)
    return faulty.waveform.astype(np.float64) - healthy.waveform


@pytest.mark.parametrize("section", SECTIONS)
def test_noise_is_louder_in_the_target_and_the_machine_the_same(section):
    here, there = (machine_alone(section, domain=domain, factors=["noise"]) for domain in ("source", "target"))
    np.testing.assert_allclose(here, there, atol=1e-6)
    quiet, loud = (render_pair(section, 7, domain=d, factors=["noise"], seconds=1.0) for d in ("source", "target"))
    assert rms(near(loud)) > rms(near(quiet))


@pytest.mark.parametrize("domain", ["source", "target"])
@pytest.mark.parametrize("section", SECTIONS)
def test_the_far_microphone_hears_the_machine_later_and_less_of_it(section, domain):
    clip = render_pair(section, 7, domain=domain)
    assert rms(far(clip)) < rms(near(clip))
    alone = machine_alone(section, domain=domain)
    assert rms(alone[:, 1]) < 0.8 * rms(alone[:, 0])
    # Direct sound: where the two are most alike, the far one is 3 m of air behind.
    together = correlate(alone[:, 1], alone[:, 0])
    lag = int(together.argmax()) - (len(alone) - 1)
    assert lag == pytest.approx(3 / 343 * 16000, abs=8)  # a ring's own period, at most
    # Of what it hears of the machine, less is direct sound, and more is room.
    share = together.max() / np.sum(alone[:, 0] ** 2)
    assert 0.15 < share < 0.45
    assert rms(alone[:, 1]) > share * rms(alone[:, 0])


def test_the_far_microphone_hears_as_much_of_the_hall():
    """Nothing else is left where the machine makes no sound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(domain_shift, "dry_sound", lambda *a: np.zeros(a[-1]))
        clip = render_pair("fan/section_00", 4, seconds=2.0)
    assert rms(far(clip)) == pytest.approx(rms(near(clip)), rel=0.05)
    assert abs(np.corrcoef(near(clip), far(clip))[0, 1]) < 0.5


@pytest.mark.parametrize(("section", "fault"), [(s, f) for s in SECTIONS for f in machines.faults(SECTIONS[s])])
def test_a_fault_moves_what_it_moves_in_either_domain(section, fault):
    for domain in ("source", "target"):
        healthy = render_pair(section, 3, domain=domain, seconds=0.5)
        faulty = render_pair(section, 3, domain=domain, fault=fault, seconds=0.5)
        moved = {name for name in healthy.identity if healthy.identity[name] != faulty.identity[name]}
        assert moved == set(MACHINE_TYPES[section.split("/")[0]].faults[fault])
        assert healthy.nuisance == faulty.nuisance


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render_pair("fan/id_00", 0), "no section 'fan/id_00' in the park: choose one of fan/section_00"),
        (lambda: render_pair("fan/section_00", 0, domain="mars"), "no domain 'mars' in the park: choose one of source, target"),
        (lambda: render_pair("fan/section_00", 0, factors=["moon"]), "no factor 'moon' in the park: choose one of speed"),
        (lambda: render_pair("fan/section_00", 0, fault="rust"), "a fan has no fault 'rust'"),
    ],
)
def test_unknown_names_are_refused_with_the_choices(call, message):
    with pytest.raises(AsdError, match=message):
        call()
