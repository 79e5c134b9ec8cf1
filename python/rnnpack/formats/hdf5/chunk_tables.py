"""Fixed and extensible arrays: tables of chunks, in one block or in blocks that grow."""

from __future__ import annotations

from collections.abc import Iterator

from rnnpack.formats.hdf5.source import Cursor, Source

Entries = Iterator[tuple[int, Cursor]]
_CHECKSUM = 4


def _head(source: Source, address: int, size: int, signature: bytes, part: str) -> Cursor:
    """A cursor behind signature, version and client of a block."""
    cursor = source.cursor(address, size, part)
    cursor.expect(signature)
    cursor.version(0)
    cursor.skip(1)
    return cursor


def _each(cursor: Cursor, first: int, count: int, entry_size: int) -> Entries:
    """So many entries, the first of which has the number `first`."""
    for number in range(first, first + count):
        yield number, Cursor(cursor.source, cursor.take(entry_size), cursor.part)


def fixed_array(source: Source, address: int, entry_size: int, most: int, part: str) -> Entries:
    """The entries of a fixed array of chunks.

    Args:
        source: the file.
        address: of the array's header.
        entry_size: bytes of an entry.
        most: entries that it can have.
        part: for messages.
    """
    head = _head(source, address, 8 + source.length_size + source.offset_size, b"FAHD", part)
    found, page_bits, count = head.uint(1), head.uint(1), head.length()
    block = head.address()
    if found != entry_size or count > most or page_bits > 32:
        raise head.error(f"a table of {count} entries of {found} bytes, expected {most} of {entry_size}")
    if source.undefined(block):
        return
    prefix = 6 + source.offset_size
    page = 1 << page_bits
    _head(source, block, prefix, b"FADB", part)
    if count <= page:
        yield from _each(source.cursor(block + prefix, count * entry_size, part), 0, count, entry_size)
        return
    pages = -(-count // page)
    bitmap = source.cursor(block + prefix, (pages + 7) // 8, part).data
    start = block + prefix + len(bitmap) + _CHECKSUM
    yield from _pages(source, start, bitmap, 0, count, page, entry_size, part)


def _pages(
    source: Source,
    start: int,
    bitmap: bytes | bytearray,
    first: int,
    count: int,
    page: int,
    size: int,
    part: str,
) -> Entries:
    """The entries of a paged block, of which only the pages marked in the bitmap were ever written."""
    for number in range(0, count, page):
        index = number // page
        here = min(page, count - number)
        if bitmap[index // 8] >> (7 - index % 8) & 1:
            yield from _each(source.cursor(start, here * size, part), first + number, here, size)
        start += here * size + _CHECKSUM


class _Extensible:
    """The shape of an extensible array, which follows from a few numbers in its header."""

    def __init__(self, source: Source, head: Cursor, entry_size: int, part: str) -> None:
        self.source, self.entry_size, self.part = source, entry_size, part
        found, self.bits, self.in_index = head.uint(1), head.uint(1), head.uint(1)
        self.least, pointers, page_bits = head.uint(1), head.uint(1), head.uint(1)
        head.skip(6 * source.length_size)
        self.index = head.address()
        powers = all(number and number & (number - 1) == 0 for number in (self.least, pointers))
        if found != entry_size or not powers or self.bits > 64 or page_bits > 64:
            raise head.error(f"a table with entries of {found} bytes, {self.least} in its first block")
        self.offset_size = (self.bits + 7) // 8
        self.page = 1 << page_bits
        # Blocks of blocks double their number of blocks and the blocks' size in turn.
        self.groups = max(1 + self.bits - (self.least.bit_length() - 1), 1)
        self.groups_in_index = min(2 * (pointers.bit_length() - 1), self.groups)

    def blocks_of(self, group: int) -> int:
        """Data blocks in a group."""
        return 1 << group // 2

    def entries_of(self, group: int) -> int:
        """Entries in every data block of a group."""
        return self.least << (group + 1) // 2

    def addresses(self, cursor: Cursor, first: int, groups: range) -> Entries:
        """The entries of the groups whose data blocks' addresses come next."""
        for group in groups:
            for _ in range(self.blocks_of(group)):
                yield from self.data_block(cursor.address(), first, self.entries_of(group), None)
                first += self.entries_of(group)

    def data_block(self, address: int, first: int, count: int, bitmap: bytes | None) -> Entries:
        """The entries of a data block, which has pages if there is a bitmap of them."""
        if self.source.undefined(address):
            return
        size = 6 + self.source.offset_size + self.offset_size
        _head(self.source, address, size, b"EADB", self.part)
        if bitmap is None:
            block = self.source.cursor(address + size, count * self.entry_size, self.part)
            yield from _each(block, first, count, self.entry_size)
        else:
            start = address + size + _CHECKSUM
            yield from _pages(self.source, start, bitmap, first, count, self.page, self.entry_size, self.part)

    def super_block(self, address: int, first: int, group: int) -> Entries:
        """The entries of a group that has a block of addresses of its own."""
        if self.source.undefined(address):
            return
        blocks, entries = self.blocks_of(group), self.entries_of(group)
        pages = entries // self.page if entries > self.page else 0
        bitmap_size = (pages + 7) // 8
        prefix = 6 + self.source.offset_size + self.offset_size
        size = prefix + blocks * (bitmap_size + self.source.offset_size)
        cursor = _head(self.source, address, size, b"EASB", self.part)
        cursor.skip(prefix - 6)
        bitmaps = [cursor.take(bitmap_size) for _ in range(blocks)]
        for bitmap in bitmaps:
            yield from self.data_block(cursor.address(), first, entries, bitmap if pages else None)
            first += entries


def extensible_array(source: Source, address: int, entry_size: int, part: str) -> Entries:
    """The entries of an extensible array of chunks.

    Args:
        source: the file.
        address: of the array's header.
        entry_size: bytes of an entry.
        part: for messages.
    """
    size = 12 + 6 * source.length_size + source.offset_size
    array = _Extensible(source, _head(source, address, size, b"EAHD", part), entry_size, part)
    if source.undefined(array.index):
        return
    in_index, beyond = range(array.groups_in_index), range(array.groups_in_index, array.groups)
    block_count = sum(map(array.blocks_of, in_index))
    size = 6 + source.offset_size + array.in_index * entry_size
    size += (block_count + len(beyond)) * source.offset_size
    cursor = _head(source, array.index, size, b"EAIB", part)
    cursor.skip(source.offset_size)
    yield from _each(cursor, 0, array.in_index, entry_size)
    first = array.in_index
    yield from array.addresses(cursor, first, in_index)
    first += sum(array.blocks_of(group) * array.entries_of(group) for group in in_index)
    for group in beyond:
        yield from array.super_block(cursor.address(), first, group)
        first += array.blocks_of(group) * array.entries_of(group)
