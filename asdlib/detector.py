"""A trained detector: both stages from clips to a run directory, and scores from a run directory."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from asdlib import processes
from asdlib.bank import Percentiles, machine_softmax, read_bank, read_percentiles, save_bank
from asdlib.cache import Features, ReadOptions, features_of
from asdlib.classifier import MachineClassifier, finetune
from asdlib.contrastive import ContrastiveModel, pretrain
from asdlib.data import Clip, training_clips
from asdlib.encoder import fold_batch_norms
from asdlib.errors import AsdError
from asdlib.evaluation import EMBEDDING_SCORERS, SCORERS
from asdlib.files import only_one
from asdlib.progress import OnStep, silent
from asdlib.run import (
    RunConfig,
    load_pretrained,
    loaded,
    new_classifier,
    new_encoder,
    read_config,
    save_weights,
    write_config,
)
from asdlib.training import Examples, find_device, keep_freed_memory, plan

if TYPE_CHECKING:  # `asd score` of one clip does not wait for it
    import pandas as pd


def train(
    clips: list[Clip],
    run: str | Path,
    config: RunConfig,
    *,
    resume: bool = False,
    skip_single: bool = False,
    device: str = "auto",
    cache: Path | None = None,
    on_step: OnStep = silent,
) -> "Detector":
    """Train on the training clips among ``clips`` and fill the run directory ``run``; the finished detector.

    ``config.machines`` and ``config.data`` are taken from the clips. A run that was stopped goes on with ``resume=True`` and
    the same arguments. Raises :class:`AsdError` when the directory holds something already (without ``resume``) or a run of
    other settings or clips (with it), and for unusable clips, see :func:`asdlib.data.training_clips`.
    """
    run = Path(run)
    clips = training_clips(clips, skip_single=skip_single)
    config = replace(config, machines=tuple(sorted({clip.machine for clip in clips})), data=_digest(clips))
    if len(config.machines) < 2:
        raise AsdError(
            f"only one machine ({config.machines[0]}): the method tells machines apart, so give clips of two or more"
        )
    device = find_device(device).type  # an unknown device is refused before hours of work, not after
    labels = np.array([config.machines.index(clip.machine) for clip in clips])
    drawn = {"seed": config.seed, "validation": config.validation}
    for stage in filter(None, (config.pretrain, config.finetune)):
        plan(labels, stage, **drawn)  # batches that cannot be shared out are refused now, too
    processes.begin(device)
    try:
        if processes.is_first():
            _check_run(run, config, resume)
        processes.wait_for_all()
        if (run / "scores.json").exists():  # written last: there is nothing left to do
            return Detector.load(run)
        reading = {"options": config.reading, "folder": cache}
        features = features_of(clips, config.features, together=True, on_step=on_step, **reading)
        examples = Examples(features.arrays, labels)
        options = drawn | {"device": device, "precision": config.precision, "folder": run, "on_step": on_step}
        with _held(run, config, resume), processes.that_may_stop():
            base = _stage_1(run, config, examples, options)
            _stage_2(run, config, base, examples, options)
            if processes.is_first():
                model = loaded(partial(_untrained, config), run / "weights.safetensors", config)
                bank = embed(model.embed, features.arrays, device=device, on_step=on_step)
                (run / "checkpoint.safetensors").unlink(missing_ok=True)
                save_bank(run, config, model, bank, labels)
            processes.wait_for_all()
    except OSError as error:
        raise AsdError(
            f"cannot write to the run directory {run} ({error.strerror}): check space and permissions, then --resume"
        ) from error
    return Detector.load(run)


@contextmanager
def _held(run: Path, config: RunConfig, resume: bool) -> Iterator[None]:
    """Inside, the run directory is there with its ``config.json``, and belongs to this training alone."""
    if not processes.is_first():
        processes.wait_for_all()
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    with only_one(run):
        _check_run(run, config, resume)  # once more: another process may have begun here meanwhile
        for left in run.glob(".*.part"):  # by a process that was killed while it wrote
            left.unlink()
        write_config(run, config)
        processes.wait_for_all()
        yield


def _untrained(config: RunConfig) -> MachineClassifier:
    return new_classifier(new_encoder(config), config)


def _digest(clips: list[Clip]) -> str:
    """Tells sets of training clips apart by names and sizes, wherever their folder lies."""
    try:
        text = "\n".join(sorted(f"{clip.machine}/{clip.path.name} {clip.path.stat().st_size}" for clip in clips))
    except OSError as error:
        raise AsdError(f"cannot read {error.filename} ({error.strerror}): check the file, or remove it") from error
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _check_run(run: Path, config: RunConfig, resume: bool) -> None:
    """Refuse to train over what is there: something else, or a run of other settings."""
    if resume and (run / "config.json").exists():
        earlier = read_config(run)
        if earlier != config:
            different = [name for name in asdict(config) if getattr(earlier, name) != getattr(config, name)]
            raise AsdError(
                f"{run} was started with other settings ({', '.join(different)}): resume with the same data and options, "
                "or choose another run directory"
            )
    elif resume and run.is_dir() and _filled(run):
        raise AsdError(f"{run} holds no run to resume (no config.json): name a new directory")
    elif run.exists() and (not run.is_dir() or _filled(run)):
        raise AsdError(f"{run} exists already and is left as it is: pass --resume to go on with it, or name a new directory")


def _filled(run: Path) -> bool:
    """Is anything in ``run`` but what a process left that was killed while it wrote?"""
    return any(not path.match(".*.part") for path in run.iterdir())


def _stage_1(run: Path, config: RunConfig, examples: Examples, options: dict) -> ContrastiveModel | nn.Module:
    """The pretrained model (trained now, or in the run already), or a fresh encoder for the single-stage method."""
    encoder = new_encoder(config)
    if config.pretrain is None or (run / "weights.safetensors").exists():
        return encoder
    path = run / "pretrained.safetensors"
    if not path.exists():
        loss = {"temperature": config.temperature, "self_in_denominator": config.self_in_denominator}
        model, _ = pretrain(encoder, examples, config.pretrain, **loss, **options)
        _keep(model, path, config)
    return load_pretrained(run)


def _stage_2(run: Path, config: RunConfig, base: nn.Module, examples: Examples, options: dict) -> None:
    """Leave the weights of stage 2 in the run, unless they are there."""
    path = run / "weights.safetensors"
    if not path.exists():
        stage = {"classes": len(config.machines), "margin": config.margin, "scale": config.scale}
        model, _ = finetune(base, examples, config.finetune, **stage, **options)
        _keep(model, path, config)


def _keep(model: nn.Module, path: Path, config: RunConfig) -> None:
    """Save a stage's weights, by one process, before any goes on."""
    processes.wait_for_all()  # each has seen by now that they were not there
    if processes.is_first():
        save_weights(model, path, config)
    processes.wait_for_all()


