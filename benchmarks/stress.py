"""What is left of every method when the recordings are not what they were: manipulated, contaminated, few, or of a new machine?

    python benchmarks/stress.py WORK [--methods nearest sub_cluster ... --epochs 8 --seeds 0 1 2 --again nearest --processes 1]

On the preset ``book`` of the simulated park, for each method and seed, one after the other:

* *manipulation*: the test clips, normal and faulty alike, through the far end of each kind of ``asdlib.manipulations`` (of
  pace and clock, both ends), after a training on clips as they are. ``robust_contrast`` has learned from these
  very manipulations, others have not. Beside the AUC stand, of the manipulated test clips of a machine, the shares above the
  lowest threshold that no more than a tenth of its normal test clips, as they are, lie above: ``false_alarms`` of the normal
  ones, ``found`` of the faulty ones. ``found_anew`` is with the threshold chosen again, on the manipulated normal clips.
* *slow*: healthy clips of the fans, held against their normal test clips as they are: new ones, rendered at a share of
  their speed, and the normal test clips themselves through each manipulation. Does he hear a slow fan who does not hear
  another clock?
* *contamination*: of each machine's training clips so many % are faulty, in place of normal ones, and nobody has noticed.
  They are test clips by origin, drawn by the seed, and left out of the test for all shares alike.
* *few*: so many training clips of each machine, drawn by the seed, the fewer among the more. About as many steps as with all.
* *added*: a machine of each type comes later. Its training clips are known when it is scored, and the network is not trained
  again; beside it ("known"), the same machines by the network that was trained on all. A scorer that asks what training found
  out about the machine itself has no answer: its record says so.

Trainings with fewer clips than the whole have about as many steps, in more epochs.

Every training is a job with a file of its own in WORK; what is there is not measured again. Writes
``data/results/stress.json``: a header and a list of records {study, setting, method, scorer, seed, auc, pauc, mauc,
false_alarms, found, found_anew, reason}. About six times a method's own time for each seed, and as long again for the
scoring. A simulated park teaches and is no evidence. Nothing is chosen on test clips.
"""

import math
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from peers import seconds_of
from results import FOLDER, SIMULATED, arguments, arrays_once, once, park_clips, side_by_side, write

from asdlib import methods
from asdlib.cache import features_of
from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import machine_table, type_table
from asdlib.features import FeatureConfig, log_mel
from asdlib.machines import render
from asdlib.manipulations import MANIPULATIONS
from asdlib.methods import embedded
from asdlib.training import StageConfig, plan_batches

Scores = dict[str, np.ndarray]
Records = list[dict[str, Any]]
Parts = tuple[Clips, Clips, np.ndarray]
SHARES = (0, 5, 20)  # %, of faulty clips in the training
COUNTS = (5, 20, 60)  # training clips of a machine
ALARMS = 0.1  # of the clean normal clips, at most
TRIED = (
    ("gain", "0.1"),
    ("noise", "15 dB"),
    ("stretch", "0.9"),
    ("stretch", "1.1"),
    ("echo", "2000 samples, 0.5"),
    ("roll", "0.5"),
    ("fade", "0.5, exponential"),
    ("resample", "15000 Hz"),
    ("resample", "17000 Hz"),
)
SPEEDS = (0.94, 0.88, 0.8)  # of fans
FRESH = 100  # the number of the first moment that no test clip has
RATES = ("false_alarms", "found", "found_anew")
# What is trained: the first training is that of several studies.
JOBS = [
    ("whole", 0),
    *(("contamination", share) for share in SHARES[1:]),
    *(("few", count) for count in COUNTS[:-1]),
    ("added", 0),
]
# Networks of one type each, most with batches of their own: their steps go with the clips.
BY_TYPE = {"activity_guided", "autoencoder", "frame_selection", "idnn", "serial_oe", "trans_ae"}
UNKNOWN = "it scores by what training found out about the machine itself"


