"""The oracle of a number format: rows whose products round both factors first, and nothing else.

Weights, inputs, h and what a second pass multiplies become numbers of the format; sums, gates, biases, c and
the h that a GRU interpolates stay floats. So rows round the same numbers and carry float32's error bounds
along. Rounding is monotone: a value known to within e becomes something between ``nearest(v - e)`` and
``nearest(v + e)``. Nearly always the two are equal, and a comparison is as sharp as float32; else the bound
grows by that one step of the format times the weights behind it. What is known exactly is rounded exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import reference
import tolerance
from numpy.typing import NDArray

Values = NDArray[np.float64]
FLOAT32 = float(np.finfo(np.float32).eps) / 2


@dataclass(frozen=True)
class Grid:
    """The numbers of a format; exponents are those of ``frexp``.

    Attributes:
        bits: of the significand, the one that is not stored included.
        lowest: exponent below which numbers lie no closer.
        highest: from ``2**highest`` on there is only infinity.
        ties_away: from zero, else to the even one of two.
    """

    bits: int
    lowest: int
    highest: int
    ties_away: bool = False


GRIDS = {
    "tf32": Grid(11, -125, 128, ties_away=True),
    "bfloat16": Grid(8, -125, 128),
    "float16": Grid(11, -13, 16),
}


def nearest(values: Any, number_format: str) -> Values:
    """The nearest numbers of the format, as float64; infinities and NaN stay."""
    grid = GRIDS[number_format]
    values = np.asarray(values, np.float64)
    step = np.ldexp(1.0, np.maximum(np.frexp(values)[1], grid.lowest) - grid.bits)
    place = values / step
    whole = np.copysign(np.floor(np.abs(place) + 0.5), place) if grid.ties_away else np.rint(place)
    result = whole * step
    return np.where(np.abs(result) >= 2.0**grid.highest, np.copysign(np.inf, values), result)


class Row(tolerance.Bounded):
    """A row of floats whose products round both factors to a format."""

    def __init__(self, value: Values, error: Values, chain: int, number_format: str) -> None:
        """Keep what the row is, how far it may be off, and the format."""
        super().__init__(value, error, FLOAT32, chain)
        self.number_format = number_format

    def _make(self, value: Any, error: Any) -> Row:
        return Row(np.asarray(value), np.asarray(error), self.chain, self.number_format)

    def __matmul__(self, matrix: Any) -> Row:
        """The product of the rounded row and a matrix of numbers of the format."""
        weights = np.asarray(matrix, np.float64)
        middle, low, high = (
            nearest(self.value + shift, self.number_format) for shift in (0.0, -self.error, self.error)
        )
        norm = np.abs(middle) @ np.abs(weights)
        spread = np.maximum(high - middle, middle - low) @ np.abs(weights)
        return self._make(middle @ weights, spread + self.chain * self.u * norm)


def _rounded(cell: Any, number_format: str) -> Any:
    names = [n for n in ("kernel", "recurrent_kernel", "projection_kernel") if hasattr(cell, n)]
    return replace(cell, **{name: nearest(getattr(cell, name), number_format) for name in names})


def run(
    layer: reference.Layer, inputs: Any, mask: Any, initial_state: Any, number_format: str
) -> list[tolerance.Bounded]:
    """What a layer computes in a format, with bounds.

    Args:
        layer: with exact weights.
        inputs: (B, T, F), the very numbers that the implementation gets.
        mask: (B, T) or None.
        initial_state: flat list of (B, size), or None.
        number_format: "float32", "float64" or a name of ``GRIDS``.

    Returns:
        The output, then the final states.
    """
    if number_format not in GRIDS:
        found = tolerance.run(layer, inputs, mask, initial_state, dtype=number_format)
        return [found.output, *found.states]
    chain = tolerance.chain_length(layer, inputs.shape[-1])

    def lift(row: Any) -> Row:
        exact = np.asarray(row, np.float64)
        return Row(exact, np.zeros_like(exact), chain, number_format)

    rounded = replace(layer, cells=tuple(_rounded(cell, number_format) for cell in layer.cells))
    found = reference.run(rounded, inputs, mask, initial_state, lift)
    return [found.output, *found.states]
