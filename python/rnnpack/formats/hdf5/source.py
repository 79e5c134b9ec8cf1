"""Bytes of a file, never beyond its end and never more than a budget allows."""

from __future__ import annotations

import threading
from typing import BinaryIO

from rnnpack.formats.errors import FormatError
from rnnpack.formats.limits import data_budget

# Bytes of structures that one open file may lead to: each is read about once; more means circles.
_STRUCTURE_BASE, _STRUCTURE_FACTOR = 1 << 20, 16

# Every read costs at least so many bytes of the budget, as it costs time.
_LEAST = 64


class Source:
    """A file opened for reading, with the sizes that its superblock declares.

    Args:
        file: seekable, in binary mode.
        name: shown in messages.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._lock = threading.Lock()  # between seek and read
        self.name = name
        self.size = file.seek(0, 2)
        self.base = 0
        self.offset_size = 8
        self.length_size = 8
        self._structures_left = _STRUCTURE_BASE + _STRUCTURE_FACTOR * self.size
        self._data_left = data_budget(self.size)

    def error(self, part: str, problem: str) -> FormatError:
        """The exception for a problem of a part of this file."""
        return FormatError(f"{self.name}: {part}: {problem}")

    def undefined(self, address: int) -> bool:
        """Whether the address stands for "nowhere"."""
        return address == (1 << 8 * self.offset_size) - 1

    def charge(self, size: int, part: str) -> None:
        """Takes the size from the budget for structures."""
        self._structures_left -= max(size, _LEAST)
        if self._structures_left < 0:
            raise self.error(part, "structures refer to each other without end")

    def charge_data(self, size: int, part: str) -> None:
        """Takes the size of an array, or of a chunk, from the budget for data."""
        if size > self._data_left:
            raise self.error(part, f"{size} bytes of data are more than a file of {self.size} bytes can hold")
        self._data_left -= size

    def read(self, address: int, size: int, part: str) -> bytearray:
        """Bytes at an address (counted from the base address); all of them or FormatError."""
        start = self.base + address
        if self.undefined(address) or start + size > self.size:
            raise self.error(part, f"{size} bytes at {address} are beyond the end of the file")
        data = bytearray(size)
        with self._lock:
            self._file.seek(start)
            count = self._file.readinto(data)  # type: ignore[attr-defined]
        if count != size:
            raise self.error(part, f"the file ended {size - count} bytes early")
        return data

    def cursor(self, address: int, size: int, part: str) -> Cursor:
        """A cursor over a structure of known size."""
        self.charge(size, part)
        return Cursor(self, self.read(address, size, part), part)


class Cursor:
    """Reads little-endian numbers one after the other from the bytes of one structure."""

    def __init__(self, source: Source, data: bytes | bytearray, part: str) -> None:
        self.source = source
        self.data = data
        self.part = part
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.position

    def error(self, problem: str) -> FormatError:
        """The exception for a problem of this structure."""
        return self.source.error(self.part, problem)

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.left:
            raise self.error(f"{size} bytes expected, {self.left} left")
        start, self.position = self.position, self.position + size
        return bytes(self.data[start : self.position])

    def skip(self, size: int) -> None:
        """Leaves bytes out."""
        self.take(size)

    def pad(self, size: int) -> None:
        """Goes on to the next multiple of `size`, or to the end."""
        self.position = min(-(-self.position // size) * size, len(self.data))

    def uint(self, size: int) -> int:
        """An unsigned number of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def address(self) -> int:
        """A number with the size of offsets."""
        return self.uint(self.source.offset_size)

    def length(self) -> int:
        """A number with the size of lengths."""
        return self.uint(self.source.length_size)

    def until_null(self) -> bytes:
        """Bytes before the next zero byte, which is read too."""
        end = self.data.find(b"\0", self.position)
        if end < 0:
            raise self.error("a text does not end")
        text = self.take(end - self.position)
        self.skip(1)
        return text

    def expect(self, signature: bytes) -> None:
        """The next bytes must be these.

        Raises:
            FormatError: they are not.
        """
        found = self.take(len(signature))
        if found != signature:
            raise self.error(f"expected {signature!r}, found {found!r}")

    def version(self, *supported: int) -> int:
        """A version number of one byte, which must be one of these.

        Raises:
            FormatError: it is not.
        """
        found = self.uint(1)
        if found not in supported:
            raise self.error(f"version {found} is not supported")
        return found


def bytes_for(limit: int) -> int:
    """Bytes that a number up to `limit` is stored in, where the format leaves it to the limit."""
    return (max(limit, 1).bit_length() - 1) // 8 + 1
