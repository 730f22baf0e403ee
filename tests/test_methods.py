"""What every method must hold, on every kind of input that it reads; a new file in the folder is tested by being there."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from asdlib import methods, processes
from asdlib.cache import clip_of
from asdlib.checkpoint import read_log
from asdlib.clips import Clips
from asdlib.encoder import EncoderConfig
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.spectra import SpectrumConfig
from asdlib.training import StageConfig

TOP = Path(__file__).parents[1]
FEATURES = FeatureConfig(seconds=0.5, n_fft=256, hop_length=128, n_mels=16)
ENCODERS = {
    "sound": EncoderConfig(embedding_dim=8, stem_channels=4, table=((2, 8, 1, 2),), last_channels=16),
    "spectra": SpectrumConfig(12, 8, width=4, embedding_dim=8),
}
BUDGET = StageConfig(epochs=4, batch_size=8, learning_rate=3e-3)
MACHINES = ("fan/id_00", "fan/id_02", "pump/id_00")
CASES = [(name, kind) for name in methods.names() for kind in methods.get(name).INPUTS]
on_every_input = pytest.mark.parametrize(("name", "kind"), CASES)


def clips(kind, count, *, seed, faulty=False):
    """``count`` clips of each machine, each a hum or a pattern of its own under noise; faulty ones have something more."""
    rng = np.random.default_rng(seed)
    names = np.repeat(MACHINES, count)
    if kind == "spectra":
        pattern = {name: np.random.default_rng(i).normal(size=(1, 12, 8)) for i, name in enumerate(MACHINES)}
        x = np.stack([pattern[name] for name in names]) + 0.3 * rng.normal(size=(len(names), 1, 12, 8))
        return Clips(((x + 4 * faulty * rng.normal(size=x.shape)).astype(np.float32),), names)
    t = np.arange(FEATURES.samples) / FEATURES.sample_rate
    pitch = {name: 200 * (1.5 + i) for i, name in enumerate(MACHINES)}
    waves = [0.1 * np.sin(2 * np.pi * pitch[name] * t + rng.uniform(0, 6)) + 0.01 * rng.normal(size=t.size) for name in names]
    waves = [x + 0.3 * faulty * rng.normal(size=t.size) for x in waves]
    arrays = zip(*(clip_of(x.astype(np.float32), FEATURES) for x in waves), strict=True)
    return Clips(tuple(np.stack(part) for part in arrays), names, FEATURES)


def trained(name, kind, *, seed=0, known=None, **options):
    method = methods.get(name)
    if "encoder" in inspect.signature(method.train).parameters:
        options["encoder"] = ENCODERS[kind]
    known = clips(kind, 8, seed=0) if known is None else known
    return method.train(known, budget=BUDGET, seed=seed, device="cpu", **options)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", methods.names())
def test_a_method_says_what_it_is_and_is_called_as_all_are(name):
    method = methods.get(name)
    assert isinstance(method, methods.Method)
    assert method.NAME
    assert method.PAPER
    assert method.__doc__
    assert set(method.INPUTS) <= set(methods.KINDS)
    train, score = (inspect.signature(function).parameters for function in (method.train, method.score))
    assert next(iter(train)) == "clips"
    assert {"budget", "seed", "device", "on_step", "folder"} <= {n for n, p in train.items() if p.kind is p.KEYWORD_ONLY}
    assert all(p.default is not p.empty for n, p in train.items() if n not in ("clips", "budget", "options"))
    assert list(score) == ["model", "known", "asked", "device"]
    assert score["device"].kind is inspect.Parameter.KEYWORD_ONLY


@on_every_input
def test_every_clip_that_is_asked_has_a_finite_score_and_a_plain_fault_a_higher_one(name, kind):
    known = clips(kind, 8, seed=0)
    healthy, faulty = clips(kind, 4, seed=1), clips(kind, 4, seed=2, faulty=True)
    model = trained(name, kind)
    assert isinstance(model, torch.nn.Module)
    assert not model.training
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    of_healthy, of_faulty = (methods.get(name).score(model, known, asked, device="cpu") for asked in (healthy, faulty))
    assert of_healthy
    assert of_healthy.keys() == of_faulty.keys()
    for scorer, scores in of_healthy.items():
        assert scores.shape == (12,), scorer
        assert scores.dtype == np.float64, scorer
        assert np.isfinite(scores).all(), scorer
        assert np.isfinite(of_faulty[scorer]).all(), scorer
    assert max(np.mean(of_faulty[s].mean() > of_healthy[s]) for s in of_healthy) == 1
    one = methods.get(name).score(model, known, faulty.of("fan/id_02"), device="cpu")
    for scorer, scores in one.items():  # a clip's score does not depend on what else is asked
        np.testing.assert_allclose(scores, of_faulty[scorer][faulty.machines == "fan/id_02"], rtol=1e-3, atol=1e-4)


@on_every_input
def test_the_seed_decides_and_nothing_else_does(name, kind):
    torch.manual_seed(1)
    np.random.seed(1)
    first = trained(name, kind)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))
    assert same(first, trained(name, kind))
    assert not same(first, trained(name, kind, seed=1))


class Stop(Exception):  # noqa: N818 (plays the part of a power cut)
    pass


@on_every_input
@pytest.mark.parametrize("save_every", [0.0, 600.0])
def test_a_training_that_was_interrupted_ends_bit_for_bit_as_one_that_was_not(name, kind, save_every, tmp_path, monkeypatch):
    monkeypatch.setattr("asdlib.learn.training.SAVE_EVERY", save_every)
    steps = []
    whole = trained(name, kind, on_step=lambda *step: steps.append(step))
    for place in (len(steps) // 3, len(steps) - 2):
        left = iter(range(place))

        def stop(*step, left=left):
            if next(left, None) is None:
                raise Stop

        folder = tmp_path / str(place)
        with pytest.raises(Stop):
            trained(name, kind, folder=folder, on_step=stop)
        assert same(whole, trained(name, kind, folder=folder))


def distributed(name: str, kind: str, folder: Path) -> None:
    """A training as one of several processes, whose logs are left in ``folder``."""
    with processes.process_group("cpu"):
        trained(name, kind, folder=folder)


@on_every_input
def test_two_processes_have_the_losses_of_one(name, kind, tmp_path):
    trained(name, kind, folder=tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "tests.test_methods"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOP)}
    words = [name, kind, str(tmp_path / "two")]
    done = subprocess.run([*command, *words], cwd=TOP, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "destroy_process_group" not in done.stderr
    logs = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("log.csv"))
    assert logs
    for log in logs:
        one, two = (read_log(tmp_path / place / log) for place in ("one", "two"))
        # Later the two part: Adam's first steps follow the sign of a gradient, however small it is.
        within = [2e-3] if log.parent.name != "stage 2" else [0.1]
        for expected, got, rel in zip(one, two, within, strict=False):
            assert got["train_loss"] == pytest.approx(expected["train_loss"], rel=rel)


@on_every_input
def test_what_cannot_be_trained_on_or_scored_is_refused_in_a_sentence(name, kind):
    method, known = methods.get(name), clips(kind, 8, seed=0)
    with pytest.raises(AsdError, match="no clips"):
        trained(name, kind, known=known.only(np.arange(0)))
    model = trained(name, kind)
    strange = Clips(known.inputs, np.full(len(known), "slider/id_00"), known.features)
    with pytest.raises(AsdError, match="slider"):
        method.score(model, known, strange, device="cpu")
    if name == "clp_scf":  # contrast needs pairs
        with pytest.raises(AsdError, match="only one clip of pump/id_00"):
            trained(name, kind, known=known.only(np.arange(len(known) - 7)))


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n in methods.names() for k in methods.KINDS if (n, k) not in CASES])
def test_inputs_that_a_method_does_not_read_are_refused(name, kind):
    with pytest.raises(AsdError, match="reads"):
        trained(name, kind)


def test_a_method_that_is_not_there_is_refused_with_the_choices():
    with pytest.raises(AsdError, match="no method 'magic': choose one of autoencoder, clp_scf"):
        methods.get("magic")


DUMMY = '''"""The distance of the mean of the inputs to that of the machine's known clips."""

