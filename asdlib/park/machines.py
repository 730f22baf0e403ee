"""The simulated machine park: machine type → machine ID → clip, with named faults of known severity.

Every clip is drawn in three steps that never mix: the **identity** of its machine (once per machine), the **nuisance** of
this recording (anew for every clip, the same law for all machines of a type) and, for an anomalous clip, a **fault** that
moves some identity parameters out of that machine's tolerance. It is a teaching set: what counts as evidence is real data.

    >>> clip = render("fan/id_00", 3, seed=0)                              # a healthy fan
    >>> twin = render("fan/id_00", 3, seed=0, fault="imbalance")           # the same moment, with a fault
    >>> clip.waveform.shape
    (32000,)
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from asdlib.errors import AsdError
from asdlib.park import sounds
from asdlib.park.machine_types import MACHINE_TYPES, MachineType, Nuisance
from asdlib.progress import OnStep, silent

SAMPLE_RATE = 16000
LOUDNESS = 0.03  # RMS of a typical machine at 0 dB gain, full scale = 1
FACTS_FILE = "park.json"
# Where the machines of a type lie on a parameter, in standard deviations of its logarithm; by their number.
PLACES = {3: (-1.2, 0.0, 1.2), 4: (-1.2, -0.4, 0.4, 1.2)}


@dataclass(frozen=True)
class Preset:
    """How large a park is: clip length in seconds, and clips per machine, the same for all or given for each."""

    seconds: float
    counts: (
        tuple[int, int, int] | dict[str, tuple[int, int, int]]
    )  # training, normal test, anomalous test clips

    def counts_of(self, machine: str) -> tuple[int, int, int]:
        """(training, normal test, anomalous test) clips of one machine."""
        return self.counts[machine] if isinstance(self.counts, dict) else self.counts


# Clips of each machine in the DCASE 2020 Task 2 development set: training, normal test, anomalous test.
_DCASE = {
    "fan/id_00": (911, 100, 407), "fan/id_02": (916, 100, 359), "fan/id_04": (933, 100, 348), "fan/id_06": (915, 100, 361),
    "pump/id_00": (906, 100, 143), "pump/id_02": (905, 100, 111), "pump/id_04": (602, 100, 100),
    "pump/id_06": (936, 100, 102), "slider/id_00": (968, 100, 356), "slider/id_02": (968, 100, 267),
    "slider/id_04": (434, 100, 178), "slider/id_06": (434, 100, 89), "valve/id_00": (891, 100, 119),
    "valve/id_02": (608, 100, 120), "valve/id_04": (900, 100, 120), "valve/id_06": (892, 100, 120),
    "ToyCar/id_01": (1000, 350, 264), "ToyCar/id_02": (1000, 350, 265), "ToyCar/id_03": (1000, 350, 265),
    "ToyCar/id_04": (1000, 350, 265), "ToyConveyor/id_01": (1000, 800, 400), "ToyConveyor/id_02": (1000, 800, 355),
    "ToyConveyor/id_03": (1000, 799, 355),
}  # fmt: skip

PARKS = {
    "tiny": Preset(seconds=1.0, counts=(6, 4, 4)),
    "book": Preset(seconds=2.0, counts=(60, 20, 20)),
    "dcase": Preset(seconds=10.0, counts=_DCASE),
}


@dataclass(frozen=True)
class SimulatedClip:
    """One rendered clip: the ``waveform`` (float32, full scale ±1) and everything that made it."""

    waveform: np.ndarray
    machine: str
    fault: str | None
    severity: float
    identity: dict[
        str, float
    ]  # the parameter values that this clip was rendered with, the fault included
    nuisance: dict[str, float]


def machines() -> list[str]:
    """The 23 machines of the park, as ``type/id``."""
    return [
        f"{name}/{machine_id}"
        for name, kind in MACHINE_TYPES.items()
        for machine_id in kind.ids
    ]


def faults(machine: str) -> list[str]:
    """The names of the faults that the machine (``type/id``) may have."""
    return list(_type_of(machine).faults)


def _type_of(machine: str) -> MachineType:
    if machine not in machines():
        raise AsdError(
            f"no machine {machine!r} in the park: choose one of {', '.join(machines())}"
        )
    return MACHINE_TYPES[machine.split("/")[0]]


def _generator(*key) -> np.random.Generator:
    """A generator that depends on nothing but ``key``: any clip can be made alone, in any order, in any process."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def identity(machine: str, *, seed: int = 0) -> dict[str, float]:
    """The machine's own parameters, drawn once.

    The machines of a type share out the range of each parameter (at :data:`PLACES`, in an order drawn for the
    parameter), so that no two coincide and none lies far away.
    """
    kind = _type_of(machine)
    place = kind.ids.index(machine.split("/")[1])
    values = {}
    for name, parameter in kind.parameters.items():
        order = _generator("identity", seed, machine.split("/")[0], name).permutation(
            len(kind.ids)
        )
        values[name] = parameter.typical * float(
            np.exp(parameter.spread * PLACES[len(kind.ids)][order[place]])
        )
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


