"""CUDA when something goes wrong or happens at the same time: memory, devices, Ctrl-C, threads, exit."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from cuda_cases import assert_within, direction, oracle, with_random_weights
from threads.shared_calls import run_program

from rnnpack import LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN, _core, cuda
from rnnpack.layers import device

pytestmark = pytest.mark.usefixtures("cuda_plugin")

B, T, F, U = 3, 4, 5, 6
MIB = 2**20
DEVICE_BYTES = 2**30


@pytest.fixture
def emulated():
    """What only the emulator has: 1 GiB of memory, and as many devices as it is told."""
    if os.environ.get("RNNPACK_TEST_GPU") == "1":
        pytest.skip("a GPU has more memory than a test can fill, and no other number of devices")


def layer_on_cuda(**flags):
    """An LSTM and a GRU with random weights."""
    batch = B if flags.get("stateful") else None
    return with_random_weights(direction([("lstm", U), ("gru", 4)], **flags), F, batch=batch)


def same(result, want):
    """Whether two nests hold the same bits."""
    return [bits(one) for one in flatten(result)] == [bits(one) for one in flatten(want)]


# Memory.


def test_what_calls_keep_for_the_next_one_is_given_back(emulated):
    layer = SimpleRNN(8, device="cuda")
    layer(np.zeros((25_000, 1, 512), "float32"))  # 51 MB of inputs, and as much again beside them
    taken = _core.cuda_allocate(0, DEVICE_BYTES - 48 * MIB, 0)
    _core.cuda_release(0, taken, 0)


@pytest.fixture
def little_memory(emulated):
    """All memory of the device but 48 MiB is taken."""
    assert cuda.is_available(), cuda.why_not()  # which loads the plugin
    gc.collect()  # layers of other tests
    taken = _core.cuda_allocate(0, DEVICE_BYTES - 48 * MIB, 0)
    yield
    _core.cuda_release(0, taken, 0)


def heavy(mebibytes=15):
    """A layer whose weights take about so much memory, nearly all of it a kernel of zeros."""
    features = mebibytes * MIB // (4 * 64)
    layer = SimpleRNN(64, kernel_initializer="zeros", recurrent_initializer="zeros", device="cuda")
    layer.build((None, None, features))
    return layer


def call_heavy(layer):
    """Brings the weights to the GPU, and no more, as the batch is empty."""
    return layer(np.zeros((0, 1, layer.get_weights()[0].shape[0]), "float32"))


def test_inputs_that_do_not_fit_leave_layer_and_states(little_memory):
    layer = layer_on_cuda(stateful=True, return_state=True)
    twin = copy.deepcopy(layer)
    x = normal(B, T, F)
    layer(x), twin(x)
    before = [bits(one) for one in flatten(layer.states)]
    long = np.broadcast_to(normal(B, 1, F), (B, MIB, F))
    for _ in range(2):
        with pytest.raises(MemoryError, match="not enough memory"):
            layer(long)
        assert [bits(one) for one in flatten(layer.states)] == before
    assert same(layer(x), twin(x))
    both = Bidirectional(LSTM(U, stateful=True), device="cuda")
    both(x)
    before = [bits(one) for one in flatten(both.forward_layer.states + both.backward_layer.states)]
    with pytest.raises(MemoryError):
        both(long)
    assert [bits(one) for one in flatten(both.forward_layer.states + both.backward_layer.states)] == before


def test_memory_of_layers_that_are_gone_is_free_again(little_memory):
    kept = []
    with pytest.raises(MemoryError):
        for _ in range(5):
            kept.append(heavy())
            call_heavy(kept[-1])
    assert len(kept) in (3, 4)
    with pytest.raises(MemoryError):  # nor is it taken by calls that fail
        call_heavy(kept[-1])
    before = [bits(weight) for weight in kept[-1].get_weights()]
    del kept[:-1]
    call_heavy(kept[-1])
    assert [bits(weight) for weight in kept[-1].get_weights()] == before
    kept[-1].device = "cpu"  # gives the weights up
    for _ in range(2):
        call_heavy(heavy()), call_heavy(heavy())


def test_changed_weights_take_the_memory_of_the_old_ones(little_memory):
    layer = heavy()
    for _ in range(8):
        layer.set_weights(layer.get_weights())
        call_heavy(layer)


# Devices.


def test_no_device(emulated, monkeypatch):
    layer = layer_on_cuda(stateful=True)
    x = normal(B, T, F)
    want = layer(x), layer(x)
    layer.reset_states()
    assert same(layer(x), want[0])
    before = [bits(one) for one in flatten(layer.states)]
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "0")
    assert not cuda.is_available()
    assert "no GPU can be used" in cuda.why_not()
    assert cuda.devices() == []
    with pytest.raises(RuntimeError, match="no GPU can be used"):
        layer(x)
    assert [bits(one) for one in flatten(layer.states)] == before
    assert not layer.explain().native
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "1")
    assert same(layer(x), want[1])


def test_two_devices(emulated, monkeypatch):
    first = layer_on_cuda(return_state=True)
    x = normal(B, T, F)
    want = first(x)
    first.device = "cuda:1"
    with pytest.raises(RuntimeError, match="there is no GPU cuda:1, the last one is cuda:0"):
        first(x)
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "2")
    assert [one.index for one in cuda.devices()] == [0, 1]
    assert same(first(x), want)
    assert {cell.device for cell in device.cells_of(first)} == {1}
    assert first.explain().device == "cuda:1"
    # One direction on each.
    both = Bidirectional(LSTM(U), "concat", device="cuda:1")
    want = both(x)
    both.forward_layer.device = "cuda:0"
    assert both.device == "cuda:0+cuda:1"
    assert same(both(x), want)


def test_each_device_has_memory_of_its_own(little_memory, monkeypatch):
    monkeypatch.setenv("RNNPACK_EMULATOR_DEVICES", "2")
    layer = heavy(60)
    with pytest.raises(MemoryError):
        call_heavy(layer)
    layer.device = "cuda:1"
    call_heavy(layer)


# Ctrl-C.


@pytest.fixture
def sigint():
    """Ctrl-C as programs have it; background jobs start with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("form", ["dense", "masked", "ragged"])
