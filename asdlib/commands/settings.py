"""From the options of ``asd train`` to the settings of a run."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asdlib.errors import AsdError

if TYPE_CHECKING:
    from asdlib.use.config import RunConfig

UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds_in(text: str) -> float:
    """Seconds in "90s", "5m" or "2h".

    Raises :class:`typer.BadParameter` for anything else.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh])", text)
    if found is None or not float(found[1]):
        raise typer.BadParameter(
            f"{text!r} is no time: say, for example, 90s, 5m or 2h"
        )
    return float(found[1]) * UNITS[found[2]]


def method_named(text: str) -> str:
    """The name of a method, which may be spelled with - for _.

    Raises :class:`typer.BadParameter` where there is none.
    """
    from asdlib.methods import every_name

    name = text.replace("-", "_")
    if name not in every_name():
        choices = ", ".join(spelled(name) for name in every_name())
        raise typer.BadParameter(f"{text!r} is not one of {choices}")
    return name


def spelled(method: str) -> str:
    """The name of a method as the command line has it."""
    return method.replace("_", "-")


def config_of(
    method: str | None, preset: str | None, network: str | None = None
) -> "RunConfig | None":
    """The settings that are meant, by a method or a preset; None where neither is.

    Raises :class:`AsdError` where the preset is one of another method, or a ``network``
    is given for another than the ensemble.
    """
    from asdlib.use.config import PRESETS, of_ensemble, of_method

    if network is not None:
        if method not in (None, "ensemble") or preset not in (None, "best"):
            raise AsdError(
                "--network says whose network the ensemble has: leave it out, or take "
                "--method ensemble"
            )
        return of_ensemble(network)
    if method is None or preset is None:
        if method is not None:
            return of_method(method)
        return PRESETS[preset] if preset is not None else None
    of_preset = PRESETS[preset].method
    if of_preset != method:
        raise AsdError(
            f"the preset {preset} is one of {spelled(of_preset)}, "
            f"not of {spelled(method)}: "
            "leave out --method or --preset"
        )
    return PRESETS[preset]


def settings(
    base: "RunConfig | None",
    file: Path | None,
    *,
    no_pretrain: bool,
    features: dict[str, Any],
    stage: dict[str, Any],
    reading: dict[str, Any],
    run: dict[str, Any],
) -> "RunConfig":
    """The settings of ``base``, then those in a file, then those that are not None."""
    from dataclasses import replace

    from asdlib.use.config import PRESETS
    from asdlib.use.run import read_settings

    def given(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value is not None}

    config = base or PRESETS["best"]
    if file is not None:
        presets = {base.preset: base} if base else {"best": config, **PRESETS}
        config = read_settings(file, presets=presets)
    features = given(features)
    if "sample_rate" in features:
        features["f_max"] = features["sample_rate"] / 2
    epochs, steps = stage["epochs"], stage["accumulation_steps"]
    for name in ("pretrain", "finetune"):
        trained = getattr(config, name)
        if trained is None:  # a preset or a file without stage 1
            continue
        if epochs is not None:
            trained = trained.of(epochs)
        if steps is not None:
            trained = replace(trained, accumulation_steps=steps)
        config = replace(config, **{name: trained})
    if no_pretrain:
        if config.method != "clp_scf":
            raise AsdError(
                "--no-pretrain leaves out stage 1 of clp-scf: add --method clp-scf"
            )
        config = replace(config, pretrain=None)
    if "seconds" in features and config.whole_clips:
        config = seen_at_once(config, features.pop("seconds"))
    if epochs is not None:
        config = replace(config, least_steps=0)
    return replace(
        config,
        features=replace(config.features, **features),
        reading=replace(config.reading, **given(reading)),
        **given(run),
    )


def seen_at_once(config: "RunConfig", seconds: float) -> "RunConfig":
    """``config`` with a network that sees so many seconds of a whole clip at a time."""
    from dataclasses import replace

    from asdlib.sound.features import FeatureConfig

    FeatureConfig(config.features.sample_rate, seconds)  # a length that makes sense?
    if config.method == "ensemble" and config.window is None:
        encoder = replace(config.encoder, seconds=seconds)
        return replace(config, encoder=encoder)
    return replace(config, window=seconds)
