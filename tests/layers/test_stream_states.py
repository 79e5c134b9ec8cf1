"""Streams as objects: resets, states in and out, several threads, memory."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from contract.contract_cells import bits, normal
from contract.contract_oracle import flatten
from moments import at_line
from stream_cases import MAKE, B, F, T, U, X, begun, held

from rnnpack import LSTM, RNN, LSTMCell

# reset --------------------------------------------------------------------------------------------

ROWS = {
    "all": (None, [0, 1, 2, 3]),
    "one": (2, [2]),
    "a numpy integer": (np.int64(1), [1]),
    "the last": (-1, [3]),
    "a list": ([0, 3], [0, 3]),
    "a tuple": ((1, 2), [1, 2]),
    "an array": (np.array([3, 1]), [1, 3]),
    "unsigned": (np.array([3, 1], "u1"), [1, 3]),
    "twice": ([2, 2], [2]),
    "none": ([], []),
    "an empty array": (np.array([], int), []),
    "bools": (np.array([True, False, True, False]), [0, 2]),
    "a list of bools": ([False, False, False, True], [3]),
    "no bool": (np.zeros(B, bool), []),
}


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.parametrize("name", MAKE)
def test_reset_starts_rows_anew(name, case):
    layer, stream = begun(name)
    before = [s.copy() for s in flatten(stream.states)]
    rows, numbers = ROWS[case]
    stream.reset(rows)
    for state, old in zip(flatten(stream.states), before, strict=True):
        want = old.copy()
        want[numbers] = 0
        assert old.any(axis=1).all()
        assert bits(state) == bits(want)
    fresh = layer.stream(B)(X[:, 1])
    got = stream(X[:, 1])
    for r in range(B):
        assert (bits(got[r]) == bits(fresh[r])) is (r in numbers)


@pytest.mark.parametrize(
    "rows", [4, -5, [0, 4], [1, -5], np.array([2**40]), [True], np.ones(5, bool)], ids=str
)
@pytest.mark.parametrize("name", MAKE)
def test_rows_that_do_not_exist(name, rows):
    _, stream = begun(name)
    before = held(stream)
    with pytest.raises(IndexError):
        stream.reset(rows)
    assert held(stream) == before


@pytest.mark.parametrize("rows", [1.0, [0.5], "1", np.array([[0, 1]]), [None], True], ids=repr)
@pytest.mark.parametrize("name", MAKE)
def test_rows_that_are_no_row_numbers(name, rows):
    """Whatever is made of them, nobody wants to read about the native module's arguments."""
    _, stream = begun(name)
    before = held(stream)
    try:
        stream.reset(rows)
    except (IndexError, TypeError, ValueError) as error:
        assert "incompatible function arguments" not in str(error)
        assert held(stream) == before


def test_nan_goes_with_a_reset():
    _, stream = begun("lstm")
    stream(np.where(np.arange(B)[:, None] == 1, np.nan, X[:, 1]))
    assert [np.isnan(s).any(axis=1).tolist() for s in stream.states] == [[False, True, False, False]] * 2
    stream.reset(1)
    assert not any(np.isnan(s).any() for s in stream.states)


# states -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKE)
def test_states_restored_replay_the_same_bits(name):
    layer, stream = begun(name)
    saved = stream.states
    first = [bits(stream(X[:, t])) for t in range(T)]
    assert held(stream) != [bits(s) for s in flatten(saved)]
    for target in (stream, layer.stream(B)):
        target.states = saved
        assert held(target) == [bits(s) for s in flatten(saved)]
        assert [bits(target(X[:, t])) for t in range(T)] == first
    assert len(saved) == len(layer.states)


@pytest.mark.parametrize("name", MAKE)
def test_states_are_copies_both_ways(name):
    _, stream = begun(name)
    before = held(stream)
    for state in flatten(stream.states):
        state[:] = 9
    assert held(stream) == before
    given = stream.states
    stream.states = given
    for state in flatten(given):
        state[:] = 9
    assert held(stream) == before


def test_states_that_are_set_before_the_first_step():
    layer = LSTM(U)
    layer.build((None, None, F))
    stream, states = layer.stream(B), [normal(B, U), normal(B, U, seed=1)]
    assert [bits(s) for s in stream.states] == [bits(np.zeros((B, U), "f"))] * 2
    stream.states = [states[0].astype("f8"), np.asfortranarray(states[1])]
    want = LSTM(U, weights=layer.get_weights())(X[:, :1], initial_state=states)
    np.testing.assert_array_equal(stream(X[:, 0]), want)


