"""How long does it take to find 50,000 recordings and to look at their headers, and how much memory?

    python benchmarks/scan.py WORK [--files 50000] [--rounds 3]

Makes so many tiny recordings in WORK, half WAV, half FLAC, named as DCASE 2020 Task 2, if they are not there. Every way of
``WAYS`` runs in a process of its own, in turn, ``rounds`` times; the files are in the system's memory by then. "plain" is what
one would write without asdlib: os.walk and soundfile.info; it knows no machines and checks nothing. Writes
``data/results/scan.json``: a header and a record a way, with the median seconds, all rounds, the median seconds of the
processor, which another busy process disturbs less, and the peak memory of the process in MB; "nothing" is the memory of the
imports alone.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soundfile
from results import FOLDER, write

from asdlib.data import scan
from asdlib.sound.inside import look_inside

MACHINES = 20


def make(root: Path, files: int) -> Path:
    """``files`` recordings of 20 ms in ``root``, which appears when it is complete."""
    if root.exists():
        return root
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        samples = np.random.default_rng(0).integers(-3000, 3000, 320).astype(np.int16)
        content = {}
        for ending in ("wav", "flac"):
            path = Path(folder) / f"clip.{ending}"
            soundfile.write(path, samples, 16000)
            content[ending] = path.read_bytes()
            path.unlink()
        for number in range(files):
            machine, ending = number % MACHINES, ("wav", "flac")[number // MACHINES % 2]
            part = "train/normal" if number < 0.8 * files else "test/anomaly"
            path = Path(folder) / f"type_{machine // 4}" / f"{part}_id_{machine % 4:02}_{number:08}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[ending])
        Path(folder).rename(root)
        Path(folder).mkdir()  # for the context to remove
    return root


def nothing(root: Path) -> int:
    """The imports alone."""
    return 0


def found(root: Path) -> int:
    """Find the clips, and what each is."""
    return len(scan(root))


def found_and_looked_at(root: Path) -> int:
    """Find the clips and look at the header of each, as asd info does."""
    looks = look_inside(scan(root))
    return sum(look.rate == 16000 and not look.trouble for look in looks)


def plain_walk(root: Path) -> int:
    """The names of all files, by os.walk."""
    return len([os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names])


def plain_headers(root: Path) -> int:
    """os.walk, and soundfile.info of each file, one after the other."""
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    return sum(info.samplerate == 16000 for info in map(soundfile.info, paths))


WAYS = {
    "nothing": nothing,
    "scan": found,
    "plain walk": plain_walk,
    "scan and headers": found_and_looked_at,
    "plain walk and headers": plain_headers,
}


def measured(way: str, root: Path) -> dict:
    """One way, in this process."""
    started, worked = time.perf_counter(), time.process_time()
    files = WAYS[way](root)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"files": files, "seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak}


def apart(way: str, root: Path) -> dict:
    """One way, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, str(root), "--way", way], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for the recordings, which are made if they are not there")
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the result")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # in a process of its own: WORK holds the recordings
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measured(options.way, options.work)))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    root = make(options.work / f"{options.files}-recordings", options.files)
    runs: dict[str, list[dict]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, own in runs.items():
            own.append(apart(way, root))
    records = []
    for way, own in runs.items():
        seconds = [round(run["seconds"], 3) for run in own]
        peak = max(run["peak_mb"] for run in own)
        records.append({
            "way": way, "files": own[0]["files"], "seconds": statistics.median(seconds), "rounds": seconds,
            "cpu_seconds": round(statistics.median(run["cpu_seconds"] for run in own), 3), "peak_mb": round(peak, 1),
        })  # fmt: skip
        print(records[-1], flush=True)
    header = {
        "what": "our measurements on one machine, files in the system's memory; medians of processes that took turns",
        "command": f"python benchmarks/scan.py WORK --files {options.files} --rounds {options.rounds}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "versions": {name: version(name) for name in ("asdlib", "soundfile", "numpy")},
        "recordings": f"{options.files} of 20 ms, half WAV, half FLAC, of {MACHINES} machines",
    }
    write("scan", header, records, folder=options.out)


if __name__ == "__main__":
    main()
