"""A run directory: what was chosen, and the weights that belong to it.

    run/config.json              everything that was chosen, machine names in label order
        log.csv                  losses of every epoch of both stages
        pretrained.safetensors   encoder and head after stage 1 (not for the single-stage method)
        weights.safetensors      encoder, first head layer and ArcFace after stage 2
        embeddings.safetensors   embeddings of the training clips, for the distance-based scorers
        scores.json              per machine and scorer, the percentiles of the scores of its normal training clips

Nothing in it is executed when it is loaded: safetensors and JSON only. Every weight file carries the settings that it
depends on, so that files of two runs cannot be mixed unnoticed.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from asdlib import __version__
from asdlib.cache import ReadOptions
from asdlib.classifier import MARGIN, SCALE, MachineClassifier
from asdlib.contrastive import TEMPERATURE, ContrastiveModel
from asdlib.encoder import BOOK_ENCODER, PAPER_ENCODER, EncoderConfig, STgramMFN
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.training import StageConfig, replacing


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
    machines: tuple[str, ...] = ()

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


def new_encoder(config: RunConfig) -> STgramMFN:
    """An untrained encoder with the initial weights that ``config.seed`` gives: where every run of that config starts."""
    torch.manual_seed(config.seed)
    return STgramMFN(config.encoder, config.features)


def new_classifier(base: ContrastiveModel | nn.Module, config: RunConfig) -> MachineClassifier:
    """The classifier of ``config`` on a pretrained model or a bare encoder, its class weights not yet trained."""
    return MachineClassifier(base, len(config.machines), margin=config.margin, scale=config.scale)


def load_pretrained(run: str | Path) -> ContrastiveModel:
    """The encoder and head as stage 1 left them, in evaluation mode. Raises :class:`AsdError` when the run has none."""
    config = read_config(Path(run))
    model = ContrastiveModel(new_encoder(config))
    load_weights(model, Path(run) / "pretrained.safetensors", config)
    return model.eval()


def write_config(run: Path, config: RunConfig) -> None:
    """Write ``config.json``."""
    with replacing(run / "config.json") as temporary:
        temporary.write_text(json.dumps({"asdlib": __version__, **asdict(config)}, indent=1) + "\n")


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


def save_weights(model: nn.Module, path: Path, config: RunConfig) -> None:
    """Write a model's weights beside the config that they belong to."""
    write_tensors({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path, config)


def write_tensors(tensors: dict[str, Tensor], path: Path, config: RunConfig) -> None:
    """Write tensors as safetensors, marked with the settings that they depend on."""
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"config": _fingerprint(config)})


def read_tensors(path: Path, config: RunConfig) -> dict[str, Tensor]:
    """The tensors in ``path``. Raises :class:`AsdError` if it is missing, damaged, or of other settings than ``config``."""
    if not path.exists():
        raise AsdError(f"no file {path}: it is not there yet, or this run has no such stage")
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


def load_weights(model: nn.Module, path: Path, config: RunConfig) -> None:
    """Load what :func:`save_weights` wrote. Raises :class:`AsdError` as :func:`read_tensors`, or if the shapes do not fit."""
    try:
        model.load_state_dict(read_tensors(path, config))
    except RuntimeError as error:
        raise AsdError(f"{path} does not fit the config.json beside it: restore the files of one run") from error
