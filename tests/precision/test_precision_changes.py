"""Prepared calls, streams that live, parts that are replaced and other threads, while precisions change."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from precision.precision_cases import MAKE, PRECISIONS, all_bits, first_states, made, settle

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell

B, T, F = 3, 5, 5
X = normal(B, T, F)
ALL = ("full", *PRECISIONS)
precisions = pytest.mark.parametrize("precision", PRECISIONS)


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("name", [*MAKE, "bidirectional"])
def test_prepared_calls_follow_every_change(name: str, return_state: bool) -> None:
    """Fresh layers, that have never been called otherwise, say what every call should give."""

    def make() -> Any:
        if name == "bidirectional":
            return settle(Bidirectional(GRU(6, return_state=return_state, return_sequences=True)), F)
        return settle(MAKE[name](return_state=return_state, return_sequences=True), F)

    mask = np.random.default_rng(0).random((B, T)) < 0.6
    want = {}
    for precision in ALL:
        fresh = make()
        fresh.set_precision(precision)
        want[precision] = all_bits(fresh(X)), all_bits(fresh(X, mask=mask))
    assert len({str(w) for w in want.values()}) == 3
    layer = make()
    for precision in ("full", "int8", "bfloat16", "int8", "full", "bfloat16", "full"):
        layer.set_precision(precision)
        for _ in range(3):
            assert all_bits(layer(X)) == want[precision][0]
        assert all_bits(layer(X, mask=mask)) == want[precision][1]


@pytest.mark.parametrize("name", MAKE)
def test_streams_keep_their_states_while_the_precision_changes(name: str) -> None:
    layer = settle(MAKE[name](return_sequences=True, return_state=True), F)
    stream, states = layer.stream(B), None
    for t, precision in enumerate(("full", "int8", "bfloat16", "full", "bfloat16", "int8", "int8")):
        before = all_bits(stream.states)
        layer.set_precision(precision)
        assert all_bits(stream.states) == before
        x = X[:, t % T]
        output, *states = layer(x[:, None], initial_state=states)
        assert bits(stream(x)) == bits(output[:, 0])
        assert all_bits(stream.states) == all_bits(states)
    layer.set_precision("bfloat16")
    stream.reset(rows=[1])
    assert not any(s[1].any() for s in flatten(stream.states))


@precisions
def test_stateful_layers_keep_their_states(precision: str) -> None:
    layer = made("lstm", batch=B, stateful=True, return_state=True)
    layer(X)
    before = all_bits(layer.states)
    layer.set_precision(precision)
    assert all_bits(layer.states) == before
    other = made("lstm", precision, return_state=True)
    want = other(X, initial_state=[np.array(s) for s in layer.states])
    assert all_bits(layer(X)) == all_bits(want)


def _lambda(layer: Any) -> None:
    layer.cell.activation = lambda a: a


def _softmax(layer: Any) -> None:
    layer.cell.recurrent_activation = rnnpack.activations.get("softmax")


LEAVING = {"a callable": _lambda, "softmax": _softmax}


@precisions
@pytest.mark.parametrize("change", LEAVING)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_layer_that_leaves_the_native_path_raises(name: str, change: str, precision: str) -> None:
    layer = made(name, precision)
    before = layer.cell.activation, layer.cell.recurrent_activation
    stream = layer.stream(B)
    want = bits(layer(X))
    step = bits(stream(X[:, 0]))
    LEAVING[change](layer)
    for call in (
        lambda: layer(X),
        lambda: layer(X, mask=np.ones((B, T), bool)),
        lambda: layer(X, initial_state=first_states(layer, B)),
        lambda: layer([row[:2] for row in X]),
        lambda: layer(X, training=True),
        lambda: stream(X[:, 0]),
        lambda: layer.stream(B)(X[:, 0]),
    ):
        with pytest.raises(ValueError, match=precision):
            call()
    assert layer.precision == precision
    layer.cell.activation, layer.cell.recurrent_activation = before
    assert bits(layer(X)) == want
    stream.reset()
    assert bits(stream(X[:, 0])) == step
    LEAVING[change](layer)
    layer.set_precision("full")
    assert layer(X).shape == (B, 7)
    assert not layer.explain().native


@precisions
def test_both_directions_raise_together(precision: str) -> None:
    both = settle(Bidirectional(GRU(4)), F)
    both.set_precision(precision)
    want = bits(both(X))
    before, both.backward_layer.cell.activation = both.backward_layer.cell.activation, lambda a: a
    with pytest.raises(ValueError, match=precision):
        both(X)
    both.backward_layer.cell.activation = before
    assert bits(both(X)) == want


@precisions
def test_inputs_of_float64_that_are_not_cast_raise(precision: str) -> None:
    layer = LSTM(4, autocast=False)
    layer(X)
    layer.set_precision(precision)
    want = bits(layer(X))
    for wrong in (X.astype("float64"), X.astype("float16")):
        with pytest.raises(ValueError, match=precision):
            layer(wrong)
    assert bits(layer(X)) == want


@precisions
def test_a_cell_of_a_stack_that_is_replaced(precision: str) -> None:
    layer = settle(RNN([LSTMCell(4), GRUCell(4)]), F)
    layer.set_precision(precision)
    want, cells = bits(layer(X)), layer.cell.cells
    stream = layer.stream(B)
    stream(X[:, 0])
    old, cells[1] = cells[1], type("OwnGRU", (GRUCell,), {})(4)
    cells[1].build((None, 4))
    for call in (lambda: layer(X), lambda: stream(X[:, 0])):
        with pytest.raises(ValueError, match=precision):
            call()
    cells[1] = old
    assert bits(layer(X)) == want


# Other threads ------------------------------------------------------------------------------------


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let threads alternate as often as possible, and calls be shared."""
    before, threads = sys.getswitchinterval(), rnnpack.get_num_threads()
    sys.setswitchinterval(1e-5)
    rnnpack.set_num_threads(2)
    yield
    sys.setswitchinterval(before)
    rnnpack.set_num_threads(threads)


