"""Downloads from a real HTTP server on this machine that can fail in the ways that servers and networks fail."""

import hashlib
import io
import json
import re
import shutil
import socket
import stat
import threading
import time
import zipfile
from collections import namedtuple
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from scipy.io import wavfile

from asdlib import download as module
from asdlib.data import read, scan
from asdlib.download import MACHINE_TYPES, PARTS, download
from asdlib.errors import AsdError


class Zenodo(ThreadingHTTPServer):
    """Serves ``files`` (name: bytes) as a record, and misbehaves as told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.record = None  # answered instead of the true record
        self.statuses = []  # answer the next requests for files with these, whatever was asked
        self.cuts = []  # close the connection of the next requests for files after so many bytes
        self.ranges_work = True
        self.checksums = {}  # name: what the record says instead of the truth
        self.sizes = {}
        self.records_seen = []
        self.ranges_seen = []  # the Range header of each request for a file
        self.bytes_sent = []

    @property
    def api(self):
        return f"http://127.0.0.1:{self.server_port}/api"

    def entry(self, name):
        checksum = self.checksums.get(name, "md5:" + hashlib.md5(self.files[name]).hexdigest())
        size = self.sizes.get(name, len(self.files[name]))
        return {"key": name, "size": size, "checksum": checksum, "links": {"self": f"{self.api}/files/{name}/content"}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        if record := re.fullmatch(r"/api/records/(\d+)", self.path):
            server.records_seen.append(int(record[1]))
            truth = json.dumps({"files": [server.entry(name) for name in server.files]}).encode()
            return self.answer(200, server.record or truth)
        file = re.fullmatch(r"/api/files/(.+)/content", self.path)
        if file is None:
            return self.answer(404, b"")
        content, wanted = server.files[file[1]], self.headers["Range"]
        server.ranges_seen.append(wanted)
        if server.statuses:
            return self.answer(server.statuses.pop(0), b"")
        if wanted and server.ranges_work:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.answer(416, b"")
            return self.answer(206, content[start:], {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"})
        return self.answer(200, content)

    def answer(self, status, content, headers=None):
        self.send_response(status)
        for key, value in {"Content-Length": len(content), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.path.endswith("/content") and self.server.cuts and status in (200, 206):
            content = content[: self.server.cuts.pop(0)]
        if self.path.endswith("/content"):
            self.server.bytes_sent.append(len(content))
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def wav(seed):
    noise = np.random.default_rng(seed).integers(-3000, 3000, 48000).astype(np.int16)
    file = io.BytesIO()
    wavfile.write(file, 16000, noise)
    return file.getvalue()


def zipped(members):
    """A ZIP of (name or ZipInfo, content) pairs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


FAN = {
    "fan/train/normal_id_00_00000000.wav": wav(0),
    "fan/train/normal_id_00_00000001.wav": wav(1),
    "fan/test/normal_id_00_00000002.wav": wav(2),
    "fan/test/anomaly_id_00_00000000.wav": wav(3),
}
FAN_ZIP = zipped(FAN.items())
NAME = "dev_data_fan.zip"


@pytest.fixture
def zenodo(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "PAUSES", (0, 0, 0, 0))
    with Zenodo() as server:
        server.files[NAME] = FAN_ZIP
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fan(zenodo, out, **options):
    return download(out, **{"machine_types": ["fan"], "api": zenodo.api, **options})


