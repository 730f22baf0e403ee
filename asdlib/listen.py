"""The listen-and-see player: a clip's spectrogram with a moving cursor above its sound, in the notebook and in the book.

It is one piece of HTML with everything inlined (picture, compressed sound, a few lines of plain script), so it works from
a file, offline, and without a kernel. The sound keeps its level: how loud a clip is may be the very thing to hear, so
nothing is normalised. Several clips are drawn on one colour scale.
"""

import base64
import html
import io
import itertools
from collections.abc import Sequence

import numpy as np
import soundfile

LEFT, RIGHT = 0.11, 0.99  # where the picture's time axis starts and ends, as a share of its width
_numbers = itertools.count(1)


class Players:
    """Some clips side by side: displayed by Jupyter through ``_repr_html_``."""

    def __init__(self, clips: Sequence[tuple[np.ndarray, str]], *, sample_rate: int = 16000):
        self.clips, self.sample_rate = list(clips), sample_rate

    def _repr_html_(self) -> str:
        pictures = [_decibels(x, self.sample_rate) for x, _ in self.clips]
        top = max(picture.max() for picture in pictures)
        figures = "".join(
            _figure(x, self.sample_rate, text, picture, top) for (x, text), picture in zip(self.clips, pictures, strict=True)
        )
        grid = "display:grid;grid-template-columns:repeat(auto-fill,minmax(min(18rem,100%),1fr));gap:1rem;max-width:60rem"
        return f'<div style="{grid}">{figures}</div>'

    def __repr__(self) -> str:
        return "\n".join(f"[sound: {text}]" for _, text in self.clips)


def listen(waveform: np.ndarray, text: str, *, sample_rate: int = 16000) -> Players:
    """A player of one clip: ``waveform`` (samples,) in ±1, ``text`` what is to be heard (caption and screen-reader text)."""
    return Players([(waveform, text)], sample_rate=sample_rate)


def compare(*clips: tuple[np.ndarray, str], sample_rate: int = 16000) -> Players:
    """Players of several ``(waveform, text)`` side by side, on one colour scale."""
    return Players(clips, sample_rate=sample_rate)


def _decibels(x: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import stft

    return 20 * np.log10(np.abs(stft(x, rate, nperseg=512, noverlap=384)[2]) + 1e-7)


def _figure(x: np.ndarray, rate: int, text: str, picture: np.ndarray, top: float) -> str:
    number = f"listen-{next(_numbers)}"
    sound = io.BytesIO()
    soundfile.write(sound, np.asarray(x, dtype=np.float32), rate, format="MP3")
    label = html.escape(text)
    source = f"data:image/jpeg;base64,{_picture(x, rate, picture, top)}"
    style = "position:absolute;top:3%;bottom:17%;width:2px;background:#fff;box-shadow:0 0 2px #000;pointer-events:none"
    return f"""
<figure id="{number}" style="margin:0;padding:4px;background:#fff;color:#222">
<div style="position:relative">
<img alt="Spectrogram: {label}" style="width:100%;display:block;cursor:pointer" src="{source}">
<div style="{style};left:{100 * LEFT}%"></div>
</div>
<audio controls preload="metadata" aria-label="{label}" style="width:100%"
 src="data:audio/mpeg;base64,{base64.b64encode(sound.getvalue()).decode()}"></audio>
<figcaption style="color:#222;font-size:0.9em">{label}</figcaption>
<script>(function () {{
  var box = document.getElementById("{number}"), sound = box.querySelector("audio"), picture = box.querySelector("img");
  var cursor = picture.nextElementSibling, left = {LEFT}, width = {RIGHT - LEFT};
  function move() {{
    cursor.style.left = 100 * (left + width * sound.currentTime / (sound.duration || 1)) + "%";
    if (!sound.paused) requestAnimationFrame(move);
  }}
  sound.addEventListener("play", move);
  sound.addEventListener("seeked", move);
  sound.addEventListener("timeupdate", move);
  picture.addEventListener("click", function (event) {{
    var place = picture.getBoundingClientRect(), share = ((event.clientX - place.left) / place.width - left) / width;
    sound.currentTime = Math.max(0, Math.min(1, share)) * sound.duration;
    sound.play();
  }});
}})();</script>
</figure>"""


def _picture(x: np.ndarray, rate: int, picture: np.ndarray, top: float) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 2.3), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((LEFT, 0.17, RIGHT - LEFT, 0.80))
    extent = (0, len(x) / rate, 0, rate / 2000)
    axes.imshow(picture, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=top - 80, vmax=top)
    axes.set_xlabel("seconds", fontsize=8, labelpad=1)
    axes.set_ylabel("kHz", fontsize=8, labelpad=2)
    axes.tick_params(labelsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="jpeg", pil_kwargs={"quality": 80})  # a tenth of the size of a PNG of noise
    return base64.b64encode(out.getvalue()).decode()
