"""What `asd info` says of a folder: what was found, what was passed over, and what is inside the files, all at once."""

import json

import numpy as np
import pytest
import soundfile

from asdlib.data import Clip, scan
from asdlib.sound.inside import by_machine, look_inside


def noise(seconds=1.0, channels=1, rate=16000):
    return np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))


def write(path, x=None, rate=16000, subtype="PCM_16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise() if x is None else x, rate, subtype=subtype)
    return path


@pytest.fixture
def mixed(tmp_path):
    """A folder with one of each trouble among ten good files."""
    root = tmp_path / "data"
    for i in range(10):
        write(root / f"fan/train/normal_id_00_{i:04}.{'wav' if i % 2 else 'flac'}")
    write(root / "fan/train/normal_id_00_0010.wav", noise(rate=8000), rate=8000)
    write(root / "fan/train/normal_id_00_0011.wav", noise(channels=2))
    write(root / "fan/train/normal_id_00_0012.wav", 0 * noise())
    write(root / "fan/train/normal_id_00_0013.wav", np.where(noise() > 0.3, np.nan, noise()), subtype="FLOAT")
    write(root / "fan/train/normal_id_00_0014.wav", 9000 * noise(), subtype="FLOAT")
    half = write(root / "fan/train/normal_id_00_0015.wav")
    half.write_bytes(half.read_bytes()[:9000])
    (root / "fan/train/normal_id_00_0016.wav").write_bytes(b"")
    stereo = noise(channels=2)
    stereo[:, 1] = 0.25
    write(root / "fan/train/normal_id_00_0017.wav", stereo)
    write(root / "pump/test/anomaly_id_02_0000.wav", noise(2.5))
    (root / "notes.txt").touch()
    write(root / "elsewhere.wav")
    return root


def names(paths):
    return [path.rsplit("_", 1)[1].removesuffix(".wav") for path in paths]


def test_headers_tell_rates_channels_lengths_and_damage_and_samples_the_rest(mixed):
    clips = scan(mixed)
    shallow, deep = (by_machine(clips, look_inside(clips, deep=deep))["fan/id_00"] for deep in (False, True))
    assert shallow["sample rates"] == deep["sample rates"] == {"8000": 1, "16000": 15}
    assert shallow["channels"] == deep["channels"] == {"1": 14, "2": 2}
    assert shallow["seconds"] == [1.0, 1.0]
    assert {kind: names(paths) for kind, paths in shallow["findings"].items()} == {
        "damaged": ["0015", "0016"],
        "other sample rates": ["0010"],
        "other channels": ["0011", "0017"],
    }
    assert {kind: names(paths) for kind, paths in deep["findings"].items()} == {
        "silent": ["0012"],
        "not finite": ["0013"],
        "beyond full scale": ["0014"],
        "damaged": ["0015", "0016"],
        "silent in a channel": ["0017"],
        "other sample rates": ["0010"],
        "other channels": ["0011", "0017"],
    }


def test_pieces_of_a_long_recording_have_their_own_length_and_must_lie_in_it(tmp_path):
    path, seen = write(tmp_path / "long.flac", noise(10)), []
    pieces = [(0, 4), (4, 6.5), (8, None), (9, 10.5), (10, None)]
    clips = [Clip(path, "fan", "id_00", "test", "unknown", start=start, end=end) for start, end in pieces]
    looks = look_inside(clips, on_step=lambda *step: seen.append(step))
    assert [look.seconds for look in looks[:3]] == [4, 2.5, 2]
    assert [look.trouble for look in looks] == ["", "", "", "ends before its clip", "ends before its clip"]
    assert seen == [("read headers", 1, 1)]  # one file


def test_info_tells_everything_at_once(mixed, asd):
    code, out, _ = asd("info", mixed, "--deep")
    assert code == 0
    for line in [
        "DCASE 2020 Task 2: 19 clips",
        f"passed over: sound files that follow no layout, 1 in {mixed} (1)",
        "other files: 1 .txt",
        "damaged: 2 files, ",
        "silent: 1 file, ",
        "not finite: 1 file, ",
        "beyond full scale: 1 file, ",
        "silent in a channel: 1 file, ",
        "sample rates of fan/id_00 differ: 1 of 8000, 15 of 16000",
        "channels of fan/id_00 differ: 14 of 1, 2 of 2",
    ]:
        assert any(found.startswith(line) for found in out.splitlines()), line
    (row,) = [line for line in out.splitlines() if "pump/id_02" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["pump/id_02", "0", "0", "1", "0", "16000", "1", "2.5"]


def test_info_for_scripts_has_a_key_a_machine_and_says_the_rest_on_standard_error(mixed, asd, caplog):
    code, out, _ = asd("info", mixed, "--json")
    assert code == 0
    assert json.loads(out) == {
        "fan/id_00": {"train normal": 18, "test normal": 0, "test anomaly": 0, "test unknown": 0},
        "pump/id_02": {"train normal": 0, "test normal": 0, "test anomaly": 1, "test unknown": 0},
    }
    assert "follow no layout" in caplog.text
    assert "damaged: 2 files" in caplog.text
    found = json.loads(asd("info", mixed, "--json", "--files")[1])
    assert found["pump/id_02"]["files"] == {
        "sample rates": {"16000": 1}, "channels": {"1": 1}, "seconds": [2.5, 2.5], "findings": {},
    }  # fmt: skip
    assert names(found["fan/id_00"]["files"]["findings"]["damaged"]) == ["0015", "0016"]


def test_domains_are_counted_where_they_are_known(tmp_path, asd):
    for name in ("train/section_00_source_train_normal_0000_v_1", "test/section_00_target_test_anomaly_0000_v_2"):
        write(tmp_path / "data" / "fan" / f"{name}.wav")
    assert json.loads(asd("info", tmp_path / "data", "--json")[1])["fan/section_00"]["domains"] == {
        "test target": 1,
        "train source": 1,
    }
    assert "1 test target, 1 train source" in asd("info", tmp_path / "data")[1]


def test_the_list_that_info_writes_is_data_for_every_command(mixed, tmp_path, asd):
    before = json.loads(asd("info", mixed, "--json", "--files", "--csv", tmp_path / "clips.csv")[1])
    assert json.loads(asd("info", tmp_path / "clips.csv", "--json", "--files")[1]) == before
    assert scan(tmp_path / "clips.csv") == scan(mixed)
    edited = (tmp_path / "clips.csv").read_text().replace("pump/id_02", "press/7")
    (tmp_path / "clips.csv").write_text(edited)
    assert {clip.machine for clip in scan(tmp_path / "clips.csv")} == {"fan/id_00", "press/7"}


def test_words_and_layouts_are_options(tmp_path, asd):
    for name in ("Säge/prima/1.wav", "Säge/kaputt/1.wav"):
        write(tmp_path / "data" / name)
    code, _, err = asd("info", tmp_path / "data")
    assert code == 2
    assert "--words" in err
    found = json.loads(asd("info", tmp_path / "data", "--json", "--words", "normal=prima,anomaly=kaputt")[1])
    assert list(found) == ["Säge/id_00"]
    assert asd("info", tmp_path / "data", "--layout", "mimii")[0] == 2
    assert asd("info", tmp_path / "data", "--layout", "nothing")[0] == 2


def test_a_folder_of_recordings_may_have_a_config_of_its_own(tmp_path, small_run, asd):
    write(tmp_path / "pump" / "normal" / "1.wav")
    (tmp_path / "config.json").write_text('{"author": "me"}')
    assert "pump/id_00" in asd("info", tmp_path)[1]
    assert "clp_scf" in asd("info", small_run)[1]
