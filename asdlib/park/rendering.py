"""One clip of one machine: its identity, the nuisance of the recording, and a fault.

Each is drawn on its own from what names the clip, so that any clip can be made alone,
in any order, in any process, and a fault changes what it says and nothing else.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache

import numpy as np

from asdlib.errors import AsdError
from asdlib.park import sounds
from asdlib.park.machine_types import MACHINE_TYPES, MachineType, Nuisance

SAMPLE_RATE = 16000  # Hz
LOUDNESS = 0.03  # RMS of a typical machine at 0 dB gain, full scale = 1
# Where the machines of a type lie on a parameter, in standard deviations of its
# logarithm; by their number.
PLACES = {3: (-1.2, 0.0, 1.2), 4: (-1.2, -0.4, 0.4, 1.2)}


@dataclass(frozen=True)
class SimulatedClip:
    """One rendered clip: the ``waveform`` and everything that made it.

    ``waveform`` (samples,) is float32, full scale ±1; (samples, 2) where there are two
    microphones. ``identity`` holds the parameter values that the clip was rendered
    with, the fault included.
    """

    waveform: np.ndarray
    machine: str
    fault: str | None
    severity: float
    identity: dict[str, float]
    nuisance: dict[str, float]


def machines() -> list[str]:
    """The 23 machines of the park, as ``type/id``.

    >>> machines()[:2]
    ['fan/id_00', 'fan/id_02']
    """
    return [
        f"{name}/{machine_id}"
        for name, kind in MACHINE_TYPES.items()
        for machine_id in kind.ids
    ]


def faults(machine: str) -> list[str]:
    """The names of the faults that the machine (``type/id``) may have.

    Raises :class:`AsdError` for an unknown machine.

    >>> faults("pump/id_00")
    ['cavitation', 'leak', 'clogging', 'worn impeller']
    """
    return list(_type_of(machine).faults)


def _type_of(machine: str) -> MachineType:
    if machine not in machines():
        choices = ", ".join(machines())
        raise AsdError(f"no machine {machine!r} in the park: choose one of {choices}")
    return MACHINE_TYPES[machine.split("/")[0]]


def generator_of(*key: str | int) -> np.random.Generator:
    """A random generator that depends on nothing but ``key``."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def identity(machine: str, *, seed: int = 0) -> dict[str, float]:
    """The machine's own parameters, drawn once, in the units of its type's table.

    The machines of a type share out the range of each parameter (at :data:`PLACES`, in
    an order drawn for the parameter), so that no two coincide and none lies far away.
    Raises :class:`AsdError` for an unknown machine.
    """
    kind = _type_of(machine)
    machine_type, machine_id = machine.split("/")
    place, count = kind.ids.index(machine_id), len(kind.ids)
    values = {}
    for name, parameter in kind.parameters.items():
        rng = generator_of("identity", seed, machine_type, name)
        off = PLACES[count][rng.permutation(count)[place]]
        values[name] = parameter.typical * float(np.exp(parameter.spread * off))
    return values


def _draw_nuisance(rng: np.random.Generator) -> Nuisance:
    return Nuisance(
        speed=float(np.exp(0.04 * rng.standard_normal())),
        load=float(np.exp(0.15 * rng.standard_normal())),
        start=float(rng.uniform()),
        gain=float(rng.uniform(-4, 4)),
        colour=float(rng.uniform(-1.0, 1.0)),
        room_decay=float(rng.uniform(0.1, 0.5)),
        room_wet=float(rng.uniform(0.1, 0.5)),
        snr=float(rng.uniform(6, 16)),
        background_slope=float(rng.uniform(2, 6)),
        events=float(rng.poisson(0.3)),
    )


def _with(env: Nuisance, given: Mapping[str, float]) -> Nuisance:
    known = [field.name for field in fields(Nuisance)]
    for name in given:
        if name not in known:
            raise AsdError(
                f"a recording has no {name!r}: choose one of {', '.join(known)}"
            )
    return replace(env, **given)


@lru_cache
def reference_rms(machine_type: str) -> float:
    """RMS of the type's typical machine: levels are set by it.

    So a fault may make a machine louder.
    """
    kind = MACHINE_TYPES[machine_type]
    plain = Nuisance(1.0, 1.0, 0.0, 0.0, 0.0, 0.1, 0.0, 99.0, 3.0, 0.0)
    typical = {name: p.typical for name, p in kind.parameters.items()}
    rng = np.random.default_rng(0)
    x = kind.render(typical, plain, rng, 2 * SAMPLE_RATE, SAMPLE_RATE)
    return float(np.sqrt(np.mean(x**2)))


