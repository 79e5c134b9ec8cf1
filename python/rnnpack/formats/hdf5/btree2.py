"""Version 2 B-trees: the records of dense groups, dense attributes, huge objects and chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rnnpack.formats.hdf5.source import Cursor, Source, bytes_for

# Signature, version, type and checksum of a node.
_NODE_OVERHEAD = 10


class _Level(NamedTuple):
    """Nodes of one depth: bytes of a total count of records, and the most records below one of them."""

    total_size: int
    most_below: int


class _Tree(NamedTuple):
    source: Source
    part: str
    kind: int
    record_size: int
    count_size: int
    levels: list[_Level]


def records(source: Source, address: int, kind: int, part: str) -> Iterator[Cursor]:
    """Cursors over all records of the tree, in order.

    Args:
        source: the file.
        address: of the tree's header.
        kind: type of the records that is expected.
        part: for messages.
    """
    size = 16 + source.offset_size + 2 + source.length_size + 4
    head = source.cursor(address, size, part)
    head.expect(b"BTHD")
    head.version(0)
    found = head.uint(1)
    if found != kind:
        raise head.error(f"records of type {found}, expected {kind}")
    node_size, record_size, depth = head.uint(4), head.uint(2), head.uint(2)
    head.skip(2)
    root, count = head.address(), head.uint(2)
    if record_size == 0 or node_size <= _NODE_OVERHEAD + record_size or depth > 32:
        raise head.error(f"nodes of {node_size} bytes, records of {record_size}, depth {depth}")
    if not source.undefined(root):
        yield from _walk(_tree(source, part, kind, node_size, record_size, depth), root, count, depth)


def _tree(source: Source, part: str, kind: int, node_size: int, record_size: int, depth: int) -> _Tree:
    most = (node_size - _NODE_OVERHEAD) // record_size
    count_size = bytes_for(most)
    levels = [_Level(0, most)]
    for _ in range(depth):
        pointer = source.offset_size + count_size + levels[-1].total_size
        fitting = max(node_size - _NODE_OVERHEAD - pointer, 0) // (record_size + pointer)
        below = (fitting + 1) * levels[-1].most_below + fitting
        levels.append(_Level(bytes_for(below), below))
    return _Tree(source, part, kind, record_size, count_size, levels)


def _walk(tree: _Tree, root: int, count: int, depth: int) -> Iterator[Cursor]:
    """Records node by node, in order within each node, which no caller needs more of."""
    pending = [(root, count, depth)]
    seen: set[int] = set()
    while pending:
        address, count, depth = pending.pop()
        if address in seen:
            raise tree.source.error(tree.part, f"the B-tree reaches the node at {address} twice")
        seen.add(address)
        total_size = tree.levels[depth - 1].total_size if depth else 0
        pointer = tree.source.offset_size + tree.count_size + total_size if depth else 0
        size = 6 + count * tree.record_size + (count + 1) * pointer
        node = tree.source.cursor(address, size, tree.part)
        node.expect(b"BTIN" if depth else b"BTLF")
        node.version(0)
        if node.uint(1) != tree.kind:
            raise node.error("a node with records of another type")
        for _ in range(count):
            yield Cursor(tree.source, node.take(tree.record_size), tree.part)
        for _ in range(count + 1 if depth else 0):
            child, child_count = node.address(), node.uint(tree.count_size)
            node.skip(total_size)
            pending.append((child, child_count, depth - 1))
