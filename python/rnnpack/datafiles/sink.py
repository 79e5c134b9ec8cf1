"""What every kind of file with rows can do when it is written."""

from __future__ import annotations

import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnpack.datafiles.columns import Chunk, Column, checked_chunk

# What the file under work is called, after the name that it gets in the end.
PARTIAL = ".partial"


class SinkState(NamedTuple):
    """Where a sink stands: enough to go on from a file that was left behind.

    Attributes:
        rows: written so far.
        size: bytes of the partial file that hold them.
    """

    rows: int
    size: int


class PartialFile:
    """A file that only grows; every write is complete or is cut off again.

    Attributes:
        size: bytes written.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Opens the file anew, or to go on after `size` bytes.

        Raises:
            ValueError: it is shorter than that, or another process is writing it.
            OSError: it cannot be opened.
        """
        descriptor = os.open(path, os.O_RDWR | (0 if size else os.O_CREAT), 0o666)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            self._lock(path)
            if os.fstat(self._file.fileno()).st_size < size:
                raise ValueError(f"{path}: is shorter than the {size} bytes that were written")
            self.cut(size)
        except BaseException:
            self._file.close()
            raise

    def _lock(self, path: Path) -> None:
        """Keeps other processes away until the file is closed, by whatever end of this one."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{path}: another process is writing it") from None

    def write(self, data: Any) -> None:
        """Appends bytes."""
        view = memoryview(data).cast("B")
        while len(view):
            written = self._file.write(view)
            self.size += written
            view = view[written:]

    def write_array(self, array: NDArray[Any]) -> None:
        """Appends the numbers of an array, as they are."""
        if array.size:
            self.write(np.ascontiguousarray(array).reshape(-1))

    def overwrite(self, at: int, data: bytes) -> None:
        """Replaces bytes that were written."""
        self._file.seek(at)
        self._file.write(data)
        self._file.seek(self.size)

    def cut(self, size: int) -> None:
        """Drops all after `size` bytes."""
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def read_at(self, at: int) -> Any:
        """The file, for reading from there on."""
        self._file.seek(at)
        return self._file

    def sync(self) -> None:
        """Waits until all is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class RowSink(ABC):
    """A file with rows, being written: to `path` with ".partial" after it, until `finish` renames that.

    As a context manager it finishes, or after an exception closes and leaves the partial file.

    Args:
        path: the file to write; an existing one stays as it is until the new one is complete.
        columns: what it will hold.
        state: None, or what `commit` returned, to go on with the partial file that was left then.

    Attributes:
        path: the file.
        columns: what it holds.
        rows: rows written so far.

    Raises:
        ValueError: the format cannot hold these columns; the partial file does not fit the state.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, columns: Sequence[Column], state: SinkState | None = None) -> None:
        """See the class."""
        self.path = path
        self.columns = list(columns)
        self.partial = path.with_name(path.name + PARTIAL)
        self._state = state or SinkState(0, 0)
        self._file = PartialFile(self.partial, self._state.size)
        try:
            self._opened(self._file)
        except BaseException:
            self._file.close()
            if self._state.size == 0:
                self.partial.unlink()
            raise
        self._state = SinkState(self._state.rows, self._file.size)

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return self._state.rows

    def append(self, chunk: Chunk) -> None:
        """Writes more rows, all of them or none.

        Args:
            chunk: arrays for all columns, with one number of rows.

        Raises:
            ValueError: the chunk does not fit the columns.
        """
        rows = checked_chunk(chunk, self.columns)
        try:
            self._write({column.name: chunk[column.name] for column in self.columns}, self._file)
        except BaseException:
            self._file.cut(self._state.size)
            raise
        self._state = SinkState(self._state.rows + rows, self._file.size)

    def commit(self) -> SinkState:
        """Brings what was appended to the disk.

        Returns:
            The state to go on from.
        """
        self._file.sync()
        return self._state

    def finish(self) -> None:
        """Completes the file and gives it its name."""
        self.commit()
        complete = self._complete(self._file)
        self._file.sync()
        self.close()
        os.replace(complete or self.partial, self.path)
        self.partial.unlink(missing_ok=True)

    def discard(self) -> None:
        """Gives up: closes and removes the partial file."""
        self.close()
        self.partial.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the partial file and leaves it."""
        self._file.close()

    def __enter__(self) -> RowSink:
        """The sink itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finishes, or closes after an exception."""
        if error is None:
            self.finish()
        else:
            self.close()

    @abstractmethod
    def _opened(self, partial: PartialFile) -> None:
        """Checks the columns; begins the file if it is empty."""

    @abstractmethod
    def _write(self, chunk: Chunk, partial: PartialFile) -> None:
        """Appends rows that fit the columns."""

    @abstractmethod
    def _complete(self, partial: PartialFile) -> Path | None:
        """Completes the partial file, or writes another one from it and returns that one's path."""
