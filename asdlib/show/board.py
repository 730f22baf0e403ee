"""The leaderboard to work with: sort it, choose a method, hear what it alone finds."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asdlib.errors import AsdError
from asdlib.show.explore import PLAYER
from asdlib.show.spectrogram import top_of
from asdlib.show.widget import Widget, mp3

if TYPE_CHECKING:  # it imports torch
    from asdlib.sound.clips import Clips

EACH = 5  # clips of a machine that can be heard


@dataclass(frozen=True)
class Heard:
    """A faulty test clip: its ``machine``, what it is, its sound (samples,) in ±1.

    ``above`` says for each method, by budget, which share of the machine's healthy test
    clips scores below it, 0 to 1.
    """

    machine: str
    text: str
    waveform: np.ndarray
    above: dict[str, dict[str, float]]


def worth_hearing(above: Mapping[str, np.ndarray], *, each: int = EACH) -> np.ndarray:
    """Places (n,) of the clips that each method finds or misses alone, if it can be.

    ``above`` (N,) are shares in % by method, of N faulty clips of one machine. A clip
    shows a method by how far it is from the mean of the others, upwards or downwards;
    the next clip is always the one that shows most which the clips so far do not.

    >>> worth_hearing({"a": np.array([50, 90]), "b": np.array([50, 10])}, each=1)
    array([1])
    """
    table = np.array(list(above.values()), float)
    others = (table.sum(axis=0) - table) / max(1, len(table) - 1)
    shown = np.maximum(np.concatenate([table - others, others - table]), 0)  # (2 n, N)
    chosen: list[int] = []
    best = np.zeros((len(shown), 1))
    while len(chosen) < min(each, table.shape[1]):
        more = np.maximum(shown - best, 0).sum(axis=0)
        more[chosen] = -1
        chosen.append(int(np.argmax(more)))
        best = np.maximum(best, shown[:, chosen[-1:]])
    return np.array(chosen, int)


def heard(
    found: Mapping[str, Any],
    asked: "Clips",
    labels: np.ndarray,
    files: Sequence[str],
    *,
    each: int = EACH,
) -> list[Heard]:
    """The faulty clips that show best what each method finds or misses alone.

    ``found`` is a leaderboard on the N test clips ``asked``; ``labels`` (N,) and
    ``files`` (N) say what they are. ``each`` clips of a machine; none of spectra.
    """
    from asdlib.sound.clips import in_unit

    if asked.features is None:
        return []
    above = {
        (budget, method): np.array(shares.split(), int)
        for budget, of_method in found["above"].items()
        for method, shares in of_method.items()
    }
    budget = next(iter(found["above"]))
    clips = []
    for machine in asked.names:
        faulty = np.flatnonzero((asked.machines == machine) & (labels == "anomaly"))
        first = {key[1]: x[faulty] for key, x in above.items() if key[0] == budget}
        if not len(faulty) or (first[next(iter(first))] < 0).any():
            continue
        for row in faulty[worth_hearing(first, each=each)].tolist():
            shares: dict[str, dict[str, float]] = {}
            for (of_budget, method), x in above.items():
                shares.setdefault(of_budget, {})[method] = int(x[row]) / 100
            wave = in_unit(np.asarray(asked.waveforms[row]))
            clips.append(Heard(machine, Path(files[row]).name, wave, shares))
    return clips


def board(
    found: Mapping[str, Any], clips: Sequence[Heard] = (), *, sample_rate: int = 16000
) -> Widget:
    """The leaderboard ``found`` as a picture to work with, and ``clips`` to be heard.

    ``found`` is what :func:`asdlib.use.leaderboard.leaderboard` gives. Without clips
    there is nothing to hear, as with spectra. Raises :class:`AsdError` where no method
    has any figures.
    """
    rows = [row for row in found["rows"] if "error" not in row]
    if not rows:
        raise AsdError("no method has been compared: there is nothing to show")
    budgets = list(dict.fromkeys(row["budget"] for row in rows))
    titles = {
        "examples": f"the same clips seen ({found['epochs']} times; few, more often)",
        "seconds": f"the same time ({found['seconds'] or 0:g} s of a core)",
    }
    machines = sorted({clip.machine for clip in clips}, key=lambda m: m.split("/"))
    data = {
        "rows": [_row(row, found) for row in rows],
        "budgets": [[name, titles[name]] for name in budgets],
        "ranks": {
            name: {key: about[key] for key in ("distance", "p", "blocks")}
            for name, about in found["ranking"].items()
        },
        "sounds": [
            {
                "machine": clip.machine,
                "text": clip.text,
                "above": clip.above,
                "sound": mp3(clip.waveform, sample_rate),
            }
            for clip in clips
        ],
        "top": top_of(clip.waveform for clip in clips) if clips else 0,
        "against": _against(rows),
        "seeds": len(found["seeds"]),
    }
    options = "".join(f"<option>{html.escape(name)}</option>" for name in machines)
    hearing = f"""
