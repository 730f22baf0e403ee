"""What the chapter "Real machines" asks."""

import numpy as np
import torch

from checks import Hint, Question

QUESTIONS = {
    "epoch": Question(
        "Someone looks at the AUC on the test recordings after every epoch and reports the best. What is that number?",
        {
            "what new recordings of the same machines would give": "New recordings have luck of their own; the best of many looks keeps the luck of these.",
            "too high, by more the more often one looks": "The maximum of many numbers that wobble lies above their mean, and rises with their number.",
            "too low, because the last epoch is usually better": "Then the last epoch would be the best one, and the number would be its AUC.",
        },
        seal=753493669,
    ),
    "order": Question(
        "Which of these finds the faults of real machines best?",
        {
            "an autoencoder for each machine type": "In the simulated park it was about as good as the two stages. See below what becomes of it here.",
            "the distance to the two nearest spectra, no network at all": "It needs no training, and it is no bad start. But it weighs every band alike.",
            "contrast of masked copies, then the distance": "The network learns to ignore masks, and masks are not what differs between machines.",
            "contrast by machine ID, then the distance": "The network learns what tells near machines apart, and that is what faults change.",
        },
        seal=1266582981,
    ),
    "fresh": Question(
        "The same setting with five seeds that nobody has looked at. What will its gain be?",
        {
            "about the same: it was ahead with every seed and by every scorer": "Three seeds of one setting, and five scorers that share their networks, are fewer witnesses than they seem.",
            "probably smaller: it was picked because it looked best": "The best-looking of many is partly the luckiest, and luck does not come twice.",
            "larger, because five seeds are more than three": "More seeds make the interval shorter. They do not push the mean up.",
        },
        seal=3213652037,
    ),
    "zero": Question(
        "A 95 % interval for the gain by pretraining contains 0. What follows?",
        {
            "pretraining is useless": "No evidence of a gain is not evidence of no gain: the interval may also hold half a point.",
            "a difference larger than the interval's far end is unlikely here; more is not known": "That is what an interval says: which gains fit what was measured, for these spectra, this network and this budget.",
            "more seeds until it no longer contains 0": "Whoever stops at the first interval without 0 has looked many times, and one look in twenty misses it by luck.",
        },
        seal=2495403833,
    ),
}


def surprise(function):
    generator = torch.Generator().manual_seed(1)
    for label in (0, 2):
        logits = 3 * torch.randn(40, 5, generator=generator)
        logits[:20, label] += torch.linspace(10, 40, 20)
        got = function(logits.clone(), label)
        if got is None:
            raise Hint("The function returns nothing yet.")
        if not isinstance(got, torch.Tensor) or got.shape != (40,):
            shape = (
                tuple(got.shape)
                if isinstance(got, torch.Tensor)
                else type(got).__name__
            )
            raise Hint(
                f"Return a tensor of shape (40,), one score a clip; yours is {shape}."
            )
        wide = logits.double()
        others = torch.cat([wide[:, :label], wide[:, label + 1 :]], dim=1)
        want = torch.log1p(
            torch.exp(others.logsumexp(dim=1) - wide[:, label])
        )
        if got.dtype != torch.float32:
            raise Hint(
                "Stay in 32-bit numbers: the point is to need no others."
            )
        if (got == 0).any():
            raise Hint(
                f"{int((got == 0).sum())} of 40 scores are exactly 0: somewhere a small number is still added to 1 or subtracted from it."
            )
        if torch.allclose(got.double(), -want, rtol=1e-3):
            raise Hint(
                "The sign is turned round: a larger score must mean more surprise."
            )
        near = torch.log(want)
        if torch.allclose(got.double(), near, rtol=1e-3, atol=1e-3):
            raise Hint(
                "Those are the logarithms of the scores: the order is right, the numbers are not."
            )
        if not torch.allclose(got.double(), want, rtol=1e-4):
            raise Hint(
                f"For label {label} the first score should be {want[0]:.3g} and is {got[0]:.3g}."
            )


def gains(function):
    rng = np.random.default_rng(3)
    for runs, epochs in ((6, 10), (4, 25)):
        auc = 0.9 + 0.01 * rng.standard_normal((runs, epochs))
        loss = 2 + rng.standard_normal((runs, epochs))
        got = function(auc.copy(), loss.copy())
        if got is None:
            raise Hint("The function returns nothing yet.")
        try:
            peeking, held_out = (float(value) for value in got)
        except (TypeError, ValueError):
            raise Hint(
                "Return two numbers: the gain by the best epoch, and the gain by the lowest held-out loss."
            ) from None
        best = (auc.max(axis=1) - auc[:, -1]).mean()
        chosen = (
            auc[np.arange(runs), loss.argmin(axis=1)] - auc[:, -1]
        ).mean()
        if (
            abs(peeking - (auc.max() - auc[:, -1].mean())) < 1e-12
            and runs > 1
        ):
            raise Hint(
                "The best epoch is to be taken of each run, then the mean over the runs: max has an axis."
            )
        if abs(peeking - best) > 1e-9:
            raise Hint(
                f"The gain by peeking should be {best:.5f} and is {peeking:.5f}: each run's best epoch less its last one."
            )
        wrong = (
            auc[np.arange(runs), loss.argmax(axis=1)] - auc[:, -1]
        ).mean()
        if abs(held_out - wrong) < 1e-12:
            raise Hint("A low loss is a good one: argmin, not argmax.")
        if abs(held_out - chosen) > 1e-9:
            raise Hint(
                f"The gain by the held-out loss should be {chosen:.5f} and is {held_out:.5f}: "
                "the AUC at the epoch of each run's lowest loss, less its last one."
            )
