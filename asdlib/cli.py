"""The command ``asd``: simulate or download clips, train, evaluate, score."""

import json
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from asdlib.errors import AsdError

# What follows a command's name is imported inside it, so that `asd --help` and `asd simulate` do not wait for torch.

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Anomalous sound detection: train on normal clips of many machines, score new clips.\n\n"
    "Start with: asd simulate park; asd train park --run run; asd evaluate park --run run",
)

ScorerName = Literal["softmax", "softmax-plain", "knn", "mahalanobis", "gmm"]

Data = Annotated[Path, typer.Argument(metavar="DATA", help="Folder with <type>/{train,test}/*.wav, as in DCASE 2020 Task 2.")]
Run = Annotated[Path, typer.Option("--run", help="Run directory.")]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script instead of tables.")]
Channel = Annotated[int | None, typer.Option(min=0, help="Channel of multi-channel clips, from 0.")]
Resample = Annotated[bool, typer.Option("--resample", help="Convert clips of other sample rates.")]
Cache = Annotated[Path | None, typer.Option(help="Folder of the feature cache (default: the user's cache folder).")]


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder to write the clips to.")],
    preset: Annotated[
        Literal["tiny", "book", "dcase"], typer.Option(help="tiny: seconds; book: under a minute; dcase: the challenge's size.")
    ] = "book",
    seed: Annotated[int, typer.Option(help="Another seed makes other machines.")] = 0,
) -> None:
    """Make a simulated machine park: six machine types, 23 machines, named faults."""
    from asdlib import machines
    from asdlib.progress import progress_bar

    with progress_bar() as on_step:
        machines.simulate(out, preset=preset, seed=seed, on_step=on_step)
    print(f"wrote {out}; next: asd train {out} --run RUN")


@app.command()
def download(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to download to.")],
    part: Annotated[
        Literal["dev", "add", "eval"],
        typer.Option(help="dev: development set; add: additional training; eval: evaluation set."),
    ] = "dev",
    machine: Annotated[list[str] | None, typer.Option(help="Machine type, e.g. fan; may be repeated (default: all).")] = None,
) -> None:
    """Download real DCASE 2020 Task 2 recordings from Zenodo, checked and unpacked (CC BY-NC-SA 4.0; about 1-2 GB a type)."""
    from asdlib.download import download
    from asdlib.progress import progress_bar

    with progress_bar() as on_step:
        folders = download(out, part=part, machine_types=machine or None, on_step=on_step)
    print("\n".join(str(folder) for folder in folders))


