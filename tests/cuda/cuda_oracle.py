"""How results of layers on a GPU are compared with the float64 oracle, in every number format.

Full precision is float32 or float64 and held to the running error bounds of ``tolerance.py``. In the other
formats weights, and what they are multiplied with, are rounded first; the oracle of ``precision.oracle``
rounds the same numbers and computes the rest exactly, so that what is left is float32's rounding (and one
step of the format's grid where that rounding decides between two of its points).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import tolerance
from contract.contract_oracle import flatten, reference_cell, reference_layer
from numpy.typing import NDArray
from precision import oracle

from rnnpack import ProjectedLSTMCell

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Format:
    """A floating format as a grid for ``precision.oracle.Matrix``.

    Attributes:
        precision: its name.
        bits: of the significand, with the one that is not stored.
        lowest: the exponent (of ``frexp``) below which numbers lie as close as there.
        highest: numbers of this exponent and more are infinite.
        doubt: a part of each number that it may be off before it is rounded, so that ties may go either way:
            to the even one of two, or away from zero, as the instruction for tf32 rounds.
    """

    precision: str
    bits: int
    lowest: int
    highest: int
    doubt: float = 0.0

    def nearest(self, values: Array) -> Array:
        """The format's numbers."""
        step = np.ldexp(1.0, np.maximum(np.frexp(values)[1], self.lowest) - self.bits)
        with np.errstate(invalid="ignore"):
            result = np.rint(values / step) * step
        return np.where(np.abs(result) >= 2.0**self.highest, np.copysign(np.inf, values), result)

    def rounded(self, value: Array, error: Array) -> tuple[Array, Array]:
        """The format's numbers for values that are known to within ``error``, and how far they may be off."""
        error = error + self.doubt * np.abs(value)
        middle = self.nearest(value)
        with np.errstate(invalid="ignore"):
            spread = np.maximum(self.nearest(value + error) - middle, middle - self.nearest(value - error))
        return middle, np.where(error > 0, spread, 0.0)


FORMATS = {
    one.precision: one
    for one in (
        Format("tf32", 11, -125, 128, doubt=2.0**-40),
        Format("bfloat16", 8, -125, 128),
        Format("float16", 11, -13, 16),
    )
}
FULL = ("float32", "float64")
NAMES = (*FULL, *FORMATS)


class _Rounded(oracle.Rounded):
    """A kernel of a reduced format."""

    def __init__(self, weights: Array, grid: Any, factors: Array | None = None) -> None:
        """See ``oracle.Matrix``."""
        oracle.Matrix.__init__(self, weights, grid, factors)
        self.columns, self.doubt = grid.rounded(weights, np.zeros_like(weights))


def _reduced(cell: Any, grid: Format) -> Any:
    plain: Any = reference_cell(cell)
    matrices = {
        name: _Rounded(getattr(plain, name), grid)  # type: ignore[arg-type]
        for name in ("kernel", "recurrent_kernel")
    }
    if isinstance(cell, ProjectedLSTMCell):
        matrices["projection_kernel"] = _Rounded(plain.projection_kernel, grid)  # type: ignore[arg-type]
    return dataclasses.replace(plain, **matrices)


def number_format(layer: Any) -> str:
    """The name of the format that a layer's products are computed in."""
    return str(layer.compute_dtype) if layer.precision == "full" else str(layer.precision)


def oracle_layer(layer: Any) -> Any:
    """The oracle's layer of a built layer, in the layer's number format."""
    plain, grid = reference_layer(layer), FORMATS.get(number_format(layer))
    if grid is None:
        return plain
    cells = tuple(_reduced(cell, grid) for cell in oracle.members(layer))
    return dataclasses.replace(plain, cells=cells)


def _values(array: Any, dtype: Any) -> Any:
    return np.asarray(array, dtype).astype(np.float64)


def expected(layer: Any, x: Any, mask: Any = None, states: Any = None) -> list[tolerance.Bounded]:
    """``[output, *states]`` of ``layer(x, ...)``, with error bounds."""
    dtype = layer.compute_dtype
    flat = None if states is None else [_values(one, dtype) for one in flatten(states)]
    x = _values(x, dtype)
    if number_format(layer) in FORMATS:
        return list(oracle.run(oracle_layer(layer), x, mask, flat))
    found = tolerance.run(oracle_layer(layer), x, mask, flat, dtype=dtype)
    return [found.output, *found.states]


def expected_pair(layer: Any, x: Any, mask: Any = None, states: Any = None) -> list[tolerance.Bounded]:
    """``[*outputs, *states]`` of a Bidirectional, with error bounds."""
    pair = [oracle_layer(one) for one in (layer.forward_layer, layer.backward_layer)]
    dtype = layer.forward_layer.compute_dtype
    flat = None if states is None else [_values(one, dtype) for one in flatten(states)]
    x = _values(x, dtype)
    if number_format(layer.forward_layer) in FORMATS:
        return list(oracle.run_pair(pair, layer.merge_mode, x, mask, flat))
    found = tolerance.run_bidirectional(*pair, layer.merge_mode, x, mask, flat, dtype=dtype)
    return [*flatten([found.output]), *found.states]


def assert_within(result: Any, want: list[tolerance.Bounded], dtype: Any) -> None:
    """Every array of a result within its bounds, and one smallest normal number: denormals may be flushed."""
    got = flatten([result])
    assert len(got) == len(want)
    info = np.finfo(dtype)
    for array, bounded in zip(got, want, strict=True):
        assert array.dtype == dtype
        error = bounded.error + info.tiny
        if dtype == np.float16:  # computed in float32, and rounded once
            error = error + np.abs(bounded.value) * info.eps / 2
        assert tolerance.excess(array, bounded.value, error) <= 1


def assert_right(layer: Any, result: Any, x: Any, mask: Any = None, states: Any = None) -> None:
    """The result of ``layer(x, ...)``, with its states if it returns them, agrees with the oracle."""
    want = expected(layer, x, mask, states)
    assert_within(result, want if layer.return_state else want[:1], np.dtype(layer.compute_dtype))


def assert_pair_right(layer: Any, result: Any, x: Any, mask: Any = None, states: Any = None) -> None:
    """The same for a Bidirectional."""
    want = expected_pair(layer, x, mask, states)
    outputs = 2 if layer.merge_mode is None else 1
    dtype = np.dtype(layer.forward_layer.compute_dtype)
    assert_within(result, want if layer.return_state else want[:outputs], dtype)
