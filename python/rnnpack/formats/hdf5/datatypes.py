"""Datatypes and dataspaces: what the elements of an array are, and how many there are."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.hdf5.global_heap import GlobalHeap
from rnnpack.formats.hdf5.source import Cursor

_CLASSES = (
    "integer",
    "float",
    "time",
    "string",
    "bit field",
    "opaque",
    "compound",
    "reference",
    "enumeration",
    "variable-length",
    "array",
)

# Size: bits and places of exponent and mantissa, and bias, of the floats that NumPy knows.
_FLOATS = {2: (10, 5, 0, 10, 15), 4: (23, 8, 0, 23, 127), 8: (52, 11, 0, 52, 1023)}
_BFLOAT16 = (7, 8, 0, 7, 127)

_MAX_RANK = 32


class Datatype(NamedTuple):
    """How elements are stored, and what they become.

    `kind` is "plain" (as stored), "bool", "bfloat16" (becomes float32) or "text" (variable-length strings, in
    the file's global heap).
    """

    stored: np.dtype[Any]
    kind: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of arrays that `convert` returns."""
        special = {"bool": np.bool_, "bfloat16": np.float32, "text": np.object_}
        return np.dtype(special[self.kind]) if self.kind in special else self.stored

    def convert(self, stored: NDArray[Any], heap: GlobalHeap, part: str) -> NDArray[Any]:
        """The elements as users see them."""
        if self.kind == "plain":
            return stored
        if self.kind == "bool":
            return stored.astype(np.bool_)
        if self.kind == "bfloat16":
            return (stored.astype(np.uint32) << 16).view(np.float32)
        texts = np.empty(stored.size, np.object_)
        for index, element in enumerate(stored.reshape(-1)):
            texts[index] = heap.text(element.tobytes(), part)
        return texts.reshape(stored.shape)


def read_datatype(cursor: Cursor) -> Datatype:
    """A datatype message; compound, opaque and other kinds without a counterpart are refused by name."""
    kind, version, bits, size = _head(cursor)
    if not 1 <= version <= 5:
        raise cursor.error(f"datatype version {version} is not supported")
    if size < 1:
        raise cursor.error("a datatype of no bytes")
    if kind == "integer":
        return _integer(cursor, bits, size)
    if kind == "float":
        return _float(cursor, bits, size)
    if kind == "string":
        return Datatype(np.dtype(f"S{_checked_size(cursor, size)}"), "plain")
    if kind == "enumeration":
        return _enumeration(cursor, version, bits, size)
    if kind == "variable-length" and bits & 15 == 1:
        if size != 8 + cursor.source.offset_size:
            raise cursor.error(f"variable-length strings of {size} bytes")
        return Datatype(np.dtype(f"V{size}"), "text")
    raise cursor.error(f"{kind} datatypes are not supported")


def _head(cursor: Cursor) -> tuple[str, int, int, int]:
    """Class, version, bit field and size."""
    first = cursor.uint(1)
    number = first & 15
    kind = _CLASSES[number] if number < len(_CLASSES) else f"class {number}"
    return kind, first >> 4, cursor.uint(3), cursor.uint(4)


def _checked_size(cursor: Cursor, size: int) -> int:
    if size > cursor.source.size:
        raise cursor.error(f"elements of {size} bytes are more than the file holds")
    return size


def _integer(cursor: Cursor, bits: int, size: int) -> Datatype:
    offset, precision = cursor.uint(2), cursor.uint(2)
    if size not in (1, 2, 4, 8) or offset != 0 or precision != 8 * size:
        raise cursor.error(f"integers of {precision} bits in {size} bytes are not supported")
    order, sign = ">" if bits & 1 else "<", "i" if bits & 8 else "u"
    return Datatype(np.dtype(f"{order}{sign}{size}"), "plain")


def _float(cursor: Cursor, bits: int, size: int) -> Datatype:
    offset, precision = cursor.uint(2), cursor.uint(2)
    form = (cursor.uint(1), cursor.uint(1), cursor.uint(1), cursor.uint(1), cursor.uint(4))
    order = ">" if bits & 1 else "<"
    if not bits & 0x40 and offset == 0 and precision == 8 * size:
        if _FLOATS.get(size) == form:
            return Datatype(np.dtype(f"{order}f{size}"), "plain")
        if size == 2 and form == _BFLOAT16:
            return Datatype(np.dtype(f"{order}u2"), "bfloat16")
    raise cursor.error(f"floats of {precision} bits ({form[1]} of the exponent) are not supported")


def _enumeration(cursor: Cursor, version: int, bits: int, size: int) -> Datatype:
    """An enumeration reads as its integers, h5py's of FALSE and TRUE as bools."""
    kind, _, base_bits, base_size = _head(cursor)
    if kind != "integer" or base_size != size:
        raise cursor.error(f"enumerations of {kind} are not supported")
    base = _integer(cursor, base_bits, size)
    names = []
    for _ in range(bits & 0xFFFF):
        start = cursor.position
        names.append(cursor.until_null())
        if version < 3:
            cursor.skip(-(cursor.position - start) % 8)
    values = np.frombuffer(cursor.take(len(names) * size), base.stored)
    if size == 1 and dict(zip(names, values.tolist(), strict=True)) == {b"FALSE": 0, b"TRUE": 1}:
        return Datatype(base.stored, "bool")
    return base


class Dataspace(NamedTuple):
    """The shape of an array, None where it has no elements at all, and the largest it may become."""

    shape: tuple[int, ...] | None
    largest: tuple[int, ...]

    def elements(self) -> int:
        """Number of elements."""
        return 0 if self.shape is None else math.prod(self.shape)


def read_dataspace(cursor: Cursor) -> Dataspace:
    """A dataspace message."""
    version = cursor.version(1, 2)
    rank, flags = cursor.uint(1), cursor.uint(1)
    kind = cursor.uint(1)
    if version == 1:
        cursor.skip(4)
        kind = 0 if rank == 0 else 1
    if kind == 2:
        return Dataspace(None, ())
    if rank > _MAX_RANK or kind > 1 or (kind == 0) != (rank == 0):
        raise cursor.error(f"a dataspace of kind {kind} with {rank} axes")
    shape = tuple(cursor.length() for _ in range(rank))
    largest = tuple(cursor.length() for _ in range(rank)) if flags & 1 else shape
    if math.prod(max(size, 1) for size in shape) >= 1 << 48:
        raise cursor.error(f"the shape {shape} is too large")
    if any(size > most for size, most in zip(shape, largest, strict=True)):
        raise cursor.error(f"the shape {shape} is larger than its largest, {largest}")
    return Dataspace(shape, largest)
