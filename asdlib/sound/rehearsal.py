"""Faults made of healthy clips: a rehearsal, to choose by before there are any faults.

Some machines are kept out of a training. Mixed half and half in power with them, a
healthy clip of a machine that was trained on is that machine with something strange in
it. What ranks such mixtures above healthy clips better is likely to rank real faults
better, too; how likely, the book measures.
"""

from collections.abc import Sequence

import numpy as np

from asdlib.sound.clips import Clips, in_unit
from asdlib.sound.computed import clip_of

REHEARSED = 12  # faults of each machine, at least


def strangers_of(machines: Sequence[str], turn: int = 0) -> list[str]:
    """The machines to keep out, one of each type that has two or more.

    ``turn`` 0 takes the first of each type, 1 the second, and so on, round and round.
    None where fewer than two machines would be left to tell apart.

    >>> strangers_of(["fan/0", "fan/1", "fan/2", "pump/0"], turn=1)
    ['fan/1']
    """
    by_type: dict[str, list[str]] = {}
    for name in sorted(set(machines)):
        by_type.setdefault(name.split("/")[0], []).append(name)
    left_out = [own[turn % len(own)] for own in by_type.values() if len(own) > 1]
    return left_out if len(set(machines)) - len(left_out) > 1 else []


def play_of(healthy: Clips, strangers: Clips, *, seed: int) -> list[Clips]:
    """``healthy``, and then as often as makes :data:`REHEARSED` faults of each machine
    :func:`rehearsed_faults` of them, with other strangers each time."""
    repeats = -(-REHEARSED * len(healthy.names) // len(healthy))
    faults = [
        rehearsed_faults(healthy, strangers, seed=seed + 1000 * i)
        for i in range(repeats)
    ]
    return [healthy, *faults]


def rehearsed_faults(healthy: Clips, strangers: Clips, *, seed: int = 0) -> Clips:
    """Each clip of ``healthy`` mixed with one of ``strangers``, half of the power each.

    With one of its own machine type where there is one, drawn by ``seed``. Sounds are
    added, of spectra (log10 of a power) the powers. The same machines in the same
    order.
    """
    rng = np.random.default_rng([seed, 11])
    partners = []
    for machine_type in healthy.types.tolist():
        same = np.flatnonzero(strangers.types == machine_type)
        partners.append(rng.choice(same if len(same) else len(strangers)))
    other = strangers.only(np.array(partners))
    if healthy.features is None:
        powers = (10.0 ** np.asarray(x.inputs[0], float) for x in (healthy, other))
        mixed = np.log10(sum(powers) / 2).astype(np.float32)
        return Clips((mixed,), healthy.machines)
    sums = (
        (in_unit(own) + in_unit(stranger)) / np.float32(2**0.5)
        for own, stranger in zip(healthy.waveforms, other.waveforms, strict=True)
    )
    waves, mels = zip(*(clip_of(x, healthy.features) for x in sums), strict=True)
    return Clips((np.stack(waves), np.stack(mels)), healthy.machines, healthy.features)
