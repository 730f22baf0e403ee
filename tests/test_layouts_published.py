"""Every published collection is found as it is published: who is who, what is for training, and what is no clip at all."""

from collections import Counter

import pytest

from asdlib.data import Clip, scan, survey
from asdlib.errors import AsdError
from asdlib.layouts import LAYOUTS, parse, rows_for
from tests import trees
from tests.trees import touched

LATER = "DCASE 2022 and later"
SECTION = {"train normal source": 3, "train normal target": 1} | {
    f"test {label} {domain}": 1 for label in ("normal", "anomaly") for domain in ("source", "target")
}
# Of each machine: how many clips of which split, label and domain.
FOUND = {
    "DCASE_2020": ("DCASE 2020 Task 2", {
        "fan/id_00": {"train normal unknown": 2, "test normal unknown": 1, "test anomaly unknown": 1},
        "ToyCar/id_01": {"train normal unknown": 1},
        "ToyCar/id_05": {"test unknown unknown": 1},
    }),
    "DCASE_2021": ("DCASE 2021", {
        "gearbox/section_00": SECTION,
        "gearbox/section_03": {"train normal source": 1, "test unknown source": 1, "test unknown target": 1},
    }),
    "DCASE_2022": (LATER, {
        **{f"bearing/section_0{i}": SECTION for i in range(3)},
        "fan/section_03": {"train normal source": 1, "test unknown unknown": 2},
    }),
    "DCASE_2023": (LATER, {"ToyTrain/section_00": SECTION, "Vacuum/section_00": {"test unknown unknown": 1}}),
    "DCASE_2024": (LATER, {"slider/section_00": SECTION, "3DPrinter/section_00": {"test unknown unknown": 1}}),
    "DCASE_2025": (LATER, {"ToyCar/section_00": SECTION}),
    "DCASE_2026": (LATER, {
        "fan/section_00": {**SECTION, "train normal source": 1, "train normal target": 0},
        "Sander/section_00": {"test unknown unknown": 1},
    }),
    # Two of five normal recordings are for testing, as two are faulty: in each of the three mixtures.
    "MIMII": ("MIMII", {
        f"fan/id_{nn}": {"train normal unknown": 9, "test normal unknown": 6, "test anomaly unknown": 6} for nn in ("00", "02")
    }),
    "MIMII_DUE": ("DCASE 2021", {"gearbox/section_00": SECTION}),
    "MIMII_DG": (LATER, {f"valve/section_0{i}": SECTION for i in range(3)}),
    "TOYADMOS": ("ToyADMOS", {
        "ToyCar/case1": {"train normal unknown": 6, "test normal unknown": 4, "test anomaly unknown": 4}
    }),
    "TOYADMOS2": ("ToyADMOS2", {"car/a1": {"train normal unknown": 6, "test normal unknown": 2, "test anomaly unknown": 2}}),
}  # fmt: skip


def counted(clips):
    found = {}
    for clip in clips:
        found.setdefault(clip.machine, Counter())[f"{clip.split} {clip.label} {clip.domain}"] += 1
    return found


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("ending", [".wav", ".FLAC"])
def test_a_collection_is_found_as_it_is_published(name, ending, tmp_path):
    layout, expected = FOUND[name]
    touched(tmp_path, [n.replace(".wav", ending) for n in getattr(trees, name)])
    found = survey(tmp_path)
    assert counted(found.clips) == {machine: Counter({k: n for k, n in c.items() if n}) for machine, c in expected.items()}
    assert found.layouts == {layout: len(found.clips)}
    assert found.strange == []
    sounds = sum(not n.endswith(".csv") for n in getattr(trees, name))
    assert len(found.clips) + sum(map(len, found.aside.values())) == sounds


@pytest.mark.parametrize("key", [key for key in LAYOUTS if key not in ("folders", "toyadmos2")])
def test_a_layout_that_is_forced_is_called_by_its_own_name(key, tmp_path):
    tree = key.upper().replace("DCASE", "DCASE_")
    touched(tmp_path, getattr(trees, tree))
    found = survey(tmp_path, layout=key)
    assert found.layouts == {LAYOUTS[key].name: len(found.clips)}
    assert counted(found.clips) == counted(scan(tmp_path))


def test_several_collections_below_one_root_are_told_apart(tmp_path):
    for name in ("DCASE_2020", "DCASE_2021", "DCASE_2023", "MIMII"):
        touched(tmp_path / name, getattr(trees, name))
    found = survey(tmp_path)
    assert found.layouts == {"DCASE 2020 Task 2": 6, "DCASE 2021": 11, LATER: 9, "MIMII": 42}
    with pytest.raises(AsdError, match="does not say which machine"):  # where one is forced, what is not of it is refused
        scan(tmp_path, layout="dcase2020")
    with pytest.raises(AsdError, match="no layout 'dcase2019': choose one of dcase2020"):
        scan(tmp_path, layout="dcase2019")


