"""The page of a comparison: the leaderboard to work with, and the clips to be heard.

One HTML file that opens from disk.
"""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asdlib.files import atomic_write
from asdlib.show.board import Heard, board, shares_below, worth_hearing
from asdlib.sound.clips import Clips, in_unit
from asdlib.use.jobs import EXAMPLES, Job
from asdlib.use.results import read

STYLE = """
body { font-family: system-ui, sans-serif; color: #222; background: #fff; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; line-height: 1.5; }
h1 { overflow-wrap: anywhere; }
"""


def heard(
    found: Mapping[str, Any],
    folder: Path,
    jobs: Sequence[Job],
    asked: Clips,
    labels: np.ndarray,
    files: Sequence[str],
) -> list[Heard]:
    """The faulty clips of which the methods think most differently, of each machine.

    ``found`` is the leaderboard of finished ``jobs``, ``asked`` are the N test clips,
    ``labels`` (N,) and ``files`` (N) what they are. None of spectra.
    """
    if asked.features is None:
        return []
    scorer = {
        (row["method"], row["budget"]): row["scorer"]
        for row in found["rows"]
        if "error" not in row
    }
    scores: dict[tuple[str, str], list[np.ndarray]] = {}
    for job in jobs:
        key = job.method, job.budget
        if key in scorer:
            kept = read(job.path(folder)).scores[scorer[key]]
            scores.setdefault(key, []).append(kept)
    clips = []
    for machine in asked.names:
        own = np.flatnonzero((asked.machines == machine) & (labels != "unknown"))
        healthy = labels[own] == "normal"
        if healthy.all() or not healthy.any():
            continue
        below = {
            key: shares_below(np.stack(rows)[:, own], healthy)[~healthy]
            for key, rows in scores.items()
        }
        faulty = own[~healthy]
        first = {key[0]: x for key, x in below.items() if key[1] == EXAMPLES}
        for place in worth_hearing(first).tolist():
            above: dict[str, dict[str, float]] = {}
            for (method, budget), shares in below.items():
                above.setdefault(budget, {})[method] = round(float(shares[place]), 3)
            row = int(faulty[place])
            wave = in_unit(np.asarray(asked.waveforms[row]))
            clips.append(Heard(machine, Path(files[row]).name, wave, above))
    return clips


def write_page(
    found: Mapping[str, Any], clips: Sequence[Heard], path: Path, *, sample_rate: int
) -> None:
    """Write the page with the leaderboard ``found`` and the ``clips`` to ``path``.

    ``sample_rate`` (Hz) is that of the clips.
    """
    widget = board(found, clips, sample_rate=sample_rate)
    data = html.escape(str(found["data"]))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Methods compared on {data}</title><style>{STYLE}</style></head><body>
<h1>Methods compared on {data}</h1>
<p>{found["clips"]} test clips, {len(found["seeds"])} seeds. AUC, pAUC and mAUC are
means over the machine types, with their spread over the seeds; the interval is that of
other clips and other seeds. Nothing was chosen on these clips, and whoever now takes
the first of the list has done so: its figures are flattered. Choose a method to hear
what it finds and the others miss.</p>
{widget._repr_html_()}
</body></html>
"""
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
