"""The fractal heap: where dense groups and dense attributes keep their messages."""

from __future__ import annotations

from collections.abc import Iterator

from rnnpack.formats.hdf5 import btree2
from rnnpack.formats.hdf5.source import Cursor, Source, bytes_for

_HUGE_RECORDS = 1


class FractalHeap:
    """Reads objects by their heap IDs.

    Args:
        source: the file.
        address: of the heap's header.
    """

    def __init__(self, source: Source, address: int) -> None:
        self._source = source
        self._part = f"fractal heap at {address}"
        offset, length = source.offset_size, source.length_size
        head = source.cursor(address, 26 + 12 * length + 3 * offset, self._part)
        head.expect(b"FRHP")
        head.version(0)
        self.id_size, filter_size = head.uint(2), head.uint(2)
        if filter_size:
            raise head.error("filtered heaps are not supported")
        head.skip(1)
        most_managed = head.uint(4)
        head.skip(length)
        self._huge_tree = head.address()
        head.skip(length + offset + 8 * length)
        self._width, self._first_size = head.uint(2), head.length()
        largest = head.length()
        bits = head.uint(2)
        head.skip(2)
        self._root, self._rows = head.address(), head.uint(2)
        sane = 0 < self._first_size <= largest < 1 << 32 and self._width > 0 and bits <= 64
        if not sane or self._rows > 64:
            raise head.error(f"blocks of {self._first_size} to {largest} bytes, {self._width} in a row")
        self._offset_size = (bits + 7) // 8
        self._length_size = min((largest.bit_length() - 1 + 7) // 8, bytes_for(most_managed))
        self._direct_rows = largest.bit_length() - self._first_size.bit_length() + 2
        self._huge: dict[int, tuple[int, int]] | None = None

    def get(self, heap_id: bytes) -> Cursor:
        """A cursor over the object with this ID."""
        cursor = Cursor(self._source, heap_id, self._part)
        kind = cursor.uint(1)
        if kind >> 6:
            raise cursor.error(f"version {kind >> 6} of heap IDs is not supported")
        if kind >> 4 & 3 == 0:
            return self._managed(cursor.uint(self._offset_size), cursor.uint(self._length_size))
        if kind >> 4 & 3 == 1:
            return self._huge_object(cursor.uint(min(cursor.left, self._source.length_size)))
        raise cursor.error(f"heap IDs of kind {kind >> 4 & 3} are not supported")

    def _managed(self, offset: int, size: int) -> Cursor:
        """The object at an offset of the heap, which is one row of blocks after the other."""
        address, start, rows = self._root, 0, self._rows
        while rows:
            row, column, start = self._place(offset, start, rows)
            address = self._child(address, row, column)
            if row < self._direct_rows:
                break
            # A block of blocks as large as its place: rows double from the second on.
            rows = self._row_size(row).bit_length() - (self._first_size * self._width).bit_length() + 1
            if rows < 1:
                raise self._source.error(self._part, "a block of no rows")
        self._check_block(address, start)
        return self._source.cursor(address + offset - start, size, self._part)

    def _row_size(self, row: int) -> int:
        """Bytes of each block of a row."""
        return self._first_size << max(row - 1, 0)

    def _place(self, offset: int, start: int, rows: int) -> tuple[int, int, int]:
        """Row, column and start of the block with this offset, in a block that starts at `start`."""
        for row in range(rows):
            size = self._row_size(row)
            if offset < start + size * self._width:
                column = (offset - start) // size
                return row, column, start + column * size
            start += size * self._width
        raise self._source.error(self._part, f"there is no offset {offset}")

    def _child(self, address: int, row: int, column: int) -> int:
        """An entry of the indirect block at an address."""
        head_size = 5 + self._source.offset_size + self._offset_size
        self._source.cursor(address, 5, self._part).expect(b"FHIB\0")
        place = address + head_size + (row * self._width + column) * self._source.offset_size
        return self._source.cursor(place, self._source.offset_size, self._part).address()

    def _check_block(self, address: int, start: int) -> None:
        """The direct block at an address must be the one that starts at this offset."""
        head = self._source.cursor(address, 5 + self._source.offset_size + self._offset_size, self._part)
        head.expect(b"FHDB\0")
        head.skip(self._source.offset_size)
        if head.uint(self._offset_size) != start:
            raise head.error(f"the block at {address} does not start at offset {start}")

    def _huge_object(self, key: int) -> Cursor:
        """An object outside the heap's blocks, found in a tree."""
        if self._huge is None:
            self._huge = {}
            for record in btree2.records(self._source, self._huge_tree, _HUGE_RECORDS, self._part):
                where = record.address(), record.length()
                self._huge[record.length()] = where
        if key not in self._huge:
            raise self._source.error(self._part, f"there is no huge object {key}")
        return self._source.cursor(*self._huge[key], self._part)


def dense_messages(info: Cursor, order_size: int, kind: int, hash_size: int) -> Iterator[Cursor]:
    """The messages that an object keeps in a heap, as its Link Info or Attribute Info message says.

    Args:
        info: at the beginning of that message.
        order_size: bytes of the largest creation order in it, where it has one.
        kind: type of the records of the B-tree by name.
        hash_size: bytes of a record before the heap ID.
    """
    source = info.source
    info.version(0)
    info.skip(order_size if info.uint(1) & 1 else 0)
    heap_address, tree = info.address(), info.address()
    if source.undefined(heap_address):
        return
    heap = FractalHeap(source, heap_address)
    for record in btree2.records(source, tree, kind, info.part):
        record.skip(hash_size)
        yield heap.get(record.take(heap.id_size))
