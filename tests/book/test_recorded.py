"""What comes recorded with the book: it is what a training leaves today, all that the chapters ask for, and a page says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TOP = Path(__file__).parents[2]
sys.path[:0] = [str(TOP / "book"), str(TOP / "book" / "_ext")]

import keep  # noqa: E402
import record  # noqa: E402

from asdlib.checkpoint import read_log  # noqa: E402

RECORDED = TOP / "data" / "recorded"
BUILT = TOP / "_build" / "took.json"


def python(program, tmp_path):
    """What a program prints that imports ``chapter``, with a place of its own."""
    paths = os.pathsep.join([str(TOP), str(TOP / "book")])
    environment = os.environ | {"ASDLIB_DATA": str(tmp_path), "ASDLIB_TRAIN": "", "PYTHONPATH": paths}
    script = tmp_path / "program.py"  # a file, so that functions have a source
    script.write_text(program)
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


TRAIN_TWO_EPOCHS = """
from chapter import BOOK, place, recordings, run_name
from asdlib.detector import train

class Enough(Exception):
    pass

def on_step(text, done, total):
    if text.startswith("pretrain 3/"):
        raise Enough

try:
    train(recordings(), place / "run", BOOK, on_step=on_step)
except Enough:
    print(run_name())
"""


def test_two_epochs_of_a_training_have_the_losses_that_were_recorded(tmp_path):
    name = python(TRAIN_TWO_EPOCHS, tmp_path).strip()
    now, then = (read_log(folder / "log.csv")[:2] for folder in (tmp_path / "run", RECORDED / name))
    assert [row["epoch"] for row in now] == [0, 1]
    for column in ("train_loss", "validation_loss"):
        # Rounded otherwise by another processor, or by other threads: 1 % was seen, where an epoch makes 36 %.
        np.testing.assert_allclose([row[column] for row in now], [row[column] for row in then], rtol=5e-2)


USE = """
import numpy as np
import chapter
from chapter import kept, place, run_card, trained

detector, run = trained()
print(run.parent == place, len(detector.config.machines))

def make():
    return {"x": np.arange(3.0)}

print(kept("of its own", make)["x"].tolist())
print(run_card().data)
"""


def test_a_page_says_what_was_recorded_and_by_which_code(tmp_path):
    told = python(USE, tmp_path)
    assert told.startswith("True 23\n[0.0, 1.0, 2.0]\n")
    about = json.loads((RECORDED / "about.json").read_text())
    code = "the same" if about["code"] == keep.key() else "an earlier version of the"
    (run,) = (path.name for path in tmp_path.glob("run-*") if path.is_dir())
    assert f"recorded beforehand, with asdlib {about['asdlib']} and torch {about['torch']}, by {code} code: {run}." in told
    assert "of its own" not in told.rpartition("code:")[2]


def test_what_is_recorded_is_used_only_where_nothing_is_to_be_trained(monkeypatch):
    monkeypatch.delenv("ASDLIB_TRAIN", raising=False)
    assert keep.recorded("about.json") == RECORDED / "about.json"
    assert keep.recorded("nothing.npz") is None
    monkeypatch.setenv("ASDLIB_TRAIN", "1")
    assert keep.recorded("about.json") is None


@pytest.mark.skipif(not (BUILT.exists() and json.loads(BUILT.read_text()).get("trained anew")), reason="no new book")
def test_what_is_recorded_is_what_the_chapters_ask_for():
    """Where the book was trained anew, in an empty place."""
    code = keep.code_of_all()
    asked = {path.parent.name for path in keep.place().glob("run-*/scores.json")}
    asked |= {
        path.stem.removesuffix(f"-{code}") + ".npz"
        for path in keep.place().glob(f"*-{code}.npz")
        if not path.name.startswith(record.CHEAP)
    }
    assert asked == {path.name for path in RECORDED.iterdir()} - {"about.json"}, "make book TRAIN=1, then book/_ext/record.py"