<p class="controls"><label>machine
<select class="machines">{options}</select></label></p>
<div class="lists"><div><h4>Found by it, by few others</h4><ol class="finds"></ol></div>
<div><h4>Missed by it, found by others</h4><ol class="misses"></ol></div></div>
<p class="rule">Listed is a clip of which the method and the mean of the others are at
least 20 percentage points of the healthy clips of its machine apart.</p>
<p class="told" role="status"></p>{PLAYER}"""
    absent = "".join(
        f"<p>{html.escape(name.replace('_', '-'))}: n/a, {html.escape(why)}</p>"
        for name, why in absent_from(found).items()
    )
    body = f"""
<div class="controls"><fieldset class="budgets"><legend>Budget</legend></fieldset></div>
<div class="panels"><div class="scroll"><table class="standings">
<thead><tr></tr></thead><tbody></tbody></table><p class="sure"></p>{absent}</div>
<figure><svg class="cost" viewBox="0 0 440 300" role="img"></svg>
<figcaption>AUC and time, to train and to score the test clips. Filled: no other
method is better in less time. In the table: weights in thousands, products (that are
added) of one clip in millions.</figcaption></figure>
<figure><svg class="ranks" role="img"></svg><figcaption class="apart"></figcaption>
</figure></div>
<div class="about"><h3></h3><p class="idea"></p>{hearing if clips else ""}</div>"""
    best = max(rows, key=lambda row: row["auc"][0])
    return Widget(
        "board",
        body,
        data,
        label=f"Leaderboard of {len({row['method'] for row in rows})} methods",
        text="\n".join(
            f"{row['method']}, {row['budget']}: AUC {100 * row['auc'][0]:.1f} %"
            for row in [best, *(row for row in rows if row is not best)]
        ),
    )


def absent_from(found: Mapping[str, Any]) -> dict[str, str]:
    """Methods that have no figures on a board, and why: what they read, or an error."""
    failed = {row["method"]: row["error"] for row in found["rows"] if "error" in row}
    return {**found.get("absent", {}), **failed}


def _against(rows: Sequence[Mapping[str, Any]]) -> str:
    """The method that the others are held against; "" where there is none."""
    names = (row["difference"]["against"] for row in rows if "difference" in row)
    return next(names, "").replace("_", "-")


def _row(row: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What the page needs of a row, figures in %."""
    ranks = found["ranking"].get(row["budget"], {}).get("ranks", {})
    figures = {
        key: [round(100 * x, 2) for x in row[key]]
        for key in ("auc", "pauc", "mauc", "rehearsal")
        if key in row
    }
    costs = row["costs"]
    gain = row.get("difference")
    if gain:
        figures["gain"] = [round(100 * gain[key], 2) for key in ("mean", "low", "high")]
    return {
        "method": row["method"].replace("_", "-"),
        "key": row["method"],
        "budget": row["budget"],
        "name": row["name"],
        "idea": row["idea"],
        "paper": row["paper"],
        "scorer": row["scorer"],
        **figures,
        "interval": [round(100 * x, 2) for x in row["interval"]],
        "intervals": {
            key: [round(100 * x, 2) for x in ends]
            for key, ends in row["intervals"].items()
        },
        "rank": round(ranks[row["method"]], 2) if row["method"] in ranks else None,
        "p": gain["p"] if gain else 1,
        "train": round(costs["train"], 1),
        "seconds": round(costs["train"] + costs["score"], 1),
        "macs": round(costs.get("macs", 0) / 1e6, 1),
        "parameters": int(costs["parameters"]),
        "memory": round(costs["memory"]),
    }
