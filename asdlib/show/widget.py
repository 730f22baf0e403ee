"""What the interactive pictures share: one piece of HTML, style and plain script with
everything inlined.

So they work in Jupyter and in a page opened from disk, without a kernel, a server or
the network. Each is light or dark as the page is, is worked by mouse or keyboard, and
prints as the picture that it shows.
"""

import base64
import hashlib
import html
import io
import itertools
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
import soundfile

from asdlib.show.spectrogram import look

_numbers = itertools.count(1)


class Widget:
    """Something that Jupyter displays as HTML.

    ``kind`` names its script and style, ``body`` is its HTML, ``data`` what the script
    works on (it becomes JSON), ``label`` its name for a screen reader; ``text`` says
    the same in words.
    """

    def __init__(
        self, kind: str, body: str, data: Mapping[str, object], *, label: str, text: str
    ):
        self.text = text
        payload = json.dumps(data, separators=(",", ":"))
        payload = payload.replace("<", "\\u003c")  # so that no text ends the script
        # Of the content, so that the widgets of two chapters can share a page, and
        # counted, so that two alike can.
        content = (body + payload).encode(errors="surrogatepass")
        digest = hashlib.blake2b(content, digest_size=5).hexdigest()
        self.id = f"asd-{digest}-{next(_numbers)}"
        attributes = f'class="asd asd-{kind}" role="group"'
        begin = f'asdlib.start("{self.id}", {_asset(f"{kind}.js")});'
        self._html = (
            f'<div id="{self.id}" {attributes} aria-label="{html.escape(label)}">'
            f"<style>{_asset('common.css')}</style>{body}"
            f'<script type="application/json">{payload}</script></div>'
            f"<script>{_asset('common.js')}\n"
            f"asdlib.look = {json.dumps(look())};\n{begin}</script>"
        )

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self.text


def seen(picture: str, label: str, seconds: float, sample_rate: int) -> str:
    """A ``picture`` (HTML) of a sound as its position, between axes of kHz and seconds.

    The script of the page moves the cursor; ``label`` says what is to be heard.
    """

    def axis(end: float, side: str) -> str:
        return "".join(
            f'<span style="{side}:{25 * i}%">{end * i / 4:.3g}</span>' for i in range(5)
        )

    return (
        f'<div class="seen"><div class="khz" aria-hidden="true"><em>kHz</em>'
        f"{axis(sample_rate / 2000, 'bottom')}</div>"
        f'<div class="picture" tabindex="0" role="slider" aria-label="{label}"'
        f' aria-valuemin="0" aria-valuemax="{seconds:g}" aria-valuenow="0">{picture}'
        f'<div class="sign"></div><div class="cursor"></div></div>'
        f'<div class="seconds" aria-hidden="true"><em>seconds</em>'
        f"{axis(seconds, 'left')}</div></div>"
    )


@cache
def _asset(name: str) -> str:
    return files("asdlib.show").joinpath("js", name).read_text().strip()


def mp3(waveform: np.ndarray, sample_rate: int) -> str:
    """A mono sound, ``waveform`` (samples,) in ±1, as the text of a ``data:`` address.

    It keeps its own level: nothing is normalised.
    """
    out = io.BytesIO()
    samples = np.asarray(waveform, dtype=np.float32)
    soundfile.write(out, samples, sample_rate, format="MP3")
    return "data:audio/mpeg;base64," + base64.b64encode(out.getvalue()).decode()
