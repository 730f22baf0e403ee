"""What the assignment "Investigate" asks: that a report can be judged at all."""

import numpy as np

from checks import Hint, shaped


def expectation(text):
    if not isinstance(text, str) or len(text.split()) < 20:
        raise Hint(
            "Write down what you expect and why, in twenty words or more, before you run anything."
        )
    if not any(
        word in text.lower()
        for word in ("because", "since", "so that", "therefore")
    ):
        raise Hint("An expectation has a reason: because ...")


def results(found):
    if not isinstance(found, dict) or len(found) != 2:
        raise Hint(
            'Two conditions: {"as it is": [...], "changed": [...]}, an AUC a seed in each.'
        )
    sizes = [len(np.atleast_1d(values)) for values in found.values()]
    if min(sizes) < 3 or sizes[0] != sizes[1]:
        raise Hint("Three seeds or more, the same ones in both conditions.")
    for values in found.values():
        numbers = shaped(values, (sizes[0],)).astype(float)
        if not ((numbers > 0) & (numbers < 1)).all():
            raise Hint("AUCs as fractions, between 0 and 1.")
    first, second = found.values()
    if np.allclose(first, second):
        raise Hint(
            "Both conditions have the same figures: has the change taken effect?"
        )


def verdict(found):
    if not isinstance(found, dict) or set(found) != {"low", "high", "words"}:
        raise Hint(
            '{"low": ..., "high": ..., "words": ...}: the interval of the paired difference, and what it says.'
        )
    if not float(found["low"]) < float(found["high"]):
        raise Hint("The interval runs from the lower to the higher end.")
    holds_zero = float(found["low"]) <= 0 <= float(found["high"])
    claims = any(
        word in str(found["words"]).lower()
        for word in ("better", "worse", "helps", "hurts")
    )
    careful = any(
        word in str(found["words"]).lower()
        for word in ("cannot", "can not", "not clear", "may be", "unclear")
    )
    if holds_zero and claims and not careful:
        raise Hint(
            "Zero lies in the interval: it cannot be told whether the change helps. Say so."
        )
    if len(str(found["words"]).split()) < 10:
        raise Hint("Ten words or more, please.")
