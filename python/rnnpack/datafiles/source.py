"""What every kind of file with rows can do when it is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from rnnpack.datafiles.columns import Chunk, Column, row_count
from rnnpack.formats.errors import FormatError


class RowSource(ABC):
    """A file with rows, open for reading; a context manager that closes it.

    Attributes:
        path: the file.
        columns: what it holds.
        rows: how many rows, None where only reading it all would tell.
    """

    path: Path
    columns: list[Column]
    rows: int | None

    @abstractmethod
    def chunks(self, size: int, start: int = 0, columns: list[str] | None = None) -> Iterator[Chunk]:
        """Reads on and on: the rows from `start` to the end, in pieces.

        Args:
            size: rows in a piece, the last one may have fewer.
            start: first row.
            columns: names of the columns to read; None: all.

        Raises:
            FormatError: the file is damaged.
        """

    def read(self, start: int, stop: int, columns: list[str] | None = None) -> Chunk:
        """Rows `start` to `stop` (exclusive).

        Args:
            start: first row.
            stop: the row after the last one.
            columns: names of the columns to read; None: all.

        Raises:
            ValueError: the file has fewer rows, or there is no row from `start` to `stop`.
            FormatError: the file is damaged.
        """
        if not 0 <= start < stop or (self.rows is not None and stop > self.rows):
            raise ValueError(f"{self.path}: rows {start} to {stop} are not among its {self.rows} rows")
        chunk = next(self.chunks(stop - start, start, columns), None)
        if chunk is None or any(row_count(rows) != stop - start for rows in chunk.values()):
            raise ValueError(f"{self.path}: has fewer than {stop} rows")
        return chunk

    @abstractmethod
    def close(self) -> None:
        """Closes the file."""

    def __enter__(self) -> RowSource:
        """The source itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file."""
        self.close()

    def _selected(self, columns: list[str] | None) -> list[Column]:
        """The columns of these names.

        Raises:
            ValueError: there is no such column.
        """
        known = {column.name: column for column in self.columns}
        for name in columns or ():
            if name not in known:
                raise ValueError(f"{self.path}: no column {name!r}, it has {', '.join(known)}")
        return self.columns if columns is None else [known[name] for name in columns]

    def _refuse(self, message: str) -> FormatError:
        return FormatError(f"{self.path}: {message}")
