"""A run directory: what was chosen, and the weights that belong to it.

::

    run/config.json              everything that was chosen, machine names in label order
        log.csv                  losses of every epoch of both stages
        pretrained.safetensors   encoder and head after stage 1 (not for the single-stage method)
        weights.safetensors      encoder, first head layer and ArcFace after stage 2
        embeddings.safetensors   embeddings of the training clips, for the distance-based scorers
        scores.json              per machine and scorer, the percentiles of the scores of its normal training clips

Nothing in it is executed when it is loaded: safetensors and JSON only. Every file carries the settings that it
depends on, so that files of two runs cannot be mixed unnoticed.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from asdlib import __version__
from asdlib.cache import ReadOptions
from asdlib.classifier import MARGIN, SCALE, MachineClassifier
from asdlib.contrastive import TEMPERATURE, ContrastiveModel
from asdlib.encoder import BOOK_ENCODER, PAPER_ENCODER, EncoderConfig, STgramMFN
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.files import replacing, write_tensors
from asdlib.training import StageConfig, seeded


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run.

    The defaults are the preset ``paper``: the settings of the paper's public code, except that a clip is not compared with
    itself (``self_in_denominator``), that 5 % of the clips are held out, that the learning rate of stage 2 falls to 0 once,
    at the end, and that no epoch is chosen on labelled test clips. ``pretrain`` is None for the single-stage method.
    ``machines`` are the training machines in label order, ``data`` is a digest of the training clips; training fills in both.
    """

    preset: str = "paper"
    features: FeatureConfig = FeatureConfig()
    encoder: EncoderConfig = PAPER_ENCODER
    pretrain: StageConfig | None = StageConfig(epochs=101, batch_size=128, learning_rate=5e-4)
    finetune: StageConfig = StageConfig(epochs=300, batch_size=128, learning_rate=1e-4, cosine_from=20)
    temperature: float = TEMPERATURE
    self_in_denominator: bool = False
    margin: float = MARGIN
    scale: float = SCALE
    validation: float = 0.05
    seed: int = 0
    reading: ReadOptions = ReadOptions()
    precision: str = "32"
    machines: tuple[str, ...] = ()
    data: str = ""

    @classmethod
    def from_dict(cls, values: dict) -> "RunConfig":
        """The inverse of ``asdict``, also by way of JSON. Raises KeyError, TypeError or ValueError for other values."""
        values = dict(values)
        _check_types(cls, {name: value for name, value in values.items() if name not in ("pretrain", "machines", *PARTS)})
        for name, kind in PARTS.items():
            values[name] = _of_types(kind, values[name])
        values["pretrain"] = None if values["pretrain"] is None else _of_types(StageConfig, values["pretrain"])
        values["machines"] = tuple(values["machines"])
        if not all(isinstance(name, str) and name.count("/") == 1 for name in values["machines"]):
            raise ValueError("a machine is not called type/id")
        return cls(**values)


PARTS = {"features": FeatureConfig, "encoder": EncoderConfig, "reading": ReadOptions, "finetune": StageConfig}


def _of_types(kind: type, values: dict):
    """``kind(**values)``, once its values are known to be of the types that it declares."""
    _check_types(kind, values)
    return kind(**values)


def _check_types(kind: type, values: dict) -> None:
    """Raise ValueError for a value of another type than ``kind`` declares, or of a size that makes no sense."""
    declared = {field.name: field.type for field in fields(kind)}
    for name, value in values.items():
        if not _is_a(value, declared[name]):
            raise ValueError(f"{name} is {str(value)[:50]!r}")


def _is_a(value, declared) -> bool:
    if isinstance(declared, UnionType):
        return any(_is_a(value, one) for one in get_args(declared))
    if get_origin(declared) is tuple:  # the table of the encoder, rows of four numbers
        return len(value) < 100 and all(len(row) == 4 and all(_is_a(x, int) and 0 < x < 2**12 for x in row) for row in value)
    if declared is float:
        return _is_a(value, int) or (isinstance(value, float) and math.isfinite(value))
    if declared is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**40
    return isinstance(value, declared)


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
    with seeded(config.seed, "encoder"):
        return STgramMFN(config.encoder, config.features)


