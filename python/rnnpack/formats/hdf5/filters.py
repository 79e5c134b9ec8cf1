"""The filters that chunks pass through: deflate, shuffle and fletcher32; others are refused by name."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from rnnpack.formats.hdf5.source import Cursor

_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_KNOWN_BY_NAME = {4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf", 32001: "blosc", 32004: "lz4"}
_MAX_FILTERS = 32


class Filter(NamedTuple):
    """One filter of a pipeline with its parameters."""

    number: int
    parameters: tuple[int, ...]


def read_filters(cursor: Cursor) -> list[Filter]:
    """A filter pipeline message, in the order in which the filters were applied.

    Raises:
        FormatError: a filter is not supported; its name is in the message.
    """
    version = cursor.version(1, 2)
    count = cursor.uint(1)
    if count > _MAX_FILTERS:
        raise cursor.error(f"{count} filters, expected at most {_MAX_FILTERS}")
    cursor.skip(6 if version == 1 else 0)
    filters = []
    for _ in range(count):
        number = cursor.uint(2)
        name_size = cursor.uint(2) if version == 1 or number >= 256 else 0
        cursor.skip(2)
        parameter_count = cursor.uint(2)
        name = cursor.take(-(-name_size // 8) * 8 if version == 1 else name_size)
        parameters = tuple(cursor.uint(4) for _ in range(parameter_count))
        cursor.skip(4 if version == 1 and parameter_count % 2 else 0)
        if number not in (_DEFLATE, _SHUFFLE, _FLETCHER32):
            known = _KNOWN_BY_NAME.get(number, name.rstrip(b"\0").decode(errors="replace"))
            raise cursor.error(f"filter {number} ({known}) is not supported")
        if number == _SHUFFLE and not (parameters and parameters[0]):
            raise cursor.error("the shuffle filter does not say the size of elements")
        filters.append(Filter(number, parameters))
    return filters


def undo(filters: list[Filter], data: bytes, mask: int, size: int, cursor: Cursor) -> bytes:
    """The chunk of `size` bytes that these filters made `data` from.

    Args:
        filters: in the order in which they were applied.
        data: as stored.
        mask: bits of filters that were left out for this chunk.
        size: bytes of the chunk; more is never decompressed.
        cursor: says which part of the file messages are about.
    """
    for index in reversed(range(len(filters))):
        if mask >> index & 1:
            continue
        number, parameters = filters[index]
        if number == _DEFLATE:
            data = _inflate(data, size + 4 * index, cursor)
        elif number == _FLETCHER32:
            data = _checked(data, cursor)
        else:
            data = _unshuffled(data, parameters[0])
    if len(data) != size:
        raise cursor.error(f"a chunk of {len(data)} bytes, expected {size}")
    return data


def _inflate(data: bytes, most: int, cursor: Cursor) -> bytes:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise cursor.error(f"a chunk cannot be inflated ({error})") from None
    if not inflater.eof:
        raise cursor.error(f"a chunk does not inflate to at most {most} bytes")
    return plain


def _unshuffled(data: bytes, width: int) -> bytes:
    """Bytes of elements together again; what is left over at the end was never moved."""
    count = len(data) // width
    moved = np.frombuffer(data, np.uint8, count * width).reshape(width, count)
    return moved.T.tobytes() + data[count * width :]


def _checked(data: bytes, cursor: Cursor) -> bytes:
    """The data before its checksum, which must be right."""
    if len(data) < 4:
        raise cursor.error("a chunk without its checksum")
    data, stored = data[:-4], int.from_bytes(data[-4:], "little")
    if not _same_sums(fletcher32(data), stored):
        raise cursor.error("the checksum of a chunk is wrong: the data are damaged")
    return data


def _same_sums(one: int, other: int) -> bool:
    """Sums count modulo 65535, of which two representations of zero exist."""
    return (one & 0xFFFF) % 65535 == (other & 0xFFFF) % 65535 and (one >> 16) % 65535 == (other >> 16) % 65535


def fletcher32(data: bytes) -> int:
    """Fletcher's checksum with words of 16 bits, the first byte the high one (J. G. Fletcher, 1982)."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    first = second = 0
    for start in range(0, len(words), 1 << 16):
        block = words[start : start + (1 << 16)]
        weights = np.arange(len(block), 0, -1, dtype=np.uint64)
        second += len(block) * first + int((weights * block).sum())  # below 2**49
        first += int(block.sum())
        first, second = first % 65535, second % 65535
    return second << 16 | first