def content(folder):
    """Everything in a folder, the marker left out, as a dictionary like ``FAN``."""
    return {
        str(path.relative_to(folder.parent)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != module.MARKER
    }


def left(root):
    return sorted(path.name for path in root.iterdir())


def test_what_arrives_is_what_was_published_and_scan_finds_it(zenodo, tmp_path):
    seen = []
    folders = fan(zenodo, tmp_path, on_step=lambda *call: seen.append(call))
    assert folders == [tmp_path / "dev" / "fan"]
    assert content(folders[0]) == FAN
    assert left(tmp_path / "dev") == ["fan"]  # neither the ZIP nor a temporary folder
    clips = scan(tmp_path)
    assert [(clip.machine, clip.split, clip.label) for clip in clips] == [
        ("fan/id_00", "test", "anomaly"),
        ("fan/id_00", "test", "normal"),
        ("fan/id_00", "train", "normal"),
        ("fan/id_00", "train", "normal"),
    ]
    assert read(clips[0].path).shape == (48000,)
    assert (NAME, len(FAN_ZIP), len(FAN_ZIP)) in seen
    assert seen[-1] == (f"unpack {NAME}", 4, 4)
    arriving = [done for name, done, _ in seen if name == NAME]
    assert arriving == sorted(arriving)
    assert stat.S_IMODE(folders[0].stat().st_mode) == 0o755


def test_three_parts_and_all_types_lie_side_by_side(zenodo, tmp_path):
    for part, about in PARTS.items():
        name = about.file
        split, label = ("test", "") if part == "eval" else ("train", "normal_")
        zenodo.files = {name.format(t): zipped([(f"{t}/{split}/{label}id_05_0.wav", wav(0))]) for t in MACHINE_TYPES}
        assert download(tmp_path, part=part, api=zenodo.api) == [tmp_path / part / t for t in MACHINE_TYPES]
    assert zenodo.records_seen == [3678171, 3727685, 3841772]
    assert len(scan(tmp_path)) == 18
    assert {clip.label for clip in scan(tmp_path / "eval")} == {"unknown"}


def test_a_dropped_connection_is_resumed_where_it_broke(zenodo, tmp_path):
    zenodo.cuts = [200_000, 100_000]
    assert content(fan(zenodo, tmp_path)[0]) == FAN
    first, *later = zenodo.ranges_seen
    assert first is None
    starts = [int(re.fullmatch(r"bytes=(\d+)-", header)[1]) for header in later]
    assert len(starts) == 2
    assert 200_000 - module.BLOCK < starts[0] <= 200_000
    assert starts[0] < starts[1] <= starts[0] + 100_000
    assert zenodo.bytes_sent == [200_000, 100_000, len(FAN_ZIP) - starts[1]]


def test_a_later_call_goes_on_from_what_an_earlier_one_left(zenodo, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAUSES", ())
    zenodo.cuts = [200_000]
    with pytest.raises(AsdError, match="run again"):
        fan(zenodo, tmp_path)
    assert left(tmp_path / "dev") == [f"{NAME}.part"]
    here = (tmp_path / "dev" / f"{NAME}.part").read_bytes()
    assert here == FAN_ZIP[: len(here)]
    assert content(fan(zenodo, tmp_path)[0]) == FAN
    assert zenodo.ranges_seen == [None, f"bytes={len(here)}-"]


def test_a_server_that_ignores_range_is_read_from_the_beginning(zenodo, tmp_path):
    zenodo.ranges_work = False
    zenodo.cuts = [200_000]
    assert content(fan(zenodo, tmp_path)[0]) == FAN
    assert zenodo.bytes_sent == [200_000, len(FAN_ZIP)]


@pytest.mark.parametrize("case", ["416", "too long"])
def test_what_cannot_be_gone_on_from_is_started_over(zenodo, tmp_path, case):
    partial = tmp_path / "dev" / f"{NAME}.part"
    partial.parent.mkdir()
    partial.write_bytes(b"x" * (1000 if case == "416" else len(FAN_ZIP) + 1))
    zenodo.statuses = [416] if case == "416" else []
    assert content(fan(zenodo, tmp_path)[0]) == FAN
    assert zenodo.ranges_seen[-1] is None


def test_a_server_in_trouble_is_asked_again(zenodo, tmp_path):
    zenodo.statuses = [503, 500, 429]
    assert content(fan(zenodo, tmp_path)[0]) == FAN
    assert len(zenodo.ranges_seen) == 4


def test_a_server_in_lasting_trouble_is_given_up_and_a_refusal_at_once(zenodo, tmp_path):
    zenodo.statuses = [503] * 5
    with pytest.raises(AsdError, match="HTTP status 503"):
        fan(zenodo, tmp_path)
    assert len(zenodo.ranges_seen) == 5
    zenodo.statuses = [403]
    with pytest.raises(AsdError, match="HTTP status 403"):
        fan(zenodo, tmp_path)
    assert len(zenodo.ranges_seen) == 6


@pytest.mark.parametrize("case", ["bytes", "stale part", "one byte longer", "endless"])
def test_a_damaged_file_is_removed_and_the_next_call_succeeds(zenodo, tmp_path, case):
    if case == "bytes":
        zenodo.checksums[NAME] = "md5:" + 32 * "0"
    elif case == "stale part":  # of another file: the server goes on from it, but the sum cannot be right
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev" / f"{NAME}.part").write_bytes(b"x" * 1000)
    else:
        zenodo.sizes[NAME] = len(FAN_ZIP) - 1 if case == "one byte longer" else 100_000
    seen = []
    with pytest.raises(AsdError, match=r"arrived damaged .* run again"):
        fan(zenodo, tmp_path, on_step=lambda name, done, total: seen.append(done - total))
    assert max(seen) <= module.BLOCK  # no more is taken than it takes to see that it is too much
    assert left(tmp_path / "dev") == []
    zenodo.checksums, zenodo.sizes = {}, {}
    assert content(fan(zenodo, tmp_path)[0]) == FAN


def symlink(name):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "member",
    [
        "../evil.wav",
        "fan/../../evil.wav",
        "/tmp/evil.wav",
        "pump/train/normal_id_00_0.wav",
        "evil.wav",
        "fan",
        "fan/..\\..\\evil.wav",
        "fan/C:/evil.wav",
        symlink("fan/train"),
    ],
    ids=str,
)
def test_a_member_that_is_not_in_its_place_is_refused_with_nothing_written(zenodo, tmp_path, member):
    zenodo.files[NAME] = zipped([*FAN.items(), (member, b"../../..")])
    with pytest.raises(AsdError, match="no plain file in fan/"):
        fan(zenodo, tmp_path / "a" / "b")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "dev"]


