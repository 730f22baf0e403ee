"""What the playground of the book's pages finds, over seeds: temperature, batch, margin, one stage against two.

    python benchmarks/playground.py WORK [--seeds 0 1 2 3 4]

Runs the page's own scripts (``asdlib/show/js/play``) in node, on the clips that the pages have: the 16 machines of four types
of the simulated park, 64 numbers a clip. One setting is changed at a time. Writes ``data/results/playground.json``: a header
and a list of records {changed, method, temperature, margin, batch, seed, loss, right, own, other, distance, surprise}: loss of
the last ten training batches; of the new healthy clips the share nearest to their own machine, and the median angles (degrees)
to that and to the nearest other; AUC of the faults, mean over the machines, by distance and by surprise. The header has the
steps a second, too.

Temperature, margin and scale are the method's. The 64 numbers were chosen by hand, of eight small inputs, as those by which new
healthy clips are named best; their AUCs were seen, too, so these AUCs show how the losses work and are no evidence of more.
"""

import json
import subprocess
import sys
from functools import partial

import numpy as np
from results import SIMULATED, arguments, once, park_clips, write

from asdlib.cache import features_now
from asdlib.evaluation import auc
from asdlib.playground import CHOICES, SETTINGS, packed, scripts, small_spectra
from asdlib.run import PRESETS

TYPES = ("fan", "pump", "slider", "valve")
GRID = (  # what is changed, and for which methods
    ("temperature", ("stage 1 alone",)),
    ("batch", ("stage 1 alone",)),
    ("margin", ("one stage", "two stages")),
)
# Reads {clips, settings: [...]} and writes a line for each run: how it ends, and how fast it was.
DRIVER = """
const asked = JSON.parse(require("fs").readFileSync(0)), clips = asdplay.unpacked(asked.clips);
for (const settings of asked.settings) {
  const training = asdplay.training(clips, settings), begun = process.cpuUsage();
  for (let i = 0; i < settings.steps - 10; i++) training.next();
  const { user } = process.cpuUsage(begun);
  training.look();
  for (let i = 0; i < 10; i++) training.next();
  const { loss, right, own, other, distances, surprises } = training.look();
  const scores = { distance: Array.from(distances), surprise: surprises && Array.from(surprises) };
  console.log(JSON.stringify({ loss, right, own, other, ...scores, speed: 1e6 * (settings.steps - 10) / user }));
}
"""


def clips_of_the_pages(work) -> dict:
    """The clips as the pages have them."""
    parts, truth = [], []
    for clips in park_clips(work):
        chosen = [clip for clip in clips if clip.machine_type in TYPES]
        x = small_spectra(features_now(chosen, PRESETS["book"].features).log_mels)
        parts.append((x, [clip.machine for clip in chosen]))
        truth = [clip.label == "anomaly" for clip in chosen]
    return packed(*parts, truth)


def mean_auc(clips: dict, scores: list[float] | None) -> float | None:
    """The AUC of each machine's faults, and their mean."""
    if scores is None:
        return None
    labels, truth, scores = (np.array(x) for x in (clips["asked"]["labels"], clips["asked"]["faulty"], scores))
    return round(float(np.mean([auc(truth[labels == k], scores[labels == k]) for k in range(clips["machines"])])), 5)


def measure(clips: dict, changed: str, methods: tuple[str, ...], seed: int) -> list[dict]:
    """The records of one thing changed, with one seed."""
    settings = [SETTINGS | {"method": m, changed: value, "seed": seed} for m in methods for value in CHOICES[changed].values]
    task = json.dumps({"clips": clips, "settings": settings})
    done = subprocess.run(["node", "-e", scripts() + DRIVER], input=task, capture_output=True, text=True, check=True)
    records = []
    for own, line in zip(settings, done.stdout.splitlines(), strict=True):
        found = json.loads(line)
        kept = {name: own[name] for name in ("method", "temperature", "margin", "batch", "seed")}
        numbers = {name: round(found[name], 4) for name in ("loss", "right", "own", "other", "speed")}
        aucs = {name: mean_auc(clips, found[name]) for name in ("distance", "surprise")}
        records.append({"changed": changed} | kept | numbers | aucs)
    return records


def main() -> None:
    options = arguments(__doc__.splitlines()[0], seeds=5).parse_args()
    clips, records = clips_of_the_pages(options.work), []
    for seed in options.seeds:
        for changed, methods in GRID:
            path = options.work / f"playground {changed} {seed}.json"
            records += once(path, partial(measure, clips, changed, methods, seed))
            print(f"{changed}, seed {seed}", flush=True)
    speeds = [record.pop("speed") for record in records]
    ordinary = [speed for speed, one in zip(speeds, records, strict=True) if one["batch"] == SETTINGS["batch"]]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    header = {
        "what": SIMULATED,
        "command": f"python benchmarks/playground.py WORK --seeds {' '.join(map(str, options.seeds))}",
        "settings": SETTINGS,
        "steps per second of one core, batch of 64": round(float(np.median(ordinary))),
        "versions": {"node": node, "python": sys.version.split()[0]},
        "unit": "fractions; angles in degrees",
    }
    write("playground", header, records)


if __name__ == "__main__":
    main()
