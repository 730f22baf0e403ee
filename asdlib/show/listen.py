"""The listen-and-see player.

A clip's spectrogram with a moving cursor above its sound, in the notebook and in the
book.

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
from asdlib.show.widget import Widget, mp3

LEFT, RIGHT = (
    0.13,
    0.99,
)  # where the picture's time axis starts and ends, as a share of its width


class Players(Widget):
    """Some clips side by side, as pairs of a waveform and a text."""

    def __init__(
        self, clips: Sequence[tuple[np.ndarray, str]], *, sample_rate: int = 16000
    ):
        if not clips:
            raise AsdError("no clips to listen to: give at least one")
        pictures = [_decibels(x, sample_rate) for x, _ in clips]
        top = max(picture.max() for picture in pictures)
        figures = "".join(
            _figure(x, sample_rate, text, picture, top)
            for (x, text), picture in zip(clips, pictures, strict=True)
        )
        axis = {
            "left": LEFT,
            "width": RIGHT - LEFT,
            "seconds": max(len(x) for x, _ in clips) / sample_rate,
        }
        text = "\n".join(f"[sound: {text}]" for _, text in clips)
        super().__init__(
            "players",
            f"<div>{figures}</div>",
            axis,
            label="Sounds to listen to and look at",
            text=text,
        )


def listen(waveform: np.ndarray, text: str, *, sample_rate: int = 16000) -> Players:
    """A player of one clip: ``waveform`` (samples,) in ±1, ``text`` what is to be heard
    (caption and screen-reader text).
    """
    return Players([(waveform, text)], sample_rate=sample_rate)


def compare(*clips: tuple[np.ndarray, str], sample_rate: int = 16000) -> Players:
    """Players of several ``(waveform, text)`` side by side, on one colour scale."""
    return Players(clips, sample_rate=sample_rate)


def _decibels(x: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import stft

    return 20 * np.log10(
        np.abs(stft(x, rate, nperseg=(n := min(512, len(x))), noverlap=3 * n // 4)[2])
        + 1e-7
    )


def _figure(
    x: np.ndarray, rate: int, text: str, picture: np.ndarray, top: float
) -> str:
    label, seconds = html.escape(text), len(x) / rate
    slider = (
        f'role="slider" aria-label="Position in: {label}" aria-valuemin="0" '
        f'aria-valuemax="{seconds:g}" aria-valuenow="0"'
    )
    shown = _picture(x, rate, picture, top)
    return f"""
<figure>
<div class="picture" tabindex="0" {slider}>
<img alt="Spectrogram: {label}" src="data:image/jpeg;base64,{shown}">
<div class="cursor" style="left:{100 * LEFT}%"></div>
</div>
<audio controls preload="metadata" aria-label="{label}" src="{mp3(x, rate)}"></audio>
<figcaption>{label}</figcaption>
</figure>"""


def _picture(x: np.ndarray, rate: int, picture: np.ndarray, top: float) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 2.3), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((LEFT, 0.17, RIGHT - LEFT, 0.80))
    extent = (0, len(x) / rate, 0, rate / 2)
    axes.imshow(
        picture,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmin=top - 80,
        vmax=top,
    )
    axes.set_xlabel("seconds", fontsize=8, labelpad=1)
    axes.set_ylabel("Hz", fontsize=8, labelpad=2)
    axes.tick_params(labelsize=8)
    out = io.BytesIO()
    figure.savefig(
        out, format="jpeg", pil_kwargs={"quality": 80}
    )  # a tenth of the size of a PNG of noise
    return base64.b64encode(out.getvalue()).decode()
