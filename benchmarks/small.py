"""How small may a detector be, and still beat the challenge's baseline?

    python benchmarks/small.py WORK [--spectra FILE --seeds 0 1 2 --epochs 12 --out FOLDER]

On the preset ``book`` of the simulated park, and with FILE (``dcase2020_modspec.npz``) on the spectra of DCASE 2020, for each
seed: the book's two stages whole, and pruned (``asdlib.methods.pruned``) to some shares of their memory, of sound each as it
is exported, in 32 bits and with its two-dimensional convolutions in 8; and the autoencoder of the challenge, with the 100
epochs that it has there. Once, because nothing of it is drawn: the two nearest of all healthy clips of a machine, and of as
few as are kept by k-centre, by mean and deviation of each band, or by the numbers of a spectrum. A tenth of the clips is kept
from the two stages: draws of the pruning are judged by them. A pruned network has seen every clip half as often again as the
whole one. Nothing is chosen on test clips.

Writes ``data/results/small.json``: a header and a list of records {data, detector, kept, bits, seed, scorer, auc, pauc, mauc,
parameters, weights, activations, macs, file}: ``kept`` is the share of the memory, or the clips of a machine; ``weights`` (or
known clips, of one machine) and ``activations`` at the fullest step are bytes, in 8 bits as if all of a picture, between its
convolutions as well, were in 8 bits; ``macs`` multiply-adds a clip; ``file`` the bytes of the exported file, front end
included. The front end itself counts in none of the others; what a detector must keep of its output, until it has read it,
does.
"""

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from results import FOLDER, SIMULATED, arguments, once, write
from stress import Parts, averages, park
from torch import nn

from asdlib import methods
from asdlib.clips import Clips, in_unit
from asdlib.detector import Detector
from asdlib.export import export
from asdlib.methods import autoencoder, embedded, pruned
from asdlib.plain import standard
from asdlib.pruning import plan_of
from asdlib.run import RunConfig
from asdlib.scorers import by_machine, euclidean_distances
from asdlib.spectra import read_spectra
from asdlib.summaries import views_of
from asdlib.thin import thinned
from asdlib.tracing import Embedding, kept_alive, numbers_in, traced
from asdlib.training import hold_out
from asdlib.use.jobs import options_of, size_of, stage_of

NAME = "clp_scf"
SHARES = {"park": (2 / 3, 1 / 2, 1 / 3), "spectra": (1 / 2, 1 / 4)}  # of the whole network's memory
COUNTS = (1000, 60, 8, 2)  # clips of a machine, or all where there are fewer
CHALLENGE = 100  # epochs of the autoencoder
BATCH = 16
Records = list[dict[str, Any]]


def real(path: Path) -> Parts:
    """Training clips, test clips, and which of the latter are faulty (M,), of spectra."""
    spectra = read_spectra(path)
    return spectra.train, spectra.test, spectra.test_is_anomaly.astype(bool)


# ------------------------------------------------------------------------------------------------------------------ sizes


def in_memory(network: nn.Module, inputs: tuple[torch.Tensor, ...], bits: int) -> int:
    """Bytes at the fullest step of ``network``, pictures with so many ``bits`` a number and all else with 32."""
    steps = kept_alive(network, traced(network, inputs))

    def size(value: Any) -> int:
        small = bits == 8 and getattr(value, "ndim", 0) == 4
        return numbers_in(value) * (1 if small else 4)

    return max(sum(size(piece.meta["value"]) for piece in pieces) for pieces in steps)


def of_weights(network: nn.Module, bits: int) -> int:
    """Bytes of its parameters, those of two-dimensional convolutions in so many ``bits`` and all others in 32."""
    return sum(p.numel() * (1 if bits == 8 and p.ndim == 4 else 4) for p in network.parameters())


# -------------------------------------------------------------------------------------------------------------- detectors


