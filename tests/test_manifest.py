"""Lists of clips: what is written comes back, and every mistake in one is told at once, by its line."""

import json
import math
import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asdlib.data import Clip, scan
from asdlib.errors import AsdError
from asdlib.manifest import read_manifest, write_manifest
from tests.trees import touched

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
MACHINE = TEXT.map(lambda text: unicodedata.normalize("NFC", text)).filter(lambda text: "/" not in text)
FILE = st.from_regex(r"[a-zA-Z ,;\"'éü\n\t-]{1,8}", fullmatch=True) | st.just(os.fsdecode(b"ger\xe4usch"))
PLACE = st.lists(FILE.filter(lambda name: not name.startswith(".")), min_size=1, max_size=3)
ATTRIBUTE = st.sampled_from(["speed", "path", " Path", "id", "attribute.x", "a, b", "Drehzahl [1/min]", '"'])
SECONDS = st.floats(0, 1e6, allow_nan=False)


@st.composite
def clip_lists(draw):
    clips = []
    for number in range(draw(st.integers(1, 5))):
        split = draw(st.sampled_from(["train", "test"]))
        label = "normal" if split == "train" else draw(st.sampled_from(["normal", "anomaly", "unknown"]))
        start = draw(SECONDS)
        end = draw(st.none() | st.floats(start, 2e6, exclude_min=True, allow_nan=False))
        pairs = draw(st.dictionaries(ATTRIBUTE, TEXT, max_size=3))
        about = (split, label, draw(st.sampled_from(["source", "target", "unknown"])))
        place = "/".join([*draw(PLACE), f"{number}.wav"])
        clips.append((place, draw(MACHINE), draw(MACHINE), *about, tuple(sorted(pairs.items())), start, end))
    return clips


@settings(deadline=None, max_examples=30)
@given(clip_lists(), st.sampled_from([".csv", ".json", ".CSV"]))
def test_what_is_written_comes_back(tmp_path_factory, wanted, ending):
    root = tmp_path_factory.mktemp("list")
    clips = [Clip(path, *about) for path, (_, *about) in zip(touched(root, [w[0] for w in wanted]), wanted, strict=True)]
    write_manifest(root / f"clips{ending}", clips)
    found = scan(root / f"clips{ending}")

    def sorted_pairs(clips):
        return [{**vars(clip), "attributes": sorted(clip.attributes)} for clip in clips]

    assert sorted_pairs(found) == sorted_pairs(clips)
    write_manifest(root / f"again{ending}", found)
    assert (root / f"again{ending}").read_bytes() == (root / f"clips{ending}").read_bytes()


