"""The emulator itself: what it runs, and that it finds the errors that a GPU would punish.

Everything goes through CUDA's own functions, which the emulated libraries export; the kernels are in
``emulator/self_test.cu``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_double, c_float, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np
import plugin_build
import pytest
from numpy.typing import NDArray

INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONFIGURATION = 1, 2, 9
NO_DEVICE, INVALID_DEVICE, INVALID_HANDLE, NOT_READY = 100, 101, 400, 600
ILLEGAL_ADDRESS, MISALIGNED, LAUNCH_FAILURE = 700, 716, 719
TO_DEVICE, TO_HOST, ANY_DIRECTION = 1, 2, 4
NON_BLOCKING = 1
ORDERS = ("forward", "backward", "1", "2", "3")
# As `enum class error` in self_test.cu counts.
ERRORS = (
    *("missed_barrier", "two_barriers", "missing_lane", "product_without_warp", "before_memory"),
    *("behind_memory", "misaligned", "shared_index", "null_pointer", "returned_early"),
)


class Cuda:
    """The library of ``self_test.cu``, with arrays in device memory."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.cudaGetErrorString.restype = ctypes.c_char_p
        for name in ("from_half", "from_bfloat16"):
            getattr(library, name).restype = c_float
        for name in ("half_of", "bfloat16_of"):
            getattr(library, name).restype = ctypes.c_uint16

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


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    try:
        path = plugin_build.emulated_library("emulator_self_test", [plugin_build.EMULATOR / "self_test.cu"])
    except plugin_build.CannotBuild as why:
        pytest.skip(str(why))
    return ctypes.CDLL(str(path))


