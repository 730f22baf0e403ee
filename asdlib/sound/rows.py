"""An array of clips whose rows lie in several memory maps, in any order.

The features of 47,000 clips of 10 s are 34 GB: too much to copy into one array whenever
another choice of clips is asked for. Here nothing is read before it is used, and what
is read are the rows that are asked for.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

AT_ONCE = 256  # rows that a sum over other axes reads at a time


class Rows(NDArrayOperatorsMixin):
    """Row i of these N rows is row ``place[i]`` of the array ``parts[part[i]]``.

    ``parts`` are arrays (n, ...) of one type, alike but for n. It is used as an array
    (N, ...): indexing, :meth:`take`, arithmetic and numpy's functions give ordinary
    arrays, of the rows in question only or, where an operation is about all of them, of
    all. :meth:`only` is a choice of rows that reads none. It cannot be written to.

    >>> first, second = np.arange(6).reshape(3, 2), np.arange(10, 14).reshape(2, 2)
    >>> rows = Rows([first, second], part=[1, 0, 0], place=[1, 2, 0])
    >>> rows.shape, rows[0], rows.take([2, 0], axis=0).tolist()
    ((3, 2), array([12, 13]), [[0, 1], [12, 13]])
    >>> (rows.only([1, 2]) * 10).tolist()
    [[40, 50], [0, 10]]
    """

    def __init__(self, parts: list[np.ndarray], part: Any, place: Any):
        # As plain arrays: a row of a memory map is slow to make when it is one itself.
        self._parts = [np.asarray(array) for array in parts]
        self._part, self._place = np.asarray(part, int), np.asarray(place, int)

    @property
    def dtype(self) -> np.dtype:
        return self._parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._part), *self._parts[0].shape[1:])

    @property
    def ndim(self) -> int:
        return self._parts[0].ndim

    def __len__(self) -> int:
        return len(self._part)

    def __iter__(self) -> Iterator[np.ndarray]:
        for part, place in zip(self._part.tolist(), self._place.tolist(), strict=True):
            yield self._parts[part][place]

    def __getitem__(self, index: Any) -> np.ndarray:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if isinstance(first, int | np.integer):
            return self._parts[self._part[first]][(self._place[first], *rest)]
        if isinstance(first, slice):
            return np.asarray(self.only(first))[(slice(None), *rest)]
        if isinstance(first, list | np.ndarray) and np.ndim(first) == 1 and not rest:
            return np.asarray(self.only(first))
        return np.asarray(self)[index]

    def only(self, rows: Any) -> "Rows":
        """Some of the rows: a slice, places, or a truth value for each."""
        rows = rows if isinstance(rows, slice) else _index(rows)
        return Rows(self._parts, self._part[rows], self._place[rows])

    def take(self, rows: Any, axis: int | None = None) -> np.ndarray:
        """As numpy's: some rows (``axis`` 0), or whatever is asked for of all."""
        if axis == 0 and np.ndim(rows) == 1:
            return np.asarray(self.only(rows))
        return np.asarray(self).take(rows, axis=axis)

    def astype(self, dtype: Any) -> np.ndarray:
        """All rows as another type, (N, ...)."""
        return self.__array__(dtype)

    def mean(self, axis: Any = None, dtype: Any = None, **options: Any) -> np.ndarray:
        """As numpy's; a mean of each row by itself reads a few rows at a time."""
        if (
            not isinstance(axis, int)
            or axis % self.ndim == 0
            or options
            or not len(self)
        ):
            return np.asarray(self).mean(axis=axis, dtype=dtype, **options)
        starts = range(0, len(self), AT_ONCE)
        means = (self[i : i + AT_ONCE].mean(axis=axis, dtype=dtype) for i in starts)
        return np.concatenate(list(means))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows from several places are an array only as a copy")
        out = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for i, row in enumerate(self):
            out[i] = row
        return out

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any
    ) -> Any:
        arrays = [np.asarray(x) if isinstance(x, Rows) else x for x in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __repr__(self) -> str:
        return f"Rows(shape={self.shape}, dtype={self.dtype})"


def _index(rows: Any) -> np.ndarray:
    """Places or truth values; none at all is no place."""
    rows = np.asarray(rows)
    return rows if rows.size else rows.astype(int)
