"""What ``speed.py`` measures, a function a part. Each runs in a process of its own, so that no setting of one reaches another:

    python benchmarks/speed_parts.py PART THREADS WORK     prints one line of JSON

"plain" is the same network the ordinary way: float32, contiguous tensors, PyTorch's PReLU, the allocator's defaults; where it
may choose, as in scoring, at the batch size that suits it best. "bf16" is ours in that precision.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn

RATE, SECONDS, CLIPS, BATCH = 16000, 10, 64, 32
CACHED = 512  # clips of the loader: 200 MB as they are stored, more than any processor's own cache


def clips_of(arrays, labels=None):
    """Arrays as clips, all of one machine or of machines with these labels."""
    from asdlib.clips import Clips

    labels = np.zeros(len(arrays[0]), int) if labels is None else np.asarray(labels)
    return Clips(tuple(np.asarray(array) for array in arrays), np.array([f"m/{label}" for label in labels]))


def took(function: Callable, *, repeats: int = 5, warm: int = 1) -> tuple[float, float]:
    """Median seconds of a call, after ``warm`` calls that do not count: by the clock, and of the processor."""
    times = []
    for _ in range(warm + repeats):
        started = time.perf_counter(), time.process_time()
        function()
        times.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    clock, processor = zip(*times[warm:], strict=True)
    return statistics.median(clock), statistics.median(processor)


def seconds(function: Callable, **options) -> float:
    """Median seconds of a call by the clock; options as :func:`took`."""
    return took(function, **options)[0]


def wav_files(work: Path, count: int = CLIPS) -> list[Path]:
    """Clips of noise, written once."""
    folder = work / f"clips-{count}" / "fan" / "train"
    if not folder.exists():
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for i in range(count):
            noise = (3000 * rng.standard_normal(SECONDS * RATE)).astype(np.int16)
            soundfile.write(folder / f"normal_id_{i % 4:02d}_{i:08d}.wav", noise, RATE)
    return sorted(folder.iterdir())


def clips_per_second(function: Callable, clips: int, **options) -> float:
    """Of a function that treats ``clips`` of them."""
    return clips / seconds(function, **options)


# ------------------------------------------------------------------------------------------------- reading and features


def read(work: Path) -> dict:
    """Decoding a WAV file of 10 s."""
    import librosa

    from asdlib.data import read

    files = wav_files(work)
    return {
        "asdlib": clips_per_second(lambda: [read(path) for path in files], CLIPS),
        "librosa": clips_per_second(lambda: [librosa.load(path, sr=None) for path in files], CLIPS),
    }


def front_end(work: Path) -> dict:
    """Log-mels of decoded clips."""
    import librosa

    from asdlib.features import FeatureConfig, LogMel, log_mel

    config = FeatureConfig()
    waves = np.stack([soundfile.read(path, dtype="float32")[0] for path in wav_files(work)[:BATCH]])
    batched = LogMel(config)

    def by_librosa(x):
        mel = librosa.feature.melspectrogram(
            y=x, sr=RATE, n_fft=1024, hop_length=512, n_mels=128, htk=True, norm=None, pad_mode="reflect"
        )
        return librosa.power_to_db(mel, top_db=None)

    for x in waves[:2]:
        np.testing.assert_allclose(by_librosa(x), log_mel(x, config).numpy(), atol=1e-2)
    with torch.no_grad():
        return {
            "asdlib": clips_per_second(lambda: [log_mel(x, config) for x in waves], BATCH),
            "torchaudio, batch of 32": clips_per_second(lambda: batched(torch.from_numpy(waves)), BATCH),
            "torchaudio, built for each clip": clips_per_second(
                lambda: [LogMel(config)(torch.from_numpy(x)) for x in waves], BATCH
            ),
            "librosa": clips_per_second(lambda: [by_librosa(x) for x in waves], BATCH),
        }


def loader(work: Path) -> dict:
    """Batches of waveforms and log-mels, float32 as the network takes them, from the cache and by decoding and transforming
    every clip in every epoch, as is the custom. ``as stored`` is what leaves our cache for a GPU: half the bytes."""
    import librosa

    from asdlib.cache import features_of
    from asdlib.data import scan
    from asdlib.device import keep_freed_memory
    from asdlib.features import FeatureConfig, LogMel
    from asdlib.training import batch_of, take

    files, config = wav_files(work, CACHED), FeatureConfig()
    features = features_of(scan(work / f"clips-{CACHED}"), config, folder=work / "cache")
    front_end = LogMel(config)
    order = np.random.default_rng(0).permutation(CACHED)
    batches = order.reshape(-1, BATCH)

    def transformed(wave):
        return wave, front_end(wave)

    decoders = {
        "librosa and torchaudio in every epoch": lambda path: torch.from_numpy(librosa.load(path, sr=RATE)[0]),
        "soundfile and torchaudio in every epoch": lambda path: torch.from_numpy(soundfile.read(path, dtype="float32")[0]),
    }

    def epoch(one_batch, batches=batches):
        for rows in batches:  # as in training, a batch is gone when the next one comes
            one_batch(rows)

    def custom(decoded):
        def one_batch(rows):
            with torch.no_grad():
                return [torch.stack(part) for part in zip(*(transformed(decoded(files[i])) for i in rows), strict=True)]

        return one_batch

    ways = {name: custom(decoded) for name, decoded in decoders.items()}
    for way in ways.values():
        for ours, theirs in zip(batch_of(features, batches[0])[0], way(batches[0]), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=0.1)  # log-mels in dB, kept in 16 bits
    out = {name: clips_per_second(partial(epoch, way), CACHED, repeats=3) for name, way in ways.items()}
    keep_freed_memory()  # as training does
    ways = {
        "asdlib, as stored": lambda rows: [take(array, rows) for array in features.inputs],
        "asdlib, as float32": partial(batch_of, features),
    }
    out |= {name: clips_per_second(partial(epoch, way), CACHED, repeats=21, warm=3) for name, way in ways.items()}
    stored = ways["asdlib, as stored"](batches[0])
    return out | {"megabytes a batch, as stored": sum(t.numel() * t.element_size() for t in stored) / 1e6}


# ----------------------------------------------------------------------------------------------------------- the network


def network(preset: str, *, plain: bool, length: float | None = None):
    """The classifier of a preset with the weights of seed 0, and a batch of random clips as the cache stores them."""
    from dataclasses import replace

    from asdlib.classifier import MachineClassifier
    from asdlib.encoder import STgramMFN
    from asdlib.prelu import PReLU
    from asdlib.run import PRESETS

    config = PRESETS[preset]
    features = config.features if length is None else replace(config.features, seconds=length)
    torch.manual_seed(0)
    model = MachineClassifier(STgramMFN(config.encoder, features), 41)
    if plain:
        for module in model.modules():
            if isinstance(module, PReLU):
                module.__class__ = nn.PReLU
        # The encoder asks for channels last in its last line; the plain network does not.
        model.encoder.forward = lambda wave, mel: model.encoder.mobilefacenet(
            torch.stack((mel, model.encoder.tgram(wave)), dim=1)
        )
    rng = np.random.default_rng(0)
    waves = (3000 * rng.standard_normal((BATCH, features.samples))).astype(np.int16)
    mels = (10 * rng.standard_normal((BATCH, features.n_mels, features.frames)) - 20).astype(np.float16)
    return model, (waves, mels), torch.from_numpy(rng.integers(0, 41, BATCH))


def train_steps(preset: str, kind: str, *, length: float | None = None, repeats: int = 3) -> dict:
    """Clips per second of a training step at batch 32; the losses of the first steps are kept for comparison."""
    from asdlib.classifier import classification_objective
    from asdlib.device import keep_freed_memory
    from asdlib.training import batch_of

    plain = kind == "plain"
    model, arrays, labels = network(preset, plain=plain, length=length)
    if not plain:
        keep_freed_memory()
        model.to(memory_format=torch.channels_last)
    clips, rows, losses = clips_of(arrays, labels), np.arange(BATCH), []
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=not plain)

    def step():
        inputs, asked = batch_of(clips, rows)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
            loss = classification_objective(model, inputs, asked, np.random.default_rng(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    clock, processor = took(step, repeats=repeats)
    operations = flops(model, arrays, backward=True) * BATCH
    return {
        "clips/s": BATCH / clock,
        "processor ms a clip": 1e3 * processor / BATCH,
        "outputs": losses[:2],
        "gflops": operations / clock / 1e9,
    }


def scoring(preset: str, kind: str) -> dict:
    """Clips per second of embedding 32 clips, and the first embeddings, kept for comparison: ours in the batches that
    :func:`asdlib.detector.embed` makes, plain in batches of every size, of which the best counts."""
    from asdlib.detector import embed
    from asdlib.training import batch_of

    plain = kind == "plain"
    model, arrays, _ = network(preset, plain=plain)
    model.eval()
    clips, kept = clips_of(arrays), []

    def one(size):
        with torch.no_grad():
            if plain:
                batches = np.arange(BATCH).reshape(-1, size)
                kept.append(torch.cat([model.embed(*batch_of(clips, rows)[0]) for rows in batches]).numpy())
            else:
                kept.append(embed(model.embed, arrays, device="cpu", batch_size=size))

    times = {size: took(partial(one, size), repeats=2) for size in ((1, 2, 4, 8, 16, 32) if plain else (BATCH,))}
    size = min(times, key=times.__getitem__)
    clock, processor = times[size]
    return {
        "clips/s": BATCH / clock,
        "processor ms a clip": 1e3 * processor / BATCH,
        "outputs": kept[0][:4].tolist(),
        "gflops": flops(model, arrays, backward=False) * BATCH / clock / 1e9,
        "batch": size,
        "clips/s by batch": {str(size): BATCH / times[size][0] for size in times},
    }


def flops(model, arrays, *, backward: bool) -> float:
    """Floating-point operations a clip, two a multiply-add; the backward pass counts twice the forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    from asdlib.training import batch_of

    clips = clips_of(arrays)
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.embed(*batch_of(clips, np.arange(1))[0])
    return counter.get_total_flops() * (3 if backward else 1)