@pytest.fixture
def cuda(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Cuda:
    for name in ("ORDER", "CHECK", "DEVICES"):
        monkeypatch.delenv(f"RNNPACK_EMULATOR_{name}", raising=False)
    return Cuda(library)


@pytest.fixture(params=ORDERS)
def any_order(request: pytest.FixtureRequest, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", request.param)
    return str(request.param)


def test_sixteen_bit_floats_round_to_nearest_even(cuda: Cuda) -> None:
    random = np.random.default_rng(1).normal(scale=1e3, size=200).astype(np.float32)
    special = (0.0, -0.0, 1 + 2**-11, 1 + 3 * 2**-11, 6e-8, 65519.0, 65520.0, np.inf, -np.inf)
    with np.errstate(over="ignore"):  # beyond the largest half
        for value in (*random.tolist(), *special):
            assert cuda.half_of(c_float(value)) == np.float16(value).view(np.uint16)
    assert cuda.bfloat16_of(c_float(1 + 2**-8)) == 0x3F80
    assert cuda.bfloat16_of(c_float(1 + 3 * 2**-8)) == 0x3F82
    assert cuda.bfloat16_of(c_float(-1 - 2**-8 - 2**-20)) == 0xBF81
    assert cuda.bfloat16_of(c_float(3.4e38)) == 0x7F80
    assert cuda.half_of(c_float(np.nan)) == cuda.bfloat16_of(c_float(np.nan)) == 0x7FFF
    assert cuda.from_half(0x3C01) == 1 + 2**-10
    assert cuda.from_bfloat16(0xBF81) == -1 - 2**-7


@pytest.mark.parametrize("kind, bits", [("bf16", 8), ("f16", 11), ("tf32", 11)])
def test_tensor_core_products(cuda: Cuda, any_order: str, kind: str, bits: int) -> None:
    """Small whole numbers make every product and sum exact, so that any fragment out of its place shows."""
    depth = 8 if kind == "tf32" else 16
    rng = np.random.default_rng(2)
    most = 2 ** min(bits, 9)
    a = rng.integers(-most, most, (16, depth)).astype(np.float32)
    b = rng.integers(-most, most, (depth, 8)).astype(np.float32)
    d = rng.integers(-99, 99, (16, 8)).astype(np.float32)
    memory = cuda.put(d)
    cuda("start_product", ("bf16", "f16", "tf32").index(kind), cuda.put(a), cuda.put(b), memory)
    np.testing.assert_array_equal(cuda.get(memory, (16, 8)), d + a @ b)


def test_tensor_cores_ignore_the_lower_bits_of_tf32(cuda: Cuda) -> None:
    a = np.full((16, 8), np.float32(1 + 2**-10 + 2**-11 + 2**-23))
    b = np.eye(8, dtype=np.float32)
    memory = cuda.put(np.zeros((16, 8), np.float32))
    cuda("start_product", 2, cuda.put(a), cuda.put(b), memory)
    np.testing.assert_array_equal(cuda.get(memory, (16, 8)), np.full((16, 8), 1 + 2**-10))


def test_barrier(cuda: Cuda, any_order: str) -> None:
    values = np.arange(192, dtype=np.float32)
    to = cuda.put(np.zeros(192, np.float32))
    cuda("start_reverse", True, 3, cuda.put(values), to)
    np.testing.assert_array_equal(cuda.get(to, (3, 64)), values.reshape(3, 64)[:, ::-1])


def test_a_race_gives_other_results_in_other_orders(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(order: str) -> bytes:
        monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", order)
        to = cuda.put(np.zeros(192, np.float32))
        cuda("start_reverse", False, 3, values, to)
        return cuda.get(to, (192,)).tobytes()

    values = cuda.put(np.arange(192, dtype=np.float32))
    assert len({run(order) for order in ("forward", "backward", "1")}) == 3


def test_blocks_run_in_other_orders(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def last(order: str) -> float:
        monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", order)
        to = cuda.put(np.zeros(1, np.float32))
        cuda("start_last_block", 50, to)
        return float(cuda.get(to, (1,))[0])

    assert (last("forward"), last("backward")) == (49, 0)
    assert len({last(str(seed)) for seed in range(8)}) > 2
    monkeypatch.setenv("RNNPACK_EMULATOR_ORDER", "sideways")
    assert cuda.start_last_block(2, cuda.put(np.zeros(1, np.float32))) == INVALID_VALUE


def test_shuffles(cuda: Cuda, any_order: str) -> None:
    values = np.random.default_rng(3).normal(size=32).astype(np.float32)
    down, xors, broadcast = (cuda.make("cudaMalloc", c_size_t(256)) for _ in range(3))
    cuda("start_shuffles", cuda.put(values), down, xors, broadcast)
    np.testing.assert_array_equal(cuda.get(down, (32,)), np.append(values[3:], values[29:]))
    sums = cuda.get(xors, (32,), np.float64)
    np.testing.assert_allclose(sums, values.astype(np.float64).sum(), rtol=0, atol=1e-13)
    assert len(set(sums)) == 1
    np.testing.assert_array_equal(cuda.get(broadcast, (32,), np.int32), np.arange(32) // 8 * 80 + 20)


def test_fresh_memory_is_nan(cuda: Cuda) -> None:
    for allocate in ("cudaMalloc", "cudaMallocHost"):
        memory = cuda.make(allocate, c_size_t(40))
        array = np.empty(10, np.float32)
        cuda("cudaMemcpy", c_void_p(array.ctypes.data), memory, c_size_t(40), ANY_DIRECTION)
        assert np.isnan(array).all()


@pytest.mark.parametrize(
    "name, code, text",
    [
        ("missed_barrier", LAUNCH_FAILURE, "for ever"),
        ("two_barriers", LAUNCH_FAILURE, "different barriers, self_test.cu:"),
        ("missing_lane", LAUNCH_FAILURE, "one that is not there, at self_test.cu:"),
        ("product_without_warp", LAUNCH_FAILURE, "without all lanes"),
        ("before_memory", ILLEGAL_ADDRESS, "before the beginning of an allocation of 256 bytes on device 0"),
        ("behind_memory", ILLEGAL_ADDRESS, "behind the end of an allocation of 256 bytes on device 0"),
        ("misaligned", MISALIGNED, "not aligned"),
        ("shared_index", ILLEGAL_ADDRESS, "index 64 lies outside"),
        ("null_pointer", ILLEGAL_ADDRESS, "null pointer"),
    ],
)
def test_errors_of_kernels_are_found(
    cuda: Cuda, any_order: str, monkeypatch: pytest.MonkeyPatch, name: str, code: int, text: str
) -> None:
    monkeypatch.setenv("RNNPACK_EMULATOR_CHECK", "1")
    memory = cuda.put(np.zeros(64, np.float32))
    cuda("start_wrong", ERRORS.index(name), memory, 64)
    error = cuda.cudaStreamSynchronize(None)
    assert error == code
    assert text in cuda.text(error)
    cuda("cudaStreamSynchronize", None)  # said once; the emulator lives on
    assert cuda.cudaFree(memory) == (ILLEGAL_ADDRESS if "memory" in name else 0)
    if "memory" in name:  # the guard bytes are still wrong, and a caller may not look at cudaFree's result
        assert cuda.cudaStreamSynchronize(None) == ILLEGAL_ADDRESS


def test_threads_that_returned_count_as_arrived(cuda: Cuda, any_order: str) -> None:
    memory = cuda.put(np.zeros(64, np.float32))
    cuda("start_wrong", ERRORS.index("returned_early"), memory, 64)
    assert cuda.get(memory, (64,)).sum() == 7


def test_launches_that_no_gpu_takes(cuda: Cuda) -> None:
    memory = cuda.put(np.zeros(64, np.float32))
    assert cuda.start_add(memory, 0, c_float(1), None) == INVALID_CONFIGURATION
    assert cuda.start_add(memory, 1025, c_float(1), None) == INVALID_CONFIGURATION
    assert cuda.cudaPeekAtLastError() == cuda.cudaGetLastError() == INVALID_CONFIGURATION
    assert cuda.cudaGetLastError() == 0
    assert cuda.start_add(memory, 1, c_float(1), c_void_p(memory.value)) == INVALID_HANDLE


def test_streams_are_lazy(cuda: Cuda) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    memory = cuda.put(np.zeros(8, np.float32))
    pinned = cuda.make("cudaMallocHost", c_size_t(32))
    seen = np.ctypeslib.as_array((c_float * 8).from_address(pinned.value or 0))
    cuda("start_add", memory, 8, c_float(2), stream)
    cuda("cudaMemcpyAsync", pinned, memory, c_size_t(32), TO_HOST, stream)
    assert np.isnan(seen).all()
    cuda("cudaStreamSynchronize", None)  # another stream, which this one is not ordered with
    assert np.isnan(seen).all()
    assert cuda.cudaStreamQuery(stream) == NOT_READY
    cuda("cudaStreamSynchronize", stream)
    np.testing.assert_array_equal(seen, np.full(8, 2))
    assert cuda.cudaStreamQuery(stream) == 0


def test_pageable_memory_is_read_at_once(cuda: Cuda) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    memory = cuda.make("cudaMalloc", c_size_t(32))
    host = np.ones(8, np.float32)
    cuda("cudaMemcpyAsync", memory, c_void_p(host.ctypes.data), c_size_t(32), TO_DEVICE, stream)
    host[:] = 7
    cuda("cudaMemcpyAsync", c_void_p(host.ctypes.data), memory, c_size_t(32), TO_HOST, stream)
    np.testing.assert_array_equal(host, np.ones(8))


def test_pinned_memory_is_read_when_the_stream_comes_to_it(cuda: Cuda) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    pinned = cuda.make("cudaMallocHost", c_size_t(32))
    host = np.ctypeslib.as_array((c_float * 8).from_address(pinned.value or 0))
    memory = cuda.make("cudaMalloc", c_size_t(32))
    host[:] = 1
    cuda("cudaMemcpyAsync", memory, pinned, c_size_t(32), TO_DEVICE, stream)
    host[:] = 7  # too early
    cuda("cudaStreamSynchronize", stream)
    np.testing.assert_array_equal(cuda.get(memory, (8,)), np.full(8, 7))


@pytest.mark.parametrize("with_event", [True, False])
def test_events_order_streams(cuda: Cuda, with_event: bool) -> None:
    first, second = (cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING) for _ in range(2))
    event = cuda.make("cudaEventCreateWithFlags", 0)
    values, total = cuda.put(np.zeros(8, np.float32)), cuda.put(np.zeros(1, np.float32))
    cuda("start_add", values, 8, c_float(1), first)
    cuda("cudaEventRecord", event, first)
    cuda("start_add", values, 8, c_float(10), first)  # behind the event: not needed
    if with_event:
        cuda("cudaStreamWaitEvent", second, event, 0)
    cuda("start_sum", values, c_int64(8), total, second)
    cuda("cudaStreamSynchronize", second)
    assert cuda.get(total, (1,))[0] == (8 if with_event else 0)
    assert cuda.cudaEventQuery(event) == (0 if with_event else NOT_READY)
    cuda("cudaStreamSynchronize", first)
    assert cuda.cudaEventQuery(event) == 0
    cuda("cudaEventSynchronize", event)


@pytest.mark.parametrize("flags", [0, NON_BLOCKING])
def test_the_default_stream_is_ordered_with_blocking_streams(cuda: Cuda, flags: int) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", flags)
    values, total = cuda.put(np.zeros(8, np.float32)), cuda.put(np.zeros(1, np.float32))
    cuda("start_add", values, 8, c_float(1), stream)
    cuda("start_sum", values, c_int64(8), total, None)
    cuda("start_add", values, 8, c_float(1), stream)
    cuda("cudaStreamSynchronize", None)
    assert cuda.get(total, (1,))[0] == (0 if flags else 8)


def test_a_destroyed_stream_finishes_its_work(cuda: Cuda) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    values = cuda.put(np.zeros(8, np.float32))
    cuda("start_add", values, 8, c_float(1), stream)
    cuda("cudaStreamDestroy", stream)
    assert cuda.start_add(values, 8, c_float(1), stream) == INVALID_HANDLE
    cuda("cudaDeviceSynchronize")
    assert cuda.get(values, (8,)).sum() == 8


def test_memory_comes_and_goes_in_stream_order(cuda: Cuda) -> None:
    first, second = (cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING) for _ in range(2))
    early = cuda.make("cudaMallocAsync", c_size_t(64), first)
    cuda(
        "cudaMemsetAsync", early, 0, c_size_t(64), second
    )  # nothing says that `first` has come to the allocation
    assert cuda.cudaStreamSynchronize(second) == ILLEGAL_ADDRESS

    memory = cuda.make("cudaMallocAsync", c_size_t(64), first)
    cuda("cudaMemsetAsync", memory, 0, c_size_t(64), first)
    cuda("cudaFreeAsync", memory, first)
    assert cuda.cudaFreeAsync(memory, first) == INVALID_VALUE  # twice
    cuda("cudaMemsetAsync", memory, 0, c_size_t(64), first)  # after it was released
    assert cuda.cudaStreamSynchronize(first) == ILLEGAL_ADDRESS


def test_copies_stay_inside_one_allocation(cuda: Cuda) -> None:
    memory = cuda.make("cudaMalloc", c_size_t(64))
    host = np.zeros(128, np.uint8)
    address = c_void_p(host.ctypes.data)

    def copy(to: c_void_p, from_: c_void_p, count: int, direction: int) -> int:
        return int(cuda.cudaMemcpyAsync(to, from_, c_size_t(count), direction, None))

    assert copy(memory, address, 65, TO_DEVICE) == INVALID_VALUE
    assert "beyond the end" in cuda.text(INVALID_VALUE)
    assert copy(address, memory, 64, TO_DEVICE) == INVALID_VALUE
    assert copy(memory, address, 64, TO_HOST) == INVALID_VALUE
    assert copy(address, address, 64, TO_DEVICE) == INVALID_VALUE
    assert cuda.cudaMemsetAsync(memory, 0, c_size_t(65), None) == INVALID_VALUE
    assert cuda.cudaMemsetAsync(address, 0, c_size_t(1), None) == INVALID_VALUE
    arguments = (memory, c_size_t(16), address, c_size_t(16), c_size_t(8))
    assert cuda.cudaMemcpy2DAsync(*arguments, c_size_t(4), TO_DEVICE, None) == 0
    assert cuda.cudaMemcpy2DAsync(*arguments, c_size_t(5), TO_DEVICE, None) == INVALID_VALUE


def test_copies_of_rectangles(cuda: Cuda) -> None:
    host = np.arange(24, dtype=np.float32).reshape(4, 6)
    memory = cuda.make("cudaMalloc", c_size_t(48))
    cuda("cudaMemcpy2DAsync", memory, c_size_t(12), c_void_p(host.ctypes.data), c_size_t(24), c_size_t(12),
         c_size_t(4), TO_DEVICE, None)  # fmt: skip
    np.testing.assert_array_equal(cuda.get(memory, (4, 3)), host[:, :3])


def test_out_of_memory(cuda: Cuda) -> None:
    too_much = c_size_t((1 << 30) + 1)
    memory = c_void_p()
    assert cuda.cudaMalloc(byref(memory), too_much) == OUT_OF_MEMORY
    assert cuda.cudaMallocAsync(byref(memory), too_much, None) == OUT_OF_MEMORY
    assert memory.value is None


def test_late_writes_into_released_memory_are_found(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = cuda.put(np.zeros(64, np.float32))
    cuda("cudaFree", memory)
    assert cuda.cudaFree(memory) == INVALID_VALUE
    cuda("start_last_block", 2, memory)
    monkeypatch.setenv("RNNPACK_EMULATOR_CHECK", "1")
    error = cuda.cudaStreamSynchronize(None)
    assert error == ILLEGAL_ADDRESS
    assert "after it had been released" in cuda.text(error)


def test_whose_memory_an_address_is(cuda: Cuda) -> None:
    class Attributes(ctypes.Structure):
        _fields_ = (("type", c_int), ("device", c_int), ("on_device", c_void_p), ("on_host", c_void_p))

    def kind(address: int) -> int:
        attributes = Attributes()
        cuda("cudaPointerGetAttributes", byref(attributes), c_void_p(address))
        return attributes.type

    memory, pinned = cuda.make("cudaMalloc", c_size_t(64)), cuda.make("cudaMallocHost", c_size_t(64))
    assert memory.value and pinned.value
    assert [kind(memory.value), kind(memory.value + 63), kind(memory.value + 64)] == [2, 2, 0]
    assert [kind(pinned.value), kind(np.zeros(4).ctypes.data), kind(0)] == [1, 0, 0]


def test_devices(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    count = c_int()
    cuda("cudaGetDeviceCount", byref(count))
    assert count.value == 1
    assert cuda.cudaSetDevice(1) == INVALID_DEVICE
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "0")
    assert cuda.cudaGetDeviceCount(byref(count)) == NO_DEVICE
    assert count.value == 0
    assert cuda.cudaMalloc(byref(c_void_p()), c_size_t(1)) == NO_DEVICE


def test_devices_do_not_mix(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "2")
    memory = cuda.put(np.zeros(8, np.float32))
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    event = cuda.make("cudaEventCreateWithFlags", 0)
    cuda("cudaSetDevice", 1)
    try:
        assert cuda.start_add(memory, 8, c_float(1), stream) == INVALID_HANDLE
        assert cuda.cudaMemsetAsync(memory, 0, c_size_t(32), stream) == INVALID_HANDLE
        assert cuda.cudaMemsetAsync(memory, 0, c_size_t(32), None) == INVALID_VALUE
        assert cuda.cudaEventRecord(event, None) == INVALID_HANDLE
        assert cuda.cudaFreeAsync(memory, None) == INVALID_HANDLE
    finally:
        cuda("cudaSetDevice", 0)


def test_double_values_are_shuffled_whole(cuda: Cuda) -> None:
    """32 values whose sum is wrong in single precision."""
    values = np.float32(1) + np.arange(32, dtype=np.float32) * np.float32(2**-23)
    xors = cuda.make("cudaMalloc", c_size_t(256))
    others = [cuda.make("cudaMalloc", c_size_t(256)) for _ in range(2)]
    cuda("start_shuffles", cuda.put(values), others[0], xors, others[1])
    sums = cuda.get(xors, (32,), c_double)
    assert float(sums[0]) == values.astype(np.float64).sum() != float(values.sum())
