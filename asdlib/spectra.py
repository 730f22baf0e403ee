"""Clips that come as spectra instead of sound: a file of them, and an encoder small enough for a laptop.

A set of spectra is one ``.npz`` file (arrays only, nothing in it is executed)::

    train            (N, bands, modulations)   normal clips, any float type
    train_machine    (N,)                      text, "type/id"
    test             (M, bands, modulations)
    test_machine     (M,)
    test_is_anomaly  (M,)                      0 or 1
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.classifier import MachineClassifier
from asdlib.detector import embed
from asdlib.errors import AsdError
from asdlib.evaluation import EMBEDDING_SCORERS, softmax_score

ARRAYS = ("train", "train_machine", "test", "test_machine", "test_is_anomaly")


@dataclass(frozen=True)
class Spectra:
    """Training and test clips as spectra (N, 1, bands, modulations) float32, their machines (N,), and the truth (M,) bool."""

    train: np.ndarray
    train_machine: np.ndarray
    test: np.ndarray
    test_machine: np.ndarray
    test_is_anomaly: np.ndarray

    @property
    def machines(self) -> list[str]:
        """Training machines, in label order."""
        return sorted(set(self.train_machine.tolist()))

    @property
    def labels(self) -> np.ndarray:
        """The training clips' labels (N,)."""
        return np.searchsorted(self.machines, self.train_machine)

    def only(self, rows: np.ndarray) -> "Spectra":
        """The same set with some of its training clips; test clips of machines that are left without any go, too."""
        kept = np.isin(self.test_machine, self.train_machine[rows])
        test = self.test[kept], self.test_machine[kept], self.test_is_anomaly[kept]
        return Spectra(self.train[rows], self.train_machine[rows], *test)


