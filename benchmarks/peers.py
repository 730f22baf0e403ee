"""What would one install instead? Other people's detectors beside ours, on the same clips, with time and memory.

    python benchmarks/peers.py DATA --work WORK [--seeds 0 1 2] [--name NAME]

DATA is a folder of recordings as ``asd`` reads it. PyOD (its audio extra) is installed into an environment of its own, in
the folder WORK, and called as its documentation says: one detector a machine, fitted on the training clips, its default (KNN on
74 acoustic features) and two others. Beside it a plain detector in three lines (2-NN on mean and standard deviation of the
log-mel, standardised per machine), and the methods of the package. Each runs in a process of its own, whose CPU seconds
and peak memory are counted, reading the files included. Writes ``data/results/peers_NAME.json``: a header and a list of
records {method, scorer, seed, machine, auc, pauc, cpu_seconds, peak_mb}. Nothing is chosen on test clips.
"""

import json
import math
import os
import resource
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from results import FRACTIONS, about_recordings, machine_records, once, write

from asdlib import methods
from asdlib.cache import features_now
from asdlib.clips import Clips
from asdlib.data import Clip, scan
from asdlib.evaluation import by_machine, type_table
from asdlib.features import FeatureConfig
from asdlib.plain import plain_knn
from asdlib.training import StageConfig

PYOD = "pyod[audio]==3.6.7"
DETECTORS = ("KNN", "OCSVM", "LOF")  # of PyOD; the first is its default for audio
STEPS = 250  # of a training, at least
EPOCHS = {"clp_scf": 32, "sub_cluster": 12, "ensemble": 12}  # in all, as the presets have them; of an ensemble, each network
WINDOW = 2.0  # seconds that the network of the paper's method sees at a time, as in the preset book
# Runs under PyOD's own interpreter: machines, their files, and scores back.
CALL = """
import json, sys
from pyod.models.embedding import EmbeddingOD
machines, detector = json.load(sys.stdin), sys.argv[1]
found = {}
for machine, (training, test) in machines.items():
    model = EmbeddingOD.for_audio(detector=detector)
    model.fit(training)
    found[machine] = [float(x) for x in model.decision_function(test)]
json.dump(found, open(sys.argv[2], "w"))
"""


def environment(work: Path) -> Path:
    """The Python of an environment that has PyOD, made if it is not there."""
    python = work / "pyod" / "bin" / "python"
    if not (work / "pyod" / "ready").exists():
        venv.create(work / "pyod", with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PYOD], check=True)
        (work / "pyod" / "ready").touch()
    return python


def pyod_scores(detector: str, training: list[Clip], test: list[Clip], work: Path) -> np.ndarray:
    """Scores (M,) of the test clips, by a detector of PyOD for each machine."""
    machines = sorted({clip.machine for clip in test})
    files = {m: [[str(c.path) for c in part if c.machine == m] for part in (training, test)] for m in machines}
    out = work / f"scores-{os.getpid()}.json"
    call = [environment(work), "-c", CALL, detector, out]
    subprocess.run(call, input=json.dumps(files), text=True, check=True, stdout=sys.stderr)
    found, scores = json.loads(out.read_text()), np.empty(len(test))
    for machine in machines:
        scores[[clip.machine == machine for clip in test]] = found[machine]
    out.unlink()
    return scores


def our_scores(name: str, training: list[Clip], test: list[Clip], seed: int) -> dict[str, np.ndarray]:
    """Scores (M,) of the test clips by every scorer of a method of the package, or of "2-NN"."""
    features = FeatureConfig(seconds=seconds_of(training))
    known, asked = (features_now(clips, features) for clips in (training, test))
    if name == "2-NN":
        rows = [
            np.concatenate([c.log_mels.astype(np.float32).mean(2), c.log_mels.astype(np.float32).std(2)], 1)
            for c in (known, asked)
        ]
        return {"mean and deviation": by_machine(plain_knn, (rows[0], known.machines), (rows[1], asked.machines))}
    options = {"window": min(WINDOW, features.seconds)} if name == "clp_scf" else {}
    model = methods.get(name).train(known, budget=budget_for(known, EPOCHS.get(name, 1)), seed=seed, device="cpu", **options)
    return methods.get(name).score(model, known, asked, device="cpu")


