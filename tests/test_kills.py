"""Training that is killed at any moment, again and again, ends in the same files as training that is left alone.

A few kills here, as many as ``make soak`` says there.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

from tests.conftest import same_tensors

KILLS = int(os.environ.get("ASDLIB_SOAK_KILLS", 4))
TRAIN = """
import sys
import asdlib.learn.training
from asdlib.data import scan
from asdlib.detector import train
from tests.conftest import SMALL
asdlib.learn.training.SAVE_EVERY = 0.0  # a checkpoint after every step
train(scan(sys.argv[1]), sys.argv[2], SMALL, resume=True, device="cpu", on_step=lambda *step: print(*step, flush=True))
"""


def started(park, run):
    words = [sys.executable, "-c", TRAIN, str(park), str(run)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1], text=True)


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_weights(small_park, small_run, tmp_path):
    rng = random.Random(0)
    run, kills, where = tmp_path / "run", 0, set()
    runs = 0
    while kills < KILLS:
        process = started(small_park, run)
        for _ in range(rng.randrange(1, 25)):  # steps of any kind: features, training, embedding
            line = process.stdout.readline()
        time.sleep(rng.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if line:
            kills += 1
            where.add(line.split()[0])
        if not line or (run / "scores.json").exists():  # it was finished: begin another one
            error = process.stderr.read()
            assert not error, error
            same(run, small_run)
            runs += 1
            run = tmp_path / f"run-{runs}"
    process = started(small_park, run)
    _, error = process.communicate()
    assert process.returncode == 0, error
    same(run, small_run)
    print(f"{kills} kills in {runs + 1} runs, in {sorted(where)}")


def same(run, expected):
    for name in ("pretrained.safetensors", "weights.safetensors", "embeddings.safetensors"):
        assert same_tensors(run / name, expected / name), name
    scores, of_expected = (json.loads((folder / "scores.json").read_text())["percentiles"] for folder in (run, expected))
    assert scores == of_expected
    assert load_file(run / "weights.safetensors")
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in expected.iterdir())
