"""The superblock and object headers: what a file and every object in it begin with."""

from __future__ import annotations

from typing import NamedTuple

from rnnpack.formats.hdf5.source import Cursor, Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Kinds of messages in object headers.
DATASPACE, LINK_INFO, DATATYPE, OLD_FILL, FILL, LINK, EXTERNAL, LAYOUT = 1, 2, 3, 4, 5, 6, 7, 8
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0xB, 0xC, 0x10, 0x11, 0x15

_SHARED = 2


class Message(NamedTuple):
    """One message of an object header."""

    kind: int
    flags: int
    body: bytes

    def cursor(self, source: Source, part: str) -> Cursor:
        """A cursor over the body.

        Raises:
            FormatError: the body is elsewhere (a committed datatype, a shared message).
        """
        if self.flags & _SHARED:
            raise source.error(part, "shared header messages are not supported")
        return Cursor(source, self.body, part)


def find_superblock(source: Source) -> int | None:
    """Where the superblock begins: at 0, 512, 1024, ...; None if nowhere."""
    start = 0
    while start + len(SIGNATURE) <= source.size:
        if source.read(start, len(SIGNATURE), "superblock") == SIGNATURE:
            return start
        start = max(2 * start, 512)
    return None


def read_superblock(source: Source) -> int:
    """Sets the source's sizes and base address; returns the address of the root group's header."""
    start = find_superblock(source)
    if start is None:
        raise source.error("superblock", "this is not an HDF5 file")
    cursor = source.cursor(start, min(96 + 24, source.size - start), "superblock")
    cursor.skip(len(SIGNATURE))
    version = cursor.version(0, 1, 2, 3)
    if version < 2:
        cursor.skip(4)
    source.offset_size, source.length_size = cursor.uint(1), cursor.uint(1)
    if source.offset_size not in (2, 4, 8) or source.length_size not in (2, 4, 8):
        raise cursor.error(f"offsets of {source.offset_size} and lengths of {source.length_size} bytes")
    cursor.skip(1 if version >= 2 else 9 if version == 0 else 13)
    base = cursor.address()
    cursor.skip(source.offset_size)  # free space, or the superblock extension
    end = cursor.address()  # the one address that does not count from the base
    if end > source.size:
        raise cursor.error(f"the file has {source.size} of its {end} bytes: it is truncated")
    if version < 2:
        cursor.skip(2 * source.offset_size)  # driver information, name of the root
    source.base = base
    return cursor.address()


def read_messages(source: Source, address: int, part: str) -> list[Message]:
    """All messages of the object header at an address, continuations included."""
    prefix = source.cursor(address, 6, part)
    if prefix.data[:4] == b"OHDR":
        return _read_new(source, address, part)
    prefix.version(1)
    prefix.skip(1)
    prefix_size = 16
    count = prefix.uint(2)
    size = source.cursor(address + 8, 4, part).uint(4)
    blocks = [source.cursor(address + prefix_size, size, part)]
    return _collect(source, blocks, part, False, 0, count)


def _read_new(source: Source, address: int, part: str) -> list[Message]:
    prefix = source.cursor(address, 6, part)
    prefix.skip(4)
    prefix.version(2)
    flags = prefix.uint(1)
    size_at = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    width = 1 << (flags & 3)
    size = source.cursor(address + size_at, width, part).uint(width)
    blocks = [source.cursor(address + size_at + width, size, part)]
    return _collect(source, blocks, part, True, 2 if flags & 4 else 0, None)


def _collect(
    source: Source, blocks: list[Cursor], part: str, new: bool, order_size: int, count: int | None
) -> list[Message]:
    """The messages of the blocks, to which continuations add; `count` of them where it is known."""
    messages: list[Message] = []
    least = 4 + order_size if new else 8
    seen: set[int] = set()
    for block in blocks:
        while block.left >= least and (count is None or count > 0):
            count = None if count is None else count - 1
            kind, size, flags = (
                (block.uint(1), block.uint(2), block.uint(1))
                if new
                else (block.uint(2), block.uint(2), block.uint(1))
            )
            block.skip(order_size if new else 3)
            body = block.take(size)
            if kind != CONTINUATION:
                messages.append(Message(kind, flags, body))
                continue
            where = Cursor(source, body, part)
            start, length = where.address(), where.length()
            if start in seen:
                raise source.error(part, "continuations of the object header form a circle")
            seen.add(start)
            following = source.cursor(start, length, part)
            if new:
                following.expect(b"OCHK")
                following.data = following.data[: max(length - 4, 4)]  # without the checksum
            blocks.append(following)
    return messages
