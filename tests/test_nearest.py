"""Plain detectors, what they look at, and scores on one scale: against scikit-learn, SciPy and cases worked out by hand."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.signal import periodogram
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import auc, by_machine
from asdlib.features import FeatureConfig, log_mel
from asdlib.fusion import surprise
from asdlib.methods import nearest
from asdlib.normalise import knn_local
from asdlib.plain import PLAIN_SCORERS, plain_knn, plain_local, plain_mahalanobis, plain_svm, standardised, sub_bands
from asdlib.scorers import cross_scores, knn_score
from asdlib.scorers import ledoit_wolf_shrinkage as our_shrinkage
from asdlib.summaries import levels, long_spectrum, modulation, view_widths, views, views_of

rng = np.random.default_rng(0)
MANY = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + 3, rng.normal(size=(15, 6)) * 4
FEW = rng.normal(size=(7, 50)) * rng.uniform(0.5, 2, 50), rng.normal(size=(5, 50))


def scaled(known, asked):
    scaler = StandardScaler().fit(known)
    return scaler.transform(known), scaler.transform(asked)


# ------------------------------------------------------------------------------------------------------ plain detectors


@pytest.mark.parametrize(("known", "asked"), [MANY, FEW])
def test_standardised_is_scikit_learns_scaling_where_every_number_varies(known, asked):
    for ours, theirs in zip(standardised(known, asked), scaled(known, asked), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_a_number_that_hardly_varies_counts_for_ten_times_the_median_one_at_most():
    known = np.array([[0.0, 0.0, 0.0, 5.0], [2.0, 4.0, 1e-6, 5.0]])  # spreads 1, 2, 5e-7 and none
    _, asked = standardised(known, known + 0.3)
    np.testing.assert_allclose(asked[0], [(0 + 0.3 - 1) / 1, (0.3 - 2) / 2, (0.3 - 5e-7) / 0.1, 0.3 / 0.1])
    np.testing.assert_allclose(standardised(known[:1], known[:1] + 0.3)[1], np.full((1, 4), 0.3))  # one clip: as it is


@pytest.mark.parametrize(("known", "asked"), [MANY, FEW])
def test_plain_knn_is_scikit_learns(known, asked):
    k, a = scaled(known, asked)
    expected = NearestNeighbors(n_neighbors=2).fit(k).kneighbors(a)[0].mean(axis=1) / np.sqrt(k.shape[1])
    np.testing.assert_allclose(plain_knn(known, asked), expected, rtol=1e-9)


@pytest.mark.parametrize(("known", "asked"), [MANY, FEW])
def test_plain_mahalanobis_is_scikit_learns_ledoit_and_wolf_if_not_shrunk_by_less_than_one_over_n(known, asked):
    k, a = scaled(known, asked)
    fitted = LedoitWolf(assume_centered=True).fit(k)
    assert fitted.shrinkage_ > 1 / len(k)
    np.testing.assert_allclose(plain_mahalanobis(known, asked), fitted.mahalanobis(a) / k.shape[1], rtol=1e-6)


@pytest.mark.parametrize(("known", "asked"), [MANY, FEW])
def test_plain_svm_is_scikit_learns_machine_on_a_logarithmic_scale(known, asked):
    k, a = scaled(known, asked)
    density = OneClassSVM(nu=max(0.1, 1 / len(k)), gamma="scale").fit(k).score_samples(a)
    ours = plain_svm(known, asked)
    assert (ours >= 0).all()
    np.testing.assert_array_equal(np.argsort(ours), np.argsort(-density))
    np.testing.assert_allclose(np.diff(ours), -np.diff(np.log(density)), rtol=1e-6)


def test_plain_local_measures_in_units_of_how_far_apart_clips_are_there():
    dense, wide = np.arange(5.0)[:, None], 100 + 10 * np.arange(5.0)[:, None]
    known = np.concatenate([dense, wide])
    # Beside the end of each group by one of its steps; around an end lie clips at 1, 2, 3 and 4 steps: 2.5 on average.
    np.testing.assert_allclose(plain_local(known, np.array([[-1.0], [150.0]])), [1 / 2.5, 1 / 2.5])
    assert plain_local(known, known).max() == pytest.approx(0, abs=1e-6)
    assert np.isfinite(plain_local(np.zeros((3, 2)), np.ones((1, 2)))).all()  # clips that are all the same


@pytest.mark.parametrize("name", PLAIN_SCORERS)
@pytest.mark.parametrize("count", [1, 2, 5, 200])
def test_what_is_far_from_the_healthy_clips_scores_higher(name, count):
    draw = np.random.default_rng(count)
    centre, elsewhere = draw.normal(size=8), 2 + draw.normal(size=8)
    known, near, far = (place + 0.1 * draw.normal(size=(n, 8)) for place, n in ((centre, count), (centre, 50), (elsewhere, 50)))
    score = PLAIN_SCORERS[name]
    assert np.isfinite(score(known, far)).all()
    assert score(known, near).max() < score(known, far).min()


@pytest.mark.parametrize("shape", [(5, 300), (300, 5), (30, 30)])
def test_the_shrinkage_is_scikit_learns_whichever_is_larger_clips_or_dimensions(shape):
    draw = np.random.default_rng(1)
    x = draw.normal(size=shape) * draw.uniform(0.2, 3, shape[1])
    assert our_shrinkage(x - x.mean(axis=0)) == pytest.approx(ledoit_wolf_shrinkage(x), rel=1e-9)
    assert our_shrinkage(np.zeros(shape)) == 0


def test_spectra_of_25600_numbers_are_scored_in_the_space_of_the_clips():
    """A covariance matrix of theirs would be 5 GB."""
    draw = np.random.default_rng(2)
    known, asked = draw.normal(size=(20, 25600)), draw.normal(size=(4, 25600))
    asked[3] += 2
    for score in PLAIN_SCORERS.values():
        assert score(known, asked).argmax() == 3


# --------------------------------------------------------------------------------------------------------- on one scale


def test_surprise_is_minus_the_log_of_the_chance_of_a_healthy_clip_that_scores_as_high():
    """Of many simulated ones, each new to n others, a share of p surprises by more than -log p."""
    draw = np.random.default_rng(3)
    for n in (3, 30):
        scores = np.exp(2 + 0.5 * draw.normal(size=(4000, n + 1)))
        found = np.array([surprise(row[:-1], row[-1:])[0] for row in scores])
        for p in (0.5, 0.1, 0.01):
            assert np.mean(found > -np.log(p)) == pytest.approx(p, rel=0.35)


def test_surprise_has_no_unit_and_goes_on_beyond_the_highest():
    usual, new = np.array([1.0, 2.0, 3.0, 5.0]), np.array([0.0, 1.0, 5.0, 50.0, 500.0])
    found = surprise(usual, new)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(surprise(1e3 * usual, 1e3 * new)[1:], found[1:], rtol=1e-6)
    assert surprise([1, 2, 3, 5], [50])[0] < surprise([1, 2, 3, 5] * 5, [50])[0]  # few clips promise less
    many = np.exp(np.random.default_rng(4).normal(size=20000))
    assert surprise(many, np.exp([1.0]))[0] == pytest.approx(-norm.logsf(1), rel=0.05)
    assert np.isfinite(surprise([2.0, 2.0, 2.0], [0.0, 2.0, 9.0])).all()  # healthy clips that score alike


@pytest.mark.parametrize(("usual", "new", "why"), [
    ([1.0], [1.0], "1 healthy clip has no spread"),
    ([], [1.0], "0 healthy clip"),
    ([1.0, np.nan], [1.0], "only finite scores from 0 on"),
    ([1.0, 2.0], [-1.0], "only finite scores from 0 on"),
    ([1.0, 2.0], [np.inf], "only finite scores from 0 on"),
])  # fmt: skip
def test_scores_that_cannot_be_compared_are_refused(usual, new, why):
    with pytest.raises(AsdError, match=why):
        surprise(usual, new)


def test_a_sum_of_surprises_finds_what_either_part_alone_would_miss():
    """Two scorers on scales of their own, each blind to the faults that the other hears."""
    draw = np.random.default_rng(5)
    usual, healthy, faulty = (np.exp(draw.normal(size=(2, n))) for n in (60, 400, 400))
    faulty[0, :200] *= 20
    faulty[1, 200:] *= 20
    scale = np.array([[1e4], [1e-4]])
    new = np.concatenate([healthy, faulty], axis=1)
    truth = np.repeat([0, 1], 400)
    parts = zip(scale * usual, scale * new, strict=True)
    both = auc(truth, np.mean([surprise(*part) for part in parts], axis=0))
    assert both > max(auc(truth, row) for row in new) + 0.15
    assert both > auc(truth, (scale * new).sum(axis=0)) + 0.15


# ---------------------------------------------------------------------------------------------------------------- views

FEATURES = FeatureConfig(seconds=4.0)


def clips(waves, machines):
    waves = np.round(2**15 * np.asarray(waves)).astype(np.int16)
    mels = np.stack([log_mel(wave / np.float32(2**15), FEATURES).numpy() for wave in waves])
    return Clips((waves, mels.astype(np.float16)), machines, FEATURES)


def time():
    return np.arange(FEATURES.samples) / FEATURES.sample_rate


def test_levels_are_mean_spread_and_percentiles_of_every_band():
    x = np.random.default_rng(6).normal(size=(3, 4, 101))
    found = levels(torch.from_numpy(x)).numpy().reshape(3, 7, 4)
    np.testing.assert_allclose(found[:, 0], x.mean(axis=2))
    np.testing.assert_allclose(found[:, 1], x.std(axis=2))
    ordered = np.sort(x, axis=2)
    for row, place in zip(range(2, 7), (5, 25, 50, 75, 95), strict=True):
        np.testing.assert_allclose(found[:, row], ordered[:, :, place])


def test_a_sound_that_swells_four_times_a_second_is_modulated_there_and_nowhere_else():
    noise = np.random.default_rng(7).normal(size=FEATURES.samples)
    waves = [0.05 * noise, 0.05 * noise * (1 + 0.9 * np.sin(2 * np.pi * 4 * time()))]
    mels = torch.from_numpy(clips(waves, ["a/0"] * 2).log_mels).double()
    found = modulation(mels, FEATURES).numpy().reshape(2, 8, 32)
    edges = np.geomspace(0.75, FEATURES.sample_rate / FEATURES.hop_length / 2, 9)
    at = np.searchsorted(edges, 4.0) - 1
    stronger = (found[1] - found[0])[:, 8:].mean(axis=1)
    assert stronger.argmax() == at
    assert stronger[at] > 10
    assert abs(stronger[0]) < 3


def test_bands_of_modulation_that_a_short_clip_cannot_tell_apart_are_left_out():
    short = FeatureConfig(seconds=1.0)
    found = modulation(torch.from_numpy(np.random.default_rng(8).normal(size=(2, 128, short.frames))), short)
    assert found.isfinite().all()
    assert found.shape[1] % 32 == 0
    assert found.shape[1] < 8 * 32


def test_the_long_spectrum_is_a_periodogram_in_bands_of_12_5_hz():
    wave = np.random.default_rng(9).normal(size=FEATURES.samples) * 0.1 + 0.2 * np.sin(2 * np.pi * 1000 * time())
    found = long_spectrum(torch.from_numpy(wave[None]), FEATURES)[0].numpy()
    assert found.shape == (640,)
    _, power = periodogram(wave, fs=FEATURES.sample_rate, detrend=False, scaling="density")
    expected = power[1:].reshape(640, -1).mean(axis=1) * FEATURES.sample_rate / 2
    expected[-1] = np.append(power[1:-1], 2 * power[-1])[-50:].mean() * FEATURES.sample_rate / 2  # the last bin is one-sided
    np.testing.assert_allclose(10 ** (found / 10), expected, rtol=1e-6)
    assert 12.5 * found.argmax() <= 1000 <= 12.5 * (found.argmax() + 1)


def test_views_are_computed_a_few_clips_at_a_time_and_come_out_the_same():
    x = clips(np.random.default_rng(10).normal(size=(70, FEATURES.samples)) * 0.1, ["a/0"] * 70)
    whole, one = views_of(x), views_of(x.only(np.array([66])))
    assert list(whole) == ["levels", "modulation", "spectrum"]
    for name, rows in whole.items():
        assert rows.shape[0] == 70
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows[66:67], one[name], atol=1e-4)  # FFTs of many rows round otherwise
    with pytest.raises(AsdError, match="no clips to look at"):
        views_of(x.only(np.arange(0)))


def test_views_of_spectra_are_their_levels_and_the_numbers_themselves():
    x = np.random.default_rng(11).normal(size=(5, 1, 6, 4)).astype(np.float32)
    found = views_of(Clips((x,), ["a/0"] * 5))
    np.testing.assert_array_equal(found["numbers"], x.reshape(5, 24))
    np.testing.assert_allclose(found["levels"], levels(torch.from_numpy(x[:, 0])))


# --------------------------------------------------------------------------------------------------------------- nearest


def test_nearest_is_the_mean_surprise_over_the_views_against_cross_scores_of_the_machine_itself():
    machines = np.repeat(["fan/0", "fan/1"], 9)
    x = np.random.default_rng(12).normal(size=(18, 1, 5, 4)).astype(np.float32)
    known, asked = Clips((x,), machines), Clips((x[::4] + 0.5,), machines[::4])
    found = nearest.score(nearest.train(known, budget=nearest.BUDGET), known, asked)
    assert tuple(found) == nearest.SCORERS
    assert set(PLAIN_SCORERS) < set(found)
    views = views_of(known), views_of(asked)
    for name, scorer in PLAIN_SCORERS.items():
        expected = np.mean(
            [
                by_machine(
                    lambda k, a, scorer=scorer: surprise(cross_scores(scorer, k), scorer(k, a)),
                    (views[0][view], machines),
                    (views[1][view], asked.machines),
                )
                for view in ("levels", "numbers")
            ],
            axis=0,
        )
        np.testing.assert_allclose(found[name], expected)


def test_tones_that_hide_in_the_noise_of_the_mel_bands_stand_out_in_the_long_spectrum():
    draw = np.random.default_rng(13)
    tones = sum(np.sin(2 * np.pi * hz * time()) for hz in (1000.5, 2000.5, 3000.5, 4000.5, 5000.5, 6000.5))

    def some(count, level):
        return 0.1 * draw.normal(size=(count, FEATURES.samples)) + level * tones

    known, asked = some(30, 0.0), np.concatenate([some(12, 0.0), some(12, 0.0055)])
    known, asked, truth = clips(known, ["fan/0"] * 30), clips(asked, ["fan/0"] * 24), np.repeat([0, 1], 12)
    views = views_of(known), views_of(asked)
    by_view = {name: auc(truth, plain_mahalanobis(views[0][name], views[1][name])) for name in views[0]}
    assert by_view["spectrum"] > 0.9
    assert max(by_view["levels"], by_view["modulation"]) < by_view["spectrum"] - 0.05
    assert auc(truth, nearest.score(nearest.train(known, budget=nearest.BUDGET), known, asked)["mahalanobis"]) > 0.85


@pytest.mark.parametrize("config", [
    FEATURES,
    FeatureConfig(seconds=0.05),
    FeatureConfig(seconds=0.05, hop_length=1000),  # a single frame
    FeatureConfig(seconds=1.0, n_mels=32),
    FeatureConfig(sample_rate=48000, f_max=24000.0, seconds=0.7, hop_length=333, n_mels=50),
    FeatureConfig(sample_rate=100, f_max=50.0, seconds=30.0, n_fft=16, hop_length=16, n_mels=4),
])  # fmt: skip
def test_views_are_as_wide_as_is_told_of_them(config):
    waves = np.random.default_rng(14).normal(size=(2, config.samples)).astype(np.float32)
    found = views([torch.from_numpy(waves), log_mel(waves, config)], config)
    assert {name: rows.shape[1] for name, rows in found.items()} == view_widths(config)
    assert all(rows.isfinite().all() for rows in found.values())
    spectra = views([torch.zeros(2, 1, 6, 4)], None)
    assert {name: rows.shape[1] for name, rows in spectra.items()} == view_widths(None, (6, 4))


# ------------------------------------------------------------------------------------------- the numbers of clips alone


def spectra(count, *, seed, bands=7, each=3, spread=1.0):
    draw = np.random.default_rng(seed)
    return (5 + spread * draw.normal(size=(count, 1, bands, each))).astype(np.float32)


def scorers_of(known, asked, machine="fan/0"):
    """What the four say of spectra of one machine."""
    known, asked = (Clips((x,), [machine] * len(x)) for x in (known, asked))
    found = nearest.score(nearest.train(known, budget=nearest.BUDGET), known, asked)
    return {name: found[name] for name in nearest.SCORERS[4:]}


def test_the_four_are_those_of_scipy_and_scikit_learn():
    known, asked = spectra(30, seed=0), spectra(9, seed=1)
    k, a = (x.reshape(len(x), -1).astype(np.float64) for x in (known, asked))
    found = scorers_of(known, asked)
    far, between = cdist(a, k, "cosine"), cdist(k, k, "cosine")
    np.testing.assert_allclose(found["cosine"], far.min(axis=1), rtol=1e-9)
    around = np.sort(between, axis=1)[:, 1:5].mean(axis=1)
    np.testing.assert_allclose(found["ldn"], (far / around).min(axis=1), rtol=1e-9)
    k, a = scaled(k, a)
    covariance = np.cov(k.T, bias=True) + 1e-3 * np.eye(21)
    expected = cdist(a, k.mean(axis=0)[None], "mahalanobis", VI=np.linalg.inv(covariance))[:, 0] ** 2
    np.testing.assert_allclose(found["raw"], expected, rtol=1e-4)
    by_band = []
    for part in (slice(15), slice(15, 21)):  # five bands, and the two that are left
        tree = NearestNeighbors(n_neighbors=5).fit(k[:, part])
        around = tree.kneighbors(k[:, part])[0][:, 1:].mean(axis=1)
        by_band.append((cdist(a[:, part], k[:, part]) / around).min(axis=1))
    np.testing.assert_allclose(found["bands"], np.mean(by_band, axis=0), rtol=1e-4)


def test_where_clips_lie_ten_times_as_far_apart_a_normal_clip_is_no_more_surprising_by_ldn():
    """The ratio of two clusters' median scores: 1:10 by the distance, 1:1 by the local one."""
    draw = np.random.default_rng(3)
    tight, wide = 0.01 * draw.normal(size=(400, 8)), 0.1 * draw.normal(size=(400, 8))
    places = np.eye(8)[[0, 1]] * 10
    known = np.concatenate([places[0] + tight[:200], places[1] + wide[:200]])
    near, far = places[0] + tight[200:], places[1] + wide[200:]
    for scorer, expected in ((partial(knn_score, neighbours=1), 0.01), (knn_local, 1.0)):
        ratio = np.median(scorer(known, near)) / np.median(scorer(known, far))
        assert ratio == pytest.approx(expected, rel=0.15)  # a cosine distance grows with the square of a distance
    for scorer, expected in ((lambda k, a: cdist(a, k).min(axis=1), 0.1), (partial(sub_bands, width=8), 1.0)):
        ratio = np.median(scorer(known, near)) / np.median(scorer(known, far))
        assert ratio == pytest.approx(expected, rel=0.1)