def ready(function, device: torch.device):
    """``function``, a module or a bound method of one, of a copy in evaluation mode on ``device``; it answers on the CPU."""
    keep_freed_memory()
    module = getattr(function, "__self__", function)
    copy = fold_batch_norms(deepcopy(module).eval()).to(device, memory_format=torch.channels_last)
    function = copy if function is module else getattr(copy, function.__name__)

    def full_precision(*inputs):
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):  # or a GPU would round to 10 bits
            return function(*inputs).cpu()

    return full_precision


def embed(
    function,
    arrays: tuple[np.ndarray, ...],
    *,
    device: str = "auto",
    batch_size: int = 32,
    on_step: OnStep = silent,
) -> np.ndarray:
    """``function`` (an encoder, or a model's ``embed``) over arrays of N clips in batches: (N, dim) float32.

    ``function`` is a module or a bound method of one; what runs is a copy in evaluation mode. Always in full precision.
    """
    device = find_device(device)
    function = ready(function, device)
    examples = Examples(arrays, np.zeros(len(arrays[0]), dtype=np.int64))
    out = []
    for start in range(0, len(examples), batch_size):
        inputs, _ = examples.batch(np.arange(start, min(start + batch_size, len(examples))), device)
        out.append(function(*inputs))
        on_step("embed", min(start + batch_size, len(examples)), len(examples))
    return torch.cat(out).numpy()