def test_paths_are_relative_to_the_list_and_others_stay_whole(tmp_path, monkeypatch):
    inside, outside = touched(tmp_path, ["lists/fan/a.wav", "elsewhere/b.wav"])
    clips = [Clip(path, "fan", "id_00", "test", "unknown") for path in (inside, outside)]
    write_manifest(tmp_path / "lists" / "clips.csv", clips)
    lines = (tmp_path / "lists" / "clips.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["path", "fan/a.wav", str(outside)]
    monkeypatch.chdir(tmp_path / "lists")
    assert scan("clips.csv") == clips


def written(tmp_path, text, name="clips.csv"):
    touched(tmp_path, ["a.wav", "b.flac"])
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


def test_what_a_list_leaves_out_takes_its_default(tmp_path):
    path = written(tmp_path, "type,id,path,split,speed,start,end\npump,7,a.wav,train,,,\npump,7,b.flac,TEST, 4,0.5,2\n")
    assert read_manifest(path) == [
        Clip(tmp_path / "a.wav", "pump", "7", "train", "normal"),
        Clip(tmp_path / "b.flac", "pump", "7", "test", "unknown", "unknown", (("speed", " 4"),), 0.5, 2.0),
    ]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_spreadsheets_make_of_a_list_is_read_alike(separator, tmp_path):
    text = "path,machine,split,label\r\na.wav,fan/id_00,train,normal\r\n\r\nb.flac,fan/id_00,test,anomaly\r\n"
    plain = read_manifest(written(tmp_path, text))
    other = text.replace(",", separator)
    assert read_manifest(written(tmp_path, b"\xef\xbb\xbf" + other.encode())) == plain
    rows = [
        {"path": "a.wav", "machine": "fan/id_00", "split": "train"},
        {"path": "b.flac", "machine": "fan/id_00", "split": "test", "label": "anomaly", "start": 0, "end": None},
    ]
    assert read_manifest(written(tmp_path, json.dumps(rows), "clips.json")) == plain


PLAIN = "path,machine,split,start,end\nsub/a b.wav,fan/id_00,train,0.5,1.5\n"


@pytest.mark.parametrize("text", [
    PLAIN.replace(",", ", "),
    PLAIN.replace("path,machine,split", "Path,MACHINE, Split "),
    PLAIN.replace(",", ";").replace("0.5;1.5", "0,5;1,5"),
    PLAIN.replace(",", "\t").encode("utf-16"),
    "sep=;\r\n" + PLAIN.replace(",", ";"),
    "\n,,,,\n" + PLAIN,
    PLAIN.replace("sub/", "sub\\"),
    PLAIN.replace("path", ",path").replace("sub", "0,sub"),  # pandas' index
    PLAIN.replace("machine,", "machine,type,id,").replace("id_00,", "id_00,fan,id_00,"),
])  # fmt: skip
def test_what_programs_and_people_make_of_a_list_is_read_alike(text, tmp_path):
    (path,) = touched(tmp_path, ["sub/a b.wav"])
    wanted = [Clip(path, "fan", "id_00", "train", "normal", start=0.5, end=1.5)]
    assert read_manifest(written(tmp_path, text)) == wanted
    assert scan(written(tmp_path, text, "clips.tsv")) == wanted


def test_what_is_not_a_number_in_json_is_not_there(tmp_path):
    rows = [{"path": "a.wav", "type": "fan", "id": 7, "split": "test", "label": math.nan, "end": math.nan}]
    path = written(tmp_path, json.dumps(rows), "clips.json")
    assert read_manifest(path) == [Clip(tmp_path / "a.wav", "fan", "7", "test", "unknown")]


def test_a_machine_that_is_said_in_two_ways_or_not_in_utf8_is_a_mistake(tmp_path):
    path = written(tmp_path, "path,machine,type,id,split\na.wav,fan/id_00,pump,id_00,test\n")
    with pytest.raises(AsdError, match="line 2: the machine fan/id_00, and pump/id_00 as type/id"):
        read_manifest(path)
    path = written(tmp_path, "path,machine,split\na.wav,Lüfter/id_00,test\n".encode("latin-1"))
    with pytest.raises(AsdError, match=r"line 2: the machine L\\xfcfter/id_00 is not in UTF-8: save the list in it"):
        read_manifest(path)


MISTAKES = """path,machine,split,label,domain,start,end
a.wav,fan/id_00,train,normal,source,0,1
a.wav,fan/id_00,test,normal,target,0.5,2
none.wav,fan,training,broken,near,x,1
b.flac,fan/a/b,train,anomaly,,3,3
b.flac,/x,test,,,-1,inf
,fan/id_00,test,,,,
"b
.flac",fan/id_00,test,,,,
b.flac,fan/id_00,test,,,,,more
b.flac,fan/id_00,test,,,5,6
b.flac,fan/id_00,test,,,5,6
"""


def test_every_mistake_is_told_at_once_with_its_line(tmp_path):
    path = written(tmp_path, MISTAKES)
    with pytest.raises(AsdError) as error:
        read_manifest(path)
    text = str(error.value)
    assert text.startswith(f"{path} has mistakes: ")
    for line in [
        "line 3: it overlaps 2, of the other split",
        "line 4: no file none.wav",
        "line 4: no machine 'fan/': write type/id",
        "line 4: no split 'training': train, test",
        "line 4: no label 'broken': normal, anomaly, unknown",
        "line 4: no domain 'near': source, target, unknown",
        "line 4: no start 'x': seconds, from 0",
    ]:
        assert line in text
    assert text.endswith("other mistakes: correct them")  # ten are named


@pytest.mark.parametrize(("line", "told"), [
    ("b.flac,fan/a/b,train,anomaly,,3,3", ["no machine 'fan/a/b'", "a training clip called anomaly", "it ends where"]),
    ("b.flac,/x,test,,,-1,inf", ["no machine '/x'", "no start '-1'", "no end 'inf'"]),
    (",fan/id_00,test,,,,", ["no path"]),
    ("b.flac,fan/id_00,test,,,,,more", ["more cells than line 1"]),
    ("b.flac,fan/id_00,,,,,", ["no split ''"]),
    ("a.wav,fan/id_00,train,normal,,,", ["the same as 2"]),
    ("./a.wav,fan/id_00,test,,,7,", ["it overlaps 2, of the other split"]),
])  # fmt: skip
def test_each_mistake(line, told, tmp_path):
    path = written(tmp_path, f"path,machine,split,label,domain,start,end\na.wav,fan/id_00,train,normal,,,\n{line}\n")
    with pytest.raises(AsdError) as error:
        scan(path)
    for mistake in told:
        assert f"line 3: {mistake}" in str(error.value)
    assert str(error.value).count("line 3: ") == len(told)


def test_one_mistake_on_many_lines_is_told_once(tmp_path):
    path = written(tmp_path, "path,machine,split\n" + "x.wav,fan/id_00,test\n" * 500)
    with pytest.raises(AsdError, match=r"lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 490 more: no file x\.wav"):
        read_manifest(path)


@pytest.mark.parametrize(("name", "content", "why"), [
    ("clips.csv", "", "is no list of clips"),
    ("clips.csv", "path,split\na.wav,test\n", r"machine \(or type and id\) is not in line 1"),
    ("clips.csv", "path,machine,split,path\n", "has the column path twice"),
    ("clips.csv", "path,machine,split\n", "lists no clip"),
    ("clips.csv", 'path,machine,split\n"a.wav,fan/id_00,test\n', "is no list of clips"),
    ("clips.json", "{}", "must be a list of objects"),
    ("clips.json", "[", "is no list of clips"),
    ("clips.json", '[{"path": 7, "machine": "a/b", "split": "test"}]', "clip 1: no file 7"),
    ("clips.txt", "path,machine,split\n", "is no folder: give a folder of recordings, or a list"),
])  # fmt: skip
def test_what_is_no_list_is_said(name, content, why, tmp_path):
    with pytest.raises(AsdError, match=why):
        scan(written(tmp_path, content, name))


def test_layouts_and_words_say_nothing_about_a_list(tmp_path):
    path = written(tmp_path, "path,machine,split\na.wav,fan/id_00,test\n")
    for option in ({"layout": "mimii"}, {"words": {"gut": "normal"}}):
        with pytest.raises(AsdError, match="which says all itself: leave out layout= and words="):
            scan(path, **option)


def test_a_list_that_cannot_be_written_leaves_nothing(tmp_path):
    (path,) = touched(tmp_path, ["a.wav"])
    twice = Clip(path, "fan", "id_00", "test", "unknown", "unknown", (("mic", "1"), ("mic", "2")))
    with pytest.raises(AsdError, match="has an attribute twice"):
        write_manifest(tmp_path / "clips.csv", [twice])
    with pytest.raises(AsdError, match="cannot write"):
        write_manifest(tmp_path / "none" / "clips.csv", [])
    with pytest.raises(AsdError, match=r"clips\.txt would be no list: end its name in \.csv"):
        write_manifest(tmp_path / "clips.txt", [])
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
