"""A trained detector: both stages from clips to a run directory, and scores from a run directory."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from asdlib import processes
from asdlib.device import find_device
from asdlib.errors import AsdError
from asdlib.files import locked
from asdlib.judge.scorers import EMBEDDING_SCORERS, scorer_names
from asdlib.learn.classifier import MachineClassifier, finetune
from asdlib.learn.contrastive import ContrastiveModel, pretrain
from asdlib.learn.embedding import embed
from asdlib.learn.training import plan_batches
from asdlib.progress import OnStep, silent
from asdlib.sound.cache import ReadOptions, features_of
from asdlib.sound.clips import Clips
from asdlib.sound.data import Clip, training_clips
from asdlib.use.bank import (
    Percentiles,
    machine_softmax,
    read_bank,
    read_percentiles,
    save_bank,
)
from asdlib.use.run import (
    RunConfig,
    load_pretrained,
    loaded,
    new_classifier,
    new_encoder,
    new_identity,
    read_config,
    save_weights,
    write_config,
)

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
    other settings or clips (with it), and for unusable clips, see :func:`asdlib.sound.data.training_clips`.
    """
    run = Path(run)
    clips = training_clips(clips, skip_single=skip_single)
    machines = tuple(sorted({clip.machine for clip in clips}))
    if len(machines) < 2:
        raise AsdError(
            f"only one machine ({machines[0]}): the method tells machines apart, so give clips of two or more"
        )
    device = find_device(
        device
    ).type  # an unknown device is refused before hours of work, not after
    labels = np.array([machines.index(clip.machine) for clip in clips])
    for stage in filter(None, (config.pretrain, config.finetune)):
        plan_batches(
            labels, stage, validation=config.validation, seed=config.seed
        )  # what cannot be shared out, too
    data = digest(clips) if processes.is_first() else ""  # the process that writes
    config = replace(config, machines=machines, data=data, identity=new_identity())
    try:
        with processes.process_group(device), processes.that_may_stop():
            if processes.is_first():
                config = _begun(run, config, resume)
            processes.barrier()
            if not (
                run / "scores.json"
            ).exists():  # written last: else there is nothing left to do
                _fill(
                    run,
                    config,
                    clips,
                    resume=resume,
                    device=device,
                    cache=cache,
                    on_step=on_step,
                )
    except OSError as error:
        raise AsdError(
            f"cannot write to the run directory {run} ({error.strerror}): check space and permissions, then --resume"
        ) from error
    return Detector.load(run)


def _fill(
    run: Path,
    config: RunConfig,
    clips: list[Clip],
    *,
    resume: bool,
    device: str,
    cache: Path | None,
    on_step: OnStep,
) -> None:
    """Train both stages, unless they are there, and leave all that a finished run has."""
    arrays = features_of(
        clips,
        config.features,
        options=config.reading,
        folder=cache,
        together=True,
        on_step=on_step,
    )
    options = {
        "device": device,
        "precision": config.precision,
        "folder": run,
        "on_step": on_step,
    }
    options |= {"seed": config.seed, "validation": config.validation}
    with _held(run, config, resume) as kept:
        base = _stage_1(run, kept, arrays, options)
        _stage_2(run, kept, base, arrays, options)
        if processes.is_first():
            model = loaded(partial(_untrained, kept), run / "weights.safetensors", kept)
            bank = embed(model.embed, arrays.inputs, device=device, on_step=on_step)
            (run / "checkpoint.safetensors").unlink(missing_ok=True)
            save_bank(run, kept, model, bank, arrays.labels)
        processes.barrier()


@contextmanager
def _held(run: Path, config: RunConfig, resume: bool) -> Iterator[RunConfig]:
    """Inside, the run directory is there with its config, which is given, and belongs to this training alone."""
    if not processes.is_first():
        processes.barrier()
        yield read_config(run)
        return
    run.mkdir(parents=True, exist_ok=True)
    with locked(run):
        config = _begun(
            run, config, resume
        )  # once more: another process may have begun here meanwhile
        for left in run.glob(".*.part"):  # by a process that was killed while it wrote
            left.unlink()
        write_config(run, config)
        processes.barrier()
        yield config


def _untrained(config: RunConfig) -> MachineClassifier:
    return new_classifier(new_encoder(config), config)


def digest(clips: Sequence[Clip]) -> str:
    """Tells sets of training clips apart by their machines, names and content, wherever their folder lies."""

    def of_file(clip: Clip) -> str:
        try:
            with open(clip.path, "rb") as file:
                content = hashlib.file_digest(file, hashlib.blake2b).hexdigest()
        except OSError as error:
            raise AsdError(
                f"cannot read {error.filename} ({error.strerror}): check the file, or remove it"
            ) from error
        return f"{clip.machine}/{Path(clip.path).name} {content}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        text = "\n".join(sorted(pool.map(of_file, clips)))
    return hashlib.blake2b(
        text.encode(errors="surrogateescape"), digest_size=16
    ).hexdigest()


def _begun(run: Path, config: RunConfig, resume: bool) -> RunConfig:
    """The config to go on with: of the run that is there and to be resumed, else ``config``.

    Refuses to train over what is there: something else, or a run of other settings or clips.
    """
    if resume and (run / "config.json").exists():
        earlier = read_config(run)
        if earlier != config:
            names = [field.name for field in fields(config) if field.compare]
            different = [
                name
                for name in names
                if getattr(earlier, name) != getattr(config, name)
            ]
            raise AsdError(
                f"{run} was started with other settings ({', '.join(different)}): resume with the same data and options, "
                "or choose another run directory"
            )
        return earlier
    if resume and run.is_dir() and _filled(run):
        raise AsdError(
            f"{run} holds no run to resume (no config.json): name a new directory"
        )
    if run.exists() and (not run.is_dir() or _filled(run)):
        raise AsdError(
            f"{run} exists already and is left as it is: pass --resume to go on with it, or name a new directory"
        )
    return config


