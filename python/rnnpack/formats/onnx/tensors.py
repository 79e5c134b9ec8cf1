"""Tensors and element types of ONNX, to NumPy and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack.formats.errors import FormatError
from rnnpack.formats.onnx.messages import TensorProto

# TensorProto.DataType: number, NumPy's type, and the field of numbers that are not raw.
_TYPES: dict[int, tuple[str, str]] = {
    1: ("float32", "float_data"),
    2: ("uint8", "int32_data"),
    3: ("int8", "int32_data"),
    4: ("uint16", "int32_data"),
    5: ("int16", "int32_data"),
    6: ("int32", "int32_data"),
    7: ("int64", "int64_data"),
    9: ("bool", "int32_data"),
    10: ("float16", "int32_data"),
    11: ("float64", "double_data"),
    12: ("uint32", "uint64_data"),
    13: ("uint64", "uint64_data"),
    14: ("complex64", "float_data"),
    15: ("complex128", "double_data"),
}
_NUMBERS = {name: number for number, (name, _) in _TYPES.items()}
_UNSUPPORTED = {8: "string", 16: "bfloat16", 17: "float8", 18: "float8", 19: "float8", 20: "float8"}

# NumPy's own bound on the number of axes, in all versions.
MAX_RANK = 32


def dtype_of(number: int | None, what: str) -> np.dtype[Any]:
    """NumPy's dtype of an ONNX element type.

    Args:
        number: of TensorProto.DataType.
        what: whose type it is, for the message.

    Raises:
        FormatError: a type that NumPy does not have, strings, or no type.
    """
    if number is None or number not in _TYPES:
        name = _UNSUPPORTED.get(number or 0, "")
        raise FormatError(f"{what} has the element type {number}{f' ({name})' * bool(name)}, not supported")
    return np.dtype(_TYPES[number][0])


def type_number(dtype: np.dtype[Any]) -> int:
    """ONNX's number of a dtype; FormatError where it has none."""
    if dtype.name not in _NUMBERS:
        raise FormatError(f"ONNX has no element type for {dtype}")
    return _NUMBERS[dtype.name]


def to_array(tensor: TensorProto, what: str = "") -> NDArray[Any]:
    """The array of a tensor, read-only.

    Args:
        tensor: as read from a file.
        what: what to call it in messages; its own name by default.

    Raises:
        FormatError: numbers and shape do not fit each other, the type is not supported, or the numbers are in
            another file.
    """
    what = what or f"tensor {tensor.name!r}"
    if tensor.data_location == 1 or tensor.external_data:
        where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "?")
        raise FormatError(f"{what} is kept in another file ({where!r}): save the model in a single file")
    dtype = dtype_of(tensor.data_type, what)
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape) or len(shape) > MAX_RANK:
        raise FormatError(f"{what} has the shape {shape}")
    count = math.prod(shape)
    if tensor.raw_data is not None:
        have = len(tensor.raw_data)
        if have != count * dtype.itemsize:
            raise FormatError(
                f"{what} of shape {shape} and {dtype} needs {count * dtype.itemsize} bytes, got {have}"
            )
        array = np.frombuffer(tensor.raw_data, dtype.newbyteorder("<")).astype(dtype, copy=False)
    else:
        array = _from_numbers(tensor, dtype, count, what)
    array = array.reshape(shape)
    array.flags.writeable = False
    return array


def _from_numbers(tensor: TensorProto, dtype: np.dtype[Any], count: int, what: str) -> NDArray[Any]:
    """The array from a list of numbers, flat."""
    numbers = getattr(tensor, _TYPES[_NUMBERS[dtype.name]][1])
    per_item = 2 if dtype.kind == "c" else 1
    if len(numbers) != count * per_item:
        raise FormatError(f"{what} should hold {count * per_item} numbers, got {len(numbers)}")
    if dtype.kind == "c":
        return np.array(numbers, np.dtype(f"f{dtype.itemsize // 2}")).view(dtype)
    if dtype.kind in "iub" or dtype == np.float16:
        # Kept as 64-bit words; float16 as its bits.
        words = np.array([number & 0xFFFFFFFFFFFFFFFF for number in numbers], np.uint64)
        if dtype == np.float16:
            return words.astype(np.uint16).view(np.float16)
        return words.astype(dtype)
    return np.array(numbers, dtype)


def to_tensor(array: NDArray[Any], name: str) -> TensorProto:
    """A tensor that holds an array."""
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return TensorProto(dims=list(array.shape), data_type=type_number(array.dtype), name=name, raw_data=raw)
