"""The leaderboards in the repository: whole, and kept so that a comparison can go on from them."""

import json
import re
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from asdlib import methods
from asdlib.use import comparing, leaderboard
from asdlib.use.jobs import REHEARSAL, Job, parts_of
from asdlib.use.results import read

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
    for where, words in ((folder, ["--command", "asd compare ...", "--note", "one by hand"]), (again, ["--unpack", plan.data])):
        monkeypatch.setattr(sys, "argv", ["leaderboard.py", str(where), "--name", "one", "--folder", str(tmp_path), *words])
        script.main()
    about = json.loads((tmp_path / "leaderboard_one.json").read_text())
    assert about.pop("header") == {"command": "asd compare ...", "commit": "a commit", "note": "one by hand"}
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


# ------------------------------------------------------------------------------------------------- what was measured and kept

RESULTS = TOP / "data" / "results"
SEEDS = {"park": 5, "mimii": 3, "modspec": 3}
METHODS = (
    *("aadcl", "autoencoder", "clp_scf", "clp_scf/contrast", "clp_scf/single_stage", "ensemble", "idnn", "nearest"),
    *("noisy_arcmix", "os_scl", "separable_attention", "serial_oe", "simclr", "sub_cluster", "sub_cluster/adaproj"),
    *("sub_cluster/feat_ex", "transform_classifier", "twfr_gmm"),
)


def board(name):
    return json.loads((RESULTS / f"leaderboard_{name}.json").read_text())


@pytest.mark.parametrize("name", SEEDS)
def test_each_leaderboard_has_its_methods_with_every_seed_and_both_budgets(name):
    found, kind = board(name), "spectra" if name == "modspec" else "sound"
    able = {method for method in METHODS if kind in methods.get(method).INPUTS}
    assert found["seeds"] == list(range(SEEDS[name]))
    for budget in ("examples", "seconds"):
        rows = {row["method"]: row for row in found["rows"] if row["budget"] == budget}
        assert rows.keys() == able
        for row in rows.values():
            assert "error" not in row
            assert len(row["scorers"][row["scorer"]]["auc"]) == SEEDS[name]
            assert row["auc"][0] == pytest.approx(np.mean(row["scorers"][row["scorer"]]["auc"]))
            assert row["scorer"] == methods.get(row["method"]).SCORERS[0]
            assert ("rehearsal" in row) == (budget == "examples")
    assert re.fullmatch("[0-9a-f]{40}", found["header"]["commit"])
    command = found["header"]["command"]
    assert f"--seeds {SEEDS[name]} " in command
    assert f"--epochs {found['epochs']} --budget {found['seconds']:.0f}s" in command


@pytest.mark.parametrize("name", SEEDS)
def test_a_rehearsal_is_what_scikit_learn_says_of_the_ranks_that_are_kept(name, tmp_path):
    rows = {row["method"]: row for row in board(name)["rows"] if row["budget"] == "examples"}
    with zipfile.ZipFile(RESULTS / f"jobs_{name}.zip") as archive:
        archive.extractall(tmp_path)
    for method, row in rows.items():
        result = read(Job(0, REHEARSAL, method).path(tmp_path))
        scores, faulty = result.scores[row["scorer"]], result.labels == "anomaly"
        types = {}
        for machine in np.unique(result.machines):
            own = result.machines == machine
            types.setdefault(machine.split("/")[0], []).append(roc_auc_score(faulty[own], scores[own]))
        assert row["rehearsal"][0] == pytest.approx(np.mean([np.mean(areas) for areas in types.values()]), abs=1e-9)
