"""What goes wrong on a GPU leaves layers as they were, and what is dropped gives its memory back."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from cuda_oracle import assert_right
from precision.precision_cases import MAKE, settle

from rnnpack import GRU, LSTM, RNN, Bidirectional, LSTMCell, _core, cuda

pytestmark = pytest.mark.usefixtures("cuda_plugin")
only_emulated = pytest.mark.skipif(
    os.environ.get("RNNPACK_TEST_GPU") == "1", reason="needs the emulator's settings or its small memory"
)

B, T, F, U = 4, 5, 3, 7
X = normal(B, T, F)
LEFT = 12 << 20  # bytes that a full device still has
TOO_LARGE = np.broadcast_to(X[:1, :1], (1 << 10, 1 << 11, F))  # 24 MiB on the device


def all_bits(result: Any) -> list[tuple[Any, ...]]:
    return [(one.shape, one.dtype, bits(one)) for one in flatten([result])]


def on_cuda(name: str = "lstm", device: str = "cuda", **kwargs: Any) -> Any:
    """A built layer on the GPU."""
    sizes = {} if name == "stack" else {"units": U}
    layer = settle(MAKE[name](**sizes, **kwargs), F, batch=B if kwargs.get("stateful") else None)
    layer.device = device
    return layer


@only_emulated
def test_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = on_cuda(stateful=True)
    layer(X)
    states = all_bits(layer.states)
    new = LSTM(U, device="cuda")
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "0")
    assert not cuda.is_available()
    assert "no CUDA-capable device" in str(cuda.why_not())
    assert cuda.devices() == []
    for one in (layer, new):
        with pytest.raises(RuntimeError, match="device"):
            one(X)
        assert not one.explain().native
    assert all_bits(layer.states) == states
    assert not new.built
    monkeypatch.delenv("RNNPACK_EMULATOR_DEVICES")
    assert cuda.is_available()
    layer(X)
    new(X)


def test_ctrl_c_in_a_long_call() -> None:
    layer = on_cuda(stateful=True, return_sequences=True)
    layer(X)
    states = all_bits(layer.states)
    twin = copy.deepcopy(layer)
    long = np.broadcast_to(X[:, :1], (B, 1 << 14, F))
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            layer(long)
    finally:
        timer.cancel()
    assert all_bits(layer.states) == states
    assert all_bits(layer(X)) == all_bits(twin(X))


@pytest.mark.parametrize("name", ["lstm", "stack"])
def test_several_threads_call_one_layer(name: str) -> None:
    layer = on_cuda(name, return_sequences=True, return_state=True)
    inputs = [normal(B, T, F, seed=seed) for seed in range(8)]
    want = [all_bits(layer(x)) for x in inputs]
    fresh = copy.deepcopy(layer)  # whose weights are uploaded by the threads
    both = Bidirectional(layer, "sum", device="cuda")
    settle(both, F)
    want_both = [all_bits(both(x)) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(lambda x: all_bits(fresh(x)), inputs)) == want
            assert list(pool.map(lambda x: all_bits(both(x)), inputs)) == want_both


CHANGES: dict[str, Any] = {
    "layer.set_weights": lambda layer, new: layer.set_weights(new),
    "cell.set_weights": lambda layer, new: layer.cell.set_weights(new),
    "assign": lambda layer, new: [v.assign(n) for v, n in zip(layer.cell.weights, new, strict=True)],
    "one weight": lambda layer, new: layer.cell.weights[1].assign(new[1]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", MAKE)
def test_changed_weights_count_from_the_next_call_on(name: str, change: str) -> None:
    layer = on_cuda(name, return_state=True)
    before = all_bits(layer(X))
    new = [weight * np.float32(-0.75) for weight in layer.get_weights()]
    CHANGES[change](layer, new)
    result = layer(X)
    assert all_bits(result) != before
    assert_right(layer, result, X)


def test_layers_that_share_a_cell() -> None:
    cell = LSTMCell(U)
    layers = [RNN(cell, device="cuda"), RNN(cell, device="cuda", return_sequences=True), RNN(cell)]
    for layer in layers:
        settle(layer, F)
        layer(X)
    layers[0].set_weights([weight / 2 for weight in layers[0].get_weights()])
    for layer in layers:
        assert_right(layer, layer(X), X)
    layers[0].set_precision("float16")
    for layer in layers:
        assert_right(layer, layer(X), X)


@pytest.mark.parametrize("name", MAKE)
def test_copies_and_pickles(name: str) -> None:
    layer = on_cuda(name, stateful=True, return_state=True)
    layer.set_precision("tf32")
    layer(X)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    want = all_bits(layer(X))  # from the recorded states on
    for one in copies:
        assert (one.device, one.precision) == ("cuda", "tf32")
        assert all_bits(one(X)) == want
        one.set_weights([0 * weight for weight in one.get_weights()])
        one.reset_states()
    after = [one.copy() for one in flatten([layer.states])]
    assert all(one.any() for one in after)
    assert_right(layer, layer(X), X, None, after)


def take(left: int) -> list[int]:
    """Take the first device's memory but for this many bytes: an address or more."""
    taken = []
    size = cuda.devices()[0].memory - left
    while size >= 256:
        try:
            taken.append(_core.cuda_allocate(0, size, 0))
            if left:
                break
        except MemoryError:  # cells of other tests may still have some
            size -= max(size >> 3, 1)
    return taken


