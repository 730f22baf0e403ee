"""A run directory: what was chosen, and the weights that belong to it.

::

    run/config.json              everything that was chosen, machine names in label order
        log.csv                  losses of every epoch of both stages
        pretrained.safetensors   encoder and head after stage 1 (not for the single-stage method)
        weights.safetensors      encoder, first head layer and ArcFace after stage 2
        embeddings.safetensors   embeddings of the training clips, for the distance-based scorers
        scores.json              per machine and scorer, the percentiles of the scores of its normal training clips

Nothing in it is executed when it is loaded: safetensors and JSON only. Every file carries the run's identity, a random number
that was drawn when the run began, so that files of two runs cannot be mixed unnoticed. A setting that a run does not have,
because it was trained before there was one, has its default.
"""

import json
import math
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from asdlib import __version__
from asdlib.errors import AsdError
from asdlib.files import atomic_write
from asdlib.learn import encoders
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.contrastive import TEMPERATURE, ContrastiveModel
from asdlib.learn.encoder import BOOK_ENCODER, PAPER_ENCODER
from asdlib.learn.heads import MARGIN, SCALE
from asdlib.learn.tensors import write_tensors
from asdlib.learn.training import StageConfig
from asdlib.sound.cache import ReadOptions
from asdlib.sound.features import FeatureConfig

FORMAT = 2  # of a run directory. 1 (asdlib 0.1) had no identity: its files carried all its settings instead


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run.

    The defaults are the preset ``paper``: the settings of the paper's public code, except that a clip is not compared with
    itself (``self_in_denominator``), that 5 % of the clips are held out, that the learning rate of stage 2 falls to 0 once,
    at the end, and that no epoch is chosen on labelled test clips. ``pretrain`` is None for the single-stage method.
    ``encoder`` is a config of :data:`asdlib.learn.encoders.ENCODERS`. ``machines`` are the training machines in label order,
    ``data`` is a digest of what is in the training clips, ``identity`` is the run's own; training fills in all three.
    """

    preset: str = "paper"
    features: FeatureConfig = FeatureConfig()
    encoder: Any = PAPER_ENCODER
    pretrain: StageConfig | None = StageConfig(
        epochs=101, batch_size=128, learning_rate=5e-4
    )
    finetune: StageConfig = StageConfig(
        epochs=300, batch_size=128, learning_rate=1e-4, cosine_from=20
    )
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
    identity: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            raise AsdError(
                f"a held-out share (validation) of {self.validation:g} makes no sense: choose one from 0 to below 1"
            )

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON; :meth:`from_dict` is the inverse."""
        return asdict(self) | {"encoder": encoders.as_kept(self.encoder)}

    @classmethod
    def from_dict(
        cls, values: dict[str, Any], *, base: "RunConfig | None" = None
    ) -> "RunConfig":
        """A config from plain values; what is missing is as in ``base`` (None: the defaults).

        Raises :class:`AsdError` for a field that there is not, and TypeError or ValueError for values of other types.
        """
        base = base or cls()
        _check_types(
            cls,
            {
                name: value
                for name, value in values.items()
                if name not in (*PARTS, "encoder", "machines")
            },
        )
        values = dict(values)
        for name, kind in PARTS.items():
            if values.get(name) is not None:
                values[name] = _merged(kind, getattr(base, name), values[name])
            elif name in values and name != "pretrain":
                raise ValueError(f"{name} is null")
        if "encoder" in values:
            kind, found = encoders.config_of(values["encoder"])
            values["encoder"] = _merged(
                kind, base.encoder if isinstance(base.encoder, kind) else None, found
            )
        if "machines" in values:
            values["machines"] = tuple(values["machines"])
            if not all(
                isinstance(name, str) and name.count("/") == 1
                for name in values["machines"]
            ):
                raise ValueError("a machine is not called type/id")
        return replace(base, **values)


PARTS: dict[str, type] = {
    "features": FeatureConfig,
    "reading": ReadOptions,
    "pretrain": StageConfig,
    "finetune": StageConfig,
}


def _merged(kind: type, base: Any, values: dict[str, Any]) -> Any:
    """``base``, or the defaults of ``kind`` where it is None, with ``values``, once they are known to be of the right types."""
    _check_types(kind, values)
    return replace(base, **values) if base is not None else kind(**values)


def _check_types(kind: type, values: dict[str, Any]) -> None:
    """Raise ValueError for a value of another type than ``kind`` declares, or of a size that makes no sense."""
    declared = {field.name: field.type for field in fields(kind)}
    for name, value in values.items():
        if name not in declared:
            raise AsdError(
                f"there is no setting {name!r} in this version of asdlib ({__version__}): leave it out, or upgrade"
            )
        if not _is_a(value, declared[name]):
            raise ValueError(f"{name} is {str(value)[:50]!r}")


def _is_a(value, declared) -> bool:
    if isinstance(declared, UnionType):
        return any(_is_a(value, one) for one in get_args(declared))
    if get_origin(declared) is tuple:  # the table of the encoder, rows of four numbers
        return len(value) < 100 and all(
            len(row) == 4 and all(_is_a(x, int) and 0 < x < 2**12 for x in row)
            for row in value
        )
    if declared is float:
        return _is_a(value, int) or (isinstance(value, float) and math.isfinite(value))
    if declared is int:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and abs(value) < 2**40
        )
    return isinstance(value, declared)


