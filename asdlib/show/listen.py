"""The listen-and-see player: a clip's spectrogram with a moving cursor above its sound,
in the notebook and in the book.

The sound keeps its level: how loud a clip is may be the very thing to hear, so nothing
is normalised. Several clips are drawn on one colour scale. A click in the picture plays
from there; with the keyboard, arrows seek and the space bar plays.
"""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np

from asdlib.errors import AsdError
from asdlib.show.spectrogram import COLOURS, RANGE, decibels, in_words, top_of
from asdlib.show.widget import Widget, mp3, seen


class Players(Widget):
    """Some clips side by side, as pairs of a waveform (samples,) and a text.

    Raises :class:`AsdError` where there are none.
    """

    def __init__(
        self, clips: Sequence[tuple[np.ndarray, str]], *, sample_rate: int = 16000
    ):
        if not clips:
            raise AsdError("no clips to listen to: give at least one")
        top = top_of(x for x, _ in clips)
        figures = "".join(_figure(x, text, sample_rate, top) for x, text in clips)
        seconds = max(len(x) for x, _ in clips) / sample_rate
        super().__init__(
            "players",
            f"<div>{figures}</div>",
            {"seconds": seconds},
            label="Sounds to listen to and look at",
            text="\n".join(f"[sound: {text}]" for _, text in clips),
        )


def listen(waveform: np.ndarray, text: str, *, sample_rate: int = 16000) -> Players:
    """A player of one clip.

    ``waveform`` (samples,) is in ±1, ``text`` says what is to be heard (caption and
    screen-reader text).

    >>> listen(np.zeros(16000), "a second of silence")
    [sound: a second of silence]
    """
    return Players([(waveform, text)], sample_rate=sample_rate)


def compare(*clips: tuple[np.ndarray, str], sample_rate: int = 16000) -> Players:
    """Players of several ``(waveform (samples,), text)`` on one colour scale.

    Raises :class:`AsdError` where there are none.
    """
    return Players(clips, sample_rate=sample_rate)


def _figure(x: np.ndarray, text: str, sample_rate: int, top: float) -> str:
    label = html.escape(text)
    words = in_words(x, sample_rate)
    source = f"data:image/jpeg;base64,{_picture(x, top)}"
    image = f'<img alt="Spectrogram: {label}. {words}" src="{source}">'
    picture = seen(image, f"Position in: {label}", len(x) / sample_rate, sample_rate)
    sound = mp3(x, sample_rate)
    return f"""
<figure>{picture}
<audio controls preload="metadata" aria-label="{label}" src="{sound}"></audio>
<figcaption>{label}</figcaption>
</figure>"""


def _picture(x: np.ndarray, top: float) -> str:
    """A pixel a frame and a frequency, the lowest at the bottom, as a JPEG.

    It has a tenth of the size of a PNG of noise.
    """
    from matplotlib import colormaps
    from PIL import Image

    levels = decibels(x)[::-1]
    colours = colormaps[COLOURS]((levels - top) / RANGE + 1, bytes=True)[:, :, :3]
    out = io.BytesIO()
    Image.fromarray(colours).save(out, format="jpeg", quality=85, subsampling=0)
    return base64.b64encode(out.getvalue()).decode()
