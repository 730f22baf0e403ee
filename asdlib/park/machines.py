"""The simulated machine park: machine type → machine ID → clip, with named faults of
known severity.

Every clip is drawn in three steps that never mix: the **identity** of its machine (once
per machine), the **nuisance** of this recording (anew for every clip, the same law for
all machines of a type) and, for an anomalous clip, a **fault** that moves some identity
parameters out of that machine's tolerance. :mod:`asdlib.park.rendering` makes one clip;
here is the whole park. It is a teaching set: what counts as evidence is real data.

    >>> clip = render("fan/id_00", 3, seed=0)  # a healthy fan
    >>> twin = render("fan/id_00", 3, seed=0, fault="imbalance")  # the same moment
    >>> clip.waveform.shape
    (32000,)
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from asdlib.errors import AsdError
from asdlib.park.domain_shift import FACTORS, ShiftPreset, render_pair, shift_plan
from asdlib.park.rendering import SAMPLE_RATE, faults, generator_of, machines, render
from asdlib.progress import OnStep, silent

FACTS_FILE = "park.json"
Counts = tuple[int, int, int]  # training, normal test, anomalous test clips


@dataclass(frozen=True)
class Preset:
    """How large a park is: clip length in seconds, and clips per machine.

    ``counts`` are the same for all machines, or given for each.
    """

    seconds: float
    counts: Counts | dict[str, Counts]

    def counts_of(self, machine: str) -> Counts:
        """(training, normal test, anomalous test) clips of one machine."""
        return self.counts[machine] if isinstance(self.counts, dict) else self.counts


# Clips of each machine in the DCASE 2020 Task 2 development set: training, normal test,
# anomalous test.
_DCASE = {
    "fan/id_00": (911, 100, 407),
    "fan/id_02": (916, 100, 359),
    "fan/id_04": (933, 100, 348),
    "fan/id_06": (915, 100, 361),
    "pump/id_00": (906, 100, 143),
    "pump/id_02": (905, 100, 111),
    "pump/id_04": (602, 100, 100),
    "pump/id_06": (936, 100, 102),
    "slider/id_00": (968, 100, 356),
    "slider/id_02": (968, 100, 267),
    "slider/id_04": (434, 100, 178),
    "slider/id_06": (434, 100, 89),
    "valve/id_00": (891, 100, 119),
    "valve/id_02": (608, 100, 120),
    "valve/id_04": (900, 100, 120),
    "valve/id_06": (892, 100, 120),
    "ToyCar/id_01": (1000, 350, 264),
    "ToyCar/id_02": (1000, 350, 265),
    "ToyCar/id_03": (1000, 350, 265),
    "ToyCar/id_04": (1000, 350, 265),
    "ToyConveyor/id_01": (1000, 800, 400),
    "ToyConveyor/id_02": (1000, 800, 355),
    "ToyConveyor/id_03": (1000, 799, 355),
}

PARKS: dict[str, Preset | ShiftPreset] = {
    "tiny": Preset(seconds=1.0, counts=(6, 4, 4)),
    "book": Preset(seconds=2.0, counts=(60, 20, 20)),
    "long": Preset(seconds=10.0, counts=(60, 20, 20)),  # clips as long as real ones
    "dcase": Preset(seconds=10.0, counts=_DCASE),
    "shift": ShiftPreset(),  # two domains, which differ in everything that may
    **{f"shift-{factor}": ShiftPreset(factors=(factor,)) for factor in FACTORS},
}


def clip_plan(preset: str, *, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """The clips of a park, ``preset`` being one of :data:`PARKS`.

    They are pairs of a path relative to its root and the arguments of :func:`render`,
    or of :func:`render_pair` where there are two domains, that make it.

    >>> name, arguments = next(clip_plan("tiny"))
    >>> name
    'fan/train/normal_id_00_00000000.wav'
    >>> arguments["machine"], arguments["split"], arguments["seconds"]
    ('fan/id_00', 'train', 1.0)
    """
    size = PARKS[preset]
    if isinstance(size, ShiftPreset):
        yield from shift_plan(size, seed=seed)
        return
    for machine in machines():
        machine_type, machine_id = machine.split("/")
        train, normal, anomaly = size.counts_of(machine)
        common = {"machine": machine, "seed": seed, "seconds": size.seconds}
        for i in range(train):
            name = f"{machine_type}/train/normal_{machine_id}_{i:08d}.wav"
            yield name, {**common, "number": i, "split": "train"}
        for i in range(normal):
            name = f"{machine_type}/test/normal_{machine_id}_{i:08d}.wav"
            yield name, {**common, "number": i, "split": "test"}
        names = faults(machine)
        for i in range(anomaly):
            rng = generator_of("severity", seed, machine, i)
            fault = {"fault": names[i % len(names)], "severity": rng.uniform(0.6, 1.4)}
            name = f"{machine_type}/test/anomaly_{machine_id}_{i:08d}.wav"
            yield name, {**common, "number": normal + i, "split": "test", **fault}


def simulate(
    out: str | Path, *, preset: str = "book", seed: int = 0, on_step: OnStep = silent
) -> Path:
    """Write a whole park to the new folder ``out``, which is returned.

    It has the DCASE 2020 Task 2 layout, or that of 2022 where there are two domains,
    with ``park.json`` beside it. ``preset`` is one of :data:`PARKS`. The folder appears
    only when it is complete. ``on_step(text, done, total)`` is called after each clip.
    Raises :class:`AsdError` for an unknown preset, or if ``out`` exists and is not
    empty, or cannot be written.
    """
    if preset not in PARKS:
        choices = ", ".join(PARKS)
        raise AsdError(f"no preset {preset!r} of the park: choose one of {choices}")
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
        about = {
            "what": "simulated by asdlib.machines; not real recordings",
            "preset": preset,
            "seed": seed,
            "clips": _write_all(partial, clips, on_step),
        }
        (partial / FACTS_FILE).write_text(json.dumps(about, indent=0) + "\n")
        partial.chmod(0o755)
        partial.rename(out)
    except OSError as error:
        raise AsdError(
            f"cannot write the park to {out}: {error.strerror}; "
            "free some space or choose another folder"
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return out


def _write_all(
    root: Path, clips: list[tuple[str, dict[str, Any]]], on_step: OnStep
) -> dict[str, dict]:
    facts = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for name, fact in pool.map(lambda clip: _write(root, *clip), clips):
                facts[name] = fact
                on_step("simulate", len(facts), len(clips))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return facts


def _write(root: Path, name: str, arguments: dict[str, Any]) -> tuple[str, dict]:
    make = render_pair if "domain" in arguments else render
    clip = make(**arguments)
    samples = np.round(clip.waveform * 2**15).astype(np.int16)
    wavfile.write(root / name, SAMPLE_RATE, samples)
    fact = {"machine": clip.machine, "fault": clip.fault, "severity": clip.severity}
    rounded = {
        group: {k: float(f"{v:.5g}") for k, v in getattr(clip, group).items()}
        for group in ("identity", "nuisance")
    }
    return name, {**fact, **rounded}
