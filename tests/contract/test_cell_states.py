"""Contract §3, points 2, 3 and 6: how a cell declares its states and makes the first ones."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from contract_cells import DoublingCell, TwoStateCell, doubling, integers

import rnnpack
from rnnpack import (
    GRU,
    LSTM,
    RNN,
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
    TensorShape,
)

States = namedtuple("States", ["s1", "s2"])


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("pack", [lambda h: [h], lambda h: (h,), lambda h: h], ids=["list", "tuple", "bare"])
def test_new_states_may_be_a_list_a_tuple_or_a_bare_array(pack, unroll):
    class Cell(DoublingCell):
        def call(self, inputs, states):
            output, (h,) = super().call(inputs, states)
            return output, pack(h)

    x, h0 = integers(2, 3, 4), integers(2, 3, seed=1)
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    y, state = RNN(Cell(), return_state=True, unroll=unroll)(x, initial_state=h0, mask=mask)
    _, last, want = doubling(x, h0, mask)
    np.testing.assert_array_equal(y, last)
    np.testing.assert_array_equal(state, want)


def test_cell_may_return_a_namedtuple_where_the_state_was_a_tuple():
    class Cell:
        state_size = (3, 2)
        output_size = 3

        def call(self, inputs, states):
            assert type(states) is tuple
            output, new = TwoStateCell().call(inputs, states)
            return output, States(*new)

    x = integers(2, 3, 4)
    for mask in (None, np.array([[1, 0, 1], [0, 1, 1]], bool)):
        got = RNN(Cell(), return_state=True)(x, mask=mask)
        want = RNN(TwoStateCell(), return_state=True)(x, mask=mask)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wrap", [list, tuple, lambda s: States(*s)], ids=["list", "tuple", "namedtuple"])
def test_a_list_of_ints_is_several_states_never_one_shape(wrap):
    class Cell(TwoStateCell):
        def __init__(self):
            super().__init__()
            self.state_size = wrap([3, 2])

    y, first, second = RNN(Cell(), return_state=True)(integers(4, 5, 6))
    assert (y.shape, first.shape, second.shape) == ((4, 3), (4, 3), (4, 2))


class AsList:
    """A shape in the way other packages spell one."""

    def __init__(self, dims):
        self._dims = list(dims)

    def as_list(self):
        return list(self._dims)


@pytest.mark.parametrize("shape", [TensorShape((2, 3)), AsList((2, 3))], ids=["TensorShape", "as_list"])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_tensor_shape_is_one_high_dimensional_state(shape, unroll):
    class Cell:
        state_size = shape
        output_size = shape

        def call(self, inputs, states):
            assert len(states) == 1
            h = states[0] * 2 + inputs
            return h, [h]

    x = integers(2, 3, 2, 3)
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    y, state = RNN(Cell(), return_state=True, unroll=unroll)(x, mask=mask)
    want = np.zeros((2, 2, 3), "float32")
    for t in range(3):
        want = np.where(mask[:, t, None, None], 2 * want + x[:, t], want)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(state, want)


def test_several_high_dimensional_states():
    class Cell:
        state_size = (TensorShape((2, 3)), TensorShape((4,)), 5)
        output_size = TensorShape((2, 3))

        def call(self, inputs, states):
            return states[0] + 1, [states[0] + 1, states[1] + 2, states[2] + 3]

    y, *states = RNN(Cell(), return_state=True)(integers(2, 3, 7))
    assert [s.shape for s in states] == [(2, 2, 3), (2, 4), (2, 5)]
    assert [float(np.asarray(s).flat[0]) for s in states] == [3, 6, 9]
    np.testing.assert_array_equal(y, states[0])


@pytest.mark.parametrize("unroll", [False, True])
def test_stateless_cells_are_legal(unroll):
    class Cell(rnnpack.Layer):
        def __init__(self):
            self.state_size = ((), [], ())
            self.output_size = None
            super().__init__()

        def build(self, input_shape):
            self.output_size = input_shape[-1]

        def call(self, inputs, states):
            return inputs, states

    x = integers(2, 3, 4)
    layer = RNN(Cell(), return_state=True, unroll=unroll)
    assert len(layer.states) == 3
    y, *states = layer(x)
    np.testing.assert_array_equal(y, x[:, -1])
    assert [len(s) for s in states] == [0, 0, 0]


def test_state_size_is_read_again_on_every_use():
    cell = DoublingCell(3)
    layer = RNN(cell, return_state=True)
    assert layer(integers(2, 3, 4))[1].shape == (2, 3)
    cell.state_size = cell.units = 5
    assert layer(integers(2, 3, 4))[1].shape == (2, 5)


def test_get_initial_state_is_called_with_keywords_and_without_inputs():
    seen = []

    class Cell(DoublingCell):
        def get_initial_state(self, *args, **kwargs):
            seen.append((args, kwargs))
            return np.ones((kwargs["batch_size"], 3), "float32")

    x = integers(2, 3, 4)
    np.testing.assert_array_equal(RNN(Cell())(x), doubling(x, np.ones((2, 3), "float32"))[1])
    for args, kwargs in seen:
        assert args == ()
        assert set(kwargs) == {"inputs", "batch_size", "dtype"}
        assert kwargs["inputs"] is None
        assert kwargs["batch_size"] == 2
        assert np.dtype(kwargs["dtype"]) == np.float32
    assert seen


def test_get_initial_state_is_given_the_dtype_of_the_cast_inputs():
    seen = []

    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            seen.append(np.dtype(dtype))
            return np.zeros((batch_size, 3), dtype)

    RNN(Cell())(integers(2, 3, 4, dtype="float64"))
    RNN(Cell(), dtype="float64")(integers(2, 3, 4))
    assert set(seen[:1]) == {np.dtype("float32")}
    assert seen[-1] == np.dtype("float64")


def test_get_initial_state_batch_size_under_time_major():
    seen = []

    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            seen.append(batch_size)
            return np.zeros((batch_size, 3), dtype)

    RNN(Cell(), time_major=True)(integers(5, 2, 4))
    assert set(seen) == {2}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_get_initial_state_the_states_are_zeros_in_the_layer_dtype(dtype):
    seen = []

    class Cell(TwoStateCell):
        def call(self, inputs, states):
            seen.append([(s.shape, s.dtype, float(abs(s).sum())) for s in states])
            return super().call(inputs, states)

    RNN(Cell(), dtype=dtype)(integers(2, 3, 4))
    assert seen[0] == [((2, 3), np.dtype(dtype), 0.0), ((2, 2), np.dtype(dtype), 0.0)]


@pytest.mark.parametrize("pack", [lambda a, b: States(a, b), lambda a, b: (a, b), lambda a, b: [a, b]])
def test_get_initial_state_may_return_any_sequence_of_non_zero_arrays(pack):
    class Cell(TwoStateCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return pack(np.full((batch_size, 3), 5, dtype), np.full((batch_size, 2), 7, dtype))

    x = integers(2, 3, 4)
    _, total, count = RNN(Cell(), return_state=True)(x)
    np.testing.assert_array_equal(total, 5 + x.sum((1, 2))[:, None].repeat(3, 1))
    np.testing.assert_array_equal(count, np.full((2, 2), 10))


def test_layer_get_initial_state_wraps_one_array_in_a_list():
    x = integers(2, 3, 4)
    for layer, widths in [
        (RNN(DoublingCell()), [3]),
        (RNN(TwoStateCell()), [3, 2]),
        (LSTM(3), [3, 3]),
        (GRU(3), [3]),
    ]:
        states = layer.get_initial_state(x)
        assert isinstance(states, list)
        assert [np.shape(s) for s in states] == [(2, w) for w in widths]
        assert all(not np.asarray(s).any() for s in states)


@pytest.mark.parametrize("cell", [LSTMCell(3), GRUCell(3), SimpleRNNCell(3), StackedRNNCells([GRUCell(3)])])
@pytest.mark.parametrize("kwargs", [{}, {"batch_size": 2}, {"dtype": "float32"}], ids=str)
def test_get_initial_state_helper_needs_inputs_or_both_batch_size_and_dtype(cell, kwargs):
    with pytest.raises(ValueError, match="batch_size and dtype cannot be None"):
        cell.get_initial_state(**kwargs)


def test_get_initial_state_inputs_override_batch_size_and_dtype():
    h = GRUCell(3).get_initial_state(inputs=np.zeros((5, 4), "float64"), batch_size=2, dtype="float32")
    assert (h.shape, h.dtype) == ((5, 3), np.dtype("float64"))
    h, c = LSTMCell(3).get_initial_state(batch_size=2, dtype="float32")
    assert h.shape == c.shape == (2, 3)
    assert h.dtype == c.dtype == np.float32


def test_state_sizes_of_the_built_in_cells():
    assert LSTMCell(3).state_size == [3, 3]
    assert isinstance(LSTMCell(3).state_size, list)
    assert GRUCell(3).state_size == 3
    assert SimpleRNNCell(3).state_size == 3
    stack = StackedRNNCells([LSTMCell(3), GRUCell(2)]).state_size
    assert isinstance(stack, tuple)
    assert stack == ([3, 3], 2)


@pytest.mark.parametrize("cell", [GRUCell, SimpleRNNCell])
def test_direct_use_returns_the_kind_of_state_it_was_given(cell):
    x, h = integers(2, 4), integers(2, 3, seed=1)
    made = cell(3)
    output, bare = made(x, h)
    again, listed = made(x, [h])
    assert isinstance(bare, np.ndarray)
    assert isinstance(listed, list)
    assert len(listed) == 1
    for value in (bare, again, listed[0]):
        np.testing.assert_array_equal(value, output)


def test_get_initial_state_of_a_wrong_shape_is_refused_and_never_broadcast():
    class Cell(DoublingCell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return np.ones((1, 3), dtype)

    with pytest.raises(ValueError, match="state"):
        RNN(Cell())(integers(2, 3, 4))


@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, SimpleRNNCell])
def test_get_initial_state_of_a_subclass_of_a_built_in_cell_is_used(cell):
    class Own(cell):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            ones = np.ones((batch_size, 3), dtype)
            return [ones, ones] if cell is LSTMCell else ones

    _, *states = RNN(Own(3), return_state=True)(integers(2, 3, 4), mask=np.zeros((2, 3), bool))
    for state in states:
        np.testing.assert_array_equal(state, np.ones((2, 3)))


def test_get_initial_state_replaced_on_one_built_in_cell_is_used():
    cell = GRUCell(3)
    cell.get_initial_state = lambda inputs=None, batch_size=None, dtype=None: np.ones((batch_size, 3), dtype)
    layer = RNN(cell, return_state=True)
    for _ in range(2):
        _, state = layer(integers(2, 3, 4), mask=np.zeros((2, 3), bool))
        np.testing.assert_array_equal(state, np.ones((2, 3)))


def test_get_initial_state_of_a_subclass_of_a_layer_is_used():
    class Own(GRU):
        def get_initial_state(self, inputs):
            return [np.ones((len(inputs), 3), "float32")]

    layer = Own(3, return_state=True)
    for _ in range(2):
        _, state = layer(integers(2, 3, 4), mask=np.zeros((2, 3), bool))
        np.testing.assert_array_equal(state, np.ones((2, 3)))
