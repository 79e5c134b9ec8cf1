"""Where the elements of a dataset are: in its header, in one piece, or in chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.hdf5 import headers
from rnnpack.formats.hdf5.chunks import Chunk, Index
from rnnpack.formats.hdf5.datatypes import Dataspace
from rnnpack.formats.hdf5.filters import Filter, read_filters, undo
from rnnpack.formats.hdf5.headers import Message
from rnnpack.formats.hdf5.source import Cursor, Source

_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = range(4)
_EDGES_UNFILTERED, _SINGLE_FILTERED = 1, 2
# Bytes of parameters that kinds of index keep in the layout message: fixed array, extensible array, B-tree.
_INDEX_PARAMETERS = {2: 0, 3: 1, 4: 5, 5: 6}


class Stored(NamedTuple):
    """What is known of a dataset before its elements are read."""

    source: Source
    part: str
    space: Dataspace
    dtype: np.dtype[Any]
    messages: Sequence[Message]

    def message(self, kind: int) -> Cursor | None:
        """A cursor over the header message of this kind."""
        for message in self.messages:
            if message.kind == kind:
                return message.cursor(self.source, self.part)
        return None


def read_stored(dataset: Stored) -> NDArray[Any]:
    """The elements as they are stored."""
    source, part = dataset.source, dataset.part
    if dataset.message(headers.EXTERNAL) is not None:
        raise source.error(part, "data in other files (external storage) are not supported")
    cursor = dataset.message(headers.LAYOUT)
    if cursor is None:
        raise source.error(part, "there is no data layout")
    shape = dataset.space.shape or ()
    size = dataset.space.elements() * dataset.dtype.itemsize
    source.charge_data(size, part)
    version = cursor.version(3, 4, 5)
    kind = cursor.uint(1)
    if kind == _CHUNKED:
        return _chunked(dataset, shape, _index(dataset, cursor, version))
    if kind == _COMPACT:
        data = bytearray(cursor.take(cursor.uint(2)))
    elif kind == _CONTIGUOUS:
        address, stored = cursor.address(), cursor.length()
        if source.undefined(address) or size == 0:
            return _filled(dataset, shape)
        data = source.read(address, min(size, stored), part)
    else:
        raise cursor.error("virtual datasets are not supported" if kind == _VIRTUAL else f"layout {kind}")
    if len(data) < size:
        raise cursor.error(f"{len(data)} bytes are stored, expected {size}")
    return np.frombuffer(data, dataset.dtype, dataset.space.elements()).reshape(shape)


def _filled(dataset: Stored, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of the fill value, zero unless a message says otherwise."""
    array = np.zeros(shape, dataset.dtype)
    cursor = dataset.message(headers.FILL)
    if cursor is None:
        cursor = dataset.message(headers.OLD_FILL)
        defined = cursor is not None
    elif cursor.version(1, 2, 3) == 3:
        defined = bool(cursor.uint(1) & 32)
    else:
        cursor.skip(2)
        defined = bool(cursor.uint(1))
    if cursor is not None and defined and cursor.left >= 4:
        value = cursor.take(cursor.uint(4))
        if len(value) == dataset.dtype.itemsize and any(value):
            array[...] = np.frombuffer(value, dataset.dtype)[0]
    return array


def _index(dataset: Stored, cursor: Cursor, version: int) -> tuple[Index, list[Filter], bool]:
    """The index of a chunked layout, the filters, and whether they leave out chunks at the edges."""
    source = dataset.source
    filter_message = dataset.message(headers.FILTERS)
    filters = [] if filter_message is None else read_filters(filter_message)
    flags = cursor.uint(1) if version > 3 else 0
    axes = cursor.uint(1) - 1
    address = cursor.address() if version == 3 else 0
    width = 4 if version == 3 else cursor.uint(1)
    shape = tuple(cursor.uint(width) for _ in range(axes))
    element = cursor.uint(width)
    if axes != len(dataset.space.shape or ()) or axes < 1 or 0 in shape or element != dataset.dtype.itemsize:
        raise cursor.error(f"chunks of shape {shape} with elements of {element} bytes do not fit the dataset")
    size = math.prod(shape) * element
    size_width, kind, single = 0, 0, (size, 0)
    if filters:
        size_width = source.length_size if version > 4 else min(1 + (size.bit_length() + 7) // 8, 8)
    if version > 3:
        kind = cursor.uint(1)
        if kind == 1 and flags & _SINGLE_FILTERED:
            single = cursor.length(), cursor.uint(4)
        elif kind != 1:
            if kind not in _INDEX_PARAMETERS:
                raise cursor.error(f"chunk index {kind} is not supported")
            cursor.skip(_INDEX_PARAMETERS[kind])
        address = cursor.address()
    index = Index(source, dataset.part, kind, address, shape, size, size_width, single)
    return index, filters, bool(flags & _EDGES_UNFILTERED)


def _chunked(
    dataset: Stored, shape: tuple[int, ...], layout: tuple[Index, list[Filter], bool]
) -> NDArray[Any]:
    index, filters, edges_unfiltered = layout
    array = _filled(dataset, shape)
    if array.size == 0:
        return array
    ends = index.grid(shape)
    for chunk in index.chunks(shape, dataset.space.largest):
        if any(at >= end for at, end in zip(chunk.place, ends, strict=True)):
            continue  # left over from when the dataset was larger
        start = [at * size for at, size in zip(chunk.place, index.shape, strict=True)]
        end = [first + size for first, size in zip(start, index.shape, strict=True)]
        at_edge = any(last > size for last, size in zip(end, shape, strict=True))
        used = [] if at_edge and edges_unfiltered else filters
        values = _chunk_values(dataset, index, used, chunk)
        room = array[tuple(map(slice, start, end))]
        room[...] = values[tuple(slice(0, size) for size in room.shape)]
    return array


def _chunk_values(dataset: Stored, index: Index, filters: list[Filter], chunk: Chunk) -> NDArray[Any]:
    """The elements of one chunk."""
    source, part = dataset.source, f"{dataset.part} chunk {chunk.place}"
    source.charge(0, part)
    source.charge_data(index.size, part)
    stored = bytes(source.read(chunk.address, chunk.size, part))
    plain = undo(filters, stored, chunk.mask, index.size, Cursor(source, b"", part))
    return np.frombuffer(plain, dataset.dtype).reshape(index.shape)
