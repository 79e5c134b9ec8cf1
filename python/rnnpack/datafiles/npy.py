""".npy files: one array whose first axis are the rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rnnpack.datafiles import npy_format
from rnnpack.datafiles.columns import Chunk, Column
from rnnpack.datafiles.sink import PartialFile, RowSink
from rnnpack.datafiles.source import RowSource

# The name of an array that has none.
_NAME = "values"


class NpySource(RowSource):
    """A .npy file; its one column is called "values".

    Raises:
        FormatError: not a sound file with an array of numbers.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        """See the class."""
        self.path = path
        self._file = path.open("rb", buffering=0)
        try:
            self._header = npy_format.read_header(self._file, str(path))
            self._at = self._file.tell()
            size = os.fstat(self._file.fileno()).st_size
            if size - self._at != self._header.nbytes:
                raise self._refuse(
                    f"holds {size - self._at} bytes of data, expected {self._header.nbytes} for shape "
                    f"{self._header.shape} of {self._header.dtype}"
                )
        except BaseException:
            self._file.close()
            raise
        self.rows = self._header.shape[0]
        self.columns = [Column(_NAME, self._header.dtype.newbyteorder("="), self._header.shape[1:])]

    def chunks(self, size: int, start: int = 0, columns: list[str] | None = None) -> Iterator[Chunk]:
        """See the base class."""
        self._selected(columns)
        rows = self._header.shape[0]
        for at in range(start, rows, size):
            stop = min(at + size, rows)
            yield {_NAME: npy_format.read_rows(self._file, self._at, self._header, at, stop, str(self.path))}

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class NpySink(RowSink):
    """A .npy file of one column whose rows all have one shape."""

    def _opened(self, partial: PartialFile) -> None:
        if len(self.columns) != 1 or self.columns[0].ragged:
            raise ValueError(
                f"{self.path}: a .npy file holds one column of rows of one shape, got "
                f"{', '.join(map(str, self.columns))}; .npz and .parquet hold more"
            )
        if partial.size == 0:
            partial.write(self._header(0))

    def _write(self, chunk: Chunk, partial: PartialFile) -> None:
        (values,) = chunk.values()
        assert not isinstance(values, tuple)
        partial.write_array(values)

    def _complete(self, partial: PartialFile) -> None:
        partial.overwrite(0, self._header(self.rows))

    def _header(self, rows: int) -> bytes:
        return npy_format.header_bytes(self.columns[0].dtype, self.columns[0].shape, rows)
