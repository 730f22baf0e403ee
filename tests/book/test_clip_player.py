"""The player of one clip at a time, in the map and the threshold room: what it draws, and that haste does it no harm."""

import base64
import io

import numpy as np
import pytest
import soundfile
from matplotlib import colormaps
from scipy.signal import stft

from asdlib.explore import audible_map
from tests.book.conftest import pages_with, plays, widgets

LEFT, TOP, RIGHT, BOTTOM, WIDTH, HEIGHT = 52, 6, 8, 34, 560, 190  # of the canvas, and around its picture


def picture(canvas):
    """The colours (height, width, 3) of the picture, without the axes around it."""
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    pixels = canvas.evaluate(
        """(canvas, box) => {  // as a text: 10 times faster than a list of numbers
            const bytes = Array.from(canvas.getContext("2d").getImageData(...box).data, (byte) => String.fromCharCode(byte));
            return btoa(bytes.join(""));
        }""",
        [LEFT, TOP, width, height],
    )
    return np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)[:, :, :3].astype(int)


def painted(sound, top):
    """What the picture of a sound should be: magma, from 80 dB below ``top`` to ``top``."""
    levels = 20 * np.log10(np.abs(stft(sound, nperseg=512, noverlap=384)[2]) + 1e-7)[:, : len(sound) // 128 + 1]
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    rows = (np.arange(height)[::-1] / height * len(levels)).astype(int)
    columns = (np.arange(width) / width * levels.shape[1]).astype(int)
    return colormaps["magma"]((levels[np.ix_(rows, columns)] - top + 80) / 80, bytes=True)[:, :, :3].astype(int)


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_the_spectrogram_of_a_clicked_clip_is_that_of_its_sound(page, path):
    root, data = widgets(page, path, "map")[0]
    blank = "c => new Set(c.getContext('2d').getImageData(60, 20, 400, 100).data).size < 4"
    i = len(data["texts"]) // 2
    root.locator(".point").nth(i).focus()
    page.keyboard.press("Enter")
    canvas = root.locator(".player canvas")
    while canvas.evaluate(blank):
        page.wait_for_timeout(50)
    drawn = picture(canvas)
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(data["sounds"][i].split(",")[1])))
    assert rate == 16000
    expected = painted(sound, data["top"])
    assert np.median(np.abs(drawn - expected).max(axis=2)) <= 4  # the browser decodes MP3 a little differently
    assert np.median(np.abs(drawn - expected[::-1]).max(axis=2)) > 20  # upside down it would not be


def test_clips_are_painted_as_in_the_pictures_of_listen(page, tmp_path):
    """The canvas, pixel by pixel, against the transform of SciPy and the colours of matplotlib; it needs no book."""
    time = np.arange(2 * 16000) / 16000
    noise = np.random.default_rng(0).normal(size=len(time))
    sounds = [
        (0.3 * np.sin(2 * np.pi * (500 + 1500 * time) * time) + 0.003 * noise).astype(np.float32),
        (0.02 * noise).astype(np.float32),
    ]
    widget = audible_map({"a": np.eye(2)}, sounds, ["fan/id_00"] * 2, ["a sweep", "noise"])
    path = tmp_path / "map.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><title>map</title>{widget._repr_html_()}')
    root, data = widgets(page, path, "map")[0]
    canvas = root.locator(".player canvas")
    for i in range(2):
        before = picture(canvas)
        root.locator(".point").nth(i).focus()
        page.keyboard.press("Enter")
        while np.array_equal(picture(canvas), before):
            page.wait_for_timeout(50)
        decoded, _ = soundfile.read(io.BytesIO(base64.b64decode(data["sounds"][i].split(",")[1])))
        difference = np.abs(picture(canvas) - painted(decoded, data["top"])).max(axis=2)
        assert np.median(difference) <= 4
        assert np.quantile(difference, 0.95) <= 16


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_a_clip_chosen_before_the_last_one_could_begin_plays_alone(page, path):
    root, data = widgets(page, path, "map")[0]
    root.evaluate("""root => root.querySelectorAll(".point").forEach((point, i) => {
        if (i < 3) point.dispatchEvent(new MouseEvent("click"));
    })""")
    plays(root.locator("audio"))  # and the fixture sees that nothing was raised
    assert root.locator("audio").evaluate("a => a.src") == data["sounds"][2]
    assert root.get_attribute("data-playing") == "2"
