"""The methods that are compared on real spectra: each takes a set and a seed, and returns scores of its test clips by scorer.

All networks have the same encoder, batches of 128, Adam from a rate of 1e-3 that falls to 0 along a cosine in each stage,
and :data:`EPOCHS` epochs in all. The margin, scale and temperature are the package's defaults. Nothing was
tuned on test clips; the encoder's width was chosen on normal clips (``rehearsal`` of ``real_levers.py``).
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asdlib.classifier import MachineClassifier, classification_objective, finetune
from asdlib.contrastive import ContrastiveModel, pretrain, supervised_contrastive_loss, with_new_head
from asdlib.detector import embed
from asdlib.methods import autoencoder
from asdlib.spectra import Spectra, SpectrumEncoder, distance_scores, score_spectra
from asdlib.training import Examples, StageConfig, fit, seeded

EPOCHS = 16
OPTIONS = {"device": "cpu", "validation": 0.0}  # nothing is held out, because nothing is chosen
Scores = dict[str, np.ndarray]


def stage(epochs: int, rate: float = 1e-3) -> StageConfig:
    """Epochs with a rate that falls to 0."""
    return StageConfig(epochs=epochs, batch_size=128, learning_rate=rate, cosine_from=0)


def new_encoder(spectra: Spectra, seed: int) -> SpectrumEncoder:
    """The encoder with the initial weights of ``seed``, the same for all methods."""
    with seeded(seed, "encoder"):
        return SpectrumEncoder(*spectra.train.shape[2:])


def raw(spectra: Spectra, seed: int) -> Scores:
    """Distances between the spectra themselves."""
    return distance_scores(
        spectra.train.reshape(len(spectra.train), -1), spectra.train_machine,
        spectra.test.reshape(len(spectra.test), -1), spectra.test_machine,
    )  # fmt: skip


def autoencoded(spectra: Spectra, seed: int) -> Scores:
    """The challenge's baseline, one autoencoder a machine type, each reading a whole spectrum."""
    train, test = spectra.train[:, 0], spectra.test[:, 0]
    train_types, test_types = ([name.split("/")[0] for name in m] for m in (spectra.train_machine, spectra.test_machine))
    models = autoencoder.train(train, train_types, epochs=100, batch_size=128, context=train.shape[2], seed=seed)
    return {"reconstruction": autoencoder.score(models, test, test_types, context=train.shape[2])}


class LinearHead(nn.Module):
    """The class logits of a plain classifier: (N, dim) → (N, classes); it takes labels and needs none."""

    def __init__(self, dim: int, classes: int):
        super().__init__()
        self.linear = nn.Linear(dim, classes)

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.linear(embeddings)


def softmax_classifier(spectra: Spectra, seed: int) -> Scores:
    """A classifier of machine IDs with ordinary softmax: no angles, no margin."""
    with seeded(seed, "classifier"):
        model = MachineClassifier(new_encoder(spectra, seed), len(spectra.machines))
        model.arcface = LinearHead(model.encoder.embedding_dim, len(spectra.machines))
    examples = Examples((spectra.train,), spectra.labels)
    fit(model, classification_objective, examples, stage(EPOCHS), stage="finetune", seed=seed, **OPTIONS)
    scores = score_spectra(model, spectra, device="cpu")
    del scores["softmax"]  # without a margin it equals softmax-plain
    return scores


def masked_pretraining(spectra: Spectra, seed: int, epochs: int) -> ContrastiveModel:
    """Contrast of two masked copies of each spectrum (SimCLR): a stretch of bands and one of modulations become the mean."""
    rng = np.random.default_rng([seed, 11])
    model = with_new_head(new_encoder(spectra, seed), seed=seed)
    mean = torch.from_numpy(spectra.train.mean(axis=0))

    def stretch(clips: int, size: int) -> np.ndarray:
        """In each row one stretch of up to a quarter of ``size`` is true: (clips, size)."""
        length = rng.integers(1, size // 4 + 1, (clips, 1))
        start = rng.integers(0, size - length + 1)
        return (np.arange(size) >= start) & (np.arange(size) < start + length)

    def masked(x: Tensor) -> Tensor:
        hidden = stretch(len(x), x.shape[2])[:, :, None] | stretch(len(x), x.shape[3])[:, None, :]
        return torch.where(torch.from_numpy(hidden)[:, None], mean, x)

    def objective(model, inputs, labels):
        (x,) = inputs
        z = model(torch.cat([masked(x), masked(x)]))
        return supervised_contrastive_loss(z, torch.arange(len(x)).repeat(2))

    fit(model, objective, Examples((spectra.train,), spectra.labels), stage(epochs), stage="pretrain", seed=seed, **OPTIONS)
    return model


def by_machine_pretraining(spectra: Spectra, seed: int, epochs: int) -> ContrastiveModel:
    """Stage 1 of the paper's method: clips of the same machine are the positives."""
    examples = Examples((spectra.train,), spectra.labels)
    return pretrain(new_encoder(spectra, seed), examples, stage(epochs), seed=seed, **OPTIONS)[0]


def staged(spectra: Spectra, seed: int, *, pretraining=None, first=0, second=0, rate=1e-3, **arcface) -> Scores:
    """``first`` epochs of a pretraining, then ``second`` of the ArcFace classifier; either may be left out."""
    base = pretraining(spectra, seed, first) if first else new_encoder(spectra, seed)
    if second:
        examples, options = Examples((spectra.train,), spectra.labels), {**arcface, **OPTIONS}
        base, _ = finetune(base, examples, stage(second, rate), classes=len(spectra.machines), seed=seed, **options)
    return score_spectra(base, spectra, device="cpu") | (rounded(base, spectra) if second else {})


def rounded(model: MachineClassifier, spectra: Spectra) -> Scores:
    """The softmax scores as most code has them, by a log-softmax in float32, where probabilities near 1 become exactly 1."""
    with torch.no_grad():
        x = torch.from_numpy(embed(model.embed, (spectra.test,), device="cpu", batch_size=512))
        own = torch.from_numpy(np.searchsorted(spectra.machines, spectra.test_machine))
        logits = {"softmax": model.arcface(x, own), "softmax-plain": model.arcface(x)}
    return {f"{name}, rounded": F.cross_entropy(z, own, reduction="none").numpy() for name, z in logits.items()}


HALF = EPOCHS // 2
METHODS = {
    "raw spectra": raw,
    "autoencoder": autoencoded,
    "softmax classifier": softmax_classifier,
    "ArcFace classifier": partial(staged, second=EPOCHS),
    "contrast of masked views": partial(staged, pretraining=masked_pretraining, first=EPOCHS),
    "contrast by machine ID": partial(staged, pretraining=by_machine_pretraining, first=EPOCHS),
    "masked views, then ArcFace": partial(staged, pretraining=masked_pretraining, first=HALF, second=HALF),
    "two stages": partial(staged, pretraining=by_machine_pretraining, first=HALF, second=HALF),
}
