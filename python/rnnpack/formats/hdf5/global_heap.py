"""The global heap: where variable-length strings are."""

from __future__ import annotations

from rnnpack.formats.hdf5.source import Cursor, Source


class GlobalHeap:
    """Reads collections of objects, each once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._collections: dict[int, dict[int, bytes]] = {}

    def text(self, element: bytes, part: str) -> str:
        """The string that a stored element (length, collection, index) refers to.

        Raises:
            FormatError: there is none, or it is not UTF-8.
        """
        cursor = Cursor(self._source, element, part)
        length, address, index = cursor.uint(4), cursor.address(), cursor.uint(4)
        if length == 0 or address == 0:
            return ""
        if address not in self._collections:
            self._collections[address] = self._read(address)
        found = self._collections[address].get(index)
        if found is None or len(found) < length:
            raise cursor.error(f"object {index} of the heap at {address} is missing or too short")
        self._source.charge_data(length, part)
        try:
            return found[:length].decode().rstrip("\0")
        except UnicodeDecodeError:
            raise cursor.error("a string is not UTF-8") from None

    def _read(self, address: int) -> dict[int, bytes]:
        part = f"global heap at {address}"
        head = self._source.cursor(address, 8 + self._source.length_size, part)
        head.expect(b"GCOL")
        head.version(1)
        head.skip(3)
        cursor = self._source.cursor(address, head.length(), part)
        cursor.skip(min(head.position, cursor.left))
        objects: dict[int, bytes] = {}
        while cursor.left >= 8 + self._source.length_size:
            index = cursor.uint(2)
            cursor.skip(6)
            size = cursor.length()
            if index == 0:  # the free space, up to the end
                break
            objects[index] = cursor.take(size)
            cursor.pad(8)
        return objects
