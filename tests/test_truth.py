"""The challenge's published list of truths, and what it makes of clips without a label."""

import unicodedata
from pathlib import Path

import pytest

from asdlib.data import Clip, scan
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


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_do_not_matter_either(separator, tmp_path, listed):
    other = tmp_path / "other.csv"
    other.write_text(LIST.replace(",", separator))
    assert read_truth(other) == read_truth(listed)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_lists_hold_names_of_any_alphabet_and_any_bytes(encoding, form, tmp_path):
    name = "id_01_gew\xf6lbe.wav".encode(encoding)
    (tmp_path / "list.csv").write_bytes(b"L\xfcfter\n".decode("latin-1").encode(encoding) + name + b",1\n")
    data = tmp_path / "data" / "Lüfter".encode(encoding).decode("utf-8", "surrogateescape") / "test"
    data.mkdir(parents=True)
    on_disk = name.decode("utf-8", "surrogateescape")
    (data / (unicodedata.normalize(form, on_disk) if encoding == "utf-8" else on_disk)).touch()
    (clip,) = with_truth(scan(tmp_path / "data"), read_truth(tmp_path / "list.csv"))
    assert clip.label == "anomaly"


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


# ------------------------------------------------------------------------------------------------------ lists from 2021 on


def section(machine_type, name, **about):
    return Clip(Path("eval") / machine_type / "test" / name, machine_type, "section_00", "test", "unknown", **about)


@pytest.fixture
def ground_truth(tmp_path):
    """The folders of an evaluator from 2023 on: labels, domains and names with labels, not in the same order."""
    root = tmp_path / "evaluator"
    for folder, lines in {
        "ground_truth_data": ["section_00_0001.wav,1", "section_00_0000.wav,0"],
        "ground_truth_domain": ["section_00_0000.wav,1", "section_00_0001.wav,0"],
        "ground_truth_attributes": [
            "section_00_0000.wav,section_00_target_test_normal_0017_vel_12",
            "section_00_0001.wav,section_00_source_test_anomaly_0002_noAttribute,section_00_source_test_anomaly_0002_a_1.5.wav",
        ],
    }.items():
        (root / folder).mkdir(parents=True)
        (root / folder / "ground_truth_Toy_Tank_section_00_test.csv").write_text("\n".join(lines) + "\n")
    (root / "README.md").write_text("not a list")
    return root


def about(clips):
    return [(clip.label, clip.domain, clip.attributes) for clip in clips]


TANKS = [section("Toy_Tank", "section_00_0000.wav"), section("Toy_Tank", "section_00_0001.flac")]


def test_a_folder_of_lists_tells_label_domain_and_attributes(ground_truth):
    assert about(with_truth(TANKS, read_truth(ground_truth))) == [
        ("normal", "target", (("vel", "12"),)),
        ("anomaly", "source", (("a", "1.5"),)),
    ]


@pytest.mark.parametrize(("folder", "expected"), [
    ("ground_truth_data", [("normal", "unknown", ()), ("anomaly", "unknown", ())]),
    ("ground_truth_domain", [("unknown", "target", ()), ("unknown", "source", ())]),
])  # fmt: skip
def test_one_list_tells_what_is_in_it(folder, expected, ground_truth):
    (path,) = (ground_truth / folder).iterdir()
    assert about(with_truth(TANKS, read_truth(path))) == expected
    assert about(with_truth(TANKS, read_truth(path.parent))) == expected


def test_lists_of_2021_are_one_a_domain(tmp_path):
    for domain, label in (("source", "1"), ("target", "0")):
        path = tmp_path / f"ground_truth_fan_section_03_{domain}_test.csv"
        path.write_text(f"section_03_{domain}_test_0000.wav,{label}\n")
    clips = [section("fan", f"section_03_{domain}_test_0000.wav", domain=domain) for domain in ("source", "target")]
    assert about(with_truth(clips, read_truth(tmp_path))) == [("anomaly", "source", ()), ("normal", "target", ())]


def test_the_list_of_a_baseline_system_has_names_with_labels_alone(tmp_path):
    path = tmp_path / "eval_data_list_2023.csv"
    path.write_text("Toy_Tank\nsection_00_0000.wav,section_00_source_test_normal_0044_loc_A.wav\n")
    (clip, other) = with_truth(TANKS, read_truth(path))
    assert about([clip]) == [("normal", "source", (("loc", "A"),))]
    assert other == TANKS[1]


def test_lists_and_names_that_contradict_each_other_are_refused(ground_truth):
    with pytest.raises(AsdError, match="is called source, and the list of truths says target"):
        with_truth([section("Toy_Tank", "section_00_0000.wav", domain="source")], read_truth(ground_truth))
    (ground_truth / "ground_truth_data" / "ground_truth_Toy_Tank_section_00_test.csv").write_text("section_00_0000.wav,1\n")
    with pytest.raises(AsdError, match="section_00_0000 is anomaly, and normal in another list"):
        read_truth(ground_truth)


def test_a_folder_without_lists_is_said(tmp_path):
    with pytest.raises(AsdError, match="holds no list of truths: give the challenge's"):
        read_truth(tmp_path)


@pytest.mark.parametrize("line", ["section_00_0000.wav", "section_00_0000.wav,2", "section_00_0000.wav,0,1", "a.wav,b.wav"])
def test_lines_of_other_lists_are_refused(line, tmp_path):
    path = tmp_path / "ground_truth_fan_section_00_test.csv"
    path.write_text(f"section_00_0001.wav,0\n{line}\n")
    with pytest.raises(AsdError, match="line 2 of"):
        read_truth(path)
