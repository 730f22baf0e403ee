"""Questions and judges of the chapter ``baselines``."""

import numpy as np

from asdlib.evaluation import auc
from asdlib.features import log_mel
from asdlib.machines import faults, machines, render
from chapter import BOOK, features, kept, recordings
from checks import Hint, Question

QUESTIONS = {
    "shuffle": Question(
        "You play a recording of a healthy machine backwards. What does 2-NN on the mean log-mel say about it?",
        {
            "A much higher score: no machine sounds like that": "To your ears it is strange, but which of the 128 means "
            "would show it?",
            "Nearly the same score as before": "The same frames come in another order, and a mean does not know the order.",
            "A much lower score": "For that, the mean spectrum would have to move towards those of the training recordings.",
        },
        seal=2926752841,
    ),
    "bottleneck": Question(
        "You widen the middle of the autoencoder from 8 to 640 numbers and train it for a long time. What becomes of the "
        "scores?",
        {
            "They get better, because the network rebuilds better": "It does rebuild better, but what, apart from healthy sound?",
            "Healthy and faulty recordings come closer together": "Where everything can pass through, faulty sound is rebuilt "
            "well, too, and the error no longer tells.",
            "Nothing changes: only the training data matters": "The narrow middle is what makes the network choose what to keep.",
        },
        seal=3478540981,
    ),
    "flatter": Question(
        "On the simulated park the autoencoder is as good as the two-stage method; on the real recordings, by the published "
        "numbers, it is far behind. What follows?",
        {
            "The published numbers are wrong": "Two sets of recordings may rank two methods differently without any error.",
            "For real factories the autoencoder is the better choice": "The evidence from real recordings points the other way.",
            "The park lacks something that makes real recordings hard for an autoencoder, or easy for the other": "What it "
            "lacks is an open question here, and one that experiments can answer.",
        },
        seal=3828693045,
    ),
}

NEEDED = 0.05  # of AUC, above the mean over time


def _fresh_valves():
    """Log-mels of valve clips that are in no file of the park: 16 healthy and 16 faulty ones a machine."""
    made = {"log_mels": [], "machine": [], "faulty": []}
    for machine in (m for m in machines() if m.startswith("valve/")):
        kinds = faults(machine)
        for i in range(32):
            fault = kinds[i % len(kinds)] if i % 2 == 0 else None
            fault = kinds[(i // 2) % len(kinds)] if fault else None
            clip = render(
                machine,
                5000 + i,
                split="test",
                fault=fault,
                severity=1.0,
                seconds=BOOK.features.seconds,
            )
            made["log_mels"].append(
                log_mel(clip.waveform, BOOK.features)
                .numpy()
                .astype(np.float16)
            )
            made["machine"].append(machine)
            made["faulty"].append(fault is not None)
    return {name: np.array(values) for name, values in made.items()}


def _auc_on_fresh(function, known, own, fresh):
    asked, values = function(fresh["log_mels"].astype(np.float32)), []
    for machine in np.unique(own):
        rows = fresh["machine"] == machine
        far = np.linalg.norm(
            asked[rows][:, None] - known[own == machine][None], axis=2
        )
        values.append(
            auc(
                fresh["faulty"][rows].astype(int),
                np.sort(far, axis=1)[:, :2].mean(axis=1),
            )
        )
    return float(np.mean(values))


def feature(function):
    """``function(log_mels)`` gives features with which 2-NN beats the mean over time on fresh valve clips."""
    clips = recordings("train", machine="valve/")
    log_mels = features(clips).log_mels.astype(np.float32)
    own = np.array([clip.machine for clip in clips])
    got = function(log_mels.copy())
    if got is None or got is ...:
        raise Hint(
            "Your function returns nothing: let it return an array with one row a recording."
        )
    got = np.asarray(got)
    if got.ndim != 2 or len(got) != len(log_mels):
        raise Hint(
            f"For log-mels of shape {log_mels.shape} you return {got.shape}: return (N, D), one row a recording."
        )
    if not np.isfinite(got).all():
        raise Hint(
            "Some of your numbers are not finite: is there a division by zero or the logarithm of one?"
        )
    alone = np.asarray(function(log_mels[:3].copy()))
    if alone.shape != got[:3].shape or not np.allclose(
        alone, got[:3], rtol=1e-3, atol=1e-3
    ):
        raise Hint(
            "The feature of a recording changes with the recordings beside it: compute each row from its own log-mel."
        )
    fresh = kept("fresh-valves", _fresh_valves, 5000, 32)
    plain = _auc_on_fresh(
        lambda x: x.mean(axis=2), log_mels.mean(axis=2), own, fresh
    )
    reached = _auc_on_fresh(
        lambda x: np.asarray(function(x)), got, own, fresh
    )
    if reached < plain + NEEDED:
        raise Hint(
            f"On fresh valves your feature has an AUC of {reached:.1%}, the mean over time {plain:.1%}: "
            f"gain at least {100 * NEEDED:.0f} points. What does the mean not see?"
        )


def largest(function):
    """``function(errors, k)`` is the mean of the ``k`` largest errors of each row."""
    rng = np.random.default_rng(3)
    for n, frames, k in ((4, 7, 3), (5, 59, 1), (3, 10, 10), (6, 20, 5)):
        errors = rng.gamma(2, size=(n, frames))
        got = function(errors.copy(), k)
        if got is None or got is ...:
            raise Hint(
                "Your function returns nothing: let it return one number for each recording."
            )
        got, falling = np.asarray(got), np.sort(errors, axis=1)[:, ::-1]
        if got.shape != (n,):
            axis = (
                " Sort and average along axis 1, the frames."
                if got.shape in ((frames,), (k,))
                else ""
            )
            raise Hint(
                f"For errors of shape {errors.shape} you return {got.shape}: return ({n},), a number a recording.{axis}"
            )
        if np.allclose(got, falling[:, :k].mean(axis=1)):
            continue
        if np.allclose(got, falling[:, ::-1][:, :k].mean(axis=1)):
            raise Hint("These are the smallest errors: np.sort goes upwards.")
        if np.allclose(got, falling[:, :k].sum(axis=1)):
            raise Hint(
                "This is the sum of the largest errors: give their mean, so that different k can be compared."
            )
        if np.allclose(got, falling[:, k - 1]):
            raise Hint(
                "This is the k-th largest error alone: average all of the k largest."
            )
        if np.allclose(got, errors[:, -k:].mean(axis=1)):
            raise Hint(
                "These are the last k frames, not the largest errors: sort first."
            )
        raise Hint(
            f"With k = {k} the first row {np.round(errors[0], 2).tolist()} should give {falling[0, :k].mean():.3f}."
        )