@lru_cache
def _reference_rms(machine_type: str) -> float:
    """RMS of the type's typical machine: levels are set by it, so that a fault may make a machine louder."""
    kind = MACHINE_TYPES[machine_type]
    plain = Nuisance(1.0, 1.0, 0.0, 0.0, 0.0, 0.1, 0.0, 99.0, 3.0, 0.0)
    typical = {name: p.typical for name, p in kind.parameters.items()}
    x = kind.render(
        typical, plain, np.random.default_rng(0), 2 * SAMPLE_RATE, SAMPLE_RATE
    )
    return float(np.sqrt(np.mean(x**2)))


def _background(env: Nuisance, rng: np.random.Generator, n: int) -> np.ndarray:
    noise = 10 ** (-env.snr / 20) * sounds.tilted_noise(
        rng, n, SAMPLE_RATE, slope=env.background_slope
    )
    for _ in range(int(env.events)):
        strike = sounds.impact_train(
            n, SAMPLE_RATE, [rng.uniform(0, n / SAMPLE_RATE)], rng.uniform(0.5, 2.0)
        )
        noise = noise + sounds.ring(
            strike,
            SAMPLE_RATE,
            frequency=rng.uniform(300, 3000),
            decay=rng.uniform(0.01, 0.08),
        )
    return noise


def render(
    machine: str,
    number: int,
    *,
    seed: int = 0,
    split: str = "train",
    fault: str | None = None,
    severity: float = 1.0,
    seconds: float = 2.0,
) -> SimulatedClip:
    """Render clip ``number`` of ``machine`` (``type/id``), healthy or with a ``fault`` of the given ``severity``.

    The same (seed, machine, split, number) gives the same nuisance and the same noise with and without a fault: the two
    differ by the fault alone. Severity 1 is a clear fault of its kind, 0 none. Returns a :class:`SimulatedClip` of
    ``round(seconds * 16000)`` samples. Raises :class:`AsdError` for an unknown machine or fault.
    """
    kind = _type_of(machine)
    if fault is not None and fault not in kind.faults:
        raise AsdError(
            f"a {machine.split('/')[0]} has no fault {fault!r}: choose one of {', '.join(kind.faults)}"
        )
    rng = _generator("clip", seed, machine, split, number)
    env = _draw_nuisance(rng)
    values = {
        name: value
        * float(np.exp(kind.parameters[name].tolerance * rng.standard_normal()))
        for name, value in identity(machine, seed=seed).items()
    }
    for name, factor in kind.faults.get(fault, {}).items():
        values[name] *= factor**severity
    n = round(seconds * SAMPLE_RATE)
    x = kind.render(values, env, rng, n, SAMPLE_RATE) / _reference_rms(
        machine.split("/")[0]
    )
    # The background has a generator of its own: a fault that draws more random numbers must not change it.
    surroundings = _generator("background", seed, machine, split, number)
    x = sounds.room(
        x, SAMPLE_RATE, surroundings, decay=env.room_decay, wet=env.room_wet
    )
    x = sounds.microphone(
        x + _background(env, surroundings, n),
        SAMPLE_RATE,
        slope=env.colour,
        gain=env.gain,
    )
    return SimulatedClip(
        waveform=np.clip(LOUDNESS * x, -1, 1 - 2**-15).astype(np.float32),
        machine=machine,
        fault=fault,
        severity=severity if fault else 0.0,
        identity=values,
        nuisance=asdict(env),
    )


