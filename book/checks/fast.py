"""What the chapter "Fast enough for a laptop" asks."""

import math

from checks import Hint, Question, number

QUESTIONS = {
    "where": Question(
        "One kind of layer does hardly any arithmetic and yet takes a third of the ordinary step of the paper's network. Which?",
        {
            "the convolutions": "They do nearly all of the arithmetic, and they take about half of the time: that is where it should go.",
            "the activation function, PReLU": "One comparison and one multiplication a number, and a backward pass that is written for something else.",
            "the batch norms": "They read everything several times, but a good implementation keeps that to a tenth or two.",
            "the optimiser": "It touches each weight once, and there are a million weights, but billions of activations.",
        },
        seal=2685703341,
    ),
    "gpu": Question(
        "Would the allocator's settings speed up training on a GPU, too?",
        {
            "yes, as much": "The activations are not in the memory that these settings are about.",
            "no, its memory never passes through the C library": "PyTorch keeps freed GPU memory in a cache of its own, and asks for more only at the beginning.",
            "no, a GPU frees nothing": "It does, all the time; the question is who keeps what was freed.",
        },
        seal=2971313657,
    ),
    "yardstick": Question(
        "A table says: scoring 9 times as fast as the public code. Both ran on one machine, with equal outputs, the public code clip by clip, as it is published. What should you ask first?",
        {
            "whether the machine was busy": "Worth asking, but in turns it would slow both.",
            "how fast the public code is with batches": "Batches are three lines. What they bring belongs to neither side, and whoever leaves them to one side alone measures batches.",
            "how many digits of the outputs are equal": "They are equal, it says. That is settled before the speed.",
        },
        seal=998698949,
    ),
}


def whole(function):
    for shares, factors in (
        ([1 / 3, 2 / 3], [10, 1]),
        ([0.5, 0.3, 0.2], [2, 4, 1]),
        ([1.0], [3]),
        ([0.25] * 4, [1, 1, 1, 1]),
    ):
        told = f"shares {[round(s, 2) for s in shares]} and factors {factors}"
        got = number(function(list(shares), list(factors)), told)
        want = 1 / sum(s / f for s, f in zip(shares, factors, strict=True))
        if math.isclose(got, want):
            continue
        if math.isclose(got, 1 / want):
            raise Hint(
                f"For {told} that is the time that is left, {got:.3f} of it. How many times faster is that?"
            )
        if math.isclose(
            got, sum(s * f for s, f in zip(shares, factors, strict=True))
        ):
            raise Hint(
                f"For {told} the factors cannot be averaged: what counts is the time each part takes afterwards."
            )
        raise Hint(
            f"For {told} the whole becomes {want:.3f} times faster, not {got:.3f}: add up the times that are left."
        )


def share_of_peak(function):
    for multiply_adds, rate, peak, training in (
        (0.8e9, 60, 150e9, True),
        (0.8e9, 30, 75e9, False),
        (2e6, 5000, 1e11, True),
    ):
        told = f"{multiply_adds:g} multiply-adds, {rate} clips a second, a peak of {peak:g}, training {training}"
        got = number(function(multiply_adds, rate, peak, training), told)
        want = 2 * multiply_adds * (3 if training else 1) * rate / peak
        if math.isclose(got, want):
            continue
        if math.isclose(got, want / 2):
            raise Hint("A multiply-add is two operations.")
        if training and (
            math.isclose(got, want / 3) or math.isclose(got, want * 2 / 3)
        ):
            raise Hint(
                "Training goes forward once and backward twice: for the inputs' gradients and for the weights'."
            )
        if math.isclose(got, 100 * want):
            raise Hint("Return a share, 0 to 1, not per cent.")
        raise Hint(f"For {told} it should be {want:.3f} and is {got:.3f}.")
