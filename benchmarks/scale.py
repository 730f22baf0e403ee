"""How time and memory of the memory bank grow with its clips, on simulated rows.

    python benchmarks/scale.py [--most 100000 --dim 128]

Of 1,000, 3,000, 10,000 ... clips of one machine: fitting each scorer; scoring a window of a stream with what is fitted, and as
if it were fitted anew; the scores of all training clips by cross-validation, which every training ends with; and leaving out 99
of 100 clips. The rows lie around a hundred centres, as clips of conditions that come back. One thread. Writes
``data/results/scale.json``: a header and a list of records {part, scorer, clips, seconds, megabytes}: CPU seconds, the median
of three where a call takes less than one, and the peak of what the call allocates beside its rows. The exponent that is printed
says that seconds grow with clips to the power of it, by the two largest sizes.
"""

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import numpy as np
import pandas as pd
from results import write

from asdlib.normalise import knn_local
from asdlib.plain import plain_local
from asdlib.scorers import EMBEDDING_SCORERS, FITS, cross_scores
from asdlib.thin import METHODS, thinned

SCORERS = {**EMBEDDING_SCORERS, "knn-local": knn_local, "plain local": plain_local}
SHARE = 0.01  # of the clips that are kept


def rows_of(clips: int, dim: int) -> np.ndarray:
    """Rows (clips, dim) float32 around a hundred centres."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(100, dim))
    return (centres[rng.integers(100, size=clips)] + 0.5 * rng.normal(size=(clips, dim))).astype(np.float32)


def measured(function: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of a call, and the peak of what it allocates in MB."""
    times, peaks = [], []
    while not times or (times[0] < 1 and len(times) < 3):
        tracemalloc.start()
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    return statistics.median(times), max(peaks)


def parts(rows: np.ndarray) -> dict[tuple[str, str], Callable[[], object]]:
    """What is measured, by part and scorer."""
    found: dict[tuple[str, str], Callable[[], object]] = {}
    for name, scorer in SCORERS.items():
        found["fit", name] = partial(FITS[scorer], rows)
        found["window, fitted", name] = partial(FITS[scorer](rows), rows[:1])
        found["window, fitted anew", name] = partial(scorer, rows, rows[:1])
        found["cross scores", name] = partial(cross_scores, scorer, rows)
    for method in METHODS:
        found["thinning", method] = partial(thinned, rows, round(SHARE * len(rows)), method)
    return found


def told(records: list[dict]) -> pd.DataFrame:
    """A row a part and scorer: seconds by size, megabytes at the largest, and the exponent."""
    table = pd.DataFrame(records).set_index(["part", "scorer", "clips"]).unstack("clips")
    seconds, megabytes = table["seconds"], table["megabytes"]
    before, most = seconds.columns[-2:] if len(seconds.columns) > 1 else [seconds.columns[0]] * 2
    exponent = np.log(seconds[most] / seconds[before]) / np.log(most / before) if most > before else np.nan
    return seconds.assign(MB=megabytes[most].round(1), exponent=exponent).sort_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=100_000, help="clips of the largest size, e.g. 1000000")
    parser.add_argument("--dim", type=int, default=128, help="numbers of a clip")
    options = parser.parse_args()
    records = []
    for clips in (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000):
        if clips > options.most:
            break
        for (part, scorer), function in parts(rows_of(clips, options.dim)).items():
            seconds, megabytes = measured(function)
            about = {"part": part, "scorer": scorer, "clips": clips}
            records.append({**about, "seconds": round(seconds, 5), "megabytes": round(megabytes, 1)})
            print(*records[-1].values(), flush=True)
    with pd.option_context("display.width", 128, "display.float_format", "{:.4g}".format):
        print(told(records).to_string())
    header = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/scale.py --most {options.most} --dim {options.dim}",
        "versions": {package: version(package) for package in ("asdlib", "numpy", "scikit-learn")},
        "unit": "CPU seconds of one thread; megabytes of 10^6 bytes, beside the rows",
    }
    write("scale", header, records)


if __name__ == "__main__":
    main()
