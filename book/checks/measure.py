"""What the chapter "Measure" asks."""

import numpy as np

from checks import Hint, Question, shaped

QUESTIONS = {
    "numbers": Question(
        "The recorder's gain differs from clip to clip by a few decibels, the same in every band. Which numbers of a band do not see it?",
        {
            "the mean over time": "Some decibels more at every moment are some decibels more in the mean.",
            "the deviation over time": "What is added to all moments alike moves their mean and leaves their distances from it as they are.",
            "the 95th percentile over time": "It is a level, too: some decibels more at every moment are as many more in every percentile.",
        },
        seal=2541581609,
    ),
    "combination": Question(
        "A machine hums low and hisses softly, or hums high and hisses loudly. A new clip hums low and hisses loudly. Which detector "
        "can find that odd?",
        {
            "Only the bank of bands": "In the band of the hum a low hum is known, in that of the hiss a loud hiss is. What is it that the bank could miss?",
            "Only one distance over all bands": "No known clip has this hum with this hiss. In each band on its own, some known clip fits.",
            "Both": "Look at each band on its own, as the bank does: has this hum been heard before? And this hiss?",
        },
        seal=2407189077,
    ),
    "shuffled": Question(
        "You shuffle the moments of a clip's spectrogram. Whose score changes?",
        {
            "That of TWFR-GMM": "It sorts the moments by loudness anyhow: in what order they came is the first thing that it forgets.",
            "That of 2-NN on mean and deviation": "Neither a mean nor a deviation knows in which order its numbers came.",
            "The network that guesses the frame in the middle": "Its neighbours tell nothing about a frame any more; a healthy clip gets a large error.",
        },
        seal=1781649349,
    ),
}


def by_hand(answer):
    if answer is None or answer is ...:
        raise Hint("Put a list of four numbers there, for 1, 4, 12 and 46.")
    got = shaped(answer, (4,)).astype(float)
    want = np.array([0, 1.6, 0.8, 0.6])
    if np.allclose(got, want, atol=0.005):
        return
    if np.allclose(got, [0, 2, 8, 6]):
        raise Hint(
            "These are the distances to the nearest clip. Divide each by how far that clip is from its own nearest other clip."
        )
    if np.allclose(got, [0, 2, 0.8, 0.6]):
        raise Hint(
            "Nearly. The clip that decides need not be the nearest: try the one at 20 for the new clip at 4."
        )
    if np.allclose(got, [0, 2, 10, 0.6]):
        raise Hint(
            "Take the least ratio over all known clips, not only over the group at full load."
        )
    if not np.isclose(got[0], 0):
        raise Hint("The clip at 1 is known: how far is it from itself?")
    wrong = int(np.argmax(~np.isclose(got, want, atol=0.005)))
    raise Hint(
        f"At {(1, 4, 12, 46)[wrong]} it is not {got[wrong]:g}. Write the ratio for each of the six known clips and take the least: "
        "divide by 1 for 0, 1 and 2, by 10 for 20, 30 and 40."
    )


def pooled(function):
    rng = np.random.default_rng(4)
    for bands, moments, r in (
        (3, 5, 0.5),
        (2, 8, 0.9),
        (4, 6, 1.0),
        (3, 7, 0.0),
    ):
        levels = rng.normal(20, 6, (bands, moments))
        got = shaped(function(levels.copy(), r), (bands,))
        weights = float(r) ** np.arange(moments)
        falling = np.sort(levels, axis=1)[:, ::-1]
        want = falling @ weights / weights.sum()
        if np.allclose(got, want):
            continue
        if np.isnan(got).any():
            raise Hint(
                f"With r = {r:g} you return what is no number. Is there a division by zero, or a logarithm of it?"
            )
        if np.allclose(got, falling[:, ::-1] @ weights / weights.sum()):
            raise Hint(
                "You give the softest moment the largest weight: np.sort goes upwards."
            )
        if np.allclose(got, levels @ weights / weights.sum()):
            raise Hint(
                "You weigh the moments in the order in which they came: sort each band first, the loudest to the front."
            )
        if np.allclose(got, falling @ weights):
            raise Hint(
                "The weights must add up to 1: divide by their sum, or r = 1 would give the sum of all moments."
            )
        if np.allclose(got, falling @ (weights * r) / weights.sum()):
            raise Hint(
                "The loudest moment has the weight r to the power of 0."
            )
        raise Hint(
            f"With r = {r:g} the first band {np.round(levels[0], 1).tolist()} should give {want[0]:.3f} and gives {got[0]:.3f}."
        )


