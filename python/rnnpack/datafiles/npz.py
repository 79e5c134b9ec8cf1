""".npz files: a zip archive of arrays.

`NAME` with `NAME_row_lengths` is a column of rows of different lengths.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rnnpack.datafiles import npy_format
from rnnpack.datafiles.columns import Chunk, Column, total_length
from rnnpack.datafiles.sink import PartialFile
from rnnpack.datafiles.source import RowSource
from rnnpack.datafiles.spooled import SpooledSink
from rnnpack.formats.errors import FormatError
from rnnpack.formats.limits import open_archive

LENGTHS = "_row_lengths"

# What may be read at once of a compressed member, whose size is only a claim until it is read.
_PIECE = 1 << 20
# A row beyond this is taken for damage.
_LARGEST_ROW = 1 << 30
# What the standard library raises for damaged archives.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class _Reader(ABC):
    """Reads an array's rows front to back, never beyond its end.

    Attributes:
        at: the next row.
    """

    def __init__(self, header: npy_format.Header, name: str) -> None:
        self._header, self._name = header, name
        self.at = 0

    @property
    def rows(self) -> int:
        """Rows of the array."""
        return self._header.shape[0]

    def take(self, rows: int) -> NDArray[Any]:
        """The next rows."""
        self._move(rows)
        return self._take(rows)

    def skip(self, rows: int) -> None:
        """Goes past the next rows."""
        self._move(rows)
        self._skip(rows)

    def _move(self, rows: int) -> None:
        self.at += rows
        if self.at > self.rows:
            raise FormatError(f"{self._name}: has {self.rows} rows, expected {self.at} or more")

    @abstractmethod
    def _take(self, rows: int) -> NDArray[Any]: ...

    @abstractmethod
    def _skip(self, rows: int) -> None: ...


class _Stored(_Reader):
    """A member that lies in the archive as it is: read from its place, any row at once."""

    def __init__(self, file: BinaryIO, begin: int, header: npy_format.Header, name: str) -> None:
        super().__init__(header, name)
        self._file, self._begin = file, begin

    def _take(self, rows: int) -> NDArray[Any]:
        return npy_format.read_rows(
            self._file, self._begin, self._header, self.at - rows, self.at, self._name
        )

    def _skip(self, rows: int) -> None:
        pass


class _Compressed(_Reader):
    """A compressed member: unpacked front to back, no more than is asked for."""

    def __init__(self, file: IO[bytes], header: npy_format.Header, name: str) -> None:
        super().__init__(header, name)
        self._file = file

    def _take(self, rows: int) -> NDArray[Any]:
        data = bytearray()
        for piece in self._pieces(rows):
            data += piece
        array = np.frombuffer(data, self._header.dtype)
        return npy_format.native(array.reshape(rows, *self._header.shape[1:]))

    def _skip(self, rows: int) -> None:
        for _ in self._pieces(rows):
            pass

    def _pieces(self, rows: int) -> Iterator[bytes]:
        left = rows * self._header.row_items * self._header.dtype.itemsize
        while left:
            piece = self._file.read(min(left, _PIECE))
            if not piece:
                raise FormatError(f"{self._name}: ends {left} bytes too early")
            left -= len(piece)
            yield piece


class NpzSource(RowSource):
    """A .npz file whose arrays all have one number of rows.

    Raises:
        FormatError: not a sound archive of arrays of numbers with the same number of rows.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        """See the class."""
        self.path = path
        self._raw = path.open("rb", buffering=0)
        self._stack: list[Any] = [self._raw]
        try:
            with open_archive(path):
                pass  # its directory is sound and not absurdly large
            with self._sound("the archive"):
                self._zip = zipfile.ZipFile(path)
            self._stack.append(self._zip)
            self._members = self._read_members()
            self.columns, self.rows = self._read_columns()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        for file in self._stack:
            file.close()

    @contextmanager
    def _sound(self, what: str) -> Iterator[None]:
        try:
            yield
        except FormatError:
            raise
        except _DAMAGED as error:
            raise self._refuse(f"{what} is damaged or of an unknown kind: {error}") from None

    def _read_members(self) -> dict[str, tuple[zipfile.ZipInfo, npy_format.Header]]:
        members: dict[str, tuple[zipfile.ZipInfo, npy_format.Header]] = {}
        for info in self._zip.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                raise self._refuse(f"expected arrays only, got the member {info.filename!r:.80}")
            with self._sound(f"array {name!r:.80}"), self._zip.open(info) as file:
                header = npy_format.read_header(file, self._named(name))
                begin = file.tell()
            if info.file_size - begin != header.nbytes:
                raise self._refuse(
                    f"array {name!r} has {info.file_size - begin} bytes of data, expected {header.nbytes}"
                )
            members[name] = info, header
        return members

    def _read_columns(self) -> tuple[list[Column], int]:
        headers = {name: header for name, (_, header) in self._members.items()}
        counts = {}
        columns = []
        for name, header in headers.items():
            if name.endswith(LENGTHS) and name.removesuffix(LENGTHS) in headers:
                if header.dtype.kind not in "iu" or len(header.shape) != 1:
                    raise self._refuse(f"array {name!r} must be integers with one axis")
                continue
            lengths = headers.get(name + LENGTHS)
            if header.row_items * header.dtype.itemsize > _LARGEST_ROW:
                raise self._refuse(f"array {name!r}: a row has {header.row_items} numbers")
            counts[name] = (lengths or header).shape[0]
            columns.append(
                Column(name, header.dtype.newbyteorder("="), header.shape[1:], lengths is not None)
            )
        if len(set(counts.values())) != 1:
            raise self._refuse(f"expected arrays with one number of rows, got {counts or 'no arrays'}")
        return columns, next(iter(counts.values()))

    def chunks(self, size: int, start: int = 0, columns: list[str] | None = None) -> Iterator[Chunk]:
        """See the base class."""
        selected = self._selected(columns)
        with ExitStack() as opened:
            readers = {column.name: self._column_reader(column, start, opened) for column in selected}
            yield from self._chunks(readers, size, start)

    def _chunks(
        self, readers: dict[str, tuple[_Reader, _Reader | None]], size: int, start: int
    ) -> Iterator[Chunk]:
        rows = self.rows or 0
        for at in range(start, rows, size):
            count = min(size, rows - at)
            chunk: Chunk = {}
            for name, (values, lengths) in readers.items():
                with self._sound(f"array {name!r}"):
                    if lengths is None:
                        chunk[name] = values.take(count)
                    else:
                        row_lengths, total = self._lengths(name, lengths.take(count))
                        chunk[name] = values.take(total), row_lengths
            yield chunk
        for name, (values, lengths) in readers.items():
            if lengths is not None and values.at != values.rows:
                raise self._refuse(
                    f"array {name + LENGTHS!r} adds up to {values.at}, expected {values.rows} values"
                )

    def _column_reader(self, column: Column, start: int, opened: ExitStack) -> tuple[_Reader, _Reader | None]:
        values = self._reader(column.name, opened)
        with self._sound(f"array {column.name!r}"):
            if not column.ragged:
                values.skip(start)
                return values, None
            lengths = self._reader(column.name + LENGTHS, opened)
            for at in range(0, start, _PIECE):
                values.skip(self._lengths(column.name, lengths.take(min(_PIECE, start - at)))[1])
        return values, lengths

    def _lengths(self, name: str, lengths: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
        total = total_length(lengths)
        if total is None:
            raise self._refuse(
                f"array {name + LENGTHS!r}: lengths must be at least 0 and add up to the values"
            )
        return lengths.astype(np.int64, copy=False), total

    def _reader(self, name: str, opened: ExitStack) -> _Reader:
        info, header = self._members[name]
        with self._sound(f"array {name!r}"):
            if info.compress_type == zipfile.ZIP_STORED:
                return _Stored(self._raw, self._data_offset(name), header, self._named(name))
            if header.fortran and len(header.shape) > 1:
                raise self._refuse(f"array {name!r} is compressed and in Fortran order: save it in C order")
            file = opened.enter_context(self._zip.open(info))
            npy_format.read_header(file, self._named(name))
            return _Compressed(file, header, self._named(name))

    def _data_offset(self, name: str) -> int:
        """Where the numbers of a stored member begin."""
        info, header = self._members[name]
        self._raw.seek(info.header_offset)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(self._raw.read(_LOCAL_HEADER.size))
        self._raw.seek(info.header_offset + _LOCAL_HEADER.size + name_length + extra_length)
        if npy_format.read_header(self._raw, self._named(name)) != header:
            raise self._refuse(f"array {name!r} has two headers that differ")
        begin = self._raw.tell()
        left = os.fstat(self._raw.fileno()).st_size - begin
        if header.nbytes > left:
            raise self._refuse(f"array {name!r} has {header.nbytes} bytes, there are {left}")
        return begin

    def _named(self, name: str) -> str:
        return f"{self.path}: array {name!r}"


class NpzSink(SpooledSink):
    """A .npz file, not compressed."""

    def _build(self, complete: Path, partial: PartialFile) -> None:
        with complete.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for column in self.columns:
                    self._add(archive, partial, column, column.name, 0)
                    if column.ragged:
                        self._add(archive, partial, column, column.name + LENGTHS, 1)
            file.flush()
            os.fsync(file.fileno())

    def _add(
        self, archive: zipfile.ZipFile, partial: PartialFile, column: Column, name: str, part: int
    ) -> None:
        """Copies a column, or one part of a ragged column, chunk by chunk."""
        dtype, shape = (np.dtype(np.int64), ()) if part else (column.dtype, column.shape)

        def arrays() -> Iterator[NDArray[Any]]:
            for chunk in self._stored_chunks(partial, column.name):
                rows = chunk[column.name]
                yield rows[part].astype(dtype, copy=False) if isinstance(rows, tuple) else rows

        total = sum(map(len, arrays()))
        member = zipfile.ZipInfo(name + ".npy")  # with a fixed date: the same rows give the same bytes
        with archive.open(member, "w", force_zip64=True) as file:
            file.write(npy_format.header_bytes(dtype, shape, total))
            for array in arrays():
                file.write(np.ascontiguousarray(array).tobytes())
