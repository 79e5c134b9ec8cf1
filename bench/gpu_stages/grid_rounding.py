"""The float64 oracle of what a format promises: arithmetic on rounded numbers.

The factors of every product, weights and rows, are rounded to the format; sums, gates and states are floats.
So the oracle rounds the same numbers and carries the error bounds of float32 along (`tests/tolerance.py`).
Rounding is monotone: a value known to within e becomes something between `round(v - e)` and `round(v + e)`.
Nearly always the two are equal, else the bound grows by that one step times the weights behind it. Numbers
half-way between two of the format may go either way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tolerance
from numpy.typing import NDArray

Values = NDArray[np.float64]

# Bits of the significand, the one that is not stored included, and the smallest exponent of normal numbers.
FORMATS = {"tf32": (11, -126), "bfloat16": (8, -126), "float16": (11, -14)}
TIE = 2.0**-40  # as a part of a number, what decides a tie either way; far less than float32's steps
FLOAT32 = float(np.finfo(np.float32).eps) / 2


def nearest(values: Values, form: str) -> Values:
    """The nearest numbers of a format, as float64; too large ones stay finite."""
    bits, lowest = FORMATS[form]
    exponent = np.maximum(np.frexp(values)[1], lowest + 1)
    step = np.ldexp(1.0, exponent - bits)
    return np.asarray(np.rint(values / step) * step)


def rounded(values: Values, error: Values, form: str) -> tuple[Values, Values]:
    """The nearest numbers of values known to within `error`, and how far off they may be."""
    reach = error + TIE * np.abs(values)
    middle = nearest(values, form)
    low, high = nearest(values - reach, form), nearest(values + reach, form)
    return middle, np.maximum(high - middle, middle - low)


class Row(tolerance.Bounded):
    """A row whose products round both factors to a format first."""

    def __init__(self, value: Values, error: Values, chain: int, matrices: Matrices) -> None:
        super().__init__(value, error, FLOAT32, chain)
        self.matrices = matrices

    def _make(self, value: Any, error: Any) -> Row:
        return Row(np.asarray(value), np.asarray(error), self.chain, self.matrices)

    def __matmul__(self, matrix: Any) -> Row:
        weights, doubt = self.matrices.rounded(np.asarray(matrix, np.float64))
        value, error = rounded(self.value, self.error, self.matrices.form)
        size, columns = np.abs(value), np.abs(weights)
        spread = error @ (columns + doubt) + size @ doubt + self.chain * self.u * (size @ columns)
        return self._make(value @ weights, spread)


class Matrices:
    """Rounded matrices, kept because every step needs them again."""

    def __init__(self, form: str) -> None:
        self.form = form
        self._kept: dict[Any, tuple[Values, tuple[Values, Values]]] = {}

    def rounded(self, matrix: Values) -> tuple[Values, Values]:
        """The matrix rounded, and the doubt about it."""
        key = (matrix.__array_interface__["data"][0], matrix.shape, matrix.strides)
        if key not in self._kept:  # holding the matrix keeps its address its own
            self._kept[key] = (matrix, rounded(matrix, np.zeros_like(matrix), self.form))
        return self._kept[key][1]


def lifter(form: str, chain: int) -> Callable[[Any], tolerance.Bounded]:
    """Makes rows of numbers, for layers that compute in a format; see `tolerance.lifter`."""
    if form in ("float32", "float64"):
        return tolerance.lifter(form, chain)
    matrices = Matrices(form)

    def lift(row: Any) -> tolerance.Bounded:
        if isinstance(row, tolerance.Bounded):
            return row
        exact = np.asarray(row, np.float64)
        return Row(exact, np.zeros_like(exact), chain, matrices)

    return lift
