"""Training in the page: a small encoder that learns the machines of the park while one
watches, by both losses of the method.

A clip is 64 numbers, the encoder two linear layers, and both are trained by the page's
own script (``js/play/``, no library), off its main thread. It is a toy: it shows how
the losses work, with numbers of its own.
"""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.metrics import auc
from asdlib.show.explore import machine_marks
from asdlib.show.widget import Widget

SCRIPTS = ("network", "losses", "training", "worker")  # in the order of reading
METHODS = ("stage 1 alone", "two stages", "one stage")
# The method's own, where it has them; the sizes are of the hidden layer and embedding.
SETTINGS: dict[str, Any] = {
    "temperature": 0.1,
    "margin": 1.0,
    "scale": 30.0,
    "batch": 64,
    "seed": 0,
    "steps": 600,  # in all; half of them for either of two stages
    "rate": 0.003,
    "sizes": [64, 16],
}
LARGEST = 4.0  # standard deviations; a byte holds -127 to 127 of it
PICTURE = 520  # units wide and high


@dataclass(frozen=True)
class Choice:
    """A list to choose from: what people read, and the values."""

    text: str
    values: tuple[float, ...]


CHOICES = {
    "temperature": Choice("temperature", (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)),
    "margin": Choice("margin (radians)", (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)),
    "batch": Choice("clips in a batch", (8, 16, 32, 64, 128, 256)),
    "seed": Choice("seed", tuple(range(10))),
}


def scripts() -> str:
    """All scripts of the training, for a worker, a page or node."""
    folder = files("asdlib.show").joinpath("js", "play")
    parts = [folder.joinpath(f"{x}.js").read_text(encoding="utf-8") for x in SCRIPTS]
    return "globalThis.asdplay = globalThis.asdplay || {};\n" + "".join(parts)


def small_spectra(log_mels: np.ndarray, *, bands: int = 32) -> np.ndarray:
    """How loud each band is, and how much that changes: (N, 2 · bands) float32, in dB.

    Of ``log_mels`` (N, mels, frames) in dB: mean and standard deviation over the
    frames, each averaged over the mel bands that make up a band. Raises
    :class:`AsdError` where the bands do not divide the mel bands.

    >>> small_spectra(np.array([[[0.0, 2.0], [4.0, 4.0]]]), bands=1).tolist()
    [[2.5, 0.5]]
    """
    shape = np.shape(log_mels)
    if len(shape) != 3 or shape[1] % bands:
        raise AsdError(
            f"log-mels of shape {shape} make no {bands} bands: give (clips, mels, "
            "frames), and a number that divides the mels"
        )
    # Of 16 bits, a sum over the frames would be rounded.
    x = np.asarray(log_mels, dtype=np.float32)
    both = np.stack([x.mean(axis=2), x.std(axis=2)], axis=1)
    grouped = both.reshape(len(x), 2, bands, -1)
    return grouped.mean(axis=3).reshape(len(x), 2 * bands)


def packed(
    known: tuple[np.ndarray, Sequence[str]],
    asked: tuple[np.ndarray, Sequence[str]],
    faulty: Sequence[bool],
) -> dict[str, object]:
    """Clips as they travel to the script: each number a byte.

    ``known`` are the N healthy clips to learn from, numbers (N, d) and names of their
    machines (N); ``asked`` the M others, of which some are ``faulty`` (M booleans).
    Each number is brought to mean 0 and variance 1 over the known clips, and cut off
    at :data:`LARGEST`. Raises :class:`AsdError` for other shapes, for numbers that are
    not finite, for asked clips of an unknown machine, and as
    :func:`asdlib.judge.metrics.auc` for a machine without healthy and faulty ones.
    """
    for x, machines in (known, asked):
        if np.ndim(x) != 2 or len(x) != len(machines) or not np.isfinite(x).all():
            raise AsdError(
                f"{np.shape(x)} numbers of {len(machines)} clips: give finite ones, "
                "(clips, numbers), and a machine for each clip"
            )
    if np.shape(known[0])[1] != np.shape(asked[0])[1]:
        raise AsdError(
            f"clips of {np.shape(known[0])[1]} numbers to learn from, and of "
            f"{np.shape(asked[0])[1]} to judge by: give as many of either"
        )
    names = sorted(set(known[1]), key=lambda name: name.split("/"))
    if len(names) < 2:
        raise AsdError("clips of one machine: there is nothing to tell apart, give two")
    strange = sorted(set(asked[1]) - set(names))
    if strange or len(faulty) != len(asked[1]):
        raise AsdError(
            f"no clips of {', '.join(strange)} to learn from: give some"
            if strange
            else f"{len(faulty)} truths for {len(asked[1])} clips: give one for each"
        )
    truth = np.asarray(faulty, dtype=bool)
    for name in names:
        own = truth[np.asarray(asked[1]) == name]
        auc(own, np.zeros(len(own)))  # refuses what has no ROC curve
    centre, spread = known[0].mean(axis=0), known[0].std(axis=0)

    def part(x: np.ndarray, machines: Sequence[str]) -> dict[str, object]:
        scaled = (x - centre) / np.where(spread > 0, spread, 1) / LARGEST
        numbers = np.round(127 * scaled.clip(-1, 1)).astype(np.int8)
        text = base64.b64encode(numbers.tobytes()).decode()
        return {"x": text, "labels": [names.index(m) for m in machines]}

    return {
        "names": names,
        "machines": len(names),
        "width": known[0].shape[1],
        "largest": LARGEST,
        "known": part(*known),
        "asked": part(*asked) | {"faulty": truth.tolist()},
    }


