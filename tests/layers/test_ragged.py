"""Ragged rows: every row gives what it gives alone, and sequences come back in the form they came in.

Inputs and states are multiples of 1/4, on which the cells written in Python are exact: every comparison with
dense calls is one of bits.
"""

from __future__ import annotations

import numpy as np
import pytest
import tolerance
from contract.contract_cells import DoublingCell, LayerCell, TwoStateCell, bits, randomise
from contract.contract_oracle import assert_close, flatten, reference_layer
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnpack
from rnnpack import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell

LENGTHS = (4, 1, 0, 7, 3)
B, F, U = len(LENGTHS), 3, 5
EMPTY = LENGTHS.index(0)
FORMS = ["list", "pair"]
OWN = {cell: type("Own" + cell.__name__, (cell,), {}) for cell in (LSTMCell, GRUCell, SimpleRNNCell)}
STACK = [(LSTMCell, 4), (GRUCell, 7), (SimpleRNNCell, U)]
NATIVE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "gru reset before": lambda **k: GRU(U, reset_after=False, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "stack": lambda **k: RNN([cell(n, dtype=k.get("dtype")) for cell, n in STACK], **k),
}
# Subclasses of the built-in cells run in Python; their products round otherwise for other numbers of rows.
ROUNDING = {
    "own lstm": lambda **k: RNN(OWN[LSTMCell](U, dtype=k.get("dtype")), **k),
    "own stack": lambda **k: RNN([OWN[cell](n, dtype=k.get("dtype")) for cell, n in STACK], **k),
}
EXACT = {
    "doubling": lambda **k: RNN(DoublingCell(U), **k),
    "two states": lambda **k: RNN(TwoStateCell(U), **k),
    "layer cell": lambda **k: RNN(LayerCell(U), **k),
}
ALL = {**NATIVE, **ROUNDING, **EXACT}
SAME_BITS = [*NATIVE, *EXACT]


def quarters(*shape, seed=0, dtype="float32"):
    """Small multiples of 1/4."""
    return (np.random.default_rng(seed).integers(-8, 9, size=shape) / 4).astype(dtype)


def rows_of(lengths=LENGTHS, features=F, dtype="float32", seed=0):
    """One array a row."""
    return [quarters(n, features, seed=seed + r, dtype=dtype) for r, n in enumerate(lengths)]


def mapped(function, nest):
    """A list of the structure of a nest of lists and tuples."""
    return [mapped(function, n) if isinstance(n, (list, tuple)) else function(n) for n in nest]


def states_of(layer, seed=50):
    """First states of a built layer."""
    zeros = layer.get_initial_state(np.zeros((B, 1, F), layer.compute_dtype))
    return mapped(lambda zero: quarters(*zero.shape, seed=seed + zero.shape[1]), zeros)


def formed(rows, form):
    """The rows as a caller may give them."""
    return list(rows) if form == "list" else (np.concatenate(rows), np.array([len(row) for row in rows]))


def rows_in(sequences, form, lengths=LENGTHS):
    """The rows of sequence outputs, which must have the caller's form."""
    if form == "pair":
        assert type(sequences) is tuple
        values, row_lengths = sequences
        assert row_lengths.tolist() == list(lengths)
        assert np.issubdtype(row_lengths.dtype, np.integer)
        sequences = np.split(values, np.cumsum(lengths)[:-1])
    assert type(sequences) is list
    assert [len(row) for row in sequences] == list(lengths)
    return sequences


def made(name, features=F, **flags):
    """An unbuilt layer that starts with random weights, also biases, so that first calls can be compared."""
    if name in EXACT:
        return ALL[name](**flags)
    weights = randomise(ALL[name](**flags), (B, None, features))
    return ALL[name](weights=weights, **flags)


def alone(layer, rows, states=None):
    """Dense calls of one row each: output rows, and flat states; nothing happens to a row without steps."""
    flags = {name: getattr(layer, name) for name in ("return_sequences", "go_backwards")}
    dense = RNN(layer.cell, return_state=True, dtype=layer.dtype_policy, **flags)
    outputs, finals = [], []
    for r, row in enumerate(rows):
        first = dense.get_initial_state(np.zeros((1, 1, row.shape[1]), layer.compute_dtype))
        if states is not None:
            first = mapped(lambda s, r=r: s[r : r + 1], states)
        if len(row):
            output, *final = dense(row[None], initial_state=first)
        else:
            shape = dense.compute_output_shape((1, 0, row.shape[1]))[0]
            output, final = np.zeros(shape, layer.compute_dtype), first
        outputs.append(output[0])
        finals.append([s[0] for s in flatten(final)])
    return outputs, [np.stack(s) for s in zip(*finals, strict=True)]


