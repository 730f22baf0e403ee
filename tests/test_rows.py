"""Rows of several arrays are used as the one array that they stand for; numpy itself is the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asdlib.sound import rows as module
from asdlib.sound.rows import Rows
from asdlib.training import Clips, batch_of

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3))


@st.composite
def both(draw):
    """Rows, and the array that they stand for."""
    shape, counts = draw(SHAPES), draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    parts = [rng.normal(size=(n, *shape)).astype(np.float16) for n in counts]
    places = [(k, i) for k, n in enumerate(counts) for i in range(n)]
    chosen = draw(st.lists(st.sampled_from(places), min_size=1, max_size=9))
    part, place = zip(*chosen, strict=True)
    return Rows(parts, part, place), np.stack([parts[k][i] for k, i in chosen])


USES = {
    "all": lambda x: np.asarray(x),
    "one": lambda x: x[0],
    "the last": lambda x: x[-1],
    "one number": lambda x: x[0, -1, 0],
    "a slice": lambda x: x[1::2],
    "a slice of a slice": lambda x: x[::-1, :1],
    "a new axis": lambda x: x[:, None],
    "dots": lambda x: x[..., 0],
    "places": lambda x: x[np.arange(len(x))[::-1]],
    "a list": lambda x: x[[0, 0, -1]],
    "none": lambda x: x[[]],
    "truths": lambda x: x[np.arange(len(x)) % 2 == 0],
    "places and more": lambda x: x[[0, 0], [0, -1]],
    "a table of places": lambda x: x[np.zeros((2, 2), int)],
    "take": lambda x: x.take([len(x) - 1, 0], axis=0),
    "take of all": lambda x: x.take([0], axis=1),
    "take flat": lambda x: x.take([0, 1]) if x[0].size > 1 else x[0],
    "take in a table": lambda x: x.take([[0], [0]], axis=0),
    "astype": lambda x: x.astype(np.float32),
    "mean": lambda x: x.mean(dtype=float),
    "mean of columns": lambda x: x.mean(axis=2, dtype=np.float32),
    "mean of the last": lambda x: np.mean(x, axis=-1),
    "mean of rows": lambda x: x.mean(axis=0),
    "mean of two": lambda x: x.mean(axis=(1, 2)),
    "times": lambda x: 2 * x + x / 3,
    "greater": lambda x: x > 0,
    "exp": lambda x: np.exp(x),
    "stacked": lambda x: np.concatenate([x, x]),
    "walked": lambda x: np.stack(list(x)),
    "shape": lambda x: np.array([*x.shape, x.ndim, len(x)]),
    "type": lambda x: np.zeros(1, x.dtype),
}


@pytest.mark.parametrize("use", USES)
@given(pair=both())
def test_every_use_gives_what_the_array_gives(use, pair):
    got, expected = (np.asarray(USES[use](x)) for x in pair)
    np.testing.assert_array_equal(got, expected)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)


@given(pair=both(), data=st.data())
def test_a_choice_of_rows_is_that_of_the_array_and_may_be_chosen_from_again(pair, data):
    rows, array = pair
    chosen = np.array(data.draw(st.lists(st.integers(-len(array), len(array) - 1), max_size=6)), int)
    some = rows.only(chosen)
    np.testing.assert_array_equal(some, array[chosen])
    truths = np.array(data.draw(st.lists(st.booleans(), min_size=len(some), max_size=len(some))), bool)
    np.testing.assert_array_equal(some.only(truths), array[chosen][truths])


def test_means_of_rows_are_taken_a_few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 3)
    array = np.random.default_rng(0).normal(size=(10, 4, 2))
    rows = Rows([array], [0] * 10, range(10))
    np.testing.assert_array_equal(rows.mean(axis=1), array.mean(axis=1))


def test_places_that_are_not_there_are_refused():
    rows = Rows([np.zeros((2, 3))], [0, 0], [0, 1])
    for wrong in (2, [0, 2], np.array([True])):
        with pytest.raises(IndexError):
            rows[wrong]


class Counted(Rows):
    """Counts the rows that are read."""

    read = 0

    def __iter__(self):
        for row in super().__iter__():
            Counted.read += 1
            yield row

    def only(self, rows):
        some = super().only(rows)
        return Counted(some._parts, some._part, some._place)


def test_a_batch_reads_its_own_rows_and_a_choice_of_clips_none():
    waves = Counted([np.arange(50, dtype=np.int16).reshape(10, 5)], [0] * 10, range(10))
    clips = Clips((waves,), np.array(["fan/id_00", "fan/id_02"] * 5)).of("fan/id_02")
    assert Counted.read == 0
    (inputs,), labels = batch_of(clips, np.array([4, 0]))
    assert Counted.read == 2
    np.testing.assert_array_equal(inputs * 2**15, [[45, 46, 47, 48, 49], [5, 6, 7, 8, 9]])
    assert labels.tolist() == [0, 0]