def ceiling(work: Path) -> dict:
    """What this processor can do in float32, and what it reaches in a large matrix product; the best of some rounds."""
    from ceiling import multiply_adds

    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    best = min(seconds(lambda: a @ b, repeats=1) for _ in range(9))
    return {"gflops": multiply_adds(torch.get_num_threads()) / 1e9, "gflops of a matrix product": 2 * 2048**3 / best / 1e9}


# ---------------------------------------------------------------------------------------------------------------- losses


def gradient(loss: Callable, z: torch.Tensor, labels: torch.Tensor) -> None:
    """A loss and its gradient."""
    z.grad = None
    loss(z, labels).backward()


def contrastive_loss(work: Path) -> dict:
    """Milliseconds of the losses and their gradients, ours and pytorch-metric-learning's, at several batch sizes. Both with
    the memory settings of training."""
    from pytorch_metric_learning.losses import ArcFaceLoss, SupConLoss

    from asdlib.classifier import ArcFace
    from asdlib.contrastive import supervised_contrastive_loss
    from asdlib.device import keep_freed_memory

    keep_freed_memory()
    theirs, out = SupConLoss(temperature=0.1), {}
    for n in (64, 128, 256, 512, 1024):
        generator = torch.Generator().manual_seed(n)
        z = torch.randn(n, 128, generator=generator, requires_grad=True)
        labels = torch.randint(41, (n,), generator=generator)
        torch.testing.assert_close(supervised_contrastive_loss(z, labels), theirs(z, labels), rtol=1e-4, atol=1e-4)

        ours_head, their_head = ArcFace(128, 41), ArcFaceLoss(41, 128, margin=57.3, scale=30)
        losses = {
            "asdlib": supervised_contrastive_loss,
            "pytorch-metric-learning": theirs,
            "asdlib, ArcFace": lambda z, y, head=ours_head: nn.functional.cross_entropy(head(z, y), y),
            "pytorch-metric-learning, ArcFace": their_head,
        }
        times = {name: [] for name in losses}
        for _ in range(36):  # in turn, so that a slow moment of the machine meets them all
            for name, loss in losses.items():
                times[name].append(seconds(partial(gradient, loss, z, labels), repeats=1, warm=0))
        out[str(n)] = {name: 1e3 * statistics.median(each[5:]) for name, each in times.items()}
    return out


