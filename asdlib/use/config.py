"""The config of a run: everything that was chosen, as one frozen dataclass, to JSON and
back.

A setting that a kept config does not have, because it was written before there was one,
has its default; a setting that this version does not know is refused by name.
"""

import math
from dataclasses import asdict, dataclass, field, fields, replace
from inspect import signature
from types import UnionType
from typing import Any, get_args, get_origin

from asdlib import __version__, methods
from asdlib.errors import AsdError
from asdlib.learn import encoders
from asdlib.learn.batches import StageConfig
from asdlib.learn.contrastive import TEMPERATURE
from asdlib.learn.encoder import BOOK_ENCODER, PAPER_ENCODER
from asdlib.learn.heads import MARGIN, SCALE
from asdlib.learn.spectrogram_encoder import SpectrogramConfig
from asdlib.sound.computed import ReadOptions
from asdlib.sound.features import FeatureConfig

# What training fills in, and nobody chooses.
FILLED_IN = ("machines", "rates", "data", "identity")


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run.

    The defaults are the preset ``paper``: the settings of the paper's public code,
    except that a clip is not compared with itself (``self_in_denominator``), that 5 %
    of the clips are held out, that the learning rate of stage 2 falls to 0 once, at the
    end, and that no epoch is chosen on labelled test clips. ``pretrain`` is None for
    the single-stage method. ``encoder`` is a config of
    :data:`asdlib.learn.encoders.ENCODERS`.

    ``method`` is the name of a file in :mod:`asdlib.methods`; all but clp_scf are
    trained as ``finetune`` says. ``network`` names the method whose network is a part
    of an ensemble. With ``whole_clips``, clips are as long as they are on disk, instead
    of ``features.seconds``. The network of the two stages sees ``window`` seconds of a
    clip at a time (None: all; see :mod:`asdlib.learn.pieces`). No stage has fewer steps
    than ``least_steps``, however few the clips. Training fills in what that comes to.

    Training fills in ``machines``, the training machines in label order, ``rates``,
    those in Hz at which their clips were recorded (none: not known), ``data``, a digest
    of what is in the training clips, and ``identity``, a random number of the run's
    own. ``mark`` is what the other files of the run carry; it comes from the run's
    ``config.json``. The last two and ``rates`` do not count when configs are compared.
    """

    preset: str = "paper"
    method: str = "clp_scf"
    network: str = "sub_cluster"
    features: FeatureConfig = FeatureConfig()
    whole_clips: bool = False
    window: float | None = None
    least_steps: int = 0
    encoder: Any = PAPER_ENCODER
    pretrain: StageConfig | None = StageConfig(101, learning_rate=5e-4)
    finetune: StageConfig = StageConfig(300, learning_rate=1e-4, cosine_from=20)
    temperature: float = TEMPERATURE
    self_in_denominator: bool = False
    margin: float = MARGIN
    scale: float = SCALE
    validation: float = 0.05
    seed: int = 0
    reading: ReadOptions = ReadOptions()
    precision: str = "32"
    machines: tuple[str, ...] = ()
    rates: tuple[int, ...] = field(default=(), compare=False)
    data: str = ""
    identity: str = field(default="", compare=False)
    mark: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        methods.detector(self.method)
        methods.detector(self.network)
        if not 0 <= self.validation < 1:
            raise AsdError(
                f"a held-out share (validation) of {self.validation:g} makes no sense: "
                "choose one from 0 to below 1"
            )

    @property
    def stages(self) -> list[StageConfig]:
        """The stages that are trained, in order."""
        return [stage for stage in (self.pretrain, self.finetune) if stage is not None]

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON; :meth:`from_dict` is the inverse."""
        values = asdict(self) | {"encoder": encoders.as_kept(self.encoder)}
        del values["mark"]
        return values

    def chosen(self) -> dict[str, Any]:
        """As :meth:`as_dict`, without what training fills in."""
        values = self.as_dict()
        return {name: values[name] for name in values if name not in FILLED_IN}

    @classmethod
    def from_dict(
        cls, values: dict[str, Any], *, base: "RunConfig | None" = None
    ) -> "RunConfig":
        """A config from plain values.

        What is missing is as in ``base``, or the default.

        Raises :class:`AsdError` for a setting that there is not, and TypeError or
        ValueError for values of other types.
        """
        base, values = base or cls(), dict(values)
        for name, kind in PARTS.items():
            if values.get(name) is not None:
                values[name] = _merged(kind, getattr(base, name), values[name])
        if "encoder" in values:
            kind, found = encoders.config_of(values["encoder"])
            same = isinstance(base.encoder, kind)
            values["encoder"] = _merged(kind, base.encoder if same else None, found)
        for name in ("machines", "rates"):
            if name in values:
                values[name] = tuple(values[name])
        _check_types(cls, values)
        if not all(name.count("/") == 1 for name in values.get("machines", ())):
            raise ValueError("a machine is not called type/id")
        return replace(base, **values)


