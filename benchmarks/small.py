"""How small may a detector be, and still beat the challenge's baseline?

    python benchmarks/small.py WORK [--seeds 0 1 2 --epochs 12 --out FOLDER]

On the preset ``book`` of the simulated park, for each seed: the book's two stages whole, and pruned (``asdlib.methods.pruned``)
to a half, a quarter and an eighth of its memory, each as it is exported, in 32 bits and in 8; the autoencoder of the challenge,
in 32 bits, trained as long; and the nearest of all healthy clips of a machine, and of as few as are kept by k-centre, for which
nothing is trained. A pruned network has seen every clip half as often again as the whole one. Nothing is chosen on test clips.

Writes ``data/results/small.json``: a header and a list of records {detector, kept, bits, seed, scorer, auc, pauc, mauc,
parameters, weights, activations, macs, file}: ``kept`` is the share of the memory, or the clips of a machine; ``weights`` (or
known clips, of one machine) and ``activations`` at the fullest step are bytes in so many bits, ``macs`` multiply-adds a clip,
``file`` the bytes of the exported file, front end included. The front end, the same for all, counts in none of the others.
"""

from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from peers import seconds_of
from results import FOLDER, SIMULATED, arguments, once, park_clips, write
from stress import averages
from torch import nn

from asdlib import methods
from asdlib.cache import features_now
from asdlib.clips import Clips
from asdlib.detector import Detector
from asdlib.export import export
from asdlib.features import FeatureConfig
from asdlib.methods import autoencoder, embedded, nearest, pruned
from asdlib.plain import standard
from asdlib.run import RunConfig
from asdlib.scorers import by_machine, euclidean_distances
from asdlib.thin import thinned
from asdlib.tracing import kept_alive, numbers_in, traced
from asdlib.use.jobs import options_of, size_of, stage_of

NAME = "clp_scf"
SHARES = (1 / 2, 1 / 4, 1 / 8)  # of the whole network's memory
COUNTS = (60, 8, 2)  # clips of a machine
BATCH = 16
Parts = tuple[Clips, Clips, np.ndarray]
Records = list[dict[str, Any]]


def park(work: Path) -> Parts:
    """Training clips, test clips, and which of the latter are faulty (M,)."""
    training, test = park_clips(work)
    features = FeatureConfig(seconds=seconds_of(training))
    known, asked = (features_now(clips, features) for clips in (training, test))
    return known, asked, np.array([clip.label == "anomaly" for clip in test])


