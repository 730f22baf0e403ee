"""One job of a comparison: one method, one seed, one budget, in a process of its own.

In a process of its own, time and memory are those of the method alone; and whatever
happens to it, the other jobs are not lost.
"""

import json
import math
import os
import resource
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from asdlib import methods
from asdlib.errors import AsdError
from asdlib.files import atomic_write, locked
from asdlib.learn.embedding import on_device
from asdlib.learn.stage import StageConfig
from asdlib.methods.ensemble import rehearsal_rows
from asdlib.sound.cache import features_of
from asdlib.sound.clips import Clips
from asdlib.sound.data import training_clips
from asdlib.sound.layouts import words_in
from asdlib.sound.rehearsal import play_of
from asdlib.sound.scan import scan
from asdlib.sound.spectra import read_spectra
from asdlib.use.config import PRESETS, of_method
from asdlib.use.fitting import enough_steps, fitted_to
from asdlib.use.results import Result, keep

EXAMPLES, SECONDS = "examples", "seconds"  # what is the same for every method
REHEARSAL = "rehearsal"  # as EXAMPLES, and asked about faults made of training clips
OF_SPECTRA = 128  # in a batch: they are small
NOTHING = 1e-3  # seconds of an epoch where nothing is trained
MOST = 50  # epochs, to measure how long one is
DEFAULT = StageConfig(12, 64, learning_rate=1e-3, cosine_from=0)


@dataclass(frozen=True)
class Plan:
    """What a comparison is of, kept in its folder as ``plan.json``.

    ``data`` is a folder of recordings, a list of clips, or an .npz file of spectra,
    ``digest`` tells what is in it. Every method has ``epochs`` in all; with ``seconds``
    there is a second budget, of so many seconds of a core. ``cache`` is the folder of
    the feature cache.
    """

    data: str
    digest: str
    epochs: int
    seconds: float | None = None
    layout: str | None = None
    words: str | None = None
    device: str = "cpu"
    cache: str | None = None

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """The plan that is kept in ``folder``."""
        return cls(**json.loads((folder / "plan.json").read_text()))

    def write(self, folder: Path) -> None:
        """Keep the plan in ``folder``."""
        with atomic_write(folder / "plan.json") as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")


@dataclass(frozen=True, order=True)
class Job:
    """A ``method`` with a ``seed``, and a ``budget``: EXAMPLES, SECONDS, REHEARSAL."""

    seed: int
    budget: str
    method: str

    def path(self, folder: Path) -> Path:
        """Where its result is kept."""
        name = self.method.replace("/", "+")
        return folder / "jobs" / f"{name} {self.budget} {self.seed}.npz"


def parts_of(plan: Plan) -> tuple[Clips, Clips, np.ndarray, list[str]]:
    """Training clips, test clips, and of each of the latter (M,) its label and file.

    Raises :class:`AsdError` where there is no test clip of a machine with training
    clips.
    """
    path = Path(plan.data)
    if path.suffix == ".npz":
        spectra = read_spectra(path)
        truth = np.where(spectra.test_is_anomaly, "anomaly", "normal")
        return spectra.train, spectra.test, truth, [""] * len(truth)
    clips = scan(path, plan.layout, words_in(plan.words) if plan.words else None)
    training = training_clips(clips)
    machines = {clip.machine for clip in training}
    test = [c for c in clips if c.split == "test" and c.machine in machines]
    if not test:
        raise AsdError(f"{path} has no test clip of a machine with training clips")
    features = fitted_to(PRESETS["best"], training).features
    folder = Path(plan.cache) if plan.cache else None
    known, asked = (
        features_of(part, features, folder=folder) for part in (training, test)
    )
    labels = np.array([clip.label for clip in test])
    return known, asked, labels, [str(clip.path) for clip in test]


def options_of(name: str, clips: Clips) -> dict[str, Any]:
    """The encoder and the window with which a method is compared."""
    if clips.features is None or not isinstance(methods.get(name), methods.Detecting):
        return {}
    config = of_method(name)
    window = config.window and min(config.window, clips.features.seconds)
    return {"encoder": config.encoder, "window": window}


def stage_of(name: str, clips: Clips, epochs: int) -> StageConfig:
    """How a method is trained for ``epochs``: otherwise as it says itself.

    Few clips make more epochs and smaller batches, the same for every method.
    """
    stage = getattr(methods.get(name), "BUDGET", DEFAULT).of(epochs)
    if clips.features is None:
        stage = replace(stage, batch_size=OF_SPECTRA)
    return enough_steps(stage, clips.labels, PRESETS["best"])


