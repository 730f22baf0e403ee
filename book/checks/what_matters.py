"""What the chapter "What matters" asks."""

import itertools
import math

from checks import Hint, Question, number

QUESTIONS = {
    "temperature": Question(
        "The temperature is lowered from 0.1 to 0.05. Which clips of the batch does an anchor push away hardest then?",
        {
            "all of the other machines, about equally": "That is what a high temperature does: the weights of all clips come close to each other.",
            "the few that lie nearest to it, more than before": "Dividing by a smaller number stretches the differences, so the nearest take nearly all the weight.",
            "those that lie farthest from it": "A clip far away has a small cosine, and the exponential of a small number weighs little.",
        },
        seal=3216888845,
    ),
    "self": Question(
        "The denominator also holds the anchor itself, whose cosine is always 1. What happens to the push on the other machines?",
        {
            "it grows": "The push on a clip is its share of the denominator, and a larger denominator makes every share smaller.",
            "it stays the same": "A term that cannot move still takes its share of the denominator from the terms that can.",
            "it shrinks": "The anchor itself takes most of the denominator, and what is left for the others is their push.",
        },
        seal=2308434501,
    ),
    "luck": Question(
        "Nine settings that change nothing at all are each tried with three seeds. How many will be better, or worse, in all three?",
        {
            "none": "Three tosses of a coin agree more often than one thinks.",
            "about one": "Both directions count: three times up or three times down, one chance in eight each.",
            "about two": "All up or all down is 2 chances in 8, a quarter of nine settings.",
            "about five": "That would be a chance of more than one half for three tosses to agree.",
        },
        seal=580765097,
    ),
}


def expected_positives(function):
    for batch, machines, clips in (
        (64, 23, 57),
        (128, 41, 800),
        (2, 2, 2),
        (24, 4, 6),
    ):
        value = number(function(batch, machines, clips))
        want = (batch - 1) * (clips - 1) / (machines * clips - 1)
        if abs(value - want) < 1e-9 * max(1, want):
            continue
        told = f"For a batch of {batch} from {machines} machines of {clips} clips, yours is {value:.3f}."
        if math.isclose(value, batch / machines):
            raise Hint(
                f"{told} That counts the anchor as its own partner, and as one of those drawn."
            )
        if math.isclose(value, (batch - 1) / machines):
            raise Hint(
                f"{told} Near, but a clip is drawn once: without the anchor its machine has fewer clips left than others."
            )
        if math.isclose(value, batch * (clips - 1) / (machines * clips - 1)):
            raise Hint(
                f"{told} The anchor is one of the batch: how many others does it meet?"
            )
        raise Hint(
            f"{told} Each of the other clips in the batch is of the anchor's machine with what chance?"
        )


def seeds_needed(function):
    for effect, spread, errors in itertools.product(
        (0.5, 1.0, 3.0), (0.7, 2.0), (2.0, 2.8)
    ):
        value = number(function(effect, spread, errors))
        want = math.ceil((errors * spread / effect) ** 2 - 1e-9)
        if abs(value - want) < 1e-9:
            continue
        told = f"For an effect of {effect:g}, a spread of {spread:g} and {errors:g} standard errors, yours is {value:g}."
        if abs(value - errors * spread / effect) < 1.0001:
            raise Hint(
                f"{told} The standard error shrinks with the square root of the number of seeds, so square it."
            )
        if value != round(value):
            raise Hint(
                f"{told} Half a seed cannot be run: round up (math.ceil)."
            )
        if abs(value - want) <= 1:
            raise Hint(
                f"{told} Round up, not to the nearest: fewer seeds would not be enough."
            )
        raise Hint(f"{told} Solve errors * spread / sqrt(n) = effect for n.")