def test_what_macos_adds_to_an_archive_is_left_packed(zenodo, tmp_path):
    debris = {"__MACOSX/fan/._a.wav": b"x", ".DS_Store": b"x", "fan/.DS_Store": b"x"}
    zenodo.files[NAME] = zipped([*FAN.items(), *debris.items()])
    assert content(fan(zenodo, tmp_path)[0]) == FAN
    assert left(tmp_path / "dev") == ["fan"]


def test_an_archive_that_unpacks_to_far_too_much_is_refused(zenodo, tmp_path):
    zenodo.files[NAME] = zipped([("fan/train/normal_id_00_0.wav", bytes(5_000_000))])
    with pytest.raises(AsdError, match="claims to unpack to"):
        fan(zenodo, tmp_path)
    assert left(tmp_path / "dev") == []


def test_an_archive_that_is_larger_inside_than_it_says_is_refused(zenodo, tmp_path):
    size = len(wav(0)).to_bytes(4, "little")
    assert FAN_ZIP.count(size) == 8  # in each member's own header and in the directory
    zenodo.files[NAME] = FAN_ZIP.replace(size, (1000).to_bytes(4, "little"))
    with pytest.raises(AsdError, match="not a sound ZIP"):
        fan(zenodo, tmp_path)
    assert left(tmp_path / "dev") == []


def test_what_is_no_archive_at_all_is_refused(zenodo, tmp_path):
    zenodo.files[NAME] = b"<html>moved</html>"
    with pytest.raises(AsdError, match="not a sound ZIP"):
        fan(zenodo, tmp_path)
    assert left(tmp_path / "dev") == []


