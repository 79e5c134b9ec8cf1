"""The rows that `Model.predict` gets: arrays, or lists of arrays of different lengths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.engine import nest
from rnnpack.symbolic import SymbolicArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one input.

    Attributes:
        rows: an array without batch axis for each.
        name: of the input.
    """

    rows: list[NDArray[Any]]
    name: str

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> NDArray[np.intp]:
        """Sizes of the rows' first axes; 0 for single numbers."""
        return np.array([row.shape[0] if row.ndim else 0 for row in self.rows], np.intp)

    @property
    def rank(self) -> int:
        """Number of axes, with that of the batch."""
        return self.rows[0].ndim + 1

    @cached_property
    def even(self) -> bool:
        """Whether the rows differ in length only."""
        return self.rank > 1 and len({row.shape[1:] for row in self.rows}) == 1

    def alike(self, batch: NDArray[np.intp]) -> bool:
        """Whether some of the rows have the same shape."""
        return len({self.rows[number].shape for number in batch}) == 1

    def padded(self, batch: NDArray[np.intp]) -> NDArray[Any]:
        """Some of the rows as one array, with zeros at the ends of shorter ones."""
        rows = [self.rows[number] for number in batch]
        if self.alike(batch):
            return np.stack(rows)
        array = np.zeros((len(rows), max(map(len, rows)), *rows[0].shape[1:]), np.result_type(*rows))
        for target, row in zip(array, rows, strict=True):
            target[: len(row)] = row
        return array

    def refuse_empty(self) -> None:
        """Raises ValueError if a row has no timestep."""
        if not self.lengths.all():
            number = int(np.argmin(self.lengths))
            raise ValueError(f'Row {number} of input "{self.name}" must have at least one timestep')


def assigned(x: Any, expected: Any) -> list[Any]:
    """What `predict` was given for each flat input: an array, or Rows.

    Args:
        x: in the structure of the inputs, or a dict by their names; for one input also in a list.
        expected: the nest of symbolic inputs.

    Raises:
        ValueError: the structure is another, or rows do not fit their input.
    """
    symbols = nest.flatten(expected)
    names = [symbol.name for symbol in symbols]
    if isinstance(x, dict) and not (isinstance(expected, dict) and x.keys() == expected.keys()):
        if x.keys() != set(names):
            raise ValueError(f"`x` must have the inputs {names}, got {sorted(map(str, x))}")
        return [_leaf(x[symbol.name], symbol) for symbol in symbols]
    given = list(_matched(x, expected))
    return [_leaf(value, symbol) for value, symbol in zip(given, symbols, strict=True)]


def _matched(x: Any, expected: Any) -> Any:
    """The parts of `x` in the places of the expected leaves."""
    if not nest.is_nested(expected):
        yield x
        return
    below = list(nest.children(expected))
    fits = isinstance(x, dict) == isinstance(expected, dict) and isinstance(x, (list, tuple, dict))
    if not fits or len(x) != len(below):
        got = f"{len(x)} of them" if fits else f"a {type(x).__name__}"
        raise ValueError(f"`x` must be in the structure of the model's {len(below)} inputs, got {got}")
    for part, symbols in zip(nest.children(x), below, strict=True):
        yield from _matched(part, symbols)


def _leaf(value: Any, symbol: SymbolicArray) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = list(value)
    if isinstance(value, (list, tuple)) and len(value) == 1 and hasattr(value[0], "__array__"):
        value = value[0] if np.ndim(value[0]) == len(symbol.shape) else value
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError(f'`x` holds no rows for input "{symbol.name}"')
        return Rows([_row(row, number, symbol) for number, row in enumerate(value)], symbol.name)
    array = np.asarray(value)
    if array.ndim == 0:
        raise ValueError(f'`x` for input "{symbol.name}" must have rows, got a {type(value).__name__}')
    if _row_shape(array.shape[1:], symbol) is None:
        raise ValueError(
            f'Input "{symbol.name}" is incompatible with the model: expected rows of shape '
            f"{symbol.shape[1:]}, got an array of shape {array.shape}"
        )
    return array


def _row(value: Any, number: int, symbol: SymbolicArray) -> NDArray[Any]:
    try:
        row = np.asarray(value)
    except ValueError:
        row = np.empty(0, object)
    shape = _row_shape(row.shape, symbol)
    if shape is None or row.dtype.kind not in "biuf":
        raise ValueError(
            f'Row {number} of input "{symbol.name}" must be numbers of shape {symbol.shape[1:]}, got '
            f"shape {row.shape} of {row.dtype}"
        )
    return row.reshape(shape)


def _row_shape(shape: tuple[int, ...], symbol: SymbolicArray) -> tuple[int, ...] | None:
    """The shape of a row, with a last axis of size 1 where only that is missing; None if it does not fit."""
    wanted = symbol.shape[1:]
    if len(shape) + 1 == len(wanted) and wanted[-1] == 1:
        shape = (*shape, 1)
    fits = len(shape) == len(wanted) and all(w in (None, n) for w, n in zip(wanted, shape, strict=True))
    return shape if fits else None


def checked_count(leaves: list[Any], batch_size: Any) -> int:
    """The number of rows.

    Raises:
        ValueError: the inputs have different numbers, or `batch_size` is not a positive whole number.
    """
    counts = {len(leaf) for leaf in leaves}
    if len(counts) != 1 or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(
            f"`x` must have one number of rows and `batch_size` be positive and whole, "
            f"got {sorted(counts)} and {batch_size!r}"
        )
    return counts.pop()


def shape_for(x: Any) -> tuple[int | None, ...]:
    """The shape that a model without an input is built for: sizes of all rows, None where rows differ.

    Raises:
        ValueError: `x` is neither an array nor a list of rows.
    """
    rows = x if isinstance(x, (list, tuple)) and x else [np.asarray(x)]
    if len(rows) == 1 and hasattr(rows[0], "__array__") and (rows is not x or np.ndim(rows[0]) > 2):
        return (None, *np.shape(rows[0])[1:])
    try:
        shapes = [np.shape(row) for row in rows]
        return (None, *(n[0] if len(set(n)) == 1 else None for n in zip(*shapes, strict=True)))
    except ValueError:
        raise ValueError("`x` must be an array, or a list of rows with as many axes each") from None
