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
DETECTOR = ("fourier", "front", "matrix", "network", "detector")
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
# What can be shown of a clip, in the order in which it is.
PARTS = {
    "dial": "The score",
    "logmel": "Log-mel",
    "tgram": "Tgram, learned from the waveform",
    "bars": "The score as each of the machines; its own is orange.",
}
MAP = 400  # units that a map is wide and high
_OWN = """<label>a sound of yours <input type="file" class="file" accept="audio/*">
</label> <button type="button" class="record">record 2 s</button>"""
_DIAL = """<div class="dial" role="meter" aria-label="The score" aria-valuenow="0"
 aria-valuemin="0" aria-valuemax="{}"><div class="track"><div class="fill"></div>
<div class="limit" hidden><span>alarm above</span></div></div>
<div class="along" aria-hidden="true"></div></div>"""
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

    ``run`` is what :func:`asdlib.web.described` says of a detector, or what
    :func:`asdlib.web.front_end` says of no more than a front end: that is far
    smaller, makes clips and their log-mels, and scores nothing. ``park`` is what
    :func:`asdlib.machines.park_facts` says. It works on a thread of its own.
    """
    machines = len(run.get("machines", ()))
    what = f"detector of {machines} machines" if machines else "simulated park"
    said = f"The {what} is in this page."
    code = scripts(*DETECTOR, *PARK, "worker")
    body = f'<p class="told" aria-live="polite">{said}</p>'
    data = {"run": run, "park": park, "code": code, "said": said}
    return Widget("engine", body, data, label="What computes in this page", text=said)


def living_machine(
    machines: Sequence[str],
    *,
    machine: str = "",
    fault: str = "",
    controls: Sequence[str] = ("severity", "moment"),
    show: Sequence[str] = tuple(PARTS),
    own: bool = False,
    thresholds: Mapping[str, float] | None = None,
    usual: Mapping[str, float] | None = None,
    places: Mapping[str, np.ndarray] | None = None,
    largest: float = 60.0,
    name: str = "",
) -> Widget:
    """A machine of the park to turn, with the detector of the page beside it.

    ``machines`` (``type/id``) can be chosen, ``machine`` and ``fault`` are chosen at
    first, ``controls`` are some of :data:`CONTROLS`, ``show`` some of :data:`PARTS`;
    with ``own``, a file or the microphone can be heard, too. ``thresholds`` (machine →
    score) are those of the detector where there are none here, ``usual`` (machine →
    distance) how far new healthy clips are from its training clips at most. ``places``
    (machine → points (clips, 2) in 0..1 of its training clips, in their order) makes a
    map. The score is shown from 0 to ``largest``. With a ``name``, what is set stays in
    the page's address. Works where :func:`engine` is on the page; where that is without
    a detector, only the log-mel can be shown. Raises :class:`AsdError` for no machines,
    unknown controls and unknown parts.
    """
    if not machines:
        raise AsdError("a living machine needs one machine at least: give type/id")
    for kind, given, known in (("control", controls, CONTROLS), ("part", show, PARTS)):
        if unknown := [name for name in given if name not in known]:
            raise AsdError(
                f"no {kind} {', '.join(unknown)}: choose of {', '.join(known)}"
            )
    options = "".join(
        f"<option{' selected' if name == machine else ''}>{html.escape(name)}</option>"
        for name in machines
    )
    sliders = "".join(map(_slider, (CONTROLS[name] for name in controls)))
    points = {m: np.asarray(x) * (MAP - 20) + 10 for m, x in (places or {}).items()}
    panels = "".join(_panel(part) for part in PARTS if part in show and part != "dial")
    # Without a severity there is no fault to choose.
    hidden = "" if "severity" in controls else " hidden"
    body = f"""