def test_the_four_do_not_depend_on_the_unit_of_the_numbers():
    known, asked = spectra(20, seed=4), spectra(6, seed=5)
    one, other = scorers_of(known, asked), scorers_of(1000 * known, 1000 * asked)
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-3, err_msg=name)


def test_a_training_clip_is_at_no_distance_of_itself_though_it_be_there_twice():
    known = spectra(12, seed=6)
    known = np.concatenate([known, known[:3], known[:3], known[:3], known[:3], known[:3]])
    found = scorers_of(known, np.concatenate([known, spectra(4, seed=7)]))
    for name in ("cosine", "ldn", "bands"):
        np.testing.assert_allclose(found[name][:27], 0, atol=1e-5, err_msg=name)
        assert np.isfinite(found[name]).all(), name
        assert found[name][27:].min() > 1e-3, name


def test_more_test_clips_change_no_score():
    known, asked = spectra(20, seed=8), spectra(6, seed=9)
    alone, among = scorers_of(known, asked[:2]), scorers_of(known, asked)
    for name in alone:
        np.testing.assert_allclose(among[name][:2], alone[name], rtol=1e-9, err_msg=name)


def test_numbers_are_scaled_by_the_clips_of_all_machines_and_keep_it():
    x = np.concatenate([spectra(10, seed=10), 50 + spectra(10, seed=11)])
    model = nearest.train(Clips((x,), np.repeat(["fan/0", "pump/0"], 10)), budget=nearest.BUDGET)
    rows = model.embed(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(model.numbers(rows), x.reshape(20, 21))
    np.testing.assert_allclose(model.scaled(rows), StandardScaler().fit_transform(x.reshape(20, 21)), atol=1e-4)
    assert {"mean", "spread"} == set(model.state_dict())


def test_the_numbers_of_a_sound_are_the_mean_and_the_95th_percentile_of_each_mel_band():
    x = clips(np.random.default_rng(15).normal(size=(4, FEATURES.samples)) * 0.1, ["a/0"] * 4)
    model = nearest.train(x, budget=nearest.BUDGET)
    rows = model.embed(torch.from_numpy(x.waveforms / np.float32(2**15)), torch.from_numpy(x.log_mels)).numpy()
    mels = x.log_mels.astype(np.float32)
    numbers = model.numbers(rows).reshape(4, 128, 2)
    np.testing.assert_allclose(numbers[:, :, 0], mels.mean(axis=2), rtol=1e-4)
    np.testing.assert_allclose(numbers[:, :, 1], np.percentile(mels, 95, axis=2), rtol=1e-4)