def test_what_is_complete_is_not_asked_for_again(zenodo, tmp_path):
    fan(zenodo, tmp_path)
    zenodo.records_seen.clear()
    zenodo.ranges_seen.clear()
    assert fan(zenodo, tmp_path) == [tmp_path / "dev" / "fan"]
    assert zenodo.records_seen == zenodo.ranges_seen == []
    zenodo.files["dev_data_pump.zip"] = zipped([("pump/train/normal_id_00_0.wav", wav(0))])
    assert len(download(tmp_path, machine_types=["fan", "pump"], api=zenodo.api)) == 2
    assert len(zenodo.ranges_seen) == 1


def test_a_folder_from_elsewhere_is_left_alone(zenodo, tmp_path):
    mine = tmp_path / "dev" / "fan" / "train" / "normal_id_00_0.wav"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(AsdError, match="not a finished download"):
        fan(zenodo, tmp_path)
    assert content(tmp_path / "dev" / "fan") == {"fan/train/normal_id_00_0.wav": b"mine"}
    assert left(tmp_path / "dev") == ["fan"]
    assert zenodo.records_seen == []


def test_a_process_killed_while_unpacking_leaves_nothing_that_scan_takes_up(zenodo, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def copy(source, target):
        target.write(source.read(1000))
        if len(copied := list(tmp_path.rglob("*.wav"))) == 4:
            raise Killed(copied)

    monkeypatch.setattr(shutil, "copyfileobj", copy)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)  # a kill leaves no time to tidy up
    with pytest.raises(Killed):
        fan(zenodo, tmp_path)
    assert len(list(tmp_path.rglob("*.wav"))) == 4
    with pytest.raises(AsdError, match="no clips"):
        scan(tmp_path)
    monkeypatch.undo()
    assert content(fan(zenodo, tmp_path)[0]) == FAN
    assert len(scan(tmp_path)) == 4
    assert len(zenodo.ranges_seen) == 1  # the ZIP was there


Usage = namedtuple("Usage", "total used free")


def test_too_small_a_disk_is_said_before_anything_is_fetched(zenodo, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, 2 * len(FAN_ZIP)))
    with pytest.raises(AsdError, match="free some space"):
        fan(zenodo, tmp_path)
    assert zenodo.ranges_seen == []
    (tmp_path / "dev" / f"{NAME}.part").write_bytes(FAN_ZIP[:-1000])  # what is here needs no room any more
    assert content(fan(zenodo, tmp_path)[0]) == FAN


def test_a_disk_that_fills_up_meanwhile_keeps_what_was_fetched(zenodo, tmp_path, monkeypatch):
    free = iter([10**9, 1000])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, next(free)))
    with pytest.raises(AsdError, match=r"No space left on device.*free some space"):
        fan(zenodo, tmp_path)
    assert left(tmp_path / "dev") == [f"{NAME}.part"]
    monkeypatch.undo()
    assert content(fan(zenodo, tmp_path)[0]) == FAN
    assert len(zenodo.ranges_seen) == 1


@pytest.mark.parametrize("left_over", [0, -1])
def test_what_just_fits_is_unpacked(zenodo, tmp_path, monkeypatch, left_over):
    unpacked = sum(map(len, FAN.values()))
    free = iter([10**9, unpacked + left_over])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, next(free)))
    if left_over < 0:
        with pytest.raises(AsdError, match="free some space"):
            fan(zenodo, tmp_path)
    else:
        assert content(fan(zenodo, tmp_path)[0]) == FAN


def test_where_no_folder_can_be_made_is_said(zenodo, tmp_path):
    (tmp_path / "dev").write_text("a file")
    with pytest.raises(AsdError, match="cannot write to"):
        fan(zenodo, tmp_path)
    assert (tmp_path / "dev").read_text() == "a file"


