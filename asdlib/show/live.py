"""The scripts of what computes in a page: a detector and the simulated park, in plain
script, for pages opened from disk, workers and node.

They share one namespace, ``asdlive``, and no library. ``js/live/`` holds one idea a
file, named as the Python that it follows.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from asdlib.errors import AsdError
from asdlib.show.explore import machine_marks
from asdlib.show.widget import Widget

# In the order in which they are read.
DETECTOR = ("fourier", "front", "network", "detector")
PARK = ("fourier", "sounds", "machines", "park")


@dataclass(frozen=True)
class Control:
    """A slider: its name in the park, what people read, and its range."""

    name: str
    text: str
    low: float
    high: float
    step: float
    value: float
    unit: str = ""


# What a reader may turn. Beside the severity, it is what changes from clip to clip of a
# healthy machine, as far as it does in the park, and a little beyond.
CONTROLS = {
    control.name: control
    for control in (
        Control("severity", "severity", 0, 3, 0.05, 0),
        Control("speed", "speed", 0.85, 1.15, 0.01, 1.0),
        Control("load", "load", 0.6, 1.6, 0.05, 1.0),
        Control("snr", "machine above background", 0, 24, 1, 11, "dB"),
        Control("colour", "microphone's tilt", -2, 2, 0.1, 0, "dB per octave"),
        Control("gain", "microphone's gain", -8, 8, 1, 0, "dB"),
        Control("moment", "another recording", 1, 50, 1, 1),
    )
}
MAP = 400  # units that a map is wide and high
_OWN = """<label>a sound of yours <input type="file" class="file" accept="audio/*">
</label> <button type="button" class="record">record 2 s</button>"""
# What no control turns: a typical recording.
TYPICAL = {
    "speed": 1.0,
    "load": 1.0,
    "start": 0.3,
    "gain": 0.0,
    "colour": 0.0,
    "room_decay": 0.3,
    "room_wet": 0.3,
    "snr": 11.0,
    "background_slope": 4.0,
    "events": 0,
}


def scripts(*names: str) -> str:
    """The scripts of these names, one after the other, each once.

    >>> scripts(*DETECTOR).count("asdlive.detector = function")
    1
    """
    folder = files("asdlib.show").joinpath("js", "live")
    parts = [
        folder.joinpath(f"{name}.js").read_text(encoding="utf-8")
        for name in dict.fromkeys(names)
    ]
    return "globalThis.asdlive = globalThis.asdlive || {};\n" + "".join(parts)


def engine(run: Mapping[str, Any], park: Mapping[str, Any] | None = None) -> Widget:
    """The detector in the page, for all pictures on it that ask it.

    ``run`` is what :func:`asdlib.use.web.described` says of a detector, ``park`` what
    :func:`asdlib.park.facts.park_facts` says. It works on a thread of its own.
    """
    machines = len(run["machines"])
    said = f"The detector of {machines} machines is in this page."
    code = scripts(*DETECTOR, *PARK, "worker")
    body = f'<p class="told" aria-live="polite">{said}</p>'
    data = {"run": run, "park": park, "code": code, "said": said}
    return Widget("engine", body, data, label="The detector of this page", text=said)


def living_machine(
    machines: Sequence[str],
    *,
    machine: str = "",
    fault: str = "",
    controls: Sequence[str] = ("severity", "moment"),
    own: bool = False,
    thresholds: Mapping[str, float] | None = None,
    usual: Mapping[str, float] | None = None,
    places: Mapping[str, np.ndarray] | None = None,
    largest: float = 60.0,
    name: str = "",
) -> Widget:
    """A machine of the park to turn, with the detector of the page beside it.

    ``machines`` (``type/id``) can be chosen, ``machine`` and ``fault`` are chosen at
    first, ``controls`` are some of :data:`CONTROLS`; with ``own``, a file or the
    microphone can be heard, too. ``thresholds`` (machine → score) are those of the
    detector where there are none here, ``usual`` (machine → distance) how far new
    healthy clips are from its training clips at most. ``places`` (machine → points
    (clips, 2) in 0..1 of its training clips, in their order) makes a map. The score is
    shown from 0 to ``largest``. With a ``name``, what is set stays in the page's
    address. Works where :func:`engine` is on the page. Raises :class:`AsdError` for no
    machines and unknown controls.
    """
    unknown = [name for name in controls if name not in CONTROLS]
    if unknown or not machines:
        raise AsdError(
            f"no control {', '.join(unknown)}: choose of {', '.join(CONTROLS)}"
            if unknown
            else "a living machine needs one machine at least: give type/id"
        )
    options = "".join(
        f"<option{' selected' if name == machine else ''}>{html.escape(name)}</option>"
        for name in machines
    )
    sliders = "".join(map(_slider, (CONTROLS[name] for name in controls)))
    points = {m: np.asarray(x) * (MAP - 20) + 10 for m, x in (places or {}).items()}
    map_of = _map(points) if points else ""
    body = f"""
