""".csv files: numbers between commas, a first line of names, UTF-8.

A row with axes takes a column for each number: `x[0,2]` is the number at (0, 2) of the rows of `x`. Without a
line of names the columns are called 0, 1, 2 and so on.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.datafiles.columns import Chunk, Column
from rnnpack.datafiles.sink import PartialFile, RowSink
from rnnpack.datafiles.source import RowSource

_INDEXED = re.compile(r"(.+)\[(\d{1,9}(?:,\d{1,9})*)\]", re.DOTALL)
_LONGEST_LINE = 1 << 24
# Numbers that are text at once.
_BLOCK = 1 << 16


class CsvSource(RowSource):
    """A .csv file; every column is float64, and every field of a column that is read must be a number.

    Raises:
        FormatError: it is not text, is empty or its names do not fit together.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        """See the class."""
        self.path = path
        self.rows = None
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next(self._records(file), None)
        if first is None:
            raise self._refuse("is empty, expected a line of column names")
        self._named = not all(_is_number(field) for field in first)
        names = [field.strip() for field in first] if self._named else [str(i) for i in range(len(first))]
        self._places = self._grouped(names)
        self.columns = [
            Column(name, np.dtype(np.float64), shape) for name, (shape, _) in self._places.items()
        ]

    def _grouped(self, names: list[str]) -> dict[str, tuple[tuple[int, ...], list[int]]]:
        """Shape and places of the fields of each column, those of `x[0]`, `x[1]`, ... put together."""
        found: dict[str, dict[tuple[int, ...], int]] = {}
        for place, name in enumerate(names):
            indexed = _INDEXED.fullmatch(name)
            base, index = (name, ()) if indexed is None else (indexed[1], _index(indexed[2]))
            if not base or index in found.setdefault(base, {}):
                raise self._refuse(f"expected different column names, got {name!r:.80} again or empty")
            found[base][index] = place
        grouped = {}
        for base, places in found.items():
            lengths = {len(index) for index in places}
            shape = tuple(max(sizes) + 1 for sizes in zip(*places, strict=False))
            if len(lengths) != 1 or len(places) != np.prod(shape, dtype=object):
                raise self._refuse(
                    f"column {base!r}: expected one field for every index, like x[0,0], x[0,1]"
                )
            grouped[base] = shape, [places[index] for index in sorted(places)]
        return grouped

    def _records(self, file: Any) -> Iterator[list[str]]:
        """The lines, split into fields."""
        reader = csv.reader(self._lines(file), strict=True)
        while True:
            try:
                record = next(reader, None)
            except csv.Error as error:
                raise self._refuse(f"line {reader.line_num}: {error}") from None
            except UnicodeDecodeError:
                raise self._refuse(f"is not UTF-8 text after line {reader.line_num}") from None
            if record is None:
                return
            if record:
                yield record

    def _lines(self, file: Any) -> Iterator[str]:
        while line := file.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise self._refuse(f"a line has {_LONGEST_LINE} characters or more")
            yield line

    def chunks(self, size: int, start: int = 0, columns: list[str] | None = None) -> Iterator[Chunk]:
        """See the base class."""
        selected = self._selected(columns)
        width = sum(len(places) for _, places in self._places.values())
        wanted = [place for column in selected for place in self._places[column.name][1]]
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            records = self._records(file)
            for _ in itertools.islice(records, start + self._named):
                pass
            while len(numbers := self._numbers(records, size, width, wanted, start)):
                start += len(numbers)
                chunk: Chunk = {}
                at = 0
                for column in selected:
                    count = len(self._places[column.name][1])
                    chunk[column.name] = numbers[:, at : at + count].reshape(len(numbers), *column.shape)
                    at += count
                yield chunk

    def close(self) -> None:
        """There is nothing to close: each reading opens the file."""

    def _numbers(
        self, records: Iterator[list[str]], size: int, width: int, wanted: list[int], row: int
    ) -> NDArray[Any]:
        """The wanted fields of the next records, at most `size`."""
        blocks = [np.empty((0, len(wanted)))]
        left = size
        while lines := list(itertools.islice(records, min(left, _lines(width)))):
            blocks.append(np.empty((len(lines), len(wanted))))
            for line, numbers in zip(lines, blocks[-1], strict=True):
                numbers[:] = self._fields(line, width, wanted, row)
                row += 1
            left -= len(lines)
        return np.concatenate(blocks)

    def _fields(self, line: list[str], width: int, wanted: list[int], row: int) -> list[float]:
        if len(line) != width:
            raise self._refuse(f"row {row}: expected {width} fields, got {len(line)}")
        try:
            return [float(line[place]) for place in wanted]
        except ValueError:
            place = next(place for place in wanted if not _is_number(line[place]))
            raise self._refuse(
                f"row {row}, field {place + 1}: expected a number, got {line[place]!r:.60}"
            ) from None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _index(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


class CsvSink(RowSink):
    """A .csv file: a line of names, and the shortest digits that give the same numbers back."""

    def _opened(self, partial: PartialFile) -> None:
        for column in self.columns:
            if column.ragged:
                raise ValueError(
                    f"{self.path}: .csv cannot hold the rows of different lengths of {column.name!r}; .npz "
                    "and .parquet can"
                )
        if partial.size == 0:
            names = [name for column in self.columns for name in _field_names(column)]
            partial.write(_encoded([names]))

    def _write(self, chunk: Chunk, partial: PartialFile) -> None:
        columns = [rows for rows in chunk.values() if not isinstance(rows, tuple)]
        size = _lines(sum(rows[0].size for rows in columns if len(rows)))
        for at in range(0, len(columns[0]), size):
            texts = [_digits(rows[at : at + size]) for rows in columns]
            partial.write(_encoded(np.concatenate(texts, axis=1).tolist()))

    def _complete(self, partial: PartialFile) -> None:
        pass


def _lines(width: int) -> int:
    """Lines of so many numbers that are text at once."""
    return max(_BLOCK // max(width, 1), 1)


def _field_names(column: Column) -> list[str]:
    if not column.shape:
        return [column.name]
    return [f"{column.name}[{','.join(map(str, index))}]" for index in np.ndindex(*column.shape)]


def _digits(rows: NDArray[Any]) -> NDArray[Any]:
    """The rows' numbers as text, a line for each row."""
    numbers = rows.astype(np.uint8) if rows.dtype.kind == "b" else rows
    return numbers.reshape(len(rows), -1).astype(str)


def _encoded(records: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(records)
    return text.getvalue().encode()
