"""Which clips are training clips, where a collection does not say."""

from collections import defaultdict
from collections.abc import Sequence

from asdlib.sound.naming import Named, Split


def divided(names: Sequence[Named]) -> tuple[list[Named], list[str]]:
    """``names`` with a split each, and the machines that had clips without one.

    As the authors of MIMII do: of each machine, as many of the normal clips as there
    are anomalies, at most half of them, the first in order of name, are test clips, and
    the others are training clips; anomalies are test clips. Recordings of one event are
    on the same side.
    """
    normal: dict[str, list[int]] = defaultdict(list)
    anomalies: dict[str, int] = defaultdict(int)
    for place, named in enumerate(names):
        if named.split is None:
            machine = f"{named.machine_type}/{named.machine_id}"
            if named.label == "normal":
                normal[machine].append(place)
            else:
                anomalies[machine] += 1
    test: set[int] = set()
    for machine, places in normal.items():
        wanted = min(anomalies[machine], len(places) // 2)
        events: dict[str, list[int]] = defaultdict(list)
        for place in places:
            events[names[place].event].append(place)
        taken = 0
        for event in sorted(events):
            taken += len(events[event])
            if taken > wanted:
                break
            test.update(events[event])

    def split(place: int, named: Named) -> Split:
        if named.split is not None:
            return named.split
        return "train" if named.label == "normal" and place not in test else "test"

    done = [n._replace(split=split(place, n)) for place, n in enumerate(names)]
    return done, sorted(m for m in normal if anomalies[m])
