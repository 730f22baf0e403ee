"""What a finished run keeps of its training clips.

The memory bank: their embeddings, for the distance-based scorers; and the percentiles
of their scores. Read with every part checked, because a run directory may come from
anywhere.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from asdlib import methods
from asdlib.errors import AsdError
from asdlib.files import atomic_write
from asdlib.judge.rehearsal import Rehearsal
from asdlib.judge.scorers import cross_scores
from asdlib.learn.tensors import write_tensors
from asdlib.methods._parts import Ensemble, cross_surprises, with_sums
from asdlib.use.config import RunConfig
from asdlib.use.model_card import write_card
from asdlib.use.run import is_of, read_tensors

# machine -> scorer -> 101 scores, the 0th to the 100th percentile
Percentiles = dict[str, dict[str, list[float]]]

# What JSON that is damaged, or of another shape, may raise when it is read.
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OSError, RecursionError)


def scorers_of(
    model: nn.Module, config: RunConfig, bank: np.ndarray, labels: np.ndarray
) -> tuple[str, ...]:
    """The names of the scorers that a model has, the one to use first.

    ``bank`` (N, dim) are the embeddings of the training clips, ``labels`` (N,) whose
    they are.
    """
    if isinstance(model, Ensemble):  # without fitting it
        return ("fused", "plain", *model.widths)
    return tuple(methods.detector(config.method).judge(model, bank[labels == 0], 0))


def width_of(model: nn.Module) -> int:
    """How many numbers ``model.embed`` gives of a clip."""
    if isinstance(model, Ensemble):
        return sum(model.widths.values())
    return int(model.embedding_dim)  # type: ignore[arg-type]  # of every method


def save_bank(
    run: Path,
    config: RunConfig,
    model: nn.Module,
    bank: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Write ``README.md``, and what :func:`save_rows` does.

    ``bank`` (N, dim) float32 are the embeddings of the training clips, ``labels`` (N,)
    int64 whose they are. Raises OSError where they cannot be written.
    """
    names = scorers_of(model, config, bank, labels)
    parameters = sum(weight.numel() for weight in model.parameters())
    write_card(run, config, labels, parameters=parameters, scorers=names)
    save_rows(run, config, model, bank, labels)


def save_rows(
    run: Path,
    config: RunConfig,
    model: nn.Module,
    bank: np.ndarray,
    labels: np.ndarray,
    **about: str,
) -> None:
    """Write ``embeddings.safetensors`` and last ``scores.json``.

    ``bank`` (N, dim) and ``labels`` (N,) are those of :func:`save_bank`; ``about`` is
    kept with them. Raises OSError where they cannot be written.
    """
    names = scorers_of(model, config, bank, labels)
    percentiles = percentiles_of(config, model, bank, labels, names)
    tensors = {"embeddings": torch.from_numpy(bank), "labels": torch.from_numpy(labels)}
    mark = {"run": config.mark}
    write_tensors(tensors, run / "embeddings.safetensors", metadata=about | mark)
    with atomic_write(run / "scores.json") as temporary:
        temporary.write_text(json.dumps(mark | {"percentiles": percentiles}) + "\n")


def percentiles_of(
    config: RunConfig,
    model: nn.Module,
    bank: np.ndarray,
    labels: np.ndarray,
    scorers: Iterable[str],
) -> Percentiles:
    """Percentiles of the scores of each machine's training clips, by each scorer.

    ``bank`` (N, dim) are the embeddings of the clips, ``labels`` (N,) whose they are;
    ``scorers`` are names, and distances those of :func:`cross_scores`.
    """
    found: Percentiles = {}
    for label, machine in enumerate(config.machines):
        own = bank[labels == label]
        if isinstance(model, Ensemble):
            every = with_sums(model, cross_surprises(model, own, label))
            scores = {name: every[name] for name in scorers}
        else:
            scores = {
                name: _known_scores(model, config, own, label, name) for name in scorers
            }
        found[machine] = {
            name: np.percentile(values, range(101)).tolist()
            for name, values in scores.items()
        }
    return found


