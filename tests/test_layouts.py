"""A row of the table of layouts is all that it takes to find, list and download another collection."""

import json
from dataclasses import FrozenInstanceError

import pytest

from asdlib.data import Clip, scan
from asdlib.download import download
from asdlib.errors import AsdError
from asdlib.sound.layouts import LAYOUTS, Layout, Part
from tests.test_download import FAN, content, zenodo, zipped  # noqa: F401 (a fixture)

SECTIONS = Layout(
    name="sections",
    pattern=r"(?P<type>[^/]+)/(?P<split>train|heldout)/(?P<id>unit_\d+)_(?P<label>normal|broken|any)_\d+\.wav",
    tree="<type>/{train,heldout}/unit_<nn>_<label>_<number>.wav",
    example="unit_<nn>_normal_<number>.wav",
    splits={"train": "train", "heldout": "test"},
    labels={"normal": "normal", "broken": "anomaly"},
    parts={"all": Part(12345, "sections_{}.zip")},
    machine_types=("fan",),
)


@pytest.fixture
def sections(monkeypatch):
    monkeypatch.setitem(LAYOUTS, "sections", SECTIONS)


def touched(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [root / name for name in names]


def test_another_row_is_found_and_listed_beside_the_first(sections, tmp_path, asd):
    paths = touched(
        tmp_path,
        "new/pump/heldout/unit_00_any_0003.wav",
        "new/pump/heldout/unit_00_broken_0002.wav",
        "new/pump/train/unit_00_normal_0001.wav",
        "old/fan/test/anomaly_id_02_00000000.wav",
    )
    assert scan(tmp_path) == [
        Clip(paths[0], "pump", "unit_00", "test", "unknown"),
        Clip(paths[1], "pump", "unit_00", "test", "anomaly"),
        Clip(paths[2], "pump", "unit_00", "train", "normal"),
        Clip(paths[3], "fan", "id_02", "test", "anomaly"),
    ]
    code, out, _ = asd("info", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) == {
        "fan/id_02": {"train normal": 0, "test normal": 0, "test anomaly": 1, "test unknown": 0},
        "pump/unit_00": {"train normal": 1, "test normal": 0, "test anomaly": 1, "test unknown": 1},
    }
    assert "pump/unit_00" in asd("info", tmp_path)[1]


def test_a_row_may_have_folders_of_another_depth(monkeypatch, tmp_path):
    pattern = r"(?P<split>train|test)/(?P<label>normal|anomaly)/(?P<type>\w+)/(?P<id>\w+)/[^/]+\.wav"
    monkeypatch.setitem(LAYOUTS, "deep", Layout("deep", pattern, tree="-", example="-"))
    (path, _) = touched(tmp_path, "test/anomaly/saw/left/1.wav", "test/elsewhere/1.wav")
    assert scan(tmp_path) == [Clip(path, "saw", "left", "test", "anomaly")]


def test_a_name_of_no_row_is_refused_with_an_example_of_each(sections, tmp_path):
    touched(tmp_path, "pump/heldout/normal_id_00_0.wav")  # of neither: the first knows no such folder
    with pytest.raises(AsdError, match=r"call it normal_id_.*\.wav or .* or unit_<nn>_normal_<number>\.wav or move"):
        scan(tmp_path)


def test_without_the_row_its_clips_are_refused(tmp_path):
    (path,) = touched(tmp_path, "pump/train/unit_00_normal_0001.wav")
    with pytest.raises(AsdError, match="does not say which machine it is of: call it normal_id_") as error:
        scan(tmp_path)
    assert str(error.value).startswith(str(path))


def test_a_training_clip_of_another_row_must_be_called_normal(sections, tmp_path):
    touched(tmp_path, "pump/train/unit_00_broken_0001.wav")
    with pytest.raises(AsdError, match="not called normal"):
        scan(tmp_path)


def test_another_row_is_downloaded_from_its_own_record(sections, zenodo, tmp_path):  # noqa: F811
    members = {"fan/train/unit_00_normal_0001.wav": next(iter(FAN.values()))}
    zenodo.files = {"sections_fan.zip": zipped(members.items())}
    (folder,) = download(tmp_path, layout="sections", part="all", api=zenodo.api)
    assert zenodo.records_seen == [12345]
    assert content(folder) == members
    assert [clip.machine for clip in scan(tmp_path)] == ["fan/unit_00"]
    for wrong, sentence in [
        ({"layout": "none"}, "no layout 'none': choose one of dcase2020, .*sections"),
        ({"layout": "sections", "part": "dev"}, "no part 'dev' of sections: choose one of all"),
        ({"layout": "sections", "part": "all", "machine_types": ["pump"]}, "no machine type 'pump' in sections"),
    ]:
        with pytest.raises(AsdError, match=sentence):
            download(tmp_path, api=zenodo.api, **wrong)


def test_the_row_of_dcase_2020_says_what_was_published():
    row = LAYOUTS["dcase2020"]
    assert (row.name, row.licence, row.mean) == ("DCASE 2020 Task 2", "CC BY-NC-SA 4.0", "arithmetic")
    assert {name: part.record for name, part in row.parts.items()} == {"dev": 3678171, "add": 3727685, "eval": 3841772}
    with pytest.raises(FrozenInstanceError):
        row.name = "another"


def test_a_layout_that_is_forced_and_not_followed_says_its_tree(tmp_path):
    (tmp_path / "fan" / "test").mkdir(parents=True)
    (tmp_path / "fan" / "test" / "normal_id_00_1.wav").touch()
    with pytest.raises(AsdError, match=r"call it <machine type>/id_<nn>/.*/<number>\.wav or move it away"):
        scan(tmp_path, layout="mimii")
