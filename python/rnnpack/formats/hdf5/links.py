"""The links of a group, in whichever of three ways they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rnnpack.formats.hdf5 import headers
from rnnpack.formats.hdf5.fractal_heap import dense_messages
from rnnpack.formats.hdf5.headers import Message
from rnnpack.formats.hdf5.source import Cursor, Source

_LINK_NAMES = 5  # type of the records of the B-tree of links by name
_SOFT_IN_CACHE = 2


class Link(NamedTuple):
    """Where a name leads: to an object header, to a path (a soft link), or out of the file (neither)."""

    name: str
    address: int | None
    path: str | None


def read_links(source: Source, messages: Sequence[Message], part: str) -> dict[str, Link]:
    """All links of the group with these header messages, by name."""
    found: dict[str, Link] = {}
    for link in _all_links(source, messages, part):
        if link.name in found:
            raise source.error(part, f"two links are named {link.name!r}")
        found[link.name] = link
    return dict(sorted(found.items()))


def _all_links(source: Source, messages: Sequence[Message], part: str) -> Iterator[Link]:
    for message in messages:
        if message.kind == headers.LINK:
            yield _link(message.cursor(source, part))
        elif message.kind == headers.SYMBOL_TABLE:
            yield from _symbol_table(message.cursor(source, part))
        elif message.kind == headers.LINK_INFO:
            yield from _dense(message.cursor(source, part))


def _text(cursor: Cursor, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise cursor.error(f"the name {data!r} is not UTF-8") from None


def _link(cursor: Cursor) -> Link:
    """A link message."""
    cursor.version(1)
    flags = cursor.uint(1)
    kind = cursor.uint(1) if flags & 8 else 0
    cursor.skip((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = _text(cursor, cursor.take(cursor.uint(1 << (flags & 3))))
    if kind == 0:
        return Link(name, cursor.address(), None)
    return Link(name, None, _text(cursor, cursor.take(cursor.uint(2))) if kind == 1 else None)


def _dense(cursor: Cursor) -> Iterator[Link]:
    """Links in a fractal heap."""
    return map(_link, dense_messages(cursor, order_size=8, kind=_LINK_NAMES, hash_size=4))


def _symbol_table(cursor: Cursor) -> Iterator[Link]:
    """Links in the leaves of a B-tree, their names in a local heap."""
    source, part = cursor.source, cursor.part
    tree, heap_address = cursor.address(), cursor.address()
    heap = source.cursor(heap_address, 8 + 2 * source.length_size + source.offset_size, part)
    heap.expect(b"HEAP")
    heap.version(0)
    heap.skip(3)
    size = heap.length()
    heap.skip(source.length_size)
    names = source.cursor(heap.address(), size, part)
    for leaf in tree_leaves(source, tree, 0, source.length_size, part):
        yield from _symbols(leaf.address(), names)


def _symbols(address: int, names: Cursor) -> Iterator[Link]:
    """The entries of one node of symbols."""
    source = names.source
    head = source.cursor(address, 8, names.part)
    head.expect(b"SNOD")
    head.version(1)
    head.skip(1)
    count = head.uint(2)
    entry_size = 2 * source.offset_size + 24
    entries = source.cursor(address + 8, count * entry_size, names.part)

    def name_at(position: int) -> str:
        names.position = min(position, len(names.data))
        return _text(names, names.until_null())

    for _ in range(count):
        name, target, cached = name_at(entries.address()), entries.address(), entries.uint(4)
        entries.skip(4)
        path_at = entries.uint(4)
        entries.skip(12)
        if cached == _SOFT_IN_CACHE:
            yield Link(name, None, name_at(path_at))
        else:
            yield Link(name, target, None)


def tree_leaves(source: Source, root: int, kind: int, key_size: int, part: str) -> Iterator[Cursor]:
    """Cursors at the child addresses in the lowest nodes of a version 1 B-tree.

    Their `data` is the child's key followed by its address; the position is at the address.
    """
    pending = [(root, 256)]
    seen: set[int] = set()
    while pending:
        address, above = pending.pop()
        if address in seen:
            raise source.error(part, f"the B-tree reaches the node at {address} twice")
        seen.add(address)
        head_size = 8 + 2 * source.offset_size
        head = source.cursor(address, head_size, part)
        head.expect(b"TREE")
        found, level, count = head.uint(1), head.uint(1), head.uint(2)
        if found != kind or level >= above:
            raise head.error(f"a B-tree node of type {found}, level {level} where type {kind} was expected")
        entry_size = key_size + source.offset_size
        entries = source.cursor(address + head_size, count * entry_size, part)
        for _ in range(count):
            entry = Cursor(source, entries.take(entry_size), part)
            entry.position = key_size
            if level:
                pending.append((entry.address(), level))
            else:
                yield entry
