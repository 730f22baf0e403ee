"""Two and four processes against one: the same losses and gradients, from the same batches. Started as torchrun starts them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from asdlib import processes
from asdlib.checkpoint import read_log
from asdlib.classifier import finetune
from asdlib.contrastive import pretrain
from asdlib.device import seeded
from asdlib.errors import AsdError
from asdlib.norm_prelu import ConvNorm
from asdlib.spectra import SpectrumConfig, SpectrumEncoder
from asdlib.training import StageConfig, plan_batches, share_of
from tests.conftest import clips_of

TOP = Path(__file__).parents[1]
BATCH = 16


def examples():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 16)
    return clips_of((rng.normal(size=(64, 1, 12, 8)).astype(np.float32) + 0.3 * labels[:, None, None, None],), labels)


def normalised() -> dict:
    """What a batch norm makes of a batch in shares, and keeps of it; in one process it is PyTorch's own."""
    x = torch.randn(8, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 3 + 2
    norm = torch.nn.BatchNorm2d(3)
    with processes.process_group("cpu"), processes.synced_batch_norms(norm):
        for _ in range(2):
            (y,) = processes.all_gather(norm(x.chunk(processes.world_size())[processes.rank()]))
    return {"norm": y.detach(), "mean": norm.running_mean, "variance": norm.running_var, "seen": norm.num_batches_tracked}


def normalised_in_one_go() -> dict:
    """The same of batch norm and PReLU in one, with the gradients of a share, and of the weights over all shares."""
    torch.manual_seed(0)
    block = ConvNorm(torch.nn.Conv2d(3, 5, 1), torch.nn.BatchNorm2d(5), torch.nn.PReLU(5))
    x, weights = (torch.randn(8, n, 4, 4).to(memory_format=torch.channels_last) for n in (3, 5))
    with processes.process_group("cpu"), processes.synced_batch_norms(block):
        mine, share = (part.chunk(processes.world_size())[processes.rank()] for part in (x, weights))
        y = block(mine.requires_grad_())
        assert "NormPReLU" in type(y.grad_fn).__name__
        (y * share).sum().backward()
        whole, of_x = processes.all_gather(y, mine.grad)
        found = {"fused.y": whole.detach(), "fused.x": of_x}
        for name, p in block.named_parameters():
            found[f"fused.{name}"] = processes.all_reduce_mean(p.grad) * processes.world_size()
    return found | {f"fused.{name}": value for name, value in block.named_buffers()}


def first_step(out: Path, parts: int) -> None:
    """The loss and the gradients of the first step of both stages, as the training itself has them; then a few epochs."""
    gradients = normalised() | normalised_in_one_go()

    def watched(stage):
        def step(optimizer, args, kwargs):
            for group in optimizer.param_groups:
                for i, p in enumerate(group["params"]):
                    gradients.setdefault(f"{stage}.{i}", p.grad.clone())

        return register_optimizer_step_pre_hook(step)

    met, rendezvous = [], torch.distributed.rendezvous
    torch.distributed.rendezvous = lambda *args, **options: met.append(args) or rendezvous(*args, **options)
    with seeded(0, "encoder"):
        encoder = SpectrumEncoder(SpectrumConfig(12, 8, width=8))
    config = StageConfig(3, BATCH, 1e-3, cosine_from=0, accumulation_steps=parts)
    hook = watched("pretrain")
    _, log = pretrain(encoder, examples(), config, device="cpu", validation=0.1)
    hook.remove()
    hook = watched("finetune")
    with seeded(0, "encoder"):
        encoder = SpectrumEncoder(SpectrumConfig(12, 8, width=8))
    _, log_2 = finetune(encoder, examples(), config, device="cpu", validation=0.1)
    hook.remove()
    assert not torch.distributed.is_initialized()  # each training has ended its group, and the next one begun another
    assert not met  # where the first has met: a connection for each group stalls for seconds now and then
    if processes.is_first():
        save_file({name: g.contiguous() for name, g in gradients.items()}, out / "gradients.safetensors")
        (out / "log.json").write_text(json.dumps([log, log_2]))


def torchrun(count, *words):
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", "--standalone", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOP)}
    return subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(("count", "parts"), [(4, 1), (2, 2)])
def test_many_processes_have_the_losses_and_gradients_of_one(tmp_path, count, parts):
    for n in (1, count):
        (tmp_path / str(n)).mkdir()
    first_step(tmp_path / "1", parts)
    done = torchrun(count, "-m", "tests.test_processes", tmp_path / str(count), parts)
    assert done.returncode == 0, done.stderr
    assert "destroy_process_group" not in done.stderr
    one, many = (load_file(tmp_path / str(n) / "gradients.safetensors") for n in (1, count))
    assert set(one) == set(many)
    for name, expected in one.items():
        torch.testing.assert_close(many[name], expected, rtol=1e-5, atol=1e-5 * max(1, float(expected.abs().max())))
    logs = [json.loads((tmp_path / str(n) / "log.json").read_text()) for n in (1, count)]
    for expected, got in zip(*logs, strict=True):
        # The bias before a batch norm has a gradient of rounding only, which Adam makes as large as any: three epochs apart.
        np.testing.assert_allclose([r["train_loss"] for r in got], [r["train_loss"] for r in expected], rtol=3e-3)
        np.testing.assert_allclose(got[0]["train_loss"], expected[0]["train_loss"], rtol=1e-4)
        np.testing.assert_allclose([r["validation_loss"] for r in got], [r["validation_loss"] for r in expected], rtol=2e-2)


def test_a_whole_training_in_two_processes(small_park, tmp_path):
    words = ("train", small_park, "--method", "clp-scf", "--seconds", 1, "--epochs", 1, "--device", "cpu")
    places = {n: ("--run", tmp_path / n, "--cache", tmp_path / f"cache of {n}") for n in ("one", "two")}
    done = torchrun(2, "-m", "--", "asdlib", *words, *places["two"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained on 48 clips of 8 machines") == 1
    assert "destroy_process_group" not in done.stderr
    one = [sys.executable, "-m", "asdlib", *map(str, words + places["one"])]
    subprocess.run(one, check=True, capture_output=True, cwd=TOP)
    caches = [{p.name: p.read_bytes() for p in tmp_path.glob(f"cache of {n}/*/*")} for n in ("one", "two")]
    assert caches[0] == caches[1]  # each process has computed half of it
    assert len(caches[0]) == 3
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(p.name for p in (tmp_path / "one").iterdir())
    logs = [read_log(tmp_path / name / "log.csv") for name in ("one", "two")]
    for expected, got in zip(*logs, strict=True):
        assert got["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-4)
    embeddings = [load_file(tmp_path / name / "embeddings.safetensors")["embeddings"] for name in ("one", "two")]
    # Not the same to many digits: Adam's first steps follow the sign of a gradient, however small it is.
    assert torch.nn.functional.cosine_similarity(*embeddings).min() > 0.98


def test_a_batch_is_shared_out_evenly_or_refused(monkeypatch):
    def shares(clips, count):
        ranks = [SimpleNamespace(world_size=count, global_rank=rank) for rank in range(count)]
        return [share_of(np.arange(clips), fabric).tolist() for fabric in ranks]

    assert shares(6, 3) == [[0, 1], [2, 3], [4, 5]]
    labels, options = np.repeat([0, 1], 9), {"validation": 0.0, "seed": 0}

    def planned(labels, config):
        plan = plan_batches(labels, config, **options)
        return plan.size, plan.steps

    assert planned(labels, StageConfig(1, 16)) == (16, 1)
    assert planned(labels, StageConfig(1, 64)) == (18, 1)
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert planned(labels, StageConfig(1, 12)) == (12, 1)
    assert planned(labels[1:], StageConfig(1, 63)) == (15, 1)  # of 17
    for config in (StageConfig(1, 16), StageConfig(1, 48, accumulation_steps=4)):
        with pytest.raises(AsdError, match="cannot be shared out evenly, two clips at least, to 3 processes"):
            plan_batches(labels, config, **options)


def test_a_refusal_ends_all_processes_with_the_sentence(small_park, small_run):
    done = torchrun(2, "-m", "--", "asdlib", "train", small_park, "--method", "clp-scf", "--run", small_run, "--device", "cpu")
    assert done.returncode != 0
    assert "exists already and is left as it is" in done.stderr
    assert done.stderr.count("Traceback") <= 1  # torchrun's own


def test_a_bad_clip_in_the_share_of_one_process_stops_all(small_park, tmp_path):
    park = shutil.copytree(small_park, tmp_path / "park")
    bad = sorted(park.rglob("train/*.wav"))[-1]  # in the share of the second
    bad.write_bytes(b"no sound")
    places = "--run", tmp_path / "run", "--cache", tmp_path / "cache"
    done = torchrun(2, "-m", "--", "asdlib", "train", park, "--method", "clp-scf", "--seconds", 1, "--device", "cpu", *places)
    assert done.returncode != 0
    assert f"{bad} is not a WAV file" in done.stderr
    assert not (tmp_path / "run").exists()
    kept = [np.load(path, mmap_mode="r") for path in (tmp_path / "cache").glob("*/waveforms.npy")]
    assert sum(len(waves) for waves in kept) == len(list(park.rglob("train/*.wav"))) - 1  # the good ones are not lost


if __name__ == "__main__":
    first_step(Path(sys.argv[1]), int(sys.argv[2]))
