"""Folders that people make themselves: words for healthy and faulty, names of any alphabet, and disks that fail."""

import errno
import os
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asdlib.data import Clip, scan, survey
from asdlib.errors import AsdError
from asdlib.layouts import WORDS, words_in
from tests.trees import touched


def kinds(clips):
    return Counter((clip.machine, clip.split, clip.label) for clip in clips)


@pytest.mark.parametrize("word", [*WORDS, "NG", "Good"])
def test_folders_are_understood_by_the_words_that_people_use(word, tmp_path):
    label = WORDS[word.lower()]
    touched(tmp_path, [f"press/{word}/2024-05/{i}.m4a" for i in range(3)])
    split = "train" if label == "normal" else "test"
    assert kinds(scan(tmp_path)) == {("press/id_00", split, label): 3}
    assert kinds(scan(tmp_path / "press")) == kinds(scan(tmp_path))


@pytest.mark.parametrize(("normal", "faulty", "tested"), [(10, 0, 0), (10, 3, 3), (10, 20, 5), (1, 4, 0), (0, 4, 0), (5, 5, 2)])
def test_as_many_normal_clips_as_anomalies_are_tested_at_most_half_the_first_by_name(normal, faulty, tested, tmp_path, caplog):
    names = [f"pump/normal/{i:03}.wav" for i in range(normal)] + [f"pump/abnormal/{i:03}.wav" for i in range(faulty)]
    touched(tmp_path, names)
    clips = scan(tmp_path)
    assert [c.path.stem for c in clips if c.split == "test" and c.label == "normal"] == [f"{i:03}" for i in range(tested)]
    assert kinds(clips)["pump/id_00", "train", "normal"] == normal - tested
    assert kinds(clips)["pump/id_00", "test", "anomaly"] == faulty
    assert len(caplog.records) == bool(normal and faulty)  # without both there was nothing to decide


@pytest.mark.parametrize(
    "tree",
    ["saw/train/ok/1.wav saw/test/ok/2.wav saw/test/ng/3.wav", "train/saw/ok/1.wav test/saw/ok/2.wav test/saw/ng/3.wav",
     "saw/ok/train/1.wav saw/ok/test/2.wav saw/ng/test/3.wav", "saw/Train/OK/1.wav saw/TEST/Ok/2.wav saw/Test/NG/3.wav"],
)  # fmt: skip
def test_folders_that_say_train_and_test_are_believed(tree, tmp_path, caplog):
    touched(tmp_path, tree.split())
    expected = {
        ("saw/id_00", split, label): 1 for split, label in (("train", "normal"), ("test", "normal"), ("test", "anomaly"))
    }
    assert kinds(scan(tmp_path)) == expected
    assert not caplog.records  # nothing had to be decided
    touched(tmp_path, ["saw/train/defect/4.wav"])
    with pytest.raises(AsdError, match="in a train folder and not called normal"):
        scan(tmp_path)


def test_what_lies_above_the_folder_that_is_searched_says_nothing(tmp_path):
    """Somebody's home may be called test, or good."""
    touched(tmp_path / "test" / "good", ["fan/normal/1.wav", "fan/normal/2.wav", "good.wav"])
    assert kinds(scan(tmp_path / "test" / "good")) == {("fan/id_00", "train", "normal"): 2}
    touched(tmp_path / "normal", ["a.wav"])
    with pytest.raises(AsdError, match=r"no clips .*; other sound files are there, 1 in"):
        scan(tmp_path / "normal")


def test_machines_that_are_called_alike_are_told_apart_by_the_folder_above(tmp_path, caplog):
    touched(tmp_path, ["hall_1/pump/ok/1.wav", "hall_2/pump/ok/1.wav", "hall_2/fan/ok/1.wav"])
    assert {clip.machine for clip in scan(tmp_path)} == {"hall_1/pump", "hall_2/pump", "hall_2/fan"}
    assert "told apart by the folder above: hall_1/pump, hall_2/fan, hall_2/pump" in caplog.text
    assert {clip.machine for clip in scan(tmp_path / "hall_2")} == {"pump/id_00", "fan/id_00"}
    touched(tmp_path / "ids", ["saw/id_01/ok/1.wav", "saw/id_02/train/ok/1.wav", "press/id_01/ok/1.flac"])
    assert {clip.machine for clip in scan(tmp_path / "ids")} == {"saw/id_01", "saw/id_02", "press/id_01"}