def test_unknown_parts_types_and_files_are_named(zenodo, tmp_path):
    with pytest.raises(AsdError, match=r"no part 'train' .* choose one of dev, add, eval"):
        download(tmp_path, part="train", api=zenodo.api)
    with pytest.raises(AsdError, match=r"no machine type 'Fan' .* choose from fan"):
        download(tmp_path, machine_types=["Fan"], api=zenodo.api)
    with pytest.raises(AsdError, match=r"has no file dev_data_pump.zip, dev_data_valve.zip"):
        download(tmp_path, machine_types=["fan", "pump", "valve"], api=zenodo.api)
    with pytest.raises(AsdError, match="HTTP status 404"):
        fan(zenodo, tmp_path, part="eval", api=f"{zenodo.api}/elsewhere")
    assert left(tmp_path) == []


@pytest.mark.parametrize("answer", [b"<html>sign in</html>", b"[]", b"null", b'{"files": [{"key": "dev_data_fan.zip"}]}'])
def test_an_answer_that_is_no_record_is_said(zenodo, tmp_path, answer):
    zenodo.record = answer
    with pytest.raises(AsdError, match="not answer with a Zenodo record"):
        fan(zenodo, tmp_path)
    assert left(tmp_path) == []


def test_an_unreachable_host_is_said_quickly(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "PAUSES", (0.01,))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can have the port
        start = time.monotonic()
        with pytest.raises(AsdError, match=r"ConnectionError.*check the address and the network"):
            download(tmp_path, api=f"http://127.0.0.1:{closed.getsockname()[1]}/api")
    assert time.monotonic() - start < 2
    assert left(tmp_path) == []


# ------------------------------------------------------------------------------------------------- collections besides 2020


def section_zip(machine_type, *names):
    return zipped([(f"{machine_type}/{name}.wav", wav(0)) for name in names])


@pytest.mark.parametrize(("layout", "part", "machine_type", "record", "name"), [
    ("dcase2021", "dev", "gearbox", 4562016, "dev_data_gearbox.zip"),
    ("dcase2022", "eval", "bearing", 6586456, "eval_data_bearing_test.zip"),
    ("dcase2023", "add", "bandsaw", 7830345, "eval_data_bandsaw_train.zip"),
    ("dcase2024", "add", "RoboticArm", 11259435, "eval_data_RoboticArm_train_r2.zip"),
    ("dcase2025", "eval", "ToyPet", 15519362, "eval_data_ToyPet_test.zip"),
    ("dcase2026", "dev", "ToyCar", 19336329, "dev_ToyCar_r2.zip"),
    ("mimii_due", "add", "fan", 4740355, "eval_data_fan_train.zip"),
    ("mimii_dg", None, "valve", 6529888, "valve.zip"),
])  # fmt: skip
def test_each_collection_comes_from_its_own_record(layout, part, machine_type, record, name, zenodo, tmp_path):
    zenodo.files = {name: section_zip(machine_type, "train/section_00_source_train_normal_0000_vel_4")}
    (folder,) = download(tmp_path, layout=layout, part=part, machine_types=[machine_type], api=zenodo.api)
    assert folder == tmp_path / (part or "dev") / machine_type
    assert zenodo.records_seen == [record]
    assert [clip.machine for clip in scan(tmp_path)] == [f"{machine_type}/section_00"]


def test_a_checksum_that_was_known_is_compared_with_that_of_the_record(zenodo, tmp_path, caplog, monkeypatch):
    fan(zenodo, tmp_path / "other")
    assert f"another checksum than was known beforehand of {NAME}" in caplog.text
    caplog.clear()
    part = PARTS["dev"]
    monkeypatch.setitem(part.md5, NAME, hashlib.md5(FAN_ZIP).hexdigest())
    fan(zenodo, tmp_path / "same")
    assert not caplog.records
    monkeypatch.delitem(part.md5, NAME)
    fan(zenodo, tmp_path / "unknown")
    assert f"not checked beforehand: {NAME}" in caplog.text