import numpy as np
from torch import nn

from asdlib.judge.scorers import by_machine

NAME, PAPER, INPUTS = "distance of means", "none", ("sound", "spectra")


def train(clips, *, budget, seed=0, device="auto", folder=None, on_step=None):
    return nn.Identity().eval()


def score(model, known, asked, *, device="auto"):
    rows = [(x.inputs[-1].reshape(len(x), -1).mean(axis=1, dtype=float), x.machines) for x in (known, asked)]
    return {"distance": by_machine(lambda a, b: np.abs(b - a.mean()), *rows)}
'''


def test_a_new_method_is_one_new_file(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "means.py").write_text(DUMMY)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
    assert methods.names() == sorted(methods.names())
    assert "means" in methods.names()
    assert isinstance(methods.get("means"), methods.Method)
    monkeypatch.syspath_prepend(str(TOP / "benchmarks"))
    import leaderboard

    known, asked = clips("spectra", 8, seed=0), clips("spectra", 4, seed=1)
    faulty = clips("spectra", 4, seed=2, faulty=True)
    both = Clips((np.concatenate([asked.inputs[0], faulty.inputs[0]]),), np.concatenate([asked.machines, faulty.machines]))
    truth = np.repeat([False, True], 12)
    records = leaderboard.measured(known, both, truth, names=["means"], seeds=[0], budget=BUDGET)
    assert {(r["method"], r["scorer"], r["seed"], r["machine"]) for r in records} == {
        ("means", "distance", 0, machine) for machine in MACHINES
    }
    leaderboard.show(records)
    assert "means" in capsys.readouterr().out
    monkeypatch.syspath_prepend(str(TOP / "book" / "_ext"))
    import build

    assert "## distance of means: `asdlib.methods.means`" in build.methods_reference()


if __name__ == "__main__":
    distributed(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
