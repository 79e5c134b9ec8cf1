"""The emulator's memory, streams, events, graphs and devices: what comes too early or too late shows."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_float, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np
import pytest
from cuda_functions import (
    ANY_DIRECTION,
    CAPTURE_IMPLICIT,
    CAPTURE_INVALIDATED,
    CAPTURE_ISOLATION,
    CAPTURE_UNSUPPORTED,
    ILLEGAL_ADDRESS,
    INVALID_DEVICE,
    INVALID_HANDLE,
    INVALID_VALUE,
    NO_DEVICE,
    NON_BLOCKING,
    NOT_READY,
    OUT_OF_MEMORY,
    TO_DEVICE,
    TO_HOST,
    Cuda,
)


def test_fresh_memory_is_nan(cuda: Cuda) -> None:
    for allocate in ("cudaMalloc", "cudaMallocHost"):
        memory = cuda.make(allocate, c_size_t(40))
        array = np.empty(10, np.float32)
        cuda("cudaMemcpy", c_void_p(array.ctypes.data), memory, c_size_t(40), ANY_DIRECTION)
        assert np.isnan(array).all()


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


def test_graphs(cuda: Cuda) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    event = cuda.make("cudaEventCreateWithFlags", 0)
    values, total = cuda.put(np.zeros(8, np.float32)), cuda.put(np.zeros(1, np.float32))
    status = c_int()
    cuda("cudaStreamBeginCapture", stream, 0)
    cuda("start_add", values, 8, c_float(2), stream)
    cuda("cudaEventRecord", event, stream)
    cuda("cudaStreamWaitEvent", stream, event, 0)
    cuda("start_sum", values, c_int64(8), total, stream)
    cuda("cudaStreamIsCapturing", stream, byref(status))
    assert status.value == 1
    graph = c_void_p()
    cuda("cudaStreamEndCapture", stream, byref(graph))
    ready = cuda.make("cudaGraphInstantiate", graph, ctypes.c_ulonglong(0))
    cuda("cudaGraphDestroy", graph)
    assert cuda.get(values, (8,)).sum() == 0  # nothing has run yet
    for launches in (1, 2):
        cuda("cudaGraphLaunch", ready, stream)
        cuda("cudaStreamSynchronize", stream)
        assert cuda.get(total, (1,))[0] == launches * 16
    cuda("cudaGraphExecDestroy", ready)


@pytest.mark.parametrize("name", ["cudaMalloc", "cudaStreamSynchronize", "cudaMallocAsync", "pageable copy"])
def test_what_no_graph_can_have_spoils_its_capture(cuda: Cuda, name: str) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    memory, host = cuda.put(np.zeros(1, np.float32)), np.zeros(1, np.float32)
    arguments: dict[str, tuple[Any, ...]] = {
        "cudaMalloc": (byref(c_void_p()), c_size_t(8)),
        "cudaMallocAsync": (byref(c_void_p()), c_size_t(8), stream),
        "cudaStreamSynchronize": (stream,),
        "pageable copy": (memory, c_void_p(host.ctypes.data), c_size_t(4), TO_DEVICE, stream),
    }
    cuda("cudaStreamBeginCapture", stream, 0)
    call = getattr(cuda, name.replace("pageable copy", "cudaMemcpyAsync"))
    assert call(*arguments[name]) == CAPTURE_UNSUPPORTED
    assert cuda.cudaStreamEndCapture(stream, byref(c_void_p())) == CAPTURE_INVALIDATED


def test_a_thread_may_take_memory_in_relaxed_mode(cuda: Cuda) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", NON_BLOCKING)
    mode, relaxed = c_int(2), 2
    cuda("cudaStreamBeginCapture", stream, 0)
    cuda("cudaThreadExchangeStreamCaptureMode", byref(mode))
    try:
        cuda("cudaFree", cuda.make("cudaMalloc", c_size_t(8)))
    finally:
        cuda("cudaThreadExchangeStreamCaptureMode", byref(mode))
    assert mode.value == relaxed
    cuda("cudaStreamEndCapture", stream, byref(c_void_p()))


def test_captures_and_other_streams(cuda: Cuda) -> None:
    stream = cuda.make("cudaStreamCreateWithFlags", 0)
    event = cuda.make("cudaEventCreateWithFlags", 0)
    values = cuda.put(np.zeros(8, np.float32))
    cuda("cudaEventRecord", event, None)
    assert cuda.cudaStreamBeginCapture(None, 0) == CAPTURE_UNSUPPORTED
    cuda("cudaStreamBeginCapture", stream, 0)
    cuda("cudaEventRecord", event, stream)
    assert cuda.cudaStreamWaitEvent(None, event, 0) == CAPTURE_ISOLATION
    assert cuda.cudaEventQuery(event) == CAPTURE_UNSUPPORTED
    assert cuda.start_add(values, 8, c_float(1), None) == CAPTURE_IMPLICIT
    assert cuda.cudaStreamEndCapture(stream, byref(c_void_p())) == CAPTURE_INVALIDATED
