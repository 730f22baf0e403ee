"""The six machine types of the simulated park, by the names of DCASE 2020 Task 2.

What each is made of, what may break, and how it sounds is written down in
:mod:`asdlib.park.factory_machines` and :mod:`asdlib.park.toy_machines`, in the terms of
:mod:`asdlib.park.parts`.

>>> sorted(MACHINE_TYPES["valve"].faults)
['contamination', 'late closing', 'leak', 'worn seat']
"""

from asdlib.park.factory_machines import FAN, PUMP, SLIDER, VALVE
from asdlib.park.parts import MachineType, Nuisance, Parameter
from asdlib.park.toy_machines import TOY_CAR, TOY_CONVEYOR

__all__ = ["MACHINE_TYPES", "MachineType", "Nuisance", "Parameter"]

MACHINE_TYPES: dict[str, MachineType] = {
    "fan": FAN,
    "pump": PUMP,
    "slider": SLIDER,
    "valve": VALVE,
    "ToyCar": TOY_CAR,
    "ToyConveyor": TOY_CONVEYOR,
}
