"""Pictures to work with: the audible embedding map, the threshold room and the blind
ear test.

Each is one :class:`asdlib.show.widget.Widget`, with its sounds inlined, so that it
works in Jupyter and in a page opened from disk. The spectrograms of the clips of one
picture share their colours, as :mod:`asdlib.show.spectrogram` says.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.metrics import auc
from asdlib.show.plots import machine_colours
from asdlib.show.spectrogram import top_of
from asdlib.show.widget import Widget, mp3, seen

# The shapes of the map, drawn around (0, 0), told apart without colour.
SHAPES = (
    "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0",  # circle
    "M0,-6L5.5,4.5L-5.5,4.5Z",  # triangle
    "M-4.5,-4.5h9v9h-9Z",  # square
    "M0,-6.5L6,0L0,6.5L-6,0Z",  # diamond
    "M-5.5,-4.5L5.5,-4.5L0,6Z",  # triangle, point down
    "M-2,-6h4v4h4v4h-4v4h-4v-4h-4v-4h4Z",  # plus
)
WIDTH, HEIGHT, MARGIN = 640, 440, 18
RATINGS = (
    "surely healthy",
    "rather healthy",
    "cannot say",
    "rather faulty",
    "surely faulty",
)
# Filled by the page's script: the spectrogram of the chosen clip above its sound.
PLAYER = f"""<div class="player">
{
    seen(
        '<canvas role="img" aria-label="Spectrogram of the chosen clip"></canvas>',
        "Position",
        10,
        16000,
    )
}
<audio controls aria-label="The chosen clip"></audio></div>"""
SCALED = 'style="width:100%;height:auto"'


def audible_map(
    stages: Mapping[str, np.ndarray],
    waveforms: Sequence[np.ndarray],
    machines: Sequence[str],
    texts: Sequence[str],
    *,
    notes: Mapping[str, str] | None = None,
    faulty: Sequence[bool] | None = None,
    sample_rate: int = 16000,
) -> Widget:
    """Points of N clips in the plane, one clip a point.

    Look at one to read its text, click it to hear it. ``stages`` maps a name
    ("untrained", "after stage 1", ...) to points (N, 2); a control moves the points
    from stage to stage. ``waveforms`` are N arrays (samples,) in ±1. ``machines`` (N
    names ``type/id``) give shape (type) and colour (ID), ``texts`` (N) say what each
    clip is, ``notes`` a sentence for each stage. ``faulty`` clips (N booleans) are
    drawn hollow. Raises :class:`AsdError` where lengths differ, where there is nothing
    to show, or for points that are not finite.
    """
    n = len(waveforms)
    if not n or not stages:
        raise AsdError(
            "a map needs one clip and one stage at least: give points and waveforms"
        )
    hollow = [False] * n if faulty is None else [bool(x) for x in faulty]
    lists = {"machines": machines, "texts": texts, "faulty": hollow}
    for name, rows in {**stages, **lists}.items():
        if len(rows) != n:
            raise AsdError(
                f"{name!r} has {len(rows)} rows for {n} clips: give one for each clip"
            )
    for name, points in stages.items():
        if np.shape(points) != (n, 2) or not np.isfinite(points).all():
            raise AsdError(
                f"the points of {name!r} are not {n} finite pairs: "
                f"give an array ({n}, 2)"
            )
    places = {name: _fitted(np.asarray(x, dtype=float)) for name, x in stages.items()}
    mark = machine_marks(machines)
    points_of_first = "".join(
        f'<g class="point" role="button" tabindex="{0 if i == 0 else -1}"'
        f' aria-label="{html.escape(texts[i])}"'
        f' style="transform:translate({x}px,{y}px)"'
        f' data-type="{html.escape(machines[i].split("/")[0])}">'
        f"<title>{html.escape(texts[i])}</title>{mark(machines[i], hollow[i])}</g>"
        for i, (x, y) in enumerate(next(iter(places.values())))
    )
    sample = '<svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">'
    legend = "".join(
        f"<span>{sample}{mark(machine, False)}</svg> {html.escape(machine)}</span>"
        for machine in sorted(set(machines), key=lambda machine: machine.split("/"))
    )
    types = sorted({machine.split("/")[0] for machine in machines})
    choices = "".join(f"<option>{html.escape(kind)}</option>" for kind in types)
    told = "<p>Filled: healthy. Hollow: faulty.</p>" if any(hollow) else ""
    name = f"Map of {n} clips; arrow keys move from point to point, Enter plays"
    body = f"""