PARTS: dict[str, type] = {
    "features": FeatureConfig,
    "reading": ReadOptions,
    "pretrain": StageConfig,
    "finetune": StageConfig,
}

PRESETS = {
    "best": RunConfig(
        preset="best",
        method="ensemble",
        whole_clips=True,
        least_steps=250,
        encoder=SpectrogramConfig(),
        pretrain=None,
        finetune=StageConfig(12, 64, learning_rate=1e-3, cosine_from=0),
        validation=0.0,
    ),
    "paper": RunConfig(),
    "book": RunConfig(
        preset="book",
        features=FeatureConfig(seconds=2.0),
        whole_clips=True,
        window=2.0,
        least_steps=250,
        encoder=BOOK_ENCODER,
        pretrain=StageConfig(16, 64, learning_rate=1e-3, cosine_from=8),
        finetune=StageConfig(16, 64, learning_rate=1e-3, cosine_from=0),
    ),
}


def of_method(name: str) -> RunConfig:
    """The settings by which a method is trained where nobody says otherwise.

    Of the ensemble and of the two stages the presets best and book. Raises
    :class:`AsdError` for a method that cannot be kept in a run.
    """
    for preset in ("best", "book"):
        if PRESETS[preset].method == name:
            return PRESETS[preset]
    method = methods.detector(name)
    encoder = getattr(method, "ENCODER", BOOK_ENCODER)
    own_pieces = isinstance(encoder, SpectrogramConfig)  # it cuts clips itself
    return replace(
        PRESETS["book"],
        method=name,
        encoder=encoder,
        window=None if own_pieces else PRESETS["book"].window,
        pretrain=None,
        finetune=method.BUDGET,
        validation=0.0,
    )


def of_ensemble(network: str) -> RunConfig:
    """The preset best with the network of another method, trained as that is.

    Raises :class:`AsdError` as :func:`of_method` does.
    """
    own = of_method(network)
    return replace(
        PRESETS["best"],
        network=network,
        encoder=own.encoder,
        window=own.window,
        finetune=methods.detector(network).BUDGET,
    )


def check_precision(config: RunConfig) -> None:
    """Raise :class:`AsdError` where the method of ``config`` computes in 32 bits
    only."""
    name = config.network if config.method == "ensemble" else config.method
    known = signature(methods.get(name).train).parameters
    if config.precision != "32" and "precision" not in known:
        raise AsdError(
            f"the method {name} is trained in 32 bits: leave out the precision"
        )


def _merged(kind: type, base: Any, values: dict[str, Any]) -> Any:
    """``base``, or the defaults of ``kind`` where it is None, with ``values``."""
    _check_types(kind, values)
    return kind(**values) if base is None else replace(base, **values)


def _check_types(kind: type, values: dict[str, Any]) -> None:
    """Raise ValueError for a value of another type than ``kind`` declares."""
    declared = {field.name: field.type for field in fields(kind)}
    for name, value in values.items():
        if name not in declared:
            raise AsdError(
                f"there is no setting {name!r} in asdlib {__version__}: leave it out, "
                "or upgrade to the version that wrote it"
            )
        if not _is_a(value, declared[name]):
            raise ValueError(f"{name} is {str(value)[:50]!r}")


def _is_a(value: Any, declared: Any) -> bool:
    """Is a value of the declared type, and of a size that makes sense?"""
    if declared is Any:
        return True
    if isinstance(declared, UnionType):
        return any(_is_a(value, one) for one in get_args(declared))
    if declared in (tuple[str, ...], tuple[int, ...]):
        kind = get_args(declared)[0]
        return isinstance(value, tuple) and all(_is_a(one, kind) for one in value)
    if get_origin(declared) is tuple:  # the table of the encoder, rows of four numbers
        return len(value) < 100 and all(map(_is_row, value))
    if declared is float:
        finite = isinstance(value, float) and math.isfinite(value)
        return finite or _is_a(value, int)
    if declared is int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and abs(value) < 2**40
    return isinstance(value, declared)


def _is_row(row: Any) -> bool:
    return len(row) == 4 and all(_is_a(x, int) and 0 < x < 2**12 for x in row)