BAD_STATES = {
    "None": lambda s: None,
    "too few": lambda s: s[:1],
    "too many": lambda s: [*s, s[0]],
    "rows": lambda s: [a[:3] for a in s],
    "one row": lambda s: [a[:1] for a in s],
    "units": lambda s: [s[0], s[1][:, :2]],
    "axes": lambda s: [s[0], s[1][None]],
    "complex": lambda s: [s[0], s[1].astype(complex)],
    "objects": lambda s: [s[0], s[1].astype(object)],
    "lists": lambda s: [s[0], s[1].tolist()],
    "an entry None": lambda s: [s[0], None],
}


@pytest.mark.parametrize("case", BAD_STATES)
@pytest.mark.parametrize("own", [False, True])
def test_states_that_do_not_fit_change_nothing(own, case):
    layer = RNN((type("OwnLSTM", (LSTMCell,), {}) if own else LSTMCell)(U))
    stream = layer.stream(B)
    stream(X[:, 0])
    before = held(stream)
    with pytest.raises(ValueError, match="state"):
        stream.states = BAD_STATES[case](stream.states)
    assert held(stream) == before


# Threads and memory -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "own"])
def test_two_threads_at_once_are_an_error_or_take_turns(name):
    """Every step that succeeds is the next one of the sequence, whichever thread took it."""
    units, count = 64, 400
    layer = LSTM(units) if name == "lstm" else RNN(type("OwnLSTM", (LSTMCell,), {})(units))
    x = normal(8, 32)
    stream, alone = layer.stream(8), layer.stream(8)
    layer.build((None, None, 32))
    want = [bits(alone(x)) for _ in range(count)]

    def step(_):
        try:
            return bits(stream(x))
        except RuntimeError as error:
            assert "thread" in str(error)
            return None

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(step, range(count)))
    finally:
        sys.setswitchinterval(interval)
    taken = [b for b in got if b is not None]
    assert sorted(taken) == sorted(want[: len(taken)])
    assert bits(stream(x)) == bits(alone(x)) if len(taken) == count else bits(stream(x)) == want[len(taken)]


def test_steps_with_out_allocate_nothing():
    _, stream = begun("stack")
    x, out = np.ascontiguousarray(X[:, 0]), np.empty((B, U), "f")

    def run(times):
        for _ in range(times):
            stream(x, out)

    run(100)
    gc.collect()
    before = sys.getallocatedblocks()
    run(1000)
    assert sys.getallocatedblocks() - before < 20
    tracemalloc.start()
    try:
        run(100)
        held_before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        run(1000)
        held_after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_after - held_before < 1000
    assert peak - held_before < out.nbytes + 1000


@pytest.mark.parametrize("name", MAKE)
def test_a_stream_goes_with_its_last_reference(name):
    gc.collect()
    gc.disable()
    try:
        layer, stream = begun(name)
        references = [weakref.ref(stream), weakref.ref(stream(X[:, 0])), weakref.ref(layer)]
        del stream
        assert [r() for r in references[:2]] == [None, None]
        assert references[2]() is layer
        del layer
        assert references[2]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_layer_may_change_at_any_moment_of_a_step(dtype):
    """As when another thread builds or loads a layer; inputs that are cast go the long way."""
    layer, stream = begun("lstm")
    other, alone = LSTM(U), layer.stream(B)
    other.build((None, None, F))
    alone(X[:, 0] + 1)
    x, happened, line = X[:, 1].astype(dtype), True, 0
    while happened:
        line += 1
        other.cell.bias.assign(np.zeros(4 * U))
        got, happened = at_line(line, lambda: other.cell.bias.assign(np.ones(4 * U)), lambda: stream(x))
        assert got is not None, f"nothing came back when the change came before line {line}"
        assert bits(got) == bits(alone(X[:, 1]))
    assert line > 5


def test_a_list_of_cells_may_be_replaced_by_an_equal_one():
    layer, stream = begun("stack")
    before, old = bits(stream(X[:, 1])), layer.cell.cells
    layer.cell.cells = list(old)
    old.clear()
    stream.reset()
    stream(X[:, 0] + 1)
    assert bits(stream(X[:, 1])) == before
