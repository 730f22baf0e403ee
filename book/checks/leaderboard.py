"""What the chapter "The leaderboard" asks."""

import ast

import numpy as np

from checks import Hint, Question, shaped

QUESTIONS = {
    "bold": Question(
        "A paper compares its method, trained with one seed, with figures that it copied from nine other papers. It leads by 0.8 points. What do you know?",
        {
            "that it is better, by 0.8 points": "With other seeds and other clips each of the ten figures would be another one.",
            "that it is at least not worse": "Not even that: of ten equally good methods, the best leads by as much in one table of four.",
            "hardly anything: equally good methods may lead by as much": "Ask for the spread over seeds, and for the interval of the difference.",
        },
        seal=2453407745,
    ),
    "ranks": Question(
        "Two methods cannot be told apart by this comparison. What follows?",
        {
            "they are equally good": "A difference may be there and be smaller than what these clips and seeds can show.",
            "their difference, if there is one, is too small for these clips and seeds": "More machines, more clips and more seeds would narrow the interval.",
            "the comparison was made badly": "Every comparison has a limit; this one says where it is.",
        },
        seal=2819380697,
    ),
    "choose": Question(
        "You have four pumps, no recordings of faults, and want one method. What is the best use of this chapter?",
        {
            "take the first of the list on real recordings": "Its figure is flattered, because it is the first; and your pumps are on none of the lists.",
            "take the first of the list on the park, because there all faults are known": "The park teaches. It is made of our guesses at machines, and your pumps are none of them.",
            "take a few of different families, and let a rehearsal on your own healthy recordings choose": "That is what `asd train` does when it builds its ensemble.",
        },
        seal=2071193589,
    ),
}


def holm(function):
    """``function(p, alpha)`` says which p values count as found by Holm's rule."""
    cases = (
        ([0.01, 0.04, 0.03, 0.005], 0.05, [True, False, False, True]),
        ([0.02, 0.02, 0.02], 0.05, [False, False, False]),
        ([0.04], 0.05, [True]),
        ([0.001, 0.03, 0.04], 0.05, [True, False, False]),
        ([0.02, 0.04, 0.001], 0.05, [True, True, True]),
        ([0.03, 0.02, 0.024], 0.05, [False, False, False]),
        ([0.05], 0.05, [True]),
        ([0.004, 0.03, 0.006], 0.01, [False, False, False]),
        ([0.09, 0.04, 0.01], 0.1, [True, True, True]),
    )
    for p, alpha, want in cases:
        p = np.array(p)
        got = shaped(function(p.copy(), alpha), (len(p),)).astype(bool)
        if got.tolist() == want:
            continue
        if alpha != 0.05 and np.array_equal(
            got, shaped(function(p.copy(), 0.05), (len(p),)).astype(bool)
        ):
            raise Hint("Your answer is the same for every alpha.")
        if np.array_equal(got, p <= alpha):
            raise Hint(
                "You compare each with alpha, however many there are: the smallest must be at most alpha / n."
            )
        if np.array_equal(got, p <= alpha / len(p)):
            raise Hint(
                "That is Bonferroni's rule, alpha / n for each. Holm asks less of the second, the third, and so on."
            )
        order = np.argsort(p)
        steps = np.zeros(len(p), bool)
        steps[order] = p[order] <= alpha / np.arange(len(p), 0, -1)
        if np.array_equal(got, steps):
            raise Hint(
                "Your steps are right, but from the first that fails none counts any more, even if a later one is below its own limit."
            )
        raise Hint(
            f"For p = {p.tolist()} and alpha = {alpha} these should count: {want}; you return {got.tolist()}."
        )


def own(source):
    """``source`` is a method that scores by the distance to the mean of its machine."""
    from asdlib.clips import Clips
    from asdlib.features import FeatureConfig

    try:
        ast.parse(source)
    except SyntaxError as error:
        raise Hint(
            f"Python cannot read it, line {error.lineno}: {error.msg}."
        ) from None
    place: dict = {}
    exec(compile(source, "nearest_centroid.py", "exec"), place)
    if not callable(place.get("far")):
        raise Hint("Call your function far(known, asked).")
    rng = np.random.default_rng(4)
    shaped(place["far"](rng.normal(size=(5, 3)), np.ones((2, 3))), (2,))
    config = FeatureConfig(seconds=0.5)
    machines = np.repeat(["fan/id_00", "fan/id_02"], 6)
    offset = np.repeat([0.0, 20.0], 6)[:, None, None]

    def clips():
        log_mels = (
            rng.normal(size=(12, config.n_mels, config.frames)) + offset
        )
        return Clips(
            (
                np.zeros((12, config.samples), np.float32),
                log_mels.astype(np.float32),
            ),
            machines,
            config,
        )

    known, asked = clips(), clips()
    got = place["score"](place["train"](known, budget=None), known, asked)
    rows = [x.log_mels.astype(float).mean(axis=2) for x in (known, asked)]
    got = shaped(got.get("distance"), (12,))
    if not np.isfinite(got).all():
        raise Hint("Some of your distances are not finite.")
    far = {}
    for machine in np.unique(machines):
        of = machines == machine
        off = rows[1][of] - rows[0][of].mean(axis=0)
        far.setdefault("right", np.zeros(12))[of] = np.linalg.norm(
            off, axis=1
        )
        far.setdefault("squared", np.zeros(12))[of] = (off**2).sum(axis=1)
        nearest = np.linalg.norm(
            rows[1][of][:, None] - rows[0][of], axis=2
        ).min(axis=1)
        far.setdefault("nearest", np.zeros(12))[of] = nearest
    if np.allclose(got, far["right"], rtol=1e-4):
        return
    if np.allclose(got, far["squared"], rtol=1e-4):
        raise Hint("That is the squared distance: take its root.")
    if np.allclose(got, far["nearest"], rtol=1e-4):
        raise Hint(
            "That is the distance to the nearest clip; take the one to their mean."
        )
    raise Hint(
        "These are not the distances to the mean of the training clips: asked - known.mean(axis=0), and the length of each row."
    )