# ---------------------------------------------------------------------------------------------------------------- growth


def exponent(sizes, costs) -> float:
    """The slope of log cost over log size."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def clip_length(work: Path) -> dict:
    """Seconds a clip of front end and training step (preset book) at several clip lengths, and the fitted exponents."""
    from asdlib.features import FeatureConfig, log_mel

    lengths, mel, step = (1, 2, 5, 10), [], []
    for length in lengths:
        x, config = np.random.default_rng(0).standard_normal(length * RATE).astype(np.float32), FeatureConfig(seconds=length)
        mel.append(seconds(lambda x=x, config=config: [log_mel(x, config) for _ in range(16)]) / 16)
        step.append(1 / train_steps("book", "asdlib", length=length)["clips/s"])
    return {"seconds": lengths, "front end": mel, "step": step, "exponents": [exponent(lengths, mel), exponent(lengths, step)]}


def clip_count(work: Path) -> dict:
    """Seconds of making the cache and of reading it once in batches of 8, by number of clips, and the fitted exponents."""
    import shutil

    from asdlib.cache import features_of
    from asdlib.data import scan
    from asdlib.device import keep_freed_memory
    from asdlib.features import FeatureConfig
    from asdlib.training import batch_of

    wav_files(work)
    keep_freed_memory()
    clips, config, counts, make, load = scan(work / f"clips-{CLIPS}"), FeatureConfig(), (8, 16, 32, 64), [], []
    for count in counts:

        def fresh(count=count):
            shutil.rmtree(work / "cache-count", ignore_errors=True)
            return features_of(clips[:count], config, folder=work / "cache-count")

        make.append(seconds(fresh))
        arrays = fresh()
        batches = np.array_split(np.arange(count), count // 8)
        load.append(
            seconds(lambda clips=arrays, batches=batches: [len(batch_of(clips, b)) for b in batches], repeats=21, warm=5)
        )
    return {"clips": counts, "cache": make, "load": load, "exponents": [exponent(counts, make), exponent(counts, load)]}


PARTS = {
    "read": read,
    "front_end": front_end,
    "loader": loader,
    "ceiling": ceiling,
    "contrastive_loss": contrastive_loss,
    "clip_length": clip_length,
    "clip_count": clip_count,
} | {
    f"{name}-{preset}-{kind}": lambda work, function=function, preset=preset, kind=kind: function(preset, kind)
    for name, function in (("train", train_steps), ("score", scoring))
    for preset in ("book", "paper") for kind in ("asdlib", "plain", "bf16")
}  # fmt: skip


if __name__ == "__main__":
    part, threads, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    assert os.environ["OMP_NUM_THREADS"] == str(threads)
    torch.set_num_threads(threads)
    print(json.dumps(PARTS[part](folder)))
