"""A trained detector and its run directory: train both stages, save, load, score.

    run/config.json              everything that was chosen, machine names in label order
        log.csv                  losses of every epoch of both stages
        pretrained.safetensors   encoder and head after stage 1 (not for the single-stage method)
        weights.safetensors      encoder, first head layer and ArcFace after stage 2
        embeddings.safetensors   embeddings of the training clips, for the distance-based scorers
        scores.json              per machine and scorer, the percentiles of the scores of its normal training clips

Nothing in it is executed when it is loaded: safetensors and JSON only.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from asdlib import __version__
from asdlib.cache import Features, ReadOptions, features_of
from asdlib.classifier import MARGIN, SCALE, MachineClassifier, finetune
from asdlib.contrastive import TEMPERATURE, ContrastiveModel, pretrain
from asdlib.data import Clip, training_clips
from asdlib.encoder import BOOK_ENCODER, PAPER_ENCODER, EncoderConfig, STgramMFN
from asdlib.errors import AsdError
from asdlib.evaluation import EMBEDDING_SCORERS, SCORERS, softmax_score
from asdlib.features import FeatureConfig
from asdlib.progress import OnStep, silent
from asdlib.training import Examples, StageConfig, keep_freed_memory, make_fabric, replacing


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run. The defaults are the preset ``paper``: the settings of the paper's public code.

    ``pretrain`` is None for the single-stage method. ``machines`` are the training machines in label order.
    """

    preset: str = "paper"
    features: FeatureConfig = FeatureConfig()
    encoder: EncoderConfig = PAPER_ENCODER
    pretrain: StageConfig | None = StageConfig(epochs=101, batch_size=128, learning_rate=5e-4)
    finetune: StageConfig = StageConfig(epochs=300, batch_size=128, learning_rate=1e-4, cosine_from=20)
    temperature: float = TEMPERATURE
    margin: float = MARGIN
    scale: float = SCALE
    validation: float = 0.05
    seed: int = 0
    reading: ReadOptions = ReadOptions()
    machines: tuple[str, ...] = field(default=())

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        """The config that ``json.dumps(asdict(config))`` wrote. Raises KeyError, TypeError or ValueError for another text."""
        values = json.loads(text)
        kinds = {"features": FeatureConfig, "encoder": EncoderConfig, "reading": ReadOptions, "finetune": StageConfig}
        for name, kind in kinds.items():
            values[name] = kind(**values[name])
        values["pretrain"] = StageConfig(**values["pretrain"]) if values["pretrain"] else None
        values["machines"] = tuple(values["machines"])
        return cls(**values)


PRESETS = {
    "paper": RunConfig(),
    "book": RunConfig(
        preset="book",
        features=FeatureConfig(seconds=2.0),
        encoder=BOOK_ENCODER,
        pretrain=StageConfig(epochs=16, batch_size=64, learning_rate=1e-3, cosine_from=8),
        finetune=StageConfig(epochs=16, batch_size=64, learning_rate=1e-3, cosine_from=0),
    ),
}


def train(
    clips: list[Clip],
    run: str | Path,
    config: RunConfig,
    *,
    resume: bool = False,
    skip_single: bool = False,
    device: str = "auto",
    precision: str = "32",
    cache: Path | None = None,
    on_step: OnStep = silent,
) -> "Detector":
    """Train on the training clips among ``clips`` and fill the run directory ``run``; the finished detector.

    ``config.machines`` is taken from the clips. A run that was stopped goes on with ``resume=True`` and the same
    arguments. Raises :class:`AsdError` when the directory holds something already (without ``resume``) or a run of another
    config (with it), and for unusable clips, see :func:`asdlib.data.training_clips`.
    """
    run = Path(run)
    clips = training_clips(clips, skip_single=skip_single)
    config = replace(config, machines=tuple(sorted({clip.machine for clip in clips})))
    if len(config.machines) < 2:
        raise AsdError(
            f"only one machine ({config.machines[0]}): the method tells machines apart, so give clips of two or more"
        )
    _check_run(run, config, resume)
    make_fabric(device, precision)  # an unknown device is refused before hours of work, not after
    features = features_of(clips, config.features, options=config.reading, folder=cache, on_step=on_step)
    labels = np.array([config.machines.index(clip.machine) for clip in clips])
    examples = Examples(features.arrays, labels)
    options = {"seed": config.seed, "validation": config.validation, "device": device, "precision": precision, "folder": run}
    options["on_step"] = on_step
    try:
        run.mkdir(parents=True, exist_ok=True)
        with replacing(run / "config.json") as temporary:
            temporary.write_text(json.dumps({"asdlib": __version__, **asdict(config)}, indent=1) + "\n")
        base = _stage_1(run, config, examples, options)
        if not (run / "weights.safetensors").exists():
            stage = {"classes": len(config.machines), "margin": config.margin, "scale": config.scale}
            model, _ = finetune(base, examples, config.finetune, **stage, **options)
            _save(model, run / "weights.safetensors", config)
            (run / "checkpoint.safetensors").unlink(missing_ok=True)
        model = MachineClassifier(new_encoder(config), len(config.machines), margin=config.margin, scale=config.scale)
        _load(model, run / "weights.safetensors", config)
        bank = embed(model.embed, features.arrays, device=device, precision=precision, on_step=on_step)
        _save_bank(run, config, model, bank, labels)
    except OSError as error:
        raise AsdError(f"cannot write to the run directory {run} ({error.strerror}): free some space, then --resume") from error
    return Detector.load(run)


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
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise AsdError(f"{run} exists already and is left as it is: pass --resume to go on with it, or name a new directory")


