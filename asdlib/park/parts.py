"""What a machine type is made of: identity parameters, faults, and a voice.

A type is two tables and a function. The first table lists its *identity* parameters,
with a typical value, how much machines of the type differ (``spread``) and how much one
healthy machine varies from clip to clip (``tolerance``), both as standard deviations of
the logarithm. The second table lists its *faults*: each multiplies some of the *same*
parameters by a factor at severity 1 (by factor ** severity in general). The function
renders a waveform from the values. What is common to all machines of a type and drawn
anew for every clip (speed, load, place of the microphone, background) is *nuisance* and
comes in through :class:`Nuisance`; no fault ever touches it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

# From the values of the parameters (a fault's included), the nuisance, a random
# generator, the number n of samples and the sample rate in Hz: a waveform (n,).
Render = Callable[
    [Mapping[str, float], "Nuisance", np.random.Generator, int, int], np.ndarray
]


@dataclass(frozen=True)
class Parameter:
    """One identity parameter; ``unit`` says what ``typical`` is measured in."""

    typical: float
    unit: str
    spread: float = 0.25
    tolerance: float = 0.05


@dataclass(frozen=True)
class Nuisance:
    """What changes from clip to clip and tells nothing about health or identity."""

    speed: float  # relative to the type's nominal speed
    load: float  # relative; heavier load means more flow and friction noise
    start: float  # where in its cycle the machine is when the recording starts, 0..1
    gain: float  # dB, microphone distance
    colour: float  # dB per octave, microphone and mounting
    room_decay: float  # seconds, reverberation time
    room_wet: float  # level of the reverberation relative to the direct sound
    snr: float  # dB, machine above the factory background
    background_slope: float  # dB per octave, colour of the background
    events: float  # passing events (a dropped tool, a door) in the clip


@dataclass(frozen=True)
class MachineType:
    """A machine type: its parts and tolerances, its faults, its voice."""

    ids: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    faults: Mapping[str, Mapping[str, float]]
    render: Render


def hertz(typical: float, spread: float = 0.07) -> Parameter:
    """A resonance or tone of ``typical`` Hz.

    The ear and the filterbank notice a few per cent, so machines differ by no more.
    """
    return Parameter(typical, "Hz", spread=spread, tolerance=0.01)


def level(typical: float, spread: float = 0.3) -> Parameter:
    """An amplitude relative to the machine's main sound."""
    return Parameter(typical, "relative amplitude", spread=spread, tolerance=0.06)
