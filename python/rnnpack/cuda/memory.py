"""Copies between the host and a GPU, in the formats that NumPy lacks as well; all of them wait."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core

# Bytes of a value, by the name of its dtype.
ITEM_SIZES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "bool": 1,
    "uint8": 1,
}


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in values, of an array in C order."""
    strides = [1]
    for size in shape[:0:-1]:
        strides.append(strides[-1] * size)
    return tuple(reversed(strides)) if shape else ()


def download(
    device: int, address: int, shape: tuple[int, ...], dtype: str, stream: int
) -> NDArray[np.generic]:
    """A contiguous array of a GPU as a new NumPy array; bfloat16 as float32."""
    stored = np.empty(shape, np.uint16 if dtype == "bfloat16" else dtype)
    if stored.size:
        _core.cuda_copy(device, _address(stored), address, stored.nbytes, stream)
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored


def upload(device: int, address: int, values: NDArray[np.generic], dtype: str, stream: int) -> None:
    """Writes a NumPy array to a contiguous array of a GPU; floats are rounded to its dtype."""
    if dtype == "bfloat16":
        stored = _rounded_to_bfloat16(values)
    else:
        with np.errstate(over="ignore"):  # what is too large for float16 becomes infinite
            stored = np.ascontiguousarray(values, dtype)
    if stored.size:
        _core.cuda_copy(device, address, _address(stored), stored.nbytes, stream)


def _rounded_to_bfloat16(values: NDArray[np.generic]) -> NDArray[np.uint16]:
    """The upper halves of floats, rounded to nearest, ties to even; NaN stays NaN."""
    floats = np.ascontiguousarray(values, np.float32)
    bits = floats.view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return np.where(np.isnan(floats), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def _address(array: NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