def test_an_interrupted_call(both, form, sigint):
    layer = LSTM(U, stateful=True, device="cuda")
    layer = Bidirectional(layer) if both else layer
    parts = (layer.forward_layer, layer.backward_layer) if both else (layer,)
    x = normal(B, T, F)
    layer(x)
    twin = copy.deepcopy(layer)
    before = [bits(one) for part in parts for one in part.states]
    steps = 3_000_000
    long = np.broadcast_to(normal(B, 1, F), (B, steps, F))
    arguments = {"mask": np.broadcast_to(True, (B, steps))} if form == "masked" else {}
    if form == "ragged":
        long = (np.broadcast_to(normal(1, F), (3 * steps, F)), np.array([0, 2 * steps, steps]))
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        layer(long, **arguments)
    assert time.monotonic() - began < 20
    timer.join()
    assert [bits(one) for part in parts for one in part.states] == before
    assert same(layer(x), twin(x))


# Threads.


def together(*works):
    """The results of functions that run at the same time, each of them ten times."""
    results = [[] for _ in works]
    start = threading.Barrier(len(works))

    def run(work, found):
        start.wait()
        found.extend(work() for _ in range(10))

    threads = [threading.Thread(target=run, args=pair) for pair in zip(works, results, strict=True)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return results


def test_four_threads_call_one_layer():
    layer = layer_on_cuda(return_sequences=True, return_state=True)
    inputs = [normal(B, T, F, seed=seed) for seed in range(4)]
    for one, results in zip(inputs, together(*[lambda x=x: layer(x) for x in inputs]), strict=True):
        assert len(results) == 10
        assert all(same(result, layer(one)) for result in results)
        assert_within(layer, results[0], oracle(layer, one))


def test_four_threads_make_and_call_layers_of_their_own():
    makes = (
        lambda: LSTM(U, device="cuda"),
        lambda: Bidirectional(LSTM(U), device="cuda"),
        lambda: RNN([LSTMCell(U), GRUCell(3)], device="cuda"),
        lambda: LSTM(U, dtype="float64", device="cuda"),
    )
    x = normal(B, T, F)
    weights = []
    for make in makes:
        layer = make()
        layer.build((None, None, F))
        weights.append(layer.get_weights())

    def made(make, given):
        layer = make()
        layer.build((None, None, F))
        layer.set_weights(given)
        return layer(x)

    pairs = list(zip(makes, weights, strict=True))
    found = together(*[lambda pair=pair: made(*pair) for pair in pairs])
    for pair, results in zip(pairs, found, strict=True):
        assert len(results) == 10
        assert all(same(result, made(*pair)) for result in results)


def test_weights_that_another_thread_assigns():
    """Each result belongs to the old kernel or to the new one."""
    layer = layer_on_cuda()
    x = normal(B, T, F)
    kernel = layer.weights[0]
    kernels = [np.array(kernel), np.array(kernel) / 2]
    wants = set()
    for one in kernels:
        kernel.assign(one)
        wants.add(bits(layer(x)))
    assert len(wants) == 2

    def change():
        for one in kernels:
            kernel.assign(one)

    _, *results = together(change, *[lambda: bits(layer(x))] * 3)
    assert {one for found in results for one in found} <= wants
    assert bits(layer(x)) == bits(copy.deepcopy(layer)(x))


# Weights, copies and pickles.


def test_changed_weights_count_from_the_next_call_on():
    layer = layer_on_cuda(return_state=True)
    x = normal(B, T, F)
    for seed in range(3):
        with_random_weights_again(layer, seed)
        assert_within(layer, layer(x), oracle(layer, x))
    for variable in layer.weights:
        variable.assign(np.asarray(variable) / 2)
        assert_within(layer, layer(x), oracle(layer, x))
    layer.set_precision("bfloat16")
    assert_within(layer, layer(x), oracle(layer, x))
    layer.device = "cpu"
    layer.set_precision("full")
    assert_within(layer, layer(x), oracle(layer, x))
    layer.device = "cuda"
    assert_within(layer, layer(x), oracle(layer, x))


def with_random_weights_again(layer, seed):
    """Other weights for a built layer."""
    generator = np.random.default_rng(seed)
    layer.set_weights([generator.uniform(-0.5, 0.5, w.shape).astype(w.dtype) for w in layer.get_weights()])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_and_pickles_compute_the_same(duplicate):
    layer = layer_on_cuda(stateful=True, return_state=True)
    x = normal(B, T, F)
    layer(x)
    other = duplicate(layer)
    assert other.device == "cuda"
    want = layer(x)
    assert same(other(x), want)
    weights = [bits(one) for one in layer.get_weights()]
    other.set_weights([0 * one for one in other.get_weights()])
    assert [bits(one) for one in layer.get_weights()] == weights
    layer.reset_states(), other.reset_states()
    assert_within(layer, layer(x), oracle(layer, x))
    assert_within(other, other(x), oracle(other, x))


def test_a_pickle_goes_to_another_process(tmp_path):
    layer = layer_on_cuda(stateful=True, return_state=True)
    x = normal(B, T, F)
    layer(x)
    (tmp_path / "layer").write_bytes(pickle.dumps(layer))
    np.save(tmp_path / "want.npy", layer(x)[0])
    np.save(tmp_path / "x.npy", x)
    run_program(f"""
        import pickle, pathlib
        import numpy as np
        folder = pathlib.Path({str(tmp_path)!r})
        layer = pickle.loads((folder / "layer").read_bytes())
        assert layer.device == "cuda"
        assert (layer(np.load(folder / "x.npy"))[0] == np.load(folder / "want.npy")).all()
    """)


# Exit.


def test_exit_with_a_live_layer():
    output = run_program("""
        import numpy as np, rnnpack
        layer = rnnpack.LSTM(6, device="cuda", stateful=True)
        cycle = [layer]
        cycle.append(cycle)
        print(layer(np.ones((2, 3, 4), "float32")).shape)
    """)
    assert output.split() == ["(2,", "6)"]


@pytest.mark.parametrize("threads", [1, 3])
def test_exit_while_daemon_threads_are_inside_a_call(threads):
    output = run_program(f"""
        import threading, time
        import numpy as np, rnnpack
        layer = rnnpack.LSTM(6, device="cuda")
        layer(np.ones((1, 3, 4), "float32"))
        x = np.broadcast_to(np.float32(1), (1, 3_000_000, 4))
        for _ in range({threads}):
            threading.Thread(target=layer, args=(x,), daemon=True).start()
        time.sleep(0.5)
        print("end", flush=True)
    """)
    assert output == "end\n"
