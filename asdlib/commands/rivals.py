"""Hold methods against each other, on recordings or on ready spectra, without a run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asdlib.commands import (
    Cache,
    Device,
    Json,
    Layout,
    Words,
    app,
    found_in,
    print_table,
)
from asdlib.commands.settings import method_named, spelled
from asdlib.errors import AsdError

if TYPE_CHECKING:
    import numpy as np

    from asdlib.progress import OnStep
    from asdlib.sound.clips import Clips
    from asdlib.use.config import RunConfig


@app.command()
def compare(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of recordings, a list of clips, or an .npz file of spectra.",
        ),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            parser=method_named,
            help="May be repeated (default: nearest, which takes seconds).",
        ),
    ] = None,
    epochs: Annotated[
        int,
        typer.Option(min=1, help="Of each method, in all; few clips make more."),
    ] = 12,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "auto",
    cache: Cache = None,
    layout: Layout = None,
    words: Words = None,
    as_json: Json = False,
) -> None:
    """Train methods and score labelled test clips; nothing is kept.

    Spectra are an .npz file of arrays train, train_machine, test, test_machine and
    test_is_anomaly.
    """
    import pandas as pd

    from asdlib import methods
    from asdlib.judge.metrics import machine_table, type_table
    from asdlib.progress import progress_bar
    from asdlib.use.config import PRESETS
    from asdlib.use.fitting import enough_steps

    chosen = method or ["nearest"]
    rows = []
    with progress_bar() as on_step:
        known, asked, labels = parts_of(
            data, PRESETS["best"], cache, on_step, layout=layout, words=words
        )
        preset = PRESETS["best"]
        budget = enough_steps(preset.finetune.of(epochs), known.labels, preset)
        for name in chosen:
            able = methods.get(name)
            model = able.train(
                known, budget=budget, seed=seed, device=device, on_step=on_step
            )
            found = able.score(model, known, asked, device=device)
            for scorer, scores in found.items():
                columns = {"machine": asked.machines, "label": labels, "score": scores}
                table = machine_table(pd.DataFrame(columns), resamples=0)
                if not len(table):
                    raise AsdError(
                        f"{data} has no machine with normal and anomalous test clips: "
                        "without both there is nothing to compare by"
                    )
                average = type_table(table).loc["average"]
                rows.append(
                    {"method": spelled(name), "scorer": scorer, **average.to_dict()}
                )
    if as_json:
        print(json.dumps({"seed": seed, "averages": rows}, indent=1))
        return
    print(f"{len(known)} training clips and {len(asked)} test clips")
    print_table(
        "average over the types (%)",
        ("method", "scorer", "AUC", "pAUC", "mAUC"),
        [
            (
                row["method"],
                row["scorer"],
                *(f"{100 * row[name]:.2f}" for name in ("auc", "pauc", "mauc")),
            )
            for row in rows
        ],
    )


def parts_of(
    data: Path,
    config: "RunConfig",
    cache: Path | None,
    on_step: "OnStep",
    *,
    layout: str | None = None,
    words: str | None = None,
) -> "tuple[Clips, Clips, np.ndarray]":
    """Training clips, test clips, and what is known of each of the latter (M,)."""
    import numpy as np

    from asdlib.sound.cache import features_of
    from asdlib.sound.data import training_clips
    from asdlib.sound.spectra import read_spectra
    from asdlib.use.fitting import fitted_to

    if data.suffix == ".npz":
        spectra = read_spectra(data)
        truth = np.where(spectra.test_is_anomaly, "anomaly", "normal")
        return spectra.train, spectra.test, truth
    clips = found_in(data, layout, words)
    training = training_clips(clips)
    machines = {clip.machine for clip in training}
    test = [c for c in clips if c.split == "test" and c.machine in machines]
    if not test:
        raise AsdError(f"{data} has no test clip of a machine with training clips")
    features = fitted_to(config, training).features
    known, asked = (
        features_of(part, features, folder=cache, on_step=on_step)
        for part in (training, test)
    )
    return known, asked, np.array([clip.label for clip in test])


@app.command(name="methods")
def list_methods(as_json: Json = False) -> None:
    """The methods that there are: the idea, where it is from, what it takes.

    Each can be trained (asd train DATA --method NAME --run RUN) and compared.
    """
    from asdlib import methods

    found = {name: methods.detector(name) for name in methods.every_name()}
    if as_json:
        about = [
            {
                "method": spelled(name),
                "name": method.NAME,
                "idea": method.IDEA,
                "paper": method.PAPER,
                "inputs": list(method.INPUTS),
                "scorers": list(method.SCORERS),
                "epochs": method.BUDGET.epochs,
                "seconds": method.COST,
            }
            for name, method in found.items()
        ]
        print(json.dumps(about, indent=1))
        return
    print_table(
        "methods; seconds of a core to train on 1,380 clips of 2 s",
        ("method", "idea", "paper", "reads", "seconds"),
        [
            (
                spelled(name),
                method.IDEA,
                method.PAPER,
                " and ".join(method.INPUTS),
                f"{method.COST:.0f}",
            )
            for name, method in found.items()
        ],
    )
