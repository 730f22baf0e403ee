"""Evaluate a detector on labelled clips."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asdlib.commands import (
    Cache,
    Channel,
    Data,
    Device,
    Json,
    Layout,
    Partial,
    Resample,
    Run,
    ScorerName,
    Words,
    app,
    end_with,
    found_in,
    one_of,
    print_table,
    reading_of,
    tell_learned,
)
from asdlib.errors import AsdError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from asdlib.progress import OnStep
    from asdlib.sound.computed import ReadOptions
    from asdlib.sound.data import Clip
    from asdlib.use.detector import Detector

log = logging.getLogger("asdlib")
PLAIN = "plain"  # what stands beside every network


@app.command()
def evaluate(
    data: Data,
    run: Run,
    scorer: ScorerName = None,
    csv: Annotated[
        Path | None, typer.Option(help="Folder for anomaly_score_<type>_id_<nn>.csv.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="The challenge's published list of truths, eval_data_list.csv or a "
            "folder of ground_truth_*.csv, for clips whose names do not say."
        ),
    ] = None,
    official: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            parser=one_of("asdlib.judge.challenge:FORMULAE"),
            help="The challenge's official score: arithmetic (2020), harmonic (2021) "
            "or mixed (2022-2026, and where source and target clips are known).",
        ),
    ] = None,
    device: Device = "auto",
    channel: Channel = None,
    resample: Resample = False,
    partial: Partial = False,
    cache: Cache = None,
    layout: Layout = None,
    words: Words = None,
    as_json: Json = False,
) -> None:
    """Score the test clips of DATA.

    AUC, pAUC and mAUC are given where normal and anomalous clips are known, and the
    challenge's official score where domains are known, too.
    """
    import pandas as pd

    from asdlib.judge.challenge import lacking, usual_kind
    from asdlib.judge.metrics import machine_table, type_table, write_challenge_csv
    from asdlib.progress import progress_bar
    from asdlib.sound.truth import read_truth, with_truth
    from asdlib.use.detector import Detector

    detector = Detector.load(run)
    scorer, every = detector.scorer(scorer), found_in(data, layout, words)
    clips = [clip for clip in every if clip.split == "test"]
    unknown = sorted({clip.machine for clip in clips} - set(detector.config.machines))
    clips = [clip for clip in clips if clip.machine not in unknown]
    if truth is not None:
        clips = with_truth(clips, read_truth(truth))
    if not clips:
        known = ", ".join(detector.config.machines)
        raise AsdError(
            f"{data} has no test clip of a machine that this run knows ({known}): "
            "choose other data or another run"
        )
    facts = [(clip.machine, clip.label, clip.domain) for clip in clips]
    about = pd.DataFrame(facts, columns=["machine", "label", "domain"])
    kind = official or usual_kind(about)
    lacks = lacking(about, kind) if kind else []
    if official and (lacks or not about.label.isin(("normal", "anomaly")).any()):
        why = "; ".join(lacks) or "no clip is known to be normal or anomalous"
        raise AsdError(
            f"there is no official score {official} of {data}, {why}: "
            "complete the data, or leave --official out"
        )
    reading = reading_of(detector, channel, resample, partial)
    bad: dict[Clip, AsdError] = {}
    learned: list[Clip] = []
    with progress_bar() as on_step:
        table = detector.score_clips(
            clips,
            reading=reading,
            device=device,
            cache=cache,
            bad=bad,
            known=learned,
            on_step=on_step,
        )
        count, clips = len(clips), [clip for clip in clips if clip not in bad]
        if kind and bad:
            lacks = lacking(table, kind)
        names = list(detector.scorers)
        if PLAIN not in names:
            healthy = [clip for clip in every if clip.split == "train"]
            plain = with_plain(detector, healthy, clips, reading, cache, on_step)
            if plain is not None:
                table[PLAIN], names = plain, [*names, PLAIN]
        results = {}
        for name in names:
            scored, resamples = table.assign(score=table[name]), 1000 * (name == scorer)
            results[name] = machine_table(scored, resamples=resamples, on_step=on_step)
    tell_learned(learned, len(clips))
    chosen = table.assign(score=table[scorer])
    paths = write_challenge_csv(chosen, csv) if csv else []
    judged = None
    if kind and not lacks and len(results[scorer]):
        judged = official_scores(table, kind, names, scorer)
    if as_json:
        machines = results[scorer].to_dict(orient="index")
        types = type_table(results[scorer]).to_dict(orient="index") if machines else {}
        averages = {
            name: type_table(t).loc["average"].to_dict()
            for name, t in results.items()
            if len(t)
        }
        found: dict[str, Any] = {"scorer": scorer, "machines": machines, "types": types}
        found |= {"averages": averages, "official": judged, "official_lacks": lacks}
        found |= {"not_in_run": unknown, "left_out": [c.called for c in bad]}
        print(json.dumps(found, indent=1))
        end_with(bad, count)
        return
    if unknown:
        print(f"left out, not in this run: {', '.join(unknown)}")
    print(f"{len(table)} test clips of {table.machine.nunique()} machines")
    if len(results[scorer]):
        _print_results(results, scorer)
    if judged:
        _print_official(judged, results, scorer)
    for reason in lacks:
        print(f"no official score ({kind}): {reason}")
    if PLAIN not in results:
        print(
            f"nothing plain beside it: {data} has no two training clips of each of "
            "these machines"
        )
    one_sided = sorted(set(table.machine) - set(results[scorer].index))
    if one_sided:
        told = ", ".join(one_sided)
        print(f"no AUC, normal and anomalous clips are not both known: {told}")
    if paths:
        print(f"wrote {len(paths)} CSV files to {csv}")
    end_with(bad, count)


def with_plain(
    detector: "Detector",
    known: "list[Clip]",
    asked: "list[Clip]",
    reading: "ReadOptions",
    cache: Path | None,
    on_step: "OnStep",
) -> "np.ndarray | None":
    """Scores (M,) of the clips ``asked`` by plain detectors, which nobody trained.

    By training clips ``known``; None where they are not two of each machine at least.
    """
    from asdlib.methods.nearest import plain_scores
    from asdlib.sound.cache import features_of

    machines = {clip.machine for clip in asked}
    known = [clip for clip in known if clip.machine in machines]
    counts = Counter(clip.machine for clip in known)
    if any(counts[machine] < 2 for machine in machines):
        return None
    bad: dict[Clip, AsdError] = {}
    arrays = [
        features_of(
            clips,
            detector.config.features,
            options=reading,
            folder=cache,
            bad=bad,
            on_step=on_step,
        )
        for clips in (known, asked)
    ]
    if told := ", ".join(clip.called for clip in bad):
        log.warning("training clips that plain detectors had to leave out: %s", told)
    if any((arrays[0].machines == machine).sum() < 2 for machine in machines):
        return None
    return plain_scores(*arrays)


def official_scores(
    table: "pd.DataFrame", kind: str, names: list[str], scorer: str
) -> dict[str, Any]:
    """The official score ``kind`` by each scorer, and what it is made of by one.

    ``table`` is that of :meth:`Detector.score_clips`.
    """
    from asdlib.judge.challenge import formula_of, official_mean, official_parts

    parts = {n: official_parts(table.assign(score=table[n]), kind) for n in names}
    return {
        "kind": kind,
        "years": formula_of(kind).years,
        "score": official_mean(parts[scorer], kind),
        "scores": {name: official_mean(own, kind) for name, own in parts.items()},
        "machines": parts[scorer].to_dict(orient="index"),
    }


def _print_official(
    judged: "dict[str, Any]", results: "dict[str, pd.DataFrame]", scorer: str
) -> None:
    """The official score, with the AUC beside it that no domain has a part in."""
    from asdlib.judge.metrics import type_table

    columns = list(next(iter(judged["machines"].values())))
    if "auc" not in columns:  # else it is all in the first table
        plain = results[scorer].auc
        rows = [
            (name, *(f"{100 * x:.2f}" for x in (*parts.values(), plain[name])))
            for name, parts in judged["machines"].items()
        ]
        names = [name.replace("auc", "AUC").replace("_", " ") for name in columns]
        title = f"parts of the official score, scorer {scorer} (%)"
        print_table(title, ("machine", *names, "AUC of all"), rows)
    pairs = [
        (name, score, type_table(results[name]).auc["average"])
        for name, score in judged["scores"].items()
    ]
    print_table(
        f"DCASE {judged['years']} official score, {judged['kind']} (%)",
        ("scorer", "official score", "average AUC"),
        [(name, f"{100 * a:.2f}", f"{100 * b:.2f}") for name, a, b in pairs],
    )


def _print_results(results: "dict[str, pd.DataFrame]", scorer: str) -> None:
    from asdlib.judge.metrics import type_table

    def percent(*fractions: float) -> tuple[str, ...]:
        return tuple(f"{100 * fraction:.2f}" for fraction in fractions)

    rows = []
    for machine, row in results[scorer].iterrows():
        interval = f"{100 * row.auc_low:.1f}-{100 * row.auc_high:.1f}"
        area, partial = percent(row.auc, row.pauc)
        rows.append((str(machine), str(int(row.clips)), area, interval, partial))
    columns = ("machine", "clips", "AUC", "95 % interval", "pAUC")
    print_table(f"per machine, scorer {scorer} (%)", columns, rows)
    types = type_table(results[scorer])
    print_table(
        f"per machine type, scorer {scorer} (%)",
        ("type", "AUC", "pAUC", "mAUC"),
        [(str(name), *percent(*row)) for name, row in types.iterrows()],
    )
    averages = {name: type_table(t).loc["average"] for name, t in results.items()}
    print_table(
        "average over the types, every scorer (%)",
        ("scorer", "AUC", "pAUC", "mAUC"),
        [(name, *percent(*row)) for name, row in averages.items()],
    )
    if PLAIN in averages and scorer != PLAIN:
        ahead = 100 * (averages[PLAIN].auc - averages[scorer].auc)
        if ahead > 0:
            print(
                f"plain detectors, which nobody trained, are ahead of {scorer} by "
                f"{ahead:.1f} points of AUC here"
            )
