"""Contract §4: what comes back, in which container, in which shape."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from contract_cells import DoublingCell, TwoStateCell, doubling, integers, normal

import rnnpack
from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell, TensorShape

B, T, F, U = 2, 5, 4, 3


def shapes(result):
    """The nest of shapes of a nest of lists and tuples of arrays."""
    if isinstance(result, (list, tuple)):
        return type(result)(shapes(r) for r in result)
    return np.shape(result)


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_without_return_state_one_array_comes_back(return_sequences, time_major):
    x = integers(T, B, F) if time_major else integers(B, T, F)
    for cell in (DoublingCell(U), LSTMCell(U)):
        y = RNN(cell, return_sequences=return_sequences, time_major=time_major)(x)
        assert isinstance(y, np.ndarray)
        lead = ((T, B) if time_major else (B, T)) if return_sequences else (B,)
        assert y.shape == (*lead, U)


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_with_return_state_a_list_comes_back_and_states_are_batch_first(return_sequences, time_major):
    x = integers(T, B, F) if time_major else integers(B, T, F)
    lead = ((T, B) if time_major else (B, T)) if return_sequences else (B,)
    flags = {"return_sequences": return_sequences, "return_state": True, "time_major": time_major}
    for layer, states in [
        (RNN(DoublingCell(U), **flags), 1),
        (RNN(LSTMCell(U), **flags), 2),
        (LSTM(U, **flags), 2),
        (GRU(U, **flags), 1),
        (SimpleRNN(U, **flags), 1),
    ]:
        result = layer(x)
        assert type(result) is list
        assert shapes(result) == [(*lead, U)] + [(B, U)] * states


def test_states_of_one_cell_are_splatted_but_a_list_of_one_cell_keeps_its_nest():
    x = normal(B, T, F)
    assert shapes(RNN(LSTMCell(U), return_state=True)(x)) == [(B, U), (B, U), (B, U)]
    assert shapes(RNN([LSTMCell(U)], return_state=True)(x)) == [(B, U), [(B, U), (B, U)]]
    assert shapes(RNN([GRUCell(U)], return_state=True)(x)) == [(B, U), (B, U)]


def test_states_of_a_stack_are_nested_per_cell():
    x = normal(B, T, F)
    result = RNN([LSTMCell(2), LSTMCell(3)], return_state=True)(x)
    assert len(result) == 3
    assert shapes(result) == [(B, 3), [(B, 2), (B, 2)], [(B, 3), (B, 3)]]
    mixed = RNN([GRUCell(2), LSTMCell(3), SimpleRNNCell(4)], return_state=True, return_sequences=True)(x)
    assert shapes(mixed) == [(B, T, 4), (B, 2), [(B, 3), (B, 3)], (B, 4)]


def test_states_of_a_stack_have_the_same_structure_on_the_python_loop():
    class Lstm(LSTMCell):
        pass

    x = normal(B, T, F)
    result = RNN([Lstm(2), Lstm(3)], return_state=True)(x)
    assert shapes(result) == [(B, 3), [(B, 2), (B, 2)], [(B, 3), (B, 3)]]


def test_compute_output_shape_flattens_the_states_although_the_call_does_not():
    layer = RNN([LSTMCell(2), LSTMCell(3)], return_state=True)
    flat = [tuple(s) for s in layer.compute_output_shape((B, T, F))]
    assert flat == [(B, 3), (B, 2), (B, 2), (B, 3), (B, 3)]
    assert len(layer(normal(B, T, F))) == 3


@pytest.mark.parametrize("unroll", [False, True])
def test_a_list_output_is_spliced_and_a_tuple_output_stays_one_item(unroll):
    class Cell(TwoStateCell):
        def __init__(self, pack):
            super().__init__()
            self.pack = pack
            self.output_size = pack([3, 3])

        def call(self, inputs, states):
            output, new = super().call(inputs, states)
            return self.pack([output, output + 1]), new

    x = integers(B, T, F)
    seq, state = {"return_sequences": True, "unroll": unroll}, {"return_state": True, "unroll": unroll}
    o, s1, s2 = (B, 3), (B, 3), (B, 2)
    assert shapes(RNN(Cell(list), unroll=unroll)(x)) == [o, o]
    assert shapes(RNN(Cell(list), **state)(x)) == [o, o, s1, s2]
    assert shapes(RNN(Cell(list), **seq)(x)) == [(B, T, 3), (B, T, 3)]
    assert shapes(RNN(Cell(tuple), unroll=unroll)(x)) == (o, o)
    assert shapes(RNN(Cell(tuple), **state)(x)) == [(o, o), s1, s2]
    assert shapes(RNN(Cell(tuple), return_sequences=True, **state)(x)) == [((B, T, 3), (B, T, 3)), s1, s2]
    first, second = RNN(Cell(tuple), **seq)(x)
    np.testing.assert_array_equal(second, first + 1)
    np.testing.assert_array_equal(first, RNN(TwoStateCell(), **seq)(x))


def test_nested_outputs_keep_their_structure_and_obey_the_mask():
    Out = namedtuple("Out", ["a", "b"])

    class Cell:
        state_size = 3
        output_size = Out(3, {"p": 3})

        def call(self, inputs, states):
            output, new = DoublingCell().call(inputs, states)
            return Out(output, {"p": -output}), new

    x, mask = integers(B, T, F), np.array([[0, 1, 0, 1, 0], [1, 1, 0, 0, 1]], bool)
    for flags in ({}, {"time_major": True}):
        major = flags.get("time_major", False)
        y = RNN(Cell(), return_sequences=True, **flags)(
            x.swapaxes(0, 1) if major else x, mask=mask.T if major else mask
        )
        want = doubling(x, mask=mask)[0]
        assert type(y) is Out
        np.testing.assert_array_equal(y.a.swapaxes(0, 1) if major else y.a, want)
        np.testing.assert_array_equal(y.b["p"].swapaxes(0, 1) if major else y.b["p"], -want)


def test_high_dimensional_outputs_and_states():
    class Cell:
        state_size = TensorShape((2, 3))
        output_size = TensorShape((2, 3))

        def call(self, inputs, states):
            h = states[0] + inputs
            return h, [h]

    x = integers(B, T, 2, 3)
    y, state = RNN(Cell(), return_sequences=True, return_state=True)(x)
    np.testing.assert_array_equal(y, x.cumsum(1))
    np.testing.assert_array_equal(state, x.sum(1))
    y, state = RNN(Cell(), return_sequences=True, return_state=True, time_major=True)(x.swapaxes(0, 1))
    np.testing.assert_array_equal(y, x.cumsum(1).swapaxes(0, 1))
    np.testing.assert_array_equal(state, x.sum(1))
    assert [tuple(s) for s in RNN(Cell(), return_state=True).compute_output_shape((B, T, 2, 3))] == [
        (B, 2, 3)
    ] * 2


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_output_dtype_is_the_cells_and_is_not_cast(dtype, return_sequences):
    class Cell(DoublingCell):
        def call(self, inputs, states):
            output, new = super().call(inputs, states)
            return output.astype(dtype), new

    y = RNN(Cell(), return_sequences=return_sequences)(integers(B, T, F))
    assert y.dtype == dtype


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_last_output_of_the_built_in_layers_is_the_final_h(make, return_sequences):
    y, h, *_ = make(U, return_sequences=return_sequences, return_state=True)(normal(B, T, F))
    np.testing.assert_array_equal(y[:, -1] if return_sequences else y, h)


def test_outputs_and_states_do_not_share_memory():
    for layer in (
        LSTM(U, return_state=True),
        RNN(DoublingCell(), return_state=True),
        GRU(U, return_state=True),
    ):
        arrays = layer(normal(B, T, F))
        before = [np.array(a) for a in arrays[1:]]
        np.asarray(arrays[0])[...] = 99
        for state, want in zip(arrays[1:], before, strict=True):
            np.testing.assert_array_equal(state, want)


def test_outputs_of_two_calls_do_not_share_memory():
    for layer in (LSTM(U), RNN(DoublingCell(), return_sequences=True), rnnpack.Bidirectional(GRU(U))):
        x = normal(B, T, F)
        first = layer(x)
        want = np.array(first)
        layer(x + 1)
        np.testing.assert_array_equal(first, want)


@pytest.mark.parametrize("unroll", [False, True])
def test_an_output_that_is_the_state_comes_back_as_two_arrays(unroll):
    class Cell:
        state_size = U

        def call(self, inputs, states):
            h = states[0] + inputs.sum(-1, keepdims=True)
            return h, [h]

    y, state = RNN(Cell(), return_state=True, unroll=unroll)(integers(B, T, F))
    np.testing.assert_array_equal(y, state)
    assert not np.shares_memory(y, state)


def test_an_output_that_is_the_input_comes_back_as_a_copy():
    class Cell:
        state_size = ()
        output_size = F

        def call(self, inputs, states):
            return inputs, states

    x = integers(B, T, F)
    for flags in ({}, {"return_sequences": True}):
        assert not np.shares_memory(RNN(Cell(), **flags)(x), x)
