"""The four factory machines of the park: fan, pump, slider (a linear slide) and valve.

They are the machine types of MIMII in DCASE 2020 Task 2. What a type is made of says
:mod:`asdlib.park.parts`.
"""

from collections.abc import Mapping

import numpy as np

from asdlib.park import sounds as s
from asdlib.park.parts import MachineType, Nuisance, Parameter, hertz, level


def _fan(
    p: Mapping[str, float],
    env: Nuisance,
    rng: np.random.Generator,
    n: int,
    sample_rate: int,
) -> np.ndarray:
    speed = 9.5 * env.speed * s.drift(rng, n, sample_rate, depth=0.004)
    turned = s.turns(speed, sample_rate) + env.start
    levels = s.rolloff(p["blade_pass"], p["blade_rolloff"], 10)
    blades = s.harmonics(11 * turned, levels, rng)
    sway = 1 + p["sway"] * np.cos(2 * np.pi * turned)
    air = s.tilted_noise(rng, n, sample_rate, slope=p["flow_slope"])
    flow = env.load * p["flow"] * sway * air
    hits = s.every_cycle(
        turned - turned[0], sample_rate, per_cycle=3.58, rng=rng, jitter=0.01
    )
    train = s.impact_train(n, sample_rate, hits, p["bearing"])
    bearing = s.ring(train, sample_rate, frequency=3100, decay=0.002)
    return s.body(
        sway * blades + flow + bearing,
        sample_rate,
        resonances=(p["casing"], 2.76 * p["casing"]),
        sharpness=8,
        mix=1.5,
    )


FAN = MachineType(
    ids=("id_00", "id_02", "id_04", "id_06"),
    parameters={
        "blade_pass": level(0.5),
        "blade_rolloff": Parameter(
            0.72, "ratio per harmonic", spread=0.10, tolerance=0.015
        ),
        "sway": Parameter(0.28, "depth, once per turn", spread=0.4),
        "flow": level(0.6, spread=0.2),
        "flow_slope": Parameter(4.5, "dB per octave", spread=0.12, tolerance=0.02),
        "bearing": level(0.8),
        "casing": hertz(620),
    },
    faults={
        "imbalance": {"sway": 2.4},
        "clogging": {"flow_slope": 0.75, "blade_pass": 1.7, "casing": 0.92},
        "bearing wear": {"bearing": 3.0},
        "bent blade": {"blade_rolloff": 1.25, "sway": 1.6},
    },
    render=_fan,
)


def _pump(
    p: Mapping[str, float],
    env: Nuisance,
    rng: np.random.Generator,
    n: int,
    sample_rate: int,
) -> np.ndarray:
    speed = 6.0 * env.speed * s.drift(rng, n, sample_rate, depth=0.003)
    turned = s.turns(speed, sample_rate) + env.start
    vanes = s.harmonics(29 * turned, s.rolloff(p["vane_pass"], 0.6, 8), rng)
    whine = s.harmonics(164 * turned, [p["motor_whine"], 0.4 * p["motor_whine"]], rng)
    pulse = 1 + p["pulsation"] * np.cos(2 * np.pi * turned)
    stream = s.band_noise(rng, n, sample_rate, centre=p["pipe"], width=0.45)
    fluid = env.load * p["fluid"] * pulse * stream
    hiss = p["seal_hiss"] * s.band_noise(rng, n, sample_rate, centre=5200, width=0.35)
    pops = s.poisson_times(rng, n / sample_rate, per_second=p["bubbles"])
    train = s.impact_train(n, sample_rate, pops, rng.exponential(0.7, len(pops)))
    bubbles = s.ring(train, sample_rate, frequency=p["bubble_pitch"], decay=0.0015)
    return s.body(
        vanes + whine + fluid + hiss + bubbles,
        sample_rate,
        resonances=(410.0, 1530.0),
        sharpness=6,
        mix=0.8,
    )


PUMP = MachineType(
    ids=("id_00", "id_02", "id_04", "id_06"),
    parameters={
        "vane_pass": level(0.45),
        "motor_whine": level(0.25),
        "pulsation": Parameter(0.3, "depth, once per stroke", spread=0.4),
        "fluid": level(0.7, spread=0.2),
        "pipe": hertz(1150, spread=0.10),
        "seal_hiss": level(0.14),
        "bubbles": Parameter(45, "per second", spread=0.35, tolerance=0.06),
        "bubble_pitch": hertz(3300, spread=0.08),
    },
    faults={
        "cavitation": {"bubbles": 3.0, "bubble_pitch": 1.10},
        "leak": {"seal_hiss": 2.4},
        "clogging": {"pipe": 0.83, "pulsation": 2.0, "fluid": 0.75},
        "worn impeller": {"vane_pass": 0.5, "motor_whine": 1.8},
    },
    render=_pump,
)


