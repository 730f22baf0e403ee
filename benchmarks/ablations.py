"""What matters in the two stages? One thing changed at a time, on the simulated park.

    python benchmarks/ablations.py WORK [--seeds 0 1 2]

Every setting is trained with 8 + 8 epochs, half of the preset ``book``, because there are many; with fewer clips for about as
many steps, and a single stage for 16 epochs. Writes ``data/results/park_ablations.json``: a header and a list of records
{study, setting, scorer, seed, machine, auc, pauc}. About 20 minutes a seed on two cores. Runs that this code has finished in
WORK are not trained again.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from results import FRACTIONS, SIMULATED, arguments, machine_records, park_clips, write

from asdlib.detector import train
from asdlib.evaluation import SCORERS
from asdlib.run import PRESETS

BOOK = replace(PRESETS["book"], least_steps=0)  # epochs as they are said
SHORT = replace(BOOK, pretrain=BOOK.pretrain.of(8), finetune=BOOK.finetune.of(8))
ALL = 60  # training clips of each machine in the park


def with_few(clips: int, stages: int):
    """As many steps as ``SHORT`` has, on so many clips of each machine, in one stage or two."""
    more = 8 * ALL // clips
    if stages == 1:
        return replace(BOOK, pretrain=None, finetune=BOOK.finetune.of(2 * more))
    return replace(BOOK, pretrain=BOOK.pretrain.of(more), finetune=BOOK.finetune.of(more))


STUDIES = {
    "temperature": {f"{t:g}": replace(SHORT, temperature=t) for t in (0.05, 0.1, 0.5)},
    "self term": {
        "left out": SHORT,
        "in the denominator": replace(SHORT, self_in_denominator=True),
    },
    "batches of stage 1": {
        "any 64 clips": SHORT,
        "4 clips each of 16 machines": replace(SHORT, pretrain=replace(SHORT.pretrain, clips_per_label=4)),
    },
    "margin": {f"{m:g}": replace(SHORT, margin=m) for m in (0.0, 1.0)},
    "machines trained together": {"all 23": SHORT, "one type at a time": SHORT},
    "clips of each machine": {
        f"{clips}, {word}": with_few(clips, stages)
        for clips in (10, 30, ALL)
        for word, stages in (("one stage", 1), ("two stages", 2))
    },
}


def some_of_each(clips, count: int, seed: int):
    """``count`` training clips of each machine, drawn by ``seed``, and all test clips."""
    rng = np.random.default_rng([seed, 3])
    kept = [clip for clip in clips if clip.split == "test"]
    for machine in sorted({clip.machine for clip in clips}):
        own = [clip for clip in clips if clip.machine == machine and clip.split == "train"]
        kept += [own[i] for i in rng.permutation(len(own))[:count]]
    return kept


def tables(clips, setting: str, config, work: Path, name: str):
    """The scores of all test clips: from one run, or from one run for each machine type."""
    if " stage" in setting:
        clips = some_of_each(clips, int(setting.split(",")[0]), config.seed)
    types = sorted({clip.machine_type for clip in clips})
    groups = [[machine_type] for machine_type in types] if setting == "one type at a time" else [types]
    for group in groups:
        own = [clip for clip in clips if clip.machine_type in group]
        run = work / (name if len(group) > 1 else f"{name}-{group[0]}")
        yield train(own, run, config, resume=True).score_clips([clip for clip in own if clip.split == "test"])


def main():
    options = arguments(__doc__.splitlines()[0], seeds=3).parse_args()
    training, test = park_clips(options.work)
    clips = training + test
    results = []
    for seed in options.seeds:
        for study, settings in STUDIES.items():
            for setting, config in settings.items():
                config = replace(config, seed=seed)
                unchanged = config == replace(SHORT, seed=seed) and setting != "one type at a time"
                name = f"short-{seed}" if unchanged else f"{study}-{setting}-{seed}".replace(" ", "_").replace(",", "")
                for table in tables(clips, setting, config, options.work, name):
                    for scorer in SCORERS:
                        about = {"study": study, "setting": setting, "scorer": scorer, "seed": seed}
                        results += machine_records(table.assign(score=table[scorer]), **about)
                print(seed, study, setting, "done", flush=True)
    header = {
        "what": SIMULATED,
        "command": "python benchmarks/ablations.py WORK --seeds " + " ".join(map(str, options.seeds)),
        "epochs": "8 + 8, half of the preset book; few clips have about as many steps, one stage has 16 epochs",
        "unit": FRACTIONS,
    }
    write("park_ablations", header, results)


if __name__ == "__main__":
    main()
