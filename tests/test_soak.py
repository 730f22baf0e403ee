"""A stream that never ends: memory stays flat and no score comes late. Seconds here, as long as ``make soak`` says there.

Time is that of the processor: what else the machine is busy with is not the stream's fault.
"""

import os
import resource
import time

import numpy as np

from asdlib.machines import render
from asdlib.stream import StreamScorer

MINUTES = float(os.environ.get("ASDLIB_SOAK_MINUTES", 0.1))
MACHINE = "fan/id_02"


def resident() -> float:
    """Megabytes of memory that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def test_memory_stays_flat_and_scores_come_in_time(detector):
    sound = np.concatenate([render(MACHINE, i, split="test").waveform[:16000] for i in range(8)])
    stream, rng = StreamScorer(detector, MACHINE, every=0.25), np.random.default_rng(0)
    end, seconds, slowest, used = time.process_time() + 60 * MINUTES, 0.0, 0.0, []
    while time.process_time() < end:
        chunk = np.roll(sound, rng.integers(len(sound)))[: rng.integers(1, 4000)]
        begun = time.process_time()
        scores = stream.push(chunk)
        slowest = max(slowest, time.process_time() - begun)
        seconds += len(chunk) / 16000
        assert all(np.isfinite(value) for _, value in scores)
        if len(used) < 1000 or rng.random() < 0.01:
            used.append(resident())
    settled = used[len(used) // 10 :]
    print(
        f"{seconds / 60:.1f} minutes of sound, memory {min(settled):.0f} to {max(settled):.0f} MB, slowest push {slowest:.3f} s"
    )
    assert max(settled) - min(settled) < 20
    assert seconds > 60 * MINUTES  # faster than the sound itself
    assert slowest < 5  # a stall of seconds is a defect on any machine; how fast it is, the benchmarks say
