"""Names of any letters, or of bytes that are none, in pipes and pages that cannot hold them: escaped, never a traceback."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from asdlib.commands import print_table
from asdlib.data import Clip, scan
from asdlib.report import write_report

KANJI, BYTES = "風扇", os.fsdecode(b"L\xfcfter")  # a fan in Japanese, and in German as Latin-1
SPELLED = {KANJI: r"\u98a8\u6247", BYTES: r"L\udcfcfter"}
MACHINE_OF_BYTES = r"L\xfcfter/id_00"  # a machine's name is text: scanning writes such bytes out
ENCODINGS = {
    "Windows pipe": {"PYTHONIOENCODING": "cp1252"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "C locale": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "1"},
    "UTF-8": {"LC_ALL": "C.UTF-8"},
}


def asd(encoding, *words):
    """(exit code, standard output and standard error, each decoded strictly by what it was written in)"""
    given = ("PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "LC_ALL", "LANG")
    env = {name: value for name, value in os.environ.items() if name not in given} | ENCODINGS[encoding]
    done = subprocess.run([sys.executable, "-m", "asdlib", *map(str, words)], capture_output=True, env=env)
    letters = env.get("PYTHONIOENCODING", "utf-8").split(":")[0]
    return done.returncode, done.stdout.decode(letters), done.stderr.decode(letters)


@pytest.fixture
def named(tmp_path):
    """A data folder of two machine types with such names."""
    for name in (KANJI, BYTES):
        folder = tmp_path / name / "train"
        try:
            folder.mkdir(parents=True)
        except OSError:
            pytest.skip("this disk has names of letters only")
        soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
        shutil.move(tmp_path / "x.wav", folder / "normal_id_00_00000000.wav")
    return tmp_path


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_names_are_shown_or_escaped_in_straight_columns_and_json_stays_json(named, encoding):
    code, out, err = asd(encoding, "info", named)
    assert (code, "Traceback" in err) == (0, False)
    holds_all = encoding in ("C locale", "UTF-8")
    assert (KANJI if holds_all else SPELLED[KANJI]) + "/id_00" in out
    assert MACHINE_OF_BYTES in out
    if not holds_all:
        table = [line for line in out.splitlines() if line.startswith(("+", "|"))]
        assert len(table) == 6
        assert len({len(line) for line in table}) == 1
    code, out, err = asd(encoding, "info", named, "--json")
    assert (code, "Traceback" in err) == (0, False)
    assert json.loads(out).keys() == {f"{KANJI}/id_00", MACHINE_OF_BYTES}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_errors_and_usage_name_what_they_can(encoding, tmp_path):
    for name, shown in SPELLED.items():
        code, out, err = asd(encoding, "info", tmp_path / name)
        assert (code, out) == (2, "")
        assert re.match(f"asd: no folder .*({name if name == KANJI else 'L'}|{re.escape(shown)})", err)
        code, _, err = asd(encoding, "train", f"--{name}")
        assert (code, "Traceback" in err) == (2, False)


def test_recordings_with_such_names_are_scored(small_run, small_park, tmp_path):
    path = tmp_path / f"{KANJI}.wav"
    shutil.copy(next(clip.path for clip in scan(small_park) if clip.machine == "fan/id_00"), path)
    words = ("score", path, "--run", small_run, "--machine", "fan/id_00")
    code, out, err = asd("Windows pipe", *words)
    assert code == 0, err
    assert f"{SPELLED[KANJI]}.wav" in out
    code, out, err = asd("Windows pipe", *words, "--every", 1, "--threshold", 0)
    assert code == 0, err
    assert f"{SPELLED[KANJI]}.wav: " in out


def test_a_table_keeps_marks_and_bytes(capsys):
    print_table("[b]title", ("name",), [(f"{BYTES} [b] :fan:\\",)])
    assert "[b]title" in (out := capsys.readouterr().out)
    assert rf"{SPELLED[BYTES]} [b] :fan:\ " in out


def test_a_report_of_such_names_is_a_page(detector, tmp_path, monkeypatch):
    """What reads the sounds is not asked."""
    names = [f"{KANJI}.wav", f"{BYTES}.wav"]
    clips = [Clip(tmp_path / name, "fan", "id_00", "test", "unknown") for name in names]
    monkeypatch.setattr("asdlib.use.report.read", lambda *_, **__: np.full(16000, 0.1, np.float32))
    monkeypatch.setattr(type(detector), "score_clips", lambda *_, **__: pd.DataFrame({"softmax": [2.0, 1.0]}))
    assert write_report(tmp_path / "page.html", clips, detector, {"fan/id_00": 1.5}) == 1
    page = (tmp_path / "page.html").read_bytes().decode("utf-8")
    assert re.findall(r"<td>([^<]*\.wav)</td>", page) == [f"{KANJI}.wav", f"{SPELLED[BYTES]}.wav"]
    assert re.findall(r"<figcaption>(.*?)</figcaption>", page) == [
        f"fan/id_00, {KANJI}.wav: score 2.000",
        f"fan/id_00, {SPELLED[BYTES]}.wav: score 1.000",
    ]