def test_other_words_are_given_and_what_is_not_understood_is_counted(tmp_path, caplog):
    touched(
        tmp_path, [f"Säge/prima/{i}.wav" for i in range(4)] + ["Säge/kaputt/1.wav", "Säge/kaputt/2.ogg", "notes.txt", "x.zip"]
    )
    with pytest.raises(AsdError, match=r"no clips .*6 in .*prima \(4\), .*kaputt \(2\); words= says"):
        scan(tmp_path)
    words = words_in("normal=Prima, anomaly=kaputt")
    assert words == {"prima": "normal", "kaputt": "anomaly"}
    found = survey(tmp_path, words=words)
    assert kinds(found.clips) == {
        ("Säge/id_00", "train", "normal"): 2, ("Säge/id_00", "test", "normal"): 2, ("Säge/id_00", "test", "anomaly"): 2,
    }  # fmt: skip
    assert found.others == {"txt": 1, "zip": 1}
    caplog.clear()
    assert len(scan(tmp_path, words={"prima": "normal"})) == 4
    assert "passed over: sound files that follow no layout, 2 in" in caplog.text
    assert "kaputt (2)" in caplog.text


@pytest.mark.parametrize("text", ["gut", "good=gut", "normal=", "normal=a,", "normal=a/b", "anomaly", "normal=a;anomaly=b"])
def test_words_that_say_nothing_are_refused(text):
    with pytest.raises(AsdError, match="write normal=NAME or anomaly=NAME"):
        words_in(text)


def test_advice_about_a_name_never_makes_a_normal_clip_of_an_anomaly(tmp_path):
    for name in ("anomalous 3.wav", "Defekt_7.wav", "broken.flac"):
        (path,) = touched(tmp_path, [f"fan/test/{name}"])
        with pytest.raises(AsdError, match="does not say which machine it is of: call it anomaly_id_") as error:
            scan(tmp_path)
        assert "normal_id" not in str(error.value)
        path.unlink()


@pytest.mark.parametrize("place", ["pump/train", "pump", "pump/test/deep"])
def test_a_folder_that_cannot_be_listed_is_named(place, tmp_path, monkeypatch):
    touched(tmp_path, ["fan/train/normal_id_00_0.wav", "pump/train/normal_id_00_0.wav", "pump/test/deep/x.txt"])
    real = os.scandir

    def flaky(path="."):
        if str(path).endswith(place):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", flaky)
    with pytest.raises(AsdError, match=f"cannot list the folder .*{place} \\(Input/output error\\)"):
        scan(tmp_path)


FORMS = st.sampled_from(["Lüfter", "Säge", "ポンプ", "Ångström", "fan", "Größe 3"])


@settings(deadline=None, max_examples=25)
@given(FORMS, FORMS, st.sampled_from(["NFC", "NFD"]))
def test_one_machine_is_one_whatever_form_its_letters_have(tmp_path_factory, one, other, form):
    root = tmp_path_factory.mktemp("forms")
    for number, (name, written) in enumerate([(one, "NFC"), (one, "NFD"), (other, form)]):
        touched(root, [f"{number}/{unicodedata.normalize(written, name)}/train/normal_id_00_{number}.wav"])
    clips = scan(root)
    assert len(clips) == 3
    assert all(clip.path.is_file() for clip in clips)
    assert {clip.machine for clip in clips} == {f"{unicodedata.normalize('NFC', name)}/id_00" for name in (one, other)}


def test_names_that_are_not_utf8_are_found_in_order_and_can_be_written_out(tmp_path):
    names = [b"L\xfcfter/train/normal_id_00_1_ger\xe4usch.wav", b"Z/train/normal_id_00_1.wav", b"L\xfcfter/ok/\xff.wav"]
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").close()
    clips = scan(tmp_path)
    assert [clip.machine for clip in clips] == ["L\\xfcfter/id_00", "L\\xfcfter/id_00", "Z/id_00"]
    assert {os.fsencode(clip.path.relative_to(tmp_path)) for clip in clips} == set(names)
    for clip in clips:
        clip.machine.encode()


SAFE = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(SAFE.filter(lambda name: name not in (".", "..") and not name.startswith(".")))
def test_a_machine_type_is_never_empty_and_has_no_slash(tmp_path_factory, name):
    root = tmp_path_factory.mktemp("names")
    try:
        touched(root, [f"{name}/train/normal_id_00_0.wav"])
    except OSError:
        return
    (clip,) = scan(root)
    assert clip.machine_type == unicodedata.normalize("NFC", name)
    assert "/" not in clip.machine_type
    assert clip == Clip(root / name / "train" / "normal_id_00_0.wav", clip.machine_type, "id_00", "train", "normal")


