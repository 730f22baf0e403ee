"""The two toys of the park: a toy car and a toy conveyor.

They are the machine types of ToyADMOS in DCASE 2020 Task 2. What a type is made of says
:mod:`asdlib.park.parts`.
"""

from collections.abc import Mapping

import numpy as np

from asdlib.park import sounds as s
from asdlib.park.parts import MachineType, Nuisance, Parameter, hertz, level


def _toy_car(
    p: Mapping[str, float],
    env: Nuisance,
    rng: np.random.Generator,
    n: int,
    sample_rate: int,
) -> np.ndarray:
    speed = 40.0 * env.speed * s.drift(rng, n, sample_rate, depth=0.006)
    motor = s.turns(speed, sample_rate) + env.start
    shaft, wheel = motor / 3.4, motor / 9.5
    sway = (
        1
        + p["shaft_sway"] * np.cos(2 * np.pi * shaft)
        + p["wheel_sway"] * np.cos(2 * np.pi * wheel)
    )
    levels = s.rolloff(p["mesh"], p["mesh_rolloff"], 8)
    mesh = sway * s.harmonics(12 * motor, levels, rng)
    sliding = s.band_noise(rng, n, sample_rate, centre=3600, width=0.7)
    brushes = env.load * p["brushes"] * sway * sliding
    rolling = env.load * 0.3 * s.tilted_noise(rng, n, sample_rate, slope=5.0)
    hits = s.every_cycle(
        wheel - wheel[0], sample_rate, per_cycle=2, rng=rng, jitter=0.003
    )
    train = s.impact_train(n, sample_rate, hits, p["tooth"])
    teeth = s.ring(train, sample_rate, frequency=2050, decay=0.004)
    return s.body(
        mesh + brushes + rolling + teeth,
        sample_rate,
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


def _toy_conveyor(
    p: Mapping[str, float],
    env: Nuisance,
    rng: np.random.Generator,
    n: int,
    sample_rate: int,
) -> np.ndarray:
    speed = 18.0 * env.speed * s.drift(rng, n, sample_rate, depth=0.005)
    motor = s.turns(speed, sample_rate) + env.start
    belt = motor / 7.0
    flap = 1 + p["flap"] * np.cos(2 * np.pi * 2 * belt)
    gears = s.harmonics(22 * motor, s.rolloff(p["gears"], 0.6, 7), rng)
    hum = s.harmonics(np.arange(n) * 100.0 / sample_rate, [0.12, 0.06, 0.04], rng)
    rubbing = s.band_noise(rng, n, sample_rate, centre=p["belt_tone"], width=0.6)
    friction = env.load * p["friction"] * flap * rubbing
    thumps = s.every_cycle(belt - belt[0], sample_rate, per_cycle=1, rng=rng)
    train = s.impact_train(n, sample_rate, thumps, p["seam"])
    seam = s.ring(train, sample_rate, frequency=240, decay=0.03)
    knocks = s.every_cycle(
        motor - motor[0], sample_rate, per_cycle=0.25, rng=rng, jitter=0.01
    )
    train = s.impact_train(n, sample_rate, knocks, p["pulley"])
    pulley = s.ring(train, sample_rate, frequency=p["pulley_ring"], decay=0.004)
    return s.body(
        gears + hum + friction + seam + pulley,
        sample_rate,
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
