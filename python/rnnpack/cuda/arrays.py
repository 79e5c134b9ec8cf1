"""Arrays of other libraries: where they are, and how results are made with the caller's own library.

PyTorch and CuPy have a current stream and an allocator, which are used, so that calls order themselves like
the library's own operations and may be captured into CUDA graphs. Arrays of any other producer are read by
way of `__cuda_array_interface__` or DLPack, and results are `rnnpack.cuda.Array`, in the caller's type where
that has a `from_dlpack`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnnpack import _core
from rnnpack.cuda import library, memory
from rnnpack.cuda.array import CODES, Array
from rnnpack.layers.device import GPU_KINDS

_NAMES = {code: name for name, code in CODES.items()}


@dataclass(frozen=True, slots=True)
class View:
    """What the kernels must know of an array.

    Attributes:
        address: of the first value.
        shape: sizes of the axes.
        strides: in values.
        element: name of the dtype.
        device: number of the GPU.
        stream: on which the producer says the values are written; None where the library knows.
        holder: keeps the memory alive.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    element: str
    device: int
    stream: int | None
    holder: object

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        """Length of the first axis."""
        return self.shape[0]

    @property
    def is_contiguous(self) -> bool:
        """Whether the values lie one after the other in C order."""
        wanted = zip(self.shape, self.strides, memory.contiguous_strides(self.shape), strict=True)
        return 0 in self.shape or all(size == 1 or got == want for size, got, want in wanted)


class Library(Protocol):
    """How the arrays of one library are looked into and made."""

    def view(self, array: Any, name: str) -> View:
        """Where the array is; `name` is for messages."""

    def stream(self, view: View) -> int:
        """Handle of the stream that a call on these inputs belongs to."""

    def empty(self, shape: tuple[int, ...], dtype: str, device: int, stream: int) -> Any:
        """A new array without values, contiguous."""

    def address(self, array: Any) -> int:
        """Of the first value of an array that `empty` made."""

    def copy(self, array: Any) -> Any:
        """Of an array that `empty` made."""

    def returned(self, array: Any, like: Any) -> Any:
        """An array that `empty` made, in the type of the caller's."""


class _Torch:
    def view(self, array: Any, name: str) -> View:
        torch = sys.modules["torch"]
        if array.layout is not torch.strided:
            raise ValueError(f"`{name}` must be a dense tensor, got one with layout {array.layout}")
        if array.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"`{name}` requires gradients, which rnnpack does not compute: pass {name}.detach(), or call "
                "the layer under torch.no_grad()"
            )
        array = array.resolve_neg()
        dtype = str(array.dtype).partition(".")[2]
        shape, strides = tuple(array.shape), tuple(array.stride())
        return View(array.data_ptr(), shape, strides, dtype, array.device.index, None, array)

    def stream(self, view: View) -> int:
        handle: int = sys.modules["torch"].cuda.current_stream(view.device).cuda_stream
        return handle

    def empty(self, shape: tuple[int, ...], dtype: str, device: int, stream: int) -> Any:
        torch = sys.modules["torch"]
        return torch.empty(shape, dtype=getattr(torch, dtype), device=f"cuda:{device}")

    def address(self, array: Any) -> int:
        address: int = array.data_ptr()
        return address

    def copy(self, array: Any) -> Any:
        return array.clone()

    def returned(self, array: Any, like: Any) -> Any:
        return array


