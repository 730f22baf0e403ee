"""The model card of a run, ``README.md``: what a detector is, for whoever is given one.

After Mitchell et al., "Model Cards for Model Reporting", 2019 (arXiv 1810.03993): what
it was trained on, how, what its scores mean, and what it is not for.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asdlib import __version__, methods
from asdlib.errors import AsdError
from asdlib.files import atomic_write
from asdlib.learn.checkpoint import read_log
from asdlib.use.config import RunConfig

CARD = """\
# Detector of anomalous sounds

*{name}* ({paper}): {idea}. Trained by asdlib {version} on {clips:,} healthy recordings
of {machines} machines.

## What it has heard

| machine | healthy recordings |
|---|---|
{rows}

Recorded at {rates}, heard at {heard:,} Hz. Digest of the recordings: `{data}`. The
recordings are not in this folder; their names are not either.

## How it was trained

Preset `{preset}`, seed {seed}, {epochs}; everything else is in `config.json`. The
network has {parameters:,} parameters. {figures}

## What its scores mean

A score says how unlike the healthy recordings of *one named machine* a clip is; larger
is more unlike. It is no probability, and the scores of two machines are not on one
scale. It scores by {scorers}; `scores.json` has what each machine's healthy recordings
get. A threshold is chosen from further healthy recordings, for a share of false
alarms, by `asd threshold`.

## What it is not for

* It has never heard a fault. What it finds, and what it misses, shows on recordings
  with known faults only (`asd evaluate`); no such figure stands here.
* It hears every difference: another microphone, room, load or speed may raise its
  scores, and a fault that leaves the sound as it was does not.
* It names no fault, and knows no machine but those above.
* It is no safety device: nobody's health may depend on it.

## Licence

The weights are made of the recordings above, and asdlib claims nothing of them. Whoever
passes this folder on says here under what licence, and where the recordings are from
(those of DCASE 2020 Task 2 are CC BY-NC-SA 4.0: not for commercial use).
"""


def write_card(
    run: Path,
    config: RunConfig,
    labels: np.ndarray,
    *,
    parameters: int,
    scorers: Sequence[str],
) -> None:
    """Write ``README.md`` into the run directory.

    ``labels`` (N,) are those of the training clips, ``parameters`` how many numbers the
    network has, ``scorers`` the names of what scores. Raises OSError where it cannot be
    written.
    """
    about = methods.detector(config.method)
    counts = np.bincount(labels, minlength=len(config.machines))
    rows = [
        f"| {machine.replace('|', '&#124;')} | {count:,} |"
        for machine, count in zip(config.machines, counts, strict=True)
    ]
    rates = ", ".join(f"{rate:,} Hz" for rate in config.rates) or "rates not known"
    card = CARD.format(
        name=about.NAME,
        paper=about.PAPER,
        idea=about.IDEA,
        version=__version__,
        clips=len(labels),
        machines=len(config.machines),
        rows="\n".join(rows),
        rates=rates,
        heard=config.features.sample_rate,
        data=config.data,
        preset=config.preset,
        seed=config.seed,
        epochs=" and ".join(f"{stage.epochs:,} epochs" for stage in config.stages),
        parameters=parameters,
        figures=last_figures(run / "log.csv"),
        scorers=", ".join(f"`{name}`" for name in scorers),
    )
    with atomic_write(run / "README.md") as temporary:
        temporary.write_text(card, encoding="utf-8")


def last_figures(log: Path) -> str:
    """A sentence on the last epoch of each stage in ``log.csv``; none without rows."""
    try:
        last = {row["stage"]: row for row in read_log(log)}
    except AsdError:  # it is damaged; nothing depends on it
        return ""
    found = []
    for stage, row in last.items():
        held = row["validation_loss"]
        beside = f", {held:.3g} on recordings held out" if held is not None else ""
        found.append(f"{stage} {row['train_loss']:.3g}{beside}")
    return f"Loss in the last epoch: {'; '.join(found)}." if found else ""
