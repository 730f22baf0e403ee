"""Thresholds: the promised false-alarm rate is kept, and what cannot be promised is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from asdlib.errors import AsdError
from asdlib.threshold import are_known, choose_threshold, fit_gamma, refuse_known


def test_the_threshold_is_the_kth_highest_score():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 100.0))
    found = choose_threshold(scores, rate=0.05)
    assert found.value == 95.0  # 96, 97, 98 and 99 are above: with the new clip, 5 of 100 gaps
    assert (found.expected, found.clips) == (0.05, 99)
    assert choose_threshold(scores[:19], rate=0.05).value == scores[:19].max()


@given(st.integers(1, 300), st.floats(0.01, 0.9), st.integers(0, 2**32))
def test_no_more_calibration_clips_alarm_than_the_rate_allows(n, rate, seed):
    scores = np.random.default_rng(seed).gamma(2, size=n)
    if rate * (n + 1) < 1 - 1e-6:
        with pytest.raises(AsdError, match=f"{n} calibration clips cannot promise"):
            choose_threshold(scores, rate=rate)
        return
    found = choose_threshold(scores, rate=rate)
    assert found.expected <= rate + 1e-9
    assert np.sum(scores >= found.value) == round(found.expected * (n + 1))
    assert found.low <= found.expected <= found.high


@pytest.mark.parametrize("method", ["quantile", "gamma"])
def test_the_expected_rate_and_its_interval_are_those_of_many_calibrations(method):
    """Calibrate 400 times on gamma scores, whose true false-alarm rate is known."""
    truth = gamma(2.5, scale=0.7)
    rng = np.random.default_rng(1)
    found = [choose_threshold(truth.rvs(59, random_state=rng), rate=0.05, method=method) for _ in range(400)]
    true = np.array([truth.sf(t.value) for t in found])
    assert np.mean([t.expected for t in found]) == pytest.approx(true.mean(), abs=0.004)
    inside = [(t.low <= rate <= t.high) for t, rate in zip(found, true, strict=True)]
    assert 0.91 < np.mean(inside) < 0.98


@given(st.floats(0.1, 50), st.floats(1e-6, 1e6), st.integers(3, 200), st.integers(0, 2**32))
def test_the_fitted_gamma_is_the_likeliest_one(shape, scale, n, seed):
    x = np.random.default_rng(seed).gamma(shape, scale, n).clip(min=1e-9 * scale)
    if np.ptp(x) < 1e-3 * x.mean():
        return
    mine = fit_gamma(x)
    expected, _, wide = gamma.fit(x, floc=0)
    np.testing.assert_allclose(mine, (expected, wide), rtol=1e-4)


def test_gamma_agrees_with_its_closed_form_for_many_scores():
    truth = gamma(3, scale=2)
    found = choose_threshold(truth.rvs(20_000, random_state=0), rate=0.01, method="gamma")
    assert found.value == pytest.approx(truth.isf(0.01), rel=0.02)
    assert found.expected == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("scores", "options", "words"),
    [
        ([1.0] * 30, {"rate": 0}, "rate of 0 makes no sense"),
        ([], {}, "calibration scores of shape"),
        ([1.0, np.nan], {}, "1 of 2 calibration scores are not finite"),
        ([1.0] * 9, {}, "record 19 or more, choose a rate of at least 0.1"),
        ([-1.0, 1, 2, 3], {"method": "gamma"}, "no gamma distribution fits these 4 scores"),
        ([2.0] * 30, {"method": "gamma"}, "no gamma distribution fits these 30 scores"),
        ([2.0, 2.00001, 2.00002], {"method": "gamma"}, "no gamma distribution fits these 3 scores"),  # for its shape, hours
    ],
)
def test_what_cannot_be_promised_is_refused_in_a_sentence(scores, options, words):
    with pytest.raises(AsdError, match=words):
        choose_threshold(np.array(scores), **options)


def test_three_scores_are_enough_for_a_gamma_distribution():
    found = choose_threshold(np.array([1.0, 2.0, 4.0]), method="gamma", rate=0.05)
    expected, _, wide = gamma.fit([1.0, 2.0, 4.0], floc=0)
    assert found.value == pytest.approx(gamma.isf(0.05, expected, scale=wide), rel=1e-3)


@pytest.mark.parametrize(("n", "rate", "k"), [(19, 0.05, 1), (99, 0.05, 5), (40, 0.3, 12)])
def test_the_interval_is_that_of_the_order_statistics(n, rate, k):
    """The true rate of the k-th highest of n uniform scores is simulated, and needs no formula."""
    found = choose_threshold(np.arange(float(n)), rate=rate)
    above = 1 - np.sort(np.random.default_rng(0).uniform(size=(40_000, n)), axis=1)[:, n - k]
    low, high = np.quantile(above, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)
    assert found.expected == pytest.approx(above.mean(), abs=0.002)


@pytest.mark.parametrize("shape", [2e7, 0.02, 0.008])
def test_very_narrow_and_very_wide_gamma_scores_keep_their_rate(shape):
    """0.008: scores from 1e-300 on, of which some that are drawn are too small for a number."""
    scores = gamma(shape).ppf((np.arange(200) + 0.5) / 200).clip(1e-300)
    found = choose_threshold(scores, rate=0.1, method="gamma")
    assert 0.05 < found.low < 0.1 < found.high < 0.2
    assert found.expected == pytest.approx(0.1, abs=0.01)


def test_one_score_apart_from_thousands_alike_gets_a_threshold_that_means_something():
    scores = 2 + 1e-9 * np.arange(3000.0)
    scores[-1] = 2.003
    found = choose_threshold(scores, rate=0.05, method="gamma")
    assert 2 < found.value < 2.003
    assert found.expected == pytest.approx(0.05, abs=0.01)


def test_a_clip_that_was_trained_on_is_refused_whatever_batch_it_came_in():
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(20, 8))
    new = rng.normal(size=(3, 8))
    refuse_known(bank, new, ["a", "b", "c"])
    for size, known in ((0.5e-4, True), (1.5e-4, False)):
        off = size * np.abs(bank[7]).max()  # in a single number of the embedding, the smallest
        near = bank[7] + off * (np.arange(8) == np.abs(bank[7]).argmin())
        if known:
            with pytest.raises(AsdError, match=r"^b was trained on"):
                refuse_known(bank, np.stack([new[0], near, new[1]]), ["a", "b", "c"])
        else:
            refuse_known(bank, np.stack([new[0], near, new[1]]), ["a", "b", "c"])


def test_which_clips_are_known_is_what_a_comparison_of_all_numbers_says():
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(40, 3)).astype(np.float32)
    asked = bank[rng.integers(40, size=400)] + 2e-4 * rng.uniform(-1, 1, size=(400, 3)).astype(np.float32)
    expected = [any(np.abs(e - known).max() < 1e-4 * np.abs(e).max() for known in bank) for e in asked]
    assert 20 < sum(expected) < 380
    assert are_known(bank, asked).tolist() == expected
    assert not are_known(bank[:0], asked).any()


def test_a_recording_that_is_there_twice_is_refused_with_both_names():
    rng = np.random.default_rng(1)
    bank, new = rng.normal(size=(20, 8)), rng.normal(size=(3, 8))
    for size, twins in ((0.5e-4, True), (1.5e-4, False)):
        again = new[1] + size * np.abs(new[1]).max() * (np.arange(8) == np.abs(new[1]).argmin())
        clips = np.stack([*new, again])
        if twins:
            with pytest.raises(AsdError, match=r"^d is the same recording as b,"):
                refuse_known(bank, clips, list("abcd"))
        else:
            refuse_known(bank, clips, list("abcd"))