def _slider(
    p: Mapping[str, float],
    env: Nuisance,
    rng: np.random.Generator,
    n: int,
    sample_rate: int,
) -> np.ndarray:
    speed = 0.95 * env.speed * s.drift(rng, n, sample_rate, depth=0.005)
    cycles = s.turns(speed, sample_rate) + env.start
    swing = np.sin(2 * np.pi * cycles)
    # Quick start, steady run, quick stop: there and back.
    velocity = np.abs(np.tanh(2.2 * swing)) / np.tanh(2.2)
    travelled = s.turns(velocity, sample_rate)
    wobble = 1 + 0.01 * p["belt_wobble"] * np.sin(2 * np.pi * 6 * travelled)
    pitch = s.turns(760 * velocity * wobble, sample_rate)
    whine = velocity * s.harmonics(pitch, s.rolloff(p["whine"], 0.55, 4), rng)
    balls = 1 + p["ball_pass"] * np.cos(2 * np.pi * 9 * travelled)
    contact = s.band_noise(rng, n, sample_rate, centre=p["rail"], width=0.5)
    rolling = env.load * velocity**1.5 * balls * contact
    ends = np.flatnonzero(np.diff(np.sign(swing)) != 0) / sample_rate
    train = s.impact_train(n, sample_rate, ends, p["stop"])
    stops = s.ring(train, sample_rate, frequency=310, decay=p["stop_decay"])
    shakes = s.poisson_times(rng, n / sample_rate, per_second=60)
    strengths = (
        p["rattle"]
        * rng.exponential(1, len(shakes))
        * np.interp(shakes, np.arange(n) / sample_rate, velocity)
    )
    train = s.impact_train(n, sample_rate, shakes, strengths)
    rattle = s.ring(train, sample_rate, frequency=2450, decay=0.003)
    return s.body(
        whine + 0.6 * rolling + stops + rattle,
        sample_rate,
        resonances=(530.0, 1900.0),
        sharpness=5,
        mix=0.6,
    )


SLIDER = MachineType(
    ids=("id_00", "id_02", "id_04", "id_06"),
    parameters={
        "whine": level(0.35),
        "belt_wobble": Parameter(1.0, "per cent of the pitch", spread=0.4),
        "ball_pass": Parameter(0.3, "depth, once per ball", spread=0.4),
        "rail": hertz(1400, spread=0.10),
        "stop": level(2.5, spread=0.4),
        "stop_decay": Parameter(0.03, "seconds", spread=0.35, tolerance=0.04),
        "rattle": level(0.30),
    },
    faults={
        "loose rail": {"rattle": 2.6, "rail": 0.88},
        "dry rail": {"ball_pass": 2.2, "rail": 1.18},
        "worn stop": {"stop": 2.0, "stop_decay": 1.9},
        "belt slack": {"belt_wobble": 2.6, "whine": 0.65},
    },
    render=_slider,
)


def _valve(
    p: Mapping[str, float],
    env: Nuisance,
    rng: np.random.Generator,
    n: int,
    sample_rate: int,
) -> np.ndarray:
    period = 0.42 / env.speed
    opens = (np.arange(-1, int(n / sample_rate / period) + 2) + env.start) * period
    opens = opens + 0.002 * rng.standard_normal(len(opens))
    closes = opens + p["hold"] * (1 + 0.01 * rng.standard_normal(len(opens)))
    train = s.impact_train(n, sample_rate, opens, 1.0)
    knock = s.ring(train, sample_rate, frequency=p["open_ring"], decay=p["ring_down"])
    shuts = s.impact_train(n, sample_rate, closes, p["close"])
    again = s.impact_train(n, sample_rate, closes + p["bounce"], 0.5 * p["close"])
    clack = s.ring(
        shuts + again, sample_rate, frequency=p["close_ring"], decay=p["ring_down"]
    )
    t = np.arange(n) / sample_rate
    phase = t[:, None] - opens[None, :]
    flowing = ((phase > 0) & (phase < p["hold"])).any(axis=1).astype(float)
    flowing = np.convolve(flowing, np.ones(64) / 64, mode="same")
    flowing = p["leak"] + (1 - p["leak"]) * flowing
    air = s.band_noise(rng, n, sample_rate, centre=4200, width=0.5)
    hiss = env.load * p["hiss"] * flowing * air
    return s.body(
        2.0 * knock + 2.0 * clack + hiss,
        sample_rate,
        resonances=(880.0, 2600.0),
        sharpness=5,
        mix=0.6,
    )


VALVE = MachineType(
    ids=("id_00", "id_02", "id_04", "id_06"),
    parameters={
        "hold": Parameter(0.15, "seconds", spread=0.12, tolerance=0.01),
        "open_ring": hertz(1750),
        "close_ring": hertz(2300),
        "ring_down": Parameter(0.006, "seconds", spread=0.25, tolerance=0.04),
        "close": level(0.7),
        "bounce": Parameter(0.018, "seconds", spread=0.2, tolerance=0.02),
        "hiss": level(0.20),
        "leak": Parameter(0.15, "share of the open flow", spread=0.3, tolerance=0.06),
    },
    faults={
        "late closing": {"hold": 1.35, "bounce": 1.3},
        "contamination": {"ring_down": 0.5, "open_ring": 0.87},
        "leak": {"leak": 2.8, "hiss": 1.3},
        "worn seat": {"close": 0.5, "close_ring": 1.14},
    },
    render=_valve,
)
