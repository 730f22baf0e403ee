"""Questions and exercises of the chapter "The data"."""

import numpy as np

from asdlib.machine_types import MACHINE_TYPES
from asdlib.machines import identity
from checks import Hint, Question

QUESTIONS = {
    "classes": Question(
        "There are six machine types. Why does the paper's classifier have 41 classes and not 6?",
        {
            "Because 41 classes make the network larger, and larger networks are better.": "The network hardly grows: a class "
            "more is one more direction in its last layer. What changes is the question that it has to answer.",
            "Because telling machines of one type apart forces it to hear the fine differences in which a fault shows, too.": (
                "Fans and valves differ in almost everything; two fans differ in little, and a fault is such a little."
            ),
            "Because there are 41 kinds of faults.": "The labels are machine IDs; no fault is ever shown in training.",
            "Because each recording is its own class.": "There are thousands of recordings; those of one machine share a class.",
        },
        seal=135405781,
    ),
    "skip": Question(
        "A folder of 900 fan recordings has 30 that are silent. Why does the package stop instead of leaving them out quietly?",
        {
            "Because silent files would crash the network.": "They would not: digital silence becomes a constant picture, and "
            "the network would learn that this is what the fan sounds like, too.",
            "Because 870 recordings are too few to train on.": "They are plenty; the park of this book has 60 a machine.",
            "Because thirty dead recordings are a fact about your microphone that you want to know before you trust the rest.": (
                "What was wrong in 30 files may be half wrong in others; leaving files out is a decision that you should take."
            ),
            "Because reading files is slow.": "Stopping saves no time worth having; it is about what you would not be told.",
        },
        seal=1535558437,
    ),
    "heldout": Question(
        "You must decide how many epochs to train, and nobody fixed it beforehand. What may you look at?",
        {
            "The AUC on the test recordings, if only once per ten epochs.": "Fewer looks, less luck counted as skill, but still "
            "the test recordings would choose.",
            "The loss on healthy training recordings that were held out.": "It needs no faulty recording and no label but the "
            "ID, so you could do the same in a factory.",
            "The AUC on half of the test recordings, if the other half is kept for the end.": "That would be honest towards the "
            "other half, but it needs faulty recordings of each machine, and the task is to do without them.",
            "The loss on the recordings that the network is being trained on.": "That one falls nearly always, whether or not "
            "the network gets any better at new recordings.",
        },
        seal=2889697281,
    ),
}


def count(answer):
    """Judge of ``count(paths)``: a dictionary from (machine, split) to the number of clips."""
    if not callable(answer):
        raise Hint(
            "Pass the function itself: check(..., count), without calling it."
        )
    rng = np.random.default_rng()
    for _ in range(5):
        paths, wanted = [], {}
        for kind in rng.permutation(["fan", "pump", "ToyCar"])[:2]:
            for number in (0, 1):
                for split in ("train", "test"):
                    n = int(rng.integers(1, 9))
                    wanted[f"{kind}/id_{number:02d}", split] = n
                    labels = (
                        ["normal_"]
                        if split == "train"
                        else ["normal_", "anomaly_", ""]
                    )
                    paths += [
                        f"{kind}/{split}/{labels[i % len(labels)]}id_{number:02d}_{i:08d}.wav"
                        for i in range(n)
                    ]
        paths = [str(path) for path in rng.permutation(paths)]
        told = answer(list(paths))
        if told is None:
            raise Hint("Your function returns nothing: end it with return.")
        try:
            told = {key: int(n) for key, n in dict(told).items()}
        except (TypeError, ValueError):
            raise Hint(
                "Return a dictionary from (machine, split) to a number."
            ) from None
        if told == wanted:
            continue
        key = next(iter(told), None)
        if not isinstance(key, tuple) or len(key) != 2:
            raise Hint(
                'The keys should be pairs such as ("pump/id_00", "train").'
            )
        if {split for _, split in told} - {"train", "test"}:
            raise Hint(
                'The second part of each key should be the folder, "train" or "test", not the label.'
            )
        if not any("/" in machine for machine, _ in told):
            raise Hint(
                "id_00 of a fan and id_00 of a pump are two machines: put the machine type in front of the ID."
            )
        if set(told) - set(wanted):
            extra = sorted(set(told) - set(wanted))[0]
            raise Hint(
                f"There is no machine {extra[0]!r}. Names without a label begin with the ID: look for its pattern."
            )
        if sum(told.values()) < sum(wanted.values()):
            raise Hint(
                "Some clips are not counted. What happens with names that have no label, like id_01_00000003.wav?"
            )
        raise Hint(
            "The keys are fine but the numbers are not: every path counts once."
        )


def severity(answer):
    """Judge of the severities from which cavitation takes a pump beyond all healthy ones."""
    kind = MACHINE_TYPES["pump"]
    own = {
        f"pump/{machine_id}": identity(f"pump/{machine_id}")["bubbles"]
        for machine_id in kind.ids
    }
    factor, most = kind.faults["cavitation"]["bubbles"], max(own.values())
    wanted = {
        machine: float(np.log(most / b) / np.log(factor))
        for machine, b in own.items()
    }
    if not isinstance(answer, dict) or set(answer) != set(wanted):
        raise Hint(
            "Give a dictionary with the four pumps as keys: pump/id_00, pump/id_02, pump/id_04, pump/id_06."
        )
    if any(value is ... or value is None for value in answer.values()):
        raise Hint(
            "Start with one pump: at which s does its own bubbles times factor ** s reach the largest of the four?"
        )
    told = {machine: float(value) for machine, value in answer.items()}
    if all(abs(told[m] - wanted[m]) <= 0.06 for m in wanted):
        return
    busiest = max(own, key=own.get)
    if all(
        abs(told[m] - most / own[m] / factor) < 0.06
        for m in wanted
        if m != busiest
    ):
        raise Hint(
            "The severity is an exponent, factor ** severity: a quotient alone does not undo it, a logarithm does."
        )
    if all(abs(told[m] - np.log(most / own[m])) < 0.06 for m in wanted):
        raise Hint(
            "The logarithm of the ratio is half of it: in which base does the fault count?"
        )
    if abs(told[busiest]) > 0.06:
        raise Hint(
            f"{busiest} has the most bubbles of all when healthy: what severity takes it beyond itself?"
        )
    wrong = max(wanted, key=lambda m: abs(told[m] - wanted[m]))
    way = "larger" if told[wrong] < wanted[wrong] else "smaller"
    raise Hint(
        f"Look at {wrong} again: the severity is {way}. Compare with the largest of the four healthy values."
    )
