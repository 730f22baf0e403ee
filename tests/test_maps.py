"""Maps of the machine types: every clip in the frame of its type, every stage on paper, and nothing that cannot be drawn."""

import json
import re

import numpy as np
import pytest

from asdlib.errors import AsdError
from asdlib.explore import type_maps
from asdlib.plots import ID_COLOURS, machine_colours

MACHINES = ["fan/id_00", "fan/id_02", "pump/id_00", "fan/id_00", "pump/id_04"]
STAGES = {"before": np.arange(10.0).reshape(5, 2) ** 2, "after": np.arange(10.0).reshape(5, 2)[::-1] ** 1.5}


def page(**changed):
    given = {"stages": STAGES, "machines": MACHINES} | changed
    return type_maps(given.pop("stages"), given.pop("machines"), **given)._repr_html_()


def data_of(text):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1])


def test_every_clip_lies_in_the_frame_of_its_type_in_every_stage():
    text = page()
    moving, still = text.split('<div class="still">')
    assert re.findall(r'<figure data-type="(\w+)">', moving) == ["fan", "pump"]
    assert moving.count('class="point"') == 5
    assert still.split("<script")[0].count('class="point"') == 10  # paper shows both stages
    places = data_of(text)["stages"]
    assert {stage: {kind: len(xy) for kind, xy in own.items()} for stage, own in places.items()} == {
        "before": {"fan": 3, "pump": 2},
        "after": {"fan": 3, "pump": 2},
    }
    for own in places.values():
        for xy in map(np.array, own.values()):
            assert (xy >= 0).all()
            assert (xy <= [300, 230]).all()


def test_a_frame_keeps_the_shape_of_its_points():
    """One scale for both directions, the second axis upwards."""
    square = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]])
    (corner, right, up, _, middle) = np.array(
        data_of(page(stages={"a": square}, machines=["fan/id_00"] * 5))["stages"]["a"]["fan"]
    )
    assert right[0] - corner[0] == corner[1] - up[1] > 150
    assert right[1] == corner[1]
    np.testing.assert_allclose(middle, [150, 115], atol=1)


def test_a_map_says_in_words_how_many_lie_beside_their_own():
    points = np.array(
        [[0, 0], [1, 0], [9, 9], [5, 0], [5, 1]]
    )  # of the fans 0, 1 and 3, the last is nearest to another machine
    machines = ["fan/id_00", "fan/id_00", "pump/id_00", "fan/id_02", "pump/id_04"]
    text = page(stages={"a": points}, machines=machines)
    fans, pumps = "fan, a: map of 3 clips; the nearest clip is one of the same machine for 2 of them", "pump, a: map of 2 clips"
    assert data_of(text)["labels"] == {
        "a": {"fan": fans, "pump": f"{pumps}; the nearest clip is one of the same machine for 0 of them"}
    }
    assert text.count(f'aria-label="{fans}"') == 2  # on the page and on paper


def test_the_silhouette_stands_beside_its_type():
    text = page(silhouettes={"before": {"fan": 0.123, "pump": -0.5}, "after": {"fan": 0.9, "pump": 0.25}})
    assert re.findall(r'class="number">([^<]*)<', text) == [
        f"silhouette {x}" for x in ("0.12", "-0.50", "0.12", "-0.50", "0.90", "0.25")
    ]


def test_faulty_clips_are_hollow_and_names_stay_text():
    text = page(faulty=[False, True, False, False, True], machines=["<b>/id_00"] * 3 + ["fan/id_00", "fan/id_02"])
    assert text.split('<div class="still">')[0].count('class="hollow"') == 2
    assert "Filled: healthy. Hollow: faulty." in text
    assert "<b>/" not in text.replace("\\u003cb>", "")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stages": {}}, "one clip and one stage at least"),
        ({"machines": []}, "one clip and one stage at least"),
        ({"stages": {"a": np.zeros((4, 2))}}, "the points of 'a' are not 5 finite pairs"),
        ({"stages": {"a": np.full((5, 2), np.nan)}}, "the points of 'a' are not 5 finite pairs"),
        ({"faulty": [True]}, "faulty has 1 rows for 5 clips"),
    ],
)
def test_what_cannot_be_drawn_is_said(changed, words):
    with pytest.raises(AsdError, match=words):
        page(**changed)


def test_a_machine_has_one_colour_whatever_stands_beside_it():
    alone, among = machine_colours(["fan/id_04"]), machine_colours([f"fan/id_0{i}" for i in range(7)] + ["pump/id_04"])
    assert alone["fan/id_04"] == among["fan/id_04"] == among["pump/id_04"] == ID_COLOURS[4]
    assert len({among[f"fan/id_0{i}"] for i in range(7)}) == 7


def test_machines_without_numbers_or_with_two_of_one_colour_are_still_told_apart():
    for names in (["a/left", "a/right"], ["a/id_01", "a/id_09"], ["a/id_01", "a/b"]):
        assert len(set(machine_colours(names).values())) == 2
