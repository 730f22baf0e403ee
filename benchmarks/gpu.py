"""What a GPU does with this package: one script, to be run where one can be had.

    python benchmarks/gpu.py [--device cuda] [--preset paper] [--batches 32 64 128 256 512] [--steps 40] [--out FILE]

It takes about five minutes on a large GPU. First what must be so, and ends the script where it is not: one process there trains
as one on the CPU does, to a relative 1e-4 of the losses of the first steps, in float32 without TF32; a training that was
interrupted and went on has the weights of one that was not; scores are the CPU's, with cuDNN and without. Then its worth:
clips a second of a training step by batch size and precision, with the memory of it; of scoring, with cuDNN and without; and
which kernels the time goes to. Clips are noise, drawn once: the figures are about speed alone.

Prints JSON, and writes it to FILE. On a CPU it runs as far as that goes (``--device cpu --preset book``), which is how it is
tested; ``not run`` then names what that leaves out.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asdlib.classifier import finetune
from asdlib.clips import Clips
from asdlib.detector import embed
from asdlib.device import seeded
from asdlib.encoder import STgramMFN
from asdlib.files import atomic_write
from asdlib.run import PRESETS
from asdlib.training import PRECISIONS, StageConfig

MACHINES, WARM = 41, 5  # steps that do not count
SAME = 1e-4  # relative


def synchronise(device: str) -> None:
    """Wait for what the device has been told to do."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Inside, convolutions and products may, or may not, round to ten bits."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def noise(preset: str, count: int) -> Clips:
    """So many clips of a preset's size, as the cache stores them, of :data:`MACHINES` machines."""
    features, rng = PRESETS[preset].features, np.random.default_rng(0)
    waves = rng.integers(-9000, 9000, (count, features.samples), dtype=np.int16)
    mels = (10 * rng.standard_normal((count, features.n_mels, features.frames), np.float32) - 20).astype(np.float16)
    return Clips((waves, mels), np.array([f"m/{i % MACHINES:02d}" for i in range(count)]), features)


def encoder(preset: str) -> STgramMFN:
    """Of seed 0."""
    with seeded(0, "encoder"):
        return STgramMFN(PRESETS[preset].encoder, PRESETS[preset].features)


def trained(preset: str, clips: Clips, device: str, **options: Any) -> tuple[torch.nn.Module, list[dict]]:
    """The classifier and the log of the second stage, which is the package's own training."""
    return finetune(encoder(preset), clips, device=device, validation=0.0, **options)


