"""How much rounding adds to the variance of a result, by precision; `oracle.py` carries it along.

Rounding to the nearest multiple of a step makes an error evenly spread over one step: its variance is
`step**2 / 12`. Rounding to p significant bits has steps of at most `2 u` times the value, `u = 2**-p` being
the unit roundoff, so the variance is at most `(u value)**2 / 3`.

* full: every operation rounds to the dtype, with `u**2` instead of `u**2 / 3` because the operations of a sum
  are not counted one by one. A product of n terms adds `n u**2 (a**2 @ W**2)`: each of n additions rounds a
  partial sum, whose mean square is at most the sum of the squares of the terms. Activations add `(8 u)**2`:
  vector libraries promise 1 to 4 units in the last place, and a sigmoid adds operations to its exponential.
* bfloat16 has 8 significant bits, the hidden one included: `u = 2**-8`. Both factors of every term of a
  product are rounded, so it adds `2 u**2 / 3 (a**2 @ W**2)`; its sum is kept in float32, whose rounding is
  nothing beside that. Libraries may also keep gates, states and outputs in bfloat16, as PyTorch and OpenVINO
  do: sums, products and activations round once each.
* int8 has 254 steps from the smallest to the largest number of a scale. A column of weights has steps of its
  largest magnitude / 127. Inputs and states have their own: rnnpack's are finer, but libraries that look at
  whole tensors take 127 steps from the smallest to the largest value (PyTorch leaves the eighth bit unused,
  so that 16-bit sums cannot overflow), so the steps of inputs are twice their largest magnitude / 127, and
  those of h, which tanh keeps within one, 2 / 127. Everything else is float32.

The rounding of a weight is the same at every step, so such errors are not independent in time. Gates forget:
with a forget gate around 1/2 the sum of all steps is at most twice one step's error where independent errors
would give 1.15, which `oracle.SIGMAS` has room for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from problems import Problem

Values = NDArray[np.float64]

ACTIVATION_ULPS = 8.0
BFLOAT16_UNIT = 2.0**-8
INT8_LARGEST = 127


class Rounding:
    """Full precision: everything in one dtype.

    Attributes:
        element: what rounding a value adds to its variance, over the value squared.
        activation: what an activation adds; its values are at most one.
    """

    def __init__(self, dtype: Any) -> None:
        self.u = float(np.finfo(dtype).eps) / 2
        self.element = self.u**2
        self.activation = (ACTIVATION_ULPS * self.u) ** 2
        self._kept: dict[tuple[int, str], tuple[Values, Values]] = {}

    def product(self, value: Values, variance: Values, matrix: Values) -> Values:
        """The variance of `value @ matrix`."""
        added = len(value) * self.u**2 * np.square(value)
        return np.asarray((variance + added) @ self.squares(matrix))

    def squares(self, matrix: Values) -> Values:
        """The matrix squared element by element."""
        return self._once(matrix, "squares", np.square)

    def _once(self, matrix: Values, name: str, make: Callable[[Values], Values]) -> Values:
        """What `make` makes of a matrix, kept because every step needs it again."""
        key = (id(matrix), name)
        if key not in self._kept:
            self._kept[key] = (matrix, make(matrix))  # holding it keeps its id its own
        return self._kept[key][1]


class Bfloat16(Rounding):
    """Factors of products, and maybe everything between them, in bfloat16."""

    def __init__(self) -> None:
        super().__init__(np.float32)
        self.element = self.activation = BFLOAT16_UNIT**2 / 3

    def product(self, value: Values, variance: Values, matrix: Values) -> Values:
        """The variance of `value @ matrix`."""
        added = 2 / 3 * BFLOAT16_UNIT**2 * np.square(value)
        return np.asarray((variance + added) @ self.squares(matrix))


class Int8(Rounding):
    """Factors of products as 8-bit integers.

    Args:
        kernel: the matrix that the inputs are multiplied with; all others are for h.
        largest: the largest magnitude of the inputs.
    """

    def __init__(self, kernel: Values, largest: float) -> None:
        super().__init__(np.float32)
        self._kernel = kernel
        self._input_step = 2 * largest / INT8_LARGEST

    def product(self, value: Values, variance: Values, matrix: Values) -> Values:
        """The variance of `value @ matrix`."""
        step = self._input_step if matrix is self._kernel else 2 / INT8_LARGEST
        of_weights = self._once(matrix, "rounding", _variance_of_columns)
        return np.asarray(
            (variance + step**2 / 12) @ self.squares(matrix) + np.square(value).sum() * of_weights
        )


def _variance_of_columns(matrix: Values) -> Values:
    """The variance of rounding the weights of each column to its 8-bit integers."""
    return np.asarray(np.square(np.abs(matrix).max(axis=0) / INT8_LARGEST) / 12)


def rounding_of(precision: str, problem: Problem, kernel: Values) -> Rounding:
    """The rounding of a precision; `kernel` is the very array that the oracle multiplies the inputs with."""
    if precision == "bfloat16":
        return Bfloat16()
    if precision == "int8":
        return Int8(kernel, float(np.abs(problem.inputs).max()))
    return Rounding(problem.inputs.dtype)
