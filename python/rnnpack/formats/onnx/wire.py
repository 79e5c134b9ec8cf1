"""Protobuf's wire format, both ways, for messages declared as dataclasses.

Written from https://protobuf.dev/programming-guides/encoding. Every length is checked against the bytes that
are there, nesting and the number of messages are bounded, and unknown fields are skipped.
"""

from __future__ import annotations

import dataclasses
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np

from rnnpack.formats.errors import FormatError

M = TypeVar("M")

INT, FLOAT, DOUBLE, STRING, BYTES = "int", "float", "double", "string", "bytes"

# Deeper than any real model: each subgraph takes three levels.
MAX_DEPTH = 40
# An empty message takes two bytes of a file and several hundred of memory.
MAX_MESSAGES = 1 << 20

_FIXED = {FLOAT: ("<f4", "<f", 5), DOUBLE: ("<f8", "<d", 1)}


@dataclass(frozen=True)
class Slot:
    """A field of a message: its attribute, its number, its kind (one of the names above or a class)."""

    name: str
    number: int
    kind: Any
    repeated: bool


def one(number: int, kind: Any, default: Any = None) -> Any:
    """Declares a field that occurs at most once; None (or "") where it is absent."""
    return dataclasses.field(default=default, metadata={"number": number, "kind": kind, "repeated": False})


def many(number: int, kind: Any) -> Any:
    """Declares a repeated field."""
    metadata = {"number": number, "kind": kind, "repeated": True}
    return dataclasses.field(default_factory=list, metadata=metadata)


# The names of kinds that are no message classes.
_SCALARS = frozenset({INT, FLOAT, DOUBLE, STRING, BYTES})


@cache
def _slots(message: Any) -> dict[int, Slot]:
    """The fields of a message class by number; classes declared later are given by name."""
    slots = {}
    for field in dataclasses.fields(message):
        kind = field.metadata["kind"]
        if isinstance(kind, str) and kind not in _SCALARS:
            kind = getattr(sys.modules[message.__module__], kind)
        number = field.metadata["number"]
        slots[number] = Slot(field.name, number, kind, field.metadata["repeated"])
    return slots


def decode(message: type[M], data: bytes | memoryview) -> M:
    """Reads a message.

    Args:
        message: a dataclass whose fields are declared with `one` and `many`.
        data: the whole message.

    Raises:
        FormatError: the bytes are not such a message, or exceed a bound.
    """
    found: M = _Decoder().message(message, memoryview(data), 0)
    return found


class _Decoder:
    """One reading of a file; counts its messages."""

    def __init__(self) -> None:
        self.messages = 0

    def message(self, kind: Any, data: memoryview, depth: int) -> Any:
        self.messages += 1
        if depth > MAX_DEPTH:
            raise FormatError(f"ONNX: {kind.__name__} is nested more than {MAX_DEPTH} levels deep")
        if self.messages > MAX_MESSAGES:
            raise FormatError(f"ONNX: the file holds more than {MAX_MESSAGES} messages")
        result, slots = kind(), _slots(kind)
        for number, wire, value in _fields(data, kind.__name__):
            slot = slots.get(number)
            if slot is None:
                continue
            values = self.values(slot, wire, value, depth, kind.__name__)
            if slot.repeated:
                getattr(result, slot.name).extend(values)
            elif values:
                setattr(result, slot.name, values[-1])
        return result

    def values(self, slot: Slot, wire: int, value: Any, depth: int, owner: str) -> list[Any]:
        """What one occurrence of a field holds; several values where it is packed."""
        kind, where = slot.kind, f"{owner}.{slot.name}"
        if kind == INT:
            if wire == 0:
                return [_signed(value)]
            if wire == 2 and slot.repeated:
                return [_signed(number) for number in _varints(value, where)]
        elif kind in _FIXED:
            dtype, _, expected = _FIXED[kind]
            size = np.dtype(dtype).itemsize
            packed = wire == 2 and slot.repeated and len(value) % size == 0
            if packed or wire == expected:
                numbers: list[float] = np.frombuffer(value, dtype).tolist()
                return numbers
        elif wire == 2:
            if kind == BYTES:
                return [bytes(value)]
            if kind == STRING:
                return [_text(value, where)]
            return [self.message(kind, value, depth + 1)]
        raise FormatError(f"ONNX: {where} has wire type {wire}, which does not fit {kind}")


def _fields(data: memoryview, owner: str) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and payload of every field."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at, owner)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == 0:
            value, at = _varint(data, at, owner)
        elif wire in (1, 2, 5):
            size = 8 if wire == 1 else 4
            if wire == 2:
                size, at = _varint(data, at, owner)
            if size > end - at:
                raise FormatError(
                    f"ONNX: field {number} of {owner} should take {size} bytes, {end - at} are there"
                )
            value, at = data[at : at + size], at + size
        else:
            raise FormatError(f"ONNX: field {number} of {owner} has the unknown wire type {wire}")
        if number == 0:
            raise FormatError(f"ONNX: {owner} has a field of number 0")
        yield number, wire, value


def _varint(data: memoryview, at: int, owner: str) -> tuple[int, int]:
    """An unsigned number of at most 64 bits, and where it ends."""
    result = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise FormatError(f"ONNX: a number in {owner} is {'too long' if shift >= 70 else 'cut off'}")


def _varints(data: memoryview, owner: str) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at, owner)
        yield value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(value: memoryview, where: str) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"ONNX: {where} is not UTF-8: {error}") from None


def encode(message: Any) -> bytes:
    """Writes a message; fields that are None, "" or empty are left out."""
    parts: list[bytes] = []
    kind: Any = type(message)
    for slot in _slots(kind).values():
        value = getattr(message, slot.name)
        if value is None or (isinstance(value, (str, list)) and not value):
            continue
        if slot.repeated and slot.kind in (INT, FLOAT, DOUBLE):
            packed = b"".join(_payload(slot.kind, item) for item in value)
            parts += [_key(slot.number, 2), _unsigned(len(packed)), packed]
            continue
        for item in value if slot.repeated else [value]:
            payload = _payload(slot.kind, item)
            wire = 0 if slot.kind == INT else _FIXED[slot.kind][2] if slot.kind in _FIXED else 2
            parts += [_key(slot.number, wire), _unsigned(len(payload)) if wire == 2 else b"", payload]
    return b"".join(parts)


def _payload(kind: Any, value: Any) -> bytes:
    if kind == INT:
        return _unsigned(value & 0xFFFFFFFFFFFFFFFF)
    if kind in _FIXED:
        return struct.pack(_FIXED[kind][1], value)
    if kind == STRING:
        return bytes(value, "utf-8")
    return bytes(value) if kind == BYTES else encode(value)


def _key(number: int, wire: int) -> bytes:
    return _unsigned(number << 3 | wire)


def _unsigned(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
