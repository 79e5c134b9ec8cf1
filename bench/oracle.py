"""Is a contestant's result right? The float64 oracle of the tests, with the rounding errors to expect.

The worst case of rounding errors, which `tests/tolerance.py` carries along, grows beyond use within the
hundreds of steps measured here. Rounding errors of many operations behave like independent random numbers of
mean zero (Higham & Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41,
2019), so their variances add. `Rounded` carries variances through the oracle's own loops; with the unit
roundoff `u`:

* `a + b`: the variances add, plus `(u (a + b))**2`.
* `a b`: `a**2 var(b) + b**2 var(a) + (u a b)**2`.
* `a @ W` with n terms: `var(a) @ W**2 + n u**2 (a**2 @ W**2)`: each of n additions rounds a partial sum,
  whose mean square is at most the sum of the squares of the terms.
* activation: its slope squared times the variance, plus `(8 u)**2` for the approximation inside: vector
  libraries promise 1 to 4 units in the last place, and a sigmoid adds operations to its exponential.

A result is right when every element is within `SIGMAS` standard deviations.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from problems import Problem

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import reference

# A million Gaussian numbers stay within 5; as much again for errors that are not quite independent.
SIGMAS = 10.0
ACTIVATION_ULPS = 8.0

Values = NDArray[np.float64]
SLOPES: dict[str, Callable[[Values], Values]] = {
    "tanh": lambda y: 1 - y * y,
    "sigmoid": lambda y: y * (1 - y),
}


class Precision:
    """Unit roundoff of a dtype, and the squares of the weights, which every step needs again."""

    def __init__(self, dtype: Any) -> None:
        self.u = float(np.finfo(dtype).eps) / 2
        self._squares: dict[int, tuple[Values, Values]] = {}

    def squares(self, matrix: Values) -> Values:
        """The matrix squared element by element."""
        if id(matrix) not in self._squares:
            self._squares[id(matrix)] = (matrix, np.square(matrix))  # holding it keeps its id its own
        return self._squares[id(matrix)][1]


class Rounded:
    """A float64 row with the variance of the rounding errors of computing it in a lower precision."""

    __array_ufunc__ = None  # array op Rounded must reach the reflected operators below

    def __init__(self, value: Values, variance: Values, precision: Precision) -> None:
        self.value = value
        self.variance = variance
        self.precision = precision

    def _made(self, value: Any, variance: Any, roundings: float = 1.0) -> Rounded:
        rounding = np.square(roundings * self.precision.u * value)
        return Rounded(value, variance + rounding, self.precision)

    @staticmethod
    def _split(other: Any) -> tuple[Any, Any]:
        return (other.value, other.variance) if isinstance(other, Rounded) else (other, 0.0)

    def __add__(self, other: Any) -> Rounded:
        value, variance = self._split(other)
        return self._made(self.value + value, self.variance + variance)

    __radd__ = __add__

    def __rsub__(self, other: Any) -> Rounded:
        return self._made(other - self.value, self.variance)

    def __mul__(self, other: Any) -> Rounded:
        value, variance = self._split(other)
        spread = np.square(self.value) * variance + np.square(value) * self.variance
        return self._made(self.value * value, spread)

    __rmul__ = __mul__

    def __matmul__(self, matrix: Values) -> Rounded:
        rounding = len(self.value) * self.precision.u**2 * np.square(self.value)
        return self._made(self.value @ matrix, (self.variance + rounding) @ self.precision.squares(matrix), 0)

    def __getitem__(self, key: Any) -> Rounded:
        return Rounded(self.value[key], self.variance[key], self.precision)

    def activate(self, name: str) -> Rounded:
        """Applies an activation of the oracle."""
        value = reference.ACTIVATIONS[name](self.value)
        approximation = (ACTIVATION_ULPS * self.precision.u) ** 2
        variance = np.square(SLOPES[name](value)) * self.variance + approximation
        return Rounded(value, variance, self.precision)

    @staticmethod
    def stack(parts: Sequence[Rounded]) -> Rounded:
        """Puts equal shapes under a new first axis."""
        values, variances = np.stack([p.value for p in parts]), np.stack([p.variance for p in parts])
        return Rounded(values, variances, parts[0].precision)


@lru_cache(maxsize=4)
def expected(problem: Problem, with_states: bool) -> list[Rounded]:
    """Output sequence and final states of the problem's distinct rows, from zero or from its states."""
    precision = Precision(problem.inputs.dtype)
    weights = [np.asarray(a, np.float64) for a in (problem.kernel, problem.recurrent, problem.bias)]
    layer = reference.Layer((reference.CELLS[problem.cell](*weights),), return_sequences=True)

    def lift(row: Any) -> Rounded:
        exact = np.asarray(row, np.float64)
        return Rounded(exact, np.zeros_like(exact), precision)

    rows = slice(problem.distinct)
    states = list(problem.states[:, rows]) if with_states else None
    mask = None if problem.mask is None else problem.mask[rows]
    result = reference.run(layer, problem.inputs[rows], mask, states, lift)
    return [result.output, *result.states]


def excess(problem: Problem, task: str, results: Sequence[NDArray[Any]]) -> float:
    """The largest error of a result over what rounding explains; above 1 the result is wrong.

    Args:
        problem: what was computed.
        task: what the contestant was asked to do: "states" starts from the problem's states, "stream" gives
            one output without states.
        results: the output `(B, T, H)`, or the outputs of the unmasked steps one after the other, `(n, H)`;
            then the final states.
    """
    wanted = expected(problem, task == "states")
    if len(results) != (1 if task == "stream" else len(wanted)):
        return float("inf")
    rows = np.arange(len(problem.inputs)) % problem.distinct
    largest = 0.0
    for index, (got, want) in enumerate(zip(results, wanted, strict=False)):
        values, variances = want.value[rows], want.variance[rows]
        if (
            index == 0 and problem.mask is not None
        ):  # what stands at masked steps is each library's own choice
            values, variances = values[problem.mask], variances[problem.mask]
            got = got[problem.mask] if got.ndim == 3 else got
        if got.shape != values.shape or got.dtype != problem.inputs.dtype:
            return float("inf")
        error = np.abs(got - values) / (SIGMAS * np.sqrt(variances) + np.finfo(got.dtype).tiny)
        largest = max(largest, float(np.where(np.isnan(error), np.inf, error).max()))
    return largest
