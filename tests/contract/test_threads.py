"""Many Python threads may call one stateless layer at once."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from contract_cells import LayerCell, bits, normal

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN

LAYERS = {
    "lstm": lambda: LSTM(17, return_sequences=True, return_state=True),
    "gru": lambda: GRU(17),
    "simple": lambda: SimpleRNN(17, go_backwards=True),
    "stack": lambda: RNN([LSTMCell(5), GRUCell(9)], return_sequences=True),
    "bidirectional": lambda: Bidirectional(LSTM(9, return_sequences=True)),
    "python": lambda: RNN(type("OwnGRU", (GRUCell,), {})(9)),
    "custom": lambda: RNN(LayerCell(9), return_sequences=True),
}
THREADS = 8


@pytest.fixture(autouse=True)
def frequent_switches():
    """Let threads alternate as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def flat(nest):
    """The bytes of every array of a result."""
    return [b for n in nest for b in flat(n)] if isinstance(nest, list) else [bits(nest)]


def cases(count):
    """Inputs of several sizes with and without masks."""
    for i in range(count):
        x = normal(1 + i % 5, 2 + i % 7, 6, seed=i)
        yield x, (np.random.default_rng(i).random(x.shape[:2]) < 0.7 if i % 2 else None)


@pytest.mark.parametrize("name", LAYERS)
def test_concurrent_calls_give_the_bits_of_single_calls(name):
    layer = LAYERS[name]()
    layer(normal(2, 3, 6))
    work = list(cases(40))
    want = [flat(layer(x, mask=mask)) for x, mask in work]
    with ThreadPoolExecutor(THREADS) as pool:
        got = list(pool.map(lambda case: flat(layer(case[0], mask=case[1])), work * 5))
    assert got == want * 5


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_is_built_by_many_threads_at_once_has_one_set_of_weights(name):
    x = normal(2, 3, 6)
    for _ in range(5):
        layer = LAYERS[name]()
        with ThreadPoolExecutor(THREADS) as pool:
            results = list(pool.map(lambda _, layer=layer: flat(layer(x)), range(THREADS)))
        assert results == [flat(layer(x))] * THREADS


def test_training_of_one_thread_is_not_seen_by_another():
    class Cell(rnnpack.Layer):
        state_size = 1

        def call(self, inputs, states, training=None):
            value = np.full((len(inputs), 1), float(bool(training)), "float32")
            return value, [value]

    layer = RNN(Cell(), return_sequences=True)
    x = normal(2, 20, 6)

    def run(i):
        return float(layer(x, training=True if i % 2 else None).mean())

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(run, range(100))) == [0.0, 1.0] * 50


def test_weights_may_change_while_others_run():
    """Every result belongs to one of the two sets of weights; never to a mixture."""
    layer = LSTM(33)
    x = normal(3, 6, 6)
    layer(x)
    first = layer.get_weights()
    second = [w + np.float32(0.25) for w in first]
    kernels = [first[0], second[0]]
    allowed = set()
    for kernel in kernels:
        layer.cell.kernel.assign(kernel)
        allowed.add(bits(layer(x)))
    assert len(allowed) == 2

    def run(i):
        if i % 4 == 0:
            layer.cell.kernel.assign(kernels[i // 4 % 2])
        return bits(layer(x))

    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(run, range(200))) <= allowed


def test_threads_share_a_cell_through_two_layers():
    cell = GRUCell(9)
    first, second = RNN(cell), RNN(cell, go_backwards=True)
    x = normal(2, 5, 6)
    want = [bits(first(x)), bits(second(x))]
    with ThreadPoolExecutor(THREADS) as pool:
        got = list(pool.map(lambda i: bits((first, second)[i % 2](x)), range(200)))
    assert got == want * 100
