"""Attributes: small named arrays that belong to a group or dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnnpack.formats.hdf5 import headers
from rnnpack.formats.hdf5.datatypes import read_dataspace, read_datatype
from rnnpack.formats.hdf5.fractal_heap import dense_messages
from rnnpack.formats.hdf5.global_heap import GlobalHeap
from rnnpack.formats.hdf5.headers import Message
from rnnpack.formats.hdf5.source import Cursor, Source

_ATTRIBUTE_NAMES = 8  # type of the records of the B-tree of attributes by name


def read_attributes(
    source: Source, messages: Sequence[Message], heap: GlobalHeap, part: str
) -> dict[str, Any]:
    """All attributes of the object with these header messages, by name.

    Returns:
        Scalars as NumPy scalars, fixed-length strings as bytes, variable-length strings as str, arrays as
        arrays, attributes without any elements as None.
    """
    found: dict[str, Any] = {}
    for cursor in _messages(source, messages, part):
        name, value = _attribute(cursor, heap)
        if name in found:
            raise cursor.error(f"two attributes are named {name!r}")
        found[name] = value
    return found


def _messages(source: Source, messages: Sequence[Message], part: str) -> Iterator[Cursor]:
    """Cursors over attribute messages, those of the header and those in a heap."""
    for message in messages:
        if message.kind == headers.ATTRIBUTE:
            yield message.cursor(source, f"attribute of {part}")
        elif message.kind == headers.ATTRIBUTE_INFO:
            info = message.cursor(source, f"attributes of {part}")
            yield from dense_messages(info, order_size=2, kind=_ATTRIBUTE_NAMES, hash_size=0)


def _attribute(cursor: Cursor, heap: GlobalHeap) -> tuple[str, Any]:
    version = cursor.version(1, 2, 3)
    if cursor.uint(1) & 3 and version > 1:
        raise cursor.error("shared datatypes are not supported")
    sizes = [cursor.uint(2) for _ in range(3)]
    cursor.skip(1 if version == 3 else 0)
    parts = []
    for size in sizes:
        parts.append(cursor.take(size))
        cursor.pad(8 if version == 1 else 1)
    name = parts[0].rstrip(b"\0").decode(errors="replace")
    part = f"{cursor.part} {name!r}"
    datatype = read_datatype(Cursor(cursor.source, parts[1], part))
    space = read_dataspace(Cursor(cursor.source, parts[2], part))
    if space.shape is None:
        return name, None
    data = cursor.take(space.elements() * datatype.stored.itemsize)
    stored = np.frombuffer(bytearray(data), datatype.stored).reshape(space.shape)
    value = datatype.convert(stored, heap, part)
    return name, value if space.shape else value[()]