def budget_for(known: Clips, epochs: int) -> StageConfig:
    """So many epochs, or as many as ``STEPS`` steps take, as ``asd train`` has them."""
    size = 64 if len(known) >= 640 else 32
    epochs = max(epochs, math.ceil(STEPS / max(1, len(known) // size)))
    return StageConfig(epochs, size, 1e-3, cosine_from=0)


def seconds_of(clips: list[Clip]) -> float:
    """The length of most clips."""
    import soundfile

    lengths = [soundfile.info(clip.path).duration for clip in clips]
    return float(np.median(lengths))


def measure(name: str, data: Path, seed: int, work: Path) -> list[dict]:
    """The records of one peer, with what this process and its children took."""
    clips = scan(data)
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    if name.startswith("PyOD "):
        environment(work)  # is not counted
        found = {"default": pyod_scores(name.removeprefix("PyOD "), training, test, work)}
    else:
        found = our_scores(name, training, test, seed)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cost = {
        "cpu_seconds": round(sum(u.ru_utime + u.ru_stime for u in used), 1),
        "peak_mb": max(u.ru_maxrss for u in used) // 1024,
    }
    table = pd.DataFrame({"machine": [c.machine for c in test], "label": [c.label for c in test]})
    about = {"method": name, "seed": seed, **cost}
    return [r for scorer, s in found.items() for r in machine_records(table.assign(score=s), **about, scorer=scorer)]


def main() -> None:
    parser = about_recordings(__doc__.splitlines()[0], seeds=3)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SEED"), help="measure this one only, and print its records")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.one:
        name, seed = options.one
        print(json.dumps(measure(name, options.data, int(seed), options.work)))
        return
    fixed = ["2-NN", *(f"PyOD {detector}" for detector in DETECTORS), "nearest"]  # nothing is drawn
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}  # threads that wait for others count as busy
    jobs = [(name, 0) for name in fixed] + [
        (name, seed) for seed in options.seeds for name in ("clp_scf", "sub_cluster", "ensemble")
    ]
    environment(options.work)
    name, records = options.name or options.data.name, []
    for method, seed in jobs:
        one = [sys.executable, __file__, str(options.data), "--work", str(options.work)]
        one += ["--one", method, str(seed)]
        call = lambda one=one: json.loads(subprocess.run(one, check=True, capture_output=True, text=True).stdout)  # noqa: E731
        records += once(options.work / f"{name} {method} {seed}.json", call)
        print(summary(records[-1:][0]["method"], records, seed), flush=True)
    versions = {package: version(package) for package in ("asdlib", "torch", "numpy", "scikit-learn")}
    header = {
        "data": name,
        "command": f"python benchmarks/peers.py DATA --work WORK --name {name}",
        "epochs": EPOCHS | {"steps, at least": STEPS},
        "versions": versions | {"pyod": PYOD},
        "unit": FRACTIONS,
    }
    write(f"peers_{name}", header, records)


def summary(method: str, records: list[dict], seed: int) -> str:
    """A line: the averages of each scorer of a method."""
    frame = pd.DataFrame(records)
    frame = frame[(frame.method == method) & (frame.seed == seed)]
    rows = {scorer: 100 * type_table(own.set_index("machine")).loc["average"] for scorer, own in frame.groupby("scorer")}
    best = ", ".join(f"{scorer} {row.auc:.1f}/{row.pauc:.1f}/{row.mauc:.1f}" for scorer, row in rows.items())
    return f"{method}, seed {seed}: {best}; {frame.cpu_seconds.iloc[0]:.0f} CPU s, {frame.peak_mb.iloc[0]} MB"


if __name__ == "__main__":
    main()
