"""The player of one clip at a time, in the map and the threshold room: what it draws, and that haste does it no harm."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from matplotlib import colormaps
from scipy.signal import stft

from asdlib.explore import audible_map
from asdlib.show.spectrogram import in_words
from tests.book.conftest import pages_with, plays, widgets


def picture(canvas):
    """The colours (height, width, 3) of the picture: a pixel a frequency and a frame."""
    width, height, pixels = canvas.evaluate(
        """canvas => {  // as a text: 10 times faster than a list of numbers
            const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return [canvas.width, canvas.height, btoa(Array.from(all, (byte) => String.fromCharCode(byte)).join(""))];
        }"""
    )
    return np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)[:, :, :3].astype(int)


def painted(sound, top):
    """What the picture of a sound should be: magma, from 80 dB below ``top`` to ``top``, the lowest frequency at the bottom."""
    levels = 20 * np.log10(np.abs(stft(sound, nperseg=512, noverlap=384)[2]) + 1e-7)[:, : len(sound) // 128 + 1]
    return colormaps["magma"]((levels[::-1] - top + 80) / 80, bytes=True)[:, :, :3].astype(int)


def drawn(canvas, before):
    """The picture, once it is another one than ``before``."""
    while (now := picture(canvas)).shape == before.shape and np.array_equal(now, before):
        canvas.page.wait_for_timeout(50)
    return now


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_the_spectrogram_of_a_clicked_clip_is_that_of_its_sound(page, path):
    root, data = widgets(page, path, "map")[0]
    canvas, last = root.locator(".player canvas"), len(data["texts"]) - 1
    blank = np.zeros((150, 300, 3))  # as a canvas is before anything is drawn
    before = drawn(canvas, blank)  # the first clip waits there
    root.locator(".point").nth(last).focus()
    page.keyboard.press("Enter")
    now = drawn(canvas, before)
    for i, found in ((0, before), (last, now)):
        sound, rate = soundfile.read(io.BytesIO(base64.b64decode(data["sounds"][i].split(",")[1])))
        assert rate == 16000
        expected = painted(sound, data["top"])[:, : found.shape[1]]
        assert abs(len(sound) // 128 + 1 - found.shape[1]) <= 20  # MP3 decoders differ in the padding that they leave
        found = found[:, : expected.shape[1]]
        assert np.median(np.abs(found - expected).max(axis=2)) <= 4  # the browser decodes MP3 a little differently
        assert np.median(np.abs(found - expected[::-1]).max(axis=2)) > 20  # upside down it would not be


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
    before = np.zeros((150, 300, 3))
    for i in range(2):
        if i:
            root.locator(".point").nth(i).focus()
            page.keyboard.press("Enter")
        before = drawn(canvas, before)
        decoded, _ = soundfile.read(io.BytesIO(base64.b64decode(data["sounds"][i].split(",")[1])))
        difference = np.abs(before - painted(decoded, data["top"])).max(axis=2)
        assert np.median(difference) <= 4
        assert np.quantile(difference, 0.95) <= 16


def test_the_page_says_of_a_clip_what_python_says_of_it(page, tmp_path):
    """To whoever does not see the picture; the swing but for what decoders of MP3 make of the pauses."""
    time = np.arange(3 * 16000) / 16000
    noise = np.random.default_rng(1).normal(size=len(time))
    sounds = [
        (np.sin(2 * np.pi * 1000 * time) * (time % 0.5 < 0.2) + 0.001 * noise).astype(np.float32) / 2,
        (0.05 * noise).astype(np.float32),
        np.zeros(16000, np.float32),
    ]
    widget = audible_map({"a": np.arange(6).reshape(3, 2) ** 2}, sounds, ["fan/id_00"] * 3, ["blows", "noise", "nothing"])
    path = tmp_path / "map.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><title>map</title>{widget._repr_html_()}')
    root, data = widgets(page, path, "map")[0]
    canvas, swings = root.locator(".player canvas"), re.compile(r"swings by (\d+) dB")
    for i, text in enumerate(data["texts"]):
        root.locator(".point").nth(i).focus()
        page.keyboard.press("Enter")
        label = [canvas.element_handle(), f"Spectrogram: {text}. "]
        page.wait_for_function("([c, label]) => c.getAttribute('aria-label').startsWith(label)", arg=label)
        said = canvas.get_attribute("aria-label").removeprefix(label[1])
        decoded, _ = soundfile.read(io.BytesIO(base64.b64decode(data["sounds"][i].split(",")[1])))
        told = in_words(decoded, 16000)
        assert swings.sub("", said) == swings.sub("", told)
        assert [int(x) for x in swings.findall(said)] == pytest.approx([int(x) for x in swings.findall(told)], abs=3)


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_a_clip_chosen_before_the_last_one_could_begin_plays_alone(page, path):
    root, data = widgets(page, path, "map")[0]
    root.evaluate("""root => root.querySelectorAll(".point").forEach((point, i) => {
        if (i < 3) point.dispatchEvent(new MouseEvent("click"));
    })""")
    plays(root.locator("audio"))  # and the fixture sees that nothing was raised
    assert root.locator("audio").evaluate("a => a.src") == data["sounds"][2]
    assert root.get_attribute("data-playing") == "2"