def distance(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """The largest difference of two weights, in units of the largest weight of its tensor."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)) for a, b in pairs if b.is_floating_point())


# ----------------------------------------------------------------------------------------------------------- what must be so


def as_on_the_cpu(preset: str, device: str, batch: int) -> dict:
    """The losses of two steps, each an epoch, of one process there and of one on the CPU."""
    clips, config = noise(preset, batch), StageConfig(2, batch, learning_rate=1e-4)
    with tf32(False):
        losses = {
            where: [row["train_loss"] for row in trained(preset, clips, where, config=config)[1]] for where in (device, "cpu")
        }
    apart = float(np.max(np.abs(np.subtract(losses[device], losses["cpu"])) / np.abs(losses["cpu"])))
    assert apart < SAME, f"the losses differ by {apart:.1e} from the CPU's: {losses}"
    return {"losses": losses, "difference": apart}


class CutError(Exception):
    """A training that was interrupted."""


def resumed(preset: str, device: str, batch: int) -> dict:
    """Weights of a training that was interrupted after an epoch and went on, against those of one that was not."""
    clips, config = noise(preset, 2 * batch), StageConfig(2, batch, learning_rate=1e-3)
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True

    def cut(text: str, done: int, total: int) -> None:
        if done == 3:  # of four steps
            raise CutError

    try:
        whole, _ = trained(preset, clips, device, config=config)
        again, _ = trained(preset, clips, device, config=config)
        with tempfile.TemporaryDirectory() as folder:
            go_on = partial(trained, preset, clips, device, config=config, folder=Path(folder))
            try:
                go_on(on_step=cut)
            except CutError:
                resumed, _ = go_on()
    finally:
        torch.backends.cudnn.deterministic = before
    by_itself, apart = distance(again, whole), distance(resumed, whole)
    # What adds up in any order differs from run to run: then no more than that is asked of going on.
    assert apart <= max(10 * by_itself, 1e-7), f"what went on differs by {apart:.1e}, two whole trainings by {by_itself:.1e}"
    return {"difference": apart, "of two whole ones": by_itself}


def scores_as_on_the_cpu(preset: str, device: str) -> dict:
    """Embeddings there, with cuDNN and without, against those of the CPU."""
    clips, model = noise(preset, 16), encoder(preset).eval()
    expected = embed(model, clips.inputs, device="cpu")
    out = {}
    for name, on in (("with cuDNN", True), ("without cuDNN", False)):
        with torch.backends.cudnn.flags(enabled=on, allow_tf32=False):
            got = embed(model, clips.inputs, device=device)
        out[name] = float(np.abs(got - expected).max() / np.abs(expected).max())
        assert out[name] < SAME, f"embeddings {name} differ by {out[name]:.1e} from the CPU's"
    return out


# -------------------------------------------------------------------------------------------------------- what it is worth


def steps(preset: str, device: str, batch: int, precision: str, count: int) -> dict:
    """Clips a second of the package's own training, data and all, after :data:`WARM` steps; and the memory it takes."""
    clips = noise(preset, batch)
    config = StageConfig(WARM + count, batch, learning_rate=1e-4)  # an epoch is a step
    times = []

    def mark(text: str, done: int, total: int) -> None:
        if done in (WARM, total):
            synchronise(device)
            times.append(time.perf_counter())

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        trained(preset, clips, device, config=config, precision=precision, on_step=mark)
    except torch.OutOfMemoryError:
        return {"batch": batch, "precision": precision, "clips/s": None, "why": "out of memory"}
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None
    return {"batch": batch, "precision": precision, "clips/s": count * batch / (times[1] - times[0]), "GB": memory}


def scoring(preset: str, device: str, batch: int, cudnn: bool, rounds: int = 3) -> dict:
    """Clips a second of embedding, the best of some rounds after one that does not count."""
    clips, model = noise(preset, 4 * batch), encoder(preset).eval()
    best = np.inf
    with torch.backends.cudnn.flags(enabled=cudnn, allow_tf32=False):
        for i in range(1 + rounds):
            started = time.perf_counter()
            embed(model, clips.inputs, device=device, batch_size=batch)  # comes back to the CPU, so nothing is left to wait for
            best = min(best, time.perf_counter() - started) if i else best
    return {"batch": batch, "cuDNN": cudnn, "clips/s": len(clips) / best}


def where_the_time_goes(preset: str, device: str, batch: int, precision: str, count: int = 12) -> list[dict]:
    """The kernels that take most of a few training steps: share of the device's time, of all that are named."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
    config = StageConfig(WARM, batch, learning_rate=1e-4)
    with profile(activities=activities) as seen:
        trained(preset, noise(preset, batch), device, config=config, precision=precision)
        synchronise(device)
    name = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    rows = sorted(seen.key_averages(), key=lambda row: -getattr(row, name))
    total = sum(getattr(row, name) for row in rows)
    return [{"kernel": row.key, "share": getattr(row, name) / total, "calls": row.count} for row in rows[:count]]


def measured(device: str, preset: str, batches: list[int], count: int) -> dict:
    """Everything, as one dictionary for JSON."""
    small, large = min(batches), max(batches)
    missing = [] if device == "cuda" else ["pinned memory and reading ahead", "cuDNN", "memory of the device", "TF32"]
    about = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {
        "header": {
            "device": about,
            "preset": preset,
            "steps": count,
            "versions": {name: version(name) for name in ("asdlib", "torch", "numpy", "lightning-fabric")},
            "not run": missing,
        },
        "as on the CPU": as_on_the_cpu(preset, device, small),
        "resumed": resumed(preset, device, small),
        "scores as on the CPU": scores_as_on_the_cpu(preset, device),
        "training": [steps(preset, device, batch, precision, count) for precision in PRECISIONS for batch in batches],
        "scoring": [scoring(preset, device, batch, cudnn) for batch in batches for cudnn in (True, False)],
        "where": {
            precision: where_the_time_goes(preset, device, large if device == "cuda" else small, precision)
            for precision in PRECISIONS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--preset", default="paper", choices=sorted(PRESETS))
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256, 512])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error(
            "there is no GPU here: run it where there is one, or with --device cpu --preset book --batches 8 --steps 2"
        )
    found = json.dumps(measured(options.device, options.preset, options.batches, options.steps), indent=1)
    if options.out:
        with atomic_write(options.out) as path:
            path.write_text(found + "\n")
    print(found)


if __name__ == "__main__":
    main()