def shrunk(function):
    rng = np.random.default_rng(6)
    known = rng.normal(size=(40, 2)) @ np.array([[3.0, 2.0], [0.0, 0.7]]) + 5
    asked = rng.normal(size=(6, 2)) * 3 + 5
    off = asked - known.mean(axis=0)
    covariance = np.cov(known.T, bias=True)

    def with_ball(share, size, spread=covariance, around=off):
        mixed = (1 - share) * spread + share * size * np.eye(len(spread))
        return np.sum(np.linalg.solve(mixed, around.T).T * around, axis=1)

    size = np.trace(covariance) / 2
    for share in (0.3, 0.0, 1.0):
        got = shaped(function(known.copy(), asked.copy(), share), (6,))
        want = with_ball(share, size)
        if np.allclose(got, want):
            continue
        if np.allclose(got, np.sqrt(want)):
            raise Hint("That is the distance; return its square.")
        if np.allclose(got, with_ball(share, 1.0)):
            raise Hint(
                "In front of I you have 1: put the mean of the variances there, the trace divided by the number of dimensions."
            )
        if np.allclose(got, with_ball(share, 2 * size)):
            raise Hint(
                "The trace is the sum of the variances: divide it by the number of dimensions."
            )
        if np.allclose(got, with_ball(1 - share, size)):
            raise Hint(
                "λ and 1 − λ are exchanged: with a share of 0 the covariance must be that of the clips."
            )
        unbiased = np.cov(known.T)
        if np.allclose(
            got, with_ball(share, np.trace(unbiased) / 2, unbiased)
        ):
            raise Hint("Divide the covariance by N, not by N − 1.")
        raise Hint(
            f"With a share of {share:g} the first distance should be {want[0]:.4f} and is {got[0]:.4f}. Is the mean of `known` taken away?"
        )
    wide = rng.normal(size=(5, 9)) * np.arange(1, 10)
    got = shaped(function(wide.copy(), wide[:2] + 1, 0.5), (2,))
    spread = np.cov(wide.T, bias=True)
    want = with_ball(
        0.5, np.trace(spread) / 9, spread, wide[:2] + 1 - wide.mean(axis=0)
    )
    if not np.allclose(got, want):
        raise Hint(
            "In two dimensions it is right; with 5 clips of 9 numbers it is not. By what do you divide the trace?"
        )


def depends(function):
    """``function(f, frames)``: how much a guess changes with each of five frames."""
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(5, 4))
    for blind in (2, None, 0):
        own = weights.copy()
        if blind is not None:
            own[blind] = 0

        def f(frames, own=own):
            return (own * np.asarray(frames, float)).sum(axis=0)

        frames = rng.normal(size=(5, 4))
        before = frames.copy()
        got = shaped(function(f, frames), (5,)).astype(float)
        if not np.array_equal(frames, before):
            raise Hint(
                "Your function changes the frames that it is given: raise a copy."
            )
        want = np.abs(own).max(axis=1)
        if np.allclose(got, want):
            continue
        if np.allclose(got, np.abs(own).mean(axis=1)) or np.allclose(
            got, np.abs(own).sum(axis=1)
        ):
            raise Hint(
                "At most, in any band: the largest of the changes, not their mean or sum."
            )
        if np.allclose(got, own.max(axis=1)):
            raise Hint(
                "A guess may also fall: take the absolute value of the change."
            )
        if np.allclose(
            got, np.cumsum(own, axis=0).max(axis=1)
        ) or np.allclose(got, np.abs(np.cumsum(own, axis=0)).max(axis=1)):
            raise Hint(
                "The frames raised before are still raised: begin with the given ones for each."
            )
        raise Hint(
            f"For f = a weighted sum with the weights {own.round(2).tolist()} it should be {want.round(2).tolist()}; yours is {got.round(2).tolist()}."
        )