def test_machines_with_ids_are_told_apart_by_the_folder_above_too(tmp_path, caplog):
    touched(tmp_path, [f"hall_{h}/pump/id_0{i}/ok/1.wav" for h in (1, 2) for i in (0, 2)] + ["hall_1/saw/id_00/ok/1.wav"])
    wanted = {f"hall_{h}_pump/id_0{i}" for h in (1, 2) for i in (0, 2)} | {"saw/id_00"}
    assert {clip.machine for clip in scan(tmp_path)} == wanted
    assert "told apart by the folder above" in caplog.text


@pytest.mark.parametrize("tree", ["pump/{}/normal", "{}/pump/normal", "pump/normal/{}"])
def test_no_machine_is_called_as_people_call_clips_for_training_and_for_tests(tree, tmp_path, caplog):
    touched(tmp_path, [f"{tree.format(word)}/1.wav" for word in ("training", "Testing", "validation")])
    assert kinds(scan(tmp_path)) == {("pump/id_00", "train", "normal"): 1, ("pump/id_00", "test", "normal"): 2}
    assert not [record for record in caplog.records if "several folders" not in record.message]


@pytest.mark.parametrize("word", ["gut", "Gut", "GESTOẞEN", "gestoßen", unicodedata.normalize("NFD", "Läuft")])
def test_words_are_those_of_folders_in_any_case_and_form(word, tmp_path):
    touched(tmp_path, [f"pump/{form(word)}/{form.__name__}.wav" for form in (str.lower, str.upper, str.title)])
    (tmp_path / "pump" / unicodedata.normalize("NFC", word)).mkdir(exist_ok=True)
    touched(tmp_path, [f"pump/{unicodedata.normalize('NFC', word)}/1.wav"])
    for words in ({word: "anomaly"}, words_in(f"anomaly={word}")):
        clips = scan(tmp_path, words=words)
        assert {clip.label for clip in clips} == {"anomaly"}
        assert len(clips) >= (3 if "ß" in word.lower() else 4)  # ß in capitals is SS, another word
    with pytest.raises(AsdError, match="write normal=NAME or anomaly=NAME"):
        scan(tmp_path, words={word: "good"})


def test_clips_of_one_name_in_several_folders_are_told(tmp_path, caplog):
    """A copy beside, or two years of a challenge: both make one machine of what is none."""
    touched(
        tmp_path, [f"{year}/fan/train/section_00_source_train_normal_{i:04}_v.wav" for year in (2022, 2023) for i in (0, 1)]
    )
    assert len(scan(tmp_path)) == 4
    assert "clips of fan/section_00 lie in several folders" in caplog.text
    assert f"{tmp_path}/2022/fan, {tmp_path}/2023/fan: leave out copies" in caplog.text
    caplog.clear()
    assert len(scan(tmp_path / "2022")) == 2
    touched(tmp_path / "parts", ["a/pump/train/normal_id_00_1.wav", "b/pump/test/normal_id_00_1.wav"])
    assert len(scan(tmp_path / "parts")) == 2  # of one machine, as training and test clips are published
    assert not caplog.records


def test_machines_below_the_words_for_what_is_in_them_are_told(tmp_path, caplog):
    touched(tmp_path, [f"{word}/{machine}/1.wav" for word in ("normal", "abnormal") for machine in ("fan", "pump")])
    assert {clip.machine for clip in scan(tmp_path)} == {f"{tmp_path.name}/id_00"}
    assert f"fan, pump, are not taken for machines: all clips in them are of {tmp_path.name}/id_00" in caplog.text


def test_where_no_clip_is_what_is_there_is_said(tmp_path):
    touched(tmp_path, ["dev_fan.zip", "dev_pump.zip", "LICENSE"])
    with pytest.raises(AsdError, match=r"no clips .*; other files are there, 2 \.zip, 1 without ending: unpack the archives"):
        scan(tmp_path)


def test_a_pipe_in_a_folder_is_passed_over_and_said(tmp_path):
    """Whoever opened it would wait for ever."""
    touched(tmp_path, [f"press/normal/{i}.wav" for i in range(3)])
    os.mkfifo(tmp_path / "press" / "normal" / "live.wav")
    found = survey(tmp_path)
    assert kinds(found.clips) == {("press/id_00", "train", "normal"): 3}
    assert any(line.startswith("passed over: pipes, which nobody may ever fill") for line in found.remarks())