<div class="controls"><label>machine <select class="machine">{options}</select></label>
<label{hidden}>fault <select class="fault"></select></label>
<button type="button" class="play">play</button>{sliders}{_OWN if own else ""}</div>
<p class="verdict" aria-live="polite">The machine is on its way into the page.</p>
{_DIAL.format(f"{largest:g}") if "dial" in show else ""}
{'<p class="near"></p>' if usual or points else ""}
<div class="panels">{panels}{_map(points) if points else ""}</div>"""
    data = {
        "env": TYPICAL,
        "fault": fault,
        "scored": bool({*show} - {"logmel"} or usual or points),
        "thresholds": {m: float(x) for m, x in (thresholds or {}).items()},
        "usual": {m: float(x) for m, x in (usual or {}).items()},
        "places": {m: x.round(1).tolist() for m, x in points.items()},
        "largest": largest,
        "name": name,
    }
    words = f"[a machine to turn: {', '.join(machines)}]"
    return Widget("machine", body, data, label="A machine to turn", text=words)


def challenge(*, name: str = "challenge") -> Widget:
    """A record to beat with the living machine before it, kept in the page's address.

    That is the mildest fault that the detector catches and the reader does not hear,
    and the strongest that it misses. An alarm that comes without the fault, too, does
    not count. A record that a link brings is shown as one to beat.
    """
    set_so = '<td><button type="button" hidden>set it so</button></td>'
    cells = "<td></td>" * 3 + set_so
    rows = "".join(
        f'<tr class="{kind}-{whose}"><th scope="row">{text}, {said}</th>{cells}</tr>'
        for kind, text in (
            ("caught", "mildest: alarm, and I cannot hear it"),
            ("missed", "strongest: I hear it, and no alarm"),
        )
        for whose, said in (("own", "mine"), ("sent", "to beat"))
    )
    body = f"""
<p><button type="button" class="caught">alarm, but I hear nothing</button>
<button type="button" class="missed">I hear it, but no alarm</button></p>
<table><thead><tr><th scope="col">record</th><th scope="col">severity</th>
<th scope="col">fault</th><th scope="col">machine</th>
<th scope="col">try it</th></tr></thead><tbody>{rows}</tbody></table>
<p class="told" aria-live="polite"></p>"""
    text = "[the mildest fault that is caught, the strongest that is missed]"
    return Widget("challenge", body, {"name": name}, label="Your record", text=text)


def hearing(average: float, *, name: str = "hearing") -> Widget:
    """From which severity on the reader hears a fault of the living machine before it.

    It is told beside the ``average`` severity of a test set, and kept in the page's
    address.
    """
    body = """
<p><button type="button" class="now">now I hear it</button></p>
<p class="told" aria-live="polite"></p><table hidden><thead><tr>
<th scope="col">fault</th><th scope="col">I hear it from severity</th></tr></thead>
<tbody></tbody></table>"""
    data = {"average": float(average), "name": name}
    text = "[from which severity on you hear a fault]"
    return Widget("hearing", body, data, label="What you hear", text=text)


def _panel(part: str) -> str:
    """A picture of the clip above its caption: a canvas between axes, or bars."""
    text, named = PARTS[part], f'role="img" aria-label="{PARTS[part]}"'
    drawn = f"""<div class="axes"><div class="up {part}-axis" aria-hidden="true"></div>
<canvas class="{part}" {named}></canvas>
<div class="along" aria-hidden="true"></div></div>"""
    if part == "bars":
        stretched = 'viewBox="0 0 600 240" preserveAspectRatio="none"'
        drawn = f'<svg class="bars" {stretched} {named}></svg>'
        text += ' <span class="likest"></span>'
    return f"<figure>{drawn}<figcaption>{text}</figcaption></figure>"


def _map(points: Mapping[str, np.ndarray]) -> str:
    """All training clips, and a ring where the clip's nearest ones lie."""
    mark = machine_marks(list(points))
    drawn = "".join(
        f'<g transform="translate({x:.1f} {y:.1f}) scale(0.6)">{mark(m, False)}</g>'
        for m, rows in points.items()
        for x, y in rows
    )
    return (
        f'<figure><svg class="map" viewBox="0 0 {MAP} {MAP}" role="img" aria-label="Map'
        f' of the training clips">{drawn}<g class="here"><circle r="11"/></g></svg>'
        '<figcaption class="around"></figcaption></figure>'
    )


def _slider(control: Control) -> str:
    numbers = f'min="{control.low}" max="{control.high}" step="{control.step}"'
    return (
        f'<label>{control.text} <input type="range" {numbers}'
        f' value="{control.value}" data-name="{control.name}"'
        f' data-unit="{control.unit}"> <output></output></label>'
    )