@app.command()
def train(
    data: Data,
    run: Run,
    preset: Annotated[
        Literal["book", "paper"], typer.Option(help="book: 2 s clips, small network, minutes on a laptop. paper: for a GPU.")
    ] = "book",
    no_pretrain: Annotated[bool, typer.Option("--no-pretrain", help="Single-stage method: leave out stage 1.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Clip length (default: the preset's).")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of each stage (default: the preset's); few clips need more.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of initial weights, order of clips and held-out clips.")] = 0,
    device: Device = "auto",
    precision: Annotated[Literal["32", "bf16"], typer.Option(help="bf16 is faster where the processor knows it.")] = "32",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    skip_single: Annotated[bool, typer.Option("--skip-single", help="Leave out machines with a single training clip.")] = False,
    channel: Channel = None,
    resample: Resample = False,
    short: Annotated[Literal["repeat", "refuse"], typer.Option(help="What to do with clips that are too short.")] = "repeat",
    cache: Cache = None,
) -> None:
    """Train both stages on the normal training clips of DATA."""
    from dataclasses import replace

    from asdlib.cache import ReadOptions
    from asdlib.data import scan
    from asdlib.detector import train as train_detector
    from asdlib.progress import progress_bar
    from asdlib.run import PRESETS

    config = PRESETS[preset]
    if seconds is not None:
        config = replace(config, features=replace(config.features, seconds=seconds))
    if epochs is not None:
        config = replace(config, pretrain=config.pretrain.of(epochs), finetune=config.finetune.of(epochs))
    if no_pretrain:
        config = replace(config, pretrain=None)
    config = replace(config, seed=seed, precision=precision, reading=ReadOptions(channel, resample, short))
    clips = scan(data)
    try:
        with progress_bar() as on_step:
            options = {"resume": resume, "skip_single": skip_single, "device": device, "cache": cache}
            detector = train_detector(clips, run, config, on_step=on_step, **options)
    except KeyboardInterrupt:
        print("\nstopped; the last finished epoch is kept: repeat the command with --resume to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"trained on {len(detector.bank)} clips of {len(detector.config.machines)} machines")
    print(f"next: asd evaluate {data} --run {run}")


@app.command()
def evaluate(
    data: Data,
    run: Run,
    scorer: Annotated[ScorerName, typer.Option(help="Scorer of the per-type table, the CSV files and the JSON.")] = "softmax",
    csv: Annotated[Path | None, typer.Option(help="Folder for anomaly_score_<type>_id_<nn>.csv files.")] = None,
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Score the test clips of DATA; AUC, pAUC and mAUC where normal and anomalous ones are known."""
    from asdlib.data import scan
    from asdlib.detector import Detector
    from asdlib.evaluation import SCORERS, machine_table, type_table, write_challenge_csv
    from asdlib.progress import progress_bar

    detector = Detector.load(run)
    clips = [clip for clip in scan(data) if clip.split == "test"]
    unknown = sorted({clip.machine for clip in clips} - set(detector.config.machines))
    clips = [clip for clip in clips if clip.machine not in unknown]
    if not clips:
        known = ", ".join(detector.config.machines)
        raise AsdError(f"{data} has no test clip of a machine that this run knows ({known}): choose other data or another run")
    with progress_bar() as on_step:
        reading = _reading(detector, channel, resample)
        table = detector.score_clips(clips, reading=reading, device=device, cache=cache, on_step=on_step)
        results = {
            name: machine_table(table.assign(score=table[name]), resamples=1000 if name == scorer else 0, on_step=on_step)
            for name in SCORERS
        }
    paths = write_challenge_csv(table.assign(score=table[scorer]), csv) if csv else []
    if as_json:
        machines = results[scorer].to_dict(orient="index")
        types = type_table(results[scorer]).to_dict(orient="index") if machines else {}
        print(json.dumps({"scorer": scorer, "machines": machines, "types": types, "not_in_run": unknown}, indent=1))
        return
    if unknown:
        print(f"left out, not in this run: {', '.join(unknown)}")
    print(f"{len(table)} test clips of {table.machine.nunique()} machines")
    if len(results[scorer]):
        _print_results(results, scorer)
    one_sided = sorted(set(table.machine) - set(results[scorer].index))
    if one_sided:
        print(f"no AUC, normal and anomalous clips are not both known: {', '.join(one_sided)}")
    if paths:
        print(f"wrote {len(paths)} CSV files to {csv}")


@app.command()
def score(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings of one machine.")],
    run: Run,
    machine: Annotated[str, typer.Option(help="Which machine they are of, as TYPE/ID, e.g. fan/id_00.")],
    scorer: Annotated[ScorerName, typer.Option(help="What the score is; see the book.")] = "softmax",
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    as_json: Json = False,
) -> None:
    """Score recordings of one machine; larger is more anomalous."""
    from asdlib.cache import features_now
    from asdlib.data import Clip
    from asdlib.detector import Detector, embed
    from asdlib.progress import progress_bar

    detector = Detector.load(run)
    detector.label(machine)
    machine_type, machine_id = machine.split("/")
    clips = [Clip(path, machine_type, machine_id, "test", "unknown") for path in files]
    with progress_bar() as on_step:
        reading = _reading(detector, channel, resample)
        features = features_now(clips, detector.config.features, options=reading, on_step=on_step)
        embeddings = embed(detector.model.embed, features.arrays, device=device, on_step=on_step)
        scores = detector.scores(embeddings, machine, scorer)
    rows = [
        {"file": str(path), "score": float(value), "training_share": detector.training_share(value, machine, scorer)}
        for path, value in zip(files, scores, strict=True)
    ]
    if as_json:
        print(json.dumps({"machine": machine, "scorer": scorer, "scores": rows}, indent=1))
        return
    _print_table(
        f"{machine}, scorer {scorer}",
        ("file", "score", "above this share of the training clips"),
        [(row["file"], f"{row['score']:.4f}", f"{row['training_share']:.0%}") for row in rows],
    )
    print("The network knows its training clips: new clips of a healthy machine score above most of them, too.")


@app.command()
def info(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A data folder or a run directory.")],
    as_json: Json = False,
) -> None:
    """What is in a data folder (clips per machine) or a run directory (settings, losses)."""
    if (folder / "config.json").exists():
        _info_run(folder, as_json)
        return
    from asdlib.data import scan

    counts = Counter((clip.machine, clip.split, clip.label) for clip in scan(folder))
    kinds = [("train", "normal"), ("test", "normal"), ("test", "anomaly"), ("test", "unknown")]
    machines = {m: {f"{s} {k}": counts[m, s, k] for s, k in kinds} for m in sorted({key[0] for key in counts})}
    if as_json:
        print(json.dumps(machines, indent=1))
        return
    rows = [(machine, *map(str, row.values())) for machine, row in machines.items()]
    _print_table(str(folder), ("machine", *(f"{s} {k}" for s, k in kinds)), rows)


def _info_run(folder: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from asdlib.run import read_config
    from asdlib.training import read_log

    config, log = read_config(folder), read_log(folder / "log.csv")
    if as_json:
        print(json.dumps({"config": asdict(config), "log": log}, indent=1))
        return
    print(json.dumps(asdict(config), indent=1))
    rows = [[f"{v:.4g}" if isinstance(v, float) else str("" if v is None else v) for v in row.values()] for row in log]
    if rows:
        _print_table("log", tuple(log[0]), rows)


def _reading(detector, channel: int | None, resample: bool):
    """How the clips to be scored are read: as the training clips were, unless this command says otherwise."""
    from dataclasses import replace

    trained = detector.config.reading
    return replace(trained, channel=trained.channel if channel is None else channel, resample=resample or trained.resample)


def _print_results(results, scorer: str) -> None:
    from asdlib.evaluation import type_table

    percent = "{:.2f}".format
    _print_table(
        f"per machine, scorer {scorer} (%)",
        ("machine", "clips", "AUC", "95 % interval", "pAUC"),
        [
            (m, str(int(r.clips)), percent(100 * r.auc), f"{100 * r.auc_low:.1f}-{100 * r.auc_high:.1f}", percent(100 * r.pauc))
            for m, r in results[scorer].iterrows()
        ],
    )
    _print_table(
        f"per machine type, scorer {scorer} (%)",
        ("type", "AUC", "pAUC", "mAUC"),
        [(t, *(percent(100 * v) for v in row)) for t, row in type_table(results[scorer]).iterrows()],
    )
    _print_table(
        "average over the types, every scorer (%)",
        ("scorer", "AUC", "pAUC", "mAUC"),
        [(name, *(percent(100 * v) for v in type_table(table).loc["average"])) for name, table in results.items()],
    )


def _print_table(title: str, columns: tuple[str, ...], rows) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=None if sys.stdout.isatty() else 500).print(table)  # in a pipe, never break a line


def main() -> None:
    """Run ``asd``: exit code 0, 2 for bad input (one sentence on standard error), 130 when training is interrupted."""
    logging.basicConfig(format="%(message)s")
    try:
        app()
    except AsdError as error:
        print(f"asd: {error}", file=sys.stderr)
        sys.exit(2)
