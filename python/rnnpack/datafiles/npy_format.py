"""The .npy format: its header, and rows read from where they lie (numpy.lib.format describes the format)."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.errors import FormatError

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_DESCR = re.compile(r"[<>|=](b1|[iu][1248]|f[248])")
# Room for the number of rows, so that it can be written last.
_DIGITS = 20
_ALIGNMENT = 64


@dataclass(frozen=True)
class Header:
    """What a .npy header says.

    Attributes:
        dtype: bool, an integer or a float, of any byte order.
        shape: at least one axis.
        fortran: whether the first axis varies fastest.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def row_items(self) -> int:
        """Numbers in a row."""
        return math.prod(self.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of the data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: Any, name: str) -> Header:
    """Reads a header; the file stands at the data then.

    Args:
        file: binary file, at the start of the array.
        name: for messages.

    Raises:
        FormatError: there is no sound header of an array of numbers with at least one axis.
    """
    start = file.read(8)
    if len(start) < 8 or start[:6] != _MAGIC or start[6] not in (1, 2, 3):
        raise FormatError(f"{name}: not an array in .npy format: begins with {start!r}")
    size_bytes = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(size_bytes), "little")
    if not 0 < length <= _LONGEST_HEADER:
        raise FormatError(
            f"{name}: .npy header of {length} bytes, expected 1 to {_LONGEST_HEADER}: arrays of numbers only"
        )
    text = file.read(length)
    try:
        fields = ast.literal_eval(text.decode("latin1").strip())
        descr, shape, fortran = fields["descr"], fields["shape"], fields["fortran_order"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise FormatError(f"{name}: damaged .npy header {text[:60]!r}") from None
    if not isinstance(descr, str) or _DESCR.fullmatch(descr) is None:
        raise FormatError(f"{name}: expected an array of bools, integers or floats, got dtype {descr!r:.60}")
    if (
        len(fields) != 3
        or type(fortran) is not bool
        or type(shape) is not tuple
        or not all(type(size) is int and 0 <= size < 2**48 for size in shape)
        or not 0 < len(shape) <= 32
        or math.prod(size or 1 for size in shape) >= 2**56
    ):
        raise FormatError(f"{name}: expected an array with an axis of rows, got the header {text[:80]!r}")
    return Header(np.dtype(descr), shape, fortran)


def header_bytes(dtype: np.dtype[Any], shape: tuple[int, ...], rows: int) -> bytes:
    """A header (version 1.0) for `rows` rows; as long for any other number of rows."""
    fields = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {(rows, *shape)!r}, }}"
    room = len(fields) - len(str(rows)) + _DIGITS
    length = -(-(10 + room + 1) // _ALIGNMENT) * _ALIGNMENT - 10
    return _MAGIC + b"\x01\x00" + length.to_bytes(2, "little") + f"{fields:<{length - 1}}\n".encode("latin1")


def read_rows(file: BinaryIO, at: int, header: Header, start: int, stop: int, name: str) -> NDArray[Any]:
    """Rows of an array that lies in a file as it is.

    The file is read, not mapped: a chunk counts as memory only while it is in use, and a file that shrinks
    meanwhile is an error rather than the end of the process.

    Args:
        file: unbuffered binary file.
        at: where its data begin.
        header: of the array.
        start: first row.
        stop: the row after the last.
        name: for messages.

    Raises:
        FormatError: the file is too short.
    """
    rows, item = stop - start, header.dtype.itemsize
    if not header.fortran:
        out = np.empty((rows, *header.shape[1:]), header.dtype)
        _read_into(file, at + start * header.row_items * item, out, name)
    else:  # for each number of a row, those of all rows lie side by side
        columns = np.empty((header.row_items, rows), header.dtype)
        for index, column in enumerate(columns):
            _read_into(file, at + (index * header.shape[0] + start) * item, column, name)
        out = columns.reshape(*reversed(header.shape[1:]), rows).T
    return native(out)


def native(array: NDArray[Any]) -> NDArray[Any]:
    """The array in this machine's byte order."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_into(file: BinaryIO, at: int, out: NDArray[Any], name: str) -> None:
    file.seek(at)
    view = memoryview(out.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        got = file.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise FormatError(f"{name}: ends after {at + done} bytes, expected {at + len(view)}")
        done += got