def test_names_tell_attributes_and_tables_those_that_names_do_not(tmp_path):
    touched(tmp_path, [*trees.DCASE_2021, *trees.DCASE_2022, *trees.DCASE_2024])
    for nn, rows in (("00", ["bearing/test/section_00_source_test_normal_0000_vel_6.wav,vel,9"]),
                     ("03", ["fan/test/section_03_0000.wav,f-n,A,g,", "section_03_test_0001,g,noAttribute"])):  # fmt: skip
        folder = tmp_path / ("bearing" if nn == "00" else "fan")
        (folder / f"attributes_{nn}.csv").write_text("\n".join(["file_name,d1p,d1v,d2p,d2v", *rows]) + "\n")
    of = {clip.path.name: clip.attributes for clip in scan(tmp_path)}
    assert of["section_00_source_test_normal_0000_vel_6.wav"] == (("vel", "6"),)  # its name counts
    assert of["section_03_0000.wav"] == (("f-n", "A"),)
    assert of["section_03_test_0001.wav"] == ()
    assert of["section_00_source_train_normal_0001_noAttribute.wav"] == ()
    assert of["section_00_target_train_normal_0000_g_28_mm_none.wav"] == (("g", "28"), ("mm", "none"))
    assert of["section_03_source_train_normal_0000_strength_1_ambient.wav"] == (("attributes", "strength_1_ambient"),)


def test_a_table_of_attributes_that_cannot_be_read_is_said(tmp_path, caplog):
    touched(tmp_path, trees.DCASE_2022)
    (tmp_path / "fan" / "attributes_03.csv").write_bytes(b"\xff\xfe")
    (tmp_path / "bearing" / "attributes_00.csv").write_text("")
    assert len(scan(tmp_path)) == 27
    assert [r.getMessage().split(",")[0] for r in caplog.records] == [
        f"passed over {tmp_path / 'bearing' / 'attributes_00.csv'}",
        f"passed over {tmp_path / 'fan' / 'attributes_03.csv'}",
    ]


def test_supplemental_recordings_are_no_training_clips_and_are_told_by_what_they_are(tmp_path, caplog):
    touched(tmp_path, trees.DCASE_2025)
    assert {clip.machine for clip in scan(tmp_path)} == {"ToyCar/section_00"}
    lines = {r.getMessage().split(", ")[0]: r.getMessage().split(", ")[1] for r in caplog.records}
    assert {what.removeprefix("passed over: "): told[0] for what, told in lines.items()} == {
        "supplemental clean sound of the machine": "3",
        "supplemental noise without the machine": "1",
        "supplemental recordings": "c",  # "clean or noise alone": whichever it is
    }
    with pytest.raises(AsdError, match=r"no clips .* other sound files are there, 3 in .*supplemental \(3\)"):
        scan(tmp_path / "fan")


def test_what_is_continuous_or_noise_in_toyadmos_is_passed_over(tmp_path):
    touched(tmp_path, [*trees.TOYADMOS, *trees.TOYADMOS2])
    found = survey(tmp_path)
    assert {what: len(paths) for what, paths in found.aside.items()} == {
        "pieces of ten minutes of normal operation": 1,
        "noise of the surroundings": 2,
    }


def test_one_event_before_several_microphones_is_on_one_side(tmp_path):
    touched(tmp_path, trees.TOYADMOS)
    sides = {}
    for clip in scan(tmp_path):
        assert dict(clip.attributes)["microphone"] in ("ch1", "ch2")
        if clip.label == "normal":
            sides.setdefault(clip.path.stem[-4:], set()).add(clip.split)
    assert sides == {"0001": {"test"}, "0002": {"test"}, "0003": {"train"}, "0004": {"train"}, "0005": {"train"}}


def test_mixtures_of_one_recording_of_mimii_are_on_one_side_and_say_how_noisy_they_are(tmp_path, caplog):
    touched(tmp_path, trees.MIMII)
    clips = [clip for clip in scan(tmp_path) if clip.label == "normal"]
    assert Counter(dict(clip.attributes)["snr"] for clip in clips) == {"-6_dB": 10, "0_dB": 10, "6_dB": 10}
    assert {clip.path.stem for clip in clips if clip.split == "test"} == {"00000000", "00000001"}
    assert {clip.path.stem for clip in clips if clip.split == "train"} == {"00000002", "00000003", "00000004"}
    (record,) = caplog.records
    assert record.getMessage().startswith("nobody says which clips of fan/id_00, fan/id_02 are for training")