def assert_alone(layer, rows, form, result, states=None):
    """The result has the bits of one dense call a row."""
    output, *final = result if layer.return_state else [result]
    outputs, finals = alone(layer, rows, states)
    got = rows_in(output, form, [len(row) for row in rows]) if layer.return_sequences else output
    assert_equal(got, outputs)
    if layer.return_state:
        assert_equal(flatten(final), finals)


def assert_equal(got, want):
    """Two lists of arrays are equal in shapes, dtypes and bits."""
    assert [(a.shape, a.dtype, bits(a)) for a in got] == [(a.shape, a.dtype, bits(a)) for a in want]


@pytest.fixture
def threads():
    """Put the number of threads back."""
    before = rnnpack.get_num_threads()
    yield
    rnnpack.set_num_threads(before)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("name", SAME_BITS)
def test_rows_have_the_bits_of_dense_calls(name, return_sequences, return_state, go_backwards, form):
    flags = {"return_state": return_state, "go_backwards": go_backwards}
    layer = made(name, return_sequences=return_sequences, **flags)
    for call in range(3):  # the first one builds
        rows = rows_of(seed=10 * call)
        assert_alone(layer, rows, form, layer(formed(rows, form)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NATIVE)
def test_every_instruction_set_keeps_the_bits_of_a_row(isa, name, dtype):
    lengths = tuple(np.random.default_rng(1).integers(0, 30, 21))
    layer = made(name, 17, dtype=dtype, return_sequences=True, return_state=True)
    rows = rows_of(lengths, 17, dtype)
    for _ in range(2):
        assert_alone(layer, rows, "pair", layer(formed(rows, "pair")))
    assert layer.explain().isa == isa


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*NATIVE, *ROUNDING])
def test_rows_agree_with_the_oracle(name, dtype, go_backwards, form):
    flags = {"return_sequences": True, "return_state": True, "go_backwards": go_backwards}
    layer = made(name, dtype=dtype, **flags)
    rows = rows_of(dtype=dtype)
    layer(formed(rows, form))
    states = states_of(layer)
    output, *final = layer(formed(rows, form), initial_state=states)
    for r, (row, got) in enumerate(zip(rows, rows_in(output, form), strict=True)):
        first = [s[r : r + 1] for s in flatten(states)]
        if len(row):
            want = tolerance.run(reference_layer(layer), row[None], None, first, dtype=dtype)
            assert_close(got[None], want.output, dtype)
            for state, wanted in zip(flatten(final), want.states, strict=True):
                assert_close(state[r : r + 1], wanted, dtype)
        else:
            assert [bits(s[r]) for s in flatten(final)] == [bits(s[0].astype(dtype)) for s in first]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("name", SAME_BITS)
def test_first_states_belong_to_their_rows(name, return_sequences, go_backwards, form):
    flags = {"return_sequences": return_sequences, "return_state": True, "go_backwards": go_backwards}
    layer, prototype, rows = made(name, **flags), made(name), rows_of()
    prototype.build((B, None, F))
    for seed in range(2):
        states = states_of(prototype, seed)
        before = [bits(s) for s in flatten(states)]
        result = layer(formed(rows, form), initial_state=states)
        assert [bits(s) for s in flatten(states)] == before
        assert_alone(layer, rows, form, result, states)
        if not return_sequences:
            assert not result[0][EMPTY].any(), "the output of no step is zero, not the first state"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SAME_BITS)
def test_a_stateful_layer_continues_every_row_where_it_ended(name, form):
    first, second = rows_of(), rows_of((0, 2, 3, 1, 5), seed=30)
    layer = made(name, stateful=True, return_sequences=True, return_state=True)
    for _ in range(2):
        begun, *_ = layer(formed(first, form))
        ended, *final = layer(formed(second, form))
        outputs, finals = alone(layer, [np.concatenate(pair) for pair in zip(first, second, strict=True)])
        parts = zip(rows_in(begun, form), rows_in(ended, form, (0, 2, 3, 1, 5)), strict=True)
        assert [bits(np.concatenate(pair)) for pair in parts] == [bits(row) for row in outputs]
        assert [bits(s) for s in flatten(final)] == [bits(s) for s in finals]
        assert [bits(s) for s in flatten(layer.states)] == [bits(s) for s in finals]
        assert not np.shares_memory(flatten(layer.states)[0], flatten(final)[0])
        layer.reset_states()


def test_first_states_of_a_stateful_layer_count_only_while_the_recorded_ones_are_zero():
    layer, rows, first = made("gru", stateful=True, return_state=True), rows_of(), quarters(B, U)
    _, h = result = layer(rows, initial_state=first)
    assert_alone(layer, rows, "list", result, [first])
    assert_alone(layer, rows, "list", layer(rows, initial_state=first + 1), [h])


