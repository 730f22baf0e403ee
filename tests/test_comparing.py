"""Methods held against each other: jobs in processes of their own, taken up again after a kill, and what is said of them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from asdlib import methods
from asdlib.board import heard
from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.files import locked
from asdlib.use import comparing, leaderboard
from asdlib.use.jobs import EXAMPLES, REHEARSAL, SECONDS, Job, parts_of, rehearsed, stage_of
from asdlib.use.results import read

NAMES = ("nearest", "autoencoder", "nearest_centroid")
OWN = '''"""The distance to the mean spectrum of the machine."""
import numpy as np
from torch import nn
from asdlib.judge.scorers import by_machine
NAME, PAPER, INPUTS, SCORERS = "nearest centroid", "none", ("spectra",), ("distance",)

def train(clips, *, budget, seed=0, device="auto", on_step=None, validation=0.0, folder=None):
    return nn.Identity()

def far(known, asked):
    return np.linalg.norm((asked - known.mean(axis=0)).reshape(len(asked), -1), axis=1)

def score(model, known, asked, *, device="auto"):
    return {"distance": by_machine(far, (known.inputs[0], known.machines), (asked.inputs[0], asked.machines))}
'''


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory):
    """A folder of methods that are not the package's: one that works, one that refuses, one that crashes."""
    folder = tmp_path_factory.mktemp("own")
    refuses = "from asdlib.errors import AsdError; raise AsdError('too few: give more')"
    for name, body in (
        ("nearest_centroid", "return nn.Identity()"),
        ("refuses", refuses),
        ("fails", "raise ValueError('no idea')"),
    ):
        (folder / f"{name}.py").write_text(OWN.replace("return nn.Identity()", body))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASDLIB_METHODS", str(folder))
        patch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
        yield folder