class _Cupy:
    def view(self, array: Any, name: str) -> View:
        size = array.itemsize
        if any(stride % size for stride in array.strides):
            raise ValueError(f"`{name}` must have strides of whole values, got {array.strides} bytes")
        strides = tuple(stride // size for stride in array.strides)
        return View(
            array.data.ptr, tuple(array.shape), strides, array.dtype.name, array.device.id, None, array
        )

    def stream(self, view: View) -> int:
        cuda = sys.modules["cupy"].cuda
        with cuda.Device(view.device):
            handle: int = cuda.get_current_stream().ptr
            return handle

    def empty(self, shape: tuple[int, ...], dtype: str, device: int, stream: int) -> Any:
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(device):
            return cupy.empty(shape, dtype)

    def address(self, array: Any) -> int:
        address: int = array.data.ptr
        return address

    def copy(self, array: Any) -> Any:
        return array.copy()

    def returned(self, array: Any, like: Any) -> Any:
        return array


class _Other:
    """Any other producer, and `rnnpack.cuda.Array`."""

    def view(self, array: Any, name: str) -> View:
        if type(array) is Array:
            strides = memory.contiguous_strides(array.shape)
            return View(array.address, array.shape, strides, array.dtype, array.device, array.stream, array)
        interface = getattr(array, "__cuda_array_interface__", None)
        named = interface is not None and interface.get("stream") is not None
        if not named and hasattr(type(array), "__dlpack__"):
            return _by_dlpack(array, name)
        return _by_interface(array, interface, name)

    def stream(self, view: View) -> int:
        return view.stream or 0

    def empty(self, shape: tuple[int, ...], dtype: str, device: int, stream: int) -> Any:
        return Array(shape, dtype, device, stream)

    def address(self, array: Any) -> int:
        address: int = array.address
        return address

    def copy(self, array: Any) -> Any:
        made = Array(array.shape, array.dtype, array.device, array.stream)
        if made.nbytes:
            _core.cuda_copy(array.device, made.address, array.address, made.nbytes, array.stream)
        return made

    def returned(self, array: Any, like: Any) -> Any:
        namespace = getattr(like, "__array_namespace__", None)
        return array if namespace is None else namespace().from_dlpack(array)


_LIBRARIES: dict[str, Library] = {"torch": _Torch(), "cupy": _Cupy()}
_OTHER = _Other()


def library_of(array: Any) -> Library:
    """The library that an array on a GPU belongs to."""
    for kind in type(array).__mro__:
        found = _LIBRARIES.get(kind.__module__.partition(".")[0])
        if found is not None:
            return found
    return _OTHER


def view_of(array: Any, name: str) -> View:
    """Where an array on a GPU is.

    Raises:
        ValueError: it describes itself wrongly, or needs something that only its library can do.
    """
    view = library_of(array).view(array, name)
    if 0 in view.shape:
        return view
    if _core.cuda_owner_of(view.address) != view.device:
        raise ValueError(
            f"`{name}` says that it is on cuda:{view.device}, but its address {view.address:#x} does not lie "
            "in the memory of that GPU"
        )
    size = memory.ITEM_SIZES.get(view.element, 1)  # other types are refused by those who know what is taken
    if view.address % size:
        raise ValueError(
            f"`{name}` must be aligned to its values of {size} bytes, got the address {view.address:#x}: "
            "pass a copy"
        )
    return view


def to_numpy(array: Any) -> NDArray[Any]:
    """A copy on the host of a contiguous array on a GPU, bfloat16 as float32; waits for it.

    Raises:
        ValueError: it is not contiguous.
        RuntimeError: the GPU cannot be used, with the reason.
    """
    library.require(0)  # before the array is looked into
    view = view_of(array, "states")
    if not view.is_contiguous:
        raise ValueError(f"`states` must be contiguous, got shape {view.shape} with strides {view.strides}")
    stream = library_of(array).stream(view)
    return memory.download(view.device, view.address, view.shape, view.element, stream)


def _by_dlpack(array: Any, name: str) -> View:
    # 1 is the legacy default stream: the producer orders its work before what comes there.
    capsule = array.__dlpack__(stream=1)
    address, shape, strides, (code, bits, lanes), (kind, device) = _core.read_dlpack(capsule)
    if kind not in GPU_KINDS:
        raise ValueError(f"`{name}` must be on an NVIDIA GPU, got DLPack's device type {kind}")
    element = _NAMES.get((code, bits), f"DLPack's type {code} with {bits} bits") if lanes == 1 else "vectors"
    if strides is None:
        strides = memory.contiguous_strides(shape)
    return View(address, shape, strides, element, device, 0, capsule)


def _by_interface(array: Any, interface: Any, name: str) -> View:
    try:
        dtype = np.dtype(interface["typestr"])
        shape = tuple(int(size) for size in interface["shape"])
        address = int(interface["data"][0] or 0)
        strides = interface.get("strides")
        if strides is None:
            strides = memory.contiguous_strides(shape)
        else:
            strides = tuple(int(stride) for stride in strides)
            if any(stride % dtype.itemsize for stride in strides):
                raise ValueError(f"strides {strides} are not of whole values")
            strides = tuple(stride // dtype.itemsize for stride in strides)
        if len(strides) != len(shape) or min(shape, default=0) < 0:
            raise ValueError(f"shape {shape} and strides {strides} do not belong together")
        stream = int(interface.get("stream") or 0)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"`{name}` has a __cuda_array_interface__ that cannot be read: {error!r}") from None
    if interface.get("mask") is not None:
        raise ValueError(f"`{name}` has a mask in its __cuda_array_interface__: pass `mask` to the call")
    element = dtype.name if dtype.isnative else f"{dtype.name} in foreign byte order"
    device = 0 if 0 in shape else _core.cuda_owner_of(address)
    if device < 0:
        raise ValueError(f"`{name}` has the address {address:#x}, which does not lie in the memory of a GPU")
    # 1 is the legacy default stream, too.
    return View(address, shape, strides, element, device, 0 if stream == 1 else stream, array)
