"""Checks of the chapter "Contrast by machine ID"."""

import numpy as np
import torch

from asdlib.contrastive import supervised_contrastive_loss
from checks import Hint, Question


def loss(answer):
    rng = np.random.default_rng(0)
    cases = [
        (np.repeat([0, 1], 2), 0.5, "two machines, two recordings each"),
        (np.array([0, 0, 0, 1, 1]), 0.2, "a machine with three recordings"),
        (np.array([0, 0, 1, 2, 2]), 0.1, "a recording without a partner"),
        (rng.integers(0, 4, 30), 0.1, "thirty recordings of four machines"),
    ]
    for labels, temperature, what in cases:
        z = rng.standard_normal((len(labels), 6))
        got = answer(z, labels, temperature)
        if got is None or got is ...:
            raise Hint(
                "The function returns nothing yet: end it with return."
            )
        if np.ndim(got):
            raise Hint("Return one number: the mean over the anchors.")

        def oracle(rows, t, itself=False, labels=labels):
            return supervised_contrastive_loss(
                torch.tensor(rows),
                torch.tensor(labels),
                temperature=t,
                self_in_denominator=itself,
            ).item()

        if np.isclose(got, oracle(z, temperature), rtol=1e-6):
            continue
        if np.isclose(got, oracle(z, temperature, itself=True), rtol=1e-6):
            raise Hint("The anchor draws itself: leave a = i out of the sum.")
        if not np.isfinite(got):
            raise Hint(f"With {what} that is {got}: who has no positives?")
        raise Hint(
            f"With {what} that is {got:.4f} instead of "
            f"{oracle(z, temperature):.4f}: are the embeddings brought to "
            "length 1, and is the logarithm inside the mean over the positives?"
        )


def downhill(answer):
    angles = torch.as_tensor(np.asarray(answer, dtype=float)).flatten()
    if len(angles) != 12:
        raise Hint(f"Hand in twelve angles, not {len(angles)}.")
    labels = torch.tensor([0, 1, 2] * 4)
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    loss = supervised_contrastive_loss(circle, labels, temperature=0.5).item()
    lowest = np.log(3 + 8 * np.exp(-3))
    if loss > 2:
        raise Hint(
            f"The loss there is {loss:.2f}: the points have not moved. Let an "
            "optimiser of torch.optim turn them, with requires_grad."
        )
    if loss > lowest + 0.005:
        raise Hint(
            f"The loss there is {loss:.4f}, and it can be {lowest:.4f}: go on "
            "for longer, or with larger steps."
        )


QUESTIONS = {
    "push": Question(
        "Which stranger does the loss push A2 away from hardest?",
        {
            "B2, because it is the farthest": "A far stranger is hardly ever drawn, so it costs next to nothing.",
            "B1, because it is the nearest stranger": "What is drawn often by mistake weighs most, and the lower the temperature, the more so.",
            "Both alike, because both are of machine B": "Each stranger weighs as much as its chance of being drawn.",
        },
        seal=2874814565,
    ),
    "floor": Question(
        "A batch holds five recordings of each of twelve machines. What is the lowest loss that is possible?",
        {
            "0": "With several partners none of them can be drawn for certain.",
            "log 4": "Each anchor has four partners, and the best is to draw each in a quarter of the cases.",
            "log 5": "The anchor itself is not among its partners.",
            "log 12": "The number of machines does not set the floor.",
        },
        seal=3477704581,
    ),
}