def park(work: Path) -> Parts:
    """Training clips, test clips, and which of the latter are faulty (M,)."""
    training, test = park_clips(work)
    features = FeatureConfig(seconds=seconds_of(training))
    kept = [features_of(clips, features, folder=work / "features") for clips in (training, test)]
    known, asked = (Clips(tuple(np.array(x[:]) for x in clips.inputs), clips.machines, features) for clips in kept)
    return known, asked, np.array([clip.label == "anomaly" for clip in test])


# ---------------------------------------------------------------------------------------------------- what is trained on


def joined(one: Clips, other: Clips) -> Clips:
    inputs = tuple(np.concatenate(pair) for pair in zip(one.inputs, other.inputs, strict=True))
    return Clips(inputs, np.concatenate([one.machines, other.machines]), one.features)


def order(clips: Clips, machine: str, seed: int) -> np.ndarray:
    """The rows of a machine's clips, in an order that the seed decides."""
    return np.random.default_rng([seed, 19, *machine.encode()]).permutation(np.flatnonzero(clips.machines == machine))


def fewer(clips: Clips, count: int, seed: int) -> Clips:
    """So many clips of each machine."""
    return clips.only(np.concatenate([order(clips, name, seed)[:count] for name in clips.names]))


def unnoticed(known: Clips, asked: Clips, faulty: np.ndarray, seed: int) -> list[np.ndarray]:
    """Of each machine the rows of the faulty test clips that may be among the training clips, at the largest share."""
    found = []
    for name in known.names:
        rows = order(asked, name, seed)
        found.append(rows[faulty[rows]][: round(max(SHARES) / 100 * np.sum(known.machines == name))])
    return found


def contaminated(known: Clips, asked: Clips, faulty: np.ndarray, share: int, seed: int) -> Clips:
    """As many clips as before, of which ``share`` % of each machine's are faulty."""
    kept, bad = [], []
    for name, rows in zip(known.names, unnoticed(known, asked, faulty, seed), strict=True):
        own = order(known, name, seed)
        count = round(share / 100 * len(own))
        kept.append(own[count:])
        bad.append(rows[:count])
    return joined(known.only(np.concatenate(kept)), asked.only(np.concatenate(bad)))


def later(known: Clips) -> list[str]:
    """The machines that are added: the last of each type of which there are three."""
    types: dict[str, list[str]] = {}
    for name in known.names:
        types.setdefault(name.split("/")[0], []).append(name)
    return [names[-1] for names in types.values() if len(names) >= 3]


# ------------------------------------------------------------------------------------------------------- what is measured