def values_of(
    machine: str,
    rng: np.random.Generator,
    *,
    seed: int = 0,
    fault: str | None = None,
    severity: float = 1.0,
) -> dict[str, float]:
    """The parameters of one clip of ``machine`` (``type/id``), drawn within tolerance.

    A ``fault`` then moves its own. Raises :class:`AsdError` for an unknown machine or
    fault.
    """
    kind, machine_type = _type_of(machine), machine.split("/")[0]
    if fault is not None and fault not in kind.faults:
        choices = ", ".join(kind.faults)
        raise AsdError(
            f"a {machine_type} has no fault {fault!r}: choose one of {choices}"
        )
    values = {}
    for name, value in identity(machine, seed=seed).items():
        off = kind.parameters[name].tolerance * rng.standard_normal()
        values[name] = value * float(np.exp(off))
    moved = {} if fault is None else kind.faults[fault]
    for name, factor in moved.items():
        values[name] *= factor**severity
    return values


def dry_sound(
    machine_type: str,
    values: dict[str, float],
    env: Nuisance,
    rng: np.random.Generator,
    n: int,
) -> np.ndarray:
    """What leaves a machine, before room, noise and microphone: (n,).

    The typical machine of its type has an RMS of 1.
    """
    x = MACHINE_TYPES[machine_type].render(values, env, rng, n, SAMPLE_RATE)
    return x / reference_rms(machine_type)


def background(env: Nuisance, rng: np.random.Generator, n: int) -> np.ndarray:
    """The noise of the factory (n,): a machine at the RMS of 1 is ``env.snr`` above."""
    return 10 ** (-env.snr / 20) * sounds.tilted_noise(
        rng, n, SAMPLE_RATE, slope=env.background_slope
    )


def passing_events(
    env: Nuisance, rng: np.random.Generator, n: int
) -> Iterator[np.ndarray]:
    """What else happens near by, one sound (n,) for each event."""
    for _ in range(int(env.events)):
        time, strength = rng.uniform(0, n / SAMPLE_RATE), rng.uniform(0.5, 2.0)
        strike = sounds.impact_train(n, SAMPLE_RATE, [time], strength)
        frequency, decay = rng.uniform(300, 3000), rng.uniform(0.01, 0.08)
        yield sounds.ring(strike, SAMPLE_RATE, frequency=frequency, decay=decay)


def render(
    machine: str,
    number: int,
    *,
    seed: int = 0,
    split: str = "train",
    fault: str | None = None,
    severity: float = 1.0,
    seconds: float = 2.0,
    nuisance: Mapping[str, float] | None = None,
) -> SimulatedClip:
    """Render clip ``number`` of ``machine`` (``type/id``), healthy or with a ``fault``.

    The same (seed, machine, split, number) gives the same nuisance and the same noise
    with and without a fault: the two differ by the fault alone. ``severity`` 1 is a
    clear fault of its kind, 0 none. Returns a :class:`SimulatedClip` of
    ``round(seconds * 16000)`` samples. Fields of the ``nuisance`` that are given
    are not drawn. Raises :class:`AsdError` for an unknown machine, fault or field.

    >>> healthy = render("fan/id_00", 3)
    >>> faulty = render("fan/id_00", 3, fault="imbalance")  # the same moment
    >>> healthy.nuisance == faulty.nuisance
    True
    >>> dict(faulty.identity.items() - healthy.identity.items()).keys()
    dict_keys(['sway'])
    """
    rng = generator_of("clip", seed, machine, split, number)
    env = _with(_draw_nuisance(rng), nuisance or {})
    values = values_of(machine, rng, seed=seed, fault=fault, severity=severity)
    n = round(seconds * SAMPLE_RATE)
    x = dry_sound(machine.split("/")[0], values, env, rng, n)
    # The background has a generator of its own: a fault that draws more random numbers
    # must not change it.
    own = generator_of("background", seed, machine, split, number)
    x = sounds.room(x, SAMPLE_RATE, own, decay=env.room_decay, wet=env.room_wet)
    noise = background(env, own, n)
    for event in passing_events(env, own, n):
        noise = noise + event
    x = x + noise
    x = sounds.microphone(x, SAMPLE_RATE, slope=env.colour, gain=env.gain)
    return SimulatedClip(
        waveform=np.clip(LOUDNESS * x, -1, 1 - 2**-15).astype(np.float32),
        machine=machine,
        fault=fault,
        severity=severity if fault else 0.0,
        identity=values,
        nuisance=asdict(env),
    )