<div class="controls"><label>machine <select class="machine">{options}</select></label>
<label>fault <select class="fault"></select></label>
<button type="button" class="play">play</button>{sliders}{_OWN if own else ""}</div>
<p class="verdict" aria-live="polite">The detector is on its way into the page.</p>
<svg class="dial" viewBox="0 -6 600 52" role="img" aria-label="The score"></svg>
<div class="panels">{_panel("logmel", "log-mel")}
{_panel("tgram", "Tgram, learned from the waveform")}</div>
<div class="panels"><div><p>The score as each of the machines; its own is orange.</p>
<svg class="bars" viewBox="0 0 600 240" role="img" aria-label="Scores of the clip as
 each machine"></svg><p class="likest"></p><p class="near"></p></div>{map_of}</div>"""
    data = {
        "env": TYPICAL,
        "fault": fault,
        "thresholds": {m: float(x) for m, x in (thresholds or {}).items()},
        "usual": {m: float(x) for m, x in (usual or {}).items()},
        "places": {m: x.round(1).tolist() for m, x in points.items()} or None,
        "largest": largest,
        "name": name,
    }
    words = f"[a machine to turn: {', '.join(machines)}]"
    return Widget("machine", body, data, label="A machine to turn", text=words)


def challenge(*, name: str = "challenge") -> Widget:
    """A record to beat with the living machine before it, kept in the page's address.

    That is the mildest fault that the detector catches and the reader does not hear,
    and the strongest that it misses.
    """
    rows = "".join(
        f'<tr class="{kind}-row"><th scope="row">{text}</th>{"<td></td>" * 3}</tr>'
        for kind, text in (
            ("caught", "mildest: alarm, and I cannot hear it"),
            ("missed", "strongest: I hear it, and no alarm"),
        )
    )
    body = f"""
<p><button type="button" class="caught">alarm, but I hear nothing</button>
<button type="button" class="missed">I hear it, but no alarm</button></p>
<table><thead><tr><th scope="col">record</th><th scope="col">severity</th>
<th scope="col">fault</th><th scope="col">machine</th></tr></thead>
<tbody>{rows}</tbody></table><p class="told" aria-live="polite"></p>"""
    text = "[the mildest fault that is caught, the strongest that is missed]"
    return Widget("challenge", body, {"name": name}, label="Your record", text=text)


def _panel(name: str, text: str) -> str:
    canvas = f'<canvas class="{name}" width="460" height="280" role="img"'
    return (
        f'<figure>{canvas} aria-label="{text} of the clip"></canvas>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _map(points: Mapping[str, np.ndarray]) -> str:
    """All training clips, and a ring where the clip's nearest ones lie."""
    mark = machine_marks(list(points))
    drawn = "".join(
        f'<g transform="translate({x:.1f} {y:.1f}) scale(0.6)">{mark(m, False)}</g>'
        for m, rows in points.items()
        for x, y in rows
    )
    ring = '<circle r="11" fill="none" stroke="#000" stroke-width="3"/>'
    return (
        f'<div><p>Where its five nearest training clips lie:</p><svg class="map"'
        f' viewBox="0 0 {MAP} {MAP}" role="img" aria-label="Map of the training clips">'
        f'{drawn}<g class="here">{ring}</g></svg></div>'
    )


def _slider(control: Control) -> str:
    numbers = f'min="{control.low}" max="{control.high}" step="{control.step}"'
    return (
        f'<label>{control.text} <input type="range" {numbers}'
        f' value="{control.value}" data-name="{control.name}"'
        f' data-unit="{control.unit}"> <output></output></label>'
    )