def averages(scores: np.ndarray, machines: np.ndarray, faulty: np.ndarray) -> dict[str, Any]:
    """AUC, pAUC and mAUC, averages over the machine types, of clips with scores (M,); or the reason why there are none."""
    if not np.isfinite(scores).all():
        return {"reason": f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite"}
    table = pd.DataFrame({"machine": machines, "label": np.where(faulty, "anomaly", "normal"), "score": scores})
    row = type_table(machine_table(table, resamples=0)).loc["average"]
    return {name: round(float(row[name]), 5) for name in ("auc", "pauc", "mauc")}


def share_above(scores: np.ndarray, clean: np.ndarray) -> float:
    """Of one machine: the share of ``scores`` above the lowest of the ``clean`` ones that no more than a tenth lie above."""
    return float(np.mean(scores > np.sort(clean)[len(clean) - 1 - int(ALARMS * len(clean) + 1e-9)]))


def rates(clean: np.ndarray, scores: np.ndarray, machines: np.ndarray, faulty: np.ndarray) -> dict[str, float]:
    """:data:`RATES`, means over the machines, of clips with scores (M,) as they are and manipulated."""
    found = []
    for name in np.unique(machines):
        normal, ill = ((machines == name) & (faulty == kind) for kind in (False, True))
        of_machine = (scores[normal], clean[normal]), (scores[ill], clean[normal]), (scores[ill], scores[normal])
        found.append([share_above(*pair) for pair in of_machine])
    return {rate: round(float(x), 5) for rate, x in zip(RATES, np.mean(found, axis=0), strict=True)}


def as_recorded(waves: torch.Tensor, features: FeatureConfig) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of clips (M, samples) in ±1 as a recorder would have written them, in 16 bits."""
    waves = torch.round(waves.clip(-1, 1 - 2**-15) * 2**15)
    mels = [log_mel(x / 2**15, features).numpy().astype(np.float16) for x in waves.split(64)]
    return waves.numpy().astype(np.int16), np.concatenate(mels)


def manipulated(work: Path, asked: Clips, kind: str, strength: str) -> Clips:
    """The clips through one manipulation, made once, and kept in ``work``."""

    def through() -> dict[str, np.ndarray]:
        manipulation, rng = MANIPULATIONS[kind][strength], np.random.default_rng(0)
        waves = torch.cat([manipulation(x, rng) for x in torch.from_numpy(asked.waveforms).split(64)])
        waves, mels = as_recorded(waves, asked.features)
        return {"waves": waves, "mels": mels}

    found = arrays_once(work / "manipulated" / f"{kind} {strength}.npz", through)
    return Clips((found["waves"], found["mels"]), asked.machines, asked.features)


def scored_together(score: Callable[[Clips], Scores], sets: dict[str, Clips]) -> dict[str, Scores]:
    """The scores of each of the ``sets``, by one call: whoever compares with known clips embeds them once."""
    waves, mels, machines = zip(*((in_16_bits(x.waveforms), x.log_mels, x.machines) for x in sets.values()), strict=True)
    features = next(iter(sets.values())).features
    found = score(Clips((np.concatenate(waves), np.concatenate(mels)), np.concatenate(machines), features))
    ends = np.cumsum([len(part) for part in machines])
    parts = {scorer: np.split(scores, ends[:-1]) for scorer, scores in found.items()}
    return {name: {scorer: own[i] for scorer, own in parts.items()} for i, name in enumerate(sets)}


def in_16_bits(waves: np.ndarray) -> np.ndarray:
    """Waveforms (N, samples) of recordings, in ±1 or in 16 bits already."""
    return waves if waves.dtype == np.int16 else np.round(waves * 2.0**15).clip(-(2**15), 2**15 - 1).astype(np.int16)


def robustness(asked: Clips, faulty: np.ndarray, found: dict[str, Scores]) -> Records:
    """One record for each manipulation, and one for none; and one of what it makes of healthy fans.

    ``found`` are the scores of the clips ``asked``, by setting.
    """
    records, fans, clean = [], (asked.types == "fan") & ~faulty, found["none"]
    for setting, by_scorer in found.items():
        for scorer, scores in by_scorer.items():
            own = averages(scores, asked.machines, faulty) | rates(clean[scorer], scores, asked.machines, faulty)
            records.append({"study": "manipulation", "setting": setting, "scorer": scorer, **own})
            told = against_healthy(clean[scorer][fans], scores[fans], *2 * (asked.machines[fans],))
            records.append({"study": "slow", "setting": setting, "scorer": scorer, **told})
    return records


def against_healthy(healthy: np.ndarray, other: np.ndarray, theirs: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """:func:`averages` with the second scores in the place of faulty ones; of machines ``theirs`` and ``others``."""
    ill = np.repeat([False, True], [len(healthy), len(other)])
    return averages(np.concatenate([healthy, other]), np.concatenate([theirs, others]), ill)


def slow_fans(normal: Clips, speed: float) -> Clips:
    """As many clips of the fans of ``normal``, with moments that no test clip has: healthy, at this share of their speed."""
    fans = normal.only(normal.types == "fan")
    number = [FRESH + k for name in fans.names for k in range(len(fans.of(name)))]
    names = np.sort(fans.machines)
    clips = [render(name, k, split="test", nuisance={"speed": speed}) for name, k in zip(names, number, strict=True)]
    waves = torch.from_numpy(np.stack([clip.waveform for clip in clips]))[:, : normal.features.samples]
    return Clips(as_recorded(waves, normal.features), names, normal.features)


def hearing_of_slow_fans(normal: Clips, clean: Scores, slow: dict[str, Clips], found: dict[str, Scores]) -> Records:
    """One record for each speed: slow fans among the ``normal`` test clips of the fans, scored ``clean``."""
    records, fans = [], normal.types == "fan"
    for setting, by_scorer in found.items():
        for scorer, scores in by_scorer.items():
            told = against_healthy(clean[scorer][fans], scores, normal.machines[fans], slow[setting].machines)
            records.append({"study": "slow", "setting": setting, "scorer": scorer, **told})
    return records


def scores_of_added(method: methods.Detecting, model: torch.nn.Module, names: list[str], known: Clips, asked: Clips):
    """Scores (M,) of clips of machines that ``model``, of the machines ``names``, has not been trained on.

    The method is told that they are of another machine of the same type, and then of yet another one: what comes to the same
    needs no more than ``known`` clips, and None stands for what does not.
    """
    rows, new = (embedded(model, clips, device="cpu")[0] for clips in (known, asked))
    scores: dict[str, np.ndarray | None] = {}
    for machine in asked.names:
        own, here = rows[known.machines == machine], asked.machines == machine
        siblings = [i for i, name in enumerate(names) if name.split("/")[0] == machine.split("/")[0]]
        first, second = (method.judge(model, own, label) for label in siblings[:2])
        for scorer in first:
            found, other = first[scorer](new[here]), second[scorer](new[here])
            of_all = scores.setdefault(scorer, np.empty(len(asked)))
            if of_all is None or not np.allclose(found, other, rtol=1e-6):
                scores[scorer] = None
            else:
                of_all[here] = found
    return scores


def steps_of(clips: Clips, budget: StageConfig) -> int:
    """Of an epoch."""
    return plan_batches(clips.labels, budget, validation=0.0, seed=0).steps


def measure(work: Path, name: str, study: str, setting: int, seed: int, epochs: int | None) -> Records:
    """The records of one training."""
    known, asked, faulty = park(work)
    method = methods.detector(name)
    budget = method.BUDGET if epochs is None else method.BUDGET.of(epochs)
    strangers = later(known)
    used = {
        "whole": lambda: known,
        "contamination": lambda: contaminated(known, asked, faulty, setting, seed),
        "few": lambda: fewer(known, setting, seed),
        "added": lambda: known.only(~np.isin(known.machines, strangers)),
    }[study]()
    fewer_steps = len(known) / len(used) if name in BY_TYPE else steps_of(known, budget) / steps_of(used, budget)
    budget = budget.of(math.ceil(budget.epochs * fewer_steps))
    model = methods.trained(method, used, budget=budget, seed=seed, device="cpu")
    left = np.setdiff1d(np.arange(len(asked)), np.concatenate(unnoticed(known, asked, faulty, seed)))
    new = np.flatnonzero(np.isin(asked.machines, strangers))

    def score(clips: Clips) -> Scores:
        return method.score(model, used, clips, device="cpu")

    def records_of(scores: Scores, rows: np.ndarray, study: str, setting: int | str) -> Records:
        about = {"study": study, "setting": setting}
        return [
            {**about, "scorer": scorer, **averages(values[rows], asked.machines[rows], faulty[rows])}
            for scorer, values in scores.items()
        ]

    if study == "added":
        answers = scores_of_added(method, model, used.names, known.only(np.isin(known.machines, strangers)), asked.only(new))
        about = {"study": study, "setting": "later"}
        return [
            {**about, "scorer": scorer, "reason": UNKNOWN}
            if scores is None
            else {**about, "scorer": scorer, **averages(scores, asked.machines[new], faulty[new])}
            for scorer, scores in answers.items()
        ]
    if study == "contamination":
        return records_of(score(asked), left, study, setting)
    if study == "few":
        return records_of(score(asked), np.arange(len(asked)), study, setting)
    through = {f"{kind} {strength}": manipulated(work, asked, kind, strength) for kind, strength in TRIED}
    slow = {f"speed {speed}": slow_fans(asked.only(~faulty), speed) for speed in SPEEDS}
    found = scored_together(score, {"none": asked} | through | slow)
    scores, of_slow = found["none"], {setting: found.pop(setting) for setting in slow}
    healthy = {scorer: own[~faulty] for scorer, own in scores.items()}
    return [
        *robustness(asked, faulty, found),
        *hearing_of_slow_fans(asked.only(~faulty), healthy, slow, of_slow),
        *records_of(scores, left, "contamination", 0),
        *records_of(scores, np.arange(len(asked)), "few", max(COUNTS)),
        *records_of(scores, new, "added", "known"),
    ]


def job(work: Path, name: str, study: str, setting: int, seed: int, epochs: int | None) -> Records:
    """:func:`measure`, once; a method that cannot is a record that says why."""

    def measured() -> Records:
        try:
            found = measure(work, name, study, setting, seed, epochs)
        except AsdError as error:
            found = [{"study": study, "setting": setting, "scorer": None, "reason": str(error)}]
        nothing = dict.fromkeys(("auc", "pauc", "mauc", *RATES, "reason"))
        return [{"method": name, "seed": seed, **nothing, **record} for record in found]

    file = f"{name.replace('/', ' ')}-{study}-{setting}-{seed}-{epochs or 'own'}.json"
    try:
        records = once(work / "jobs" / file, measured)
    except Exception:  # one job must not cost the others their result
        print(f"{name}, seed {seed}: {study} {setting or ''} FAILED\n{traceback.format_exc()}", flush=True)
        return []
    print(f"{name}, seed {seed}: {study} {setting or ''}", flush=True)
    return records


def hearing() -> list[str]:
    """The methods that read sound."""
    return [name for name in methods.every_name() if "sound" in methods.get(name).INPUTS]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], seeds=3)
    parser.add_argument("--methods", nargs="+", default=hearing(), metavar="METHOD", help="(default: all that read sound)")
    parser.add_argument(
        "--again", nargs="+", metavar="METHOD", help="those with every seed, others have the first (default: all)"
    )
    parser.add_argument("--epochs", type=int, help="of each training (default: as each method's BUDGET has it)")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the result")
    options = parser.parse_args()
    _, asked, _ = park(options.work)
    for kind, strength in TRIED:  # before there are several processes
        manipulated(options.work, asked, kind, strength)
    again = options.methods if options.again is None else options.again
    rounds = [options.methods, *[again for _ in options.seeds[1:]]]
    cases = [(name, *job, seed) for seed, names in zip(options.seeds, rounds, strict=True) for name in names for job in JOBS]
    jobs = [(options.work, *case, options.epochs) for case in cases]
    run: Callable[..., list] = partial(side_by_side, processes=options.processes)
    if options.processes == 1:
        run = lambda function, every: [function(*one) for one in every]  # noqa: E731
    found = run(job, jobs)
    records = [record for own in found for record in own]
    more = f" --again {' '.join(again)}" if options.again is not None else ""
    seeds, epochs = " ".join(map(str, options.seeds)), f" --epochs {options.epochs}" if options.epochs else ""
    header = {
        "what": SIMULATED,
        "command": f"python benchmarks/stress.py WORK --seeds {seeds}{epochs} --methods {' '.join(options.methods)}{more}",
        "epochs": {name: options.epochs or methods.detector(name).BUDGET.epochs for name in options.methods},
        "versions": {package: version(package) for package in ("asdlib", "torch", "numpy", "scikit-learn")},
        "unit": "fractions; auc, McClish-standardised pauc at a false-positive rate of 0.1 and mauc (the AUC of a type's worst "
        "machine), averages over the machine types; false_alarms, found, found_anew: means over the machines",
        "settings": {
            "slow": "share of the speed, or a manipulation",
            "contamination": "% of the training clips",
            "few": "training clips of a machine",
            "added": later(asked),
        },
    }
    write("stress", header, records, folder=options.out)
    if failed := sum(not own for own in found):
        sys.exit(f"{failed} jobs failed, see above: their records are missing")


if __name__ == "__main__":
    main()
