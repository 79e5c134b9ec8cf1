"""Columns of rows: what a file holds, and chunks of it in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

# A column's rows: an array `(rows, ...)`, or `(values, row_lengths)` where rows have different lengths, with
# values `(sum of lengths, ...)` and integer lengths `(rows,)`.
Rows = NDArray[Any] | tuple[NDArray[Any], NDArray[Any]]
Chunk = dict[str, Rows]


@dataclass(frozen=True)
class Column:
    """A column of a file.

    Attributes:
        name: unique in the file.
        dtype: of the numbers: bool, an integer or a float.
        shape: of one row; of one timestep where `ragged`.
        ragged: whether rows have different numbers of timesteps.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    ragged: bool = False

    def __str__(self) -> str:
        """Name, dtype and shape of a row; timesteps that differ are shown as `*`."""
        sizes = [*(["*"] if self.ragged else []), *map(str, self.shape)]
        return f"{self.name} {self.dtype.name}({', '.join(sizes)})"


def row_count(rows: Rows) -> int:
    """Number of rows."""
    return len(rows[1]) if isinstance(rows, tuple) else len(rows)


def total_length(lengths: NDArray[Any]) -> int | None:
    """The sum of row lengths; None if one is negative or the sum is beyond reason."""
    if np.any(lengths < 0) or lengths.sum(dtype=np.float64) > 2.0**62:  # int64 sums would wrap around
        return None
    return int(lengths.sum())


def chunk_rows(chunk: Chunk) -> int:
    """Number of rows of a chunk's columns."""
    return row_count(next(iter(chunk.values())))


def nbytes(chunk: Chunk) -> int:
    """Bytes of a chunk's numbers."""
    return sum(
        rows[0].nbytes + rows[1].nbytes if isinstance(rows, tuple) else rows.nbytes for rows in chunk.values()
    )


def concatenated(chunks: Sequence[Chunk]) -> Chunk:
    """The rows of chunks with the same columns, one after the other."""
    return {name: _concatenated([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _concatenated(parts: Sequence[Any]) -> Rows:
    if len(parts) == 1:
        return cast(Rows, parts[0])
    if isinstance(parts[0], tuple):
        values, lengths = zip(*parts, strict=True)
        return np.concatenate(values), np.concatenate(lengths)
    return np.concatenate(parts)


def columns_of(chunk: Chunk) -> list[Column]:
    """The columns that a chunk has."""
    return [
        Column(name, rows[0].dtype, rows[0].shape[1:], True)
        if isinstance(rows, tuple)
        else Column(name, rows.dtype, rows.shape[1:])
        for name, rows in chunk.items()
    ]


def checked_chunk(chunk: Chunk, columns: list[Column]) -> int:
    """The number of rows of a chunk that fits the columns.

    Raises:
        ValueError: a column is missing, unknown or of another shape or dtype, or the numbers of rows differ.
    """
    got = columns_of(chunk)
    if {column.name: column for column in got} != {column.name: column for column in columns}:
        wanted = ", ".join(map(str, columns))
        raise ValueError(f"`columns` must be {wanted}, got {', '.join(map(str, got)) or 'nothing'}")
    for name, rows in chunk.items():
        if isinstance(rows, tuple) and (
            rows[1].dtype.kind not in "iu" or total_length(rows[1]) != len(rows[0])
        ):
            raise ValueError(
                f"column {name!r}: row lengths must be integers of at least 0 that add up to the "
                f"{len(rows[0])} values"
            )
    counts = {name: row_count(rows) for name, rows in chunk.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"`columns` must have one number of rows, got {counts}")
    return next(iter(counts.values()))