<div class="controls"><fieldset class="stages"></fieldset>
<label>zoom in on <select class="types"><option value="">all types</option>{choices}
</select></label></div>
<p class="note" aria-live="polite"></p>
<svg class="frame" viewBox="0 0 {WIDTH} {HEIGHT}" role="group"
 aria-label="{name}">{points_of_first}</svg>
<p class="told" aria-live="polite">Click a point to hear its clip.</p>
{PLAYER}
<div class="legend">{legend}</div>{told}"""
    data = {
        "stages": {name: points.tolist() for name, points in places.items()},
        "size": [WIDTH, HEIGHT],
        "margin": MARGIN,
        "notes": dict(notes or {}),
        "texts": list(texts),
        "sounds": [mp3(x, sample_rate) for x in waveforms],
        "top": top_of(waveforms),
    }
    words = f"[map of {n} clips of {len(set(machines))} machines: {', '.join(stages)}]"
    return Widget("map", body, data, label=f"Audible map of {n} clips", text=words)


def machine_marks(machines: Sequence[str]) -> Callable[[str, bool], str]:
    """What draws the mark of a machine, filled or not: shape is type, colour is ID."""
    types = sorted({machine.split("/")[0] for machine in machines})
    colours = machine_colours(machines)

    def mark(machine: str, hollow: bool) -> str:
        shape = SHAPES[types.index(machine.split("/")[0]) % len(SHAPES)]
        kind, inked = ("hollow", "stroke") if hollow else ("filled", "fill")
        return f'<path class="{kind}" d="{shape}" {inked}="{colours[machine]}"/>'

    return mark


def _fitted(points: np.ndarray) -> np.ndarray:
    """Points as places in the picture, whole pixels; the y axis points down there."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    scaled = (points - low) / np.where(span > 0, span, 1) * room + MARGIN
    scaled[:, 1] = HEIGHT - scaled[:, 1]
    return np.round(scaled).astype(int)


