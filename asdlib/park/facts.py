"""What a simulator elsewhere, in a page, must know of the park: its tables."""

from typing import Any

from asdlib.park.machine_types import MACHINE_TYPES
from asdlib.park.rendering import identity, reference_rms


def park_facts(*, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Of each machine type what its clips are made from, as plain values for JSON.

    ``machines`` (ID → parameter → value), ``tolerances`` (parameter → standard
    deviation of the logarithm), ``faults`` (name → parameter → factor at severity 1)
    and ``reference``, the RMS that stands for 1.

    >>> park_facts()["fan"]["faults"]["imbalance"]
    {'sway': 2.4}
    """
    return {
        name: {
            "machines": {
                machine: identity(f"{name}/{machine}", seed=seed)
                for machine in kind.ids
            },
            "tolerances": {
                key: parameter.tolerance for key, parameter in kind.parameters.items()
            },
            "faults": {fault: dict(moved) for fault, moved in kind.faults.items()},
            "reference": reference_rms(name),
        }
        for name, kind in MACHINE_TYPES.items()
    }