def peak(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    """How many numbers are in memory at the fullest step of ``network``."""
    alive = kept_alive(network, traced(network, inputs))
    return max(sum(numbers_in(piece.meta["value"]) for piece in pieces) for pieces in alive)


def exported_scores(path: Path, asked: Clips) -> np.ndarray:
    """What onnxruntime says of each clip (M,), by the score of its own machine."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    waves = asked.inputs[0]
    batches = [(waves[i : i + BATCH] / np.float32(2**15)).astype(np.float32) for i in range(0, len(waves), BATCH)]
    found = np.concatenate([session.run(["score"], {"waveform": batch})[0] for batch in batches])
    return found[np.arange(len(asked)), asked.labels]


def networks(work: Path, seed: int, epochs: int) -> Records:
    """The two stages, whole and pruned, in 32 bits and in 8."""
    known, asked, faulty = park(work)
    method, how = methods.get(NAME), options_of(NAME, known) | {"seed": seed, "device": "cpu"}
    stage, records = stage_of(NAME, known, epochs), []
    whole = methods.trained(method, known, budget=stage, **how)
    room = pruned.plan_of(whole, pruned.example(whole, known.features)).peak()
    for share in (1.0, *SHARES):
        model = whole
        if share < 1:
            half, options = stage.of(max(1, epochs // 2)), {"limit": share * room, "seed": seed, "device": "cpu"}
            model = pruned.prune(whole, known, judged=known, budget=half, **options)
        small = pruned.small(model, known.features)
        bank, labels = embedded(model, known, device="cpu")
        config = RunConfig(machines=tuple(known.names), features=known.features, method="pruned")
        detector = Detector(config, model, bank, labels, {})
        sizes = size_of(small, asked) | {"activations": pruned.plan_of(small, pruned.example(small, known.features)).peak()}
        for bits, waves in ((32, None), (8, known.inputs[0])):
            with TemporaryDirectory() as folder:
                path = Path(folder) / "detector.onnx"
                export(detector, path, scorer=method.SCORERS[0], int8=waves)
                scores, size = exported_scores(path, asked), path.stat().st_size
            records.append(
                {"detector": NAME, "kept": share, "bits": bits, "seed": seed, "scorer": method.SCORERS[0]}
                | averages(scores, asked.machines, faulty)
                | in_bytes(bits, sizes, file=size)
            )
    return records


def in_bytes(bits: int, sizes: dict[str, float], file: int | None = None) -> dict[str, Any]:
    """Numbers in weights and activations as bytes, in so many ``bits`` each."""
    weights, activations = (round(sizes[name] * bits / 8) for name in ("parameters", "activations"))
    own = {"parameters": int(sizes["parameters"]), "macs": int(sizes["macs"])}
    return own | {"weights": weights, "activations": activations, "file": file}


def baseline(work: Path, seed: int, epochs: int) -> Records:
    """The autoencoder, one machine type's: it looks at a few frames at a time, and forgets them."""
    known, asked, faulty = park(work)
    model = methods.trained(autoencoder, known, budget=stage_of("autoencoder", known, epochs), seed=seed, device="cpu")
    ((scorer, scores),) = autoencoder.score(model, known, asked, device="cpu").items()
    network = model.of(known.types[0])
    stack = torch.zeros(1, autoencoder.CONTEXT * known.features.n_mels)
    weights = sum(p.numel() for p in network.parameters())
    frames = known.features.frames - autoencoder.CONTEXT + 1
    products = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear))
    sizes = {"parameters": weights, "macs": frames * products, "activations": peak(network, (stack,))}
    about = {"detector": "autoencoder", "kept": 1.0, "bits": 32, "seed": seed, "scorer": scorer}
    return [about | averages(scores, asked.machines, faulty) | in_bytes(32, sizes)]


def two_nearest(known: np.ndarray, asked: np.ndarray, *, count: int) -> np.ndarray:
    """The mean distance (M,) to the two nearest of ``count`` known clips, standardised by all of them."""
    scale = standard(known)
    rows = scale(known)
    far = euclidean_distances(rows[thinned(rows, count)])(scale(asked))
    return np.sort(far, axis=1)[:, :2].mean(axis=1)


def neighbours(work: Path) -> Records:
    """The nearest of all clips, and of a few, by the mean and the 95th percentile of each band of the log-mel."""
    known, asked, faulty = park(work)
    model, records = methods.trained(nearest, known, budget=nearest.BUDGET, seed=0, device="cpu"), []
    rows, new = (model.numbers(embedded(model, clips, device="cpu")[0]) for clips in (known, asked))
    for count in COUNTS:
        scores = by_machine(partial(two_nearest, count=count), (rows, known.machines), (new, asked.machines))
        width = rows.shape[1]
        sizes = {"parameters": (count + 2) * width, "macs": count * width, "activations": width + count}
        about = {"detector": "nearest", "kept": count, "bits": 32, "seed": 0, "scorer": "plain knn"}
        records.append(about | averages(scores, asked.machines, faulty) | in_bytes(32, sizes))
    return records


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], seeds=3)
    parser.add_argument("--epochs", type=int, default=12, help="of the whole network, in all")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the result")
    options = parser.parse_args()
    work, epochs, jobs = options.work, options.epochs, options.work / "small"
    records = once(jobs / "nearest.json", partial(neighbours, work))
    for seed in options.seeds:
        for measure in (baseline, networks):
            records += once(jobs / f"{measure.__name__}-{seed}-{epochs}.json", partial(measure, work, seed, epochs))
            print(f"{measure.__name__}, seed {seed}", flush=True)
    header = {
        "what": SIMULATED,
        "command": f"python benchmarks/small.py WORK --seeds {' '.join(map(str, options.seeds))} --epochs {epochs}",
        "versions": {package: version(package) for package in ("asdlib", "torch", "onnxruntime", "numpy")},
        "unit": "fractions; auc, McClish-standardised pauc at a false-positive rate of 0.1 and mauc, averages over the types",
    }
    write("small", header, records, folder=options.out)


if __name__ == "__main__":
    main()
