"""An array in the memory of a GPU: what calls return where the caller's library has none of its own."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.cuda import library, memory

# DLPack's numbers for devices and dtypes.
_CUDA = 2
CODES = {"float64": (2, 64), "float32": (2, 32), "float16": (2, 16), "bfloat16": (4, 16), "int64": (0, 64)}
CODES |= {"bool": (6, 8), "uint8": (1, 8)}
_NO_ORDER = -1  # the stream of a consumer that takes care of it


class Array:
    """An array in C order in the memory of a GPU.

    Calls make them; other libraries take them by `from_dlpack` or `__cuda_array_interface__`, in place, and
    `numpy()` copies the values to the host. The memory is released when the last holder is gone.

    Attributes:
        address: of the first value.
        shape: sizes of the axes.
        dtype: name, such as "float32" or "bfloat16".
        device: number of the GPU.
        stream: handle of the CUDA stream on which the values are written, and the memory is released: it must
            live as long as the array. 0 is the legacy default stream.
    """

    __slots__ = ("__weakref__", "address", "device", "dtype", "shape", "stream")

    def __init__(self, shape: tuple[int, ...], dtype: str, device: int, stream: int = 0) -> None:
        """Takes memory whose values are not set yet.

        Raises:
            MemoryError: the GPU has not enough.
            RuntimeError: it cannot be used, with the reason.
        """
        library.require(device)
        self.shape = tuple(int(size) for size in shape)
        self.dtype = dtype
        self.device = device
        self.stream = stream
        self.address = _core.cuda_allocate(device, max(self.nbytes, 1), stream)
        released = weakref.finalize(self, library.release, device, self.address, stream)
        released.atexit = False  # the driver may be gone by then

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.size * memory.ITEM_SIZES[self.dtype]

    def numpy(self) -> NDArray[Any]:
        """A copy of the values on the host, bfloat16 as float32; waits for them.

        Raises:
            RuntimeError: the GPU cannot be used, with the reason.
        """
        library.require(self.device)
        return memory.download(self.device, self.address, self.shape, self.dtype, self.stream)

    def __len__(self) -> int:
        """Length of the first axis."""
        if not self.shape:
            raise TypeError("an array without axes has no length")
        return self.shape[0]

    def __array__(self, *args: Any, **kwargs: Any) -> NDArray[Any]:
        """Refuses, as a copy from the GPU must be asked for."""
        raise TypeError("the array is in the memory of a GPU: its method numpy() copies it to the host")

    def __dlpack_device__(self) -> tuple[int, int]:
        """The GPU in DLPack's terms."""
        return _CUDA, self.device

    def __dlpack__(self, *, stream: int | None = None, copy: bool | None = None, **others: Any) -> Any:
        """A DLPack capsule of this memory.

        Args:
            stream: that of the consumer, whose work from now on comes after what writes the values; None is
                the legacy default stream, and -1 asks for no order.
            copy: True is refused.
            **others: `max_version` and `dl_device`, which may ask for this device only.

        Raises:
            BufferError: a copy, or another device, was asked for.
            RuntimeError: the GPU cannot be used, with the reason.
        """
        if copy or others.get("dl_device") not in (None, self.__dlpack_device__()):
            raise BufferError("rnnpack.cuda.Array is exported in place only")
        library.require(self.device)
        if stream != _NO_ORDER:
            _core.cuda_order(self.device, self.stream, _handle(stream))
        return _core.make_dlpack(self, self.address, self.shape, CODES[self.dtype], (_CUDA, self.device))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The array in Numba's terms, which have no bfloat16: AttributeError then."""
        if self.dtype == "bfloat16":
            raise AttributeError("__cuda_array_interface__ has no bfloat16: use DLPack")
        return {
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (self.address, False),
            "strides": None,
            "stream": self.stream or 1,  # 1 is the legacy default stream
            "version": 3,
        }

    def __reduce__(self) -> Any:
        """Copies and pickles are NumPy arrays, which can be read anywhere."""
        return np.array, (self.numpy(),)

    def __repr__(self) -> str:
        """What and where it is."""
        return f"<rnnpack.cuda.Array {self.dtype} of shape {self.shape} on cuda:{self.device}>"


def _handle(stream: int | None) -> int:
    """A stream in DLPack's terms as a handle."""
    return 0 if stream in (None, 1) else int(stream or 0)
