"""Diffusion: the way back in NumPy and against its limit, the pictures, the loss and the filter by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asdlib.clips import Clips
from asdlib.features import FeatureConfig
from asdlib.methods import Task, asd_diffusion
from asdlib.methods._denoisers import Condition, Flat, UNet
from asdlib.methods._diffusion import Diffusion, apart, beyond, denoised, noised, picture_of, shares
from asdlib.methods._task import embedded
from asdlib.training import StageConfig

FEATURES = FeatureConfig(seconds=0.25, n_mels=8)
MACHINES = ("fan/id_00", "fan/id_02", "pump/id_00")
BUDGET = StageConfig(2, 8, learning_rate=1e-3)
# ᾱ after each step, in double precision.
KEPT = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))


def sound(n=12, *, seed=0):
    rng = np.random.default_rng(seed)
    log_mels = rng.normal(-50, 5, size=(n, 8, FEATURES.frames)).astype(np.float32)
    return Clips((np.zeros((n, 1), np.int16), log_mels), [*MACHINES] * (n // 3), FEATURES)


def spectra(n=12, *, seed=0):
    x = np.random.default_rng(seed).normal(3, 2, size=(n, 1, 5, 3)).astype(np.float32)
    return Clips((x,), [*MACHINES] * (n // 3))


MAKE = {"sound": sound, "spectra": spectra}


def by_hand(noise_of, x, start, stride):
    """The way back, in NumPy: (x, t) → noise, pictures (B, ...) after ``start`` steps."""
    t = start
    while True:
        noise = noise_of(x, t)
        clean = (x - math.sqrt(1 - KEPT[t]) * noise) / math.sqrt(KEPT[t])
        if t < stride:
            return clean
        t -= stride
        x = math.sqrt(KEPT[t]) * clean + math.sqrt(1 - KEPT[t]) * noise


def test_the_shares_of_the_noising():
    kept = shares().numpy()
    np.testing.assert_allclose(kept, KEPT, rtol=1e-5)
    assert kept[280] == pytest.approx(0.443, abs=5e-4)
    assert kept[0] == pytest.approx(1 - 1e-4, abs=1e-7)


def test_noise_adds_to_a_power_of_1():
    torch.manual_seed(0)
    x, noise = torch.randn(2, 3, 40_000)
    share = torch.tensor([1.0, 0.3, 0.0])[:, None]
    mixed = noised(x, noise, share)
    torch.testing.assert_close(mixed[0], x[0])
    torch.testing.assert_close(mixed[2], noise[2])
    assert mixed[1].var().item() == pytest.approx(1, abs=0.03)
    assert (mixed[1] * x[1]).mean().item() == pytest.approx(math.sqrt(0.3), abs=0.03)


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, 999), stride=st.integers(1, 400), seed=st.integers(0, 99))
def test_the_way_back_is_ddim_whatever_the_noise_is_said_to_be(start, stride, seed):
    """The formulas in NumPy, with double precision; the last step ends at a share of 1."""
    rng = np.random.default_rng(seed)
    weights, x = rng.normal(size=(4, 4)) / 2, rng.normal(size=(3, 4))

    def noise_of(y, t):
        return np.tanh(y @ weights + t / 500)

    def in_torch(y, t):
        return torch.from_numpy(noise_of(y.numpy(), t)).float()

    found = denoised(in_torch, torch.from_numpy(x).float(), shares(), start=start, stride=stride)
    scale = np.abs(by_hand(noise_of, x, start, stride)).max()
    np.testing.assert_allclose(found, by_hand(noise_of, x, start, stride), atol=5e-5 * (1 + scale))


def test_the_way_back_is_that_of_diffusers():
    """What its ``DDIMScheduler`` made of pictures and a noise for each step (``tests/make_golden.py``)."""
    golden = json.loads((Path(__file__).parent / "golden" / "ddim.json").read_text())
    clean, noise, expected, back = (torch.tensor(golden[key]) for key in ("clean", "noise", "noised", "back"))
    said = {int(t): torch.tensor(x) for t, x in golden["said"].items()}
    start, stride = golden["start"], golden["stride"]
    assert [*said] == [280, 240, 200, 160, 120, 80, 40, 0]
    kept = shares()
    x = noised(clean, noise, kept[start])
    torch.testing.assert_close(x, expected, rtol=0, atol=5e-7)
    found = denoised(lambda y, t: said[t], x, kept, start=start, stride=stride)
    torch.testing.assert_close(found, back, rtol=0, atol=5e-6)


def of_a_gaussian(mean, spread):
    """The noise that is to be expected in what came from N(mean, spread²)."""

    def noise_of(x, t):
        return math.sqrt(1 - KEPT[t]) * (x - math.sqrt(KEPT[t]) * mean) / (KEPT[t] * spread**2 + 1 - KEPT[t])

    return noise_of


def test_of_gaussian_data_it_tends_to_what_is_known_in_closed_form():
    """Of the first order: a quarter of the stride, a quarter of the error."""
    mean, spread = 1.0, 0.5
    x = torch.from_numpy(math.sqrt(KEPT[280]) * mean + np.linspace(-3, 3, 101))
    limit = mean + spread * (x - math.sqrt(KEPT[280]) * mean) / math.sqrt(KEPT[280] * spread**2 + 1 - KEPT[280])
    kept = torch.from_numpy(KEPT)
    errors = [
        (denoised(of_a_gaussian(mean, spread), x, kept, start=280, stride=stride) - limit).abs().max().item()
        for stride in (1, 4, 35, 280)
    ]
    np.testing.assert_allclose(errors, [0.005, 0.019, 0.159, 1.039], rtol=0.05)
    assert errors[1] / errors[0] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("stride", [1, 40, 300])
def test_where_all_data_are_the_same_it_leads_there_exactly(stride):
    x = torch.randn(5, dtype=torch.float64)
    found = denoised(of_a_gaussian(2.5, 0.0), x, torch.from_numpy(KEPT), start=280, stride=stride)
    torch.testing.assert_close(found, torch.full_like(found, 2.5), atol=1e-9, rtol=0)


def test_what_is_hardly_noised_is_rebuilt_as_it_was():
    """And noised further it is not. (A network that says the clean picture itself need not.)"""
    clips = sound(24)
    model = asd_diffusion.train(clips, budget=BUDGET, device="cpu")
    rows, _ = embedded(model, clips, device="cpu")
    off = []
    for start in (0, 280):
        before, after = model.rebuilt(rows, 1, start=start)
        off.append(np.abs(after - before).max())
    assert off[0] < 0.1
    assert off[1] > 10 * off[0]


def test_a_picture_of_sound_is_means_of_a_few_cells():
    x = torch.randn(2, 128, 63)
    picture = picture_of(torch.zeros(2, 5), x)
    assert picture.shape == (2, 64, 32)
    by_hand = x[:, :, :62].reshape(2, 64, 2, 31, 2).mean(dim=(2, 4))
    torch.testing.assert_close(picture[:, :, :31], by_hand)
    torch.testing.assert_close(picture[:, :, 31], x[:, :, 62].reshape(2, 64, 2).mean(dim=2))
    assert picture_of(torch.zeros(1, 128, 313)).shape == (1, 64, 32)
    small = torch.randn(1, 8, 9)
    torch.testing.assert_close(picture_of(small), small)
    spectrum = torch.randn(3, 1, 60, 8)
    torch.testing.assert_close(picture_of(spectrum), spectrum[:, 0])


@pytest.mark.parametrize("shape", [(64, 32), (5, 3), (1, 1), (13, 32)])
def test_a_u_net_takes_pictures_of_any_size(shape):
    network = UNet(shape, 2).eval()
    out = network(torch.randn(2, *shape), torch.tensor([3, 500]), torch.tensor([0, 1]))
    assert out.shape == (2, *shape)
    assert network.middle(torch.randn(2, *shape), torch.tensor([3, 500]), None).shape == (2, network.middle_width)


@pytest.mark.parametrize("network", [UNet, Flat])
def test_time_and_machine_are_heard_and_clips_do_not_hear_each_other(network):
    torch.manual_seed(0)
    net, x = network((8, 4), 3).eval(), torch.randn(1, 8, 4).expand(4, 8, 4)
    with torch.no_grad():
        out = net(x, torch.tensor([5, 5, 700, 5]), torch.tensor([0, 1, 0, 0]))
        middle = net.middle(x, torch.tensor([5, 5, 700, 5]), None)
    torch.testing.assert_close(out[0], out[3])
    for other in (1, 2):
        assert (out[0] - out[other]).abs().max() > 1e-3
    torch.testing.assert_close(middle[0], middle[1])
    assert (middle[0] - middle[2]).abs().max() > 1e-3


def test_times_are_told_by_sines_and_cosines_of_64_rates():
    condition = Condition(2, 4)
    condition.of_time = torch.nn.Identity()
    torch.nn.init.ones_(condition.of_label.weight)
    told = condition(torch.tensor([7]), torch.tensor([1]))[0].detach().numpy()
    plain = np.array([math.sin(7), math.sin(0.07), math.cos(7), math.cos(0.07)])
    np.testing.assert_allclose(told, (plain + 1) / (1 + np.exp(-(plain + 1))), rtol=1e-5)
    silent = condition(torch.tensor([7]), None)[0].detach().numpy()
    np.testing.assert_allclose(silent, plain / (1 + np.exp(-plain)), rtol=1e-4)


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_each_type_has_a_scale_of_its_own(kind):
    clips = MAKE[kind](24)
    model = asd_diffusion.train(clips, budget=BUDGET, device="cpu")
    for place, name in enumerate(["fan", "pump"]):
        own = picture_of(torch.from_numpy(clips.inputs[-1][clips.types == name])).numpy()
        axes = (0, 2) if kind == "sound" else 0
        np.testing.assert_allclose(model.mean[place].squeeze(-1 if kind == "sound" else ()), own.mean(axis=axes), rtol=1e-4)
        np.testing.assert_allclose(model.spread[place].squeeze(-1 if kind == "sound" else ()), own.std(axis=axes), rtol=1e-3)
    x = torch.from_numpy(clips.inputs[-1][:3])
    z = model.standardised(picture_of(x), torch.tensor([0, 1, 2])).numpy()
    for i, place in enumerate((0, 0, 1)):  # two fans and a pump
        expected = (picture_of(x)[i].numpy() - model.mean[place].numpy()) / model.spread[place].numpy()
        np.testing.assert_allclose(z[i], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_the_loss_by_hand(kind):
    clips = MAKE[kind](6)
    model = Diffusion(Task.of(clips)).eval()
    model.set_scales(clips)
    inputs, labels = (torch.from_numpy(clips.inputs[-1]),), torch.from_numpy(clips.labels)
    loss = asd_diffusion.noise_objective(model, inputs, labels, np.random.default_rng(4)).item()
    rng = np.random.default_rng(4)
    times = rng.integers(1000, size=6)
    noise = rng.standard_normal((6, *model.shape), np.float32)
    total = 0.0
    for i, t in enumerate(times):
        x = model.standardised(picture_of(*inputs)[i : i + 1], labels[i : i + 1]).numpy()
        seen = math.sqrt(KEPT[t]) * x + math.sqrt(1 - KEPT[t]) * noise[i]
        with torch.no_grad():
            said = model.network(torch.from_numpy(seen).float(), torch.tensor([t]), labels[i : i + 1]).numpy()
        if kind == "sound":
            total += np.mean((said - noise[i]) ** 2)
        else:  # the network says the clean picture, and the weight is that of the power left over that of the noise
            total += min(KEPT[t] / (1 - KEPT[t]), 5) * np.mean((said - x) ** 2)
    assert loss == pytest.approx(total / 6, rel=1e-3)


def test_the_filter_counts_the_top_tenth_of_what_is_more_and_nothing_that_is_less():
    before, after = np.zeros((3, 4, 5), np.float32), np.zeros((3, 4, 5), np.float32)
    before[0, 1, 2], before[0, 3, 3], before[0, 0, 0] = 8, 4, 1  # of 20 cells two count
    before[1] = -3
    after[2, :2] = 5
    np.testing.assert_allclose(beyond(before, after), [6, 0, 0])
    np.testing.assert_allclose(apart(before, after), [13 / 20, 3, 2.5])
    assert beyond(np.full((1, 2, 2), 2.0), np.zeros((1, 2, 2)))[0] == 2  # one cell, where a tenth is less


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_the_scores_by_hand(kind):
    known, asked = MAKE[kind](24), MAKE[kind](6, seed=1)
    model = asd_diffusion.train(known, budget=BUDGET, device="cpu")
    scores = asd_diffusion.score(model, known, asked, device="cpu")
    pictures = picture_of(torch.from_numpy(asked.inputs[-1]))
    assert len(model.noise) == (1 if kind == "sound" else 4)
    for i, label in enumerate(asked.labels):
        own = torch.tensor([label])
        z, found = model.standardised(pictures[i : i + 1], own), []

        def noise_of(x, t, own=own):
            with torch.no_grad():
                return model.noise_in(torch.from_numpy(x).float(), torch.tensor([t]), own).double().numpy()

        for noise in model.noise.numpy():
            x = math.sqrt(KEPT[280]) * z.numpy() + math.sqrt(1 - KEPT[280]) * noise
            found.append(by_hand(noise_of, x, 280, 40))
        off = (z.numpy() - np.mean(found, axis=0)).ravel()
        assert scores["error"][i] == pytest.approx(np.abs(off).mean(), rel=1e-3)
        count = max(1, round(0.1 * len(off)))
        assert scores["filter"][i] == pytest.approx(np.sort(off.clip(min=0))[-count:].mean(), rel=1e-3, abs=1e-4)


def test_the_same_noise_for_every_clip_in_every_call():
    known = spectra(24)
    model = asd_diffusion.train(known, budget=BUDGET, device="cpu")
    rows, _ = embedded(model, known, device="cpu")
    judges = asd_diffusion.judge(model, rows[:0], 0)
    first = judges["filter"](rows[:5])
    np.testing.assert_array_equal(judges["filter"](rows[:5]), first)
    other = judges["filter"](rows[5:9])  # what was kept of the last rows is not taken for these
    np.testing.assert_allclose(asd_diffusion.judge(model, rows[:0], 0)["filter"](rows[4:9])[1:], other, rtol=1e-4)
    many = np.tile(rows[:1], (70, 1))  # more than are rebuilt at a time
    assert judges["error"](many).shape == (70,)
    np.testing.assert_allclose(judges["error"](many), judges["error"](rows[:1])[0], rtol=1e-4)


def test_a_fault_that_takes_away_is_seen_by_the_error_and_not_by_the_filter():
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=(1, 1, 6, 4))

    def clips(n, *, change=0.0):
        x = pattern + 0.3 * rng.normal(size=(n, 1, 6, 4))
        x[:, :, 2:4] += change
        return Clips((x.astype(np.float32),), ["fan/id_00"] * n)

    known = clips(60)
    model = asd_diffusion.train(known, budget=StageConfig(60, 20, 1e-3, cosine_from=0), device="cpu")
    healthy, more, less = (asd_diffusion.score(model, known, clips(20, change=x), device="cpu") for x in (0.0, 3.0, -3.0))
    for scorer in ("filter", "error"):
        assert more[scorer].min() > healthy[scorer].max()
    assert less["error"].min() > healthy["error"].max()
    assert less["filter"].mean() < 0.5 * more["filter"].mean()
