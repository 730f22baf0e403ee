"""Judges and questions of the chapter on the encoder."""

import numpy as np

from asdlib.encoder import BOOK_ENCODER, Bottleneck, STgramMFN
from asdlib.features import FeatureConfig
from checks import Hint, Question

QUESTIONS = {
    "louder": Question(
        "The same clip comes in twice as loud. Which of the two pictures changes?",
        {
            "Only the log-mel": "A factor of two on the waveform is a step of 6 dB on a logarithmic scale, and cancels where a "
            "row is divided by its standard deviation.",
            "Only the Tgram": "Ask what a factor of two does to a decibel, and what dividing by the standard deviation does to "
            "a factor of two.",
            "Both": "Look again at the layer norm: what becomes of a factor that mean and standard deviation share?",
            "Neither": "The log-mel has no normalisation at all: what does a factor of two do to a decibel?",
        },
        seal=2728314213,
    ),
    "purity": Question(
        "Somebody reports: 'even untrained, our network puts a clip next to one of the same type nearly always; it is a good "
        "network.' What is wrong with that?",
        {
            "Too few clips were used": "460 clips pin a share near 95 % down to about two points; the trouble lies elsewhere.",
            "The input alone does better": "A number means little without a baseline: types are easy here, and averaging the "
            "log-mel separates them better than the network does.",
            "UMAP may have torn groups apart": "The purity was computed from the embeddings, not from the map.",
        },
        seal=2464951729,
    ),
}


def separable(weights) -> None:
    """``weights(cin, cout, kernel)`` → weights of an ordinary and of a depthwise-separable convolution."""
    if not callable(weights):
        raise Hint("Hand over the function itself, without calling it.")
    for cin, cout, kernel in (
        (64, 64, 3),
        (16, 40, 3),
        (7, 5, 1),
        (24, 32, 5),
    ):
        answer = weights(cin, cout, kernel)
        if (
            not isinstance(answer, tuple | list)
            or len(answer) != 2
            or answer[0] is ...
            or answer[1] is ...
        ):
            raise Hint(
                "Return two numbers: the weights of the ordinary convolution, then those of the other."
            )
        ordinary, split = answer
        if kernel > 1 and ordinary == cin * cout * kernel:
            raise Hint(
                "The kernel is square: it has kernel × kernel weights."
            )
        if ordinary != cin * cout * kernel**2:
            raise Hint(
                "Ordinary: each new channel has a kernel for each old one."
            )
        if split == cin * kernel**2:
            raise Hint(
                "That is the depthwise step alone; the 1×1 convolution that mixes the channels is missing."
            )
        if cin > 1 and split == cin * cout * kernel**2 + cin * cout:
            raise Hint(
                "Depthwise means that a channel sees only itself: one kernel for each channel in."
            )
        if split == cout * kernel**2 + cin * cout and cin != cout:
            raise Hint(
                "The depthwise step comes first, so it works on the channels that come in."
            )
        if split != cin * kernel**2 + cin * cout:
            raise Hint(
                f"The second number is off for {cin} channels in, {cout} out and a kernel of {kernel}×{kernel}."
            )


def heavy(seconds) -> None:
    """The first whole number of seconds at which the global depthwise convolution outweighs the bottlenecks."""
    if seconds is ... or seconds is None:
        raise Hint("Put a number of seconds in place of the dots.")
    if (
        isinstance(seconds, bool)
        or not np.isscalar(seconds)
        or seconds != int(seconds)
        or seconds < 1
    ):
        raise Hint("A whole number of seconds is asked for.")
    if seconds > 120:
        raise Hint(
            "It takes less than two minutes: each second adds nearly two columns of 8 places with 128 weights each."
        )
    pool, blocks = _weights(int(seconds))
    if pool <= blocks:
        raise Hint(
            f"At {seconds:.0f} s the global depthwise convolution has {pool:,} weights, the bottlenecks {blocks:,}."
        )
    if seconds > 1 and _weights(int(seconds) - 1)[0] > blocks:
        raise Hint(
            "There it does, but not for the first time: shorter clips will do."
        )


def _weights(seconds: int) -> tuple[int, int]:
    net = STgramMFN(
        BOOK_ENCODER, FeatureConfig(seconds=seconds)
    ).mobilefacenet
    blocks = (
        p.numel()
        for part in net.layers
        if isinstance(part, Bottleneck)
        for p in part.parameters()
    )
    return net.pool[0].weight.numel(), sum(blocks)