@only_emulated
def test_two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "2")
    assert [one.index for one in cuda.devices()] == [0, 1]
    first = settle(LSTM(1, device="cuda"), 1 << 12)
    second = copy.deepcopy(first)
    second.device = "cuda:1"
    small, x = normal(1, 1, 1 << 12), normal(4, 64, 1 << 12)
    assert all_bits(first(small)) == all_bits(second(small))
    taken = take(0)  # the first one's memory, all of it
    try:
        with pytest.raises(MemoryError):
            first(x)
        want = all_bits(second(x))
        first.device = "cuda:1"
        assert all_bits(first(x)) == want
    finally:
        for memory in taken:
            _core.cuda_release(0, memory, 0)
    first.device = "cuda:2"
    with pytest.raises(RuntimeError, match="cuda:2"):
        first(x)
    assert not first.explain().native


@pytest.fixture(scope="module")
def full_device(cuda_plugin: None) -> Iterator[None]:
    """The first device has only a little memory left, from here to the end of this file's tests."""
    gc.collect()
    taken = take(LEFT)
    yield
    for memory in taken:
        _core.cuda_release(0, memory, 0)


@only_emulated
@pytest.mark.usefixtures("full_device")
@pytest.mark.parametrize("name", ["lstm", "stack"])
def test_a_call_for_which_memory_is_missing(name: str) -> None:
    layer = on_cuda(name, return_state=True)
    want = all_bits(layer(X))
    wide = settle(LSTM(1, device="cuda"), 1 << 12)
    fits = np.zeros((4, 64, 1 << 12), np.float32)  # 4 MiB, and as much to work with: what failed kept nothing
    wide(fits)
    for _ in range(3):
        with pytest.raises(MemoryError, match="memory"):
            layer(TOO_LARGE)
        assert all_bits(layer(X)) == want
        wide(fits)


@only_emulated
@pytest.mark.usefixtures("full_device")
def test_recorded_states_survive_missing_memory() -> None:
    for make in (
        lambda: LSTM(U, stateful=True, device="cuda"),
        lambda: Bidirectional(GRU(U, stateful=True), "sum", device="cuda"),
    ):
        layer = make()
        x = np.broadcast_to(X[:1, :1], (B, 1 << 19, F))  # 24 MiB
        layer(X)
        parts = [layer] if isinstance(layer, LSTM) else [layer.forward_layer, layer.backward_layer]
        before = [all_bits(one.states) for one in parts]
        twin = copy.deepcopy(layer)
        with pytest.raises(MemoryError):
            layer(x)
        assert [all_bits(one.states) for one in parts] == before
        assert all_bits(layer(X)) == all_bits(twin(X))


@only_emulated
@pytest.mark.usefixtures("full_device")
def test_weights_for_which_memory_is_missing() -> None:
    layer = LSTM(16, kernel_initializer="zeros", device="cuda")
    features = 1 << 17  # 32 MiB
    with pytest.raises(MemoryError):
        layer(np.zeros((1, 1, features), np.float32))
    layer.device = "cpu"
    assert layer(np.zeros((1, 1, features), np.float32)).shape == (1, 16)
    assert_right(on_cuda(), on_cuda()(X), X)


@only_emulated
@pytest.mark.usefixtures("full_device")
def test_dropped_layers_and_old_weights_release_memory() -> None:
    """Far more than there is, one after the other."""
    features, units = 1 << 13, 16  # 2 MiB of weights
    x = np.zeros((1, 1, features), np.float32)

    def make() -> Any:
        return LSTM(units, kernel_initializer="zeros", device="cuda")

    for _ in range(8):
        make()(x)
    layer = make()
    layer(x)
    for _ in range(8):
        layer.cell.kernel.assign(np.ones(layer.cell.kernel.shape, np.float32))
        layer(x)
    for _ in range(4):
        for precision in ("tf32", "full"):
            layer.set_precision(precision)
            layer(x)
    for _ in range(8):
        copy.deepcopy(layer)(x)
    for _ in range(8):
        layer.device = "cpu"
        layer.device = "cuda"
        layer(x)
