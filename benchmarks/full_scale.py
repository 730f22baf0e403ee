"""Does the whole pipeline run at the size of the real challenge: 41 machines, the preset ``paper``, cut in epochs only?

    python benchmarks/full_scale.py WORK [--clips-share 1.0] [--precision bf16]

Makes a simulated set of the size and layout of DCASE 2020 Task 2 (development and additional training sets), then runs ``asd
train --preset paper --epochs 1`` and ``asd evaluate --csv``, each in a process of its own, and records seconds, peak memory
and disk. Of every 8 clips one is rendered and 7 are that sound started elsewhere: it is the pipeline that is tried, not the
park. Writes ``data/results/full_scale.json``. Needs 45 GB of disk; about two hours on two cores. What is finished in WORK is
not made again.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from results import FOLDER
from scipy.io import wavfile

from asdlib.files import atomic_write
from asdlib.machines import MACHINE_TYPES, SAMPLE_RATE, clip_plan, render

ALIKE = 8  # clips made of one rendered sound
# The additional training set has the IDs that the development set lacks; its numbers of clips are taken to be like those.
ADDITIONAL = {
    **dict.fromkeys(("fan", "pump", "slider", "valve"), ("id_01", "id_03", "id_05")),
    "ToyCar": ("id_05", "id_06", "id_07"),
    "ToyConveyor": ("id_04", "id_05", "id_06"),
}


def clips(part: str) -> list[tuple[str, dict]]:
    """Pairs of a path and what renders it: the development set, or the training clips of 18 machines of another park."""
    if part == "dev":
        return list(clip_plan("dcase", seed=0))
    out = []
    for name, how in clip_plan("dcase", seed=1):
        kind, machine_id = how["machine"].split("/")
        place = MACHINE_TYPES[kind].ids.index(machine_id)
        if how["split"] == "train" and place < len(ADDITIONAL[kind]):
            out.append((name.replace(machine_id, ADDITIONAL[kind][place]), how))
    return out


def write_alike(root: Path, group: list[tuple[str, dict]]) -> None:
    """Write some clips of one machine and kind: the first as rendered, the others started elsewhere."""
    sound = np.round(render(**group[0][1]).waveform * 2**15).astype(np.int16)
    for i, (name, _) in enumerate(group):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(root / name, SAMPLE_RATE, np.roll(sound, i * len(sound) // ALIKE))


def make(root: Path, share: float) -> int:
    """The set under ``root``; the number of its clips."""
    count = 0
    for part in ("dev", "add"):
        groups: dict[tuple, list] = {}
        for name, how in clips(part):
            groups.setdefault((how["machine"], how["split"], how.get("fault")), []).append((name, how))
        pieces = []
        for members in groups.values():
            members = members[: max(2, round(share * len(members)))]
            pieces += [members[i : i + ALIKE] for i in range(0, len(members), ALIKE)]
        count += sum(map(len, pieces))
        if not (root / f".{part}-done").exists():
            with ProcessPoolExecutor() as pool:
                list(pool.map(write_alike, [root / part] * len(pieces), pieces, chunksize=8))
            (root / f".{part}-done").touch()
    return count


def watched(*words, log: Path) -> dict:
    """Run ``asd`` with these words: its seconds and its peak memory."""
    started = time.perf_counter()
    with open(log, "w") as out:
        process = subprocess.Popen([sys.executable, "-m", "asdlib", *map(str, words)], stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"asd {' '.join(map(str, words))} failed, see {log}")
    return {"seconds": time.perf_counter() - started, "peak memory, MB": usage.ru_maxrss / 1024}


def disk(folder: Path) -> float:
    """Megabytes on the disk below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--clips-share", type=float, default=1.0, help="try the script itself with fewer clips")
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    options = parser.parse_args()
    data, run, cache = (options.work / name for name in ("data", "run", "cache"))
    started = time.perf_counter()
    count = make(data, options.clips_share)
    steps = {"simulate": {"seconds": time.perf_counter() - started, "clips": count, "disk, MB": disk(data)}}
    words = ("--preset", "paper", "--epochs", 1, "--precision", options.precision, "--cache", cache, "--device", "cpu")
    steps["train"] = watched("train", data, "--run", run, *words, "--resume", log=options.work / "train.log")
    steps["train"]["log"] = (run / "log.csv").read_text().splitlines()
    steps["train"] |= {"disk of the run, MB": disk(run), "disk of the cache, MB": disk(cache)}
    csv = options.work / "csv"
    words = ("--csv", csv, "--cache", cache, "--device", "cpu")
    steps["evaluate"] = watched("evaluate", data / "dev", "--run", run, *words, log=options.work / "evaluate.log")
    steps["evaluate"] |= {"CSV files": len(list(csv.glob("*.csv"))), "disk of the cache, MB": disk(cache)}
    header = {
        "what": "a dry run of the whole pipeline on a simulated set of the size of DCASE 2020 Task 2, one epoch a stage",
        "command": f"full_scale.py WORK --clips-share {options.clips_share:g} --precision {options.precision}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU",
        "versions": {name: version(name) for name in ("asdlib", "torch")},
    }
    with atomic_write(FOLDER / "full_scale.json") as temporary:
        temporary.write_text(json.dumps({"header": header, "steps": steps}, indent=1) + "\n")
    print(json.dumps(steps, indent=1))


if __name__ == "__main__":
    main()
