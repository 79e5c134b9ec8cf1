"""CUDA's own functions for tests, which the emulated libraries export."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_size_t, c_void_p
from typing import Any

import numpy as np
from numpy.typing import NDArray

INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONFIGURATION = 1, 2, 9
NO_DEVICE, INVALID_DEVICE, INVALID_HANDLE, NOT_READY = 100, 101, 400, 600
ILLEGAL_ADDRESS, MISALIGNED, LAUNCH_FAILURE = 700, 716, 719
CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED, CAPTURE_ISOLATION, CAPTURE_IMPLICIT = 900, 901, 905, 906
TO_DEVICE, TO_HOST, ANY_DIRECTION = 1, 2, 4
NON_BLOCKING = 1


class Cuda:
    """An emulated library: its functions, and arrays in device memory."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.cudaGetErrorString.restype = ctypes.c_char_p

    def __getattr__(self, name: str) -> Callable[..., int]:
        return getattr(self.library, name)

    def __call__(self, name: str, *arguments: Any) -> None:
        """Call a function that must succeed."""
        error = getattr(self.library, name)(*arguments)
        assert error == 0, f"{name}: {self.text(error)}"

    def text(self, error: int) -> str:
        return str(self.library.cudaGetErrorString(error).decode())

    def make(self, name: str, *arguments: Any) -> c_void_p:
        """What a function puts where its first argument points."""
        made = c_void_p()
        self(name, byref(made), *arguments)
        return made

    def put(self, array: NDArray[Any]) -> c_void_p:
        memory = self.make("cudaMalloc", c_size_t(array.nbytes))
        self("cudaMemcpy", memory, c_void_p(array.ctypes.data), c_size_t(array.nbytes), TO_DEVICE)
        return memory

    def get(self, memory: c_void_p, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
        array = np.empty(shape, dtype)
        self("cudaMemcpy", c_void_p(array.ctypes.data), memory, c_size_t(array.nbytes), TO_HOST)
        return array
