"""Tolerances by running error analysis: rounding bounds carried through the oracle's own loops.

``Bounded`` is a row that knows how far an implementation in a given precision may be from the exact value.
With the unit roundoff ``u`` (half the machine epsilon) the rules are Wilkinson's (Higham, "Accuracy and
Stability of Numerical Algorithms", 2nd ed., sections 3.1 and 3.3), to first order:

* ``a + b``: the errors add, plus ``u |a + b|``.
* ``a b``: ``|a| err(b) + |b| err(a) + err(a) err(b) + u |a b|``.
* ``a @ W`` in any order of summation, also when fused with other sums of the same gate:
  ``err(a) |W| + n u (|a| |W|)``, n the longest chain of additions a gate can have.
* activation: its Lipschitz constant times the incoming error, plus ``ACTIVATION_ULPS u max(1, |value|)``
  for the polynomial or rational approximation inside.

So a tolerance is k * eps * norm with k and norm worked out per element. A value no arithmetic touched (a
zero at a masked step, a frozen initial state) has bound zero: it must be exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import reference
from numpy.typing import DTypeLike, NDArray

# Vector libraries promise 1 to 4 units in the last place for exp, tanh and erf; sigmoid, softplus, swish and
# gelu combine such a call with two to three further operations.
ACTIVATION_ULPS = 8.0

# Largest slopes, rounded up. gelu: 1.1290 at x = sqrt(2); swish: 1.0999 at x = 2.40; selu: scale * alpha
# left of zero; softmax: rows of its Jacobian have absolute sum 2 p (1 - p) <= 1/2, applied to the largest
# error of the row.
LIPSCHITZ = {
    "linear": 1.0,
    "tanh": 1.0,
    "sigmoid": 0.25,
    "hard_sigmoid": 0.2,
    "relu": 1.0,
    "elu": 1.0,
    "selu": 1.7581,
    "softplus": 1.0,
    "softsign": 1.0,
    "swish": 1.1,
    "gelu": 1.13,
    "softmax": 0.5,
}

Values = NDArray[np.float64]


class Bounded:
    """A float64 value with a bound on the error of computing it with unit roundoff ``u``."""

    __array_ufunc__ = None  # array op Bounded must reach the reflected operators below

    def __init__(self, value: Values, error: Values, u: float, chain: int) -> None:
        """Keep the value, its error bound, the unit roundoff and the longest chain of additions."""
        self.value = value
        self.error = error
        self.u = u
        self.chain = chain

    def _make(self, value: Any, error: Any) -> Bounded:
        return Bounded(np.asarray(value), np.asarray(error), self.u, self.chain)

    def _split(self, other: Any) -> tuple[Any, Any]:
        return (other.value, other.error) if isinstance(other, Bounded) else (np.asarray(other, float), 0.0)

    def __add__(self, other: Any) -> Bounded:
        """See the rules above."""
        value, error = self._split(other)
        total = self.value + value
        return self._make(total, self.error + error + self.u * np.abs(total))

    __radd__ = __add__

    def __rsub__(self, other: Any) -> Bounded:
        """Rounds like a sum."""
        return self._make(-self.value, self.error).__add__(other)

    def __mul__(self, other: Any) -> Bounded:
        """See the rules above."""
        value, error = self._split(other)
        product = self.value * value
        spread = np.abs(self.value) * error + np.abs(value) * self.error + self.error * error
        return self._make(product, spread + self.u * np.abs(product))

    __rmul__ = __mul__

    def __matmul__(self, matrix: Any) -> Bounded:
        """Times an exact matrix, see the rules above."""
        weights = np.asarray(matrix, float)
        norm = np.abs(self.value) @ np.abs(weights)
        return self._make(self.value @ weights, self.error @ np.abs(weights) + self.chain * self.u * norm)

    def __getitem__(self, key: Any) -> Bounded:
        """Part of the values with their bounds."""
        return self._make(self.value[key], self.error[key])

    def swapaxes(self, first: int, second: int) -> Bounded:
        """Exchange two axes."""
        return self._make(self.value.swapaxes(first, second), self.error.swapaxes(first, second))

    def activate(self, name: str) -> Bounded:
        """Apply an activation of the oracle."""
        if name == "linear":
            return self
        value = reference.ACTIVATIONS[name](self.value)
        if name == "exponential":
            spread = value * np.expm1(self.error)
        elif name == "softmax":
            spread = LIPSCHITZ[name] * self.error.max(axis=-1, keepdims=True)
        else:
            spread = LIPSCHITZ[name] * self.error
        return self._make(value, spread + ACTIVATION_ULPS * self.u * np.maximum(1.0, np.abs(value)))

    @staticmethod
    def stack(parts: Sequence[Bounded]) -> Bounded:
        """Put equal shapes under a new first axis."""
        return parts[0]._make(np.stack([p.value for p in parts]), np.stack([p.error for p in parts]))

    @staticmethod
    def concatenate(parts: Sequence[Bounded]) -> Bounded:
        """Join along the last axis."""
        value = np.concatenate([p.value for p in parts], axis=-1)
        return parts[0]._make(value, np.concatenate([p.error for p in parts], axis=-1))


def lifter(dtype: DTypeLike, chain: int) -> Callable[[Any], Bounded]:
    """Rows that are exact to begin with (or ``Bounded`` already) and are then computed in ``dtype``.

    Args:
        dtype: floating dtype of the implementation under test.
        chain: longest chain of additions: input features + units + biases of the widest cell.
    """
    u = float(np.finfo(dtype).eps) / 2

    def lift(row: Any) -> Bounded:
        if isinstance(row, Bounded):
            return row
        exact = np.asarray(row, np.float64)
        return Bounded(exact, np.zeros_like(exact), u, chain)

    return lift


def chain_length(layer: reference.Layer, features: int) -> int:
    """Longest chain of additions of any gate of the layer's cells."""
    widths = [features, *(cell.output_size for cell in layer.cells)]
    pairs = zip(widths, layer.cells, strict=False)
    # States beside h are as wide as the gates, and a projection adds up as many products.
    return max(width + max(cell.state_sizes) + 3 for width, cell in pairs)


def run(layer: reference.Layer, inputs: NDArray[Any], *args: Any, dtype: DTypeLike, **kwargs: Any) -> Any:
    """``reference.run`` whose output and states are ``Bounded`` for an implementation in ``dtype``."""
    lift = lifter(dtype, chain_length(layer, inputs.shape[-1]))
    return reference.run(layer, inputs, *args, **{**kwargs, "lift": lift})


def run_bidirectional(
    forward: reference.Layer,
    backward: reference.Layer,
    mode: str | None,
    inputs: NDArray[Any],
    *args: Any,
    dtype: DTypeLike,
    **kwargs: Any,
) -> Any:
    """``reference.run_bidirectional`` with ``Bounded`` results."""
    chain = max(chain_length(layer, inputs.shape[-1]) for layer in (forward, backward))
    lift = lifter(dtype, chain)
    return reference.run_bidirectional(forward, backward, mode, inputs, *args, **{**kwargs, "lift": lift})


def excess(actual: NDArray[Any], expected: NDArray[Any], bound: NDArray[Any] | float) -> float:
    """Largest ``|actual - expected| / bound``; 0 where both are equal, infinite where a zero bound is missed.

    A comparison passes when the result is at most 1. NaN or infinity on one side only counts as infinite.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        raise AssertionError(f"shape {actual.shape}, expected {expected.shape}")
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    if bool(same.all()):
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(same, 0.0, np.abs(actual - expected) / bound)
    return float(np.where(np.isnan(ratio), math.inf, ratio).max())
