"""Settings by generated anomalies: what the generator makes of a clip, its bound, and settings chosen without a fault."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.distributions import Normal, kl_divergence

from asdlib.clips import Clips
from asdlib.evaluation import auc
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import Task, generated_anomalies, twfr_gmm
from asdlib.methods.ensemble import fresh_rows
from asdlib.methods.generated_anomalies import LATENT, Generator, anomalies_of, generated, generator_objective, other
from asdlib.methods.twfr_gmm import COMPONENTS, GRID, fit_gaussians, pooled
from asdlib.training import StageConfig

FEATURES = FeatureConfig(sample_rate=8000, seconds=0.5, n_fft=256, hop_length=128, n_mels=12, f_max=4000.0)
FRAMES = FEATURES.frames
TONES = {"fan/id_00": 600, "fan/id_02": 900, "pump/id_00": 1500, "pump/id_02": 3100}  # Hz


def park(n, *, seed):
    """Two fans and two pumps, a tone each in noise whose level differs from clip to clip."""
    rng, time = np.random.default_rng(seed), np.arange(FEATURES.samples) / FEATURES.sample_rate
    waves = [
        10 ** rng.uniform(-0.3, 0.3) * 0.02 * rng.normal(size=len(time)) + 0.2 * np.sin(2 * np.pi * tone * time)
        for tone in TONES.values()
        for _ in range(n)
    ]
    waves = np.round(2**15 * np.stack(waves).clip(-0.99, 0.99)).astype(np.int16)
    mels = np.stack([log_mel(wave.astype(np.float32) / 2**15, FEATURES).numpy() for wave in waves])
    return Clips((waves, mels.astype(np.float16)), np.repeat(list(TONES), n), FEATURES)


@pytest.fixture(scope="module")
def clips():
    return park(20, seed=0)


@pytest.fixture(scope="module")
def model(clips):
    return generated_anomalies.train(clips, budget=StageConfig(40, 16, learning_rate=3e-3), device="cpu")


def log_mels(n=4, *, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(-40, 10, size=(n, 12, FRAMES)).astype(np.float32))


@pytest.fixture
def generator():
    torch.manual_seed(0)
    network = Generator(3, 12, FRAMES)
    network.levels.normal_(-40, 5)
    network.train()(log_mels(64), torch.arange(64) % 3)  # so that it has an idea of the spread
    network.up[-1].weight.data *= 100  # and draws more than a trace
    return network.eval()


# --------------------------------------------------------------------------------------------------------------- generator


def test_what_goes_in_comes_out_in_the_same_shape_whatever_it_is():
    for mels, frames in ((12, FRAMES), (128, 63), (17, 5), (3, 1)):
        network = Generator(2, mels, frames).eval()
        x, y = torch.randn(2, mels, frames), torch.tensor([0, 1])
        picture, rebuilt, mean, spread = network(x, y)
        assert picture.shape == rebuilt.shape == x.shape
        assert mean.shape == spread.shape == (2, LATENT)
        assert network.changed(x, y, y, mean, torch.ones(2)).shape == x.shape


def test_the_loss_is_the_bound_by_torchs_own_distributions(generator):
    x, y = log_mels(6), torch.arange(6) % 3
    picture, rebuilt, mean, spread = generator(x, y)
    bound = kl_divergence(Normal(mean, (spread / 2).exp()), Normal(0.0, 1.0)).sum()
    bound = bound - Normal(rebuilt, 1.0).log_prob(picture).sum()
    constant = picture.numel() * np.log(2 * np.pi) / 2  # of a Gaussian with variance 1
    loss = generator_objective(generator, (x,), y, np.random.default_rng(0))
    torch.testing.assert_close(loss, (bound - constant) / picture.numel(), rtol=1e-5, atol=1e-6)


def test_in_training_z_is_drawn_around_its_mean(generator):
    x, y, noise = log_mels(6), torch.arange(6) % 3, torch.randn(6, LATENT)
    _, rebuilt, mean, spread = generator(x, y, noise)
    torch.testing.assert_close(rebuilt, generator.decode(mean + torch.exp(spread / 2) * noise, y))
    assert not torch.allclose(rebuilt, generator(x, y)[1])
    seen = []
    hook = generator.register_forward_pre_hook(lambda module, given: seen.append(given[2]))
    for training in (True, False, True):
        generator_objective(generator.train(training), (x,), y, np.random.default_rng(0))
    hook.remove()
    assert seen[1] is None
    assert seen[0].shape == (6, LATENT)
    assert torch.equal(seen[0], seen[2])


def test_a_clip_is_changed_as_its_picture_is_and_by_the_share(generator):
    x, old, new = log_mels(), torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 0, 2])
    z, by = 20 * torch.randn(4, LATENT), torch.rand(4)
    picture, rebuilt, mean, _ = generator(x, old)
    above = x - generator.levels[old][:, :, None]
    spread = generator.standardise.running_var.sqrt()[:, None]
    torch.testing.assert_close(picture, (above - generator.standardise.running_mean[:, None]) / spread, rtol=1e-3, atol=1e-3)
    level = (generator.levels[new] - generator.levels[old])[:, :, None]
    assert level.abs().mean() > 1
    for given, there in ((z, z), (torch.full_like(z, torch.nan), mean)):
        whole = spread * (generator.decode(there, new) - rebuilt)
        assert whole.abs().mean() > 0.02
        changed = generator.changed(x, old, new, given, by) - x
        torch.testing.assert_close(changed, by[:, None, None] * (level + whole), rtol=1e-3, atol=1e-3)
    as_it_is = torch.full_like(z, torch.nan)
    # Nothing is changed by nothing, and where machine and state are as they were: the noise of the clip stays.
    assert torch.equal(generator.changed(x, old, new, z, torch.zeros(4)), x)
    torch.testing.assert_close(generator.changed(x, old, old, as_it_is, torch.ones(4)), x)


def test_another_machine_is_of_the_same_type_where_there_is_one():
    machines, rng = ("fan/a", "fan/b", "fan/c", "pump/a"), np.random.default_rng(0)
    assert {other(machines, 1, rng) for _ in range(50)} == {0, 2}
    assert {other(machines, 3, rng) for _ in range(50)} == {0, 1, 2}
    assert other(("fan/a",), 0, rng) == 0


def test_a_trained_generator_draws_each_machine_and_swaps_one_for_the_other(clips, model):
    """What it makes of a fan under the other fan's ID has the other's tone."""
    asked = park(6, seed=1)
    level = {name: asked.of(name).log_mels.astype(float).mean(axis=(0, 2)) for name in asked.names}
    network, fans = model.generator, asked.of("fan/id_00")
    x = torch.from_numpy(fans.log_mels.astype(np.float32))
    old, new = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
    nowhere = torch.full((6, LATENT), torch.nan)
    with torch.no_grad():
        made = network.changed(x, old, new, nowhere, torch.ones(6)).double().numpy().mean(axis=(0, 2))
    own, others = (np.abs(made - level[name]).mean() for name in ("fan/id_00", "fan/id_02"))
    assert others < 0.5 * own


# ----------------------------------------------------------------------------------------------------------------- choosing


def test_of_each_healthy_clip_there_is_one_anomaly_of_either_kind_or_more(clips, model, monkeypatch):
    healthy = clips.only(fresh_rows(clips, seed=0))
    assert len(healthy) == 16
    kinds = []

    def made(model, healthy, rng, *, swapped):
        kinds.append(swapped)
        return generated(model, healthy, rng, swapped=swapped)

    monkeypatch.setattr(generated_anomalies, "generated", made)
    rows, machines = anomalies_of(model, healthy, seed=0, device="cpu")
    assert kinds == [False, True] * 2  # four clips of a machine, twelve anomalies of each at least
    assert rows.shape == (64, model.embedding_dim)
    np.testing.assert_array_equal(machines, np.tile(healthy.machines, 4))
    again, _ = anomalies_of(model, healthy, seed=0, device="cpu")
    np.testing.assert_array_equal(rows, again)
    assert not np.array_equal(rows, anomalies_of(model, healthy, seed=1, device="cpu")[0])


def test_a_rare_state_has_the_own_machine_and_a_swap_the_own_state(clips, model, monkeypatch):
    given = []
    monkeypatch.setattr(model.generator, "changed", lambda *numbers: given.append(numbers) or numbers[0])
    healthy = clips.only(fresh_rows(clips, seed=0))
    for swapped in (False, True):
        generated(model, healthy, np.random.default_rng(0), swapped=swapped)
    (x, old, new, z, by), (_, _, foreign, nowhere, _) = given
    np.testing.assert_array_equal(x.numpy(), healthy.log_mels.astype(np.float32))
    assert old.tolist() == healthy.labels.tolist() == new.tolist()
    assert [model.machines[i] for i in foreign] == [
        {"fan/id_00": "fan/id_02", "fan/id_02": "fan/id_00", "pump/id_00": "pump/id_02", "pump/id_02": "pump/id_00"}[name]
        for name in healthy.machines
    ]
    assert nowhere.isnan().all()
    assert 2 < z.std() < 3
    assert 0 <= by.min() < by.max() <= 1


def test_the_settings_are_the_best_of_the_grid_at_what_was_generated(clips, model):
    """Scored anew, machine by machine; the generator and the Gaussians have not heard the clips that are asked."""
    fresh = fresh_rows(clips, seed=0)
    healthy, learned = clips.only(fresh), clips.only(np.setdiff1d(np.arange(len(clips)), fresh))
    rows, machines = anomalies_of(model, healthy, seed=0, device="cpu")
    for label, machine_type in enumerate(model.types):
        found = {}
        for place, r in enumerate(GRID):
            for k, count in enumerate(COMPONENTS):
                areas = []
                for name in (f"{machine_type}/id_00", f"{machine_type}/id_02"):
                    known, usual = (
                        pooled(torch.from_numpy(part.of(name).log_mels.astype(np.float32)), r).numpy()
                        for part in (learned, healthy)
                    )
                    fitted = fit_gaussians(known, count)
                    faults = rows[machines == name][:, 12 * place : 12 * place + 12]
                    scores = np.concatenate([fitted(part.astype(float)) for part in (usual, faults)])
                    areas.append(auc(np.repeat([0, 1], [4, 16]), scores))
                found[place, k] = np.mean(areas)
        assert found[tuple(model.chosen[label].tolist())] == max(found.values())
        assert max(found.values()) < 1  # not all alike easy
    assert len(set(found.values())) > 1


def test_the_generator_has_not_heard_what_it_changes(clips, monkeypatch):
    seen = {}

    def fit(network, objective, some, budget, **options):
        seen.update(rows=some.inputs[0], levels=network.levels.numpy())

    monkeypatch.setattr(generated_anomalies, "fit", fit)
    generated_anomalies.train(clips, budget=StageConfig(1), device="cpu")
    fresh = fresh_rows(clips, seed=0)
    np.testing.assert_array_equal(seen["rows"], np.delete(clips.log_mels, fresh, axis=0))
    assert len(seen["rows"]) == 64
    means = seen["rows"].astype(float).reshape(4, 16, 12, FRAMES).mean(axis=(1, 3))
    np.testing.assert_allclose(seen["levels"], means, rtol=1e-5)


def test_where_nothing_can_be_held_out_nothing_is_chosen(clips):
    few = clips.only(np.isin(np.arange(len(clips)) % 20, (0, 1)))  # two of each
    assert not generated_anomalies.train(few, budget=StageConfig(1, 8), device="cpu").chosen.any()


# ------------------------------------------------------------------------------------------------------------------ scores


def test_one_is_the_mean_over_time_nought_the_maximum_and_between_it_falls(clips, model):
    x = torch.from_numpy(clips.log_mels[::7].astype(np.float32))
    rows = model.embed(torch.zeros(len(x), 3), x)
    by_r = {r: rows[:, 12 * place : 12 * place + 12] for place, r in enumerate(GRID)}
    torch.testing.assert_close(by_r[1.0], x.mean(dim=2))
    assert torch.equal(by_r[0.0], x.amax(dim=2))
    assert (torch.stack([by_r[r] for r in sorted(GRID)]).diff(dim=0) < 0).all()


@pytest.mark.parametrize("chosen", [[[6, 0], [1, 0]], [[2, 0], [4, 0]]])
def test_the_score_is_minus_the_highest_log_density_in_any_order_of_the_frames(clips, chosen):
    model = generated_anomalies.untrained(Task.of(clips)).eval()
    model.chosen.copy_(torch.tensor(chosen))
    asked = park(2, seed=1)
    order = np.random.default_rng(0).permutation(FRAMES)
    turned = Clips((asked.waveforms, asked.log_mels[:, :, order]), asked.machines, FEATURES)
    score = partial(generated_anomalies.score, model, clips, device="cpu")
    scores = score(asked)["likelihood"]
    np.testing.assert_allclose(score(turned)["likelihood"], scores, rtol=1e-4)
    for i, machine in enumerate(asked.machines):
        r = GRID[chosen[model.types.index(machine.split("/")[0])][0]]
        known, own = (
            pooled(torch.from_numpy(part.astype(np.float32)), r).double().numpy()
            for part in (clips.of(machine).log_mels, asked.log_mels[i : i + 1])
        )
        (part,) = fit_gaussians(known, 1).parts
        across = np.eye(12) - part.axes.T @ part.axes
        covariance = part.axes.T @ np.diag(part.inside) @ part.axes + part.rest * across
        assert scores[i] == pytest.approx(-multivariate_normal(part.mean, covariance).logpdf(own[0]), rel=1e-5)


def test_no_score_uses_the_generator(clips, model):
    plain = twfr_gmm.untrained(Task.of(clips)).eval()
    plain.chosen.copy_(model.chosen)
    asked = park(2, seed=1)
    found, expected = (m.score(x, clips, asked, device="cpu") for m, x in ((generated_anomalies, model), (twfr_gmm, plain)))
    np.testing.assert_array_equal(found["likelihood"], expected["likelihood"])
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in model.generator.parameters())