def read_spectra(path: str | Path) -> Spectra:
    """The set of spectra in ``path``, checked.

    Raises :class:`AsdError` for anything but such a file: arrays missing, of other shapes or not numbers, values that are
    not finite, test clips of a machine without training clips, or of one that is only normal or only anomalous.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            if missing:
                raise AsdError(f"{path} has no array {', '.join(missing)}: a set of spectra holds {', '.join(ARRAYS)}")
            arrays = {name: file[name] for name in ARRAYS}
    except FileNotFoundError as error:
        raise AsdError(f"no file {path}: give the .npz file of a set of spectra") from error
    except (ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile, OSError) as error:
        raise AsdError(f"{path} is not an .npz file of arrays ({error}): give a set of spectra") from error
    for part in ("train", "test"):
        x, machine = arrays[part], arrays[f"{part}_machine"]
        if x.ndim != 3 or x.dtype.kind != "f" or x.shape[1:] != arrays["train"].shape[1:] or 0 in x.shape:
            expected = (
                f"(clips, {', '.join(map(str, arrays['train'].shape[1:]))})"
                if part == "test"
                else "(clips, bands, modulations)"
            )
            raise AsdError(f"{part} in {path} is {x.dtype} of shape {x.shape}: it must be floats of shape {expected}")
        if machine.shape != (len(x),) or machine.dtype.kind != "U":
            raise AsdError(
                f"{part}_machine in {path} has shape {machine.shape}: it must name the machine of each of {len(x)} clips"
            )
        bad = ~np.isfinite(x).all(axis=(1, 2))
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise AsdError(
                f"{bad.sum()} clips of {part} in {path} hold values that are not finite, the first in row {first} "
                f"({machine[first]}): leave those clips out, or compute them again"
            )
    _check_truth(path, arrays)
    floats = {part: arrays[part].astype(np.float32)[:, None] for part in ("train", "test")}
    return Spectra(**{**arrays, **floats, "test_is_anomaly": arrays["test_is_anomaly"].astype(bool)})


def _check_truth(path: Path, arrays: dict[str, np.ndarray]) -> None:
    truth, machine = arrays["test_is_anomaly"], arrays["test_machine"]
    if truth.shape != machine.shape or not np.isin(truth, (0, 1)).all():
        raise AsdError(f"test_is_anomaly in {path} must be 0 or 1 for each of the {len(machine)} test clips")
    unknown = sorted(set(machine.tolist()) - set(arrays["train_machine"].tolist()))
    if unknown:
        raise AsdError(f"{path} has test clips but no training clips of {', '.join(unknown)}: add some, or leave them out")
    for name in sorted(set(machine.tolist())):
        own = truth[machine == name].astype(bool)
        if own.all() or not own.any():
            kind = "anomalous" if own.any() else "normal"
            raise AsdError(f"all {len(own)} test clips of {name} in {path} are {kind}: a ROC curve needs both kinds")


class SpectrumEncoder(nn.Module):
    """Spectra (B, 1, bands, modulations) → embedding (B, embedding_dim).

    Each number is first brought to mean 0 and variance 1 over the training clips (a batch norm without weights). Then five
    convolutions run along the bands; the modulations are their channels, because neighbouring bands hold the same kind of
    thing and neighbouring modulations do not.
    """

    def __init__(self, bands: int, modulations: int, *, width: int = 64, embedding_dim: int = 128):
        super().__init__()
        self.embedding_dim = embedding_dim
        self.shape = (1, bands, modulations)
        self.standardise = nn.BatchNorm1d(bands * modulations, affine=False)
        self.layers = nn.Sequential(
            conv_bn_relu(modulations, width),
            conv_bn_relu(width, width, stride=2),
            conv_bn_relu(width, 2 * width),
            conv_bn_relu(2 * width, 2 * width, stride=2),
            conv_bn_relu(2 * width, 2 * width),
        )
        left = (bands + 3) // 4  # after two strides of 2, rounded up
        self.project = nn.Sequential(nn.Linear(2 * width * left, embedding_dim, bias=False), nn.BatchNorm1d(embedding_dim))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise AsdError(f"the encoder expects spectra of shape (B, {', '.join(map(str, self.shape))}), not {tuple(x.shape)}")
        x = self.standardise(x.flatten(1)).view(-1, *self.shape[1:]).transpose(1, 2)
        return self.project(self.layers(x).flatten(1))


def conv_bn_relu(cin: int, cout: int, *, stride: int = 1) -> nn.Sequential:
    """Bias-free 3-tap convolution along the bands, batch norm, ReLU: (B, cin, bands) → (B, cout, bands / stride)."""
    return nn.Sequential(nn.Conv1d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm1d(cout), nn.ReLU(inplace=True))


def score_spectra(model: nn.Module, spectra: Spectra, *, device: str = "auto") -> dict[str, np.ndarray]:
    """Anomaly scores (M,) of the test clips by every scorer that ``model`` has: the distances between its embeddings and,
    if it is a classifier, the surprise at the own machine, with the margin and without."""
    known, asked = (embed(model.embed, (x,), device=device, batch_size=512) for x in (spectra.train, spectra.test))
    scores = distance_scores(known, spectra.train_machine, asked, spectra.test_machine)
    if isinstance(model, MachineClassifier):
        for scorer, margin in (("softmax", True), ("softmax-plain", False)):
            scores[scorer] = np.empty(len(asked))
            for machine in set(spectra.test_machine.tolist()):
                own, label = spectra.test_machine == machine, spectra.machines.index(machine)
                with torch.no_grad():
                    labels = torch.full((own.sum(),), label) if margin else None
                    scores[scorer][own] = softmax_score(model.arcface(torch.from_numpy(asked[own]), labels).numpy(), label)
    return scores


def distance_scores(
    known: np.ndarray, machines: np.ndarray, asked: np.ndarray, asked_machines: np.ndarray
) -> dict[str, np.ndarray]:
    """Scores (M,) of ``asked`` (M, dim) by every distance-based scorer, each clip against ``known`` (N, dim) of its machine."""
    scores = {name: np.empty(len(asked)) for name in EMBEDDING_SCORERS}
    for machine in set(asked_machines.tolist()):
        own = asked_machines == machine
        for name, function in EMBEDDING_SCORERS.items():
            scores[name][own] = function(known[machines == machine], asked[own])
    return scores
