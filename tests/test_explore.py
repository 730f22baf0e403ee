"""The audible map, the threshold room and the ear test: what a page holds before any script runs."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from asdlib.errors import AsdError
from asdlib.explore import audible_map, ear_test, threshold_room
from asdlib.listen import listen
from asdlib.machines import render

RATE = 16000
NASTY = "</script><script>alert(1)</script> \" ' <b> & <!-- "
MACHINES = ["fan/id_00", "fan/id_02", "pump/id_00", "fan/id_00", "pump/id_00", "fan/id_02"]
FAULTY = [False, True, False, False, True, False]
N = len(MACHINES)
SOUNDS = [(0.1 * np.sin(np.arange(1600) * (i + 1) / 20)).astype(np.float32) for i in range(N)]
POINTS = np.array([[0, 0], [1, 5], [2, 10], [4, 2], [3, 3], [-4, 1]], dtype=float)
TEXTS = [f"{machine}, clip {i}" for i, machine in enumerate(MACHINES)]


def the_map(**changed):
    arguments = {"stages": {"before": POINTS, "after": -POINTS[::-1]}, "waveforms": SOUNDS, "machines": MACHINES}
    return audible_map(**{**arguments, "texts": TEXTS, "faulty": FAULTY, "notes": {"after": "apart"}, **changed})


def the_room(**changed):
    scores = [0.1, 2.5, 0.3, 0.2, 1e-7, 0.123456789]
    table = {"scores": scores, "faulty": FAULTY, "texts": TEXTS, "waveforms": SOUNDS}
    return threshold_room({"fan/id_00": {**table, **changed}})


def the_test(**changed):
    clips = list(zip(SOUNDS, FAULTY, TEXTS, strict=True))
    return ear_test(clips, **{"known": [(SOUNDS[0], "a healthy fan")], "rivals": {"network": np.arange(N)}, **changed})


WIDGETS = {"map": the_map, "threshold": the_room, "ears": the_test}


class Page(HTMLParser):
    """Elements of a widget as (tag, attributes), and the texts in the elements of each tag."""

    def __init__(self, widget):
        super().__init__()
        self.elements, self.open, self.texts = [], [], {}
        self.feed(widget._repr_html_())
        self.close()
        assert self.open == []  # everything that was opened is closed

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("input", "img"):
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]][-1] += data

    def all(self, tag, **wanted):
        found = [attributes for name, attributes in self.elements if name == tag]
        return [a for a in found if all(a.get(key.rstrip("_")) == value for key, value in wanted.items())]

    @property
    def data(self):
        return json.loads(self.texts["script"][0])


def heard(address):
    assert address.startswith("data:audio/mpeg;base64,")
    return soundfile.read(io.BytesIO(base64.b64decode(address.split(",")[1])))[0]


@pytest.mark.parametrize("make", WIDGETS.values(), ids=WIDGETS)
def test_everything_is_inlined(make):
    page = make()._repr_html_()
    assert not re.search(r'\b(src|href|action|poster|data)\s*=\s*["\'](?!data:)', page)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)|\bfetch\b|XMLHttpRequest|\bimport\b", page)


@pytest.mark.parametrize("make", WIDGETS.values(), ids=WIDGETS)
def test_equal_widgets_have_names_of_their_own_and_equal_beginnings(make):
    first, second = make(), make()
    assert first.id != second.id
    assert first.id.rsplit("-", 1)[0] == second.id.rsplit("-", 1)[0]
    assert [a["id"] for _, a in Page(first).elements if "id" in a] == [first.id]
    assert f'asdlib.start("{first.id}"' in first._repr_html_()
    assert the_test(rivals={}).id.rsplit("-", 1)[0] != the_test().id.rsplit("-", 1)[0]


@pytest.mark.parametrize("make", [*WIDGETS.values(), lambda texts: listen(SOUNDS[0], texts[0])], ids=[*WIDGETS, "players"])
def test_no_text_breaks_out_of_its_place(make):
    if make is the_test:
        clips = list(zip(SOUNDS, FAULTY, [NASTY] * N, strict=True))
        widget = ear_test(clips, known=[(SOUNDS[0], NASTY)], rivals={NASTY: np.arange(N)})
    else:
        widget = make(texts=[NASTY] * N)
    page = Page(widget)
    assert len(page.all("script")) == 2
    assert page.all("b") == []
    shown = [a["aria-label"] for _, a in page.elements if NASTY in a.get("aria-label", "")]
    assert len(shown) == {the_map: N, the_room: 0, the_test: 1}.get(make, 2)


def test_names_of_stages_notes_and_machines_stay_in_their_places_too():
    page = Page(the_map(stages={NASTY: POINTS}, notes={NASTY: NASTY}, texts=[NASTY] * N))
    assert len(page.all("script")) == 2
    assert list(page.data["stages"]) == [NASTY]
    assert (page.data["notes"], page.data["texts"]) == ({NASTY: NASTY}, [NASTY] * N)
    table = {"scores": [0, 1], "faulty": [0, 1], "texts": ["", ""], "waveforms": SOUNDS[:2]}
    room = Page(threshold_room({NASTY: table}))
    assert room.texts["option"] == [NASTY]
    assert list(room.data) == [NASTY]


@pytest.mark.parametrize("make", WIDGETS.values(), ids=WIDGETS)
def test_a_clip_of_two_seconds_costs_less_than_20_kilobytes(make):
    clips = [render(machine, i, split="test").waveform[: 2 * RATE] for i, machine in enumerate(MACHINES)]
    rated = list(zip(clips, FAULTY, TEXTS, strict=True))
    widget = ear_test(rated) if make is the_test else make(waveforms=clips)
    assert len(widget._repr_html_()) < 20_000 * N


def test_no_text_opens_a_comment_in_the_script():
    assert "<" not in Page(the_map(texts=["<!-- <script>"] * N)).texts["script"][0]


def test_no_machine_name_breaks_out_of_its_place():
    page = Page(the_map(machines=['"<b>/id_00'] * N))
    assert page.all("b") == []
    assert page.all("g", class_="point")[0]["data-type"] == '"<b>'


def test_the_loudest_spot_of_all_clips_is_the_top_of_the_scale():
    loud = [*SOUNDS[:-1], 5 * SOUNDS[-1]]
    quiet, top = Page(the_map()).data["top"], Page(the_map(waveforms=loud)).data["top"]
    levels = [np.abs(np.fft.rfft(x[400:912] * np.hanning(513)[:512])).max() / 256 for x in SOUNDS]
    assert quiet == pytest.approx(20 * np.log10(max(levels)), abs=0.3)
    assert top == pytest.approx(20 * np.log10(max(*levels[:-1], 5 * levels[-1])), abs=0.3)
    assert Page(the_room(waveforms=loud)).data["fan/id_00"]["top"] == top
    clips = list(zip(loud, FAULTY, TEXTS, strict=True))
    assert Page(ear_test(clips)).data["top"] == top


# ---------------------------------------------------------------------------------------------------- the audible map


def test_the_map_shows_a_mark_for_each_clip_hollow_where_it_is_faulty():
    page = Page(the_map())
    marks = page.all("g", class_="point")
    assert [mark["aria-label"] for mark in marks] == TEXTS
    assert page.texts["title"] == TEXTS
    assert [mark["data-type"] for mark in marks] == [machine.split("/")[0] for machine in MACHINES]
    assert [mark["tabindex"] for mark in marks] == ["0", *["-1"] * (N - 1)]  # one stop for the tabulator
    paths = page.all("path")[:N]
    assert [path["class"] == "hollow" for path in paths] == FAULTY
    colours = [path["stroke"] if faulty else path["fill"] for path, faulty in zip(paths, FAULTY, strict=True)]
    looks = [(path["d"], colour) for path, colour in zip(paths, colours, strict=True)]
    assert len(set(looks)) == len(set(MACHINES))  # shape and colour tell the machine
    assert all((looks[i] == looks[k]) == (MACHINES[i] == MACHINES[k]) for i in range(N) for k in range(N))
    assert len({path["d"] for path in paths}) == 2  # one shape a type
    legend = [(path["d"], path["fill"]) for path in page.all("path")[N:]]
    assert legend == [looks[0], looks[1], looks[2]]
    assert [text.strip() for text in page.texts["span"][10:]] == ["fan/id_00", "fan/id_02", "pump/id_00"]
    assert page.texts["option"] == ["all types", "fan", "pump"]


def test_hollow_marks_are_explained_only_where_there_are_some():
    assert "Hollow: faulty." in the_map()._repr_html_()
    assert "Hollow" not in the_map(faulty=None)._repr_html_()
    assert "Hollow" not in the_map(faulty=[False] * N)._repr_html_()


def test_the_map_holds_the_sounds_texts_and_notes_it_was_given():
    data = Page(the_map()).data
    assert data["texts"] == TEXTS
    assert data["notes"] == {"after": "apart"}
    assert list(data["stages"]) == ["before", "after"]
    for address, x in zip(data["sounds"], SOUNDS, strict=True):
        y = heard(address)
        assert np.corrcoef(y[200:1400], x[200:1400])[0, 1] > 0.99


places = st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(points=places)
def test_points_fill_the_frame_and_keep_their_order(points):
    points = np.array(points)
    n = len(points)
    widget = audible_map({"s": points}, SOUNDS[:1] * n, ["fan/id_00"] * n, ["x"] * n)
    drawn = np.array(Page(widget).data["stages"]["s"])
    assert drawn.dtype.kind == "i"
    x, y = drawn.T
    assert 0 <= x.min() <= x.max() <= 640
    assert 0 <= y.min() <= y.max() <= 440
    for axis, place, size in zip(points.T, (x, 440 - y), (640, 440), strict=True):
        span = np.ptp(axis)
        if span > 1e-9 * np.abs(axis).max():
            share = (axis - axis.min()) / span
            np.testing.assert_allclose(place, 18 + share * (size - 36), atol=0.51)
    first = [mark["style"] for mark in Page(widget).all("g", class_="point")]
    assert first == [f"transform:translate({a}px,{b}px)" for a, b in drawn]


@pytest.mark.parametrize("name", ["machines", "texts", "faulty"])
def test_a_list_of_another_length_is_refused_by_its_name(name):
    whole = {"machines": MACHINES, "texts": TEXTS, "faulty": FAULTY}
    with pytest.raises(AsdError, match=f"'{name}' has 5 rows for 6 clips"):
        the_map(**{name: whole[name][:-1]})


def test_a_stage_of_another_length_is_refused_by_its_name():
    with pytest.raises(AsdError, match="'after training' has 7 rows for 6 clips"):
        the_map(stages={"before": POINTS, "after training": np.zeros((7, 2))})


# ------------------------------------------------------------------------------------------------- the threshold room


def test_the_room_holds_what_it_was_given():
    page = Page(the_room())
    assert list(page.data) == ["fan/id_00"]
    table = page.data["fan/id_00"]
    assert table["scores"] == pytest.approx([0.1, 2.5, 0.3, 0.2, 1e-7, 0.123456789], rel=1e-5)
    assert table["faulty"] == FAULTY
    assert table["texts"] == TEXTS
    assert [np.corrcoef(heard(a)[200:1400], x[200:1400])[0, 1] > 0.99 for a, x in zip(table["sounds"], SOUNDS, strict=True)]
    assert page.texts["option"] == ["fan/id_00"]
    assert len(page.all("label")) == len(page.all("select")) + len(page.all("input")) == 4  # every control has a label


@pytest.mark.parametrize("faulty", [[False] * N, [True] * N])
def test_the_room_refuses_clips_of_one_class(faulty):
    with pytest.raises(AsdError, match="needs both normal and anomalous clips"):
        the_room(faulty=faulty)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_room_refuses_scores_that_are_not_finite(bad):
    with pytest.raises(AsdError, match="1 of 6 scores are not finite"):
        the_room(scores=[0.1, 2, 0.3, bad, 1, 0])


def test_the_room_refuses_scores_and_truths_of_different_lengths():
    with pytest.raises(AsdError, match="give one of each per clip"):
        the_room(scores=[0.1, 2, 0.3])


@pytest.mark.parametrize("name", ["texts", "waveforms"])
def test_the_room_refuses_another_number_of_texts_or_sounds_by_name(name):
    with pytest.raises(AsdError, match=name):
        the_room(**{name: {"texts": TEXTS, "waveforms": SOUNDS}[name][:-1]})


# ------------------------------------------------------------------------------------------------------- the ear test


def test_the_ear_test_holds_the_clips_and_tells_nothing_beforehand():
    widget = the_test()
    data = Page(widget).data
    assert data["faulty"] == FAULTY
    assert data["texts"] == TEXTS
    assert len(data["sounds"]) == N
    visible = widget._repr_html_().split("<script")[0]
    assert not any(text in visible for text in TEXTS)
    assert Page(widget).texts["button"][:5] == [
        "1 surely healthy", "2 rather healthy", "3 cannot say", "4 rather faulty", "5 surely faulty",
    ]  # fmt: skip
    assert [a["aria-label"] for a in Page(widget).all("audio")] == ["a healthy fan", "The chosen clip"]


@settings(max_examples=25, deadline=None)
@given(scores=st.lists(st.integers(-3, 3), min_size=N, max_size=N))
def test_the_auc_of_a_rival_is_that_of_scikit_learn(scores):
    data = Page(the_test(rivals={"network": scores, "its opposite": [-s for s in scores]})).data
    expected = roc_auc_score(FAULTY, scores)
    assert data["rivals"] == {"network": pytest.approx(expected), "its opposite": pytest.approx(1 - expected)}


def test_a_rival_must_have_scored_the_same_clips():
    with pytest.raises(AsdError, match="give one of each per clip"):
        the_test(rivals={"network": [1, 2, 3]})


def test_in_a_terminal_the_pictures_are_words():
    assert repr(the_map()) == "[map of 6 clips of 3 machines: before, after]"
    assert repr(the_room()) == "[threshold room: fan/id_00]"
    assert repr(the_test()) == "[ear test of 6 clips]"


@pytest.mark.parametrize("make", [lambda: audible_map({}, [], [], []), lambda: threshold_room({}), lambda: ear_test([])])
def test_nothing_to_show_is_refused(make):
    with pytest.raises(AsdError, match="give"):
        make()


def test_points_that_are_no_places_are_refused_by_name():
    with pytest.raises(AsdError, match="points of 'after'"):
        audible_map({"after": np.full((N, 2), np.nan)}, SOUNDS, ["fan/id_00"] * N, TEXTS)
