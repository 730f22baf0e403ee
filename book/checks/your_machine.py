"""Judges and questions of the chapter your_machine."""

import numpy as np
from scipy.stats import beta

from checks import Hint, Question


def threshold(answer) -> None:
    """``alarm_threshold(scores, rate)`` -> (threshold, low, high)."""
    rng = np.random.default_rng(12)
    for n, rate in (
        (50, 0.05),
        (59, 0.05),
        (19, 0.05),
        (200, 0.1),
        (33, 0.2),
    ):
        scores = rng.gamma(0.7, 4.0, n)
        got = answer(scores.copy(), rate)
        if got is None or got is Ellipsis:
            raise Hint(
                "The function returns nothing yet: let it return the threshold and the two limits."
            )
        try:
            level, low, high = (float(x) for x in got)
        except (TypeError, ValueError):
            raise Hint(
                "Return three numbers: the threshold, the lower and the upper limit."
            ) from None
        k = int(np.floor(rate * (n + 1) + 1e-9))
        ordered = np.sort(scores)[::-1]
        case = f"with {n} scores and a rate of {rate:.0%}"
        if np.isclose(
            level, np.quantile(scores, 1 - rate)
        ) and not np.isclose(level, ordered[k - 1]):
            raise Hint(
                "np.quantile interpolates between two scores: take the k-th highest score itself."
            )
        if k < n and np.isclose(level, ordered[k]):
            raise Hint(
                f"{case.capitalize()}, your threshold is one score too low: the k-th highest is np.sort(scores)[-k]."
            )
        if k > 1 and np.isclose(level, ordered[k - 2]):
            raise Hint(
                f"{case.capitalize()}, your threshold is one score too high: k/(n+1) may be equal to the rate."
            )
        if np.isclose(level, np.sort(scores)[k - 1]):
            raise Hint(
                "That is the k-th lowest score: healthy clips should lie below the threshold."
            )
        if not np.isclose(level, ordered[k - 1]):
            raise Hint(
                f"{case.capitalize()}, the threshold should be the {k}. highest score."
            )
        expected = beta.ppf([0.025, 0.975], k, n + 1 - k)
        if np.allclose([low, high], expected[::-1]):
            raise Hint("The lower limit comes first.")
        if np.allclose([low, high], beta.ppf([0.05, 0.95], k, n + 1 - k)):
            raise Hint(
                "Those limits hold the rate with 90 % probability: leave 2.5 % on either side."
            )
        if np.allclose(
            [low, high],
            [beta.ppf(0.025, k, n - k + 1), beta.ppf(0.975, k + 1, n - k)],
        ):
            raise Hint(
                "That is the interval of Clopper and Pearson for k alarms counted; here the rate is promised before any is "
                "counted: one beta distribution gives both limits."
            )
        if not np.allclose([low, high], expected, atol=1e-6):
            raise Hint(
                "The limits are the 2.5 % and 97.5 % quantiles of the beta distribution with parameters k and n + 1 - k."
            )
    try:
        got = answer(rng.gamma(0.7, 4.0, 10), 0.05)
    except ValueError:
        return
    raise Hint(
        f"Ten scores cannot give 5 %: raise a ValueError there instead of returning {got!r}."
    )


def clips_needed(answer) -> None:
    """The smallest n with P(rate of the maximum <= 5 %) >= 95 %: 59."""
    if answer is None or answer is Ellipsis:
        raise Hint(
            "Set clips_needed to a whole number; begin with the chance that all n scores lie below the 95 % point."
        )
    try:
        number = float(answer)
    except (TypeError, ValueError):
        raise Hint("Give one whole number of clips.") from None
    if number in (19, 20):
        raise Hint(
            "With 19 clips the expected rate is 5 %, but more than one threshold in three is above it: be sure in 95 of 100."
        )
    if number in (72, 73):
        raise Hint(
            "That leaves 2.5 % of bad luck; here 5 % are allowed, all of it on one side."
        )
    if number == 58 or 58 < number < 59:
        raise Hint(
            "Very near: 0.95 to that power is still a little above 0.05."
        )
    if number < 58:
        raise Hint(
            f"With {number:g} clips, the chance of a rate above 5 % is {0.95**number:.0%}: more clips are needed."
        )
    if number > 59:
        raise Hint(f"{number:g} are enough, but fewer are, too.")


QUESTIONS = {
    "expected": Question(
        "You took the highest of 24 healthy scores as the threshold. What false-alarm rate should you expect?",
        {
            "0 %: no healthy clip lies above it": "No clip that you have lies above it; the next one may well set a new record.",
            "4 %": "Twenty-five gaps, and one of them, the one above the highest score, means an alarm: 1/25.",
            "5 %, as everybody takes 5 %": "The rate follows from how many clips you have and which of them you take, not from a custom.",
            "It cannot be said without knowing the distribution of the scores": "The gaps are equally likely whatever the "
            "distribution is, as long as old and new recordings are of the same kind.",
        },
        seal=145978777,
    ),
    "meaning": Question(
        "Pump 04 scores 6 today, fan 02 scores 9. Which machine needs a mechanic first?",
        {
            "The fan: its score is higher": "Every machine has a scale of its own: 9 may be a usual score of a healthy fan.",
            "The pump: it usually scores less": "It may, but that has to be looked up: the question does not say what either "
            "usually scores.",
            "The scores alone do not tell: compare each with the healthy scores of its own machine": "A score means something "
            "beside the calibration clips of the same machine, for example divided by their threshold.",
            "Neither: below 10 all is well": "There is no number that is harmless for all machines.",
        },
        seal=1261438057,
    ),
    "retrain": Question(
        "Five things happened this month. Which of them calls for training the network anew?",
        {
            "The owner wants half as many false alarms": "That is a higher threshold; the scores stay as they are.",
            "A fifth pump was bought and shall be watched, too": "The network has no direction for it: asd score does not even "
            "accept its name until it has been trained on.",
            "One recording was silent": "It is refused before it is scored: look after the microphone.",
            "A bearing was found worn, as the alarm had said; the repair waits": "The detector did what it is for. After the "
            "repair, the calibration clips have to be looked at.",
            "There were three alarms in 300 recordings, with a promised rate of 1 %": "Three is what 1 % of 300 recordings "
            "means: nothing has happened.",
        },
        seal=1709670261,
    ),
}
