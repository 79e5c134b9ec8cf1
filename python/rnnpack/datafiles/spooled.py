"""Files that can only be written when all rows are known: their chunks wait in a file of arrays.

The partial file is a row of .npy arrays, chunk after chunk, so that it can be gone on with after any chunk.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rnnpack.datafiles import npy_format
from rnnpack.datafiles.columns import Chunk, chunk_rows, concatenated, nbytes
from rnnpack.datafiles.sink import PartialFile, RowSink

# After the partial file's name, the complete file while it is being written.
_COMPLETE = ".complete"


class SpooledSink(RowSink):
    """A sink that writes its file at the end."""

    def _opened(self, partial: PartialFile) -> None:
        pass

    def _write(self, chunk: Chunk, partial: PartialFile) -> None:
        for rows in chunk.values():
            for array in rows if isinstance(rows, tuple) else (rows,):
                partial.write(npy_format.header_bytes(array.dtype, array.shape[1:], len(array)))
                partial.write_array(array)

    def _complete(self, partial: PartialFile) -> Path:
        complete = self.partial.with_name(self.partial.name + _COMPLETE)
        try:
            self._build(complete, partial)
        except BaseException:
            complete.unlink(missing_ok=True)
            raise
        return complete

    @abstractmethod
    def _build(self, complete: Path, partial: PartialFile) -> None:
        """Writes the complete file from `stored_chunks`, and brings it to the disk."""

    def _stored_chunks(self, partial: PartialFile, wanted: str | None = None) -> Iterator[Chunk]:
        """The chunks that were appended, or one column of them."""
        at = 0
        while at < partial.size:
            chunk: Chunk = {}
            for column in self.columns:
                arrays = []
                for _ in range(2 if column.ragged else 1):
                    array, at = self._stored_array(partial, at, wanted in (None, column.name))
                    arrays.append(array)
                chunk[column.name] = (arrays[0], arrays[1]) if column.ragged else arrays[0]
            yield chunk if wanted is None else {wanted: chunk[wanted]}

    def _stored_array(self, partial: PartialFile, at: int, wanted: bool) -> tuple[NDArray[Any], int]:
        file, name = partial.read_at(at), str(self.partial)
        header = npy_format.read_header(file, name)
        begin = file.tell()
        rows = header.shape[0] if wanted else 0
        return npy_format.read_rows(file, begin, header, 0, rows, name), begin + header.nbytes


def joined(chunks: Iterator[Chunk], rows: int, size: int) -> Iterator[Chunk]:
    """Chunks put together until they have `rows` rows or `size` bytes."""
    waiting: list[Chunk] = []
    got_rows = got_bytes = 0
    for chunk in chunks:
        waiting.append(chunk)
        got_rows += chunk_rows(chunk)
        got_bytes += nbytes(chunk)
        if got_rows >= rows or got_bytes >= size:
            yield concatenated(waiting)
            waiting, got_rows, got_bytes = [], 0, 0
    if waiting:
        yield concatenated(waiting)