def exported_scores(path: Path, asked: Clips) -> np.ndarray:
    """What onnxruntime says of each clip (M,), by the score of its own machine."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    waves = asked.inputs[0]
    batches = [in_unit(waves[i : i + BATCH]) for i in range(0, len(waves), BATCH)]
    found = np.concatenate([session.run(["score"], {"waveform": batch})[0] for batch in batches])
    return found[np.arange(len(asked)), asked.labels]


def scores_of(model: nn.Module, known: Clips, asked: Clips) -> Iterator[tuple[int, np.ndarray, int | None]]:
    """In how many bits, scores (M,), and the size of the file: of sound as exported, of spectra as they are."""
    scorer = methods.get(NAME).SCORERS[0]
    if known.features is None:
        yield 32, methods.get(NAME).score(model, known, asked, device="cpu")[scorer], None
        return
    bank, _ = embedded(model, known, device="cpu")
    config = RunConfig(machines=tuple(known.names), features=known.features, method="pruned")
    detector = Detector(config, model, bank, known.labels, {})
    for bits, waves in ((32, None), (8, known.inputs[0])):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "detector.onnx"
            export(detector, path, scorer=scorer, int8=waves)
            yield bits, exported_scores(path, asked), path.stat().st_size


def networks(parts: Parts, shares: tuple[float, ...], seed: int, epochs: int) -> Records:
    """The two stages, whole and pruned."""
    known, asked, faulty = parts
    learned, held = (known.only(rows) for rows in hold_out(known.labels, pruned.HELD, seed=seed))
    method, how = methods.get(NAME), {"seed": seed, "device": "cpu"}
    stage, records = stage_of(NAME, learned, epochs), []
    whole = methods.trained(method, learned, budget=stage, **options_of(NAME, known), **how)
    example = pruned.example(whole, known.features, known.inputs[0].shape[1:])
    room = plan_of(whole, example).peak()
    for share in (1.0, *shares):
        model = whole
        if share < 1:
            half = stage.of(max(1, stage.epochs // 2))
            model = pruned.prune(whole, learned, judged=held, budget=half, limit=share * room, **how)
        plan = plan_of(model, example)
        small = pruned.slimmed(model, plan, pruned.heard(model, plan))
        macs = int(size_of(small, asked)["macs"])
        for bits, scores, file in scores_of(model, learned, asked):
            sizes = {"weights": of_weights(small, bits), "activations": in_memory(Embedding(small), example, bits)}
            own = {"parameters": sum(p.numel() for p in small.parameters()), **sizes, "macs": macs, "file": file}
            about = {"detector": NAME, "kept": share, "bits": bits, "seed": seed, "scorer": method.SCORERS[0]}
            records.append(about | averages(scores, asked.machines, faulty) | own)
    return records


def baseline(parts: Parts, seed: int, epochs: int) -> Records:
    """The autoencoder of one machine type: it looks at some frames at a time, and keeps them until it knows its error."""
    known, asked, faulty = parts
    stage = stage_of("autoencoder", known, epochs).of(epochs)
    model = methods.trained(autoencoder, known, budget=stage, seed=seed, device="cpu")
    ((scorer, scores),) = autoencoder.score(model, known, asked, device="cpu").items()
    network = model.of(known.types[0])
    layers = [layer.weight for layer in network.modules() if isinstance(layer, nn.Linear)]
    width = layers[0].shape[1]
    times = known.features.frames - autoencoder.CONTEXT + 1 if known.features else 1
    alive = in_memory(network, (torch.zeros(1, width),), 32) + 4 * width
    sizes = {"weights": of_weights(network, 32), "activations": alive, "macs": times * sum(x.numel() for x in layers)}
    about = {"detector": "autoencoder", "kept": 1.0, "bits": 32, "seed": seed, "scorer": scorer}
    own = {"parameters": sum(p.numel() for p in network.parameters()), **sizes, "file": None}
    return [about | averages(scores, asked.machines, faulty) | own]


def two_nearest(known: np.ndarray, asked: np.ndarray, *, count: int) -> np.ndarray:
    """The mean distance (M,) to the two nearest of ``count`` known clips, standardised by all of them."""
    scale = standard(known)
    rows = scale(known)
    far = euclidean_distances(rows[thinned(rows, count)])(scale(asked))
    return np.sort(far, axis=1)[:, :2].mean(axis=1)


def neighbours(parts: Parts) -> Records:
    """The two nearest of all clips, and of a few; a mean and a deviation need two sums a band while a clip is heard."""
    known, asked, faulty = parts

    def numbers(clips: Clips) -> np.ndarray:
        levels = clips.inputs[0].reshape(len(clips), -1)
        return views_of(clips)["levels"][:, : 2 * clips.features.n_mels] if clips.features else levels

    rows, new = numbers(known).astype(float), numbers(asked).astype(float)
    most, width, records = int(np.bincount(known.labels).max()), rows.shape[1], []
    for count in sorted({min(count, most) for count in COUNTS}, reverse=True):
        scores = by_machine(partial(two_nearest, count=count), (rows, known.machines), (new, asked.machines))
        own = {"parameters": 0, "weights": 4 * (count + 2) * width, "activations": 4 * (width + count), "macs": count * width}
        about = {"detector": "nearest", "kept": int(count), "bits": 32, "seed": 0, "scorer": "plain knn"}
        records.append(about | averages(scores, asked.machines, faulty) | own | {"file": None})
    return records


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], seeds=3)
    parser.add_argument("--spectra", type=Path, metavar="FILE", help="dcase2020_modspec.npz")
    parser.add_argument("--epochs", type=int, default=12, help="of the whole network, in all")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the result")
    options = parser.parse_args()
    data = {"park": partial(park, options.work)} | ({"spectra": partial(real, options.spectra)} if options.spectra else {})
    records = []
    for name, read in data.items():
        parts, jobs = read(), options.work / "small"
        cases = [("nearest", partial(neighbours, parts))]
        for seed in options.seeds:
            cases.append((f"autoencoder-{seed}-{CHALLENGE}", partial(baseline, parts, seed, CHALLENGE)))
            cases.append((f"networks-{seed}-{options.epochs}", partial(networks, parts, SHARES[name], seed, options.epochs)))
        for case, measure in cases:
            records += [{"data": name, **record} for record in once(jobs / f"{name}-{case}.json", measure)]
            print(f"{name}: {case}", flush=True)
    seeds, spectra = " ".join(map(str, options.seeds)), f" --spectra {options.spectra.name}" if options.spectra else ""
    header = {
        "what": f"park: {SIMULATED}; spectra: the development set of DCASE 2020 Task 2",
        "command": f"python benchmarks/small.py WORK{spectra} --seeds {seeds} --epochs {options.epochs}",
        "versions": {package: version(package) for package in ("asdlib", "torch", "onnxruntime", "numpy")},
        "unit": "fractions; auc, McClish-standardised pauc at a false-positive rate of 0.1 and mauc, averages over the types",
    }
    write("small", header, records, folder=options.out)


if __name__ == "__main__":
    main()