def _stage_1(run: Path, config: RunConfig, examples: Examples, options: dict) -> ContrastiveModel | nn.Module:
    """The pretrained model (trained now, or in the run already), or a fresh encoder for the single-stage method."""
    encoder = new_encoder(config)
    if config.pretrain is None or (run / "weights.safetensors").exists():
        return encoder
    path = run / "pretrained.safetensors"
    if not path.exists():
        model, _ = pretrain(encoder, examples, config.pretrain, temperature=config.temperature, **options)
        _save(model, path, config)
    model = ContrastiveModel(new_encoder(config))
    _load(model, path, config)
    return model


def new_encoder(config: RunConfig) -> STgramMFN:
    """An untrained encoder with the initial weights that ``config.seed`` gives: where every run of that config starts."""
    torch.manual_seed(config.seed)
    return STgramMFN(config.encoder, config.features)


@torch.no_grad()
def embed(
    function,
    arrays: tuple[np.ndarray, ...],
    *,
    device: str = "auto",
    precision: str = "32",
    batch_size: int = 32,
    on_step: OnStep = silent,
) -> np.ndarray:
    """``function`` (an encoder, or a model's ``embed``) over arrays of N clips in batches: (N, dim) float32.

    ``function`` must be a module in evaluation mode, or a bound method of one.
    """
    keep_freed_memory()
    fabric = make_fabric(device, precision)
    module = getattr(function, "__self__", function)
    module.to(fabric.device, memory_format=torch.channels_last).eval()
    examples = Examples(arrays, np.zeros(len(arrays[0]), dtype=np.int64))
    out = []
    for start in range(0, len(examples), batch_size):
        inputs, _ = examples.batch(np.arange(start, min(start + batch_size, len(examples))))
        with fabric.autocast():
            out.append(function(*fabric.to_device(inputs)).float().cpu())
        on_step("embed", min(start + batch_size, len(examples)), len(examples))
    module.cpu()
    return torch.cat(out).numpy()


@dataclass(frozen=True)
class Detector:
    """A finished run: ``config``, ``model``, and embeddings and labels of its training clips (``bank``)."""

    config: RunConfig
    model: MachineClassifier
    bank: np.ndarray  # (N, dim)
    bank_labels: np.ndarray  # (N,)
    percentiles: dict  # machine -> scorer -> 101 scores: the 0th to 100th percentile over normal training clips

    @classmethod
    def load(cls, run: str | Path) -> "Detector":
        """The detector in a run directory. Raises :class:`AsdError` when there is none, or its parts do not fit."""
        run = Path(run)
        config = read_config(run)
        for name in ("weights.safetensors", "embeddings.safetensors", "scores.json"):
            if not (run / name).exists():
                raise AsdError(f"{run} holds an unfinished run (no {name}): finish it with asd train --resume")
        model = MachineClassifier(new_encoder(config), len(config.machines), margin=config.margin, scale=config.scale)
        _load(model, run / "weights.safetensors", config)
        bank = _read_tensors(run / "embeddings.safetensors", config)
        try:
            percentiles = json.loads((run / "scores.json").read_text())
            return cls(config, model.eval(), bank["embeddings"].numpy(), bank["labels"].numpy(), percentiles)
        except (ValueError, KeyError) as error:
            raise AsdError(f"{run} is damaged ({error}): train it again") from error

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
        return _softmax(self.model, embeddings, label, margin=scorer == "softmax")

    def score_clips(
        self, clips: list[Clip], *, scorers=SCORERS, device="auto", cache: Path | None = None, on_step: OnStep = silent
    ) -> pd.DataFrame:
        """One row per clip, in order: ``machine``, ``name``, ``label`` and one column of scores per scorer."""
        for machine in {clip.machine for clip in clips}:
            self.label(machine)
        features = features_of(clips, self.config.features, options=self.config.reading, folder=cache, on_step=on_step)
        return self.score_features(features, clips, scorers=scorers, device=device, on_step=on_step)

    def score_features(self, features: Features, clips, *, scorers=SCORERS, device="auto", on_step: OnStep = silent):
        """As :meth:`score_clips`, for features in hand."""
        embeddings = embed(self.model.embed, features.arrays, device=device, on_step=on_step)
        table = pd.DataFrame(
            [(clip.machine, clip.path.name, clip.label) for clip in clips], columns=["machine", "name", "label"]
        )
        for scorer in scorers:
            table[scorer] = np.nan
            for machine, rows in table.groupby("machine").groups.items():
                table.loc[rows, scorer] = self.scores(embeddings[rows], machine, scorer)
        return table

    def normal_share(self, score: float, machine: str, scorer: str = "softmax") -> float:
        """The share of the machine's normal training clips that score below ``score``, 0 to 1."""
        return float(np.interp(score, self.percentiles[machine][scorer], np.linspace(0, 1, 101)))


