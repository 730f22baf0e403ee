"""What the chapter "Contrast two views of a clip" asks."""

import math

import numpy as np
import torch

from checks import Hint, Question

QUESTIONS = {
    "guess": Question(
        "A valve that leaks hisses between its clicks. After which disguise will a healthy valve sound most like it?",
        {
            "a time mask: a stretch of silence": "Silence takes a hiss away; a leak adds one.",
            "a band mask: a band of pitches removed": "The hiss of a leak has its own band, but a mask can only remove it.",
            "a gain: louder or quieter": "A gain moves the clicks and the hiss together; a leak moves the hiss alone.",
            "noise: white noise on top": "White noise fills the pauses between the clicks, as the leak does.",
            "a shift: another starting moment": "A shift moves the clicks and keeps the pauses as quiet as they were.",
        },
        seal=3152325241,
    ),
    "negatives": Question(
        "A batch holds clip A of fan 00, its disguised twin, and clip B of fan 00, healthy like A. What does this loss do to B?",
        {
            "it pulls B towards A": "That needs to know that A and B come from one machine, and this loss knows the clip number only.",
            "it pushes B away from A": "Whatever is not a view of the same clip is a negative, a clip of the same machine as well.",
            "it leaves B alone": "Every clip of the batch stands in the denominator, so every one feels the loss.",
        },
        seal=2813247469,
    ),
    "gain": Question(
        "A network is trained until a gain changes nothing in its embedding. Which recording can it no longer notice?",
        {
            "a fan whose bearing crackles at 3 kHz": "The crackle changes the balance between the pitches, and a gain keeps that balance.",
            "a fan that has become louder as a whole": "Louder as a whole is what a gain does, so the two look alike to that network.",
            "a valve that closes late": "A late click is a matter of time, and a gain moves nothing in time.",
        },
        seal=223568937,
    ),
}


def _peak(row: torch.Tensor) -> float:
    """The strongest pitch of a waveform, Hz."""
    spectrum = torch.fft.rfft(row * torch.hann_window(len(row)))
    return float(spectrum.abs().argmax()) * 16000 / len(row)


def faster(function):
    time = torch.arange(16000) / 16000
    x = torch.stack([torch.sin(2 * math.pi * f * time) for f in (500, 1200)])
    answer = function(x.clone(), 1.25)
    if answer is None or answer is ...:
        raise Hint(
            "The function returns nothing yet: end it with return and the new waveforms."
        )
    if not torch.is_tensor(answer) or answer.shape != x.shape:
        raise Hint(
            "Return a tensor of the shape of x, (clips, samples): a faster clip is over early, so let it begin again (% n)."
        )
    found = [_peak(row) for row in answer]
    if all(
        abs(f - want) < 8 for f, want in zip(found, (400, 960), strict=True)
    ):
        raise Hint(
            "Yours plays slower: sample i of the new clip lies at the place i * factor of the old one, not i / factor."
        )
    if all(
        abs(f - want) < 8 for f, want in zip(found, (500, 1200), strict=True)
    ):
        raise Hint(
            "The pitches stay where they were: read the old clip at the places i * factor."
        )
    if not all(
        abs(f - want) < 8 for f, want in zip(found, (625, 1500), strict=True)
    ):
        raise Hint(
            f"At 1.25 times the speed, tones of 500 and 1,200 Hz come out at {found[0]:.0f} and {found[1]:.0f} Hz."
        )
    random = torch.from_numpy(
        np.random.default_rng(0).standard_normal((3, 999)).astype(np.float32)
    )
    if not torch.allclose(function(random.clone(), 1.0), random, atol=1e-4):
        raise Hint("At a factor of 1 the clips should come back unchanged.")
    smooth = function(x[:, :1600].clone(), 1.13)[0]
    want = torch.sin(2 * math.pi * 500 * 1.13 * torch.arange(1200) / 16000)
    if (smooth[:1200] - want).abs().max() > 0.05:
        raise Hint(
            "The tone is rough: between two samples take a weighted mean of both, not the nearest one."
        )


def imitates(answer):
    right = {
        "time mask": None,
        "band mask": None,
        "gain": "gain",
        "noise": "snr",
        "shift": "start",
    }
    if not isinstance(answer, dict) or set(answer) != set(right):
        raise Hint(
            "Give a dictionary with the five names of AUGMENTATIONS as keys."
        )
    if any(value is ... for value in answer.values()):
        raise Hint(
            "Replace each ... by the name of a nuisance parameter, or by None."
        )
    hints = {
        "time mask": "A passing event adds a sound, and no parameter of the park makes a running machine silent for a while.",
        "band mask": "The colour of a microphone tilts a spectrum by a dB or so per octave; it removes no band.",
        "gain": "Which parameter makes the whole recording louder, machine and background alike?",
        "noise": "Which parameter says how far the background lies below the machine?",
        "shift": "Which parameter says at what point of its cycle the machine is when the recording starts?",
    }
    for name, value in right.items():
        if answer[name] != value:
            raise Hint(f"{name}: {hints[name]}")
