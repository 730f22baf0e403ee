"""The park when the world changes: two domains, and two microphones.

Most training clips are of the *source* domain, a few of the *target* domain, and test
clips of both, as in DCASE Task 2 since 2022. The machines, their tolerances and their
faults are those of the whole park. Between the domains differ the :data:`FACTORS`, all
of them or some: each moves its own fields of the nuisance and no other, and stands with
its value in the names of the files. Every clip has two channels, as in DCASE 2026:
channel 0 is a microphone near the machine, channel 1 one far away, which hears less of
the machine and as much of the hall.

    >>> here = render_pair("fan/section_00", 3)  # healthy, in the source domain
    >>> there = render_pair("fan/section_00", 3, domain="target", factors=["speed"])
    >>> dict(here.nuisance.items() ^ there.nuisance.items()).keys()
    dict_keys(['speed'])
    >>> here.waveform.shape
    (64000, 2)
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asdlib.errors import AsdError
from asdlib.park import sounds
from asdlib.park.machine_types import MACHINE_TYPES, Nuisance
from asdlib.park.rendering import (
    LOUDNESS,
    SAMPLE_RATE,
    SimulatedClip,
    background,
    dry_sound,
    faults,
    generator_of,
    passing_events,
    values_of,
)

DOMAINS = SOURCE, TARGET = "source", "target"
# The first machines of three types, by the name that a machine has since 2022.
SECTIONS = {
    f"{machine_type}/section_{i:02d}": f"{machine_type}/{machine_id}"
    for machine_type in ("fan", "valve", "ToyCar")
    for i, machine_id in enumerate(MACHINE_TYPES[machine_type].ids[:2])
}
SPEED_OF_SOUND = 343.0  # m/s
FURTHER = 3.0  # m, from the near microphone to the far one
DIRECT = 0.3  # of the machine's direct sound at the near microphone, at the far one


@dataclass(frozen=True)
class Factor:
    """One thing that differs between the domains.

    ``attribute`` is its name in the names of files. For each domain there is the value
    that stands there, and the typical values of the fields of :class:`Nuisance` that
    this factor is about.
    """

    attribute: str
    source: tuple[str, Mapping[str, float]]
    target: tuple[str, Mapping[str, float]]

    def setting(self, domain: str) -> tuple[str, Mapping[str, float]]:
        """The value and the typical nuisance in ``domain``, source or target."""
        return self.source if domain == SOURCE else self.target


FACTORS = {
    "speed": Factor("spd", ("100", {"speed": 1.0}), ("85", {"speed": 0.85})),
    "load": Factor("load", ("100", {"load": 1.0}), ("140", {"load": 1.4})),
    "microphone": Factor(
        "mic",
        ("A", {"gain": 0.0, "colour": 0.0}),
        ("B", {"gain": -2.0, "colour": -1.5}),
    ),
    "room": Factor(
        "room",
        ("cabin", {"room_decay": 0.15, "room_wet": 0.2}),
        ("hall", {"room_decay": 0.7, "room_wet": 0.5}),
    ),
    "noise": Factor(
        "noise",
        ("low", {"snr": 14.0, "background_slope": 4.5}),
        ("high", {"snr": 9.0, "background_slope": 3.5}),
    ),
}
# How much each field varies from clip to clip within a domain: standard deviations, of
# the logarithm where the field is a factor or a time.
RATIOS = {"speed": 0.03, "load": 0.15, "room_decay": 0.2, "room_wet": 0.2}
OFFSETS = {"gain": 2.0, "colour": 0.4, "snr": 2.0, "background_slope": 0.6}


def conditions(
    domain: str, rng: np.random.Generator, factors: Sequence[str] = tuple(FACTORS)
) -> Nuisance:
    """The nuisance of one clip of ``domain``; of other factors, it is as in the source.

    The domains draw alike, so that the same ``rng`` gives the same moment in both.
    """
    fields: dict[str, float] = {}
    for name, factor in FACTORS.items():
        fields |= factor.setting(domain if name in factors else SOURCE)[1]
    for name, spread in RATIOS.items():
        fields[name] *= float(np.exp(spread * rng.standard_normal()))
    for name, spread in OFFSETS.items():
        fields[name] += spread * float(rng.standard_normal())
    start, events = float(rng.uniform()), float(rng.poisson(0.3))
    return Nuisance(start=start, events=events, **fields)


def render_pair(
    section: str,
    number: int,
    *,
    seed: int = 0,
    split: str = "train",
    domain: str = SOURCE,
    factors: Sequence[str] = tuple(FACTORS),
    fault: str | None = None,
    severity: float = 1.0,
    seconds: float = 4.0,
) -> SimulatedClip:
    """Render clip ``number`` of a ``section`` for both microphones.

    As :func:`asdlib.park.rendering.render`, in a ``domain``; ``factors`` are those that
    the domains differ in. The same (seed, section, split, number) is the same moment in
    either domain, with and without a fault. The waveform is (samples, 2): near, far.
    Raises :class:`AsdError` for an unknown section, domain, factor or fault.
    """
    for what, name, choices in (
        ("section", section, list(SECTIONS)),
        ("domain", domain, list(DOMAINS)),
        *(("factor", factor, list(FACTORS)) for factor in factors),
    ):
        if name not in choices:
            raise AsdError(
                f"no {what} {name!r} in the park: choose one of {', '.join(choices)}"
            )
    machine = SECTIONS[section]
    rng = generator_of("pair", seed, machine, split, number)
    env = conditions(domain, rng, factors)
    values = values_of(machine, rng, seed=seed, fault=fault, severity=severity)
    n = round(seconds * SAMPLE_RATE)
    later = round(FURTHER / SPEED_OF_SOUND * SAMPLE_RATE)
    x = dry_sound(machine.split("/")[0], values, env, rng, n + later)
    # As in render: what is not the machine has a generator of its own.
    own = generator_of("surroundings", seed, machine, split, number)
    events = sum(passing_events(env, own, n), np.zeros(n))
    noises = [background(env, own, n) + events for _ in range(2)]
    # The hall answers as loudly everywhere: far away, its share is larger.
    near = _in_room(x[later:], env, own) + noises[0]
    far = DIRECT * _in_room(x[:n], env, own, louder=1 / DIRECT) + noises[1]
    heard = [
        sounds.microphone(sound, SAMPLE_RATE, slope=env.colour, gain=env.gain)
        for sound in (near, far)
    ]
    pair = np.clip(LOUDNESS * np.stack(heard, axis=1), -1, 1 - 2**-15)
    return SimulatedClip(
        waveform=pair.astype(np.float32),
        machine=section,
        fault=fault,
        severity=severity if fault else 0.0,
        identity=values,
        nuisance=asdict(env),
    )


def _in_room(
    x: np.ndarray, env: Nuisance, rng: np.random.Generator, *, louder: float = 1.0
) -> np.ndarray:
    wet = louder * env.room_wet
    return sounds.room(x, SAMPLE_RATE, rng, decay=env.room_decay, wet=wet)


@dataclass(frozen=True)
class ShiftPreset:
    """How large a park of two domains is, and in which ``factors`` they differ.

    ``train`` are the clips of source and target of each section; ``test`` those of each
    domain that are normal, and as many are anomalous. Clips last ``seconds``.
    """

    seconds: float = 4.0
    train: tuple[int, int] = (80, 5)
    test: int = 16
    factors: tuple[str, ...] = tuple(FACTORS)


def shift_plan(
    size: ShiftPreset, *, seed: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The clips of such a park: paths, and the arguments of :func:`render_pair`.

    >>> name, arguments = next(shift_plan(ShiftPreset()))
    >>> name.partition("_spd_")[0]
    'fan/train/section_00_source_train_normal_0000'
    >>> name.partition("_spd_")[2]
    '100_load_100_mic_A_room_cabin_noise_low.wav'
    """
    for section in SECTIONS:
        common = {"section": section, "seed": seed, "seconds": size.seconds}
        common["factors"] = size.factors
        taken = Counter[str]()  # no moment comes twice, not in another domain either
        for split, domain, label, count in _parts(size):
            for i in range(count):
                arguments = {**common, "split": split, "domain": domain}
                arguments["number"] = number = taken[split]
                taken[split] += 1
                if label == "anomaly":
                    names = faults(SECTIONS[section])
                    rng = generator_of("severity", seed, section, number)
                    arguments["fault"] = names[i % len(names)]
                    arguments["severity"] = rng.uniform(0.6, 1.4)
                said = f"{section}_{domain}_{split}_{label}_{i:04d}"
                machine_type, rest = said.split("/")
                values = _attributes(domain, size.factors)
                yield f"{machine_type}/{split}/{rest}_{values}.wav", arguments


def _parts(size: ShiftPreset) -> Iterator[tuple[str, str, str, int]]:
    for domain, count in zip(DOMAINS, size.train, strict=True):
        yield "train", domain, "normal", count
    for domain in DOMAINS:
        for label in ("normal", "anomaly"):
            yield "test", domain, label, size.test


def _attributes(domain: str, factors: Sequence[str]) -> str:
    """Names and values, as the names of files have them."""
    return "_".join(
        f"{factor.attribute}_{factor.setting(domain if name in factors else SOURCE)[0]}"
        for name, factor in FACTORS.items()
    )
