"""What the interactive pictures share: one piece of HTML, style and plain script with
everything inlined.

So they work in Jupyter and in a page opened from disk, without a kernel, a server or
the network. Each is a white panel in a light and in a dark page alike, is worked by
mouse or keyboard, and prints as the picture that it shows.
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