def playground(
    known: tuple[np.ndarray, Sequence[str]],
    asked: tuple[np.ndarray, Sequence[str]],
    faulty: Sequence[bool],
    *,
    methods: Sequence[str] = METHODS,
    controls: Sequence[str] = tuple(CHOICES),
    settings: Mapping[str, Any] | None = None,
    name: str = "",
) -> Widget:
    """A small encoder to be watched while it learns the machines of some clips.

    ``known`` and ``asked`` are numbers (clips, d) and names of machines, ``faulty`` the
    truth about the asked, as :func:`packed` takes them; the asked clips are drawn and
    judged, the known ones learned from. ``methods`` are some of
    :data:`METHODS` and ``controls`` of :data:`CHOICES`, to be chosen by the reader;
    ``settings`` replace some of :data:`SETTINGS`. With a ``name``, what is chosen stays
    in the page's address. Offered are the batches that the known clips can fill.
    Raises :class:`AsdError` for other methods, controls and settings, where the known
    clips fill no batch, and as :func:`packed`.
    """
    chosen = SETTINGS | dict(settings or {})
    for what, given, offered in (
        ("method", methods, METHODS),
        ("control", controls, tuple(CHOICES)),
        ("setting", tuple(chosen), tuple(SETTINGS)),
    ):
        wrong = [one for one in given if one not in offered]
        if wrong or not given:
            raise AsdError(
                f"no {what} {', '.join(wrong)}: choose of {', '.join(offered)}"
            )
    data = packed(known, asked, faulty)
    names = list(known[1])
    smallest = min(CHOICES["batch"].values)
    batch = max(chosen["batch"], smallest)
    if batch > len(names):
        raise AsdError(
            f"{len(names)} clips to learn from fill no batch of {batch}: give more "
            f"clips, or a smaller batch in the settings, of {smallest} at least"
        )
    mark = machine_marks(names)
    legend = "".join(
        f'<span><svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">'
        f"{mark(machine, False)}</svg> {html.escape(machine)}</span>"
        for machine in sorted(set(names), key=lambda machine: machine.split("/"))
    )
    radios = "".join(
        f'<label><input type="radio" value="{method}"'
        f"{' checked' if method == methods[0] else ''}> {method}</label>"
        for method in methods
    )
    lists = "".join(_list(control, chosen[control], len(names)) for control in controls)
    colours = "Blue: with stage 1. Orange: one stage. " if len(methods) > 1 else ""
    half = PICTURE // 2
    columns = (
        "run",
        "method",
        *controls,
        "step",
        "nearest to own",
        "angle to own",
        "to other",
    )
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    size = f"{len(names)} healthy clips of {len(set(names))} machines"
    body = f"""
<div class="controls"><fieldset><legend>method</legend>{radios}</fieldset>{lists}</div>
<div class="controls"><button type="button" class="start">start</button>
<button type="button" class="step">10 steps</button>
<button type="button" class="reset">begin anew</button></div>
<p class="told" aria-live="polite">The clips are on their way into the page.</p>
<p class="now"></p>
<div class="panels"><figure><svg class="places" role="img"
 viewBox="{-half} {-half} {PICTURE} {PICTURE}" aria-label="Where the clips lie"></svg>
<figcaption>Clips that are not learned from. Filled: healthy. Hollow: faulty. A machine
has its seat at the mark on the circle.</figcaption></figure>
<div><figure><svg class="losses" viewBox="0 0 440 210" role="img"
 aria-label="Loss"></svg><figcaption>Loss of the training batches.</figcaption></figure>
<figure><svg class="aucs" viewBox="0 0 440 250" role="img" aria-label="AUC"></svg>
<figcaption>AUC of the faults (%), mean over the machines. Dashed: by distance to the
own machine. Solid: by surprise. {colours}Thin: earlier runs.
</figcaption></figure></div></div>
<div class="legend">{legend}</div>
<div class="runs" role="region" tabindex="0" aria-label="Your runs"><table><thead>
<tr>{head}<th scope="col">AUC, distance</th><th scope="col">AUC, surprise</th></tr>
</thead><tbody></tbody></table></div>"""
    payload = {
        "code": scripts(),
        "clips": data,
        "settings": chosen,
        "controls": list(controls),
        "name": name,
    }
    words = f"[a small encoder to train on {size}: {', '.join(methods)}]"
    return Widget("playground", body, payload, label="Training in the page", text=words)


def _list(name: str, value: float, clips: int) -> str:
    choice = CHOICES[name]
    # A batch is of different clips, so there are none of more than these.
    values = [one for one in choice.values if name != "batch" or one <= clips]
    if value not in values:
        raise AsdError(
            f"a {name} of {value:g} cannot be chosen: "
            f"give one of {', '.join(f'{one:g}' for one in values)}"
        )
    options = "".join(
        f"<option{' selected' if one == value else ''}>{one:g}</option>"
        for one in values
    )
    return f'<label>{choice.text} <select data-name="{name}">{options}</select></label>'
