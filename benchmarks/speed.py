"""How fast is it, beside the ordinary ways of doing the same?

    python benchmarks/speed.py [WORK] [--rounds 3]          as make benchmark does; about 20 minutes on two cores

Every part of ``speed_parts.py`` runs in a process of its own, with one thread and with two; where two ways are compared, their
processes take turns, ``rounds`` times. A ratio is the median of the rounds' ratios, and beside it stand the least and the
largest. Writes ``data/results/speed.json``: a header, the measurements, ``ratios`` and their ``spreads``. Run it on an idle
machine: another busy process halves the figures of two threads.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from results import FOLDER

from asdlib.files import atomic_write

HERE = Path(__file__).parent
TOP = HERE.parent
PRESETS = ("book", "paper")
RATIOS = (
    "asdlib's speed over the yardstick's. train_step and train_step_bf16: preset paper, batch 32, one thread, against the same "
    "network the ordinary way in float32, contiguous tensors and the allocator's defaults; train_step in float32 with equal "
    "outputs, train_step_bf16 in that precision, whose outputs differ. scoring: preset paper, one thread, equal outputs, "
    "against the ordinary way at the batch size that suits it best. cached_loader: float32 batches from a cache of 200 MB "
    "against soundfile and torchaudio in every epoch, one thread. contrastive_loss_n256 and arcface_n1024: against "
    "pytorch-metric-learning, forward and backward, one thread. cold_score_seconds: asd score of one clip, a new process."
)


def part(name: str, threads: int, work: Path) -> dict:
    """One part in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "OMP_"))}
    environment |= {"OMP_NUM_THREADS": str(threads), "ASDLIB_CACHE": str(work / "cache")}
    command = [sys.executable, HERE / "speed_parts.py", name, str(threads), work]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compared(name: str, threads: int, work: Path, rounds: int, kinds: tuple[str, ...]) -> dict:
    """asdlib, in one precision or two, and plain in turn: medians of each, the ratio of each to plain in each round."""
    runs = [{kind: part(f"{name}-{kind}", threads, work) for kind in (*kinds, "plain")} for _ in range(rounds)]
    plain = np.array(runs[0]["plain"]["outputs"])
    out = {}
    for kind in (*kinds, "plain"):
        out[kind] = {
            key: statistics.median(run[kind][key] for run in runs) for key in ("clips/s", "processor ms a clip", "gflops")
        }
        sizes = runs[0][kind].get("clips/s by batch", {})
        if sizes:
            by_batch = {n: statistics.median(run[kind]["clips/s by batch"][n] for run in runs) for n in sizes}
            out[kind] |= {"batch": int(max(by_batch, key=by_batch.__getitem__)), "clips/s by batch": by_batch}
    for kind in kinds:
        difference = float(np.abs(np.array(runs[0][kind]["outputs"]) - plain).max() / np.abs(plain).max())
        if kind == "asdlib" and difference > 1e-4:
            sys.exit(f"{name}: the outputs differ by {difference:.1e} of the largest, so the speeds cannot be compared")
        ratios = [run[kind]["clips/s"] / run["plain"]["clips/s"] for run in runs]
        out[kind] |= {"difference": difference, "ratio": statistics.median(ratios), "ratios": ratios}
    return out


def cold(command: list, repeats: int = 7) -> float:
    """Median seconds of a new process, the first call left out."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def cold_starts(work: Path) -> dict:
    """Seconds of ``import asdlib.detector``, of torch alone, and of ``asd score`` of one 2 s clip, each in a new process."""
    asd, park = [sys.executable, "-m", "asdlib"], work / "park"
    if not park.exists():
        subprocess.run([*asd, "simulate", park, "--preset", "tiny"], check=True, capture_output=True)
    clip = sorted((park / "fan" / "test").glob("*id_00*.wav"))[0]
    with tempfile.TemporaryDirectory(dir=work) as folder:  # a run of an earlier version might not load
        run = Path(folder) / "run"
        subprocess.run([*asd, "train", park, "--run", run, "--epochs", "1", "--device", "cpu"], check=True, capture_output=True)
        return {
            "python": cold([sys.executable, "-c", "pass"]),
            "import torch": cold([sys.executable, "-c", "import torch"]),
            "import asdlib": cold([sys.executable, "-c", "import asdlib"]),
            "import asdlib.detector": cold([sys.executable, "-c", "import asdlib.detector"]),
            "asd score, one clip": cold([*asd, "score", clip, "--run", run, "--machine", "fan/id_00"]),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, nargs="?", default=Path(tempfile.gettempdir()) / "asdlib-speed")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    measured = {"cold start, seconds": cold_starts(options.work)}
    for threads in (1, 2):
        here = measured[f"threads {threads}"] = {}
        for name in ("ceiling", "read", "front_end", "loader", "contrastive_loss", "clip_length", "clip_count"):
            here[name] = part(name, threads, options.work)
            print(threads, name, here[name], flush=True)
        for preset in PRESETS:
            for name, kinds in (("train", ("asdlib", "bf16")), ("score", ("asdlib",))):
                found = compared(f"{name}-{preset}", threads, options.work, options.rounds, kinds)
                for kind in found:
                    found[kind]["share of the ceiling"] = found[kind]["gflops"] / here["ceiling"]["gflops"]
                here[f"{name}, {preset}"] = found
                print(threads, name, preset, found, flush=True)
    one, took = measured["threads 1"], TOP / "_build" / "took.json"
    loss, loader = one["contrastive_loss"], one["loader"]
    turns = {
        "train_step": one["train, paper"]["asdlib"],
        "train_step_bf16": one["train, paper"]["bf16"],
        "scoring": one["score, paper"]["asdlib"],
    }
    content = {
        "header": {
            "what": "our measurements on one machine: medians; where two ways are compared, their processes took turns",
            "command": "make benchmark",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
            "versions": {
                name: version(name) for name in ("asdlib", "torch", "torchaudio", "numba", "librosa", "pytorch-metric-learning")
            },
            "ratios": RATIOS,
        },
        "ratios": {
            **{name: found["ratio"] for name, found in turns.items()},
            "cached_loader": loader["asdlib, as float32"] / loader["soundfile and torchaudio in every epoch"],
            "contrastive_loss_n256": loss["256"]["pytorch-metric-learning"] / loss["256"]["asdlib"],
            "arcface_n1024": loss["1024"]["pytorch-metric-learning, ArcFace"] / loss["1024"]["asdlib, ArcFace"],
            "cold_score_seconds": measured["cold start, seconds"]["asd score, one clip"],
        },
        "spreads": {name: [min(found["ratios"]), max(found["ratios"])] for name, found in turns.items()},
        "book": json.loads(took.read_text()) if took.exists() else None,
        "measured": measured,
    }
    with atomic_write(FOLDER / "speed.json") as temporary:
        temporary.write_text(json.dumps(_rounded(content), indent=1) + "\n")
    print(json.dumps(_rounded(content["ratios"]), indent=1))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def _rounded(value):
    """Numbers to four digits: more would only look exact."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
