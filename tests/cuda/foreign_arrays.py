"""Stand-ins for the libraries whose arrays live on a GPU, over memory that `rnnpack.cuda.Array` holds.

PyTorch and CuPy are too big to be installed with a GPU's library for these tests, so each has the few names
here that rnnpack uses, and notes what it was asked for.
"""

from __future__ import annotations

import sys
import types
from typing import ClassVar

import numpy as np

from rnnpack import _core, cuda
from rnnpack.cuda import memory

STREAM = 0  # the only one that needs no library to make it
_copy = _core.cuda_copy  # which tests replace, to see that it is not called


class Foreign:
    """Values somewhere in the memory of a GPU, with any strides.

    Args:
        base: contiguous array that holds them.
        offset: values before the first one.
        shape: sizes of the axes.
        strides: in values.
    """

    def __init__(self, base, offset=0, shape=None, strides=None):
        self.base, self.offset = base, offset
        self._shape = base.shape if shape is None else tuple(shape)
        self._strides = memory.contiguous_strides(self._shape) if strides is None else tuple(strides)

    @classmethod
    def holding(cls, values, dtype=None):
        """A contiguous array with these values."""
        values = np.asarray(values)
        base = cuda.Array(values.shape, dtype or values.dtype.name, 0)
        memory.upload(0, base.address, values, base.dtype, STREAM)
        return cls(base)

    @classmethod
    def spread(cls, values, dtype=None):
        """The same values, every second one of a larger array, the axes in reverse order, from the end."""
        values = np.asarray(values)
        wide = np.full((*values.shape[::-1], 2), 7, values.dtype)
        wide[..., 0] = values.T[::-1]
        first = cls.holding(wide, dtype)
        strides = [*first._strides[:-1]][::-1]
        offset = (wide.shape[0] - 1) * first._strides[0]
        return cls(first.base, offset, values.shape, [*strides[:-1], -strides[-1]])

    def duplicate(self):
        """Another one with these values, made on the GPU."""
        base = cuda.Array(self.base.shape, self.base.dtype, 0)
        _copy(0, base.address, self.base.address, base.nbytes, STREAM)
        return type(self)(base, self.offset, self._shape, self._strides)

    def __deepcopy__(self, memo):
        return self.duplicate()

    @property
    def _address(self):
        return self.base.address + self.offset * memory.ITEM_SIZES[self.base.dtype]

    def numpy(self):
        """The values on the host."""
        flat = self.base.numpy().reshape(-1)
        item = flat.itemsize
        strides = [stride * item for stride in self._strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self._shape, strides).copy()


class Own:
    """`rnnpack.cuda.Array`, made as the others are."""

    @staticmethod
    def holding(values, dtype=None):
        """An array with these values."""
        return Foreign.holding(values, dtype).base


class Interfaced(Foreign):
    """A producer of `__cuda_array_interface__`, as Numba is."""

    stream = None

    @property
    def shape(self):
        return self._shape

    @property
    def __cuda_array_interface__(self):
        item = memory.ITEM_SIZES[self.base.dtype]
        return {
            "shape": self._shape,
            "typestr": np.dtype(self.base.dtype).str,
            "data": (self._address, False),
            "strides": tuple(stride * item for stride in self._strides),
            "stream": self.stream,
            "version": 3,
        }


class Exchanged(Foreign):
    """A producer of DLPack with an array namespace, as JAX is; `made` notes what its `from_dlpack` took."""

    made: ClassVar[list] = []

    @property
    def shape(self):
        return self._shape

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, *, stream=None, **others):
        assert stream == 1, "the legacy default stream"
        return self.base.__dlpack__(stream=stream)

    def __array_namespace__(self):
        def from_dlpack(array):
            array.__dlpack__(stream=1)
            Exchanged.made.append(array)
            return Exchanged(array)

        return types.SimpleNamespace(from_dlpack=from_dlpack)


def torch_module():
    """A module with the names of PyTorch that rnnpack uses."""
    torch = types.ModuleType("torch")
    torch.strided, torch.asked = "strided", []
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "bool", "uint8"):
        setattr(torch, name, f"torch.{name}")

    class Tensor(Foreign):
        __module__ = "torch"
        requires_grad, layout = False, "strided"
        device = types.SimpleNamespace(index=0)

        @property
        def shape(self):
            return self._shape

        @property
        def dtype(self):
            return f"torch.{self.base.dtype}"

        def stride(self):
            return self._strides

        def data_ptr(self):
            return self._address if 0 not in self._shape else 0

        def resolve_neg(self):
            return self

        def clone(self):
            torch.asked.append("clone")
            return self.duplicate()

        def __array__(self, *args, **kwargs):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

        def __dlpack_device__(self):
            return (2, 0)

        def __dlpack__(self, **others):
            raise AssertionError("PyTorch's own ways are faster")

    def empty(shape, *, dtype, device):
        torch.asked.append(("empty", shape, dtype, device))
        return Tensor(cuda.Array(shape, dtype.partition(".")[2], int(device.partition(":")[2])))

    def current_stream(device):
        torch.asked.append("stream")
        return types.SimpleNamespace(cuda_stream=STREAM)

    torch.Tensor, torch.empty = Tensor, empty
    torch.is_grad_enabled = lambda: True
    torch.cuda = types.SimpleNamespace(current_stream=current_stream)
    return torch


def cupy_module():
    """A module with the names of CuPy that rnnpack uses."""
    cupy = types.ModuleType("cupy")
    cupy.asked = []

    class ndarray(Foreign):
        __module__ = "cupy"
        device = types.SimpleNamespace(id=0)

        @property
        def shape(self):
            return self._shape

        @property
        def dtype(self):
            return np.dtype(self.base.dtype)

        @property
        def itemsize(self):
            return self.dtype.itemsize

        @property
        def strides(self):
            return tuple(stride * self.itemsize for stride in self._strides)

        @property
        def data(self):
            return types.SimpleNamespace(ptr=self._address)

        def copy(self):
            cupy.asked.append("copy")
            return self.duplicate()

        def __dlpack_device__(self):
            return (2, 0)

    class Device:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            cupy.asked.append(("device", self.number))

        def __exit__(self, *error):
            pass

    def empty(shape, dtype):
        cupy.asked.append(("empty", shape, dtype))
        return ndarray(cuda.Array(shape, dtype, 0))

    def get_current_stream():
        cupy.asked.append("stream")
        return types.SimpleNamespace(ptr=STREAM)

    cupy.ndarray, cupy.empty = ndarray, empty
    cupy.cuda = types.SimpleNamespace(Device=Device, get_current_stream=get_current_stream)
    return cupy


def stand_in_torch(monkeypatch):
    """The stand-in for PyTorch, imported as such."""
    module = torch_module()
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def refuse_copies(monkeypatch):
    """From now on calls that wait for the GPU fail."""

    def refuse(*args):
        raise AssertionError("a call waits for the GPU")

    monkeypatch.setattr(_core, "cuda_copy", refuse)