@pytest.mark.parametrize("name", ["6dB", "6_dB_fan", "min6dB", "minus_6_dB", "-6dB", "0dB"])
def test_people_call_mixtures_of_mimii_in_their_own_ways(name, tmp_path, caplog):
    touched(tmp_path, [f"{own}/fan/id_00/normal/{i:08}.wav" for own in (name, "12_dB") for i in range(2)])
    assert Counter(dict(clip.attributes)["snr"] for clip in scan(tmp_path)) == {name.removesuffix("_fan"): 2, "12_dB": 2}
    assert not caplog.records


@pytest.mark.parametrize(("path", "clip"), [
    ("a/0_dB/pump/id_06/abnormal/00000142.wav", ("pump", "id_06", None, "anomaly")),
    ("ToyConveyor/case2/NormalSound_IND/2200031642_ToyConveyor_case2_normal_IND_ch3_1642.wav",
     ("ToyConveyor", "case2", None, "normal")),
    ("x/BlowerDustCollector/train/section_00_target_train_normal_0009_p_1.wav",
     ("BlowerDustCollector", "section_00", "train", "normal")),
    ("fan/test/section_00_source_test_anomaly_0000_car_A2_noise_1.mp3", ("fan", "section_00", "test", "anomaly")),
    ("fan/train/rec-17.wav", None),
    ("fan/test/sectional_00_0000.wav", None),
])  # fmt: skip
def test_single_names(path, clip):
    named = parse(path)
    assert (named and named[:4]) == clip


def test_rows_say_what_is_published_and_what_nobody_has_checked():
    assert list(rows_for(None))[-1] == "folders"
    for key, row in LAYOUTS.items():
        assert row.mean == ("mixed" if row.among == LATER else "harmonic" if row.among else "arithmetic"), key
        for part in row.parts:
            assert row.types_of(part), key
            assert all(row.parts[part].files(kind) for kind in row.types_of(part))
        names = {name for part in row.parts.values() for name in part.all_files()}
        checksums = {name: md5 for part in row.parts.values() for name, md5 in part.md5.items()}
        assert set(checksums) <= names, key
        assert all(len(md5) == 32 and set(md5) <= set("0123456789abcdef") for md5 in checksums.values())
        assert row.checksums.startswith(f"md5 of {len(checksums)} of {len(names)} files")
    assert LAYOUTS["dcase2026"].channels == 2
    assert LAYOUTS["mimii"].channels == 8
    assert LAYOUTS["toyadmos"].sample_rate == 48000
    assert LAYOUTS["dcase2024"].parts["add"].files("RoboticArm") == ["eval_data_RoboticArm_train_r2.zip"]
    assert LAYOUTS["toyadmos"].parts["all"].files("ToyConveyor")[-1] == "ToyConveyor.7z.007"


def test_a_clip_of_a_row_is_a_clip_with_all_that_is_known(tmp_path):
    (path,) = touched(tmp_path, ["fan/test/section_02_target_test_anomaly_0007_vel_6_loc_A.wav"])
    (clip,) = scan(tmp_path)
    assert clip == Clip(path, "fan", "section_02", "test", "anomaly", "target", (("vel", "6"), ("loc", "A")))


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("name", ["DCASE_2020", "DCASE_2021", "DCASE_2023", "MIMII", "TOYADMOS"])
def test_names_and_folders_count_in_any_case(name, change, tmp_path):
    tree = [path for path in getattr(trees, name) if path.endswith(".wav")]
    touched(tmp_path / "as published", tree)
    touched(tmp_path / "changed", [change(path) for path in tree])
    wanted, found = survey(tmp_path / "as published"), survey(tmp_path / "changed")

    def kinds(clips):
        return Counter((change(clip.machine), clip.split, clip.label, clip.domain) for clip in clips)

    assert found.layouts == wanted.layouts
    assert kinds(found.clips) == kinds(wanted.clips)


def test_names_with_backslashes_are_paths(tmp_path):
    """What unpacks an archive of Windows without a care."""
    touched(tmp_path, [path.replace("/", "\\") for path in trees.DCASE_2020])
    found = survey(tmp_path)
    assert Counter(clip.machine for clip in found.clips) == {"fan/id_00": 4, "ToyCar/id_01": 1, "ToyCar/id_05": 1}
    assert not found.remarks()
