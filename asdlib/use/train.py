"""Both stages from clips on disk to a finished run directory."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from asdlib import methods, processes
from asdlib.device import find_device
from asdlib.errors import AsdError, spelled
from asdlib.files import atomic_write, locked, pipes_kept
from asdlib.learn.batches import plan_batches
from asdlib.learn.classifier import finetune
from asdlib.learn.contrastive import ContrastiveModel, pretrain
from asdlib.learn.embedding import embed
from asdlib.methods._parts import Ensemble
from asdlib.progress import OnStep, silent
from asdlib.sound.cache import features_of
from asdlib.sound.clips import Clips
from asdlib.sound.computed import all_of
from asdlib.sound.data import Clip, check_clips, listed, training_clips
from asdlib.sound.stretches import cut_long, look_into
from asdlib.use.bank import save_bank, save_rehearsal
from asdlib.use.budget import with_epochs_of, within
from asdlib.use.config import RunConfig, check_precision
from asdlib.use.detector import Detector, untrained
from asdlib.use.fitting import digest, fitted_to
from asdlib.use.run import (
    load_pretrained,
    loaded,
    new_encoder,
    new_identity,
    read_config,
    save_weights,
    write_config,
)


@pipes_kept()
def train(
    clips: list[Clip],
    run: str | Path,
    config: RunConfig,
    *,
    budget: float | None = None,
    resume: bool = False,
    skip_single: bool = False,
    device: str = "auto",
    cache: Path | None = None,
    on_step: OnStep = silent,
) -> Detector:
    """Train on the training clips among ``clips`` and fill the run directory ``run``.

    Returns the finished detector. ``config.machines`` and ``config.data`` are taken
    from the clips. With a ``budget`` in seconds there are as many epochs as that allows
    (:mod:`asdlib.use.budget`), whatever the config says. A run that was stopped goes on
    with ``resume=True`` and the same arguments, and with the epochs it was begun with.

    Raises :class:`AsdError` when the directory holds something already (without
    ``resume``) or a run of other settings or clips (with it), and for unusable clips,
    see :func:`asdlib.sound.data.training_clips`. Recordings of more than half a minute
    are cut into clips (:func:`asdlib.sound.stretches.cut_long`).
    """
    run, begun = Path(run), time.perf_counter()
    clips = listed(clips)
    check_clips(clips)
    training = [clip for clip in clips if clip.split == "train"]
    looks, bad = look_into(
        training, sample_rate=config.features.sample_rate, options=config.reading
    )
    if training and not looks:
        raise all_of(list(bad.values()), len(training))
    clips, looks = cut_long(training, looks, config.features.seconds, config.reading)
    clips = training_clips(clips, skip_single=skip_single)
    machines = tuple(sorted({clip.machine for clip in clips}))
    if len(machines) < 2:
        raise AsdError(
            f"only one machine ({machines[0]}): the method tells machines apart, "
            "so give clips of two or more"
        )
    # What cannot be is refused before hours of work, not after: an unknown device,
    # batches that cannot be shared out.
    device = find_device(device).type
    if budget is not None:
        config = replace(config, least_steps=1)  # smaller batches, no more epochs
        if resume and (run / "config.json").exists():
            config, budget = with_epochs_of(config, read_config(run)), None
    config = fitted_to(config, clips, looks)
    labels = Clips((), np.array([clip.machine for clip in clips])).labels
    check_precision(config)
    for stage in config.stages:
        plan_batches(labels, stage, validation=config.validation, seed=config.seed)
    data = digest(clips) if processes.is_first() else ""
    config = replace(config, machines=machines, data=data, identity=new_identity())
    if config.method == "ensemble":
        untrained(config)  # or it is refused: the network of a method that has none
    try:
        with processes.process_group(device), processes.that_may_stop():
            if processes.is_first():
                _check_place(run, config, resume)
            processes.barrier()
            if not (run / "scores.json").exists():  # it is written last
                _fill(
                    run,
                    config,
                    clips,
                    budget=budget and budget + begun,
                    resume=resume,
                    device=device,
                    cache=cache,
                    on_step=on_step,
                )
    except OSError as error:
        raise AsdError(
            f"cannot write to the run directory {run} ({error.strerror}): check space "
            f"and permissions, then pass {spelled('resume=True', '--resume')}"
        ) from error
    return Detector.load(run)


def _fill(
    run: Path,
    config: RunConfig,
    clips: list[Clip],
    *,
    budget: float | None,
    resume: bool,
    device: str,
    cache: Path | None,
    on_step: OnStep,
) -> None:
    """Leave all that a finished run has: train the stages that are not there yet.

    ``budget`` is when that should be done, by ``time.perf_counter``.
    """
    arrays = features_of(
        clips,
        config.features,
        options=config.reading,
        folder=cache,
        together=True,
        on_step=on_step,
    )
    if budget is not None:
        left = budget - time.perf_counter()
        config = within(config, arrays, left, device=device)
    with _held(run, config, resume) as kept:
        options = {
            "seed": kept.seed,
            "validation": kept.validation,
            "precision": kept.precision,
            "device": device,
            "folder": run,
            "on_step": on_step,
        }
        if kept.method == "clp_scf":
            base = _stage_1(run, kept, arrays, options)
            _stage_2(run, kept, base, arrays, options)
        else:
            _other(run, kept, arrays, options)
        if processes.is_first():
            weights = run / "weights.safetensors"
            model = loaded(partial(untrained, kept), weights, kept)
            bank = embed(model.embed, arrays.inputs, device=device, on_step=on_step)
            _tidy(run)
            save_bank(run, kept, model, bank, arrays.labels)
        processes.barrier()


@contextmanager
def _held(run: Path, config: RunConfig, resume: bool) -> Iterator[RunConfig]:
    """Inside, the run directory belongs to this training alone, and has its config.

    The config that is given is the one in the directory.
    """
    if not processes.is_first():
        processes.barrier()
        yield read_config(run)
        return
    run.mkdir(parents=True, exist_ok=True)
    with locked(run):
        # Once more: another process may have begun here meanwhile.
        _check_place(run, config, resume)
        for left in run.glob(".*.part"):  # by a process that was killed while it wrote
            left.unlink()
        if not (run / "config.json").exists():
            write_config(run, config)
        processes.barrier()
        yield read_config(run)


def _check_place(run: Path, config: RunConfig, resume: bool) -> None:
    """Refuse to train over something else, or a run of other settings."""
    if resume and (run / "config.json").exists():
        earlier = read_config(run)
        names = [field.name for field in fields(config) if field.compare]
        different = [n for n in names if getattr(earlier, n) != getattr(config, n)]
        if different:
            raise AsdError(
                f"{run} was started with other settings ({', '.join(different)}): "
                "resume with the same data and settings, or choose another run "
                "directory"
            )
    elif resume and run.is_dir() and _filled(run):
        raise AsdError(
            f"{run} holds no run to resume (no config.json): name a new directory"
        )
    elif run.exists() and (not run.is_dir() or _filled(run)):
        raise AsdError(
            f"{run} exists already and is left as it is: "
            f"pass {spelled('resume=True', '--resume')} to go on with it, or name a "
            "new directory"
        )


def _filled(run: Path) -> bool:
    """Is anything in ``run`` but what a process left that was killed while it wrote?"""
    return any(not path.match(".*.part") for path in run.iterdir())


def _stage_1(
    run: Path, config: RunConfig, clips: Clips, options: dict[str, Any]
) -> ContrastiveModel | nn.Module:
    """The pretrained model, trained now or before; a fresh encoder without stage 1."""
    encoder = new_encoder(config)
    if config.pretrain is None or (run / "weights.safetensors").exists():
        return encoder
    path = run / "pretrained.safetensors"
    if not path.exists():
        model, _ = pretrain(
            encoder,
            clips,
            config.pretrain,
            temperature=config.temperature,
            self_in_denominator=config.self_in_denominator,
            **options,
        )
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


def _other(run: Path, config: RunConfig, clips: Clips, options: dict[str, Any]) -> None:
    """Leave the weights of any other method in the run, unless they are there."""
    path = run / "weights.safetensors"
    if path.exists():
        return
    method = methods.detector(config.method)
    how = options | {"encoder": config.encoder, "window": config.window}
    how["network"] = config.network  # of an ensemble
    model = methods.trained(method, clips, budget=config.finetune, **how)
    if isinstance(model, Ensemble) and processes.is_first():
        save_rehearsal(run, config, model.rehearsal)
    _keep(model, path, config)


def _tidy(run: Path) -> None:
    """Remove what a finished training no longer needs; one log is left, of all."""
    (run / "checkpoint.safetensors").unlink(missing_ok=True)
    # In the order in which they were begun: that of an ensemble's rehearsal first.
    logs = sorted(run.glob("*/**/log.csv"), key=lambda log: log.stat().st_mtime_ns)
    parts = [log.read_text().splitlines(keepends=True) for log in logs]
    if parts:
        rows = [row for lines in parts for row in lines[1:]]
        with atomic_write(run / "log.csv") as temporary:
            temporary.write_text("".join([parts[0][0], *rows]))
    for log in logs:
        shutil.rmtree(run / log.relative_to(run).parts[0], ignore_errors=True)


def _keep(model: nn.Module, path: Path, config: RunConfig) -> None:
    """Save a stage's weights, by one process, before any goes on."""
    processes.barrier()  # each has seen by now that they were not there
    if processes.is_first():
        save_weights(model, path, config)
    processes.barrier()
