"""The safetensors format: a JSON table of contents, then arrays; read and written without other packages.

A file is eight bytes with the size of the table (little-endian), the table, and the bytes of all tensors one
after the other. The table has for every tensor `{"dtype", "shape", "data_offsets": [begin, end]}`, offsets
counted from the table's end, and may have `__metadata__`, a map from strings to strings. The format's rules
(huggingface/safetensors, README) are checked: offsets leave no gaps, overlap nowhere and end with the file.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.errors import FormatError
from rnnpack.formats.limits import MOST_JSON, checked_size, parse_json, replacing

_DTYPES = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
    "BOOL": "?",
    "BF16": "<u2",  # as bits; NumPy has no bfloat16
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if name != "BF16"}
_METADATA = "__metadata__"
_ALIGNMENT = 8


class Tensor(NamedTuple):
    """An entry of the table of contents; `begin` counts from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int


class Header(NamedTuple):
    """The table of contents, tensors in the order of their bytes."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_header(path: str | os.PathLike[str]) -> Header:
    """The table of contents of a file, checked.

    Raises:
        FormatError: it is not a safetensors file, damaged, or has a dtype that is not supported.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return _header(file, os.fspath(path))


def _header(file: BinaryIO, name: str) -> Header:
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, MOST_JSON):
        raise FormatError(f"{name}: a header of {length} bytes in a file of {size}: not safetensors")
    table = parse_json(file.read(length), f"{name}: header")
    if not isinstance(table, dict):
        raise FormatError(f"{name}: the header is not a JSON object")
    metadata = table.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError(f"{name}: {_METADATA} is not a map of strings")
    found = [(*_entry(entry, f"{name}: tensor {key!r}"), key) for key, entry in table.items()]
    tensors: dict[str, Tensor] = {}
    expected = 0
    for begin, end, tensor, key in sorted(found, key=lambda one: one[:2]):
        if begin != expected:
            raise FormatError(f"{name}: tensor {key!r} begins at {begin}, the one before ends at {expected}")
        expected = end
        tensors[key] = tensor._replace(begin=8 + length + begin)
    if 8 + length + expected != size:
        raise FormatError(f"{name}: tensors have {expected} bytes, the file has {size - 8 - length} for them")
    return Header(tensors, metadata)


def _entry(entry: Any, part: str) -> tuple[int, int, Tensor]:
    """Begin, end and the rest of one entry, checked as far as it can be alone."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{part}: expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise FormatError(f"{part}: dtype {str(dtype)[:40]} is not supported")
    whole = isinstance(offsets, list) and len(offsets) == 2 and all(type(one) is int for one in offsets)
    if not whole or not 0 <= offsets[0] <= offsets[1] or not isinstance(shape, list):
        raise FormatError(f"{part}: data_offsets must be two rising numbers and shape a list")
    begin, end = offsets
    size = checked_size(shape, np.dtype(_DTYPES[dtype]).itemsize, end - begin, part)
    if size != end - begin:
        raise FormatError(f"{part}: {dtype} of shape {tuple(shape)} has {size} bytes, not {end - begin}")
    return begin, end, Tensor(dtype, tuple(shape), 0)


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Tensors, in the order in which they are stored, and metadata of a file.

    The arrays are read-only views of the file, which is mapped into memory and read where they are used;
    bfloat16 tensors are float32 copies. Do not change the file while they exist; replacing it is harmless.

    Raises:
        FormatError: it is not a safetensors file, damaged, or has a dtype that is not supported (F8).
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        header = _header(file, os.fspath(path))
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return {name: _array(data, tensor) for name, tensor in header.tensors.items()}, header.metadata


def _array(data: mmap.mmap, tensor: Tensor) -> NDArray[Any]:
    dtype = np.dtype(_DTYPES[tensor.dtype])
    array: NDArray[Any] = np.frombuffer(data, dtype, math.prod(tensor.shape), tensor.begin)
    if tensor.dtype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
        array.flags.writeable = False
    return array.reshape(tensor.shape)


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a file, which takes the place of an older one only when it is complete.

    Args:
        path: of the file.
        tensors: arrays by name, of bools, integers, or floats of 16, 32 or 64 bits; stored in this order.
        metadata: strings by name.

    Raises:
        FormatError: a dtype, name or metadata that the format cannot hold; nothing is written.
        OSError: the file cannot be written.
    """
    name = os.fspath(path)
    arrays = {key: _storable(value, f"{name}: tensor {key!r}") for key, value in tensors.items()}
    table: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
            raise FormatError(f"{name}: metadata must be strings by strings")
        table[_METADATA] = dict(metadata)
    end = 0
    for key, array in arrays.items():
        begin, end = end, end + array.nbytes
        table[key] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    try:
        header = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise FormatError(f"{name}: names and metadata must be Unicode") from None
    header += b" " * (-len(header) % _ALIGNMENT)
    if len(header) > MOST_JSON:
        raise FormatError(
            f"{name}: the header would have {len(header)} bytes, at most {MOST_JSON} are allowed"
        )
    with replacing(Path(path)) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for array in arrays.values():
            file.write(array.data if array.size else b"")


def _storable(value: Any, part: str) -> NDArray[Any]:
    """The array in C order and little-endian."""
    array = np.asarray(value)
    if part.endswith(f"tensor {_METADATA!r}"):
        raise FormatError(f"{part}: the name is reserved")
    if array.dtype.newbyteorder("<") not in _NAMES:
        raise FormatError(f"{part}: dtype {array.dtype} cannot be stored")
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")