@torch.no_grad()
def _softmax(model: MachineClassifier, embeddings: np.ndarray, label: int, *, margin: bool) -> np.ndarray:
    x = torch.as_tensor(embeddings)
    logits = model.arcface(x, torch.full((len(x),), label) if margin else None)
    return softmax_score(logits.numpy(), label)


def _save_bank(run: Path, config: RunConfig, model: MachineClassifier, bank: np.ndarray, labels: np.ndarray) -> None:
    percentiles = {}
    for label, machine in enumerate(config.machines):
        own = bank[labels == label]
        scores = {name: _cross_scores(function, own) for name, function in EMBEDDING_SCORERS.items()}
        scores["softmax"] = _softmax(model, own, label, margin=True)
        scores["softmax-plain"] = _softmax(model, own, label, margin=False)
        percentiles[machine] = {name: np.percentile(values, range(101)).tolist() for name, values in scores.items()}
    tensors = {"embeddings": torch.from_numpy(bank), "labels": torch.from_numpy(labels)}
    _write_tensors(tensors, run / "embeddings.safetensors", config)
    with replacing(run / "scores.json") as temporary:
        temporary.write_text(json.dumps(percentiles) + "\n")


def _cross_scores(function, embeddings: np.ndarray, folds: int = 5) -> np.ndarray:
    """Scores of a machine's training clips, each against the clips of the other folds: no clip is its own neighbour."""
    fold = np.arange(len(embeddings)) % min(folds, len(embeddings))
    scores = np.empty(len(embeddings))
    for i in np.unique(fold):
        scores[fold == i] = function(embeddings[fold != i], embeddings[fold == i])
    return scores


def read_config(run: Path) -> RunConfig:
    """The config in a run directory. Raises :class:`AsdError` when there is none or it cannot be read."""
    path = run / "config.json"
    if not path.is_file():
        raise AsdError(f"{run} is not a run directory (no config.json): give the directory that asd train wrote")
    try:
        values = json.loads(path.read_text())
        values.pop("asdlib")
        return RunConfig.from_json(json.dumps(values))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AsdError(f"{path} is not the config of a run ({error}): restore it or train again") from error


def _fingerprint(config: RunConfig) -> str:
    """What weights depend on and their shapes do not show; kept in the weight files."""
    return json.dumps([asdict(config.features), asdict(config.encoder), config.machines], sort_keys=True)


def _save(model: nn.Module, path: Path, config: RunConfig) -> None:
    _write_tensors({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path, config)


def _write_tensors(tensors: dict[str, Tensor], path: Path, config: RunConfig) -> None:
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"config": _fingerprint(config)})


def _read_tensors(path: Path, config: RunConfig) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("config") != _fingerprint(config):
                raise AsdError(
                    f"{path} belongs to other settings (features, encoder or machines) than the config.json beside it: "
                    "restore the files of one run"
                )
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise AsdError(f"{path} is damaged ({error}): train again") from error


def _load(model: nn.Module, path: Path, config: RunConfig) -> None:
    try:
        model.load_state_dict(_read_tensors(path, config))
    except RuntimeError as error:
        raise AsdError(f"{path} does not fit the config.json beside it: restore the files of one run") from error