PRESETS = {
    "paper": RunConfig(),
    "book": RunConfig(
        preset="book",
        features=FeatureConfig(seconds=2.0),
        encoder=BOOK_ENCODER,
        pretrain=StageConfig(
            epochs=16, batch_size=64, learning_rate=1e-3, cosine_from=8
        ),
        finetune=StageConfig(
            epochs=16, batch_size=64, learning_rate=1e-3, cosine_from=0
        ),
    ),
}


def new_encoder(config: RunConfig) -> nn.Module:
    """An untrained encoder with the initial weights that ``config.seed`` gives: where every run of that config starts."""
    return encoders.new_encoder(config.encoder, config.features, seed=config.seed)


def new_classifier(
    base: ContrastiveModel | nn.Module, config: RunConfig
) -> MachineClassifier:
    """The classifier of ``config`` on a pretrained model or a bare encoder, its class weights not yet trained."""
    return MachineClassifier(
        base, len(config.machines), margin=config.margin, scale=config.scale
    )


def load_pretrained(run: str | Path) -> ContrastiveModel:
    """The encoder and head as stage 1 left them, in evaluation mode. Raises :class:`AsdError` when the run has none."""
    config = read_config(Path(run))
    return loaded(
        lambda: ContrastiveModel(new_encoder(config)),
        Path(run) / "pretrained.safetensors",
        config,
    )


def new_identity() -> str:
    """A random identity for a new run: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def write_config(run: Path, config: RunConfig) -> None:
    """Write ``config.json``."""
    with atomic_write(run / "config.json") as temporary:
        content = {"asdlib": __version__, "format": FORMAT, **config.as_dict()}
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_config(run: Path) -> RunConfig:
    """The config in a run directory. Raises :class:`AsdError` when there is none or it cannot be read."""
    path = Path(run) / "config.json"
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise AsdError(
            f"{run} is not a run directory (no config.json): give the directory that asd train wrote"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AsdError(
            f"cannot read {path} ({error}): check the file and its permissions"
        ) from error
    try:
        values = json.loads(text)
        version = values.pop("asdlib")
        number = values.pop("format", 1)
        if number == 1:
            values = _from_format_1(values)
        elif not isinstance(number, int) or number > FORMAT:
            raise AsdError(
                f"format {number!r} of asdlib {version}, a newer version: upgrade asdlib to read this run"
            )
        if not values["identity"]:
            raise ValueError("no identity")
        return RunConfig.from_dict(values)
    except AsdError as error:
        raise AsdError(f"{path} cannot be used: {error}") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise AsdError(
            f"{path} is not the config of a run ({error}): restore it or train again"
        ) from error


def _from_format_1(values: dict[str, Any]) -> dict[str, Any]:
    """Runs of asdlib 0.1: what marked their files was all of their settings, and a field had another name."""
    identity = json.dumps(values, sort_keys=True)
    for stage in filter(None, (values["pretrain"], values["finetune"])):
        stage["accumulation_steps"] = stage.pop("parts")
    return values | {"identity": identity}


def is_of(mark: Any, config: RunConfig) -> bool:
    """Does a file with this mark (its metadata, or the content of a JSON file) belong to the run of ``config``?"""
    return (
        bool(config.identity) and mark.get("run", mark.get("config")) == config.identity
    )


def save_weights(model: nn.Module, path: Path, config: RunConfig) -> None:
    """Write a model's weights, marked as those of the run of ``config``."""
    write_tensors(model.state_dict(), path, metadata={"run": config.identity})


def read_tensors(path: Path, config: RunConfig) -> dict[str, Tensor]:
    """The tensors in ``path``. Raises :class:`AsdError` if it is missing, damaged, or of another run than ``config``."""
    if not path.exists():
        raise AsdError(
            f"no file {path}: it is not there yet, or this run has no such stage"
        )
    try:
        with safe_open(path, "pt") as file:
            if not is_of(file.metadata() or {}, config):
                raise AsdError(
                    f"{path} belongs to another run than the config.json beside it: restore the files of one run"
                )
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise AsdError(f"{path} is damaged ({error}): train again") from error


class _Unfilled(TorchFunctionMode):
    """Inside, new tensors are not filled: on the meta device, that would first import torch's compiler, for two seconds."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name.endswith("_") and not name.startswith(
            "_"
        ):  # in place, as all of torch.nn.init is
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
            expected = {
                name: (tensor.shape, tensor.dtype)
                for name, tensor in make().state_dict().items()
            }
    except AsdError as error:
        raise AsdError(
            f"the config.json beside {path} does not fit it: {error}"
        ) from error
    except (
        RuntimeError,
        ValueError,
        TypeError,
        OverflowError,
        ZeroDivisionError,
    ) as error:
        raise AsdError(
            f"no network has the sizes in the config.json beside {path}: restore the files of one run"
        ) from error
    if {
        name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()
    } != expected:
        raise AsdError(
            f"{path} does not fit the config.json beside it: restore the files of one run"
        )
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise AsdError(
            f"{path} holds weights that are not numbers (NaN or infinity): train again"
        )
    model = make()
    model.load_state_dict(tensors)
    return model.eval()
