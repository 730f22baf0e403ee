"""A run directory: what was chosen, and the weights that belong to it.

::

    run/config.json              everything that was chosen, machines in label order
        log.csv                  losses of every epoch of both stages
        pretrained.safetensors   encoder and head after stage 1 (two stages only)
        weights.safetensors      encoder, first head layer and ArcFace after stage 2
        embeddings.safetensors   embeddings of the training clips, the memory bank
        README.md                the model card, for people
        rehearsal.json           of an ensemble: what it has chosen, and by what
        scores.json              per machine and scorer, percentiles of the scores of
                                 its normal training clips
        thresholds.json          the thresholds that were chosen, if any

Nothing in it is executed when it is loaded: safetensors and JSON only. Every file
that is loaded carries a mark, a digest of the config with the random identity of the
run in it, so that files of two runs, or weights and settings that do not belong
together, cannot be mixed unnoticed.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from asdlib import __version__
from asdlib.errors import AsdError, spelled
from asdlib.files import atomic_write
from asdlib.learn import encoders
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.contrastive import ContrastiveModel
from asdlib.learn.tensors import write_tensors
from asdlib.use.config import FILLED_IN, RunConfig

# Of a run directory. Format 1, of asdlib 0.1, had no identity: its files carried all of
# its settings instead.
FORMAT = 2


def new_encoder(config: RunConfig) -> nn.Module:
    """An untrained encoder with the initial weights that ``config.seed`` gives."""
    return encoders.new_encoder(
        config.encoder, config.features, window=config.window, seed=config.seed
    )


def new_classifier(
    base: ContrastiveModel | nn.Module, config: RunConfig
) -> MachineClassifier:
    """The classifier of ``config`` on a pretrained model or a bare encoder."""
    classes = len(config.machines)
    return MachineClassifier(base, classes, margin=config.margin, scale=config.scale)


def load_pretrained(run: str | Path) -> ContrastiveModel:
    """The encoder and head as stage 1 left them, in evaluation mode.

    Raises :class:`AsdError` when the run has none.
    """
    config = read_config(run)

    def make() -> ContrastiveModel:
        return ContrastiveModel(new_encoder(config))

    return loaded(make, Path(run) / "pretrained.safetensors", config)


def new_identity() -> str:
    """A random identity for a new run: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def write_config(run: Path, config: RunConfig) -> None:
    """Write ``config.json``."""
    content = {"asdlib": __version__, "format": FORMAT, **config.as_dict()}
    with atomic_write(run / "config.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def read_config(run: str | Path) -> RunConfig:
    """The config in a run directory.

    Raises :class:`AsdError` when there is none, it cannot be read, or a newer version
    of asdlib has written it.
    """
    path = Path(run) / "config.json"
    if not path.is_file():
        raise AsdError(
            f"{run} is not a run directory (no config.json): give the directory that "
            f"{spelled('asdlib.train', 'asd train')} wrote"
        )
    values, mark = _read(path)
    try:
        return RunConfig.from_dict(values | {"mark": mark})
    except AsdError as error:
        raise AsdError(f"{path} cannot be used: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise _no_config(path, error) from error


def read_settings(path: Path, *, presets: Mapping[str, RunConfig]) -> RunConfig:
    """The settings in a JSON file: any part of a config, or the one of a run.

    What is missing is as in the preset that the file names, else in the first of
    ``presets``. What training fills in is passed over. Raises :class:`AsdError` for a
    file that cannot be read, and for settings that there are not.
    """
    values, _ = _read(path)
    name = values.get("preset", next(iter(presets)))
    if name not in presets:
        raise AsdError(
            f"no preset {name!r} in {path}: choose one of {', '.join(presets)}"
        )
    chosen = {key: values[key] for key in values if key not in FILLED_IN}
    try:
        return RunConfig.from_dict(chosen, base=presets[name])
    except AsdError as error:
        raise AsdError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise AsdError(
            f"{path} holds a setting that makes no sense: {error}"
        ) from error


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The values in a config file, and its mark."""
    try:
        values = json.loads(path.read_text())
        version, number = values.pop("asdlib", __version__), values.pop("format", None)
    except OSError as error:
        raise AsdError(
            f"cannot read {path} ({error.strerror}): check the file and its permissions"
        ) from error
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _no_config(path, error) from error
    text = json.dumps(values, sort_keys=True)
    if number is None:
        return _renamed(values), text
    if not isinstance(number, int) or number > FORMAT:
        raise AsdError(
            f"{path} has the format {number!r} of asdlib {version}, a newer version: "
            "upgrade asdlib to read it"
        )
    return values, hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Fields that asdlib 0.1 called otherwise, by today's names."""
    for stage in (values.get("pretrain"), values.get("finetune")):
        if isinstance(stage, dict) and "parts" in stage:
            stage["accumulation_steps"] = stage.pop("parts")
    return values


def _no_config(path: Path, error: Exception) -> AsdError:
    return AsdError(
        f"{path} is not the config of a run ({error}): restore it or train again"
    )


def is_of(about: Mapping[str, Any], config: RunConfig) -> bool:
    """Is a file of the run of ``config``?

    ``about`` is its metadata, or JSON content.
    """
    # Format 1 called the mark "config".
    return bool(config.mark) and about.get("run", about.get("config")) == config.mark


def save_weights(model: nn.Module, path: Path, config: RunConfig) -> None:
    """Write a model's weights, marked as those of the run of ``config``."""
    write_tensors(model.state_dict(), path, metadata={"run": config.mark})


def read_tensors(path: Path, config: RunConfig) -> dict[str, Tensor]:
    """The tensors in ``path`` by name, each (...) as it was written.

    Raises :class:`AsdError` if it is missing, damaged, or of another run than
    ``config``.
    """
    if not path.exists():
        raise AsdError(
            f"no file {path}: it is not there yet, or this run has no such stage"
        )
    try:
        with safe_open(path, "pt") as file:
            if not is_of(file.metadata() or {}, config):
                raise AsdError(
                    f"{path} belongs to other settings, or to another run, than the "
                    "config.json beside it: restore the files of one run"
                )
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise AsdError(f"{path} is damaged ({error}): train again") from error


class _Unfilled(TorchFunctionMode):
    """Inside, new tensors are not filled.

    On the meta device, filling would first import torch's compiler, for two seconds.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name, options = getattr(func, "__name__", ""), kwargs or {}
        # In place, as all of torch.nn.init is.
        if name.endswith("_") and not name.startswith("_"):
            return (*args, *options.values())[0]
        if func in (torch.hann_window, torch.randn):
            return torch.empty(*args)
        return func(*args, **options)


def loaded(make: Callable[[], nn.Module], path: Path, config: RunConfig) -> Any:
    """The model that ``make()`` builds with the weights in ``path``, for evaluation.

    Raises :class:`AsdError` as :func:`read_tensors`, if the shapes do not fit, or if a
    weight is not finite. Nothing of the size that a config claims is allocated before
    the file has been seen to hold as much.
    """
    tensors = read_tensors(path, config)
    try:
        with torch.device("meta"), _Unfilled():
            expected = make().state_dict()
    except AsdError as error:
        raise AsdError(
            f"the config.json beside {path} does not fit it: {error}"
        ) from error
    except (RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        raise AsdError(
            f"no network has the sizes in the config.json beside {path}: restore the "
            "files of one run"
        ) from error
    if _shapes(tensors) != _shapes(expected):
        raise AsdError(
            f"{path} does not fit the config.json beside it: restore the files of one "
            "run"
        )
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise AsdError(
            f"{path} holds weights that are not numbers (NaN or infinity): train again"
        )
    model = make()
    model.load_state_dict(tensors)
    return model.eval()


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
