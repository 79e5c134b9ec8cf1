"""Arrays of different streams: the order that the GPU is given is enough, and the host waits for none.

The emulator's streams do nothing until someone waits for them, so that work without an order comes too late.
"""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest
from contract.contract_cells import normal
from cuda_functions import NON_BLOCKING, Cuda
from foreign_arrays import refuse_copies

from rnnpack import GRU, _core, cuda
from rnnpack.cuda import memory

B, T, F, U = 3, 5, 4, 6
X = normal(B, T, F)


@pytest.fixture
def emulated(cuda_plugin: None) -> Cuda:
    """The emulated plugin's CUDA functions, which a real one does not export."""
    path = os.environ.get("RNNPACK_CUDA_PLUGIN", "")
    if os.environ.get("RNNPACK_TEST_GPU") == "1":
        pytest.skip("streams are made by the emulator")
    assert cuda.is_available()
    return Cuda(ctypes.CDLL(path))


@pytest.fixture
def streams(emulated: Cuda) -> list[int]:
    """Handles of two streams that nothing orders."""
    return [emulated.make("cudaStreamCreateWithFlags", NON_BLOCKING).value or 0 for _ in range(2)]


@pytest.fixture
def layer(emulated: Cuda) -> GRU:
    """A layer whose weights are on the GPU: packing and freeing them waits for all streams."""
    made = GRU(U)
    made(on_stream(X, 0))
    return made


def on_stream(values: np.ndarray, stream: int) -> cuda.Array:
    """An array on the GPU that belongs to the stream."""
    array = cuda.Array(values.shape, "float32", 0, stream)
    memory.upload(0, array.address, values, "float32", stream)
    return array


def not_yet_run(layer: GRU, stream: int) -> tuple[cuda.Array, np.ndarray]:
    """An array that the stream has still to write, and what it will hold."""
    x = on_stream(X, stream)
    return layer(x), layer(X)


def read(address: int, stream: int) -> np.ndarray:
    """The state at an address after what is on the stream."""
    values = np.empty((B, U), np.float32)
    _core.cuda_copy(0, values.ctypes.data, address, values.nbytes, stream)
    return values


def same(got: np.ndarray, want: np.ndarray) -> bool:
    return bool(np.allclose(got, want, rtol=1e-5, atol=1e-5))


@pytest.mark.parametrize("ordered", [True, False])
def test_states_of_another_stream_are_read_after_they_are_written(layer, streams, monkeypatch, ordered):
    first, second = streams
    state, state_values = not_yet_run(layer, first)
    want = layer(X, initial_state=state_values)
    x = on_stream(X, second)
    with monkeypatch.context() as patch:
        refuse_copies(patch)
        if not ordered:
            patch.setattr(_core, "cuda_order", lambda *streams: None)
        result = layer(x, initial_state=state)
    assert result.stream == second
    assert same(result.numpy(), want) == ordered


def test_arrays_of_another_stream_are_released_after_they_are_read(layer, emulated, streams):
    first, second = streams
    state, state_values = not_yet_run(layer, first)
    want = layer(X, initial_state=state_values)
    result = layer(on_stream(X, second), initial_state=state)
    del state
    emulated("cudaStreamSynchronize", ctypes.c_void_p(first))  # has released it by now
    assert same(result.numpy(), want)


@pytest.mark.parametrize("consumer", [None, 1, "second"])
def test_consumers_of_another_stream_read_what_is_written(layer, streams, monkeypatch, consumer):
    first, second = streams
    consumer, handle = (second, second) if consumer == "second" else (consumer, 0)
    array, want = not_yet_run(layer, first)
    with monkeypatch.context() as patch:
        refuse_copies(patch)
        capsule = array.__dlpack__(stream=consumer)
    assert same(read(_core.read_dlpack(capsule)[0], handle), want)


def test_consumers_that_want_no_order_get_none(layer, streams):
    first, second = streams
    array, _ = not_yet_run(layer, first)
    capsule = array.__dlpack__(stream=-1)
    with pytest.raises(RuntimeError, match="memory that the stream does not have yet"):
        read(_core.read_dlpack(capsule)[0], second)


def test_a_failed_launch_lets_other_streams_go_on(layer, streams, monkeypatch):
    first, second = streams
    state, want = not_yet_run(layer, first)
    x = on_stream(X, second)

    def fail(**arguments):
        raise MemoryError("not today")

    monkeypatch.setattr(_core, "CudaCall", fail)
    with pytest.raises(MemoryError, match="not today"):
        layer(x, initial_state=state)
    assert same(state.numpy(), want)
