"""What a leaderboard says of the size of a method is the size of what scores clips."""

import numpy as np
import pytest
import torch
from torch import nn

from asdlib import methods
from asdlib.clips import Clips
from asdlib.features import FeatureConfig
from asdlib.methods import Task, _diffusion, pruned
from asdlib.use.jobs import size_of

FEATURES = FeatureConfig(sample_rate=16000, seconds=0.5)
MACHINES = ("fan/id_00", "fan/id_02", "pump/id_00", "pump/id_02")
# Nothing of theirs learns, or nothing that scores: clips are summed up, and not multiplied by weights.
OF_NUMBERS = {"nearest", "twfr_gmm", "generated_anomalies"}


def clips_of(kind, count=24, seed=0):
    rng = np.random.default_rng(seed)
    machines = np.repeat(MACHINES, count // 4)
    if kind == "spectra":
        return Clips((rng.normal(size=(count, 1, 60, 8)).astype(np.float32),), machines)
    waves = 0.1 * rng.normal(size=(count, FEATURES.samples))
    mels = rng.normal(size=(count, FEATURES.n_mels, FEATURES.frames))
    return Clips((waves.astype(np.float32), mels.astype(np.float32)), machines, FEATURES)


def size(name, model, clips):
    return size_of(methods.in_use(name, model, clips), clips)


@pytest.mark.parametrize("name", methods.every_name())
def test_each_network_multiplies_and_each_multiplication_is_of_a_parameter(name):
    method = methods.get(name)
    kind = method.INPUTS[0]
    clips = clips_of(kind)
    found = size(name, method.untrained(Task.of(clips)).eval(), clips)
    if name in OF_NUMBERS:
        assert found["parameters"] == found.get("macs", 0) == 0
    else:
        assert found["parameters"] > 0
        assert found["macs"] > 0


@pytest.mark.parametrize("name", ["asd_diffusion", "diffusion_id"])
def test_diffusion_runs_its_network_once_a_step_of_the_way_back(name):
    clips = clips_of("sound")
    model = methods.get(name).untrained(Task.of(clips)).eval()
    times, labels = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)

    class Once(nn.Module):
        def embed(self, *inputs):
            return model.network(_diffusion.picture_of(*inputs), times, labels)

    once = size_of(Once(), clips)["macs"]
    steps = len(range(_diffusion.START, -1, -_diffusion.STRIDE))
    assert steps == 8
    assert size(name, model, clips)["macs"] == steps * once > 1e5


def test_attention_is_counted_as_by_hand():
    """Of the transformers of frames: two layers on either side, on four tokens for each place."""
    clips = clips_of("sound")
    model = methods.get("trans_ae").untrained(Task.of(clips)).eval()
    network = next(iter(model.networks))
    places, d = FEATURES.frames - 4, network.width
    hidden = network.encoder[0].linear1.out_features
    layer = 4 * (4 * d * d + 2 * d * hidden) + 2 * 4 * 4 * d
    ends = 4 * (2 * d * 8) + d * FEATURES.n_mels  # into the bottleneck and out of it
    ends += 8 * 8 + 8 * 2  # two machines of a type
    assert size("trans_ae", model, clips)["macs"] == 2 * places * (4 * layer + ends)


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_a_pruned_network_is_as_large_as_what_is_left_of_it(kind):
    clips = clips_of(kind)
    model = methods.trained(pruned, clips, budget=pruned.BUDGET.of(2), seed=0, device="cpu")
    whole, left = size_of(model, clips), size("pruned", model, clips)
    assert left["parameters"] < whole["parameters"]
    assert left["macs"] < 0.95 * whole["macs"]
