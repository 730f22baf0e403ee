"""Numbers as they are shown: a score and its threshold that differ are seen to differ, in their order."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asdlib.show.numbers import DIGITS, number, told_apart

anything = st.floats(allow_nan=False, allow_infinity=False)
near = st.tuples(anything, st.integers(1, 1000)).map(lambda pair: (pair[0], pair[0] + pair[1] * math.ulp(pair[0])))
pairs = st.one_of(st.tuples(anything, anything), near).filter(lambda pair: all(map(math.isfinite, pair)))


@given(pairs)
@example((0.00096, 0.00098))
@example((9.99996, 10.0))  # both are 10 in four digits
@example((9.99996e-10, 1e-9))
@example((999999999.9, 1e9))
@example((-0.0, 5e-324))
def test_what_differs_is_shown_apart_and_in_order(pair):
    for score, limit in (pair, pair[::-1]):
        (text,), shown = told_apart([score], limit)
        assert (Decimal(text) < Decimal(shown), Decimal(text) > Decimal(shown)) == (score < limit, score > limit)
        assert (text == shown) == (score == limit)


@given(st.lists(anything, min_size=1), anything)
def test_every_score_of_a_table_is_on_its_side_and_no_two_are_the_wrong_way_round(scores, limit):
    texts, shown = told_apart([*scores, limit], limit)
    assert texts.pop() == shown
    sides = [(score > limit) - (score < limit) for score in scores]
    assert [(Decimal(t) > Decimal(shown)) - (Decimal(t) < Decimal(shown)) for t in texts] == sides
    order = np.argsort(scores, kind="stable")
    values = [Decimal(texts[i]) for i in order]
    assert values == sorted(values)


@given(anything.filter(lambda x: x != 0), st.integers(1, 17))
def test_a_number_is_right_to_its_last_digit(x, digits):
    """Half a unit of the last significant digit, or of the one before the point."""
    exact = Decimal(x)
    place = exact.adjusted() - digits + 1
    place = min(place, 0) if -10 < exact.adjusted() < 9 else place
    assert abs(Decimal(number(x, digits)) - exact) <= Decimal(10) ** place / 2


def test_no_more_digits_than_are_needed():
    assert told_apart([0.0007, 0.0012], 0.001) == (["0.0007000", "0.001200"], "0.001000")
    assert told_apart([1.0, 1.0004], 1.0) == (["1.0000", "1.0004"], "1.0000")
    assert told_apart([1.00001, 2.0]) == (["1.000", "2.000"], "")
    assert DIGITS == 4


@pytest.mark.parametrize(
    ("x", "text"),
    [(0, "0"), (-0.0, "0"), (math.inf, "inf"), (math.nan, "nan"), (np.float32(0.5), "0.5000"), (1e300, "1.000e+300")],
)
def test_odd_numbers_have_a_text(x, text):
    assert number(x) == text
