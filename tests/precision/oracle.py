"""Oracle of reduced precision: the loops of `reference.py` on matrices and rows that are rounded first.

What the precisions promise is arithmetic on rounded numbers, so the oracle rounds the same numbers and
computes everything else in float64. One thing stands between it and a comparison with a float32 tolerance: a
row that is rounded carries float32's noise already, and where it lies that close to the middle between two
points of the grid, the noise decides which of them it becomes. So rows here carry error bounds
(`tolerance.Bounded`), and a rounding carries them on exactly: rounding is monotone, a value v known to within
e becomes something between `round(v - e)` and `round(v + e)`. Nearly always the three are equal, and what
follows is as exact as float32 is; else the bound grows by that one step of the grid (2^-8 to 2^-7 of the
value in bfloat16, 1/127 of the range in int8) times the weights behind it.

`Rounded` matrices are for that comparison. `Explained` ones are for the distance from exact results: nothing
is rounded, and each product adds the largest error that rounding its two operands may cause.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import reference
import tolerance
from contract.contract_oracle import reference_cell, reference_layer
from numpy.typing import NDArray

from rnnpack import ProjectedLSTMCell, StackedRNNCells

Array = NDArray[np.float64]

# The activations whose values, and so the rows of h behind them, stay within -1 and 1.
BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "softsign")
LEVELS = 127  # of int8 on either side of zero
BFLOAT16_BITS = 8  # of the significand, with the one that is not stored
BFLOAT16_SPREAD = 2.0**-BFLOAT16_BITS  # rounding to it moves a number by at most this part of it
FLOAT32 = float(np.finfo(np.float32).eps) / 2  # unit roundoff
# A number's place on the grid of int8 is found with two roundings to float32, of the grid and the quotient;
# one more for a range that is a float32 number itself.
PLACE = 3 * FLOAT32
# An exact integer becomes a number: its conversion, both scales, their product, and the product with it, each
# once; one to spare.
EXACT_SUM = 6 * FLOAT32


def bfloat16(values: Array) -> Array:
    """The nearest number with 8 bits and float32's exponents, the even one of two; beyond them infinity."""
    exponent = np.maximum(np.frexp(values)[1], -125)  # below 2^-126 numbers lie as close as just above
    step = np.ldexp(1.0, exponent - BFLOAT16_BITS)
    with np.errstate(invalid="ignore"):
        nearest = np.rint(values / step) * step
    return np.where(np.abs(nearest) >= 2.0**128, np.copysign(np.inf, values), nearest)


