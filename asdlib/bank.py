"""What a finished run keeps of its training clips: their embeddings, for the distance-based scorers, and the percentiles of
their scores. Read with every part checked, because a run directory may come from anywhere."""

import json
from pathlib import Path

import numpy as np
import torch

from asdlib.classifier import MachineClassifier
from asdlib.errors import AsdError
from asdlib.evaluation import EMBEDDING_SCORERS, SCORERS, softmax_score
from asdlib.files import replacing, write_tensors
from asdlib.run import RunConfig, fingerprint, read_tensors

Percentiles = dict[str, dict[str, list[float]]]  # machine -> scorer -> 101 scores, the 0th to the 100th percentile


@torch.no_grad()
def machine_softmax(model: MachineClassifier, embeddings: np.ndarray, label: int, *, margin: bool) -> np.ndarray:
    """The softmax scores (N,) of ``embeddings`` (N, dim) for the machine ``label``."""
    x = torch.as_tensor(embeddings)
    logits = model.arcface(x, torch.full((len(x),), label) if margin else None)
    return softmax_score(logits.numpy(), label)


def save_bank(run: Path, config: RunConfig, model: MachineClassifier, bank: np.ndarray, labels: np.ndarray) -> None:
    """Write ``embeddings.safetensors``, then ``scores.json``, the last file of a run."""
    percentiles = {}
    for label, machine in enumerate(config.machines):
        own = bank[labels == label]
        scores = {name: _cross_scores(function, own) for name, function in EMBEDDING_SCORERS.items()}
        scores["softmax"] = machine_softmax(model, own, label, margin=True)
        scores["softmax-plain"] = machine_softmax(model, own, label, margin=False)
        percentiles[machine] = {name: np.percentile(values, range(101)).tolist() for name, values in scores.items()}
    tensors = {"embeddings": torch.from_numpy(bank), "labels": torch.from_numpy(labels)}
    write_tensors(tensors, run / "embeddings.safetensors", metadata={"config": fingerprint(config)})
    with replacing(run / "scores.json") as temporary:
        temporary.write_text(json.dumps({"config": fingerprint(config), "percentiles": percentiles}) + "\n")


def _cross_scores(function, embeddings: np.ndarray, folds: int = 5) -> np.ndarray:
    """Scores of a machine's training clips, each against the clips of the other folds: no clip is its own neighbour."""
    fold = np.arange(len(embeddings)) % min(folds, len(embeddings))
    scores = np.empty(len(embeddings))
    for i in np.unique(fold):
        scores[fold == i] = function(embeddings[fold != i], embeddings[fold == i])
    return scores


def read_bank(run: Path, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, dim) and labels (N,) of the training clips. Raises :class:`AsdError` for anything else."""
    path = run / "embeddings.safetensors"
    tensors = read_tensors(path, config)
    bank, labels = (tensors.get(name, torch.empty(0)) for name in ("embeddings", "labels"))
    sound = (
        (bank.dtype, labels.dtype) == (torch.float32, torch.int64)
        and labels.ndim == 1
        and bank.shape == (len(labels), config.encoder.embedding_dim)
        and set(labels.tolist()) == set(range(len(config.machines)))
        and bool(bank.isfinite().all())
    )
    if not sound:
        raise AsdError(f"{path} does not hold one finite embedding for each training clip: restore it or train again")
    return bank.numpy(), labels.numpy()


def read_percentiles(run: Path, config: RunConfig) -> Percentiles:
    """The percentiles. Raises :class:`AsdError` for anything else."""
    path = run / "scores.json"
    try:
        content = json.loads(path.read_text())
        of_these = content["config"] == fingerprint(config)
        found = {m: {name: np.asarray(content["percentiles"][m][name], float) for name in SCORERS} for m in config.machines}
    except (KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        raise AsdError(f"{path} is damaged ({error}): train it again") from error
    if not of_these:
        raise AsdError(f"{path} belongs to other settings: restore the files of one run")
    rows = [row for by_scorer in found.values() for row in by_scorer.values()]
    if not all(row.shape == (101,) and np.isfinite(row).all() for row in rows):
        raise AsdError(f"{path} is damaged (not 101 finite scores for each machine and scorer): train it again")
    return {m: {name: row.tolist() for name, row in by_scorer.items()} for m, by_scorer in found.items()}
