"""Robust and light: levels divided out, branches folded into one convolution, and two versions of a clip alike."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from asdlib.clips import Clips
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import Task, robust_light
from asdlib.methods._parallel import Parallel
from asdlib.methods.robust_light import Front, LightEncoder, pcen, robust_objective, slow, version
from asdlib.training import StageConfig
from asdlib.use.jobs import size_of

FEATURES = FeatureConfig(seconds=1.0, n_mels=32)
SOUND, SPECTRA = Task(("a/0", "a/1"), FEATURES), Task(("a/0", "a/1"), None, (12, 4))
S, AL, DE, R, EPS = 0.025, 0.98, 2.0, 0.5, 1e-6


def count(module):
    return sum(p.numel() for p in module.parameters())


def log_mels(n=3, *, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(-20, 8, size=(n, 32, 40)))


# ------------------------------------------------------------------------------------------------------------------ levels


def test_the_slow_average_is_the_recursion_and_pcen_its_formula():
    x = log_mels()
    energy = 10 ** (x.numpy() / 10)
    m = energy[:, :, 0]
    for t in range(40):
        m = (1 - S) * m + S * energy[:, :, t]
        expected = (energy[:, :, t] / (EPS + m) ** AL + DE) ** R - DE**R
        np.testing.assert_allclose(slow(torch.from_numpy(energy))[:, :, t], m, rtol=1e-12)
        np.testing.assert_allclose(pcen(x)[:, :, t], expected, rtol=1e-10)


@pytest.mark.parametrize("decibels", [-60.0, -10.0, 25.0])
def test_what_is_steady_has_the_closed_form_from_the_first_frame_on(decibels):
    energy = 10 ** (decibels / 10)
    expected = (energy / (EPS + energy) ** AL + DE) ** R - DE**R
    np.testing.assert_allclose(pcen(torch.full((1, 4, 300), decibels, dtype=torch.float64)), expected, rtol=1e-9)


def test_a_step_up_comes_and_goes_while_the_logarithm_stays():
    """So the value behind it tends to the closed form of the new level."""
    x = torch.full((1, 1, 1000), -20.0, dtype=torch.float64)
    x[:, :, 100:] = 0.0
    y = pcen(x)[0, 0]
    assert y[100] > 3 * y[99]
    assert (y[100:].diff() <= 0).all()
    assert y[-1] == pytest.approx(pcen(torch.zeros(1, 1, 1, dtype=torch.float64)).item(), rel=1e-6)


def test_ten_times_as_loud_moves_it_far_less_than_20_db_move_the_logarithm():
    x = log_mels()
    moved, spread = (pcen(x + 20) - pcen(x)).abs().mean(), pcen(x).std()
    assert moved < 0.2 * spread
    assert x.std() < 10  # of the logarithm the same step is two spreads
    louder = x + 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust_light, "ALPHA", 1.0)
        torch.testing.assert_close(pcen(louder), pcen(x), rtol=1e-2, atol=1e-4)  # but for epsilon


def test_the_front_is_standardised_pcen_and_without_it_the_logarithm():
    x = log_mels(30).float()
    for dynamic, seen in ((True, pcen(x)), (False, x)):
        image = Front(32, sound=True, dynamic=dynamic).train()(x)
        mean, spread = seen.mean(dim=(0, 2), keepdim=True), seen.std(dim=(0, 2), correction=0, keepdim=True)
        torch.testing.assert_close(image, ((seen - mean) / spread)[:, None], rtol=1e-3, atol=1e-3)


def test_of_a_spectrum_the_mean_level_is_taken_off_and_modulations_are_channels():
    x = torch.randn(40, 1, 12, 4)
    x[:, :, 5] += torch.randn(40, 1, 4)
    level = torch.randn(40, 1, 1, 1)
    front, plain = (Front(48, sound=False, dynamic=dynamic) for dynamic in (True, False))
    torch.testing.assert_close(front(x + level), front(x), rtol=1e-4, atol=1e-4)
    assert (plain(x + level) - plain(x)).abs().max() > 0.1
    z = x - x.mean(dim=(2, 3), keepdim=True)
    z = (z - z.mean(dim=0)) / z.std(dim=0, correction=0)
    torch.testing.assert_close(front(x), z[:, 0].transpose(1, 2), rtol=1e-3, atol=1e-3)


# ----------------------------------------------------------------------------------------------------------------- network


def random_norms(module):
    """The module in evaluation mode, with batch norms that do something."""
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for values in (norm.running_mean, norm.bias):
                if values is not None:
                    values.data.normal_()
            for values in (norm.running_var, norm.weight):
                if values is not None:
                    values.data.uniform_(0.5, 2.0)
    return module.eval()


def unfolded(layer, x):
    """The sum of the branches of a layer in evaluation mode."""
    parts = [norm(branch(x)) for branch, norm in zip(layer.branches, layer.norms, strict=True)]
    return sum(parts if layer.past is None else [*parts, layer.past(x)])


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(
    ("cin", "cout", "kernel", "options", "branches"),
    [
        (6, 6, 3, {"groups": 6}, 3),
        (6, 6, 3, {"groups": 6, "stride": 2}, 2),
        (6, 6, 3, {"groups": 2}, 3),
        (6, 4, 3, {}, 2),
        (6, 6, 1, {}, 2),
        (6, 4, 1, {}, 1),
        (6, 6, 3, {"branched": False}, 1),
    ],
)
def test_folded_it_is_one_convolution_that_does_the_same(dims, cin, cout, kernel, options, branches):
    torch.manual_seed(0)
    layer = random_norms(Parallel(cin, cout, kernel, dims=dims, **options))
    assert len(layer.branches) + (layer.past is not None) == branches
    x = torch.randn(3, cin, *[11] * dims)
    torch.testing.assert_close(layer(x), unfolded(layer, x), rtol=1e-5, atol=1e-5)
    weight, bias = layer.folded()
    assert weight.shape == layer.branches[0].weight.shape
    assert bias.shape == (cout,)


def test_in_training_each_branch_has_its_batch_norm():
    torch.manual_seed(0)
    layer, x = Parallel(4, 4, 3, dims=2, groups=4).train(), torch.randn(5, 4, 6, 6)
    parts = [layer.branches[0](x), F.conv2d(x, layer.branches[1].weight, groups=4), x]
    normed = [(y - y.mean(dim=(0, 2, 3), keepdim=True)) / y.std(dim=(0, 2, 3), correction=0, keepdim=True) for y in parts]
    torch.testing.assert_close(layer(x), sum(normed), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("task", [SOUND, SPECTRA])
def test_the_whole_network_folded_is_the_network(task, monkeypatch):
    torch.manual_seed(0)
    network = random_norms(LightEncoder(task)).double()
    x = log_mels(4).double() if task is SOUND else torch.randn(4, 1, 12, 4).double()
    folded = network(x)
    assert folded.shape == (4, 64)
    monkeypatch.setattr(Parallel, "forward", unfolded)
    torch.testing.assert_close(network(x), folded, rtol=1e-9, atol=1e-9)


def test_it_is_as_light_as_told():
    machines = tuple(f"a/{i:02d}" for i in range(23))
    of_sound = robust_light.untrained(Task(machines, FeatureConfig(seconds=2.0)))
    assert count(of_sound) == 58_839
    layers = [m for m in of_sound.modules() if isinstance(m, Parallel)]
    assert len(layers) == 11
    folded = sum(weight.numel() + bias.numel() for weight, bias in (layer.folded() for layer in layers))
    assert count(of_sound) - sum(map(count, layers)) + folded == 56_823
    assert count(robust_light.untrained(Task(machines, None, (60, 8)))) == 41_623
    assert count(robust_light.untrained(Task(machines, FeatureConfig(seconds=10.0)))) == 58_839


def test_branches_cost_no_multiplication_in_use():
    """Of two seconds; the slow average of the energies is a matrix product here, and counted as one."""
    task = Task(("fan/id_00", "fan/id_02"), FeatureConfig(seconds=2.0))
    x = np.zeros((1, 128, task.features.frames), np.float32)
    clips = Clips((np.zeros((1, 1), np.float32), x), ["fan/id_00"], task.features)
    options = {}, {"branched": False}, {"dynamic": False}
    whole, single, still = (size_of(robust_light.untrained(task, **off).eval(), clips) for off in options)
    assert whole["macs"] == single["macs"] == still["macs"] + 128 * task.features.frames**2
    assert whole["macs"] < 5e6
    assert single["parameters"] < whole["parameters"] == still["parameters"]


def test_a_clip_of_any_length_is_heard_and_its_waveform_is_not():
    torch.manual_seed(0)
    network = LightEncoder(SOUND).eval()
    x = log_mels(2).float()
    rows = network(torch.zeros(2, 5), x)
    assert torch.equal(rows, network(torch.ones(2, 9), x))
    assert network(x.repeat(1, 1, 4)).shape == (2, 64)
    assert not torch.allclose(rows, network(x.flip(2)))


# --------------------------------------------------------------------------------------------------------------- versions


def test_a_version_has_a_gain_and_noise_below_the_clip(monkeypatch):
    """With one of them off, the other is seen alone."""
    x = log_mels(400)
    monkeypatch.setattr(robust_light, "NOISE", (300.0, 300.0))
    (louder,) = version(x, np.random.default_rng(0), ten=10.0)
    moved = louder - x
    assert moved.std(dim=(1, 2)).max() < 1e-9
    by = moved.mean(dim=(1, 2))
    assert by.min() == pytest.approx(-10, abs=0.3)
    assert by.max() == pytest.approx(10, abs=0.3)
    monkeypatch.undo()
    monkeypatch.setattr(robust_light, "GAIN", 0.0)
    (noisy,) = version(x, np.random.default_rng(0), ten=10.0)
    power, added = 10 ** (x / 10), 10 ** (noisy / 10) - 10 ** (x / 10)
    ratio = 10 * torch.log10(power.mean(dim=(1, 2)) / added.mean(dim=(1, 2)))
    assert 9.5 < ratio.min() < 11
    assert 29 < ratio.max() < 30.5
    assert (added >= -1e-12).all()
    assert added.std(dim=(1, 2)).div(added.mean(dim=(1, 2))).mean() == pytest.approx(1, abs=0.05)  # of an exponential chance


def test_a_spectrum_in_tens_has_the_version_of_one_in_decibels():
    x = log_mels(4)
    (tens,), (decibels,) = (version(x / 10 * ten, np.random.default_rng(3), ten=ten) for ten in (1.0, 10.0))
    torch.testing.assert_close(10 * tens, decibels)


def test_a_version_of_the_log_mel_is_close_to_the_log_mel_of_a_louder_sound(monkeypatch):
    monkeypatch.setattr(robust_light, "GAIN", 6.0)
    monkeypatch.setattr(robust_light, "NOISE", (200.0, 200.0))  # decibels below: none

    class Highest:
        """The upper end of what is drawn from."""

        def uniform(self, low, high, size):
            return np.full(size, high)

        def standard_exponential(self, size, dtype):
            return np.ones(size, dtype)

    wave = 0.1 * np.random.default_rng(0).normal(size=16000)
    (louder,) = version(log_mel(wave[None], FEATURES), Highest(), ten=10.0)
    torch.testing.assert_close(louder, log_mel(10 ** (6 / 20) * wave[None], FEATURES), rtol=1e-3, atol=1e-3)


class Head(nn.Module):
    """Embeddings as they are given, and logits that are a part of them."""

    def forward(self, x):
        return x, x[:, :2]


def test_the_loss_is_the_cross_entropy_of_both_and_the_distance_of_the_two():
    x, y = torch.randn(6, 8), torch.arange(6) % 2
    seen = []

    def view(whole, rng):
        seen.append(whole + torch.as_tensor(rng.normal(size=whole.shape)).float())
        return (seen[-1],)

    for weight in (0.0, 0.5, 2.0):
        seen.clear()
        loss = robust_objective(Head(), (x,), y, np.random.default_rng(0), view=view, weight=weight)
        one, other = seen
        cross = (F.cross_entropy(one[:, :2], y) + F.cross_entropy(other[:, :2], y)) / 2
        cosine = (F.normalize(one) * F.normalize(other)).sum(dim=1)
        assert (1 - cosine).mean() > 0.1
        torch.testing.assert_close(loss, cross + weight * (1 - cosine).mean())


def test_identical_versions_cost_nothing():
    x, y = torch.randn(6, 8), torch.arange(6) % 2
    losses = [robust_objective(Head(), (x,), y, np.random.default_rng(0), view=lambda z, _: (z,), weight=w) for w in (0.0, 5.0)]
    torch.testing.assert_close(losses[0], losses[1])


# ------------------------------------------------------------------------------------------------------------------ method


def spectra(seed=0, n=16):
    x = np.random.default_rng(seed).normal(size=(2 * n, 1, 12, 4)).astype(np.float32)
    x[n:, :, :4] += 2
    return Clips((x,), ["a/0"] * n + ["a/1"] * n)


def test_each_measure_can_be_left_out():
    train = partial(robust_light.train, spectra(), budget=StageConfig(2, 16, 1e-3), device="cpu")
    whole, levels, single, alone = (
        train(**options) for options in ({}, {"dynamic": False}, {"branched": False}, {"consistency": 0.0})
    )
    assert count(single) < count(whole) == count(levels) == count(alone)
    assert not levels.encoder.front.dynamic
    for other in (levels, alone):
        assert not torch.equal(other.encoder.project.weight, whole.encoder.project.weight)
    scores = robust_light.score(whole, spectra(), spectra(1), device="cpu")
    assert tuple(scores) == robust_light.SCORERS


def test_a_trained_network_moves_less_under_a_gain_than_one_that_sees_levels():
    """That is what it is for. Scores of louder clips, in spreads of the scores."""
    known, asked = spectra(), spectra(1)
    louder = Clips((asked.inputs[0] + 1,), asked.machines)

    def moved(**options):
        model = robust_light.train(known, budget=StageConfig(4, 16, 1e-3), device="cpu", **options)
        before, after = (robust_light.score(model, known, clips, device="cpu")["knn"] for clips in (asked, louder))
        return np.abs(after - before).mean() / before.std()

    assert moved() < 1e-3
    assert moved(dynamic=False, consistency=0.0) > 0.1
