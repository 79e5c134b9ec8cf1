"""Streams: steps one by one are the whole sequence, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import tolerance
from contract.contract_cells import DoublingCell, TwoStateCell, bits, doubling, integers, normal, randomise
from contract.contract_oracle import assert_close, flatten, reference_layer

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    GRUCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    SimpleRNN,
    SimpleRNNCell,
    activations,
)

B, T, F, U = 4, 6, 3, 5
OWN = {cell: type("Own" + cell.__name__, (cell,), {}) for cell in (LSTMCell, GRUCell, SimpleRNNCell)}
STACK = [(LSTMCell, 4), (GRUCell, 19), (SimpleRNNCell, U)]
NATIVE = {
    "lstm": lambda **k: LSTM(U, **k),
    "gru": lambda **k: GRU(U, **k),
    "gru reset before": lambda **k: GRU(U, reset_after=False, **k),
    "simple": lambda **k: SimpleRNN(U, **k),
    "wide lstm": lambda **k: LSTM(40, **k),
    "peephole lstm": lambda **k: RNN(PeepholeLSTMCell(U, dtype=k.get("dtype")), **k),
    "projected lstm": lambda **k: RNN(ProjectedLSTMCell(19, U, dtype=k.get("dtype")), **k),
    "widely projected lstm": lambda **k: RNN(ProjectedLSTMCell(5, 70, dtype=k.get("dtype")), **k),
    "stack": lambda **k: RNN([cell(n, dtype=k.get("dtype")) for cell, n in STACK], **k),
    "stack of one": lambda **k: RNN([GRUCell(33, dtype=k.get("dtype"))], **k),
}


def built(name, features=F, seed=0, **flags):
    """A layer with random weights."""
    layer = NATIVE[name](**flags)
    randomise(layer, (None, None, features), seed, 0.3)
    return layer


def whole(layer, x, states=None):
    """The dense call on the whole sequences: `(outputs of all steps, flat final states)`."""
    dense = RNN(layer.cell, return_sequences=True, return_state=True, dtype=layer.dtype_policy)
    output, *final = dense(x, initial_state=states)
    return output, flatten(final)


def steps(stream, x):
    """All outputs of a stream, stacked along time."""
    return np.stack([stream(x[:, t]) for t in range(x.shape[1])], axis=1)


def assert_whole(layer, stream, x, states=None):
    """The stream gives the bits of the dense call, which began in `states`."""
    output, final = whole(layer, x, states)
    got = steps(stream, x)
    assert (got.shape, got.dtype) == (output.shape, output.dtype)
    assert bits(got) == bits(output)
    assert [(s.shape, s.dtype, bits(s)) for s in flatten(stream.states)] == [
        (s.shape, s.dtype, bits(s)) for s in final
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NATIVE)
def test_steps_have_the_bits_of_the_whole_sequence(isa, name, dtype):
    layer = built(name, 17, dtype=dtype)
    for batch in (*range(1, 10), 15, 16, 17, 33, 40):
        assert_whole(layer, layer.stream(batch), normal(batch, 3, 17, seed=batch, dtype=dtype))
    assert layer.explain().isa == isa


def test_many_steps_and_many_units():
    """Projections of whole sequences are computed in chunks of time, those of a stream one by one."""
    layer = LSTM(150, recurrent_initializer="zeros")
    randomise(layer, (None, None, 100), scale=0.1)
    assert_whole(layer, layer.stream(2), normal(2, 300, 100))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_number_of_threads_never_changes_a_bit(count):
    """Units enough for one step to be shared."""
    layer = RNN([cell(n, recurrent_initializer="zeros") for cell, n in ((LSTMCell, 320), (GRUCell, 256))])
    randomise(layer, (None, None, 128), scale=0.05)
    x = normal(3, 4, 128)
    before = rnnpack.get_num_threads()
    try:
        rnnpack.set_num_threads(1)
        want = steps(layer.stream(3), x)
        rnnpack.set_num_threads(count)
        assert bits(steps(layer.stream(3), x)) == bits(want)
        assert bits(whole(layer, x)[0]) == bits(want)
    finally:
        rnnpack.set_num_threads(before)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cells", [*OWN, "stack"], ids=lambda c: c if c == "stack" else c.__name__)
def test_steps_agree_with_the_oracle(cells, dtype, own):
    kinds = [OWN[c] if own else c for c in (OWN if cells == "stack" else [cells])]
    members = [cell(U, dtype=dtype) for cell in kinds]
    layer = RNN(members if len(members) > 1 else members[0], dtype=dtype)
    randomise(layer, (None, None, F))
    assert layer.explain().native is not own
    x, stream = normal(B, T, F, dtype=dtype), layer.stream(B)
    got, oracle = steps(stream, x), reference_layer(RNN(layer.cell, return_sequences=True, dtype=dtype))
    want = tolerance.run(oracle, x, dtype=dtype)
    assert_close(got, want.output, dtype)
    for state, wanted in zip(flatten(stream.states), want.states, strict=True):
        assert_close(state, wanted, dtype)


@pytest.mark.parametrize("flag", ["return_sequences", "return_state", "time_major", "unroll", "stateful"])
@pytest.mark.parametrize("name", ["lstm", "stack"])
def test_flags_that_concern_whole_calls_do_not_concern_a_stream(name, flag):
    layer = built(name)
    flagged = RNN(layer.cell, zero_output_for_mask=True, **{flag: True})
    flagged.build((B, B, F))
    assert_whole(layer, flagged.stream(B), normal(B, T, F))


def test_dropout_is_for_training_and_a_stream_does_not_train():
    layer = built("lstm", dropout=0.5, recurrent_dropout=0.5)
    assert_whole(layer, layer.stream(B), normal(B, T, F))


# Cells written in Python --------------------------------------------------------------------------


def test_a_cell_of_ones_own_is_called_once_a_step():
    layer, x = RNN(DoublingCell(U)), integers(B, T, F)
    stream = layer.stream(B)
    sequence, _, final = doubling(x, units=U)
    np.testing.assert_array_equal(steps(stream, x), sequence)
    np.testing.assert_array_equal(stream.states[0], final)
    assert layer.cell.calls == T


def test_a_cell_of_ones_own_is_asked_for_first_states_once():
    asked = []

    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            asked.append(batch_size)
            return [np.zeros((batch_size, self.units), dtype)]

    steps(RNN(Cell(U)).stream(B), integers(B, T, F))
    assert asked == [B]


def test_states_of_different_widths_and_an_output_that_is_none_of_them():
    layer, x = RNN([TwoStateCell(U), DoublingCell(2)]), integers(B, T, F)
    dense = RNN(layer.cell, return_sequences=True, return_state=True)
    stream = layer.stream(B)
    output, *final = dense(x)
    np.testing.assert_array_equal(steps(stream, x), output)
    assert [bits(s) for s in flatten(stream.states)] == [bits(s) for s in flatten(final)]


def test_first_states_of_the_cell_and_of_the_layer_object():
    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return [np.full((batch_size, self.units), 3, dtype)]

    x = integers(B, T, F)
    layer = RNN(Cell(U))
    want, _, _ = doubling(x, np.full((B, U), 3, "f"), units=U)
    stream = layer.stream(B)
    for _ in range(2):
        np.testing.assert_array_equal(steps(stream, x), want)
        stream.reset()
    steps(stream, x)
    stream.reset([1, 3])
    states = stream.states[0]
    assert (states[[1, 3]] == 3).all()
    assert not (states[[0, 2]] == 3).all()


def test_a_failing_cell_leaves_the_states():
    class Cell(DoublingCell):
        fails = False

        def call(self, inputs, states):
            if self.fails:
                raise RuntimeError("inside")
            return super().call(inputs, states)

    stream = (layer := RNN([DoublingCell(2), Cell(U)])).stream(B)
    x = integers(B, T, F)
    want = steps(layer.stream(B), x)
    got = [stream(x[:, 0])]
    layer.cell.cells[1].fails = True
    with pytest.raises(RuntimeError, match="inside"):
        stream(x[:, 1])
    layer.cell.cells[1].fails = False
    got += [stream(x[:, t]) for t in range(1, T)]
    np.testing.assert_array_equal(np.stack(got, axis=1), want)


def test_cells_with_several_inputs():
    class Cell:
        state_size = 2

        def call(self, inputs, states):
            h = 2 * states[0] + inputs[0] + inputs[1].sum(axis=-1, keepdims=True)
            return h + 1, [h]

    layer, first, second = RNN(Cell(), return_sequences=True), integers(B, T, 2), integers(B, T, 3, seed=1)
    stream = layer.stream(B)
    got = np.stack([stream((first[:, t], second[:, t])) for t in range(T)], axis=1)
    np.testing.assert_array_equal(got, layer((first, second)))


# Independence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NATIVE)
def test_streams_and_calls_of_one_layer_do_not_meet(name):
    layer = built(name)
    inputs = [normal(B, T, F, seed=1), normal(B, T, F, seed=2), normal(2, T, F, seed=3)]
    streams = [layer.stream(len(x)) for x in inputs]
    want, dense = [bits(whole(layer, x)[0]) for x in inputs], bits(layer(inputs[0]))
    got = [[] for _ in inputs]
    for t in range(T):
        for x, stream, outputs in zip(inputs, streams, got, strict=True):
            outputs.append(stream(x[:, t]))
        assert bits(layer(inputs[0])) == dense
    assert [bits(np.stack(outputs, axis=1)) for outputs in got] == want


def test_recorded_states_of_a_stateful_layer_are_another_thing():
    layer = LSTM(U, stateful=True, weights=built("lstm").get_weights())
    x = normal(B, T, F)
    layer(x)
    recorded = [bits(s) for s in layer.states]
    assert_whole(layer, layer.stream(B), x)
    assert_whole(layer, layer.stream(2), x[:2])
    assert [bits(s) for s in layer.states] == recorded
    layer.reset_states()
    stream = layer.stream(B)
    stream(x[:, 0])
    layer(x)
    np.testing.assert_array_equal(stream(x[:, 1]), whole(layer, x)[0][:, 1])


# Changes in mid-stream ----------------------------------------------------------------------------


def shifted(layer):
    """New weights."""
    return [w + np.asarray(0.25, w.dtype) for w in layer.get_weights()]


CHANGES = {
    "set_weights": lambda layer: layer.set_weights(shifted(layer)),
    "set_weights of the cell": lambda layer: layer.cell.set_weights(shifted(layer)),
    "assign": lambda layer: layer.cell.kernel.assign(layer.cell.kernel.numpy() + 0.25),
    "assign_add": lambda layer: layer.cell.bias.assign_add(layer.cell.bias.numpy() + 0.25),
    "setitem": lambda layer: layer.cell.bias.__setitem__(0, 0.25),
    "another kernel": lambda layer: setattr(layer.cell, "kernel", DONOR.kernel),
    "activation": lambda layer: setattr(layer.cell, "activation", activations.relu),
    "activation in Python": lambda layer: setattr(layer.cell, "activation", activations.softmax),
}


DONOR = built("lstm", seed=3).cell
DONOR_OF_FOUR = built("stack", seed=3).cell.cells[0]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_counts_from_the_next_step_on(change):
    """Nothing but the change comes before the step: another layer that is made would announce it, too."""
    layer, x = built("lstm"), normal(B, T, F)
    stream = layer.stream(B)
    for repetition in range(3):
        before, states = bits(whole(layer, x)[0]), stream.states
        stream(x[:, 0])
        stream.states = states
        CHANGES[change](layer)
        got = steps(stream, x)
        output, final = whole(layer, x, states)
        exact = layer.explain().native  # else twice the error of a call, see test_steps_agree_with_the_oracle
        atol = 0 if exact else 2 * T * 100 * np.finfo("f").eps
        np.testing.assert_allclose(got, output, rtol=0, atol=atol)
        for state, want in zip(stream.states, final, strict=True):
            np.testing.assert_allclose(state, want, rtol=0, atol=atol)
        if repetition == 0:
            assert bits(whole(layer, x)[0]) != before, "the change must show"


def test_from_native_to_python_and_back_with_the_same_states():
    layer, x, asked = built("stack"), normal(B, 3, F), []
    stream, member = layer.stream(B), layer.cell.cells[1]
    want = whole(layer, x)[0]

    def own_tanh(value):
        asked.append(1)
        return np.tanh(value)

    first = stream(x[:, 0])
    before = [bits(s) for s in flatten(stream.states)]
    member.activation = own_tanh
    assert [bits(s) for s in flatten(stream.states)] == before
    second = stream(x[:, 1])
    assert len(asked) == 1
    member.activation = activations.tanh
    third = stream(x[:, 2])
    assert len(asked) == 1
    # Rounding of three steps of at most 25 additions on values below one.
    atol = 100 * np.finfo("f").eps
    np.testing.assert_allclose(np.stack([first, second, third], axis=1), want, rtol=0, atol=atol)


MEMBERS = {
    "a weight": lambda cells: cells[2].bias.assign(np.full(U, 0.5)),
    "another cell": lambda cells: cells.__setitem__(0, DONOR_OF_FOUR),
    "its activation": lambda cells: setattr(cells[1], "activation", activations.relu),
}


@pytest.mark.parametrize("change", MEMBERS)
def test_a_member_of_a_stack_may_change(change):
    layer, x = built("stack"), normal(B, T, F)
    stream = layer.stream(B)
    steps(stream, x)
    states = stream.states
    stream(x[:, 0])
    stream.states = states
    MEMBERS[change](layer.cell.cells)
    got = steps(stream, x)
    output, final = whole(layer, x, states)
    assert bits(got) == bits(output)
    assert [bits(s) for s in flatten(stream.states)] == [bits(s) for s in final]
