"""Loops over rows of channels, compiled by numba, for :mod:`asdlib.learn.norm_prelu`.

Rows (N, C) are float32, or bf16 whose bits come as uint16: numba knows no bf16. A
kernel works on the rows from ``start`` to ``end`` and lets other threads run, so that
several may share the rows.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import overload

A = np.ndarray
BLOCK = 64  # rows whose sums are kept in float32; the sum of sums is float64


def _wide(number: Any) -> Any:
    """What is stored, as float32."""


def _narrow(number: Any, like: Any) -> Any:
    """A float32, as it is to be stored beside ``like``."""


@overload(_wide, inline="always")
def _wide_by_type(number: Any) -> Any:
    def as_it_is(number: Any) -> Any:
        return number

    def widened(number: Any) -> Any:
        return np.uint32(np.uint32(number) << 16).view(np.float32)

    return as_it_is if number == types.float32 else widened


@overload(_narrow, inline="always")
def _narrow_by_type(number: Any, like: Any) -> Any:
    def as_it_is(number: Any, like: Any) -> Any:
        return number

    def rounded(number: Any, like: Any) -> Any:
        # To the nearest, and of two to the even one, as torch rounds.
        bits = np.float32(number).view(np.uint32)
        odd = np.uint32(bits >> 16) & 1
        return np.uint16(np.uint32(bits + 0x7FFF + odd) >> 16)

    return as_it_is if like == types.float32 else rounded


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def moments(x: A, shift: A, sums: A, start: int, end: int) -> None:
    """Add Σ (x - shift) and Σ (x - shift)² of each channel to ``sums`` (2, C)."""
    channels = x.shape[1]
    first, second = np.zeros((2, channels), np.float32)
    for begin in range(start, end, BLOCK):
        first[:] = 0
        second[:] = 0
        for row in range(begin, min(end, begin + BLOCK)):
            for c in range(channels):
                off = _wide(x[row, c]) - shift[c]
                first[c] += off
                second[c] += off * off
        for c in range(channels):
            sums[0, c] += first[c]
            sums[1, c] += second[c]


@njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def normalised(
    x: A, mean: A, gain: A, bias: A, slope: A, out: A, start: int, end: int
) -> None:
    """``out`` = z where it is above 0, elsewhere slope · z.

    z = gain · (x - mean) + bias.
    """
    for row in range(start, end):
        for c in range(x.shape[1]):
            z = gain[c] * (_wide(x[row, c]) - mean[c]) + bias[c]
            out[row, c] = _narrow(z if z > 0 else slope[c] * z, x[0, 0])


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def gradient_sums(
    x: A, grad: A, mean: A, gain: A, bias: A, slope: A, sums: A, start: int, end: int
) -> None:
    """Add to ``sums`` (3, C) Σ d, Σ d · (x - mean), and Σ grad · z where z ≤ 0.

    d is the gradient at z.
    """
    channels = x.shape[1]
    first, second, third = np.zeros((3, channels), np.float32)
    for begin in range(start, end, BLOCK):
        first[:] = 0
        second[:] = 0
        third[:] = 0
        for row in range(begin, min(end, begin + BLOCK)):
            for c in range(channels):
                off = _wide(x[row, c]) - mean[c]
                after = _wide(grad[row, c])
                z = gain[c] * off + bias[c]
                d = after if z > 0 else slope[c] * after
                first[c] += d
                second[c] += d * off
                third[c] += np.float32(0) if z > 0 else after * z
        for c in range(channels):
            sums[0, c] += first[c]
            sums[1, c] += second[c]
            sums[2, c] += third[c]


@njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def gradient(
    x: A,
    grad: A,
    mean: A,
    gain: A,
    bias: A,
    slope: A,
    along: A,
    out: A,
    start: int,
    end: int,
) -> None:
    """``out`` = gain · d - along[0] - along[1] · (x - mean)."""
    for row in range(start, end):
        for c in range(x.shape[1]):
            off = _wide(x[row, c]) - mean[c]
            after = _wide(grad[row, c])
            d = after if gain[c] * off + bias[c] > 0 else slope[c] * after
            there = gain[c] * d - along[0, c] - along[1, c] * off
            out[row, c] = _narrow(there, x[0, 0])
