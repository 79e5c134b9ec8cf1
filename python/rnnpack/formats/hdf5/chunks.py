"""Where the chunks of an array are: six kinds of index lead to the same triples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rnnpack.formats.hdf5 import btree2
from rnnpack.formats.hdf5.chunk_tables import extensible_array, fixed_array
from rnnpack.formats.hdf5.links import tree_leaves
from rnnpack.formats.hdf5.source import Cursor, Source

_SINGLE, _IMPLICIT, _FIXED_ARRAY, _EXTENSIBLE_ARRAY, _BTREE2 = 1, 2, 3, 4, 5
_PLAIN_RECORDS, _FILTERED_RECORDS = 10, 11


class Chunk(NamedTuple):
    """A stored chunk: its place in the grid of chunks, address, stored bytes, and filters left out."""

    place: tuple[int, ...]
    address: int
    size: int
    mask: int


class Index(NamedTuple):
    """A chunked layout.

    Attributes:
        source: the file.
        part: for messages.
        kind: type of index; 0 is the version 1 B-tree.
        address: of the index.
        shape: of a chunk.
        size: bytes of a chunk.
        size_width: bytes that stored sizes of chunks take, 0 where chunks are not filtered.
        single: stored size and filter mask of the single chunk.
    """

    source: Source
    part: str
    kind: int
    address: int
    shape: tuple[int, ...]
    size: int
    size_width: int
    single: tuple[int, int]

    @property
    def entry_size(self) -> int:
        """Bytes of an element of a fixed or extensible array."""
        return self.source.offset_size + (self.size_width + 4 if self.size_width else 0)

    def grid(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Chunks along every axis of an array."""
        return tuple(-(-size // chunk) for size, chunk in zip(shape, self.shape, strict=True))

    def entry(self, place: tuple[int, ...], cursor: Cursor) -> Chunk:
        """A chunk from its address and, where chunks are filtered, stored size and mask."""
        address = cursor.address()
        if not self.size_width:
            return Chunk(place, address, self.size, 0)
        return Chunk(place, address, cursor.uint(self.size_width), cursor.uint(4))

    def chunks(self, shape: tuple[int, ...], largest: tuple[int, ...]) -> Iterator[Chunk]:
        """All stored chunks of an array of this shape, which could become this large."""
        if self.source.undefined(self.address):
            return
        if self.kind == 0:
            yield from self._tree_chunks()
        elif self.kind == _SINGLE:
            yield Chunk((0,) * len(shape), self.address, *self.single)
        elif self.kind == _BTREE2:
            yield from self._btree2_chunks()
        else:
            yield from self._numbered_chunks(shape, largest)

    def _tree_chunks(self) -> Iterator[Chunk]:
        key_size = 8 + 8 * (len(self.shape) + 1)
        for leaf in tree_leaves(self.source, self.address, 1, key_size, self.part):
            leaf.position = 0
            size, mask = leaf.uint(4), leaf.uint(4)
            start = [leaf.uint(8) for _ in self.shape]
            leaf.skip(8)
            if any(first % chunk for first, chunk in zip(start, self.shape, strict=True)):
                raise leaf.error(f"a chunk begins at {start}, between chunks of {self.shape}")
            place = tuple(first // chunk for first, chunk in zip(start, self.shape, strict=True))
            yield Chunk(place, leaf.address(), size, mask)

    def _btree2_chunks(self) -> Iterator[Chunk]:
        kind = _FILTERED_RECORDS if self.size_width else _PLAIN_RECORDS
        for record in btree2.records(self.source, self.address, kind, self.part):
            chunk = self.entry((), record)
            yield chunk._replace(place=tuple(record.uint(8) for _ in self.shape))

    def _numbered_chunks(self, shape: tuple[int, ...], largest: tuple[int, ...]) -> Iterator[Chunk]:
        """Chunks in a table, numbered as in an array of the largest shape, an unlimited axis first."""
        axes = list(range(len(shape)))
        if self.kind == _EXTENSIBLE_ARRAY:
            unlimited = [axis for axis in axes if largest[axis] == (1 << 8 * self.source.length_size) - 1]
            if len(unlimited) != 1:
                raise self.source.error(self.part, "an extensible array needs one unlimited axis")
            axes.sort(key=lambda axis: axis != unlimited[0])
        grid, most = self.grid(shape), self.grid(largest)
        strides = [math.prod(most[axis] for axis in axes[at + 1 :]) for at in range(len(axes))]
        for number, chunk in self._numbered(math.prod(most)):
            place = [0] * len(shape)
            for axis, stride in zip(axes, strides, strict=True):
                place[axis], number = divmod(number, max(stride, 1))
            inside = all(at < end for at, end in zip(place, grid, strict=True))
            if inside and not self.source.undefined(chunk.address):
                yield chunk._replace(place=tuple(place))

    def _numbered(self, most: int) -> Iterator[tuple[int, Chunk]]:
        """The numbers of chunks and the chunks (without place) of a table of at most `most`."""
        if self.kind == _FIXED_ARRAY:
            entries = fixed_array(self.source, self.address, self.entry_size, most, self.part)
        elif self.kind == _EXTENSIBLE_ARRAY:
            entries = extensible_array(self.source, self.address, self.entry_size, self.part)
        else:
            return self._implicit(most)
        return ((number, self.entry((), cursor)) for number, cursor in entries)

    def _implicit(self, most: int) -> Iterator[tuple[int, Chunk]]:
        """Chunks of the same size, one after the other."""
        for number in range(most):
            self.source.charge(0, self.part)
            yield number, Chunk((), self.address + number * self.size, self.size, 0)
