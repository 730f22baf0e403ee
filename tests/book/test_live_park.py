"""The simulated park in plain script, in a browser: with Python's random draws replayed, Python's sounds."""

import base64

import numpy as np
import pytest

from asdlib.machines import faults, machines, park_facts, render
from asdlib.park import rendering
from asdlib.show.live import PARK, scripts

# Draws that Python made, in its order; a script that asks for another number of them gets an error.
# Arrays go to and fro as text, which is a hundred times as fast as number by number.
SETUP = """facts => {
    const numbers = (text) => new Float64Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
    const bytes = (x) => Array.from(new Uint8Array(Float64Array.from(x).buffer));
    const text = (x) => btoa(bytes(x).map((byte) => String.fromCharCode(byte)).join(""));
    const replay = (draws) => {
        let i = 0;
        const next = (n) => {
            const found = numbers(draws[i++]);
            if (found.length !== n) throw `${found.length} draws, not ${n}`;
            return found;
        };
        const within = (low, high, n) => next(n), scaled = (scale, n) => next(n);
        return { normal: next, uniform: within, exponential: scaled, poisson: () => next(1)[0], left: () => draws.length - i };
    };
    const park = asdlive.park(facts);
    window.made = ({ draws, surroundings, ...what }) => {
        const rng = replay(draws), own = replay(surroundings), waveform = park.clip({ ...what, rng, own });
        return { waveform: text(waveform), left: rng.left() + own.left() };
    };
    window.park = park;
}"""


class Recorded:
    """A generator of NumPy that keeps what it draws."""

    def __init__(self, rng):
        self.rng, self.draws = rng, []

    def __getattr__(self, name):
        def draw(*given):
            values = getattr(self.rng, name)(*given)
            self.draws.append(base64.b64encode(np.atleast_1d(values).astype("<f8").tobytes()).decode())
            return values

        return draw


@pytest.fixture
def park(page):
    page.set_content("<title>park</title>")
    page.add_script_tag(content=scripts(*PARK))
    page.evaluate(SETUP, park_facts())
    return page


@pytest.mark.parametrize("machine", machines())
def test_replayed_draws_make_the_same_sound(park, monkeypatch, machine):
    """Every machine healthy and with each of its faults; what passes by, too, in number 1 of most machines."""
    generator_of = rendering.generator_of
    for number, fault in enumerate([None, *faults(machine)]):
        kept = {}

        def recorded(*key, kept=kept):
            rng = generator_of(*key)
            return kept.setdefault(key[0], Recorded(rng)) if key[0] in ("clip", "background") else rng

        monkeypatch.setattr(rendering, "generator_of", recorded)
        clip = render(machine, number, fault=fault, severity=1.3, seconds=1.0)
        found = park.evaluate(
            "what => made(what)",
            {
                "machine": machine,
                "fault": fault or "",
                "severity": 1.3,
                "env": clip.nuisance,
                "n": len(clip.waveform),
                "draws": kept["clip"].draws[10:],  # after those of the nuisance
                "surroundings": kept["background"].draws,
            },
        )
        assert found["left"] == 0
        off = np.frombuffer(base64.b64decode(found["waveform"])) - clip.waveform
        assert np.sqrt(np.mean(off**2)) < 1e-4 * np.sqrt(np.mean(clip.waveform**2))
        assert np.abs(off).max() < 2**-15  # a step of 16 bits


def test_a_fault_of_severity_0_is_none_and_one_moment_is_the_same_with_and_without(park):
    """Only what the fault moves is another; the surroundings and the moment are not."""
    hall = {"room_decay": 0.2, "room_wet": 0.2, "snr": 10, "background_slope": 4, "events": 2}
    env = {"speed": 1, "load": 1, "start": 0.2, "gain": 0, "colour": 0, **hall}
    code = """([fault, severity, env]) => Array.from(park.clip({
        machine: "fan/id_00", fault, severity, env, n: 16000, rng: park.generator(3), own: park.generator(4)
    }))"""
    asked = [("", 0), ("bearing wear", 0), ("bearing wear", 1)]
    healthy, none, worn = (np.array(park.evaluate(code, [*what, env])) for what in asked)
    np.testing.assert_array_equal(healthy, none)
    # Worn bearings add what rings at 3.1 kHz, and nothing below 1 kHz.
    gained, whole = (np.abs(np.fft.rfft(x)) ** 2 for x in (worn - healthy, healthy))
    assert gained[2500:3700].sum() > 0.5 * gained.sum() > 0
    assert gained[:1000].sum() < 0.01 * whole[:1000].sum()


def test_draws_follow_their_laws_and_a_seed_gives_them_again(park):
    code = """seed => { const rng = park.generator(seed), list = (x) => Array.from(x); return [list(rng.uniform(2, 5, 20000)),
        list(rng.normal(20000)), list(rng.exponential(0.7, 20000)), Array.from({ length: 20000 }, () => rng.poisson(4.5))]; }"""
    uniform, normal, exponential, poisson = (np.array(x) for x in park.evaluate(code, 0))
    for draws, mean, deviation in (
        (uniform, 3.5, 3 / 12**0.5),
        (normal, 0, 1),
        (exponential, 0.7, 0.7),
        (poisson, 4.5, 4.5**0.5),
    ):
        assert abs(draws.mean() - mean) < 5 * deviation / 20000**0.5
        assert draws.std() == pytest.approx(deviation, rel=0.05)
        assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.03
    assert (uniform.min() >= 2, uniform.max() < 5, exponential.min() >= 0) == (True, True, True)
    again, other = park.evaluate(code, 0), park.evaluate(code, 1)
    assert again == [uniform.tolist(), normal.tolist(), exponential.tolist(), poisson.tolist()]
    assert abs(np.corrcoef(other[1], normal)[0, 1]) < 0.03


def test_steps_of_16_bits_are_those_of_the_files_of_the_park(park):
    values = np.append(np.random.default_rng(0).uniform(-1, 1 - 2**-15, 1000), [-1, 0.5 * 2**-15, 1.5 * 2**-15, -2.5 * 2**-15])
    found = park.evaluate("x => Array.from(park.kept(Float32Array.from(x)))", values.tolist())
    np.testing.assert_array_equal(found, np.round(values.astype(np.float32) * 2**15) / 2**15)
