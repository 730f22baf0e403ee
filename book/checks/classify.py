"""Judges and questions of the chapter on classifying the machine."""

import numpy as np

from checks import Hint, Question

QUESTIONS = {
    "silence": Question(
        "A fault adds a faint whistle at 7 kHz, where all 23 healthy machines are silent alike. Is a network that names the "
        "machines perfectly bound to be surprised?",
        {
            "Yes: the clip is unlike all training clips": "Unlike for us; the network only has to use what tells machines "
            "apart, and what it ignores cannot surprise it.",
            "No: nothing made it listen there": "A band in which all machines are alike does not help to name one, so "
            "training gives no reason to react to it; it may do so, by luck.",
            "No: whistles are too faint for a log-mel": "A whistle in a silent band stands out clearly in a log-mel, which "
            "is logarithmic; the question is what the network makes of it.",
        },
        seal=1009900565,
    ),
    "ties": Question(
        "A detector gives 300 of 900 clips a score of exactly 0.0. What do you suspect first?",
        {
            "These machines are in perfect health": "A real-valued surprise is hardly ever exactly 0, in whatever health.",
            "The scores were rounded": "Exact ties among real-valued scores are a sign of lost digits: compute the same "
            "scores from the logits in float64, in the form log(1 + ...).",
            "The margin in training was too large": "A larger margin, kept at test, moves scores away from 0.",
        },
        seal=3607600453,
    ),
}


def arcface(function) -> None:
    """``function(cosine, labels, margin, scale)`` → ArcFace logits (N, classes)."""
    if not callable(function):
        raise Hint("Hand over the function itself, without calling it.")
    rng = np.random.default_rng(0)
    for clips, classes, margin, scale in (
        (6, 4, 0.5, 30.0),
        (40, 23, 1.0, 30.0),
        (5, 3, 0.0, 10.0),
    ):
        cosine = rng.uniform(-0.5, 0.95, (clips, classes))
        _judge(
            function, cosine, rng.integers(classes, size=clips), margin, scale
        )
    cosine = rng.uniform(-0.95, 0.95, (60, 5))  # some beyond π - m
    labels = rng.integers(5, size=60)
    cosine[np.arange(60), labels] = np.linspace(-0.99, 0.99, 60)
    _judge(function, cosine, labels, 1.0, 30.0)


def _judge(
    function,
    cosine: np.ndarray,
    labels: np.ndarray,
    margin: float,
    scale: float,
) -> None:
    given = cosine.copy()
    answer = function(given, labels, margin, scale)
    if answer is None or answer is ...:
        raise Hint("Your function returns nothing: return the logits.")
    answer = np.asarray(answer)
    if answer.shape != cosine.shape:
        raise Hint(
            f"The logits have shape {answer.shape}; one for each clip and class is {cosine.shape}."
        )
    if not np.array_equal(given, cosine):
        raise Hint(
            "Your function changes the array that it was given: work on a copy."
        )
    if not np.isfinite(answer).all():
        raise Hint(
            "Some logits are not finite: keep the cosine within -1 and 1 before you take the angle."
        )
    rows = np.arange(len(cosine))
    true = cosine[rows, labels]
    naive = np.cos(np.arccos(true) + margin)
    beyond = true <= -np.cos(margin)
    right = scale * cosine
    right[rows, labels] = scale * np.where(
        beyond, true - margin * np.sin(margin), naive
    )
    if np.allclose(answer, right, atol=1e-3):
        return
    if np.allclose(answer, right / scale, atol=1e-3):
        raise Hint(
            "The scale is missing: the logits are s times the cosines."
        )
    if np.allclose(answer, scale * cosine, atol=1e-3):
        raise Hint(
            "The true class has no margin yet: its logit is s cos(θ + m)."
        )
    if np.allclose(
        answer, scale * np.cos(np.arccos(cosine) + margin), atol=1e-3
    ):
        raise Hint(
            "You gave the margin to all classes; only the true one of each clip gets it."
        )
    if np.allclose(
        answer[rows, labels],
        scale * np.cos(np.arccos(true) - margin),
        atol=1e-3,
    ):
        raise Hint(
            "Your margin brings the clip closer to its class; it is to make the angle larger."
        )
    if np.allclose(answer[rows, labels], scale * (true - margin), atol=1e-3):
        raise Hint(
            "You took the margin from the cosine; ArcFace adds it to the angle."
        )
    if np.allclose(
        answer[rows, labels][~beyond], scale * naive[~beyond], atol=1e-3
    ):
        if np.allclose(answer[rows, labels], scale * naive, atol=1e-3):
            raise Hint(
                "Beyond θ = π - m your logit rises again: there it is s (cos θ - m sin m)."
            )
        others = np.ones(cosine.shape, dtype=bool)
        others[rows, labels] = False
        if not np.allclose(answer[others], scale * cosine[others], atol=1e-3):
            raise Hint(
                "The true class is as it should be; the others should stay s cos θ."
            )
        raise Hint(
            "Beyond θ = π - m the logit is s (cos θ - m sin m); yours is another."
        )
    raise Hint(
        "The logits of the true classes are off: take cosine[rows, labels], add m to its angle, and take the cosine."
    )


def scale(answer) -> None:
    """The smallest whole s at which a perfect clip of 23 machines with margin 1 has a loss below 0.1."""
    if answer is ... or answer is None:
        raise Hint("Put a whole number in place of the dots.")
    if (
        isinstance(answer, bool)
        or not np.isscalar(answer)
        or answer != int(answer)
        or answer < 1
    ):
        raise Hint("A whole number, 1 or more, is asked for.")
    loss = [
        np.log1p(22 * np.exp(-s * np.cos(1.0))) for s in (answer - 1, answer)
    ]
    if answer == 6:
        raise Hint(
            "That is the answer without a margin: the true logit is s cos(0 + m), with m = 1."
        )
    if loss[1] >= 0.1:
        raise Hint(
            f"With s = {answer:g} the loss is {loss[1]:.2f}: log(1 + 22 exp(-s cos 1)) is not below 0.1 yet."
        )
    if loss[0] < 0.1:
        raise Hint(
            "There the loss is below 0.1, but for a smaller s it is, too."
        )
