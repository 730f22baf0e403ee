"""What do 8 bits cost? A trained detector as it is exported, in 32 bits and in 8: how much it finds, how large it is, how fast.

    python benchmarks/int8.py RUN DATA --name NAME [--scorers softmax-plain knn mahalanobis] [--calibration 200]

RUN is a run directory of a classifier of machine IDs, DATA the folder whose ``train`` it has learned from (the ranges of the 8
bits are those of so many of these clips) and whose ``test`` it is judged by. All scores are onnxruntime's, with one thread;
those in 32 bits are held against torch's. Writes ``data/results/int8_NAME.json``: a header and a list of records {bits, scorer,
machine, auc, pauc}, and of each file {bits, scorer, megabytes, clips a second, embeddings' cosine to 32 bits}.
"""

import argparse
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from results import FRACTIONS, SIMULATED, machine_records, write

from asdlib.data import read, scan
from asdlib.detector import Detector
from asdlib.export import export

BATCH = 16


def waves_of(clips: list, detector: Detector) -> np.ndarray:
    """(N, samples) float32 in ±1, cut to the length that the network knows."""
    samples = detector.config.features.samples
    return np.stack([np.resize(read(clip.path), samples) for clip in clips])


def outputs_of(path: Path, waves: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Scores (N, machines), embeddings (N, dim), and clips a second."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = ["score", "embedding"]
    session.run(names, {"waveform": waves[:BATCH]})
    started = time.perf_counter()
    found = [session.run(names, {"waveform": waves[i : i + BATCH]}) for i in range(0, len(waves), BATCH)]
    seconds = time.perf_counter() - started
    scores, embeddings = (np.concatenate(part) for part in zip(*found, strict=True))
    return scores, embeddings, len(waves) / seconds


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The mean over rows."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.mean((one * other).sum(axis=1) / lengths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--scorers", nargs="+", default=["softmax-plain", "knn", "mahalanobis"])
    parser.add_argument("--calibration", type=int, default=200)
    options = parser.parse_args()
    detector, clips = Detector.load(options.run), scan(options.data)
    training, test = ([clip for clip in clips if clip.split == split] for split in ("train", "test"))
    chosen = np.random.default_rng(0).permutation(len(training))[: options.calibration]
    calibration = waves_of([training[i] for i in chosen], detector)
    waves = waves_of(test, detector)
    own = [detector.config.machines.index(clip.machine) for clip in test]
    table = pd.DataFrame({"machine": [clip.machine for clip in test], "label": [clip.label for clip in test]})
    by_torch = detector.score_clips(test, scorers=options.scorers)
    records, files = [], []
    with tempfile.TemporaryDirectory() as folder:
        for scorer in options.scorers:
            exact = None
            for bits, int8 in ((32, None), (8, calibration)):
                path = Path(folder) / f"{scorer}-{bits}.onnx"
                export(detector, path, scorer=scorer, int8=int8)
                scores, embeddings, speed = outputs_of(path, waves)
                mine = scores[np.arange(len(test)), own]
                exact = embeddings if exact is None else exact
                if bits == 32:
                    np.testing.assert_allclose(mine, by_torch[scorer], rtol=1e-2, atol=1e-3)
                about = {"bits": bits, "scorer": scorer}
                found = machine_records(table.assign(score=mine), **about)
                size = path.stat().st_size / 1e6
                files.append(about | {"megabytes": size, "clips/s": speed, "cosine": cosine(embeddings, exact)})
                records += found
                print(files[-1], f"AUC {100 * np.mean([record['auc'] for record in found]):.2f}")
    simulated = (options.data / "park.json").exists()
    header = {
        "what": SIMULATED if simulated else f"our measurements on {options.name}",
        "unit": FRACTIONS,
        "command": f"python benchmarks/int8.py RUN DATA --name {options.name} --scorers {' '.join(options.scorers)}",
        "parameters": sum(p.numel() for p in detector.model.parameters()),
        "calibration clips": len(chosen),
        "files": files,
        "versions": {name: version(name) for name in ("torch", "onnxruntime", "numpy")},
    }
    write(f"int8_{options.name}", header, records)


if __name__ == "__main__":
    main()
