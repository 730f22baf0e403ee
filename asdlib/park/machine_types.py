"""The six machine types of the simulated park: what each is made of, what may break, and how it sounds.

A type is two tables and a function. The first table lists its *identity* parameters, with a typical value, how much
machines of the type differ (``spread``) and how much one healthy machine varies from clip to clip (``tolerance``), both
as standard deviations of the logarithm. The second table lists its *faults*: each multiplies some of the *same*
parameters by a factor at severity 1 (by factor ** severity in general). The function renders a waveform from the values.
What is common to all machines of a type and drawn anew for every clip (speed, load, place of the microphone, background)
is *nuisance* and comes in through :class:`Nuisance`; no fault ever touches it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from asdlib.park import sounds as s


@dataclass(frozen=True)
class Parameter:
    """One identity parameter of a machine type; ``unit`` says what ``typical`` is measured in."""

    typical: float
    unit: str
    spread: float = 0.25
    tolerance: float = 0.05


@dataclass(frozen=True)
class Nuisance:
    """What changes from clip to clip and tells nothing about the machine's health or identity."""

    speed: float  # relative to the type's nominal speed
    load: float  # relative; heavier load means more flow and friction noise
    start: float  # where in its cycle the machine is when the recording starts, 0..1
    gain: float  # dB, microphone distance
    colour: float  # dB per octave, microphone and mounting
    room_decay: float  # seconds, reverberation time
    room_wet: float  # level of the reverberation relative to the direct sound
    snr: float  # dB, machine above the factory background
    background_slope: float  # dB per octave, colour of the background
    events: float  # passing events (a dropped tool, a door) in the clip


@dataclass(frozen=True)
class MachineType:
    """A machine type: its parts and tolerances, its faults, its voice."""

    ids: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    faults: Mapping[str, Mapping[str, float]]
    render: Callable[
        [Mapping[str, float], Nuisance, np.random.Generator, int, int], np.ndarray
    ]


def hertz(typical, spread=0.07):
    """A resonance or tone: the ear and the filterbank notice a few per cent, so machines differ by no more."""
    return Parameter(typical, "Hz", spread=spread, tolerance=0.01)


def level(typical, spread=0.3):
    """An amplitude relative to the machine's main sound."""
    return Parameter(typical, "relative amplitude", spread=spread, tolerance=0.06)