def test_noise_levels_of_mimii_lie_side_by_side(zenodo, tmp_path):
    for part, kind in (("0_dB", "normal"), ("-6_dB", "abnormal")):
        zenodo.files = {f"{part}_fan.zip": zipped([(f"fan/id_00/{kind}/00000000.wav", wav(0))])}
        assert fan(zenodo, tmp_path, layout="mimii", part=part) == [tmp_path / part / "fan"]
    assert {dict(clip.attributes)["snr"]: clip.label for clip in scan(tmp_path)} == {"-6_dB": "anomaly", "0_dB": "normal"}
    with pytest.raises(AsdError, match="no part 'dev' of MIMII: choose one of 6_dB, 0_dB, -6_dB"):
        fan(zenodo, tmp_path, layout="mimii", part="dev")


def test_volumes_of_an_archive_that_is_no_zip_are_checked_and_left_packed(zenodo, tmp_path, caplog):
    names = [f"ToyCar.7z.{n:03}" for n in range(1, 9)]
    zenodo.files = {name: name.encode() * 50_000 for name in names}
    zenodo.checksums[names[3]] = "md5:" + 32 * "0"
    options = {"layout": "toyadmos", "machine_types": ["ToyCar"], "api": zenodo.api}
    with pytest.raises(AsdError, match=r"ToyCar\.7z\.004 arrived damaged"):
        download(tmp_path, **options)
    assert left(tmp_path / "all") == names[:3]
    zenodo.checksums.clear()
    zenodo.ranges_seen.clear()
    first = tmp_path / "all" / names[0]
    assert download(tmp_path, **options) == [first]
    assert len(zenodo.ranges_seen) == 5  # the first three were there
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == zenodo.files
    assert f"7z x '{first}' -o'{tmp_path / 'all'}' unpacks it" in caplog.text
    zenodo.records_seen.clear()
    (tmp_path / "all" / "ToyCar").mkdir()  # by the owner, who has unpacked it
    assert download(tmp_path, **options) == [first]
    assert zenodo.records_seen == []


def test_what_cannot_be_downloaded_is_said(tmp_path):
    assert "toyadmos2" not in module.published()
    with pytest.raises(AsdError, match="ToyADMOS2 cannot be downloaded here: choose one of dcase2020"):
        download(tmp_path, layout="toyadmos2")
    with pytest.raises(AsdError, match="no machine type 'fan' in DCASE 2023 Task 2, part eval: choose from bandsaw"):
        download(tmp_path, layout="dcase2023", part="eval", machine_types=["fan"])


def test_the_command_takes_the_layout_and_says_whose_data_it_is(zenodo, tmp_path, monkeypatch, asd):
    zenodo.files = {"dev_fan.zip": section_zip("fan", "test/section_00_source_test_normal_0000_m_1")}
    monkeypatch.setattr(module, "download", partial(download, api=zenodo.api))
    code, out, _ = asd("download", tmp_path, "--layout", "dcase2023", "--part", "dev", "--machine", "fan")
    assert code == 0
    assert out.splitlines() == [
        str(tmp_path / "dev" / "fan"),
        "DCASE 2023 Task 2; licence: CC BY-NC-SA 4.0; to be cited: Dohi et al., arXiv 2305.07828",
    ]
    code, _, err = asd("download", tmp_path, "--layout", "mimii", "--part", "-6_dB", "--machine", "gearbox")
    assert code == 2
    assert "no machine type 'gearbox' in MIMII, part -6_dB" in err
    assert asd("download", tmp_path, "--layout", "toyadmos2")[0] == 2


def test_a_folder_of_another_year_is_not_taken_for_this_one(zenodo, tmp_path):
    zenodo.files = {"dev_fan.zip": section_zip("fan", "train/section_00_source_train_normal_0000_m_1")}
    options = {"layout": "dcase2022", "part": "dev", "machine_types": ["fan"], "api": zenodo.api}
    (folder,) = download(tmp_path, **options)
    assert download(tmp_path, **options) == [folder]
    with pytest.raises(
        AsdError, match="fan holds what was published as record 6355122, and this is record 7882613: name another"
    ):
        download(tmp_path, **{**options, "layout": "dcase2023"})
    (folder / module.MARKER).write_text("md5:0\n")  # as earlier versions left it
    assert download(tmp_path, **options) == [folder]