@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5), (0.3, 0.4)])
@pytest.mark.parametrize("implementation", [1, 2])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_seed_drops_the_same_of_ragged_and_of_padded_rows(form, own, implementation, rates):
    kwargs = {"dropout": rates[0], "recurrent_dropout": rates[1], "implementation": implementation}
    cells = [(OWN[c] if own else c)(U, **kwargs) for c in (LSTMCell, GRUCell)]
    layer, rows = RNN(cells, return_sequences=True), rows_of()
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    padded = np.zeros((*mask.shape, F), "float32")
    padded[mask] = np.concatenate(rows)
    plain = rows_in(layer(formed(rows, form)), form)
    for _ in range(2):
        rnnpack.set_seed(3)
        dense = layer(padded, mask=mask, training=True)
        rnnpack.set_seed(3)
        dropped = rows_in(layer(formed(rows, form), training=True), form)
        assert [bits(row) for row in dropped] == [bits(d[:n]) for d, n in zip(dense, LENGTHS, strict=True)]
        assert bits(dropped[0]) != bits(plain[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("mode", MODES := ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("name", [*NATIVE, "layer cell"])
def test_both_directions_see_a_row_as_if_it_were_alone(name, mode, return_sequences, return_state, form):
    flags = {"return_sequences": return_sequences, "return_state": return_state}
    layer = Bidirectional(ALL[name](**flags), merge_mode=mode)
    if name in NATIVE:
        layer = Bidirectional(ALL[name](**flags), mode, weights=randomise(layer, (B, None, F)))
    heads, several = (1, return_state) if mode else (2, True)
    for _ in range(2):
        rows = rows_of()
        result = layer(formed(rows, form))
        result = result if several else [result]
        outputs, states = result[:heads], flatten(result[heads:])
        if return_sequences:
            outputs = [rows_in(output, form) for output in outputs]
        for r, row in enumerate(rows):
            got = [part[r] for part in (*outputs, *states)]
            if len(row):
                assert [bits(a) for a in got] == [bits(a[0]) for a in flatten([layer(row[None])])]
            else:
                assert not any(a.any() for a in got)


@pytest.mark.parametrize("form", FORMS)
def test_both_directions_take_first_states_and_record_them(form):
    flags = {"return_sequences": True, "return_state": True}
    layer, recording = (Bidirectional(LSTM(U, stateful=stateful, **flags)) for stateful in (False, True))
    randomise(layer, (B, None, F))
    recording.build((B, None, F))
    recording.set_weights(layer.get_weights())
    rows, states = rows_of(), [quarters(B, U, seed=s) for s in range(4)]
    result = layer(formed(rows, form), initial_state=states)
    for r, row in enumerate(rows):
        if len(row):
            want = layer(row[None], initial_state=[s[r : r + 1] for s in states])
            assert bits(rows_in(result[0], form)[r]) == bits(want[0])
            assert [bits(s[r]) for s in result[1:]] == [bits(s) for s in want[1:]]
        else:
            assert [bits(s[r]) for s in result[1:]] == [bits(s[r]) for s in states]
    recording.reset_states(states)
    assert bits(recording(formed(rows, form))[0][0]) == bits(result[0][0])
    recorded = [*recording.forward_layer.states, *recording.backward_layer.states]
    assert [bits(s) for s in recorded] == [bits(s) for s in result[1:]]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any),
    features=st.integers(1, 40),
    units=st.integers(1, 40),
    cells=st.lists(st.sampled_from(list(OWN)), min_size=1, max_size=3),
    flags=st.tuples(*[st.booleans()] * 3),
    dtype=st.sampled_from(["float32", "float64"]),
    form=st.sampled_from(FORMS),
)
def test_rows_of_any_lengths(lengths, features, units, cells, flags, dtype, form):
    layer = RNN([cell(units + i, dtype=dtype) for i, cell in enumerate(cells)], *flags, dtype=dtype)
    randomise(layer, (None, None, features))
    rows = rows_of(lengths, features, dtype)
    assert_alone(layer, rows, form, layer(formed(rows, form)))


@pytest.mark.parametrize("cell", [*OWN, pytest.param(None, id="stack")])
def test_the_number_of_threads_never_changes_a_bit(threads, cell):
    """Rows and layers enough for a call to be shared."""
    layer = RNN(cell(96) if cell else [LSTMCell(96), GRUCell(96)], return_sequences=True, return_state=True)
    rows = formed(rows_of(np.random.default_rng(2).integers(0, 60, 40), 64), "pair")
    results = []
    for count in (1, 2, 3, 5):
        rnnpack.set_num_threads(count)
        results.append([bits(a) for a in flatten(layer(rows))])
    assert results == results[:1] * 4
