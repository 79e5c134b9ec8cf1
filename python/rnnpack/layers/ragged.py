"""Ragged inputs: rows of different lengths, without padding; the outputs come in the same form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.engine import nest


@dataclass(frozen=True)
class Ragged:
    """A batch of rows.

    Attributes:
        values: the rows' timesteps one after the other, `(sum of lengths, ...)`.
        row_splits: int64 `(batch + 1,)`; row r is `values[row_splits[r]:row_splits[r + 1]]`.
        as_list: whether the caller gave a list of arrays, or a pair `(values, row_lengths)`.
    """

    values: NDArray[Any]
    row_splits: NDArray[np.int64]
    as_list: bool

    @property
    def batch(self) -> int:
        """Number of rows."""
        return len(self.row_splits) - 1

    @property
    def row_lengths(self) -> NDArray[np.int64]:
        """Timesteps of each row."""
        return np.diff(self.row_splits)

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape of the rows padded to the longest."""
        return (self.batch, int(self.row_lengths.max(initial=0)), *self.values.shape[1:])

    def padded(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The rows padded with zeros at their ends, and the mask that tells them apart."""
        shape = self.padded_shape
        mask = np.arange(shape[1]) < self.row_lengths[:, None]
        dense = np.zeros(shape, self.values.dtype)
        dense[mask] = self.values
        return dense, mask

    def with_values(self, values: NDArray[Any]) -> Any:
        """Other values for the same rows, in the caller's form."""
        if not self.as_list:
            return values, self.row_lengths
        return np.split(values, self.row_splits[1:-1])


def recognized(inputs: Any) -> Ragged | None:
    """Ragged inputs of a layer call, or None if they are something else.

    Args:
        inputs: a list whose first item is an array `(time, features)`, or a pair of values `(sum of lengths,
            ...)` and integer lengths `(batch,)`. Lists and tuples with another meaning begin with arrays of
            at least 3 axes, or hold none that has one axis.

    Raises:
        ValueError: rows or lengths do not fit together.
    """
    if type(inputs) is list and inputs and _rank(inputs[0]) == 2:
        return _from_rows(inputs)
    if type(inputs) is tuple and len(inputs) == 2 and _rank(inputs[1]) == 1 and _rank(inputs[0]) >= 2:
        return from_pair(np.asarray(inputs[0]), np.asarray(inputs[1]))
    return None


def _rank(value: Any) -> int:
    return np.ndim(value) if hasattr(value, "__array__") else -1


def _from_rows(rows: list[Any]) -> Ragged:
    features = np.shape(rows[0])[1]
    for index, row in enumerate(rows):
        if _rank(row) != 2 or np.shape(row)[1] != features:
            raise ValueError(
                "`inputs` as a list of rows must hold arrays (time, features) with the same features: "
                f"row 0 has shape {np.shape(rows[0])}, item {index} is "
                + (f"of shape {np.shape(row)}" if _rank(row) >= 0 else f"a {type(row).__name__}")
            )
    arrays = [np.asarray(row) for row in rows]
    splits = np.concatenate([[0], np.cumsum([len(row) for row in arrays])]).astype(np.int64)
    return Ragged(np.concatenate(arrays), splits, True)


def from_pair(values: NDArray[Any], lengths: NDArray[Any]) -> Ragged:
    """The rows of a pair (values, row_lengths); ValueError where they do not fit together."""
    if lengths.dtype.kind not in "iu" or np.any(lengths < 0):
        raise ValueError(
            "`inputs` as (values, row_lengths) needs lengths that are integers of at least 0, got "
            f"{lengths.dtype} lengths {lengths}"
        )
    total = sum(int(length) for length in lengths)  # which does not wrap around
    if total != len(values):
        raise ValueError(
            f"`inputs` as (values, row_lengths) needs lengths that add up to the {len(values)} timesteps of "
            f"the values, got {total}"
        )
    splits = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return Ragged(values, splits, False)


def call(layer: Any, rows: Ragged, run: Callable[..., Any], keywords: dict[str, Any]) -> Any:
    """A layer call with ragged inputs (contract: zero padding and a mask, seen from outside).

    Args:
        layer: recurrent layer, or a wrapper with the same flags.
        rows: the inputs.
        run: `run(rows, keywords)` computes them natively: a list of outputs, whose values are ragged if the
            layer returns sequences, followed by states; None where that cannot be.
        keywords: the other call arguments.

    Raises:
        ValueError: the layer or an argument does not go together with ragged inputs.
    """
    inner = getattr(layer, "forward_layer", layer)
    if keywords.get("mask") is not None:
        raise ValueError("`mask` must be None with ragged inputs: where a row ends, its timesteps end")
    if getattr(inner, "unroll", False):
        raise ValueError("The input received contains ragged rows, which need unroll=False")
    if getattr(inner, "time_major", False):
        raise ValueError("The input received contains ragged rows, which need time_major=False")
    if rows.batch > 0 and len(rows.values) == 0:
        raise ValueError(f"`inputs` must have at least one timestep, got {rows.batch} empty rows")
    results = run(rows, keywords)
    if results is None:
        results = _run_padded(layer, inner, rows, keywords)
    count = 2 if getattr(layer, "merge_mode", "concat") is None else 1
    outputs = results[:count]
    if inner.return_sequences:
        outputs = [nest.map_structure(rows.with_values, output) for output in outputs]
    results = [*outputs, *results[count:]]
    return results if len(results) > 1 else results[0]


def _run_padded(layer: Any, inner: Any, rows: Ragged, keywords: dict[str, Any]) -> list[Any]:
    dense, mask = rows.padded()
    results = layer(dense, **{**keywords, "mask": mask})
    several = layer.return_state or getattr(layer, "merge_mode", "concat") is None
    results = list(results) if several else [results]
    if not inner.return_sequences:
        return results
    # A sequence that was processed backwards begins with the padding; Bidirectional turns its own round.
    turned = inner is layer and layer.go_backwards
    steps = mask[:, ::-1] if turned else mask
    count = 2 if getattr(layer, "merge_mode", "concat") is None else 1
    for index in range(count):
        results[index] = nest.map_structure(lambda output: np.asarray(output)[steps], results[index])
    return results
