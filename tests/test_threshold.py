"""Thresholds: the promised false-alarm rate is kept, and what cannot be promised is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from asdlib.errors import AsdError
from asdlib.threshold import choose_threshold, fit_gamma


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