def _fan(p, env, rng, n, rate):
    speed = 9.5 * env.speed * s.drift(rng, n, rate, depth=0.004)
    turned = s.turns(speed, rate) + env.start
    blades = s.harmonics(
        11 * turned, s.rolloff(p["blade_pass"], p["blade_rolloff"], 10), rng
    )
    sway = 1 + p["sway"] * np.cos(2 * np.pi * turned)
    flow = (
        env.load
        * p["flow"]
        * sway
        * s.tilted_noise(rng, n, rate, slope=p["flow_slope"])
    )
    hits = s.every_cycle(turned - turned[0], rate, per_cycle=3.58, rng=rng, jitter=0.01)
    bearing = s.ring(
        s.impact_train(n, rate, hits, p["bearing"]), rate, frequency=3100, decay=0.002
    )
    return s.body(
        sway * blades + flow + bearing,
        rate,
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


def _pump(p, env, rng, n, rate):
    speed = 6.0 * env.speed * s.drift(rng, n, rate, depth=0.003)
    turned = s.turns(speed, rate) + env.start
    vanes = s.harmonics(29 * turned, s.rolloff(p["vane_pass"], 0.6, 8), rng)
    whine = s.harmonics(164 * turned, [p["motor_whine"], 0.4 * p["motor_whine"]], rng)
    pulse = 1 + p["pulsation"] * np.cos(2 * np.pi * turned)
    fluid = (
        env.load
        * p["fluid"]
        * pulse
        * s.band_noise(rng, n, rate, centre=p["pipe"], width=0.45)
    )
    hiss = p["seal_hiss"] * s.band_noise(rng, n, rate, centre=5200, width=0.35)
    pops = s.poisson_times(rng, n / rate, per_second=p["bubbles"])
    train = s.impact_train(n, rate, pops, rng.exponential(0.7, len(pops)))
    bubbles = s.ring(train, rate, frequency=p["bubble_pitch"], decay=0.0015)
    return s.body(
        vanes + whine + fluid + hiss + bubbles,
        rate,
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


def _slider(p, env, rng, n, rate):
    cycles = (
        s.turns(0.95 * env.speed * s.drift(rng, n, rate, depth=0.005), rate) + env.start
    )
    swing = np.sin(2 * np.pi * cycles)
    velocity = np.abs(np.tanh(2.2 * swing)) / np.tanh(
        2.2
    )  # quick start, steady run, quick stop: there and back
    travelled = s.turns(velocity, rate)
    wobble = 1 + 0.01 * p["belt_wobble"] * np.sin(2 * np.pi * 6 * travelled)
    whine = velocity * s.harmonics(
        s.turns(760 * velocity * wobble, rate), s.rolloff(p["whine"], 0.55, 4), rng
    )
    balls = 1 + p["ball_pass"] * np.cos(2 * np.pi * 9 * travelled)
    rolling = (
        env.load
        * velocity**1.5
        * balls
        * s.band_noise(rng, n, rate, centre=p["rail"], width=0.5)
    )
    ends = np.flatnonzero(np.diff(np.sign(swing)) != 0) / rate
    stops = s.ring(
        s.impact_train(n, rate, ends, p["stop"]),
        rate,
        frequency=310,
        decay=p["stop_decay"],
    )
    shakes = s.poisson_times(rng, n / rate, per_second=60)
    strengths = (
        p["rattle"]
        * rng.exponential(1, len(shakes))
        * np.interp(shakes, np.arange(n) / rate, velocity)
    )
    rattle = s.ring(
        s.impact_train(n, rate, shakes, strengths), rate, frequency=2450, decay=0.003
    )
    return s.body(
        whine + 0.6 * rolling + stops + rattle,
        rate,
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


def _valve(p, env, rng, n, rate):
    period = 0.42 / env.speed
    opens = (np.arange(-1, int(n / rate / period) + 2) + env.start) * period
    opens = opens + 0.002 * rng.standard_normal(len(opens))
    closes = opens + p["hold"] * (1 + 0.01 * rng.standard_normal(len(opens)))
    knock = s.ring(
        s.impact_train(n, rate, opens, 1.0),
        rate,
        frequency=p["open_ring"],
        decay=p["ring_down"],
    )
    bounce = s.impact_train(n, rate, closes, p["close"]) + s.impact_train(
        n, rate, closes + p["bounce"], 0.5 * p["close"]
    )
    clack = s.ring(bounce, rate, frequency=p["close_ring"], decay=p["ring_down"])
    t = np.arange(n) / rate
    phase = t[:, None] - opens[None, :]
    flowing = ((phase > 0) & (phase < p["hold"])).any(axis=1).astype(float)
    flowing = p["leak"] + (1 - p["leak"]) * np.convolve(
        flowing, np.ones(64) / 64, mode="same"
    )
    hiss = (
        env.load
        * p["hiss"]
        * flowing
        * s.band_noise(rng, n, rate, centre=4200, width=0.5)
    )
    return s.body(
        2.0 * knock + 2.0 * clack + hiss,
        rate,
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


def _toy_car(p, env, rng, n, rate):
    speed = 40.0 * env.speed * s.drift(rng, n, rate, depth=0.006)
    motor = s.turns(speed, rate) + env.start
    shaft, wheel = motor / 3.4, motor / 9.5
    sway = (
        1
        + p["shaft_sway"] * np.cos(2 * np.pi * shaft)
        + p["wheel_sway"] * np.cos(2 * np.pi * wheel)
    )
    mesh = sway * s.harmonics(
        12 * motor, s.rolloff(p["mesh"], p["mesh_rolloff"], 8), rng
    )
    brushes = (
        env.load
        * p["brushes"]
        * sway
        * s.band_noise(rng, n, rate, centre=3600, width=0.7)
    )
    rolling = env.load * 0.3 * s.tilted_noise(rng, n, rate, slope=5.0)
    hits = s.every_cycle(wheel - wheel[0], rate, per_cycle=2, rng=rng, jitter=0.003)
    teeth = s.ring(
        s.impact_train(n, rate, hits, p["tooth"]), rate, frequency=2050, decay=0.004
    )
    return s.body(
        mesh + brushes + rolling + teeth,
        rate,
        resonances=(p["shell"], 2.3 * p["shell"]),
        sharpness=7,
        mix=1.2,
    )


TOY_CAR = MachineType(
    ids=("id_01", "id_02", "id_03", "id_04"),
    parameters={
        "mesh": level(0.45),
        "mesh_rolloff": Parameter(
            0.62, "ratio per harmonic", spread=0.10, tolerance=0.015
        ),
        "shaft_sway": Parameter(0.25, "depth, once per shaft turn", spread=0.4),
        "wheel_sway": Parameter(0.25, "depth, once per wheel turn", spread=0.4),
        "brushes": level(0.35, spread=0.25),
        "tooth": level(1.6, spread=0.4),
        "shell": hertz(930),
    },
    faults={
        "bent shaft": {"shaft_sway": 2.6, "mesh_rolloff": 1.12},
        "damaged gear": {"tooth": 2.8},
        "deformed tyre": {"wheel_sway": 2.6, "shell": 0.92},
        "worn brushes": {"brushes": 2.0, "mesh": 0.75},
    },
    render=_toy_car,
)


def _toy_conveyor(p, env, rng, n, rate):
    speed = 18.0 * env.speed * s.drift(rng, n, rate, depth=0.005)
    motor = s.turns(speed, rate) + env.start
    belt = motor / 7.0
    flap = 1 + p["flap"] * np.cos(2 * np.pi * 2 * belt)
    gears = s.harmonics(22 * motor, s.rolloff(p["gears"], 0.6, 7), rng)
    hum = s.harmonics(np.arange(n) * 100.0 / rate, [0.12, 0.06, 0.04], rng)
    friction = (
        env.load
        * p["friction"]
        * flap
        * s.band_noise(rng, n, rate, centre=p["belt_tone"], width=0.6)
    )
    thumps = s.every_cycle(belt - belt[0], rate, per_cycle=1, rng=rng)
    seam = s.ring(
        s.impact_train(n, rate, thumps, p["seam"]), rate, frequency=240, decay=0.03
    )
    knocks = s.every_cycle(motor - motor[0], rate, per_cycle=0.25, rng=rng, jitter=0.01)
    pulley = s.ring(
        s.impact_train(n, rate, knocks, p["pulley"]),
        rate,
        frequency=p["pulley_ring"],
        decay=0.004,
    )
    return s.body(
        gears + hum + friction + seam + pulley,
        rate,
        resonances=(480.0, 1250.0),
        sharpness=6,
        mix=0.8,
    )


TOY_CONVEYOR = MachineType(
    ids=("id_01", "id_02", "id_03"),
    parameters={
        "gears": level(0.4),
        "friction": level(0.6, spread=0.2),
        "belt_tone": hertz(1500, spread=0.10),
        "flap": Parameter(0.32, "depth, two per belt turn", spread=0.4),
        "seam": level(3.0, spread=0.4),
        "pulley": level(3.5, spread=0.4),
        "pulley_ring": hertz(3300, spread=0.10),
    },
    faults={
        "tight belt": {"belt_tone": 1.2, "gears": 1.6},
        "slack belt": {"flap": 2.6, "friction": 0.75},
        "damaged pulley": {"pulley": 2.6, "pulley_ring": 0.85},
        "stuck object": {"seam": 2.8, "friction": 1.4},
    },
    render=_toy_conveyor,
)

MACHINE_TYPES: dict[str, MachineType] = {
    "fan": FAN,
    "pump": PUMP,
    "slider": SLIDER,
    "valve": VALVE,
    "ToyCar": TOY_CAR,
    "ToyConveyor": TOY_CONVEYOR,
}
