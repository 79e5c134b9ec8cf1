""".parquet files, through pyarrow: numbers, and lists of numbers as rows with timesteps.

A column of lists whose type fixes their length holds rows of one shape; other lists are rows of different
lengths.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.datafiles.columns import Chunk, Column, Rows, chunk_rows, concatenated
from rnnpack.datafiles.sink import PartialFile
from rnnpack.datafiles.source import RowSource
from rnnpack.datafiles.spooled import SpooledSink, joined

# A row group ends after so many rows or bytes.
_GROUP_ROWS = 1 << 20
_GROUP_BYTES = 1 << 23
_READ_AHEAD = 1 << 20
# Rows that pyarrow reads at once.
_BATCH = 512


def _pyarrow() -> Any:
    """The pyarrow package, with its parquet module.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import_module("pyarrow.parquet")
    except ImportError:
        raise ImportError(".parquet files need pyarrow: pip install rnnpack[parquet]") from None
    return import_module("pyarrow")


class ParquetSource(RowSource):
    """A .parquet file of numbers and lists of numbers; columns of anything else are left out.

    Raises:
        FormatError: not a sound file, or there is no column of numbers.
        ImportError: pyarrow is not installed.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        """See the class."""
        self.path = path
        self._arrow = _pyarrow()
        path.open("rb").close()  # for the plain OSError
        with self._sound():
            # Without these pyarrow keeps all that it has read of the columns.
            self._file = self._arrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=_READ_AHEAD)
            schema = self._file.schema_arrow
        self.rows = self._file.metadata.num_rows
        self.columns = [column for field in schema if (column := self._column(field)) is not None]
        if not self.columns:
            self._file.close()
            raise self._refuse(f"no column of numbers or lists of numbers, got {', '.join(schema.names)}")

    @contextmanager
    def _sound(self) -> Iterator[None]:
        try:
            yield
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise self._refuse(f"not a sound .parquet file: {reason}") from None

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _column(self, field: Any) -> Column | None:
        types = self._arrow.types
        kind, shape, ragged = field.type, [], False
        while types.is_fixed_size_list(kind):
            shape.append(kind.list_size)
            kind = kind.value_type
        if not shape and (types.is_list(kind) or types.is_large_list(kind)):
            ragged, kind = True, kind.value_type
            while types.is_fixed_size_list(kind):
                shape.append(kind.list_size)
                kind = kind.value_type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            return None
        return Column(field.name, np.dtype(kind.to_pandas_dtype()), tuple(shape), ragged)

    def chunks(self, size: int, start: int = 0, columns: list[str] | None = None) -> Iterator[Chunk]:
        """See the base class."""
        waiting: list[Chunk] = []
        count = 0
        for chunk in self._batches(size, start, self._selected(columns)):
            waiting.append(chunk)
            count += chunk_rows(chunk)
            if count >= size:
                whole = concatenated(waiting)
                yield _part(whole, 0, size)
                waiting, count = [_part(whole, size, count)], count - size
        if count:
            yield concatenated(waiting)

    def _batches(self, size: int, start: int, columns: list[Column]) -> Iterator[Chunk]:
        """The rows from `start` on, in the pieces in which pyarrow reads them."""
        groups: list[int] = []
        for index in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(index).num_rows
            if start >= rows and not groups:
                start -= rows
            else:
                groups.append(index)
        names = [column.name for column in columns]
        with self._sound():
            batches = iter(())
            if groups:
                batches = self._file.iter_batches(min(size, _BATCH), groups, names, use_threads=False)
        while True:
            with self._sound():
                batch = next(batches, None)
            if batch is None:
                return
            skipped = min(start, batch.num_rows)
            start -= skipped
            if skipped < batch.num_rows:
                batch = batch.slice(skipped)
                with self._sound():
                    batch.validate(full=True)
                yield {column.name: self._rows(column, batch.column(column.name)) for column in columns}

    def _rows(self, column: Column, array: Any) -> Rows:
        if array.null_count:
            raise self._refuse(f"column {column.name!r} has {array.null_count} nulls, expected numbers")
        if not column.ragged:
            return self._dense(column, array, len(array))
        offsets = np.asarray(array.offsets, np.int64)
        inner = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        return self._dense(column, inner, len(inner)), np.diff(offsets)

    def _dense(self, column: Column, array: Any, rows: int) -> NDArray[Any]:
        """Numbers, or lists of fixed length, as one array."""
        for _ in column.shape:
            array = array.flatten()
            if array.null_count:
                raise self._refuse(f"column {column.name!r} has nulls, expected numbers")
        if array.null_count or len(array) != rows * math.prod(column.shape):
            raise self._refuse(f"column {column.name!r} has nulls, expected numbers")
        values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return values.reshape(rows, *column.shape).astype(column.dtype, copy=False)


def _part(chunk: Chunk, start: int, stop: int) -> Chunk:
    """Rows of a chunk."""
    part: Chunk = {}
    for name, rows in chunk.items():
        if isinstance(rows, tuple):
            values, lengths = rows
            begin, end = int(lengths[:start].sum()), int(lengths[:stop].sum())
            part[name] = values[begin:end], lengths[start:stop]
        else:
            part[name] = rows[start:stop]
    return part


class ParquetSink(SpooledSink):
    """A .parquet file: rows with axes become lists of fixed length, rows of different lengths lists."""

    def _opened(self, partial: PartialFile) -> None:
        self._arrow = _pyarrow()
        self._schema = self._arrow.schema([self._field(column) for column in self.columns])

    def _field(self, column: Column) -> Any:
        kind = self._arrow.from_numpy_dtype(column.dtype)
        for size in reversed(column.shape):
            if size == 0:
                raise ValueError(f"{self.path}: .parquet cannot hold the empty rows of {column}")
            kind = self._arrow.list_(kind, size)
        return self._arrow.field(
            column.name, self._arrow.large_list(kind) if column.ragged else kind, nullable=False
        )

    def _build(self, complete: Path, partial: PartialFile) -> None:
        with complete.open("wb") as file:
            # Numbers from a model hardly ever repeat, a dictionary of them would only cost.
            with self._arrow.parquet.ParquetWriter(file, self._schema, use_dictionary=False) as writer:
                for chunk in joined(self._stored_chunks(partial), _GROUP_ROWS, _GROUP_BYTES):
                    arrays = [self._array(chunk[column.name], column) for column in self.columns]
                    writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
            file.flush()
            os.fsync(file.fileno())

    def _array(self, rows: Rows, column: Column) -> Any:
        values = rows[0] if isinstance(rows, tuple) else rows
        array = self._arrow.array(np.ascontiguousarray(values).reshape(-1))
        for size in reversed(column.shape):
            array = self._arrow.FixedSizeListArray.from_arrays(array, size)
        if isinstance(rows, tuple):
            offsets = np.concatenate([[0], np.cumsum(rows[1])]).astype(np.int64)
            array = self._arrow.LargeListArray.from_arrays(offsets, array)
        return array