def stage_within(folder: Path, plan: Plan, name: str, clips: Clips) -> StageConfig:
    """How a method is trained within the plan's seconds of a core.

    What an epoch takes is measured once, by one epoch and by two, or by more where they
    are short, and kept: every seed has the same number of them, and so has a comparison
    that was taken up again.
    """
    assert plan.seconds is not None
    kept = folder / "epochs" / f"{name.replace('/', '+')}.json"
    kept.parent.mkdir(exist_ok=True)
    lock = kept.with_suffix(".lock")  # another job of this method may be measuring
    lock.touch()
    stage = stage_of(name, clips, plan.epochs)
    with locked(lock, wait=True):
        if not kept.exists():
            few = [
                np.flatnonzero(clips.labels == i)[:2] for i in range(len(clips.names))
            ]
            warm = clips.only(np.concatenate(few))  # or imports would be counted
            trained(plan, name, warm, stage.of(1), seed=0)
            first, second = (seconds_of(plan, name, clips, stage.of(n)) for n in (1, 2))
            each = max(second - first, NOTHING)
            if each < plan.seconds / 10:  # too short to be told by one
                more = min(MOST, math.ceil(plan.seconds / 10 / each))
                all_of_them = seconds_of(plan, name, clips, stage.of(1 + more))
                each = max((all_of_them - first) / more, NOTHING)
            left = plan.seconds - (first - each)
            epochs = max(1, int(left / each)) if each > NOTHING else 1
            with atomic_write(kept) as temporary:
                temporary.write_text(json.dumps({"epochs": epochs, "each": each}))
    return stage.of(json.loads(kept.read_text())["epochs"])


def seconds_of(plan: Plan, name: str, clips: Clips, stage: StageConfig) -> float:
    """What a training takes of a core, in seconds."""
    begun = time.process_time()
    trained(plan, name, clips, stage, seed=0)
    return time.process_time() - begun


def trained(
    plan: Plan, name: str, clips: Clips, stage: StageConfig, *, seed: int
) -> nn.Module:
    """A method's model of ``clips``."""
    how = options_of(name, clips) | {"seed": seed, "device": plan.device}
    return methods.trained(methods.get(name), clips, budget=stage, **how)


def rehearsed(clips: Clips, *, seed: int) -> tuple[Clips, list[Clips]]:
    """Training clips, and a play of others: healthy ones first, and faults after them.

    Made of normal ``clips`` alone, as the rehearsal of the ensemble; ``seed`` decides
    who is the stranger. Raises :class:`AsdError` where no machine can be spared.
    """
    learned, fresh, strange = rehearsal_rows(clips, seed=seed)
    if not len(fresh) or not len(strange):
        raise AsdError(
            "no machine can be spared for a rehearsal: give two machines of a type, "
            "and three clips or more of each"
        )
    play = play_of(clips.only(fresh), clips.only(strange), seed=seed)
    return clips.only(learned), play


def run(folder: Path, plan: Plan, job: Job) -> Result:
    """Do one job; its result is also kept in ``folder``."""
    begun = time.perf_counter()
    known, asked, _, _ = parts_of(plan)
    play = [asked]
    try:
        if job.budget == REHEARSAL:
            known, play = rehearsed(known, seed=job.seed)
        if job.budget == SECONDS:
            stage = stage_within(folder, plan, job.method, known)
        else:
            stage = stage_of(job.method, known, plan.epochs)
        costs: dict[str, float] = {"epochs": stage.epochs}
        start = time.process_time()
        model = trained(plan, job.method, known, stage, seed=job.seed)
        costs["train"] = time.process_time() - start
        start = time.process_time()
        score = methods.get(job.method).score
        of_parts = [score(model, known, part, device=plan.device) for part in play]
        costs["score"] = time.process_time() - start
        costs |= size_of(methods.in_use(job.method, model, asked), asked)
        scores = {
            name: np.concatenate([part[name] for part in of_parts])
            for name in of_parts[0]
        }
        result = Result(scores, costs)
        if job.budget == REHEARSAL:
            truth = ["normal"] + ["anomaly"] * (len(play) - 1)
            labels = np.repeat(truth, [len(part) for part in play])
            machines = np.concatenate([part.machines for part in play])
            result = replace(result, machines=machines, labels=labels)
    except AsdError as error:
        result = Result({}, {}, str(error))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result.costs["memory"] = peak / (2**20 if sys.platform == "darwin" else 2**10)
    result.costs["wall"] = time.perf_counter() - begun
    keep(job.path(folder), result)
    return result


def size_of(model: nn.Module, clips: Clips) -> dict[str, float]:
    """How many parameters a model has, and multiply-adds to embed one clip.

    Those of matrix products and convolutions, as torch counts them, which sees into
    layers of attention only where they are computed step by step, and not into
    recurrent ones.
    """
    found: dict[str, float] = {"parameters": sum(p.numel() for p in model.parameters())}
    if hasattr(model, "embed"):
        inputs = on_device(clips.inputs, np.arange(1), torch.device("cpu"))
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with (
                sdpa_kernel(SDPBackend.MATH),
                FlopCounterMode(display=False) as counter,
                torch.no_grad(),
            ):
                model.embed(*inputs)  # type: ignore[operator]
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
        found["macs"] = counter.get_total_flops() / 2
    return found


def end_with_parent() -> None:
    """End this process when the one that started it has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    place, method, budget, seed = sys.argv[1:]
    run(Path(place), Plan.read(Path(place)), Job(int(seed), budget, method))
