"""The methods that are compared on real spectra: each takes a set and a seed, and returns scores of its test clips by scorer.

All networks have the same encoder, batches of 128, Adam from a rate of 1e-3 that falls to 0 along a cosine in each stage,
and :data:`EPOCHS` epochs in all. The margin, scale and temperature are the package's defaults. Nothing was
tuned on test clips; the encoder's width was chosen on normal clips (``rehearsal`` of ``real_levers.py``).
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from asdlib.classifier import MachineClassifier
from asdlib.embedding import embed
from asdlib.heads import LinearHead
from asdlib.methods import autoencoder, clp_scf, simclr
from asdlib.scorers import distance_scores
from asdlib.spectra import Spectra
from asdlib.training import StageConfig

EPOCHS = 16
AUTOENCODER_EPOCHS = 100
Scores = dict[str, np.ndarray]


def stage(epochs: int) -> StageConfig:
    """Epochs with a rate that falls to 0."""
    return StageConfig(epochs=epochs, batch_size=128, learning_rate=1e-3, cosine_from=0)


def raw(spectra: Spectra, seed: int) -> Scores:
    """Distances between the spectra themselves."""
    return distance_scores(*((x.inputs[0].reshape(len(x), -1), x.machines) for x in (spectra.train, spectra.test)))


def autoencoded(spectra: Spectra, seed: int) -> Scores:
    """The challenge's baseline, one autoencoder a machine type, each reading a whole spectrum."""
    budget = StageConfig(AUTOENCODER_EPOCHS, batch_size=128, learning_rate=1e-3)
    models = autoencoder.train(spectra.train, budget=budget, seed=seed, device="cpu")
    return autoencoder.score(models, spectra.train, spectra.test, device="cpu")


def staged(spectra: Spectra, seed: int, *, first=0, second=0, rate=None, **options) -> Scores:
    """``first`` epochs of a pretraining, then ``second`` of a classifier; either may be left out."""
    how = {"budget": stage(first + second), "first": first / (first + second), "second_rate": rate, **options}
    model = clp_scf.train(spectra.train, seed=seed, device="cpu", **how)
    scores = clp_scf.score(model, spectra.train, spectra.test, device="cpu")
    return scores | (rounded(model, spectra) if "softmax" in scores else {})


def rounded(model: MachineClassifier, spectra: Spectra) -> Scores:
    """The softmax scores as most code has them, by a log-softmax in float32, where probabilities near 1 become exactly 1."""
    with torch.no_grad():
        x = torch.from_numpy(embed(model.embed, spectra.test.inputs, device="cpu", batch_size=512))
        own = torch.from_numpy(np.searchsorted(spectra.train.names, spectra.test.machines))
        logits = {"softmax": model.arcface(x, own), "softmax-plain": model.arcface(x)}
    return {f"{name}, rounded": F.cross_entropy(z, own, reduction="none").numpy() for name, z in logits.items()}


HALF = EPOCHS // 2
METHODS = {
    "raw spectra": raw,
    "autoencoder": autoencoded,
    "softmax classifier": partial(staged, second=EPOCHS, head=LinearHead),
    "ArcFace classifier": partial(staged, second=EPOCHS),
    "contrast of masked views": partial(staged, pretraining=simclr.pretrain, first=EPOCHS),
    "contrast by machine ID": partial(staged, first=EPOCHS),
    "masked views, then ArcFace": partial(staged, pretraining=simclr.pretrain, first=HALF, second=HALF),
    "two stages": partial(staged, first=HALF, second=HALF),
}
