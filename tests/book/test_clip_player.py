"""The player of one clip at a time, in the map and the threshold room: what it draws, and that haste does it no harm."""

import base64
import io

import numpy as np
import pytest
import soundfile
from scipy.signal import stft

from tests.book.conftest import pages_with, plays, widgets


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
    left, top, right, bottom = 52, 6, 8, 34  # around the picture
    bright = canvas.evaluate(
        """(c, [x, y, w, h]) => {
        const d = c.getContext("2d").getImageData(x, y, w, h).data;
        return Array.from({ length: w * h }, (_, i) => d[4 * i] + d[4 * i + 1]);  // red and green grow with the level
    }""",
        [left, top, 560 - left - right, 190 - top - bottom],
    )
    drawn = np.array(bright).reshape(190 - top - bottom, -1)[::-1]  # low frequencies first
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(data["sounds"][i].split(",")[1])))
    assert rate == 16000
    levels = 20 * np.log10(np.abs(stft(sound, rate, nperseg=512, noverlap=384)[2]) + 1e-7)
    rows = np.linspace(0, len(levels) - 1, len(drawn)).astype(int)
    columns = np.linspace(0, levels.shape[1] - 1, drawn.shape[1]).astype(int)
    assert np.corrcoef(drawn.ravel(), levels[np.ix_(rows, columns)].clip(-100, -30).ravel())[0, 1] > 0.8
    wrong = np.corrcoef(drawn.ravel(), levels[np.ix_(rows[::-1], columns)].clip(-100, -30).ravel())[0, 1]
    assert wrong < 0.6  # upside down it would not be


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_a_clip_chosen_before_the_last_one_could_begin_plays_alone(page, path):
    root, data = widgets(page, path, "map")[0]
    root.evaluate("""root => root.querySelectorAll(".point").forEach((point, i) => {
        if (i < 3) point.dispatchEvent(new MouseEvent("click"));
    })""")
    plays(root.locator("audio"))  # and the fixture sees that nothing was raised
    assert root.locator("audio").evaluate("a => a.src") == data["sounds"][2]
    assert root.get_attribute("data-playing") == "2"