def _filled(run: Path) -> bool:
    """Is anything in ``run`` but what a process left that was killed while it wrote?"""
    return any(not path.match(".*.part") for path in run.iterdir())


def _stage_1(
    run: Path, config: RunConfig, clips: Clips, options: dict[str, Any]
) -> ContrastiveModel | nn.Module:
    """The pretrained model (trained now, or in the run already), or a fresh encoder for the single-stage method."""
    encoder = new_encoder(config)
    if config.pretrain is None or (run / "weights.safetensors").exists():
        return encoder
    path = run / "pretrained.safetensors"
    if not path.exists():
        loss = {
            "temperature": config.temperature,
            "self_in_denominator": config.self_in_denominator,
        }
        model, _ = pretrain(encoder, clips, config.pretrain, **loss, **options)
        _keep(model, path, config)
    return load_pretrained(run)


def _stage_2(
    run: Path, config: RunConfig, base: nn.Module, clips: Clips, options: dict[str, Any]
) -> None:
    """Leave the weights of stage 2 in the run, unless they are there."""
    path = run / "weights.safetensors"
    if not path.exists():
        model, _ = finetune(
            base,
            clips,
            config.finetune,
            margin=config.margin,
            scale=config.scale,
            **options,
        )
        _keep(model, path, config)


def _keep(model: nn.Module, path: Path, config: RunConfig) -> None:
    """Save a stage's weights, by one process, before any goes on."""
    processes.barrier()  # each has seen by now that they were not there
    if processes.is_first():
        save_weights(model, path, config)
    processes.barrier()


@dataclass(frozen=True)
class Detector:
    """A finished run: ``config``, ``model``, and its memory bank, embeddings and labels of the training clips."""

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
                raise AsdError(
                    f"{run} holds an unfinished run (no {name}): finish it with asd train --resume"
                )
        model = loaded(partial(_untrained, config), run / "weights.safetensors", config)
        bank, labels = read_bank(run, config)
        return cls(
            config,
            model,
            bank,
            labels,
            read_percentiles(run, config, model, bank, labels),
        )

    def label(self, machine: str) -> int:
        """The label of ``machine`` (``type/id``). Raises :class:`AsdError` when the run was not trained on it."""
        if machine not in self.config.machines:
            known = ", ".join(self.config.machines)
            raise AsdError(
                f"this run does not know the machine {machine!r}: choose one of {known}, or train on it"
            )
        return self.config.machines.index(machine)

    def scores(
        self, embeddings: np.ndarray, machine: str, scorer: str = "softmax"
    ) -> np.ndarray:
        """Anomaly scores (N,), larger is more anomalous, of ``embeddings`` (N, dim) of clips of one machine."""
        if scorer not in scorer_names():
            raise AsdError(
                f"no scorer {scorer!r}: choose one of {', '.join(scorer_names())}"
            )
        label = self.label(machine)
        if scorer in EMBEDDING_SCORERS:
            return EMBEDDING_SCORERS[scorer](
                self.bank[self.bank_labels == label], embeddings
            )
        return machine_softmax(
            self.model, embeddings, label, margin=scorer == "softmax"
        )

    def score_clips(
        self,
        clips: list[Clip],
        *,
        scorers: Sequence[str] | None = None,
        reading: ReadOptions | None = None,
        device: str = "auto",
        cache: Path | None = None,
        on_step: OnStep = silent,
    ) -> "pd.DataFrame":
        """One row per clip, in order: ``machine``, ``name``, ``label`` and one column of scores per scorer (None: all).

        ``reading`` says how clips of other rates, channels or lengths are read, if not as the training clips were.
        """
        for machine in {clip.machine for clip in clips}:
            self.label(machine)
        options = reading or self.config.reading
        arrays = features_of(
            clips, self.config.features, options=options, folder=cache, on_step=on_step
        )
        return self.score_features(
            arrays, clips, scorers=scorers, device=device, on_step=on_step
        )

    def score_features(
        self,
        arrays: Clips,
        clips: list[Clip],
        *,
        scorers: Sequence[str] | None = None,
        device: str = "auto",
        on_step: OnStep = silent,
    ) -> "pd.DataFrame":
        """As :meth:`score_clips`, for features in hand."""
        import pandas as pd

        embeddings = embed(
            self.model.embed, arrays.inputs, device=device, on_step=on_step
        )
        table = pd.DataFrame(
            [(clip.machine, clip.path.name, clip.label) for clip in clips],
            columns=["machine", "name", "label"],
        )
        for scorer in scorer_names() if scorers is None else scorers:
            for machine in set(arrays.machines.tolist()):
                rows = np.flatnonzero(arrays.machines == machine)
                table.loc[rows, scorer] = self.scores(embeddings[rows], machine, scorer)
        return table

    def training_share(
        self, score: float, machine: str, scorer: str = "softmax"
    ) -> float:
        """The share of the machine's training clips that score below ``score``, 0 to 1.

        The network knows those clips: a new clip of a healthy machine scores above most of them. It is no false-alarm rate.
        """
        return float(
            np.interp(score, self.percentiles[machine][scorer], np.linspace(0, 1, 101))
        )
