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
from asdlib.show.spectrogram import COLOURS, RANGE, decibels, top_of
from asdlib.show.widget import Widget, mp3

# Where the picture's time axis starts and ends, as a share of its width.
LEFT, RIGHT = 0.13, 0.99


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
            {"left": LEFT, "width": RIGHT - LEFT, "seconds": seconds},
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
    slider = (
        f'role="slider" aria-label="Position in: {label}" aria-valuemin="0"'
        f' aria-valuemax="{len(x) / sample_rate:g}" aria-valuenow="0"'
    )
    picture = f"data:image/jpeg;base64,{_picture(x, sample_rate, top)}"
    sound = mp3(x, sample_rate)
    return f"""
<figure>
<div class="picture" tabindex="0" {slider}>
<img alt="Spectrogram: {label}" src="{picture}">
<div class="cursor" style="left:{100 * LEFT}%"></div>
</div>
<audio controls preload="metadata" aria-label="{label}" src="{sound}"></audio>
<figcaption>{label}</figcaption>
</figure>"""


def _picture(x: np.ndarray, sample_rate: int, top: float) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 2.3), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((LEFT, 0.17, RIGHT - LEFT, 0.80))
    axes.imshow(
        decibels(x),
        origin="lower",
        aspect="auto",
        interpolation="nearest",  # as the script does
        extent=(0, len(x) / sample_rate, 0, sample_rate / 2),
        cmap=COLOURS,
        vmin=top - RANGE,
        vmax=top,
    )
    axes.set_xlabel("seconds", fontsize=8, labelpad=1)
    axes.set_ylabel("Hz", fontsize=8, labelpad=2)
    axes.tick_params(labelsize=8)
    out = io.BytesIO()
    # A tenth of the size of a PNG of noise.
    figure.savefig(out, format="jpeg", pil_kwargs={"quality": 80})
    return base64.b64encode(out.getvalue()).decode()
