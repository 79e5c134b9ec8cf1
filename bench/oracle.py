"""Is a contestant's result right? The float64 oracle of the tests, with the rounding errors to expect.

The worst case of rounding errors, which `tests/tolerance.py` carries along, grows beyond use within the
hundreds of steps measured here. Rounding errors of many operations behave like independent random numbers of
mean zero (Higham & Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41,
2019), so their variances add. `Rounded` carries variances through the oracle's own loops, and so finds how
errors grow, or fade, in the recurrence:

* `a + b`: the variances add, plus what rounding the result adds.
* `a b`: `a**2 var(b) + b**2 var(a)`, plus what rounding the result adds.
* `a @ W`: `var(a) @ W**2`, plus what the product adds.
* activation: its slope squared times the variance, plus what its approximation adds.

What rounding adds is said by the precision, see `rounding.py`. A result is right when every element is within
`SIGMAS` standard deviations.
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
from rounding import Rounding, rounding_of

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import reference

# A million Gaussian numbers stay within 5; as much again for errors that are not quite independent.
SIGMAS = 10.0

Values = NDArray[np.float64]
SLOPES: dict[str, Callable[[Values], Values]] = {
    "tanh": lambda y: 1 - y * y,
    "sigmoid": lambda y: y * (1 - y),
}


class Rounded:
    """A float64 row with the variance of the rounding errors of computing it in a lower precision."""

    __array_ufunc__ = None  # array op Rounded must reach the reflected operators below

    def __init__(self, value: Values, variance: Values, rounding: Rounding) -> None:
        self.value = value
        self.variance = variance
        self.rounding = rounding

    def _made(self, value: Any, variance: Any) -> Rounded:
        return Rounded(value, variance + self.rounding.element * np.square(value), self.rounding)

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
        variance = self.rounding.product(self.value, self.variance, matrix)
        return Rounded(self.value @ matrix, variance, self.rounding)

    def __getitem__(self, key: Any) -> Rounded:
        return Rounded(self.value[key], self.variance[key], self.rounding)

    def activate(self, name: str) -> Rounded:
        """Applies an activation of the oracle."""
        value = reference.ACTIVATIONS[name](self.value)
        variance = np.square(SLOPES[name](value)) * self.variance + self.rounding.activation
        return Rounded(value, variance, self.rounding)

    @staticmethod
    def stack(parts: Sequence[Rounded]) -> Rounded:
        """Puts equal shapes under a new first axis."""
        values, variances = np.stack([p.value for p in parts]), np.stack([p.variance for p in parts])
        return Rounded(values, variances, parts[0].rounding)


@lru_cache(maxsize=4)
def expected(problem: Problem, with_states: bool, precision: str = "full") -> list[Rounded]:
    """Output sequence and final states of the problem's distinct rows, from zero or from its states."""
    weights = [np.asarray(a, np.float64) for a in (problem.kernel, problem.recurrent, problem.bias)]
    rounding = rounding_of(precision, problem, weights[0])
    layer = reference.Layer((reference.CELLS[problem.cell](*weights),), return_sequences=True)

    def lift(row: Any) -> Rounded:
        exact = np.asarray(row, np.float64)
        return Rounded(exact, np.zeros_like(exact), rounding)

    rows = slice(problem.distinct)
    states = list(problem.states[:, rows]) if with_states else None
    mask = None if problem.mask is None else problem.mask[rows]
    result = reference.run(layer, problem.inputs[rows], mask, states, lift)
    return [result.output, *result.states]


def excess(problem: Problem, task: str, results: Sequence[NDArray[Any]], precision: str = "full") -> float:
    """The largest error of a result over what rounding explains; above 1 the result is wrong.

    Args:
        problem: what was computed.
        task: what the contestant was asked to do: "states" starts from the problem's states, "stream" gives
            one output without states.
        results: the output `(B, T, H)`, or the outputs of the unmasked steps one after the other, `(n, H)`;
            then the final states.
        precision: what it was asked to compute in; its results have the problem's dtype all the same.
    """
    wanted = expected(problem, task == "states", precision)
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
