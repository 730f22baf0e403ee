"""TWFR-GMM: the pooling by rank, the Gaussians against scipy, and settings chosen without a fault."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf

from asdlib import methods
from asdlib.clips import Clips
from asdlib.features import FeatureConfig, log_mel
from asdlib.methods import twfr_gmm
from asdlib.methods._task import Task, embedded
from asdlib.methods.twfr_gmm import COMPONENTS, GRID, fit_gaussians, pooled, surprise
from asdlib.training import StageConfig

FEATURES = FeatureConfig(sample_rate=8000, seconds=0.5, n_fft=256, hop_length=128, n_mels=12, f_max=4000.0)
FRAMES = FEATURES.frames


def rng(seed=0):
    return np.random.default_rng(seed)


def log_mels(n=3, *, seed=0):
    return torch.from_numpy(rng(seed).normal(-40, 10, size=(n, 12, FRAMES)).astype(np.float32))


# --------------------------------------------------------------------------------------------------------------- pooling


def test_one_is_the_mean_over_time_and_nought_the_maximum():
    x = log_mels()
    torch.testing.assert_close(pooled(x, 1.0), x.mean(dim=2))
    assert torch.equal(pooled(x, 0.0), x.amax(dim=2))


@settings(max_examples=25, deadline=None)
@given(r=st.floats(0, 1), seed=st.integers(0, 999))
def test_the_loudest_frames_count_most_by_a_plain_loop(r, seed):
    x = log_mels(2, seed=seed)
    got = pooled(x, r).numpy()
    for i in range(2):
        for band in range(12):
            ordered = sorted(x[i, band].double().tolist(), reverse=True)
            weights = [r**place for place in range(FRAMES)]
            expected = sum(w * v for w, v in zip(weights, ordered, strict=True)) / sum(weights)
            assert got[i, band] == pytest.approx(expected, rel=1e-5)


def test_it_falls_with_r_and_does_not_care_for_the_order_of_the_frames():
    x = log_mels()
    by_r = torch.stack([pooled(x, r) for r in sorted(GRID)])
    assert (by_r.diff(dim=0) < 0).all()
    turned = x[:, :, torch.from_numpy(rng().permutation(FRAMES))]
    for r in GRID:
        torch.testing.assert_close(pooled(turned, r), pooled(x, r))


def test_a_row_holds_the_bands_by_every_r_side_by_side():
    model = twfr_gmm.untrained(Task(("fan/id_00", "pump/id_00"), FEATURES))
    x = log_mels()
    rows = model.embed(torch.zeros(3, FEATURES.samples), x).numpy()
    assert rows.shape == (3, model.embedding_dim)
    for place, r in enumerate(GRID):
        np.testing.assert_array_equal(model.rows_of(rows, place), pooled(x, r).numpy())
    assert model.chosen.tolist() == [[0, 0], [0, 0]]  # r = 0.9, K = 1
    assert (GRID[0], COMPONENTS[0]) == (0.9, 1)


# ------------------------------------------------------------------------------------------------------------- Gaussians


def covariance(part, dimensions):
    """The whole matrix of one Gaussian."""
    across = np.eye(dimensions) - part.axes.T @ part.axes
    return part.axes.T @ np.diag(part.inside) @ part.axes + part.rest * across


def clouds(n, dimensions=20, *, seed=0):
    """Two clouds of rows, each with a shape of its own."""
    turn = rng(7).normal(size=(2, dimensions, dimensions))
    which = np.arange(n) % 2
    x = rng(seed).normal(size=(n, dimensions))
    return np.stack([8 * k + row @ turn[k] for k, row in zip(which, x, strict=True)])


@pytest.mark.parametrize("count", COMPONENTS)
@pytest.mark.parametrize("clips", [12, 60, 300])  # fewer than dimensions, and more
def test_the_score_is_minus_the_log_of_the_highest_density(count, clips):
    gaussians = fit_gaussians(clouds(clips), count)
    assert len(gaussians.parts) == count
    asked = clouds(9, seed=1)
    densities = [multivariate_normal(part.mean, covariance(part, 20)).logpdf(asked) for part in gaussians.parts]
    np.testing.assert_allclose(gaussians(asked), -np.max(densities, axis=0), rtol=1e-9)
    if count == 2:  # each is the likeliest for some: the maximum is over both
        assert set(np.argmax(densities, axis=0)) == {0, 1}


def test_one_gaussian_is_shrunk_as_sklearn_does_and_ranks_as_the_mahalanobis_distance():
    known, asked = clouds(60), clouds(9, seed=1)
    (part,) = fit_gaussians(known, 1).parts
    reference = LedoitWolf().fit(known)
    assert reference.shrinkage_ > 1 / 60  # or the least shrinkage of the package would rule
    np.testing.assert_allclose(covariance(part, 20), reference.covariance_, atol=1e-5, rtol=1e-6)
    precision = np.linalg.inv(reference.covariance_)
    distances = [mahalanobis(row, known.mean(axis=0), precision) for row in asked]
    assert np.argsort(surprise(part, asked)).tolist() == np.argsort(distances).tolist()


def test_two_gaussians_find_two_clouds_and_have_a_floor():
    known = clouds(60)
    gaussians = fit_gaussians(known, 2)
    centres = sorted(part.mean.mean() for part in gaussians.parts)
    np.testing.assert_allclose(centres, [known[::2].mean(), known[1::2].mean()], atol=0.05)
    for part in gaussians.parts:
        np.testing.assert_allclose(part.axes @ part.axes.T, np.eye(16), atol=1e-9)
        assert (part.inside >= part.rest * (1 - 1e-9)).all()
    assert len(fit_gaussians(known[:5], 2).parts) == 1  # too few for two
    same = fit_gaussians(1e-9 * rng().normal(size=(8, 20)), 2)
    assert np.isfinite(same(np.zeros((1, 20)))).all()


# -------------------------------------------------------------------------------------------------------------- choosing


def heard(waves, machines):
    waves = np.round(2**15 * waves.clip(-0.99, 0.99)).astype(np.int16)
    mels = np.stack([log_mel(wave.astype(np.float32) / 2**15, FEATURES).numpy() for wave in waves])
    return Clips((waves, mels.astype(np.float16)), machines, FEATURES)


def park(n, *, seed):
    """Two fans and two pumps in noise: fans hum softly, pumps knock at times that differ, each in a band of its own."""
    generator, time = rng(seed), np.arange(FEATURES.samples) / FEATURES.sample_rate
    waves, machines = [], []
    for name, tone in {"fan/id_00": 600, "fan/id_02": 900, "pump/id_00": 1500, "pump/id_02": 3100}.items():
        for _ in range(n):
            noise = 10 ** generator.uniform(-0.3, 0.3) * 0.01 * generator.normal(size=len(time))
            knock = np.exp(-200 * (time - generator.uniform(0.05, 0.4)) ** 2 * 100)
            loud = 0.01 if name.startswith("fan") else 0.3 * knock
            waves.append(noise + loud * np.sin(2 * np.pi * tone * time))
            machines.append(name)
    return heard(np.stack(waves), machines)


@pytest.fixture(scope="module")
def clips():
    return park(20, seed=0)


@pytest.fixture(scope="module")
def model(clips):
    return twfr_gmm.train(clips, budget=StageConfig(1), device="cpu")


def test_the_settings_are_the_best_of_the_grid_in_the_rehearsal(clips, model):
    """Scored anew, machine by machine, as any program would that has the clips of the rehearsal."""
    from asdlib.evaluation import auc
    from asdlib.methods.ensemble import rehearsal_rows
    from asdlib.rehearsal import rehearsed_faults

    learned, asked, strange = rehearsal_rows(clips, seed=0)
    heard_first, healthy = clips.only(learned), clips.only(asked)
    faults = [rehearsed_faults(healthy, clips.only(strange), seed=1000 * i) for i in range(3)]  # four clips of each: twelve
    assert healthy.names == ["fan/id_02", "pump/id_02"]
    for label, name in enumerate(healthy.names):
        found = {}
        for place, r in enumerate(GRID):
            for k, count in enumerate(COMPONENTS):
                rows = [
                    pooled(torch.from_numpy(part.of(name).log_mels.astype(np.float32)), r).numpy()
                    for part in (heard_first, healthy, *faults)
                ]
                fitted = fit_gaussians(rows[0], count)
                scores = np.concatenate([fitted(part.astype(float)) for part in rows[1:]])
                found[place, k] = auc(np.repeat([0, 1], [4, 12]), scores)
        assert found[tuple(model.chosen[label].tolist())] == max(found.values())
    assert len(set(found.values())) > 1


def test_the_r_that_tells_is_chosen_and_the_first_of_equals():
    """Rows in which one r alone tells faults from healthy clips: that one is chosen."""
    small = twfr_gmm.TimeWeighted(("fan/id_00",), 3)
    generator = rng()
    known, healthy, faults = (generator.normal(size=(n, small.embedding_dim)) for n in (30, 10, 10))
    for place in (2, 5):
        moved = faults.copy()
        moved[:, 3 * place : 3 * place + 3] += 20
        assert twfr_gmm.best_settings(small, [(known, healthy, moved)])[0] == place
    everywhere = faults + 20  # all tell them apart: the first, the one of no choice
    assert twfr_gmm.best_settings(small, [(known, healthy, everywhere)]) == (0, 0)


def test_scores_are_those_of_the_chosen_r_and_k(clips, model):
    asked = park(2, seed=1)
    chosen = twfr_gmm.untrained(Task(model.machines, FEATURES)).eval()
    chosen.chosen.copy_(torch.tensor([[6, 1], [1, 0]]))
    scores = twfr_gmm.score(chosen, clips, asked, device="cpu")["likelihood"]
    for i, machine in enumerate(asked.machines):
        r, count = {"fan": (1.0, 2), "pump": (0.0, 1)}[machine.split("/")[0]]
        known, own = (
            pooled(torch.from_numpy(part.astype(np.float32)), r).double().numpy()
            for part in (clips.of(machine).log_mels, asked.log_mels[i : i + 1])
        )
        assert scores[i] == pytest.approx(fit_gaussians(known, count)(own)[0], rel=1e-5)
    rows, machines = embedded(chosen, clips, device="cpu")
    one = twfr_gmm.judge(chosen, rows[machines == asked.machines[0]], 0)["likelihood"]
    assert one(embedded(chosen, asked, device="cpu")[0][:1])[0] == pytest.approx(scores[0], rel=1e-6)


def test_where_no_machine_can_be_spared_nothing_is_chosen(clips):
    two = clips.only(np.isin(clips.machines, ["fan/id_00", "pump/id_00"]))
    alone = twfr_gmm.train(two, budget=StageConfig(1), device="cpu")
    assert alone.chosen.tolist() == [[0, 0], [0, 0]]
    few = clips.only(np.isin(np.arange(len(clips)) % 20, (0, 1)))  # two of each: none can be held out
    assert not twfr_gmm.train(few, budget=StageConfig(1), device="cpu").chosen.any()


def test_it_is_sound_only():
    assert methods.get("twfr_gmm").INPUTS == ("sound",)
