"""The leaderboards in the repository: whole, and kept so that a comparison can go on from them."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from asdlib.use import comparing, leaderboard
from asdlib.use.jobs import parts_of

TOP = Path(__file__).parents[1]
sys.path.append(str(TOP / "benchmarks"))
NAMES = ("nearest", "autoencoder")

script = import_module("leaderboard")  # of the benchmarks


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """A comparison on spectra of three machines."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "spectra.npz"
    machines = np.repeat(["fan/id_00", "fan/id_02", "pump/id_00"], 24)
    truth = np.tile([0, 1], 36)
    arrays = {part: rng.normal(size=(72, 12, 4)) for part in ("train", "test")}
    arrays["test"] += 0.5 * truth[:, None, None]
    np.savez(path, train_machine=machines, test_machine=machines, test_is_anomaly=truth, **arrays)
    return comparing.new_plan(path, epochs=1, seconds=0.5)


def found_of(plan, folder, names):
    jobs = comparing.compare(plan, folder, names, [0])
    _, asked, labels, _ = parts_of(plan)
    return leaderboard.leaderboard(plan, folder, jobs, asked.machines, labels)


def test_a_comparison_goes_on_from_what_is_kept_of_it(plan, tmp_path, monkeypatch):
    """Nothing that is in the archive is computed again, and every figure is what it was."""
    monkeypatch.setattr(script, "commit_of", lambda folder: "a commit")
    folder, again = tmp_path / "out", tmp_path / "again"
    found = found_of(plan, folder, NAMES)
    leaderboard.write(found, folder)
    for where, words in ((folder, ["--command", "asd compare ..."]), (again, ["--unpack", plan.data])):
        monkeypatch.setattr(sys, "argv", ["leaderboard.py", str(where), "--name", "one", "--folder", str(tmp_path), *words])
        script.main()
    about = json.loads((tmp_path / "leaderboard_one.json").read_text())
    assert about.pop("header") == {"command": "asd compare ...", "commit": "a commit"}
    assert about == json.loads(json.dumps(found))
    before = {path.name: path.stat().st_mtime_ns for path in again.glob("jobs/*.npz")}
    assert len(before) == 4
    more = found_of(plan, again, [*NAMES, "clp_scf/contrast"])
    after = {path.name: path.stat().st_mtime_ns for path in again.glob("jobs/*.npz")}
    assert before.items() < after.items()
    rows = {(row["method"], row["budget"]): row for row in more["rows"]}
    assert len(rows) == 6
    for row in found["rows"]:
        other = rows[row["method"], row["budget"]]
        for key in ("auc", "pauc", "mauc", "machines", "interval", "costs", "scorer"):
            assert other[key] == row[key], (row["method"], key)


def test_what_is_not_kept_cannot_be_gone_on_from(tmp_path, monkeypatch):
    command = ["leaderboard.py", str(tmp_path / "out"), "--name", "none", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*command, "--unpack", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"there is no .*jobs_none.zip: choose a name"):
        script.main()
    assert not (tmp_path / "out").exists()