def threshold_room(
    machines: Mapping[str, Mapping[str, Sequence[Any]]], *, sample_rate: int = 16000
) -> Widget:
    """Move an alarm threshold over the scores of test clips and see what it does.

    Click a clip in the histogram to hear it. ``machines`` maps a machine's name to
    ``scores`` (N,), ``faulty`` (N booleans), ``texts`` (N) and ``waveforms`` (N arrays
    (samples,) in ±1). Shown are the confusion counts, the ROC curve with the pAUC area
    up to a false-alarm rate of 0.1, and the mean cost of a recording for a chosen share
    of faulty ones and price of a miss. Raises :class:`AsdError` as
    :func:`asdlib.judge.metrics.auc`, and where there is no machine or lengths differ.
    """
    if not machines:
        raise AsdError(
            "no machine to set a threshold for: give the scores of one at least"
        )
    data = {}
    for name, table in machines.items():
        scores = table["scores"]
        # Refuses what no ROC curve can be drawn of.
        auc(np.asarray(table["faulty"], dtype=int), scores)
        for part in ("texts", "waveforms"):
            if len(table[part]) != len(scores):
                raise AsdError(
                    f"{name} has {len(table[part])} {part} for {len(scores)} scores: "
                    "give one a clip"
                )
        data[name] = {
            "scores": [float(f"{score:.12g}") for score in scores],
            "faulty": [bool(x) for x in table["faulty"]],
            "texts": list(table["texts"]),
            "sounds": [mp3(x, sample_rate) for x in table["waveforms"]],
            "top": top_of(table["waveforms"]),
        }
    options = "".join(f"<option>{html.escape(name)}</option>" for name in data)
    keys = "one block a clip; arrow keys move from clip to clip, Enter plays"
    body = f"""
<div class="controls">
<label>machine <select class="machine">{options}</select></label></div>
<div class="panels">
<div><svg class="histogram" viewBox="0 0 420 260" role="group"
 aria-label="Histogram of scores, {keys}" {SCALED}></svg></div>
<div><svg class="roc" viewBox="0 0 300 260" role="img"
 aria-label="ROC curve" {SCALED}></svg></div>
</div>
<label style="display:block">alarm threshold
<input class="threshold" type="range" min="0" max="1000" value="500"></label>
<table><tbody>
<tr><th scope="row">threshold</th><td class="at"></td></tr>
<tr><th scope="row">faulty: alarm (found) / no alarm (missed)</th>
<td class="found"></td></tr>
<tr><th scope="row">healthy: alarm (false alarm) / no alarm</th>
<td class="false"></td></tr>
<tr><th scope="row">false-alarm rate / detection rate</th><td class="rates"></td></tr>
<tr><th scope="row">AUC / pAUC (up to 10 % false alarms)</th>
<td class="areas"></td></tr>
<tr><th scope="row">cost of 1,000 recordings</th><td class="cost"></td></tr>
</tbody></table>
<div class="controls"><label>faulty recordings in 1,000
<input class="rare" type="number" min="0" max="1000" value="10"></label>
<label>a missed fault costs as much as
<input class="price" type="number" min="0" value="50"> false alarms</label></div>
<p class="told" aria-live="polite">Click a block to hear its clip.</p>
{PLAYER}"""
    words = f"[threshold room: {', '.join(machines)}]"
    return Widget("threshold", body, data, label="Threshold room", text=words)


def ear_test(
    clips: Sequence[tuple[np.ndarray, bool, str]],
    *,
    known: Sequence[tuple[np.ndarray, str]] = (),
    rivals: Mapping[str, Sequence[float]] | None = None,
    sample_rate: int = 16000,
) -> Widget:
    """A blind test: rate each clip from 1 to 5, and be told your own AUC.

    1 is surely healthy, 5 surely faulty. ``clips`` are N triples of a waveform
    (samples,) in ±1, whether it is faulty, and the text that is told at the end.
    ``known`` are healthy clips, with texts, that may be heard beforehand; ``rivals``
    maps the name of a detector to its scores (N,) of the same clips. Raises
    :class:`AsdError` where there are no clips, and for rivals as
    :func:`asdlib.judge.metrics.auc`.
    """
    if not clips:
        raise AsdError("no clips to rate: give healthy and faulty ones")
    truth = [bool(faulty) for _, faulty, _ in clips]
    aucs = {name: auc(truth, scores) for name, scores in (rivals or {}).items()}
    ratings = "".join(
        f'<button type="button" data-rate="{i}">{i} {name}</button> '
        for i, name in enumerate(RATINGS, 1)
    )
    healthy = "".join(
        f"<p>{html.escape(text)}</p>"
        f'<audio controls aria-label="{html.escape(text)}"'
        f' src="{mp3(x, sample_rate)}"></audio>'
        for x, text in known
    )
    body = f"""
{healthy}
<p class="where" aria-live="polite">{len(clips)} clips wait. Press play, listen, then
rate; the keys 1 to 5 do it, too.</p>
<div class="controls">
<label><input type="checkbox" class="look"> show its picture, too</label></div>
{PLAYER.replace('class="seen"', 'class="seen" hidden')}
<div class="controls rate" role="group" aria-label="Your rating">{ratings}</div>
<div class="result" aria-live="polite"></div>
<div class="controls"><button type="button" class="again">start again</button></div>"""
    data = {
        "sounds": [mp3(x, sample_rate) for x, _, _ in clips],
        "faulty": truth,
        "texts": [text for _, _, text in clips],
        "rivals": aucs,
        "top": top_of(x for x, _, _ in clips),
    }
    words = f"[ear test of {len(clips)} clips]"
    return Widget("ears", body, data, label="Blind ear test", text=words)
