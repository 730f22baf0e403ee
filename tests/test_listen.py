"""The player and the pictures: what they inline, what they say, what they leave alone."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile
import umap
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from asdlib.errors import AsdError
from asdlib.listen import compare, listen
from asdlib.plots import embedding_map, loss_curves, score_histogram, umap_points
from asdlib.show.spectrogram import decibels, in_words, top_of

RATE = 16000
magma = colormaps["magma"]
TONE = (0.05 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
NOISE = (0.1 * np.random.default_rng(0).normal(size=RATE)).astype(np.float32)


def sounds(page):
    for data in re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', page):
        yield soundfile.read(io.BytesIO(base64.b64decode(data)))


def test_the_sound_is_the_clip_at_its_own_level():
    (x, rate), (y, _) = sounds(compare((TONE, "quiet"), (4 * TONE, "loud"))._repr_html_())
    assert rate == RATE
    assert len(x) == pytest.approx(len(TONE), abs=2500)  # MP3 pads to whole frames
    middle = slice(RATE // 2, -RATE // 2)
    assert np.std(x[middle]) == pytest.approx(np.std(TONE), rel=0.03)
    assert np.std(y[middle]) == pytest.approx(4 * np.std(TONE), rel=0.03)


def test_everything_is_inlined_and_described():
    page = listen(TONE, 'a "tone" <of 440 Hz>')._repr_html_()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "&quot;tone&quot; &lt;of 440 Hz&gt;" in page
    assert len(re.findall(r'<img alt="Spectrogram: [^"]+"', page)) == 1
    assert 'aria-label="a &quot;tone&quot;' in page
    assert len(page) < 60_000


def test_a_picture_is_told_in_words():
    time, noise = np.arange(3 * RATE) / RATE, np.random.default_rng(0).normal(size=3 * RATE)
    assert in_words(np.sin(2 * np.pi * 440 * time), RATE).startswith(
        "Strongest at 440 Hz; half of its power lies below 440 Hz, nine"
    )
    assert in_words(np.sin(2 * np.pi * 2500 * time), RATE).endswith("nine tenths below 2.5 kHz. Its level is steady.")
    white = in_words(0.1 * noise, RATE)
    assert re.fullmatch(
        "No frequency stands out; half of its power lies below (3.9|4.0|4.1) kHz, nine .* 7.[123] kHz. .* steady.", white
    )
    blows = 0.3 * noise * (time % 0.5 > 0.3) + 0.003 * noise  # 40 dB apart, five times more than it was at the start
    assert re.search(r"Its level swings by 4[0-2] dB and rises 6 times\.$", in_words(blows, RATE))
    assert in_words(np.exp(-2 * time) * noise, RATE).endswith("dB and never rises.")
    assert in_words(np.zeros(RATE), RATE) == in_words(np.zeros(3), RATE) == "Silence."
    assert in_words(TONE, RATE) in listen(TONE, "a tone")._repr_html_()


def test_players_on_a_page_have_names_of_their_own_and_start_themselves_by_them():
    page = "".join(widget._repr_html_() for widget in (compare((TONE, "a"), (TONE, "b")), listen(TONE, "a"), listen(TONE, "a")))
    names = re.findall(r' id="([^"]+)"', page)
    assert len(names) == len(set(names)) == 3  # one a widget; its figures have none
    assert all(re.fullmatch(r"asd-[0-9a-f]{10}-\d+", name) for name in names)
    assert re.findall(r'asdlib\.start\("([^"]+)"', page) == names
    assert page.count("<figure>") == page.count("<audio ") == 4


def test_the_name_tells_the_content_so_that_two_chapters_can_share_a_page():
    kind = [re.fullmatch(r"asd-(\w+)-\d+", listen(TONE, text).id)[1] for text in ("a", "a", "b")]
    assert kind[0] == kind[1] != kind[2]


def test_the_pictures_of_one_comparison_share_their_colours():
    def brightness(page):
        pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page._repr_html_())
        return [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), dtype=float).mean() for data in pictures
        ]

    alone, (loud, quiet) = (
        brightness(listen(0.01 * NOISE, "quiet"))[0],
        brightness(compare((NOISE, "loud"), (0.01 * NOISE, "quiet"))),
    )
    assert quiet < loud - 20  # 40 dB less on the same scale
    assert alone == pytest.approx(loud, abs=3)  # on a scale of its own it looks as loud


def test_the_script_has_the_colours_the_range_and_the_window_of_the_pictures():
    page = listen(TONE, "a")._repr_html_()
    look = json.loads(re.search(r"asdlib\.look = (\{.*?\});", page)[1])
    table = np.frombuffer(bytes.fromhex(look["colours"]), np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(table, magma(np.arange(256), bytes=True)[:, :3])
    assert (look["range"], look["window"], look["hop"]) == (80, 512, 128)


def test_a_picture_has_the_colours_of_the_80_decibels_below_its_loudest_spot():
    """Against Fourier transforms written out: the mean colour of noise that grows by 100 dB in two seconds, piece by piece."""
    x = (10 ** np.linspace(-5.5, -0.5, 2 * RATE) * np.random.default_rng(0).normal(size=2 * RATE)).clip(-1, 1)
    x[-2000:] *= 0.01  # what is loudest lies inside
    picture = re.search(r'src="data:image/jpeg;base64,([^"]+)"', listen(x, "a")._repr_html_())[1]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"), dtype=float)
    assert drawn.shape == (257, 251, 3)  # a pixel a frequency and a frame

    window = np.sin(np.pi * np.arange(512) / 512) ** 2
    pieces = [x[128 * k - 256 :][:512] for k in range(2, 248)]
    levels = np.array([20 * np.log10(np.abs(np.fft.rfft(piece * window)) / 256) for piece in pieces])
    colours = magma((levels - levels.max() + 80) / 80, bytes=True)[:, :, :3]
    for first in range(0, 200, 24):  # 24 frames, from frame 2 of 251 on
        found = drawn[:, first + 2 : first + 26].mean(axis=(0, 1))
        np.testing.assert_allclose(found, colours[first : first + 24].mean(axis=(0, 1)), atol=4)


def test_levels_of_a_tone_in_decibels_of_full_scale():
    x = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    levels = decibels(x)
    assert levels.shape == (257, RATE // 128 + 1)
    np.testing.assert_allclose(levels[32, 2:-3], 20 * np.log10(0.1 / 2), atol=0.01)  # 1000 Hz is 32 of 256
    np.testing.assert_allclose(decibels(np.zeros(RATE)), -140, atol=1e-6)
    assert decibels(np.ones(100)).shape == (257, 1)  # shorter than the window
    assert top_of([0.01 * x, x, 0.1 * x]) == pytest.approx(levels.max(), abs=1e-9)


def test_the_position_is_a_slider_as_long_as_the_clip():
    page = listen(TONE, "a")._repr_html_()
    assert 'role="slider" aria-label="Position in: a" aria-valuemin="0" aria-valuemax="2" aria-valuenow="0"' in page
    assert '"seconds":2.0' in page


def test_no_clips_are_refused_and_in_a_terminal_the_texts_are_shown():
    with pytest.raises(AsdError, match="no clips to listen to"):
        compare()
    assert repr(compare((TONE, "a fan"), (TONE, "a pump"))) == "[sound: a fan]\n[sound: a pump]"


def test_umap_keeps_groups_and_is_the_same_again():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.eye(8)[:3], 20, axis=0)
    first, second = (groups + s * rng.normal(size=groups.shape) for s in (0.05, 0.1))
    points = umap_points(first, second)
    assert [p.shape for p in points] == [(60, 2), (60, 2)]
    for p in points:
        within = max(np.ptp(p[20 * i : 20 * i + 20], axis=0).max() for i in range(3))
        centres = p.reshape(3, 20, 2).mean(axis=1)
        assert np.linalg.norm(centres[0] - centres[1]) > within
    np.testing.assert_allclose(umap_points(first, second)[1], points[1])


def test_a_map_leaves_torch_its_number_of_threads():  # numba changes it once in a process
    code = (
        "import numpy as np, torch; from asdlib.plots import umap_points;"
        "umap_points(np.random.default_rng(0).normal(size=(20, 8))); print(torch.get_num_threads())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize("count", [*range(3, 18), 40])
def test_a_map_of_few_clips_is_drawn_without_a_word_and_of_many_as_umap_itself_does(count):
    first, second = np.random.default_rng(count).normal(size=(2, count, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points = umap_points(first, second, seed=3)
    assert [p.shape for p in points] == [(count, 2)] * 2
    assert np.isfinite(points).all()
    assert all(len(np.unique(p, axis=0)) == count for p in points)
    if count > 15:  # 15 neighbours and a spectral start, as umap has them
        settings = {"metric": "cosine", "random_state": 3, "n_jobs": 1}
        alone = umap.UMAP(**settings).fit_transform(first)
        np.testing.assert_array_equal(points[0], alone)
        start = alone / np.abs(alone).max() * 10
        np.testing.assert_array_equal(points[1], umap.UMAP(**settings, init=start).fit_transform(second))


@pytest.mark.parametrize(("count", "text"), [(0, "0 clips"), (1, "1 clip"), (2, "2 clips")])
def test_a_map_of_one_or_two_clips_is_refused(count, text):
    with pytest.raises(AsdError, match=f"^a map of {text} shows nothing: give three or more$"):
        umap_points(np.ones((40, 8)), np.ones((count, 8)))


def test_pictures_show_what_they_are_given(detector, small_park):
    from asdlib.data import scan

    ax = Figure().add_subplot()
    embedding_map(ax, np.random.default_rng(0).normal(size=(6, 2)), ["fan/id_00", "fan/id_02", "pump/id_00"] * 2, title="t")
    assert ax.get_legend_handles_labels()[1] == ["fan/id_00", "fan/id_02", "pump/id_00"]
    shapes = [c.get_paths()[0].vertices.shape for c in ax.collections]
    assert shapes[0] == shapes[1] != shapes[2]  # one shape a type

    table = detector.score_clips([clip for clip in scan(small_park) if clip.machine == "fan/id_00" and clip.split == "test"])
    ax = Figure().add_subplot()
    score_histogram(ax, table, machine="fan/id_00", scorer="knn")
    assert sum(patch.get_height() for patch in ax.patches) == 8

    rows = [{"stage": "a", "epoch": e, "train_loss": 1.0, "validation_loss": None} for e in range(3)]
    ax = Figure().add_subplot()
    loss_curves(ax, rows, stage="a")
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3]
    assert np.isnan(ax.lines[1].get_ydata()).all()


@pytest.mark.parametrize("embeddings", [np.ones(10), np.full((10, 4), np.nan)])
def test_a_map_of_no_embeddings_is_refused(embeddings):
    with pytest.raises(AsdError, match="embeddings of shape"):
        umap_points(embeddings)


def test_a_map_comes_without_warnings_of_what_is_not_used():
    """In a notebook without ipywidgets there was one about a progress bar; everywhere, one about Tensorflow."""
    lines = "import warnings, numpy; warnings.simplefilter('always'); from asdlib.plots import umap_points"
    lines += "; umap_points(numpy.random.default_rng(0).normal(size=(6, 8)))"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert "Tensorflow" not in done.stderr
    assert "IProgress" not in done.stderr