def new_classifier(base: ContrastiveModel | nn.Module, config: RunConfig) -> MachineClassifier:
    """The classifier of ``config`` on a pretrained model or a bare encoder, its class weights not yet trained."""
    return MachineClassifier(base, len(config.machines), margin=config.margin, scale=config.scale)


def load_pretrained(run: str | Path) -> ContrastiveModel:
    """The encoder and head as stage 1 left them, in evaluation mode. Raises :class:`AsdError` when the run has none."""
    config = read_config(Path(run))
    return loaded(lambda: ContrastiveModel(new_encoder(config)), Path(run) / "pretrained.safetensors", config)


def write_config(run: Path, config: RunConfig) -> None:
    """Write ``config.json``."""
    with replacing(run / "config.json") as temporary:
        temporary.write_text(json.dumps({"asdlib": __version__, **asdict(config)}, indent=1) + "\n")


def read_config(run: Path) -> RunConfig:
    """The config in a run directory. Raises :class:`AsdError` when there is none or it cannot be read."""
    path = run / "config.json"
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise AsdError(f"{run} is not a run directory (no config.json): give the directory that asd train wrote") from error
    except (OSError, UnicodeDecodeError) as error:
        raise AsdError(f"cannot read {path} ({error}): check the file and its permissions") from error
    try:
        values = json.loads(text)
        values.pop("asdlib")
        return RunConfig.from_dict(values)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, OSError) as error:
        raise AsdError(f"{path} is not the config of a run ({error}): restore it or train again") from error


def fingerprint(config: RunConfig) -> str:
    """What the files of a run depend on, which their shapes do not show; kept in each of them."""
    return json.dumps(asdict(config), sort_keys=True)


def save_weights(model: nn.Module, path: Path, config: RunConfig) -> None:
    """Write a model's weights, marked with the settings that they depend on."""
    write_tensors(model.state_dict(), path, metadata={"config": fingerprint(config)})


def read_tensors(path: Path, config: RunConfig) -> dict[str, Tensor]:
    """The tensors in ``path``. Raises :class:`AsdError` if it is missing, damaged, or of other settings than ``config``."""
    if not path.exists():
        raise AsdError(f"no file {path}: it is not there yet, or this run has no such stage")
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("config") != fingerprint(config):
                raise AsdError(f"{path} belongs to other settings than the config.json beside it: restore the files of one run")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise AsdError(f"{path} is damaged ({error}): train again") from error


class _Unfilled(TorchFunctionMode):
    """Inside, new tensors are not filled: on the meta device, that would first import torch's compiler, for two seconds."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name.endswith("_") and not name.startswith("_"):  # in place, as all of torch.nn.init is
            return (*args, *(kwargs or {}).values())[0]
        return function(*args, **(kwargs or {}))


def loaded(make: Callable[[], nn.Module], path: Path, config: RunConfig) -> nn.Module:
    """The model that ``make()`` builds with the weights in ``path``, in evaluation mode.

    Raises :class:`AsdError` as :func:`read_tensors`, if the shapes do not fit, or if a weight is not finite. Nothing of the
    size that a config claims is allocated before the file has been seen to hold as much.
    """
    tensors = read_tensors(path, config)
    try:
        with torch.device("meta"), _Unfilled():
            expected = {name: (tensor.shape, tensor.dtype) for name, tensor in make().state_dict().items()}
    except AsdError as error:
        raise AsdError(f"the config.json beside {path} does not fit it: {error}") from error
    except (RuntimeError, ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise AsdError(f"no network has the sizes in the config.json beside {path}: restore the files of one run") from error
    if {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} != expected:
        raise AsdError(f"{path} does not fit the config.json beside it: restore the files of one run")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise AsdError(f"{path} holds weights that are not numbers (NaN or infinity): train again")
    model = make()
    model.load_state_dict(tensors)
    return model.eval()
