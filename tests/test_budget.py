"""A training within a budget of time: as many epochs as fit, the same ones when it is taken up again."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from asdlib.checkpoint import read_log
from asdlib.data import scan
from asdlib.detector import Detector, train
from asdlib.errors import AsdError
from asdlib.run import PRESETS, read_config
from asdlib.spectrogram_encoder import SpectrogramConfig
from asdlib.training import StageConfig
from asdlib.use import budget
from asdlib.use.budget import within
from asdlib.use.train import training_clips

from .conftest import SMALL

QUICK = replace(
    PRESETS["best"],
    encoder=SpectrogramConfig(width=8, embedding_dim=16),
    finetune=StageConfig(3, 16, 1e-3, cosine_from=0),
    least_steps=6,
)


@pytest.fixture
def arrays(small_park):
    from asdlib.cache import features_now

    return features_now(training_clips(scan(small_park), skip_single=False), SMALL.features)


def with_costs(monkeypatch, looking, of_stages):
    monkeypatch.setattr(budget, "costs", lambda *a, **k: (looking, of_stages))


def test_a_budget_buys_as_many_epochs_as_fit_and_the_stages_keep_their_shares(arrays, monkeypatch, caplog):
    config = replace(SMALL, pretrain=SMALL.pretrain.of(10), finetune=SMALL.finetune.of(20))
    with_costs(monkeypatch, 10.0, [1.0, 2.0])  # seconds for all looks, and for an epoch of each stage
    # 90 % of 200 s, less 10 s: 170 s for rounds of 10 + 2 · 20 = 50 s.
    found = within(config, arrays, 200.0)
    assert (found.pretrain.epochs, found.finetune.epochs) == (33, 67)
    assert found == replace(config, pretrain=config.pretrain.of(33), finetune=config.finetune.of(67))
    assert "33 and 67 epochs" in caplog.text
    twice = within(config, arrays, 350 / 0.9)
    assert twice.finetune.epochs == pytest.approx(2 * 67, abs=1)


def test_few_steps_are_told_and_less_than_an_epoch_is_refused(arrays, monkeypatch, caplog):
    with_costs(monkeypatch, 10.0, [1.0, 2.0])
    within(SMALL, arrays, 20.0)
    assert "so few steps make a poor network" in caplog.text
    with pytest.raises(AsdError, match=r"^12 s are left of the budget, and one epoch takes 14 s here, .* give more$"):
        within(SMALL, arrays, 12.0)


def test_what_is_timed_is_this_machine(arrays):
    looking, of_stages = budget.costs(SMALL, arrays, device="cpu")
    assert looking > 0
    assert len(of_stages) == 2
    assert min(of_stages) > 0
    _, alone = budget.costs(replace(SMALL, pretrain=None), arrays, device="cpu")
    assert len(alone) == 1


def test_a_run_that_was_begun_within_a_budget_is_finished_with_its_epochs(small_park, tmp_path, monkeypatch):
    with_costs(monkeypatch, 0.0, [20.0])

    class StoppedError(Exception):
        pass

    def stop_in_the_second_network(text, done, total):
        if text.startswith("network"):
            raise StoppedError

    options = {"budget": 100.0, "device": "cpu", "cache": tmp_path / "cache"}
    with pytest.raises(StoppedError):
        train(scan(small_park), tmp_path / "run", QUICK, on_step=stop_in_the_second_network, **options)
    assert read_config(tmp_path / "run").finetune.epochs == 4
    with_costs(monkeypatch, 0.0, [2.0])  # faster by now: it is not asked again
    train(scan(small_park), tmp_path / "run", QUICK, resume=True, **options)
    log = read_log(tmp_path / "run" / "log.csv")
    assert [row["epoch"] for row in log] == [0, 1, 2, 3] * 2
    assert Detector.load(tmp_path / "run").config.finetune.batch_size == 16


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "5"), "90s, 5m or 2h"),
        (("--budget", "0m"), "90s, 5m or 2h"),
        (("--budget", "5m", "--epochs", "3"), "leave one out"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(small_park, tmp_path, words, said):
    command = [sys.executable, "-m", "asdlib", "train", str(small_park), "--run", str(tmp_path / "run"), *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


def test_a_budget_on_the_command_line_says_what_it_buys(small_park, tmp_path):
    (tmp_path / "small.json").write_text(json.dumps(SMALL.chosen()))
    command = [sys.executable, "-m", "asdlib", "train", str(small_park), "--run", str(tmp_path / "run"), "--device", "cpu"]
    command += ["--config", str(tmp_path / "small.json"), "--budget", "20s"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    log = read_log(tmp_path / "run" / "log.csv")
    first, second = (sum(row["stage"] == stage for row in log) for stage in ("pretrain", "finetune"))
    assert f"{first} and {second} epochs" in result.stderr
