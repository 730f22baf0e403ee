"""Writes the files in ``golden``: ``python -m tests.make_golden``. Kept so that they can be checked.

``metrics.json`` holds scikit-learn's numbers. ``encoder.json`` holds what the encoders of version 0.2 begin with and put out:
a run must mean in a later version what it meant in the one that trained it. ``ddim.json`` holds what the scheduler of
diffusers 0.42.1 makes of pictures on DDIM's way back; it alone needs that package: ``python -m tests.make_golden ddim``.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from asdlib.encoder import BOOK_ENCODER, PAPER_ENCODER, STgramMFN
from asdlib.features import FeatureConfig
from asdlib.training import seeded

SEED = 7
ENCODERS = {  # of each preset, with few mels and short clips
    "paper": (PAPER_ENCODER, FeatureConfig(seconds=1.0)),
    "book": (BOOK_ENCODER, replace(FeatureConfig(), seconds=0.5, n_mels=64)),
}


def sound(features: FeatureConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Two waveforms in ±1 and two log-mels of noise, the same everywhere."""
    rng = np.random.default_rng(3)
    waves, mels = rng.uniform(-0.5, 0.5, (2, features.samples)), rng.normal(-30, 20, (2, features.n_mels, features.frames))
    return torch.from_numpy(waves).float(), torch.from_numpy(mels).float()


def encoders():
    for preset, (config, features) in ENCODERS.items():
        with seeded(SEED, "encoder"):
            model = STgramMFN(config, features).eval()
        first = {name: [w.flatten()[0].item(), w.norm().item()] for name, w in model.named_parameters()}
        with torch.no_grad():
            yield preset, {"weights": first, "embeddings": model(*sound(features)).tolist()}


def rounded(value):
    """Seven digits: as many as float32 has."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list) else float(f"{value:.7g}")


def cases():
    rng = np.random.default_rng(2020)
    for name, normal, anomalous, shift, decimals in [
        ("separable", 30, 20, 6.0, 6),
        ("chance", 100, 100, 0.0, 6),
        ("typical", 100, 300, 1.2, 6),
        ("many ties", 50, 50, 0.7, 0),
        ("worse than chance", 40, 60, -1.0, 6),
        ("few clips", 3, 2, 0.5, 6),
        ("all tied", 10, 10, 0.0, -3),
    ]:
        scores = np.concatenate([rng.normal(0, 1, normal), rng.normal(shift, 1.3, anomalous)]).round(decimals)
        truth = np.repeat([0, 1], [normal, anomalous])
        expected = {"auc": roc_auc_score(truth, scores), "pauc": roc_auc_score(truth, scores, max_fpr=0.1)}
        yield {"name": name, "truth": truth.tolist(), "scores": scores.tolist(), **expected}


def way_back(start: int = 280, stride: int = 40):
    """Noised pictures (3, 5), the noise that is said to be in them at each step, and what comes out at the other end."""
    from diffusers import DDIMScheduler  # only here

    scheduler = DDIMScheduler(1000, 1e-4, 0.02, "linear", clip_sample=False, set_alpha_to_one=True, timestep_spacing="leading")
    scheduler.set_timesteps(1000 // stride)
    generator = torch.Generator().manual_seed(SEED)
    clean, noise = torch.randn(2, 3, 5, generator=generator)
    x = noised = scheduler.add_noise(clean, noise, torch.tensor([start] * 3))
    said = {}
    for t in [int(t) for t in scheduler.timesteps if t <= start]:
        said[str(t)] = torch.randn(3, 5, generator=generator)
        x = scheduler.step(said[str(t)], t, x).prev_sample
    parts = {"clean": clean, "noise": noise, "noised": noised, "back": x}
    return (
        {"start": start, "stride": stride}
        | {name: part.tolist() for name, part in parts.items()}
        | {"said": {t: part.tolist() for t, part in said.items()}}
    )


if __name__ == "__main__":
    golden = Path(__file__).parent / "golden"
    if sys.argv[1:] == ["ddim"]:
        (golden / "ddim.json").write_text(json.dumps(way_back()) + "\n")
        sys.exit()
    (golden / "metrics.json").write_text(json.dumps(list(cases())) + "\n")
    (golden / "encoder.json").write_text(json.dumps(rounded(dict(encoders()))) + "\n")
