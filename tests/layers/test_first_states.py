"""First, given and recorded states."""

from __future__ import annotations

import numpy as np
import pytest

from rnnpack import GRU, LSTM, RNN, GRUCell, LSTMCell, SimpleRNNCell
from rnnpack.layers import AbstractRNNCell

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f")


def ones(units=4):
    """A state."""
    return np.ones((2, units), "f")


@pytest.mark.parametrize("calls", [1, 2])
def test_a_subclass_may_replace_get_initial_state(calls):
    class Mine(LSTM):
        def get_initial_state(self, inputs):
            return [np.ones((len(inputs), 4))] * 2

    layer = Mine(4)
    for _ in range(calls):
        got = layer(X)
    np.testing.assert_array_equal(got, layer(X, initial_state=[ones(), ones()]))
    assert layer.explain().native


@pytest.mark.parametrize("cell", [LSTMCell, type("Own", (LSTMCell,), {})])
def test_an_object_may_replace_get_initial_state(cell):
    layer = RNN(cell(4))
    layer(X)
    layer.get_initial_state = lambda inputs: [ones(), ones()]
    np.testing.assert_array_equal(layer(X), layer(X, initial_state=[ones(), ones()]))


def test_first_states_of_a_subclass_are_checked():
    class Mine(LSTM):
        def get_initial_state(self, inputs):
            return [np.ones((1, 4))] * 2

    with pytest.raises(ValueError, match=r"Mine\.get_initial_state\(\) returned states of shapes"):
        Mine(4)(X)


@pytest.mark.parametrize("where", ["cell", "stack", "member"])
def test_a_cell_object_may_replace_get_initial_state(where):
    cell = GRUCell(4)
    layer = RNN(cell) if where == "cell" else RNN([cell])
    want = layer(X, initial_state=[ones()])
    target = layer.cell if where == "stack" else cell
    target.get_initial_state = lambda inputs=None, batch_size=None, dtype=None: [ones()]
    np.testing.assert_allclose(layer(X), want, rtol=0, atol=1e-6)
    assert not layer.explain().native


class Kept(AbstractRNNCell):
    """Hands out one array of its own as its first state."""

    state_size = 3
    output_size = 3

    def __init__(self):
        super().__init__()
        self.h0 = np.ones((2, 3), "f")

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        """The array itself."""
        return [self.h0]

    def call(self, inputs, states):
        """Add."""
        return states[0] + inputs, [states[0] + inputs]


def test_recorded_states_never_are_the_cells_own_array():
    cell = Kept()
    layer = RNN(cell, stateful=True)
    layer.build((2, 5, 3))
    layer.states[0][:] = 7
    np.testing.assert_array_equal(cell.h0, 1)
    layer.get_initial_state(X)[0][:] = 7
    np.testing.assert_array_equal(cell.h0, 1)


def test_assigned_states_are_copies():
    layer = GRU(4, stateful=True)
    layer.build((2, 5, 3))
    given = ones()
    layer.states = [given]
    given[:] = 9
    np.testing.assert_array_equal(layer.states[0], 1)


def test_assigned_states_are_checked():
    layer = LSTM(4, stateful=True)
    layer.build((2, 5, 3))
    before = layer.states
    for bad in ([ones()], [ones(), ones(5)], [ones(), np.ones((1, 4))]):
        with pytest.raises(ValueError, match="state"):
            layer.states = bad
    assert layer.states is before
    layer.states = [np.ones((2, 4)), np.ones((2, 4), int)]
    assert [one.dtype for one in layer.states] == [np.float32] * 2


def test_states_set_to_none_start_anew():
    layer = GRU(4, stateful=True)
    want = layer(X)
    layer.states = [None]
    np.testing.assert_array_equal(layer(X), want)


@pytest.mark.parametrize(
    "states",
    [
        [ones(), [ones(), ones()]],
        [[ones(), ones(), ones()], []],
        [[ones(), [ones()]], ones()],
    ],
)
def test_states_must_nest_as_the_cells_declare(states):
    layer = RNN([LSTMCell(4), GRUCell(4)])
    with pytest.raises(ValueError, match=r"cell\.state_size"):
        layer(X, initial_state=states)
    layer(X, initial_state=([ones(), ones()], ones()))


def test_lists_of_numbers_as_states_are_refused_in_words():
    with pytest.raises(ValueError, match="`initial_state` must hold arrays, got a float: pass arrays"):
        RNN(SimpleRNNCell(2))(X, initial_state=[[0.0, 0.0], [0.0, 0.0]])


def test_integer_states_of_a_cell_stay_integers():
    class Counter(AbstractRNNCell):
        state_size = 1
        output_size = 1

        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return [np.zeros((batch_size, 1), np.int64)]

        def call(self, inputs, states):
            return inputs[:, :1], [states[0] + 1]

    layer = RNN(Counter(), stateful=True)
    for _ in range(3):
        layer(X)
    assert layer.states[0].dtype == np.int64 and layer.states[0][0, 0] == 15