@dataclass(frozen=True)
class Detector:
    """A finished run: ``config``, ``model``, and embeddings and labels of its training clips (``bank``)."""

    config: RunConfig
    model: MachineClassifier
    bank: np.ndarray  # (N, dim)
    bank_labels: np.ndarray  # (N,)
    percentiles: Percentiles  # of the scores of the normal training clips

    @classmethod
    def load(cls, run: str | Path) -> "Detector":
        """The detector in a run directory. Raises :class:`AsdError` when there is none, or its parts do not fit."""
        run = Path(run)
        config = read_config(run)
        for name in ("weights.safetensors", "embeddings.safetensors", "scores.json"):
            if not (run / name).exists():
                raise AsdError(f"{run} holds an unfinished run (no {name}): finish it with asd train --resume")
        model = loaded(partial(_untrained, config), run / "weights.safetensors", config)
        return cls(config, model, *read_bank(run, config), read_percentiles(run, config))

    def label(self, machine: str) -> int:
        """The label of ``machine`` (``type/id``). Raises :class:`AsdError` when the run was not trained on it."""
        if machine not in self.config.machines:
            known = ", ".join(self.config.machines)
            raise AsdError(f"this run does not know the machine {machine!r}: choose one of {known}, or train on it")
        return self.config.machines.index(machine)

    def scores(self, embeddings: np.ndarray, machine: str, scorer: str = "softmax") -> np.ndarray:
        """Anomaly scores (N,), larger is more anomalous, of ``embeddings`` (N, dim) of clips of one machine."""
        if scorer not in SCORERS:
            raise AsdError(f"no scorer {scorer!r}: choose one of {', '.join(SCORERS)}")
        label = self.label(machine)
        if scorer in EMBEDDING_SCORERS:
            return EMBEDDING_SCORERS[scorer](self.bank[self.bank_labels == label], embeddings)
        return machine_softmax(self.model, embeddings, label, margin=scorer == "softmax")

    def score_clips(
        self,
        clips: list[Clip],
        *,
        scorers=SCORERS,
        reading: ReadOptions | None = None,
        device: str = "auto",
        cache: Path | None = None,
        on_step: OnStep = silent,
    ) -> "pd.DataFrame":
        """One row per clip, in order: ``machine``, ``name``, ``label`` and one column of scores per scorer.

        ``reading`` says how clips of other rates, channels or lengths are read, if not as the training clips were.
        """
        for machine in {clip.machine for clip in clips}:
            self.label(machine)
        options = reading or self.config.reading
        features = features_of(clips, self.config.features, options=options, folder=cache, on_step=on_step)
        return self.score_features(features, clips, scorers=scorers, device=device, on_step=on_step)

    def score_features(self, features: Features, clips, *, scorers=SCORERS, device="auto", on_step: OnStep = silent):
        """As :meth:`score_clips`, for features in hand."""
        import pandas as pd

        embeddings = embed(self.model.embed, features.arrays, device=device, on_step=on_step)
        table = pd.DataFrame(
            [(clip.machine, clip.path.name, clip.label) for clip in clips], columns=["machine", "name", "label"]
        )
        for scorer in scorers:
            table[scorer] = np.nan
            for machine, rows in table.groupby("machine").groups.items():
                table.loc[rows, scorer] = self.scores(embeddings[rows], machine, scorer)
        return table

    def training_share(self, score: float, machine: str, scorer: str = "softmax") -> float:
        """The share of the machine's training clips that score below ``score``, 0 to 1.

        The network knows those clips: a new clip of a healthy machine scores above most of them. It is no false-alarm rate.
        """
        return float(np.interp(score, self.percentiles[machine][scorer], np.linspace(0, 1, 101)))