@dataclass(frozen=True)
class Grid:
    """Where the rows that are multiplied with one matrix are rounded to; also the columns of the matrix.

    Attributes:
        precision: "bfloat16" or "int8".
        unit: whether the range of values within -1 and 1 is 1.
        fixed: the range of all values, 0 for the largest magnitude of each column.
        doubt: how far a fixed range may be off, as a part of it.
    """

    precision: str
    unit: bool = False
    fixed: float = 0.0
    doubt: float = 0.0

    def rounded(self, value: Array, error: Array) -> tuple[Array, Array]:
        """Round the columns of values that are known to within `error`."""
        if self.precision == "bfloat16":
            nearest = bfloat16(value)
            with np.errstate(invalid="ignore"):
                spread = np.maximum(bfloat16(value + error) - nearest, nearest - bfloat16(value - error))
            return nearest, np.where(error > 0, spread, 0.0)
        top, unsure = self.ranges(value, error)
        # With a range of 127 times a power of two all quotients of exact numbers are exact, also in float32.
        exact = (np.frexp(top)[0] == LEVELS / 128) & (unsure == 0) & (error == 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            place = np.where(top == 0, 0.0, value / top * LEVELS)
            doubt = np.where(
                exact | (top == 0), 0.0, error / top * LEVELS + abs(place) * (unsure / top + PLACE)
            )
            nearest, low, high = (
                np.clip(np.rint(p), -LEVELS, LEVELS) for p in (place, place - doubt, place + doubt)
            )
            spread = np.maximum(high - nearest, nearest - low) * (top + unsure) + np.abs(nearest) * unsure
        return nearest * top / LEVELS, spread / LEVELS

    def ranges(self, value: Array, error: Array) -> tuple[Array, Array]:
        """The range of each column, and how far it may be off."""
        finite = np.isfinite(value).all(axis=0)
        # A column of infinities and of other numbers has no grid at all.
        top, unsure = np.abs(np.where(finite, value, np.nan)).max(axis=0), error.max(axis=0)
        if self.fixed:
            top = np.where(finite, self.fixed, np.nan)
            return top, top * self.doubt
        if self.unit:
            # At 1 one rule becomes the other, and there they give the same range.
            return np.where(top <= 1, 1.0, top), np.where(top + unsure <= 1, 0.0, unsure)
        return top, unsure

    def spread(self, value: Array, error: Array) -> Array:
        """How far rounding may move numbers that are known to within `error`."""
        if self.precision == "bfloat16":
            return (np.abs(value) + error) * BFLOAT16_SPREAD
        top, unsure = self.ranges(value, error)
        return np.broadcast_to((top + unsure) / (2 * LEVELS), value.shape) * (1 + 2 * LEVELS * PLACE)


class Matrix:
    """A kernel; `row @ matrix` is how a product of reduced precision is.

    Args:
        weights: `(rows, columns)`.
        grid: of the rows that are multiplied with it.
        factors: what dropout multiplies a row with, for each column: `(rows, columns)`, or None.
    """

    def __init__(self, weights: Array, grid: Grid, factors: Array | None = None) -> None:
        """See the class."""
        self.weights = weights
        self.grid = grid
        self.factors = factors
        self.shape = weights.shape

    def __getitem__(self, key: Any) -> Matrix:
        """Some columns."""
        return type(self)(self.weights[key], self.grid, None if self.factors is None else self.factors[key])

    def product(self, value: Array, error: Array, chain: int) -> tuple[Array, Array]:
        """The product with columns of values, each with its own column of weights if there are several."""
        raise NotImplementedError

    def times(self, row: Row) -> tuple[Array, Array]:
        """Value and error of the row's product."""
        value, error = row.value[:, None], row.error[:, None]
        if self.factors is not None:
            # Powers of two and zeros change no digit.
            rounds = ~np.isin(np.frexp(self.factors)[0], (0.0, 0.5))
            value = value * self.factors
            error = error * np.abs(self.factors) + rounds * FLOAT32 * np.abs(value)
        return self.product(value, error, row.chain)


def _sum(rows: Array, weights: Array) -> Array:
    """One row times all columns, or each with its own."""
    return rows[:, 0] @ weights if rows.shape[1] == 1 else np.asarray((rows * weights).sum(axis=0))


class Rounded(Matrix):
    """Rounds its columns, and every row."""

    def __init__(self, weights: Array, grid: Grid, factors: Array | None = None) -> None:
        """See the class."""
        super().__init__(weights, grid, factors)
        self.columns, self.doubt = Grid(grid.precision).rounded(weights, np.zeros_like(weights))

    def product(self, value: Array, error: Array, chain: int) -> tuple[Array, Array]:
        """See the class `Matrix`."""
        value, error = self.grid.rounded(value, error)
        total, size, columns = _sum(value, self.columns), np.abs(value), np.abs(self.columns)
        spread = _sum(error, columns) + _sum(size, self.doubt) + _sum(error, self.doubt)
        if self.grid.precision == "int8":
            return total, spread + EXACT_SUM * np.abs(total)
        return total, spread + chain * FLOAT32 * _sum(size, columns)


class Explained(Matrix):
    """Rounds nothing, and says how far from exact a product of rounded numbers may be."""

    def product(self, value: Array, error: Array, chain: int) -> tuple[Array, Array]:
        """See the class `Matrix`."""
        columns = np.abs(self.weights)
        off = Grid(self.grid.precision).spread(self.weights, np.zeros_like(self.weights))
        error = error + self.grid.spread(value, error)
        spread = _sum(error, columns + off) + _sum(np.abs(value), off)
        return _sum(value, self.weights), spread + chain * FLOAT32 * _sum(
            np.abs(value) + error, columns + off
        )


class Row(tolerance.Bounded):
    """A row with its error bound that knows both kinds of matrices."""

    def _make(self, value: Any, error: Any) -> Row:
        return Row(np.asarray(value), np.asarray(error), self.u, self.chain)

    def __matmul__(self, matrix: Any) -> tolerance.Bounded:
        """See `Matrix`."""
        return self._make(*matrix.times(self)) if isinstance(matrix, Matrix) else super().__matmul__(matrix)


def lifter(chain: int) -> Callable[[Any], Row]:
    """Rows of exact float32 numbers."""

    def lift(row: Any) -> Row:
        exact = np.asarray(row, np.float64)
        return row if isinstance(row, Row) else Row(exact, np.zeros_like(exact), FLOAT32, chain)

    return lift


@dataclass(frozen=True)
class Ranges:
    """What calibration has fixed for one cell; 0 is nothing."""

    inputs: float = 0.0
    states: float = 0.0
    doubt: float = 0.0


def _expanded(factors: Any, gates: int, units: int) -> Array | None:
    """Factors of each gate, `(gates or 1, size)`, as a column for each column of the kernel."""
    if factors is None:
        return None
    each = np.broadcast_to(np.asarray(factors, np.float64), (gates, np.shape(factors)[-1]))
    return np.repeat(each, units, axis=0).T


def reduced(
    cell: Any,
    precision: str,
    kind: type[Matrix] = Rounded,
    ranges: Ranges | None = None,
    dropout: tuple[Any, Any] = (None, None),
) -> Any:
    """The oracle's cell of a built cell; `dropout` are one sample's factors of inputs and states."""
    plain: Any = reference_cell(cell)
    ranges = ranges or Ranges()
    units = plain.state_sizes[-1]
    gates = plain.recurrent_kernel.shape[1] // units
    bounded = plain.activation in BOUNDED
    inputs = Grid(precision, fixed=ranges.inputs, doubt=ranges.doubt)
    states = Grid(precision, bounded, 0.0 if bounded else ranges.states, ranges.doubt)
    factors = [_expanded(f, gates, units) for f in dropout]
    kernel = kind(plain.kernel, inputs, factors[0])
    if isinstance(cell, ProjectedLSTMCell):  # what is projected stays within bounds, h need not
        projection = kind(plain.projection_kernel, Grid(precision, bounded))
        states = Grid(precision, fixed=ranges.states, doubt=ranges.doubt)
        plain = dataclasses.replace(plain, projection_kernel=projection)
    return dataclasses.replace(
        plain, kernel=kernel, recurrent_kernel=kind(plain.recurrent_kernel, states, factors[1])
    )


def members(layer: Any) -> list[Any]:
    """The cells of a layer."""
    return list(layer.cell.cells) if isinstance(layer.cell, StackedRNNCells) else [layer.cell]


def reduced_layer(
    layer: Any, precision: str, kind: type[Matrix] = Rounded, ranges: Sequence[Ranges] = ()
) -> reference.Layer:
    """The oracle's layer of a built layer."""
    cells = members(layer)
    each = ranges or [Ranges()] * len(cells)
    oracles = tuple(reduced(c, precision, kind, r) for c, r in zip(cells, each, strict=True))
    return dataclasses.replace(reference_layer(layer), cells=oracles)


def run(layer: reference.Layer, inputs: NDArray[Any], mask: Any = None, states: Any = None) -> list[Row]:
    """`[output, *states]`."""
    lift = lifter(tolerance.chain_length(layer, inputs.shape[-1]))
    found = reference.run(layer, inputs, mask, states, lift)
    return [found.output, *found.states]


def run_pair(
    pair: Sequence[reference.Layer],
    mode: str | None,
    inputs: NDArray[Any],
    mask: Any = None,
    states: Any = None,
) -> list[Row]:
    """`[*outputs, *states]` of both directions."""
    lift = lifter(max(tolerance.chain_length(layer, inputs.shape[-1]) for layer in pair))
    found = reference.run_bidirectional(pair[0], pair[1], mode, inputs, mask, states, lift)
    return [*(found.output if isinstance(found.output, list) else [found.output]), *found.states]


def seen(layer: Any, sample: NDArray[Any], doubt: float = 1e-5) -> list[Ranges]:
    """The largest magnitudes of x and of h of every cell on a sample, computed exactly.

    The default doubt is for short samples and small cells: float32 is off by some hundred roundings at most.
    """
    whole, rows, found = reference_layer(layer), np.asarray(sample, np.float64), []
    if whole.time_major:
        rows = rows.swapaxes(0, 1)
    if whole.go_backwards:
        rows = rows[:, ::-1]
    for cell in whole.cells:
        outputs = reference.run(reference.Layer((cell,), return_sequences=True), rows).output
        found.append(Ranges(float(np.abs(rows).max()), float(np.abs(outputs).max()), doubt))
        rows = outputs
    return found
