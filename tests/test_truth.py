"""The challenge's published list of truths, and what it makes of clips without a label."""

from pathlib import Path

import pytest

from asdlib.data import Clip
from asdlib.errors import AsdError
from asdlib.truth import read_truth, with_truth

LIST = """fan
id_01_00000000.wav,normal_id_01_00000098.wav,0
id_01_00000001.wav,anomaly_id_01_00000011.wav,1
pump
id_01_00000000.wav,anomaly_id_01_00000003.wav,1
"""


def clip(machine_type, name, label="unknown"):
    return Clip(Path("eval") / machine_type / "test" / name, machine_type, "id_01", "test", label)


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "eval_data_list.csv"
    path.write_text(LIST)
    return path


def test_names_count_within_their_machine_type(listed):
    clips = [clip("fan", "id_01_00000000.wav"), clip("fan", "id_01_00000001.wav"), clip("pump", "id_01_00000000.wav")]
    assert [c.label for c in with_truth(clips, read_truth(listed))] == ["normal", "anomaly", "anomaly"]


def test_a_clip_that_is_not_listed_stays_as_it_is_and_labels_in_names_must_agree(listed):
    truth = read_truth(listed)
    clips = [clip("fan", "id_01_00000000.wav", "normal"), clip("valve", "id_01_00000000.wav")]
    assert [c.label for c in with_truth(clips, truth)] == ["normal", "unknown"]
    with pytest.raises(AsdError, match="is called anomaly, and the list of truths says normal: rename the file"):
        with_truth([clip("fan", "id_01_00000000.wav", "anomaly")], truth)
    with pytest.raises(AsdError, match="about none of these clips"):
        with_truth(clips[1:], truth)


def test_line_ends_blank_lines_and_trailing_commas_of_spreadsheets_do_not_matter(tmp_path, listed):
    other = tmp_path / "other.csv"
    other.write_bytes(b"\xef\xbb\xbf" + LIST.replace("fan\n", "fan,,\n").replace("\n", "\r\n").encode() + b"\r\n")
    assert read_truth(other) == read_truth(listed)


@pytest.mark.parametrize(("content", "why"), [
    ("", "lists no clip"),
    ("fan\n", "lists no clip"),
    ("id_01_00000000.wav,normal_id_01_00000098.wav,0\n", "line 1 of"),
    ("fan\nid_01_00000000.wav,normal_id_01_00000098.wav,2\n", "line 2 of"),
    ("fan\nid_01_00000000.wav,0.3\n", "line 2 of"),
])  # fmt: skip
def test_what_is_no_such_list_is_refused_by_its_line(tmp_path, content, why):
    path = tmp_path / "list.csv"
    path.write_text(content)
    with pytest.raises(AsdError, match=why):
        read_truth(path)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    (tmp_path / "sound.wav").write_bytes(b"RIFF\xff\xfe\x00\x00")
    for name in ("nowhere.csv", "sound.wav"):
        with pytest.raises(AsdError, match="cannot read the list of truths"):
            read_truth(tmp_path / name)