def clip_plan(preset: str, *, seed: int = 0) -> Iterator[tuple[str, dict]]:
    """The clips of a park: pairs of a path relative to its root and the arguments of :func:`render` that make it."""
    size = PARKS[preset]
    for machine in machines():
        machine_type, machine_id = machine.split("/")
        train, normal, anomaly = size.counts_of(machine)
        common = {"machine": machine, "seed": seed, "seconds": size.seconds}
        for i in range(train):
            yield (
                f"{machine_type}/train/normal_{machine_id}_{i:08d}.wav",
                {**common, "number": i, "split": "train"},
            )
        for i in range(normal):
            yield (
                f"{machine_type}/test/normal_{machine_id}_{i:08d}.wav",
                {**common, "number": i, "split": "test"},
            )
        names = faults(machine)
        for i in range(anomaly):
            severity = float(_generator("severity", seed, machine, i).uniform(0.6, 1.4))
            fault = {
                "number": normal + i,
                "split": "test",
                "fault": names[i % len(names)],
                "severity": severity,
            }
            yield (
                f"{machine_type}/test/anomaly_{machine_id}_{i:08d}.wav",
                {**common, **fault},
            )


def simulate(
    out: str | Path, *, preset: str = "book", seed: int = 0, on_step: OnStep = silent
) -> Path:
    """Write a whole park to the new folder ``out`` in the DCASE 2020 Task 2 layout, with ``park.json`` beside it.

    ``preset`` is one of :data:`PARKS`. The folder appears only when it is complete. ``on_step(text, done, total)``
    is called after each clip. Raises :class:`AsdError` if ``out`` exists and is not empty, or cannot be written.
    """
    if preset not in PARKS:
        raise AsdError(
            f"no preset {preset!r} of the park: choose one of {', '.join(PARKS)}"
        )
    out = Path(out)
    try:
        if out.exists():
            out.rmdir()  # only an empty folder goes
    except OSError as error:
        raise AsdError(
            f"{out} exists already and is left as it is: name a new or empty folder"
        ) from error
    clips = list(clip_plan(preset, seed=seed))
    partial = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        for folder in sorted({str(Path(name).parent) for name, _ in clips}):
            (partial / folder).mkdir(parents=True)
        facts = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            try:
                for name, fact in pool.map(lambda clip: _write(partial, *clip), clips):
                    facts[name] = fact
                    on_step("simulate", len(facts), len(clips))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        about = {
            "what": "simulated by asdlib.machines; not real recordings",
            "preset": preset,
            "seed": seed,
            "clips": facts,
        }
        (partial / FACTS_FILE).write_text(json.dumps(about, indent=0) + "\n")
        partial.chmod(0o755)
        partial.rename(out)
    except OSError as error:
        raise AsdError(
            f"cannot write the park to {out}: {error.strerror}; free some space or choose another folder"
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return out


def _write(root: Path, name: str, arguments: dict) -> tuple[str, dict]:
    clip = render(**arguments)
    wavfile.write(
        root / name, SAMPLE_RATE, np.round(clip.waveform * 2**15).astype(np.int16)
    )
    fact = {"machine": clip.machine, "fault": clip.fault, "severity": clip.severity}
    rounded = {
        group: {k: float(f"{v:.5g}") for k, v in getattr(clip, group).items()}
        for group in ("identity", "nuisance")
    }
    return name, {**fact, **rounded}