@pytest.fixture(scope="module")
def spectra(tmp_path_factory):
    """Spectra of three machines whose faults are more or less plain."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "spectra.npz"
    machines = np.repeat(["fan/id_00", "fan/id_02", "pump/id_00"], 24)
    truth = np.tile([0, 1], 36)
    place = np.repeat([0, 5, 10], 24)[:, None, None]
    arrays = {
        "train": rng.normal(size=(72, 12, 4)) + place,
        "test": rng.normal(size=(72, 12, 4)) + place + 0.5 * truth[:, None, None],
    }
    np.savez(path, train_machine=machines, test_machine=machines, test_is_anomaly=truth, **arrays)
    return path


@pytest.fixture(scope="module")
def plan(spectra):
    return comparing.new_plan(spectra, epochs=1, seconds=0.5)


@pytest.fixture(scope="module")
def compared(plan, tmp_path_factory):
    """A comparison that nothing interrupted: its folder, its jobs, and the leaderboard."""
    folder = tmp_path_factory.mktemp("comparison") / "out"
    seen = []
    jobs = comparing.compare(plan, folder, NAMES, range(2), on_step=lambda *step: seen.append(step))
    _, asked, labels, _ = parts_of(plan)
    found = leaderboard.leaderboard(plan, folder, jobs, asked.machines, labels)
    leaderboard.write(found, folder)
    assert seen[-1][1:] == (12, 12)
    return folder, jobs, found


def test_there_is_a_job_for_each_method_seed_and_budget_and_it_does_what_the_method_does_here(plan, compared):
    folder, jobs, _ = compared
    assert len(jobs) == len(set(jobs)) == len(NAMES) * 2 * 2
    known, asked, _, _ = parts_of(plan)
    for name in ("autoencoder", "nearest_centroid"):
        method = methods.get(name)
        stage = stage_of(name, known, plan.epochs)
        model = methods.trained(method, known, budget=stage, seed=1, device="cpu")
        kept = read(Job(1, EXAMPLES, name).path(folder))
        for scorer, expected in method.score(model, known, asked, device="cpu").items():
            np.testing.assert_allclose(kept.scores[scorer], expected, rtol=1e-4, atol=1e-6)
        assert kept.costs["epochs"] == stage.epochs
        assert kept.costs["parameters"] == sum(p.numel() for p in model.parameters())
        assert kept.costs["memory"] > 50  # MB; torch alone is more
        assert 0 < kept.costs["train"] < kept.costs["wall"] * os.cpu_count()
    linear = 48 * 128 + 6 * 128 * 128 + 2 * 128 * 8 + 48 * 128  # of an autoencoder, of which there are two
    assert read(Job(0, EXAMPLES, "autoencoder").path(folder)).costs["macs"] == 2 * linear


def test_every_seed_has_the_epochs_that_were_measured_to_fit_into_the_seconds(compared):
    folder, jobs, _ = compared
    for name in NAMES:
        epochs = json.loads((folder / "epochs" / f"{name.replace('/', '+')}.json").read_text())["epochs"]
        of_seeds = [read(job.path(folder)).costs["epochs"] for job in jobs if (job.method, job.budget) == (name, SECONDS)]
        assert of_seeds == [epochs, epochs]
        assert (epochs > 1) == (name == "autoencoder")


def test_a_job_waits_while_another_measures_the_epochs_of_its_method_and_for_no_other_method(plan, tmp_path):
    folder = tmp_path / "out"
    comparing.begin(plan, folder)
    (folder / "epochs").mkdir()
    lock = folder / "epochs" / "autoencoder.lock"
    lock.touch()
    held, free = Job(0, SECONDS, "autoencoder"), Job(0, SECONDS, "nearest_centroid")
    with locked(lock):
        waiting, running = (comparing.start(folder, job) for job in (held, free))
        assert running.wait(timeout=300) == 0
        assert waiting.poll() is None
    assert waiting.wait(timeout=300) == 0
    assert [read(job.path(folder)).error for job in (held, free)] == ["", ""]


def test_the_leaderboard_says_what_scikit_learn_says_of_the_same_scores(plan, compared):
    folder, _, found = compared
    _, asked, labels, _ = parts_of(plan)
    truth = labels == "anomaly"
    assert [row["budget"] for row in found["rows"]] == [EXAMPLES] * 3 + [SECONDS] * 3
    for row in found["rows"]:
        areas = []
        for seed in (0, 1):
            scores = read(Job(seed, row["budget"], row["method"]).path(folder)).scores[row["scorer"]]
            of = {m: roc_auc_score(truth[asked.machines == m], scores[asked.machines == m]) for m in asked.names}
            areas.append(((of["fan/id_00"] + of["fan/id_02"]) / 2 + of["pump/id_00"]) / 2)
        assert row["auc"] == pytest.approx([np.mean(areas), np.std(areas, ddof=1)])
        for figure, (low, high) in row["intervals"].items():
            assert low < row[figure][0] < high or (low, high) == (0, 1)
        assert row["interval"] == row["intervals"]["auc"]
        assert row["scorer"] == methods.get(row["method"]).SCORERS[0]
        assert ("difference" in row) == (row["method"] != NAMES[0])
        assert set(row["machines"]) == set(asked.names)
        costs = [read(Job(seed, row["budget"], row["method"]).path(folder)).costs for seed in (0, 1)]
        assert row["costs"]["train"] == min(cost["train"] for cost in costs)  # of times the least, of the rest the mean
        assert row["costs"]["memory"] == pytest.approx((costs[0]["memory"] + costs[1]["memory"]) / 2)
    for budget in (EXAMPLES, SECONDS):
        first = [row["auc"][0] for row in found["rows"] if row["budget"] == budget]
        assert first == sorted(first, reverse=True)
        assert sum(found["ranking"][budget]["ranks"].values()) == pytest.approx(6)
    kept = json.loads((folder / "leaderboard.json").read_text())
    assert kept["rows"][0]["auc"] == found["rows"][0]["auc"]
    lines = list(csv.DictReader((folder / "leaderboard.csv").open()))
    assert [line["method"] for line in lines] == [row["method"] for row in found["rows"]]
    assert float(lines[0]["auc"]) == pytest.approx(100 * found["rows"][0]["auc"][0], abs=0.006)
    for line, row in zip(lines, found["rows"], strict=True):
        ends = [float(line[f"mauc {word}"]) for word in ("from", "to")]
        assert ends == pytest.approx([100 * x for x in row["intervals"]["mauc"]], abs=0.006)
        assert float(line["rank"]) == pytest.approx(found["ranking"][row["budget"]]["ranks"][row["method"]], abs=0.006)
        if "difference" in row:
            told = [float(line[f"ahead {word}"]) for word in (f"of {NAMES[0]}", "from", "to")]
            assert told == pytest.approx([100 * row["difference"][key] for key in ("mean", "low", "high")], abs=0.006)


def without_costs(row):
    return {key: value for key, value in row.items() if key != "costs"}


def test_a_comparison_that_is_killed_goes_on_to_what_an_uninterrupted_one_has(plan, compared, tmp_path):
    whole, _, _ = compared
    folder, once = tmp_path / "out", replace(plan, seconds=None)
    program = (
        "import sys; from pathlib import Path; from asdlib.use import comparing; from asdlib.use.jobs import Plan\n"
        f"plan = Plan(**{vars(once)!r})\ncomparing.compare(plan, Path(sys.argv[1]), {NAMES!r}, [0, 1], workers=2)\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program, str(folder)])
    until = time.monotonic() + 200
    while not list(folder.glob("jobs/*.npz")) and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    time.sleep(2.5)  # its job sees within a second that it is alone
    left = list(folder.glob("jobs/*.npz"))
    time.sleep(1.5)
    assert 1 <= len(left) < 2 * len(NAMES)
    assert list(folder.glob("jobs/*.npz")) == left
    before = {path.name: path.stat().st_mtime_ns for path in left}
    jobs = comparing.compare(once, folder, NAMES, [0, 1])
    _, asked, labels, _ = parts_of(plan)
    boards = [leaderboard.leaderboard(plan, place, jobs, asked.machines, labels) for place in (whole, folder)]
    assert [without_costs(row) for row in boards[0]["rows"]] == [without_costs(row) for row in boards[1]["rows"]]
    assert boards[0]["ranking"] == boards[1]["ranking"]
    for job in jobs:
        one, two = (read(job.path(place)) for place in (whole, folder))
        assert one.scores.keys() == two.scores.keys()
        assert all(np.array_equal(one.scores[name], two.scores[name]) for name in one.scores), job
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("jobs/*.npz")}
    assert before.items() <= after.items()  # what was done was not done again


def test_a_method_of_ones_own_takes_part_and_one_that_fails_costs_the_others_nothing(plan, compared, tmp_path):
    _, _, found = compared
    row = next(row for row in found["rows"] if row["method"] == "nearest_centroid")
    assert row["name"] == "nearest centroid"
    assert row["auc"][0] > 0.7
    assert row["difference"]["against"] == "nearest"
    folder, plan = tmp_path / "out", replace(plan, seconds=None)
    names = ("nearest", "nearest_centroid", "refuses")
    jobs = comparing.compare(plan, folder, names, [0])
    _, asked, labels, _ = parts_of(plan)
    rows = {row["method"]: row for row in leaderboard.leaderboard(plan, folder, jobs, asked.machines, labels)["rows"]}
    assert rows["refuses"]["error"] == "too few: give more"
    assert rows["nearest"]["auc"][0] > 0.7
    said = r"fails, seed 0, crashed \(ValueError: no idea\): what was done is in .* leave the method out"
    with pytest.raises(AsdError, match=said):
        comparing.compare(plan, folder, [*names, "fails"], [0])
    assert len(comparing.compare(plan, folder, names, [0])) == 3  # and is as it was


def test_a_rehearsal_is_trained_without_the_stranger_and_asked_without_the_test_clips(plan, tmp_path):
    folder, plan = tmp_path / "out", replace(plan, seconds=None)
    jobs = comparing.compare(plan, folder, NAMES, [0, 1], rehearse=2)
    assert [job.budget for job in jobs] == [*([EXAMPLES] * 3 + [REHEARSAL] * 3) * 2]
    known, asked, labels, _ = parts_of(plan)
    clip_sets = {}
    for seed, stranger in ((0, "fan/id_00"), (1, "fan/id_02")):
        learned, (healthy, *faults) = rehearsed(known, seed=seed)
        assert sorted({*known.names} - {*learned.names}) == [stranger]
        assert stranger not in healthy.names
        own = {row.tobytes() for row in learned.inputs[0]}
        assert own < {row.tobytes() for row in known.inputs[0]}
        assert not own & {row.tobytes() for row in healthy.inputs[0]}
        for part in faults:  # half of the power of a healthy clip of the same machine
            assert (part.inputs[0] > healthy.inputs[0] + np.log10(0.5) - 1e-4).all()
            assert part.machines.tolist() == healthy.machines.tolist()
        clip_sets[seed] = learned, healthy, faults
    found = leaderboard.leaderboard(plan, folder, jobs, asked.machines, labels)
    assert {row["budget"] for row in found["rows"]} == {EXAMPLES}
    for row in found["rows"]:
        areas = []
        for seed, (learned, healthy, faults) in clip_sets.items():
            result = read(Job(seed, REHEARSAL, row["method"]).path(folder))
            machines = np.concatenate([part.machines for part in (healthy, *faults)])
            assert result.machines.tolist() == machines.tolist()
            truth = np.repeat([0, 1], [len(healthy), len(healthy) * len(faults)])
            scores = result.scores[row["scorer"]]
            areas.append(np.mean([roc_auc_score(truth[machines == m], scores[machines == m]) for m in learned.names]))
        assert row["rehearsal"] == pytest.approx([np.mean(areas), np.std(areas, ddof=1)])
    pairs = [(row["rehearsal"][0], row["auc"][0]) for row in found["rows"]]
    assert found["trust"]["rho"] == pytest.approx(spearmanr(*zip(*pairs, strict=True)).statistic)
    assert found["trust"]["count"] == 3
    leaderboard.write(found, folder)
    lines = list(csv.DictReader((folder / "leaderboard.csv").open()))
    assert float(lines[0]["rehearsal"]) == pytest.approx(100 * found["rows"][0]["rehearsal"][0], abs=0.006)


def test_where_no_machine_can_be_spared_there_is_no_rehearsal(plan, tmp_path):
    with np.load(plan.data) as arrays:
        rows = {part: arrays[f"{part}_machine"] != "fan/id_02" for part in ("train", "test")}
        fewer = {name: arrays[name][rows[name.split("_")[0]]] for name in arrays.files}
    np.savez(tmp_path / "two.npz", **fewer)
    plan = comparing.new_plan(tmp_path / "two.npz", epochs=1)
    jobs = comparing.compare(plan, tmp_path / "out", ["nearest"], [0], rehearse=1)
    assert "no machine can be spared for a rehearsal: give two machines of a type" in read(jobs[1].path(tmp_path / "out")).error
    _, asked, labels, _ = parts_of(plan)
    found = leaderboard.leaderboard(plan, tmp_path / "out", jobs, asked.machines, labels)
    assert "rehearsal" not in found["rows"][0]
    assert found["trust"] is None


def test_another_comparison_in_the_folder_and_anything_else_there_are_left_alone(plan, compared, tmp_path, spectra):
    folder, _, _ = compared
    for other in (replace(plan, epochs=2), replace(plan, digest="another"), replace(plan, seconds=None)):
        with pytest.raises(AsdError, match="holds a comparison on other clips, or with other budgets: name a new folder"):
            comparing.compare(other, folder, NAMES, [0])
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(AsdError, match="holds something else already, and is left as it is"):
        comparing.compare(plan, tmp_path, NAMES, [0])
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(AsdError, match=r"there is no file .*gone\.npz: give spectra"):
        comparing.new_plan(Path(tmp_path / "gone.npz"), epochs=1)


def test_time_that_is_left_is_that_of_the_same_methods_and_then_what_they_say_of_themselves(plan, compared):
    folder, _, _ = compared
    clock = comparing.Clock(plan)
    job, other = Job(0, EXAMPLES, "nearest"), Job(0, EXAMPLES, "autoencoder")
    guessed = clock.guess(other.method, EXAMPLES)
    assert clock.left([other]) == pytest.approx(guessed)
    clock.note(job, folder)
    wall = read(job.path(folder)).costs["wall"]
    assert clock.left([Job(1, EXAMPLES, job.method)] * 2) == pytest.approx(2 * wall)
    assert clock.left([other]) == pytest.approx(guessed * wall / clock.guess(job.method, EXAMPLES))
    assert clock.left([]) == 0
    assert clock.still([], [], 2) == 0
    assert clock.still([], [10.0, -3.0], 2) == 10  # one is still running, and nobody can help it
    assert clock.still([], [10.0, 8.0, 6.0], 2) == 12
    assert clock.still([job] * 4, [wall], 2) == pytest.approx(2.5 * wall)


def test_spectra_cannot_be_heard_and_recordings_are_by_what_they_are(plan, compared):
    folder, jobs, found = compared
    _, asked, labels, files = parts_of(plan)
    assert found["above"] == {}
    assert heard(found, asked, labels, files) == []
    found = leaderboard.leaderboard(replace(plan, data="recordings"), folder, jobs, asked.machines, labels)
    waves = (np.linspace(-1, 1, 72)[:, None] * np.ones(100)).astype(np.float32)
    sound = Clips((waves, np.zeros((72, 4, 3), np.float16)), asked.machines, FeatureConfig())
    clips = heard(found, sound, labels, [f"{i}.wav" for i in range(72)])
    assert [clip.machine for clip in clips] == list(np.repeat(asked.names, 5))
    for clip in clips:
        place = int(clip.text.removesuffix(".wav"))
        assert labels[place] == "anomaly"
        assert asked.machines[place] == clip.machine
        np.testing.assert_array_equal(clip.waveform, waves[place])
        own = (asked.machines == clip.machine) & (labels == "normal")
        scores = [read(Job(seed, SECONDS, "nearest").path(folder)).scores["mahalanobis"] for seed in (0, 1)]
        expected = np.mean([(row[own] < row[place]).mean() for row in scores])
        assert clip.above[SECONDS]["nearest"] == pytest.approx(expected, abs=6e-3)
    known = labels.copy()
    known[asked.machines == "pump/id_00"] = "unknown"
    fewer = leaderboard.leaderboard(replace(plan, data="recordings"), folder, jobs, asked.machines, known)
    clips = heard(fewer, sound, known, files, each=2)
    assert [clip.machine for clip in clips] == ["fan/id_00"] * 2 + ["fan/id_02"] * 2


def test_a_result_that_is_damaged_is_named(compared, tmp_path):
    folder, jobs, _ = compared
    path = tmp_path / "bad.npz"
    path.write_bytes(jobs[0].path(folder).read_bytes()[:100])
    with pytest.raises(AsdError, match=r"bad\.npz is damaged .*: remove it, and it is computed again"):
        read(path)
