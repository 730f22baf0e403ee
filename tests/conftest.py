"""Fixtures shared by the tests: a tiny simulated park, a small finished run on it, and real recordings where there are any.

What was skipped, and why, is said at the end of every run. ``ASDLIB_MAY_SKIP`` allows only skips whose reason has these words
in it; any other then fails, so that continuous integration does not pass by leaving out.
"""

import ast
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from asdlib.cli import main
from asdlib.clips import Clips
from asdlib.data import scan
from asdlib.detector import Detector, train
from asdlib.encoder import EncoderConfig
from asdlib.features import FeatureConfig
from asdlib.machines import simulate
from asdlib.run import PRESETS
from asdlib.training import StageConfig

REAL = Path(os.environ.get("ASDLIB_REAL_DATA", Path(__file__).parents[2] / "shared" / "real"))

# The whole method in miniature: trains in seconds, means nothing.
SMALL = replace(
    PRESETS["book"],
    whole_clips=False,
    window=None,
    least_steps=0,
    features=FeatureConfig(seconds=1.0, n_mels=32),
    encoder=EncoderConfig(embedding_dim=16, stem_channels=8, table=((2, 8, 1, 2), (2, 16, 1, 2)), last_channels=32),
    pretrain=StageConfig(epochs=3, batch_size=16, learning_rate=1e-3),
    finetune=StageConfig(epochs=4, batch_size=16, learning_rate=1e-3, cosine_from=1),
)


def _reason(report) -> str:
    """Why a test, or a file of tests, was skipped."""
    return report.longrepr[2].removeprefix("Skipped: ")


def _allowed(report):
    """``report``, or a failure where it tells of a skip that ``ASDLIB_MAY_SKIP`` does not allow."""
    words = os.environ.get("ASDLIB_MAY_SKIP")
    if words and report.skipped and not hasattr(report, "wasxfail") and words not in _reason(report):
        report.outcome, report.longrepr = "failed", f"nothing may be skipped here but for {words!r}: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _allowed((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _allowed((yield))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    """The last lines: how many tests were skipped for each reason, which says what would make them run."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("skipped")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} of the tests: {reason}")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test reads or fills the user's feature cache; all tests share one."""
    monkeypatch.setenv("ASDLIB_CACHE", str(tmp_path_factory.getbasetemp() / "feature-cache"))


@pytest.fixture(scope="session")
def park(tmp_path_factory) -> Path:
    """The preset ``tiny`` of the simulated park."""
    return simulate(tmp_path_factory.mktemp("data") / "park", preset="tiny", seed=0)


@pytest.fixture(scope="session")
def small_park(park, tmp_path_factory) -> Path:
    """Only the fans and valves of the tiny park."""
    root = tmp_path_factory.mktemp("data") / "small"
    for machine_type in ("fan", "valve"):
        shutil.copytree(park / machine_type, root / machine_type)
    return root


@pytest.fixture(scope="session")
def small_run(small_park, tmp_path_factory) -> Path:
    """A finished run of :data:`SMALL` on the small park."""
    run = tmp_path_factory.mktemp("runs") / "run"
    train(scan(small_park), run, SMALL, cache=tmp_path_factory.getbasetemp() / "feature-cache")
    return run


@pytest.fixture(scope="session")
def detector(small_run) -> Detector:
    return Detector.load(small_run)


@pytest.fixture(scope="session")
def real_excerpt() -> Path:
    """263 real DCASE 2020 Task 2 recordings; see data/README.md."""
    path = REAL / "dcase2020_excerpt"
    if not path.is_dir():
        pytest.skip(f"no real recordings in {path}: set ASDLIB_REAL_DATA to the folder that holds them")
    return path


@pytest.fixture
def asd(monkeypatch, capsys):
    """Run ``asd`` with some words in this process: (exit code, standard output, standard error)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["asd", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


def told_and_imported(words, *more) -> tuple[str, list[str]]:
    """What ``asd`` says in a process of its own, and which slow packages, and of ``more``, it has imported."""
    slow = "lightning_fabric", "pandas", "sklearn", "requests", "torch._dynamo", "sympy", "torch", *more
    program = f"""
import sys
sys.argv = ["asd", *{[str(word) for word in words]!r}]
from asdlib.cli import main
try:
    main()
finally:
    print([name for name in {slow!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    *told, imported = done.stdout.splitlines()
    return "\n".join(told), ast.literal_eval(imported)


def clips_of(inputs, labels) -> Clips:
    """Clips of machines that are called m/0, m/1, ..., so that they have these labels, counted from 0."""
    return Clips(inputs, np.array([f"m/{label}" for label in labels]))


def same_tensors(path: Path, expected: Path) -> bool:
    """Do two safetensors files hold the same, to the last bit? What they say of the run that they belong to may differ."""
    found, wanted = load_file(path), load_file(expected)
    same = found.keys() == wanted.keys()
    return same and all(x.dtype == wanted[name].dtype and torch.equal(x, wanted[name]) for name, x in found.items())