def _known_scores(
    model: nn.Module, config: RunConfig, own: np.ndarray, label: int, scorer: str
) -> np.ndarray:
    """Scores (N,) of a machine's training clips (N, dim), each held against others."""
    judge = methods.detector(config.method).judge

    def score(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return judge(model, known, label)[scorer](asked)

    return cross_scores(score, own)


def read_bank(
    run: Path, config: RunConfig, *, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, width) float32 and labels (N,) int64 of the training clips.

    Raises :class:`AsdError` for a file that is missing or damaged, is of another run,
    or holds anything else.
    """
    path = run / "embeddings.safetensors"
    tensors = read_tensors(path, config)
    nothing = torch.empty(0)
    bank = tensors.get("embeddings", nothing)
    labels = tensors.get("labels", nothing)
    sound = (
        (bank.dtype, labels.dtype) == (torch.float32, torch.int64)
        and labels.ndim == 1
        and bank.shape == (len(labels), width)
        and set(labels.tolist()) == set(range(len(config.machines)))
        and bool(bank.isfinite().all())
    )
    if not sound:
        raise AsdError(
            f"{path} does not hold one finite embedding for each training clip: "
            "restore it or train again"
        )
    return bank.numpy(), labels.numpy()


def read_percentiles(
    run: Path,
    config: RunConfig,
    model: nn.Module,
    bank: np.ndarray,
    labels: np.ndarray,
) -> Percentiles:
    """The percentiles of every scorer.

    Those of one that the run does not know yet are computed from its ``bank`` (N, dim)
    and ``labels`` (N,). Raises :class:`AsdError` for a file that is missing, damaged or
    of another run.
    """
    path = run / "scores.json"
    try:
        content = json.loads(path.read_text())
        of_this, kept = is_of(content, config), content["percentiles"]
        rows_of = [kept[machine] for machine in config.machines]
        names = scorers_of(model, config, bank, labels)
        there = [name for name in names if all(name in rows for rows in rows_of)]
        found = {
            machine: {name: np.asarray(rows[name], float) for name in there}
            for machine, rows in zip(config.machines, rows_of, strict=True)
        }
    except UNREADABLE as error:
        raise AsdError(f"{path} is damaged ({error}): train it again") from error
    if not of_this:
        raise AsdError(
            f"{path} belongs to other settings: restore the files of one run"
        )
    rows = [row for by_scorer in found.values() for row in by_scorer.values()]
    if not all(row.shape == (101,) and np.isfinite(row).all() for row in rows):
        raise AsdError(
            f"{path} is damaged (not 101 finite scores for each machine and scorer): "
            "train it again"
        )
    missing = [name for name in names if name not in there]
    new = percentiles_of(config, model, bank, labels, missing) if missing else {}
    return {
        machine: {name: row.tolist() for name, row in by_scorer.items()}
        | new.get(machine, {})
        for machine, by_scorer in found.items()
    }


def save_rehearsal(run: Path, config: RunConfig, found: Rehearsal) -> None:
    """Write ``rehearsal.json``: what a run's rehearsal has found."""
    with atomic_write(run / "rehearsal.json") as temporary:
        content = {"run": config.mark} | asdict(found)
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_rehearsal(run: Path, config: RunConfig) -> Rehearsal:
    """What the rehearsal of a run has found.

    Raises :class:`AsdError` for a file that is missing, damaged or of another run.
    """
    path = run / "rehearsal.json"
    try:
        content = json.loads(path.read_text())
        of_this = is_of(content, config)
        values = {name: content[name] for name in content if name != "run"}
        for name in ("strangers", "kept"):
            values[name] = tuple(values[name])
        found = Rehearsal(**values)
        if not all(isinstance(x, int | float) for x in found.auc.values()):
            raise ValueError("an AUC that is no number")
    except UNREADABLE as error:
        raise AsdError(f"{path} is damaged ({error}): train it again") from error
    if not of_this:
        raise AsdError(
            f"{path} belongs to other settings: restore the files of one run"
        )
    return found
