"""What the chapter "How much further?" asks."""

import numpy as np

from checks import Hint, Question, shaped

QUESTIONS = {
    "strangers": Question(
        "The machines whose clips play the faults must be kept out of the training. Why?",
        {
            "so that training is shorter": "It is, by a little. That is no reason.",
            "a real fault, too, is a sound that the network has never heard": "A rehearsal must be as hard as what it rehearses: faults are new to the network.",
            "their clips could be confused with test clips": "No official test clip is in the rehearsal at all.",
        },
        seal=3469963053,
    ),
    "normalise": Question(
        "In each machine the scores are brought to mean 0 and variance 1, by its training clips. What does that do to its own AUC?",
        {
            "it rises": "The AUC asks only which of two clips has the higher score. Has that changed for any two clips of one machine?",
            "nothing": "Shifting and stretching all scores of a machine leaves their order as it was. One threshold for many machines, or a sum of several scores, needs it all the same.",
            "it falls": "The AUC asks only which of two clips has the higher score. Has that changed for any two clips of one machine?",
        },
        seal=3388271761,
    ),
    "parts": Question(
        "Two networks that find the same share of the faults are added up, by rank. When is the sum better than either?",
        {
            "when both have been trained for long": "Two networks that have learned the same for long err at the same recordings. What could the sum know that neither knows?",
            "when they err at different recordings": "Where one is wrong, the other may put it right. Where both are wrong, the sum is, too.",
            "when their scores have the same scale": "Without that one of them would not count in the sum. But ranks have the same scale already.",
        },
        seal=2946700001,
    ),
}


def local(function):
    rng = np.random.default_rng(5)
    known = np.concatenate(
        [rng.normal(0, 0.1, (40, 2)), rng.normal(4, 1, (40, 2))]
    )
    asked = rng.normal(2, 2, (25, 2))
    got = shaped(function(known.copy(), asked.copy()), (25,))
    among = np.linalg.norm(known[:, None] - known, axis=2)
    to = np.linalg.norm(asked[:, None] - known, axis=2)
    near = np.sort(among, axis=1)
    around = near[:, 1:6].mean(axis=1)
    want = (to / around).min(axis=1)
    if np.allclose(got, to.min(axis=1)):
        raise Hint(
            "That is the plain distance to the nearest. Divide by what is usual around each training clip."
        )
    if np.allclose(got, (to / near[:, :5].mean(axis=1)).min(axis=1)):
        raise Hint(
            "Each training clip is its own nearest neighbour, at distance 0: leave it out of the five."
        )
    if np.allclose(got, to.min(axis=1) / around[to.argmin(axis=1)]):
        raise Hint(
            "You divide after choosing the nearest. Divide all distances first, then choose: the least ratio may belong to another clip."
        )
    if not np.allclose(got, want):
        raise Hint(
            f"The first score should be {want[0]:.4f} and is {got[0]:.4f}: the least, over the training clips, of the distance to "
            "one divided by its mean distance to its own five nearest."
        )


def surprise(function):
    rng = np.random.default_rng(6)
    for count in (99, 40):
        usual = rng.normal(size=count).round(1)
        new = np.array([-3.0, 0.1, usual.max(), 2.0, 9.0])
        got = shaped(function(usual.copy(), new.copy()), (5,))
        reach = (usual[None] >= new[:, None]).sum(axis=1)
        want = -np.log((1 + reach) / (count + 1))
        below = (usual[None] < new[:, None]).sum(axis=1)
        above = (usual[None] > new[:, None]).sum(axis=1)
        if np.isinf(got).any():
            raise Hint(
                "A score above all the usual ones has share 0, and its logarithm is infinite: count the clip itself among them."
            )
        if np.allclose(got, -want):
            raise Hint(
                "The sign is turned round: the rarer so high a score is, the larger the surprise."
            )
        if np.allclose(got, -np.log((1 + below) / (count + 1))):
            raise Hint(
                "You count the usual scores below the new one; count those that reach it."
            )
        if np.allclose(got, -np.log((1 + above) / (count + 1))):
            raise Hint(
                "A usual score that equals the new one reaches it, too."
            )
        if not np.allclose(got, want):
            raise Hint(
                f"For the score 0.1, which {reach[1]} of {count} usual ones reach, the surprise is "
                f"-log({1 + reach[1]}/{count + 1}) = {want[1]:.4f}; yours is {got[1]:.4f}."
            )