def toggled(layer: Any, callers: list[Any], changes: int = 300) -> set[Any]:
    """All results of callers that call again and again while the precision changes so often."""
    done = threading.Event()

    def repeat(call: Any) -> set[Any]:
        found = set()
        while not done.is_set():
            found.add(str(all_bits(call())))
        return found

    with ThreadPoolExecutor(len(callers)) as pool:
        running = [pool.submit(repeat, call) for call in callers]
        try:
            for number in range(changes):
                layer.set_precision(ALL[number % 3])
                done.wait(1e-4)
        finally:
            done.set()
        return set().union(*(r.result(60) for r in running))


@pytest.mark.parametrize("name", [*MAKE, "bidirectional", "wide"])
def test_every_result_is_that_of_one_precision(name: str, frequent_switches: None) -> None:
    if name == "bidirectional":
        layer = settle(Bidirectional(GRU(20, return_sequences=True)), F)
    else:
        layer = settle(MAKE["gru"](units=120) if name == "wide" else MAKE[name](), F)
    x = normal(16, 12, F)
    possible: set[str] = set()
    if name == "bidirectional":
        # Its halves change one after the other, and a call may come between.
        halves = {}
        for precision in ALL:
            layer.set_precision(precision)
            halves[precision] = np.split(layer(x), 2, axis=-1)
        pairs = [(f, b) for f in ALL for b in ALL]
        possible = {str(all_bits(np.concatenate([halves[f][0], halves[b][1]], axis=-1))) for f, b in pairs}
    else:
        for precision in ALL:
            layer.set_precision(precision)
            possible.add(str(all_bits(layer(x))))
        assert len(possible) == 3
    mask = np.ones((16, 12), bool)
    found = toggled(layer, [lambda: layer(x), lambda: layer(x, mask=mask), lambda: layer(x)])
    assert found <= possible
    assert len(found) > 1, "nothing has changed meanwhile"


def test_streams_of_other_threads(frequent_switches: None) -> None:
    """Every step is one of one precision; steps before it decide only its states."""
    layer = made("gru")
    x, possible = X[:, 0], set()
    for precision in ALL:
        layer.set_precision(precision)
        possible.add(str(all_bits(layer.stream(B)(x))))

    def caller() -> Any:
        stream = layer.stream(B)
        zeros = stream.states
        for _ in range(5):
            stream(x)
        stream.states = zeros
        return stream(x)

    assert toggled(layer, [caller, caller, lambda: layer.stream(B)(x)]) <= possible
